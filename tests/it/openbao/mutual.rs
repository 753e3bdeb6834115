//! A server that takes connections only from those who show a certificate of its authority.

use serde_json::json;
use tokio::sync::OnceCell;
use tonic::Code;

use super::bed::Bed;
use super::node::{Node, of};
use super::server::{Clients, Storage};

/// One such server for the tests here.
async fn demanding() -> &'static Bed {
    static BED: OnceCell<Bed> = OnceCell::const_new();
    let start = async || {
        let bed = Bed::start(Storage::Memory, Clients::Certified).await;
        bed.admin.write("secret/data/app/mutual", json!({ "data": { "value": "there" } })).await;
        bed
    };
    BED.get_or_init(start).await
}

const CLASS: [(&str, &str); 2] = [
    ("roleName", "app"),
    ("objects", "- { objectName: o, secretPath: secret/data/app/mutual, secretKey: value }\n"),
];

#[tokio::test]
async fn without_a_certificate_of_its_own_the_agent_gets_nothing_from_a_server_that_asks_for_one() {
    let bed = demanding().await;
    let node = Node::at(bed, "", "");
    for provider in ["vault", "openbao"] {
        let (code, text) = node.refused(provider, &of(bed, "app", 1), &CLASS).await;
        println!("{text}");
        assert_eq!(code, Code::Internal, "{text}");
        assert!(text.starts_with("unreachable: ") && text.contains(&bed.server.url()), "{text}");
    }
}
