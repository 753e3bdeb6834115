//! What goes over the wire: method, path, query, headers and body, to the byte.

use latchkey::error::{Reason, Retry};
use latchkey::model::{Access, Locator};
use latchkey::store::Store as _;

use super::{Bench, TOKEN, VALUE, envelope, field, get, put, whole};
use crate::testkit::{Reply, Request};

/// The headers that are this store's.
fn ours(request: &Request) -> Vec<(&str, &str)> {
    let ours = request.headers.iter().filter(|(name, _)| name.starts_with("x-vault-"));
    let mut ours: Vec<_> = ours.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    ours.sort_unstable();
    ours
}

fn shape(request: &Request) -> (&str, &str, &str) {
    (&request.method, &request.path, std::str::from_utf8(&request.body).unwrap())
}

#[tokio::test]
async fn a_login_is_one_post_of_token_and_role() {
    let mut bench = Bench::start();
    let reply = Reply::new(200, r#"{"auth":{"client_token":"hvs.x"}}"#);
    bench.kit.script_times("/", 2, &reply);
    bench.log_in().await.unwrap();
    (bench.access.namespace, bench.access.mount, bench.access.role) =
        ("team/a".into(), "jwt%20eu/x".into(), "a\"<é".into());
    bench.log_in().await.unwrap();
    let log = bench.kit.take_log();
    let body = format!("{{\"jwt\":\"{}\",\"role\":\"web\"}}", super::JWT);
    assert_eq!(shape(&log[0]), ("POST", "/v1/auth/kubernetes/login", &*body));
    assert_eq!(ours(&log[0]), [("x-vault-request", "true")]);
    let body = format!("{{\"jwt\":\"{}\",\"role\":\"a\\\"\\u003cé\"}}", super::JWT);
    assert_eq!(shape(&log[1]), ("POST", "/v1/auth/jwt%20eu/x/login", &*body));
    assert_eq!(ours(&log[1]), [("x-vault-namespace", "team/a"), ("x-vault-request", "true")]);
    assert_eq!(log.len(), 2);
}

#[tokio::test]
async fn a_read_is_what_its_locator_says() {
    let mut bench = Bench::start();
    let reply = Reply::new(200, envelope("{\"a\":\"b\"}"));
    bench.kit.route("*", move |_| reply.clone());
    let method = |method: &str, path: &str| {
        let mut locator = get(path);
        locator.method = method.into();
        locator
    };
    for (locator, wanted) in [
        (get("kv/data/a%2Fb?version=2&x="), ("GET", "/v1/kv/data/a%2Fb?version=2&x=", "")),
        (put("pki/issue/web", "{\"cn\":\"x\"}"), ("PUT", "/v1/pki/issue/web", "{\"cn\":\"x\"}")),
        (method("LIST", "kv/metadata"), ("LIST", "/v1/kv/metadata", "")),
        (method("get", "kv/x"), ("get", "/v1/kv/x", "")),
        (get(""), ("GET", "/v1", "")),
        (get("?list=true"), ("GET", "/v1?list=true", "")),
    ] {
        bench.read(locator).await.map_err(|fault| bench.told(&fault)).unwrap();
        let log = bench.kit.take_log();
        assert_eq!((log.len(), shape(&log[0])), (1, wanted));
        assert_eq!(ours(&log[0]), [("x-vault-request", "true"), ("x-vault-token", TOKEN)]);
    }
    bench.access.namespace = "team".into();
    bench.read(get("kv/x")).await.map_err(drop).unwrap();
    assert!(ours(&bench.kit.take_log()[0]).contains(&("x-vault-namespace", "team")));
}

#[tokio::test]
async fn a_standby_is_told_how_far_the_login_was() {
    let bench = Bench::start();
    let login = Reply::new(200, r#"{"auth":{"client_token":"hvs.x"}}"#).header("x-vault-index", "djE6abc=");
    bench.kit.script("/v1/auth", login);
    bench.kit.script("/v1/kv", Reply::new(200, envelope("{\"a\":1}")));
    let session = bench.log_in().await.unwrap();
    let (access, wanted) = (Access::Vault(bench.access.clone()), [Locator::Vault(get("kv/x"))]);
    assert!(bench.store.fetch(&bench.cx, &session, &access, &wanted).await[0].is_ok());
    let log = bench.kit.take_log();
    let wanted = [("x-vault-index", "djE6abc="), ("x-vault-request", "true"), ("x-vault-token", "hvs.x")];
    assert_eq!(ours(&log[1]), wanted);
}

#[tokio::test]
async fn one_request_brings_every_field_and_the_whole() {
    let bench = Bench::start();
    bench.kit.script("/", Reply::new(200, envelope(r#"{"username":"u","password":"p"}"#)));
    let material = bench.read(get("database/x")).await.unwrap_or_else(|_| panic!());
    assert_eq!(field(&material, "username").as_deref(), Some("u"));
    assert_eq!(field(&material, "password").as_deref(), Some("p"));
    assert!(whole(&material).contains(r#""data":{"password":"p","username":"u"}"#));
    assert_eq!(bench.kit.requests(), 1);
}

#[tokio::test]
async fn several_objects_are_answered_in_their_order_and_fail_alone() {
    let bench = Bench::start();
    bench.kit.route("*", |request| match &*request.path {
        "/v1/kv/denied" => Reply::new(403, r#"{"errors":["permission denied"]}"#),
        path => Reply::new(200, envelope(&format!("{{\"path\":\"{path}\"}}"))),
    });
    let paths = ["kv/c", "kv/denied", "kv/a", "kv/b"];
    let wanted = paths.map(|path| Locator::Vault(get(path)));
    let access = Access::Vault(bench.access.clone());
    let all = bench.store.fetch(&bench.cx, &bench.session(), &access, &wanted).await;
    let found = all.iter().map(|one| one.as_ref().ok().and_then(|one| field(one, "path")));
    let v1 = |path: &str| Some(format!("/v1/{path}"));
    assert_eq!(found.collect::<Vec<_>>(), [v1("kv/c"), None, v1("kv/a"), v1("kv/b")]);
    assert_eq!(all[1].as_ref().err().unwrap().problem.reason, Reason::Forbidden);
}

#[tokio::test]
async fn what_cannot_be_said_in_http_reaches_nobody() {
    let mut bench = Bench::start();
    for method in ["GE T", "", "GET\r\n", "CONNECT"] {
        let mut locator = get("kv/x");
        locator.method = method.into();
        let fault = bench.read(locator).await.err().unwrap();
        assert_eq!(
            (fault.problem.reason, fault.retry, fault.doubtful),
            (Reason::Invalid, Retry::Never, false)
        );
        assert!(
            bench
                .told(&fault)
                .ends_with("` is no method that reads a path; correct the method, or leave it out")
        );
    }
    bench.access.namespace = "a\nx-evil: 1".into();
    for fault in [bench.log_in().await.err().unwrap(), bench.read(get("kv/x")).await.err().unwrap()] {
        assert_eq!((fault.problem.reason, fault.retry), (Reason::Invalid, Retry::Never));
        assert!(bench.told(&fault).contains("the namespace `a\\nx-evil: 1` has characters"));
    }
    assert_eq!(bench.kit.connections(), 0);
}

#[tokio::test]
async fn arguments_are_sent_and_shown_as_a_digest_only() {
    let bench = Bench::start();
    let locator = put("transit/x", &format!("{{\"plaintext\":\"{VALUE}\"}}"));
    let shown = format!("{locator} {locator:?}");
    assert!(!shown.contains(VALUE) && shown.starts_with("PUT transit/x args "), "{shown}");
    bench.kit.script("/", Reply::new(500, format!("{{\"errors\":[\"no\"],\"data\":\"{VALUE}\"}}")));
    let fault = bench.read(locator).await.err().unwrap();
    assert_eq!(bench.told(&fault), "at SITE: the server failed (500): no");
    assert!(bench.kit.take_log()[0].json()["plaintext"] == VALUE);
}
