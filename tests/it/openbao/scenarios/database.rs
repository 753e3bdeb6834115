//! Scenarios 6 and 7: users that a real database knows. They need PostgreSQL beside the server; `tests/run` says so where
//! it cannot be had.

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::super::examples;
use super::super::node::{Counted, holding};
use super::super::postgres::{MAKER, PASSWORD, Postgres};
use super::{Class, DOMAIN, SOCKETS, furnished, text};

/// The database, and the engine before it.
async fn database() -> &'static Postgres {
    static DATABASE: OnceCell<Postgres> = OnceCell::const_new();
    let bed = furnished().await;
    let start = async || {
        let postgres = Postgres::start().await;
        bed.admin.write("sys/mounts/database", json!({ "type": "database" })).await;
        let config = json!({
            "plugin_name": "postgresql-database-plugin", "allowed_roles": ["shop", "web"],
            "connection_url": postgres.url(), "username": MAKER, "password": PASSWORD,
        });
        bed.admin.write("database/config/shop", config).await;
        let make = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";
        let role = json!({ "db_name": "shop", "creation_statements": [make], "default_ttl": "1h" });
        for name in ["shop", "web"] {
            bed.admin.write(&format!("database/roles/{name}"), role.clone()).await;
        }
        postgres
    };
    DATABASE.get_or_init(start).await
}

const USER: &str = "- { objectName: db/user, secretPath: database/creds/shop, secretKey: username }\n\
                    - { objectName: db/password, secretPath: database/creds/shop, secretKey: password }\n";

#[tokio::test]
async fn s_06_user_and_password_are_of_one_call_and_the_database_takes_them() {
    let postgres = database().await;
    for provider in SOCKETS {
        let node = Counted::start("", "").await;
        let files = Class::new(provider, "shop-db", USER).files(&node, &holding("shop-db", 6).await).await;
        assert_eq!(node.front.count("GET database/creds/shop"), 1, "{:?}", node.front.counts());
        let (user, password) = (text(&files["db/user"]), text(&files["db/password"]));
        assert_eq!(postgres.log_in(user, password).as_deref(), Some(user), "{provider}");
        assert_eq!(postgres.log_in(user, "another"), None, "it does ask for a password");
        assert_eq!(postgres.made(user), 1, "{provider}: one user, and not one for each file");
    }
}

#[tokio::test]
async fn s_07_database_static_secret_and_certificate_are_one_volume() {
    let postgres = database().await;
    for provider in SOCKETS {
        let node = Counted::start("", "").await;
        let objects = format!(
            "{USER}- {{ objectName: user, secretPath: secret/data/shop/till, secretKey: user }}\n- objectName: tls.json\n  \
             secretPath: /v1/pki/issue/shop\n  method: PUT\n  secretArgs: {{ common_name: all.{DOMAIN} }}\n"
        );
        let files =
            Class::new(provider, "shop-all", &objects).files(&node, &holding("shop-all", 7).await).await;
        assert_eq!(files.keys().collect::<Vec<_>>(), ["db/password", "db/user", "tls.json", "user"]);
        let user = text(&files["db/user"]);
        assert_eq!(postgres.log_in(user, text(&files["db/password"])).as_deref(), Some(user), "{provider}");
        assert_eq!(text(&files["user"]), "clerk");
        let reply: Value = serde_json::from_str(text(&files["tls.json"])).unwrap();
        assert!(reply["data"]["certificate"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
        assert_eq!(node.front.count("login"), 1, "{:?}", node.front.counts());
    }
}

#[tokio::test]
async fn the_example_with_a_database_mounts_as_it_is() {
    let postgres = database().await;
    let node = examples::node().await;
    let out = examples::mounted(&node, "vault-database").await;
    let read = |path: &str| std::fs::read_to_string(out.join(path)).unwrap();
    let user = read("username");
    assert_eq!(postgres.log_in(&user, &read("password")), Some(user));
}
