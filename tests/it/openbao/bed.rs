//! One server for all tests, with what they read: it starts with the first of them, and ends with the process. What a
//! test changes has a name of its own; what seals or kills a server has its own server.

use std::time::{Duration, Instant};

use super::admin::Admin;
use super::cluster::{AUDIENCE, Cluster, REVIEWER};
use super::front::Front;
use super::server::{Clients, Server, Storage};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// The server, and the cluster whose tokens it takes.
pub(super) struct Bed {
    pub(super) admin: Admin,
    pub(super) cluster: Cluster,
    pub(super) server: Server,
}

/// The bed that all tests share.
pub(super) async fn bed() -> &'static Bed {
    static BED: OnceCell<Bed> = OnceCell::const_new();
    BED.get_or_init(|| Bed::start(Storage::Memory, Clients::Any)).await
}

/// The kubernetes auth mount, the two jwt ones, and the namespace.
pub(super) const KUBERNETES: &str = "kubernetes";
pub(super) const JWT: &str = "jwt";
pub(super) const DISCOVERY: &str = "jwt-discovery";
pub(super) const NAMESPACE: &str = "team";

impl Bed {
    pub(super) async fn start(storage: Storage, clients: Clients) -> Self {
        let (cluster, server) = (Cluster::start(), Server::start(storage, clients).await);
        let bed = Self { admin: server.admin(), cluster, server };
        bed.furnish().await;
        bed
    }

    /// A proxy of one's own before the server.
    pub(super) fn front(&self) -> Front {
        Front::start(&self.server)
    }

    /// Mounts, policies and roles, outside the namespace and in it.
    async fn furnish(&self) {
        self.engines(&self.admin).await;
        self.kubernetes(&self.admin).await;
        let (ca, url, jwks) = (self.cluster.ca(), self.cluster.url(), self.cluster.jwks());
        for (mount, config) in [
            (JWT, json!({ "jwks_url": jwks, "jwks_ca_pem": ca, "bound_issuer": url })),
            (
                DISCOVERY,
                json!({ "oidc_discovery_url": url, "oidc_discovery_ca_pem": ca, "bound_issuer": url }),
            ),
        ] {
            self.admin.write(&format!("sys/auth/{mount}"), json!({ "type": "jwt" })).await;
            self.admin.write(&format!("auth/{mount}/config"), config).await;
            self.jwt_role(mount, "app", "system:serviceaccount:web:app").await;
        }
        self.admin.write(&format!("sys/namespaces/{NAMESPACE}"), json!({})).await;
        let within = self.admin.within(NAMESPACE);
        self.engines(&within).await;
        self.kubernetes(&within).await;
    }

    async fn engines(&self, admin: &Admin) {
        for (mount, version) in [("kv1", "1"), ("secret", "2")] {
            let body = json!({ "type": "kv", "options": { "version": version } });
            admin.write(&format!("sys/mounts/{mount}"), body).await;
        }
        // A new mount of version 2 refuses for a moment, while it makes itself ready.
        let start = Instant::now();
        let body = json!({ "data": { "value": "ready" } });
        while admin.call("POST", "secret/data/ready", Some(body.clone())).await.is_none_or(|(s, _)| s >= 300)
        {
            assert!(start.elapsed() < Duration::from_secs(20), "the mount is not ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.policy(admin, "app", &["kv1/app/*", "secret/data/app/*", "secret/metadata/app/*"]).await;
        self.policy(admin, "other", &["secret/data/other/*"]).await;
    }

    /// A policy that permits reads below these paths.
    pub(super) async fn policy(&self, admin: &Admin, name: &str, paths: &[&str]) {
        let reads: Vec<_> = paths.iter().map(|path| (*path, "read")).collect();
        self.allow(admin, name, &reads).await;
    }

    /// A policy that permits one operation below each of these paths.
    pub(super) async fn allow(&self, admin: &Admin, name: &str, paths: &[(&str, &str)]) {
        let rule = |(path, operation): &(&str, &str)| {
            format!("path \"{path}\" {{ capabilities = [\"{operation}\"] }}\n")
        };
        let policy: String = paths.iter().map(rule).collect();
        admin.write(&format!("sys/policies/acl/{name}"), json!({ "policy": policy })).await;
    }

    async fn kubernetes(&self, admin: &Admin) {
        admin.write(&format!("sys/auth/{KUBERNETES}"), json!({ "type": "kubernetes" })).await;
        let config = json!({
            "kubernetes_host": self.cluster.url(), "kubernetes_ca_cert": self.cluster.ca(),
            "token_reviewer_jwt": REVIEWER, "disable_local_ca_jwt": true,
        });
        admin.write(&format!("auth/{KUBERNETES}/config"), config).await;
        self.role(admin, "app", &["app*"], json!({})).await;
        self.role(admin, "other", &["other"], json!({})).await;
    }

    /// A role of the kubernetes mount for accounts of namespace `web`, with the policy of its own name unless `more`
    /// says otherwise.
    pub(super) async fn role(&self, admin: &Admin, name: &str, accounts: &[&str], more: Value) {
        let mut role = json!({
            "bound_service_account_names": accounts, "bound_service_account_namespaces": ["web"],
            "audience": AUDIENCE, "token_policies": [name], "token_ttl": "1h", "token_max_ttl": "4h",
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            role[key] = value.clone();
        }
        admin.write(&format!("auth/{KUBERNETES}/role/{name}"), role).await;
    }

    /// A role of a jwt mount for one account, with the policy of its own name.
    pub(super) async fn jwt_role(&self, mount: &str, name: &str, subject: &str) {
        let role = json!({
            "role_type": "jwt", "user_claim": "sub", "bound_audiences": [AUDIENCE], "bound_subject": subject,
            "claim_mappings": { "/kubernetes.io/namespace": "namespace" }, "token_policies": [name], "token_ttl": "1h",
        });
        self.admin.write(&format!("auth/{mount}/role/{name}"), role).await;
    }
}
