//! The examples for Vault and OpenBao, as they are, by the command, as an administrator runs it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::bed::{Bed, JWT, bed};
use super::node::Counted;
use super::scenarios::{furnished, good_for};

/// A node before the shared server, with what the examples' own page says that a server has, and the token of
/// `shop/web`.
pub(super) async fn node() -> Counted {
    static FURNISHED: OnceCell<()> = OnceCell::const_new();
    let (node, bed) = (Counted::start("", "").await, bed().await);
    FURNISHED.get_or_init(|| furnish(bed)).await;
    let mut claims = bed.cluster.claims("web");
    claims["sub"] = json!(SUBJECT);
    claims["kubernetes.io"] = json!({ "namespace": "shop", "serviceaccount": { "name": "web", "uid": "u" } });
    std::fs::write(node.agent.path("token"), bed.cluster.sign(&claims)).unwrap();
    node
}

async fn furnish(bed: &Bed) {
    let admin = &bed.admin;
    let db = json!({ "data": { "username": "web", "password": "s3cr3t" } });
    admin.write("secret/data/db", db).await;
    admin.write("secret/data/stripe", json!({ "data": { "key": "sk" } })).await;
    let rules = [
        ("secret/data/db", "read"),
        ("secret/data/stripe", "read"),
        ("pki/issue/web", "update"),
        ("database/creds/web", "read"),
    ];
    bed.allow(admin, "web", &rules).await;
    bed.role(admin, "web", &["web"], json!({ "bound_service_account_namespaces": ["shop"] })).await;
    bed.jwt_role(JWT, "web", SUBJECT).await;
}

/// Mounts an example into a folder of its name.
pub(super) async fn mounted(node: &Counted, example: &str) -> PathBuf {
    let out = node.agent.path(example);
    std::fs::create_dir(&out).unwrap();
    node.command(format!("examples/{example}.yaml").as_ref(), "web", &out).await;
    out
}

fn read(out: &Path, path: &str) -> String {
    std::fs::read_to_string(out.join(path)).unwrap()
}

#[tokio::test]
async fn the_examples_with_static_secrets_mount_as_they_are() {
    let node = node().await;
    for example in ["vault", "vault-native", "openbao"] {
        let out = mounted(&node, example).await;
        assert_eq!([read(&out, "db/username"), read(&out, "db/password")], ["web", "s3cr3t"], "{example}");
        if example != "openbao" {
            let stripe: Value = serde_json::from_str(&read(&out, "stripe.json")).unwrap();
            assert_eq!((&stripe["data"]["data"]["key"], &stripe["request_id"]), (&"sk".into(), &"".into()));
        }
    }
    assert_eq!(node.front.count("POST auth/jwt/login"), 1, "{:?}", node.front.counts());
}

#[tokio::test]
async fn the_examples_with_certificates_mount_as_they_are() {
    let node = node().await;
    furnished().await;
    let reply: Value = serde_json::from_str(&read(&mounted(&node, "vault-pki").await, "tls.json")).unwrap();
    let field = |name: &str| reply["data"][name].as_str().unwrap().to_owned();
    let native = mounted(&node, "vault-pki-native").await;
    for (certificate, authority) in
        [(field("certificate"), field("issuing_ca")), (read(&native, "tls.crt"), read(&native, "ca.crt"))]
    {
        assert_eq!(good_for(&certificate, &authority, "web.shop.example"), Ok(()));
    }
    assert!(read(&native, "tls.key").starts_with("-----BEGIN "));
}

const SUBJECT: &str = "system:serviceaccount:shop:web";
