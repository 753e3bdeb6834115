//! The examples for Vault and OpenBao, as they are, by the command, as an administrator runs it.

use serde_json::{Value, json};

use super::bed::bed;
use super::node::Counted;

#[tokio::test]
async fn the_examples_for_vault_mount_as_they_are() {
    let (node, bed) = (Counted::start("", "").await, bed().await);
    let db = json!({ "data": { "username": "web", "password": "s3cr3t" } });
    bed.admin.write("secret/data/db", db).await;
    bed.admin.write("secret/data/stripe", json!({ "data": { "key": "sk" } })).await;
    bed.policy(&bed.admin, "web", &["secret/data/db", "secret/data/stripe"]).await;
    let bound = json!({ "bound_service_account_namespaces": ["shop"] });
    bed.role(&bed.admin, "web", &["web"], bound).await;
    let mut claims = bed.cluster.claims("web");
    claims["sub"] = json!("system:serviceaccount:shop:web");
    claims["kubernetes.io"] = json!({ "namespace": "shop", "serviceaccount": { "name": "web", "uid": "u" } });
    std::fs::write(node.agent.path("token"), bed.cluster.sign(&claims)).unwrap();
    for example in ["vault", "vault-native"] {
        let (class, out) = (format!("examples/{example}.yaml"), node.agent.path(example));
        std::fs::create_dir(&out).unwrap();
        node.command(class.as_ref(), "web", &out).await;
        let read = |path: &str| std::fs::read_to_string(out.join(path)).unwrap();
        assert_eq!([read("db/username"), read("db/password")], ["web", "s3cr3t"]);
        let stripe: Value = serde_json::from_str(&read("stripe.json")).unwrap();
        assert_eq!((&stripe["data"]["data"]["key"], &stripe["request_id"]), (&"sk".into(), &"".into()));
    }
}
