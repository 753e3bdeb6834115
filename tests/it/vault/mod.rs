//! The Vault store against a scripted server: what goes over the wire, and what comes of each answer. Every failure that
//! is looked at here is searched for the tokens and values of the test.

mod keeping;
mod login;
mod redirects;
mod refusals;
mod replies;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use latchkey::clock::{Clock, Span};
use latchkey::error::Fault;
use latchkey::model::locator::vault::{self, Flavour};
use latchkey::model::{
    Access, AccountName, Audience, Claims, Locator, Material, Namespace, Origin, StoreName, Subject, Token,
};
use latchkey::net::{self, Net};
use latchkey::room::Room;
use latchkey::secret::{DigestKey, Secret};
use latchkey::store::vault::Vault;
use latchkey::store::{Authority, Cx, Proof, Session, Store as _};
use latchkey::telemetry::Metrics;
use zeroize::Zeroizing;

use crate::testkit::{Identity, Reply, Testkit};

/// A server, and the store that asks it.
struct Bench {
    kit: Testkit,
    store: Vault,
    cx: Cx,
    access: vault::Access,
}

impl Bench {
    fn start() -> Self {
        let clock = Clock::system();
        let kit = Testkit::start_as(Identity::Plain);
        let metrics = Metrics::new("test", false, clock);
        let net = Net::new(net::Config::default(), clock, metrics).unwrap();
        let cx = Cx {
            clock,
            deadline: clock.now() + Duration::from_secs(20),
            digests: Arc::new(DigestKey::new(&[3; 32])),
            claim: Room::new(16 << 20).claim(),
        };
        let access = vault::Access {
            store: StoreName::parse("vault").unwrap(),
            endpoint: kit.endpoint(Origin::Administrator),
            namespace: "".into(),
            mount: "kubernetes".into(),
            role: "web".into(),
            audience: Audience::new("vault"),
            flavour: Flavour::Vault,
        };
        Self { kit, store: Vault::new(Arc::new(net)), cx, access }
    }

    async fn log_in(&self) -> Result<Session, Fault> {
        let claims = Claims { id: None, not_before: None, expires: None };
        let token = Token { raw: secret(JWT), claims };
        let subject = Subject {
            namespace: Namespace::parse("shop").unwrap(),
            account: AccountName::parse("web").unwrap(),
            pod: None,
        };
        let access = Access::Vault(self.access.clone());
        self.store.authenticate(&self.cx, &access, Proof::Token(&token, &subject)).await
    }

    /// Reads through a session that nobody logged in for.
    async fn read(&self, locator: vault::Locator) -> Result<Material, Fault> {
        let access = Access::Vault(self.access.clone());
        let wanted = [Locator::Vault(locator)];
        let mut all = self.store.fetch(&self.cx, &self.session(), &access, &wanted).await;
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    /// Reads what is answered so.
    async fn answered(&self, reply: Reply) -> Result<Material, Fault> {
        self.kit.script("/v1/", reply);
        self.read(get("kv/x")).await
    }

    fn session(&self) -> Session {
        let from = self.cx.clock.now();
        let authority = Authority(self.cx.digests.digest(&[b"test"]));
        Session { credential: secret(TOKEN), authority, life: Span { from, until: None } }
    }

    /// How a failure reads, which is without anything secret, in whatever form it is shown.
    fn told(&self, fault: &Fault) -> String {
        let text = fault.problem.to_string();
        for secret in [JWT, TOKEN, VALUE, "hvs.", "CANARY"] {
            assert!(!format!("{text} {fault:?}").contains(secret), "{secret} in {text}");
        }
        text.replace(&self.access.endpoint.address.site(), "SITE")
    }
}

/// Whom a login is for.
const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.CANARY-signature";
const TOKEN: &str = "hvs.CANARY-token";
const VALUE: &str = "CANARY-value";

fn secret(text: &str) -> Secret {
    Secret::new(Zeroizing::new(text.as_bytes().to_vec()))
}

fn get(path: &str) -> vault::Locator {
    vault::Locator { method: vault::GET.into(), path: path.into(), args: None }
}

fn put(path: &str, json: &str) -> vault::Locator {
    let args = vault::Args::new(secret(json), &DigestKey::new(&[4; 32]));
    vault::Locator { method: "PUT".into(), path: path.into(), args: Some(args) }
}

/// A reply of the usual form.
fn envelope(data: &str) -> String {
    format!(
        "{{\"request_id\":\"5c9a3f4e\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,\"data\":{data},\
         \"wrap_info\":null,\"warnings\":null,\"auth\":null}}\n"
    )
}

fn whole(material: &Material) -> String {
    String::from_utf8(material.parts[0].body.expose().to_vec()).unwrap()
}

fn field(material: &Material, name: &str) -> Option<String> {
    let value = material.parts[0].fields.get(name)?;
    Some(String::from_utf8(value.expose().to_vec()).unwrap())
}
