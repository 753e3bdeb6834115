//! Scenarios 1, 5, 8 and 12 at a server that takes connections only from those who show a certificate of its authority, as
//! that of the upstream suites does.

use serde_json::Value;
use tokio::sync::OnceCell;

use super::super::bed::{Bed, JWT};
use super::super::node::{Node, of};
use super::super::server::{Clients, Storage};
use super::basic::by_environment;
use super::{Class, DOMAIN, SOCKETS, furnish, good_for, text};

/// One such server for the tests here.
async fn demanding() -> &'static Bed {
    static BED: OnceCell<Bed> = OnceCell::const_new();
    let start = async || {
        let bed = Bed::start(Storage::Memory, Clients::Certified).await;
        furnish(&bed).await;
        bed
    };
    BED.get_or_init(start).await
}

/// A node with a certificate, with nothing between it and the server.
fn certified(bed: &Bed) -> Node {
    let (certificate, key) = bed.server.identity();
    let own = format!(", clientCertificate: {}, clientKey: {}", certificate.display(), key.display());
    Node::at(bed, &own, "")
}

const USER: &str = "- { objectName: user, secretPath: secret/data/shop/till, secretKey: user }\n";

#[tokio::test]
async fn s_01_the_environment_names_server_authority_and_client_certificate() {
    let bed = demanding().await;
    let (certificate, key) = bed.server.identity();
    let files = [bed.server.ca(), certificate, key].map(|path| path.display().to_string());
    for (provider, prefix) in [("vault", "VAULT"), ("openbao", "BAO"), ("openbao", "VAULT")] {
        let names = ["CACERT", "CLIENT_CERT", "CLIENT_KEY"].map(|name| format!("{prefix}_{name}"));
        let mut variables: Vec<_> = names.iter().map(String::as_str).zip(files.iter().cloned()).collect();
        let address = format!("{prefix}_ADDR");
        variables.push((&address, bed.server.url()));
        let node = by_environment(&variables);
        let class = Class::new(provider, "shop-kv", USER).audience("vault");
        assert_eq!(
            text(&class.files(&node, &of(bed, "shop-kv", 1)).await["user"]),
            "clerk",
            "{provider} {prefix}"
        );
    }
}

#[tokio::test]
async fn s_05_s_08_s_12_certificates_refusals_and_jwt_logins_at_a_server_that_asks_for_a_client_certificate()
{
    let bed = demanding().await;
    let node = certified(bed);
    for provider in SOCKETS {
        let name = format!("{provider}.{DOMAIN}");
        let objects = format!(
            "- {{ objectName: tls.json, secretPath: pki/issue/shop, method: PUT, secretArgs: {{ common_name: {name} }} }}\n"
        );
        let files = Class::new(provider, "shop-pki", &objects).files(&node, &of(bed, "shop-pki", 5)).await;
        let reply: Value = serde_json::from_str(text(&files["tls.json"])).unwrap();
        let pem = |field: &str| reply["data"][field].as_str().unwrap();
        assert_eq!(good_for(pem("certificate"), pem("issuing_ca"), &name), Ok(()));

        let (code, event) =
            Class::new(provider, "shop-kv", USER).refused(&node, &of(bed, "shop-db", 8)).await;
        assert_eq!(code, "Unauthenticated", "{event}");
        assert!(event.contains("service account name not authorized"), "{event}");

        let class = Class::new(provider, "shop-kv", USER).with("AuthMountPath", JWT);
        assert_eq!(text(&class.files(&node, &of(bed, "shop-kv", 12)).await["user"]), "clerk");
    }
}

#[tokio::test]
async fn without_a_certificate_of_its_own_the_agent_gets_nothing_from_a_server_that_asks_for_one() {
    let bed = demanding().await;
    let node = Node::at(bed, "", "");
    for provider in SOCKETS {
        let (code, event) =
            Class::new(provider, "shop-kv", USER).refused(&node, &of(bed, "shop-kv", 1)).await;
        assert_eq!(code, "Internal", "{event}");
        assert!(event.starts_with("unreachable: ") && event.contains(&bed.server.url()), "{event}");
    }
}
