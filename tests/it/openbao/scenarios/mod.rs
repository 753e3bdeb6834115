//! What users of the upstream providers do, scenario by scenario, on both sockets: classes as they write them, a volume
//! as the driver writes it, the real server behind an agent of its own. The number in a test's name is that of the
//! upstream suites' own test; what needs a cluster (2, the Secret made of the files; 3, a class of another namespace) is
//! shown there.

mod basic;
mod database;
mod identity;
mod mutual;
mod versions;

use std::collections::BTreeMap;

use latchkey::clock::Clock;
use latchkey::driver::{Pod, request};
use serde_json::json;
use tokio::sync::OnceCell;

pub(super) use self::basic::good_for;
pub(super) use self::versions::write_key;
use super::bed::{Bed, JWT, bed};
use super::node::{Node, owned};
use crate::support::driver_like::{DriverLike, Outcome, Release};

/// The sockets of the two upstream providers.
const SOCKETS: [&str; 2] = ["vault", "openbao"];

/// How a provider's users spell a parameter.
fn spelled(provider: &str, suffix: &str) -> String {
    match (provider, suffix) {
        ("vault", "RoleName") => "roleName".to_owned(),
        ("vault", _) => format!("vault{suffix}"),
        _ => format!("bao{suffix}"),
    }
}

/// A class of one of the providers.
struct Class {
    provider: &'static str,
    parameters: BTreeMap<String, String>,
}

impl Class {
    fn new(provider: &'static str, role: &str, objects: &str) -> Self {
        Self { provider, parameters: owned(&[("objects", objects)]) }.with("RoleName", role)
    }

    /// With a parameter, by what stands behind its prefix.
    fn with(mut self, suffix: &str, value: &str) -> Self {
        self.parameters.insert(spelled(self.provider, suffix), value.to_owned());
        self
    }

    /// With the audience of the pod's token.
    fn audience(mut self, audience: &str) -> Self {
        self.parameters.insert("audience".to_owned(), audience.to_owned());
        self
    }

    /// A volume of it, as the driver and kubelet publish it.
    fn volume(&self, node: &Node, pod: &Pod) -> DriverLike {
        let socket = node.agent.path(&format!("sockets/{}.sock", self.provider));
        let (parameters, pod) = (self.parameters.clone(), pod.clone());
        let release = Release::V16 { poll: None };
        DriverLike::new(&socket, Clock::system(), release, move |flavour| {
            request("class", &parameters, &pod, flavour)
        })
    }

    /// A volume that is published: what the container sees of it.
    async fn files(&self, node: &Node, pod: &Pod) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut volume = self.volume(node, pod);
        let outcome = volume.publish().await;
        assert!(matches!(outcome, Outcome::Asked(_)), "{}: {outcome:?}", self.provider);
        volume.sees().expect("the container has started")
    }

    /// A volume that is not published: the code and the text of the pod's event.
    async fn refused(&self, node: &Node, pod: &Pod) -> (&'static str, String) {
        match self.volume(node, pod).publish().await {
            Outcome::Failed(refusal) => (refusal.name(), refusal.text),
            outcome @ (Outcome::Asked(_) | Outcome::Skipped | Outcome::Masked(_)) => {
                panic!("{}: {outcome:?}", self.provider)
            }
        }
    }
}

fn text(file: &(u32, Vec<u8>)) -> &str {
    std::str::from_utf8(&file.1).expect("text")
}

/// The shared bed with what the scenarios read: secrets, an authority, and a role for each kind of account.
pub(super) async fn furnished() -> &'static Bed {
    static FURNISHED: OnceCell<()> = OnceCell::const_new();
    let bed = bed().await;
    FURNISHED.get_or_init(|| furnish(bed)).await;
    bed
}

async fn furnish(bed: &Bed) {
    let admin = &bed.admin;
    for (path, fields) in [
        ("shop/till", json!({ "user": "clerk", "password": "till-and-drawer" })),
        ("shop/key", json!({ "binary": "AAEC/w==" })),
    ] {
        admin.write(&format!("secret/data/{path}"), json!({ "data": fields })).await;
    }
    admin.write("sys/mounts/pki", json!({ "type": "pki" })).await;
    admin.write("pki/root/generate/internal", json!({ "common_name": DOMAIN, "ttl": "24h" })).await;
    let role = json!({ "allowed_domains": DOMAIN, "allow_subdomains": true, "max_ttl": "12h" });
    for name in ["shop", "web"] {
        admin.write(&format!("pki/roles/{name}"), role.clone()).await;
    }
    let (kv, pki) = (("secret/data/shop/*", "read"), ("pki/issue/shop", "update"));
    let db = ("database/creds/shop", "read");
    for (role, paths) in
        [("shop-kv", &[kv][..]), ("shop-pki", &[pki]), ("shop-db", &[db]), ("shop-all", &[kv, pki, db])]
    {
        bed.allow(admin, role, paths).await;
        bed.role(admin, role, &[role], json!({ "token_ttl": "20m" })).await;
    }
    let custom = json!({ "audience": CUSTOM, "token_policies": ["shop-kv"] });
    bed.role(admin, "shop-custom", &["shop-kv"], custom).await;
    bed.jwt_role(JWT, "shop-kv", "system:serviceaccount:web:shop-kv").await;
}

const DOMAIN: &str = "shop.example";
/// An audience that the CSIDriver does not ask tokens for.
const CUSTOM: &str = "shop-audience";
