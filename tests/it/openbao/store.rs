//! Vault's store before the real server: what it reads, and what it says when the server refuses.

use std::sync::Arc;
use std::time::Duration;

use latchkey::clock::Clock;
use latchkey::error::{Fault, Reason, Retry};
use latchkey::model::locator::vault;
use latchkey::model::{Access, Audience, Endpoint, Locator, Material, StoreName};
use latchkey::net::Net;
use latchkey::store::vault::Vault;
use latchkey::store::{Renew, Revoke, Session, Store as _};
use latchkey::telemetry::Metrics;
use serde_json::{Value, json};

use super::bed::{Bed, DISCOVERY, JWT, KUBERNETES, NAMESPACE, bed};
use super::cluster::{AUDIENCE, forged, unsigned};
use crate::contract::{Identity, cx};
use crate::support::issuer::now;
use crate::testkit::Reply;

/// The store, with connections of its own.
pub(super) fn vault() -> Vault {
    let net = Net::new(
        latchkey::net::Config::default(),
        Clock::system(),
        Metrics::new("test", false, Clock::system()),
    );
    Vault::new(Arc::new(net.map_err(|problem| problem.to_string()).expect("outgoing HTTP")))
}

/// A role at the kubernetes mount of a server.
pub(super) fn access(endpoint: Endpoint, role: &str) -> Access {
    Access::Vault(settings(endpoint, role))
}

fn settings(endpoint: Endpoint, role: &str) -> vault::Access {
    vault::Access {
        store: StoreName::parse("vault").unwrap(),
        endpoint,
        namespace: "".into(),
        mount: KUBERNETES.into(),
        role: role.into(),
        audience: Audience::new(AUDIENCE),
        flavour: vault::Flavour::Vault,
    }
}

pub(super) fn locator(path: &str) -> Locator {
    Locator::Vault(vault::Locator { method: vault::GET.into(), path: path.into(), args: None })
}

/// A pod, and a store that it is served by.
pub(super) struct Pod {
    store: Vault,
    pub(super) identity: Identity,
}

impl Pod {
    pub(super) fn new(jwt: String, access: Access) -> Self {
        Self { store: vault(), identity: Identity::new("app", jwt, access) }
    }

    /// `web/app` with its own token and role.
    pub(super) fn app(bed: &Bed) -> Self {
        Self::new(bed.cluster.token("app"), access(bed.server.endpoint(), "app"))
    }

    pub(super) async fn log_in(&self) -> Result<Session, Fault> {
        self.store.authenticate(&cx(), &self.identity.access, self.identity.proof()).await
    }

    pub(super) async fn session(&self) -> Session {
        self.log_in().await.map_err(|fault| fault.problem.to_string()).expect("a login")
    }

    pub(super) async fn read(&self, session: &Session, path: &str) -> Result<Material, Fault> {
        let answers = self.store.fetch(&cx(), session, &self.identity.access, &[locator(path)]).await;
        let [answer] = <[_; 1]>::try_from(answers).ok().expect("one answer");
        answer
    }

    /// A field of what is there.
    pub(super) async fn value(&self, session: &Session, path: &str, field: &str) -> String {
        let material = self.read(session, path).await.map_err(|fault| fault.problem.to_string());
        let material = material.expect("it is there");
        String::from_utf8(material.parts[0].fields[field].expose().to_vec()).unwrap()
    }

    async fn refused(&self, session: &Session, path: &str) -> Fault {
        self.read(session, path).await.err().expect("it is refused")
    }
}

#[tokio::test]
async fn pods_log_in_at_every_kind_of_mount() {
    let bed = bed().await;
    bed.admin.write("kv1/app/mounts", json!({ "value": "of version 1" })).await;
    bed.admin.write("secret/data/app/mounts", json!({ "data": { "value": "of version 2" } })).await;
    for mount in [KUBERNETES, JWT, DISCOVERY] {
        let settings = vault::Access { mount: mount.into(), ..settings(bed.server.endpoint(), "app") };
        let pod = Pod::new(bed.cluster.token("app"), Access::Vault(settings));
        let session = pod.session().await;
        assert_eq!(pod.value(&session, "kv1/app/mounts", "value").await, "of version 1");
        assert_eq!(pod.value(&session, "secret/data/app/mounts", "value").await, "of version 2");
        let lives = session.life.until.expect("it ends") - session.life.from;
        assert!(lives > Duration::from_secs(3500) && lives <= Duration::from_secs(3600), "{lives:?}");
    }
}

/// Each token, at each mount, is refused by the server, and its words are in what we say.
#[tokio::test]
async fn bad_tokens_are_refused_in_the_servers_words() {
    let bed = bed().await;
    let good = bed.cluster.claims("app");
    let with = |pointer: &str, value: Value| {
        let mut claims = good.clone();
        *claims.pointer_mut(pointer).unwrap() = value;
        claims
    };
    let mut elsewhere = with("/sub", json!("system:serviceaccount:shop:app"));
    elsewhere["kubernetes.io"]["namespace"] = json!("shop");
    let cluster = &bed.cluster;
    for (token, words) in [
        (cluster.sign(&with("/exp", json!(now() - 600))), ["token is expired", "token is expired"]),
        (cluster.sign(&with("/nbf", json!(now() + 600))), ["token not yet valid", "token not yet valid"]),
        (forged(&good), ["permission denied", "failed to verify id token signature"]),
        (unsigned(&good), ["permission denied", "unexpected signature algorithm \"none\""]),
        (cluster.sign(&with("/aud", json!(["other"]))), ["invalid audience (aud) claim"; 2]),
        (cluster.token("stranger"), ["service account name not authorized", "invalid subject (sub) claim"]),
        (cluster.sign(&elsewhere), ["namespace not authorized", "invalid subject (sub) claim"]),
    ] {
        for (mount, words) in [(KUBERNETES, words[0]), (JWT, words[1]), (DISCOVERY, words[1])] {
            let settings = vault::Access { mount: mount.into(), ..settings(bed.server.endpoint(), "app") };
            let fault = Pod::new(token.clone(), Access::Vault(settings)).log_in().await.err();
            let fault = fault.expect("a bad token is refused");
            let text = fault.problem.to_string();
            assert_eq!((fault.problem.reason, fault.retry), (Reason::Login, Retry::Never), "{text}");
            assert!(text.contains(words), "`{words}` is not in: {text}");
            assert!(token.split('.').skip(1).all(|part| part.is_empty() || !text.contains(part)), "{text}");
        }
    }
}

#[tokio::test]
async fn a_role_or_a_mount_that_is_not_there_is_told_apart_from_an_object() {
    let bed = bed().await;
    for (mount, role) in [(KUBERNETES, "no-such-role"), ("no-such-mount", "app")] {
        let settings = vault::Access { mount: mount.into(), ..settings(bed.server.endpoint(), role) };
        let fault = Pod::new(bed.cluster.token("app"), Access::Vault(settings)).log_in().await.err().unwrap();
        assert!(matches!(fault.problem.reason, Reason::Login | Reason::Setup), "{}", fault.problem);
    }
}

#[tokio::test]
async fn versions_of_an_object_are_read_deleted_and_described() {
    let bed = bed().await;
    for value in ["one", "two", "three"] {
        bed.admin.write("secret/data/app/history", json!({ "data": { "value": value } })).await;
    }
    let pod = Pod::app(bed);
    let session = pod.session().await;
    assert_eq!(pod.value(&session, "secret/data/app/history", "value").await, "three");
    assert_eq!(pod.value(&session, "secret/data/app/history?version=1", "value").await, "one");
    bed.admin.write("secret/delete/app/history", json!({ "versions": [1] })).await;
    bed.admin.write("secret/destroy/app/history", json!({ "versions": [2] })).await;
    for version in [1, 2, 9] {
        let fault = pod.refused(&session, &format!("secret/data/app/history?version={version}")).await;
        assert_eq!(fault.problem.reason, Reason::NotFound, "{version}: {}", fault.problem);
    }
    assert_eq!(pod.value(&session, "secret/metadata/app/history", "current_version").await, "3");
    bed.admin.delete("secret/data/app/history").await;
    let fault = pod.refused(&session, "secret/data/app/history").await;
    assert_eq!(fault.problem.reason, Reason::NotFound, "{}", fault.problem);
}

#[tokio::test]
async fn a_namespace_has_its_own_objects_and_its_own_logins() {
    let bed = bed().await;
    let within = bed.admin.within(NAMESPACE);
    bed.admin.write("secret/data/app/spaces", json!({ "data": { "value": "outer" } })).await;
    within.write("secret/data/app/spaces", json!({ "data": { "value": "inner" } })).await;
    let inner = vault::Access { namespace: NAMESPACE.into(), ..settings(bed.server.endpoint(), "app") };
    let inner = Pod::new(bed.cluster.token("app"), Access::Vault(inner));
    let outer = Pod::app(bed);
    let (in_session, out_session) = (inner.session().await, outer.session().await);
    assert_eq!(inner.value(&in_session, "secret/data/app/spaces", "value").await, "inner");
    assert_eq!(outer.value(&out_session, "secret/data/app/spaces", "value").await, "outer");
    assert_ne!(in_session.authority, out_session.authority, "one account, two namespaces");
    let fault = outer.refused(&in_session, "secret/data/app/spaces").await;
    assert!(matches!(fault.problem.reason, Reason::Forbidden | Reason::Login), "{}", fault.problem);
}

#[tokio::test]
async fn a_session_is_renewed_and_revoked_with_all_that_it_could_do() {
    let bed = bed().await;
    bed.admin.write("secret/data/app/self", json!({ "data": { "value": "there" } })).await;
    let pod = Pod::app(bed);
    let session = pod.session().await;
    // Behind a line break stands what only a standby wants to know.
    let token = std::str::from_utf8(session.credential.expose()).unwrap().lines().next().unwrap();
    let own = bed.admin.holding(token);
    assert_eq!(own.read("auth/token/lookup-self").await["data"]["meta"]["service_account_name"], "app");
    let (store, access) = (&pod.store, &pod.identity.access);
    let grant = store.renew(&cx(), &session, access, Renew::Session).await;
    let grant = grant.map_err(|fault| fault.problem.to_string()).unwrap();
    assert!(grant.renewable && grant.granted > Duration::from_secs(3500), "{grant:?}");
    let ended = store.revoke(&cx(), &session, access, Revoke::Session).await;
    ended.map_err(|fault| fault.problem.to_string()).unwrap();
    assert_eq!(own.call("GET", "auth/token/lookup-self", None).await.unwrap().0, 403, "the token is dead");
    let fault = pod.refused(&session, "secret/data/app/self").await;
    assert_eq!(fault.retry, Retry::Login, "{}", fault.problem);
    assert_eq!(pod.value(&pod.session().await, "secret/data/app/self", "value").await, "there");
}

/// The server says `403` to both: what the session itself may still do tells them apart.
#[tokio::test]
async fn a_right_that_is_withdrawn_is_forbidden_and_no_reason_to_log_in_again() {
    let bed = bed().await;
    bed.policy(&bed.admin, "withdrawn", &["secret/data/withdrawn/*"]).await;
    bed.role(&bed.admin, "withdrawn", &["app"], json!({})).await;
    bed.admin.write("secret/data/withdrawn/x", json!({ "data": { "value": "there" } })).await;
    let front = bed.front();
    let pod = Pod::new(bed.cluster.token("app"), access(front.endpoint(), "withdrawn"));
    let session = pod.session().await;
    assert_eq!(pod.value(&session, "secret/data/withdrawn/x", "value").await, "there");
    bed.admin.delete("sys/policies/acl/withdrawn").await;
    front.reset();
    let fault = pod.refused(&session, "secret/data/withdrawn/x").await;
    assert_eq!((fault.problem.reason, fault.retry), (Reason::Forbidden, Retry::Never), "{}", fault.problem);
    assert!(fault.problem.to_string().contains("permission denied"), "{}", fault.problem);
    assert_eq!((front.count("GET secret/data/withdrawn/x"), front.count("login")), (1, 0));
}

#[tokio::test]
async fn a_login_and_a_read_are_one_request_each() {
    let bed = bed().await;
    bed.admin.write("secret/data/app/counted", json!({ "data": { "value": "there" } })).await;
    let front = bed.front();
    let pod = Pod::new(bed.cluster.token("app"), access(front.endpoint(), "app"));
    let session = pod.session().await;
    pod.value(&session, "secret/data/app/counted", "value").await;
    let expected = [("GET secret/data/app/counted", 1), ("POST auth/kubernetes/login", 1)];
    assert_eq!(front.counts(), expected.map(|(key, count)| (key.to_owned(), count)).into());
}

/// One attempt each: whoever wants another makes it.
#[tokio::test]
async fn a_refusal_of_the_servers_is_not_tried_again_by_the_store() {
    let bed = bed().await;
    let front = bed.front();
    let pod = Pod::new(bed.cluster.token("app"), access(front.endpoint(), "app"));
    let session = pod.session().await;
    for (status, reason) in [(429, Reason::Throttled), (500, Reason::Upstream), (503, Reason::Upstream)] {
        front
            .kit
            .script("/v1/secret/data/app/refused", Reply::json(status, &json!({ "errors": ["not now"] })));
        let before = front.kit.requests();
        let fault = pod.refused(&session, "secret/data/app/refused").await;
        assert_eq!(fault.problem.reason, reason, "{status}: {}", fault.problem);
        assert_ne!(fault.retry, Retry::Never, "{status}");
        assert_eq!(front.kit.requests() - before, 1, "{status}");
    }
}
