//! What a login's answer means: for how long, for whom, and what is wrong with it.

use std::time::Duration;

use latchkey::error::{Reason, Retry};
use latchkey::store::Authority;

use super::{Bench, VALUE};
use crate::testkit::Reply;

/// The `auth` of a kubernetes login, with one part put in the place of another.
fn auth(old: &str, new: &str) -> String {
    let auth = r#"{"client_token":"hvs.one","accessor":"acc-1","policies":["default","web"],
        "token_policies":["default","web"],"identity_policies":["team"],
        "metadata":{"role":"web","service_account_name":"web","service_account_namespace":"shop"},
        "lease_duration":3600,"renewable":true,"entity_id":"entity-1","token_type":"service","num_uses":0}"#;
    assert!(old.is_empty() || auth.contains(old), "{old}");
    format!("{{\"auth\":{}}}", if old.is_empty() { auth.to_owned() } else { auth.replace(old, new) })
}

async fn authority(bench: &Bench, body: &str) -> Authority {
    bench.kit.script("/", Reply::new(200, body));
    bench.log_in().await.unwrap().authority
}

#[tokio::test]
async fn it_lasts_as_long_as_the_answer_says() {
    let bench = Bench::start();
    for (old, new, seconds) in [
        ("", "", Some(3600)),
        ("\"lease_duration\":3600", "\"lease_duration\":1", Some(1)),
        ("\"lease_duration\":3600", "\"lease_duration\":0", None),
        ("\"lease_duration\":3600,", "", None),
        ("\"lease_duration\":3600", "\"lease_duration\":-5", Some(0)),
        // What may be used so many times only is used by the mount that made it, and not kept.
        ("\"num_uses\":0", "\"num_uses\":3", Some(0)),
    ] {
        bench.kit.script("/", Reply::new(200, auth(old, new)));
        let before = bench.cx.clock.now();
        let life = bench.log_in().await.unwrap().life;
        assert!(life.from >= before && life.from <= bench.cx.clock.now(), "from before it was sent");
        assert_eq!(life.until.map(|end| end.since(life.from)), seconds.map(Duration::from_secs), "{new}");
    }
}

#[tokio::test]
async fn the_authority_is_what_the_server_said_of_the_identity() {
    let bench = Bench::start();
    let first = authority(&bench, &auth("", "")).await;
    for (old, new) in [
        ("hvs.one", "hvs.two"),
        ("acc-1", "acc-2"),
        ("3600", "60"),
        (r#""policies":["default","web"]"#, r#""policies":["web","default"]"#),
        (r#""role":"web","service_account_name":"web""#, r#""service_account_name":"web","role":"web""#),
        // The same policies, told in other lists.
        (r#""identity_policies":["team"]"#, r#""identity_policies":["web","team"]"#),
    ] {
        assert_eq!(authority(&bench, &auth(old, new)).await, first, "{new}");
    }
    for (old, new) in [
        ("entity-1", "entity-2"),
        (r#""identity_policies":["team"]"#, r#""identity_policies":null"#),
        (r#""policies":["default","web"]"#, r#""policies":["default","web","more"]"#),
        (r#""service_account_name":"web""#, r#""service_account_name":"job""#),
        (r#""role":"web","#, ""),
        (r#""role":"web""#, r#""rol":"eweb""#),
        // As many texts in the same order, but one is a policy and not a name of the metadata.
        (
            r#"["team"],
        "metadata":{"role":"web","#,
            r#"["team","zz"],
        "metadata":{"role":"web","#,
        ),
    ] {
        assert_ne!(authority(&bench, &auth(old, new)).await, first, "{new}");
    }
    let mut other = bench;
    other.access.namespace = "team".into();
    assert_ne!(authority(&other, &auth("", "")).await, first, "another namespace");
}

#[tokio::test]
async fn policies_and_metadata_are_not_taken_for_each_other() {
    let bench = Bench::start();
    let of = |policies: &str, metadata: &str| {
        format!(
            "{{\"auth\":{{\"client_token\":\"t\",\"entity_id\":\"e\",\"policies\":{policies},\"metadata\":{metadata}}}}}"
        )
    };
    let one = authority(&bench, &of(r#"["a","b","c"]"#, "{}")).await;
    let two = authority(&bench, &of(r#"["a"]"#, r#"{"b":"c"}"#)).await;
    assert_ne!(one, two);
}

#[tokio::test]
async fn without_an_entity_no_two_logins_share() {
    let bench = Bench::start();
    let of = |token: &str, accessor: &str| {
        format!(
            "{{\"auth\":{{\"client_token\":\"{token}\",\"accessor\":\"{accessor}\",\"policies\":[\"web\"],\
             \"metadata\":{{\"role\":\"web\"}}}}}}"
        )
    };
    let first = authority(&bench, &of("hvs.one", "acc-1")).await;
    assert_eq!(authority(&bench, &of("hvs.one", "acc-1")).await, first);
    assert_ne!(authority(&bench, &of("hvs.one", "acc-2")).await, first);
    // A batch token has no accessor.
    let batch = authority(&bench, &of("hvb.one", "")).await;
    assert_eq!(authority(&bench, &of("hvb.one", "")).await, batch);
    assert_ne!(authority(&bench, &of("hvb.two", "")).await, batch);
    assert_ne!(authority(&bench, &of("hvb.one", "entity-1")).await, authority(&bench, &auth("", "")).await);
}

#[tokio::test]
async fn an_answer_without_a_token_is_a_failure_that_says_why() {
    let mut bench = Bench::start();
    bench.access.namespace = "team".into();
    let none = "the login reply had no token";
    let check = "check that the auth mount is a kubernetes or a jwt one, and that no proxy changes replies";
    let foreign =
        "unexpected reply, is a proxy in the way?; check the address: the reply is not a JSON object";
    let empty = "is empty; check the address, and whether a proxy is in the way";
    let unusable =
        format!("{none} that could be sent back; check that the auth mount issues tokens to this role");
    let mfa = r#"{"auth":{"client_token":"","mfa_requirement":{"mfa_request_id":"CANARY"}}}"#;
    let wrapped = r#"{"wrap_info":{"token":"hvs.CANARY"},"auth":null}"#;
    for (status, body, reason, text) in [
        (204, "", Reason::Upstream, format!("the reply (204) {empty}")),
        (200, "", Reason::Upstream, format!("the reply (200) {empty}")),
        (200, "{}", Reason::Upstream, format!("{none}; {check}")),
        (200, "null", Reason::Upstream, format!("{none}; {check}")),
        (200, r#"{"auth":null}"#, Reason::Upstream, format!("{none}; {check}")),
        (200, r#"{"auth":{}}"#, Reason::Login, unusable.clone()),
        (200, r#"{"auth":{"client_token":""}}"#, Reason::Login, unusable.clone()),
        (200, r#"{"auth":{"client_token":"hvs.CANARY\nx"}}"#, Reason::Login, unusable.clone()),
        (200, r#"{"auth":{"client_token":"hvs.CANARY é"}}"#, Reason::Login, unusable.clone()),
        (200, r#"{"data":{"value":"CANARY-value"}}"#, Reason::Upstream, format!("{none}; {check}")),
        (200, r#"{"warnings":["look there"]}"#, Reason::Upstream, format!("{none}: look there; {check}")),
        (
            200,
            wrapped,
            Reason::Login,
            format!(
                "{none}, it was wrapped for someone else to fetch; let no `min_wrapping_ttl` wrap the replies of the login"
            ),
        ),
        (
            200,
            mfa,
            Reason::Login,
            format!(
                "{none}, it asks for a second factor, which a pod has not; take the logins of this auth mount out of \
                 the enforcement of multi-factor authentication"
            ),
        ),
        (200, "[]", Reason::Upstream, foreign.to_owned()),
        (200, "<html>CANARY-value</html>", Reason::Upstream, foreign.to_owned()),
        (200, r#"{"auth":{"client_token":"hvs.CANARY"#, Reason::Upstream, foreign.to_owned()),
        (
            200,
            r#"{"auth":{"client_token":5}}"#,
            Reason::Upstream,
            "the field `auth` of the reply is not of its type; check the address, and whether a proxy changes replies"
                .to_owned(),
        ),
    ] {
        bench.kit.script("/", Reply::new(status, body));
        let fault = bench.log_in().await.err().unwrap();
        assert_eq!((fault.problem.reason, fault.retry), (reason, Retry::Never), "{body}");
        let wanted = "at SITE: login of `shop/web` as role `web` at auth mount `kubernetes` in namespace `team`";
        assert_eq!(bench.told(&fault), format!("{wanted}: {text}"));
    }
    assert_eq!(bench.kit.requests(), 17);
}

#[tokio::test]
async fn a_login_that_is_refused_says_whose_it_was_and_why() {
    let bench = Bench::start();
    let bound = "; check what the role is bound to: service accounts, namespaces, and the audience `vault`";
    for (status, body, reason, retry, text) in [
        (
            403,
            r#"{"errors":["service account name not authorized"]}"#,
            Reason::Login,
            Retry::Never,
            format!("the server refused it (403): service account name not authorized{bound}"),
        ),
        (
            400,
            r#"{"errors":["invalid role name \"web\""]}"#,
            Reason::Login,
            Retry::Never,
            format!("the server refused it (400): invalid role name \"web\"{bound}"),
        ),
        (
            400,
            r#"{"message":"CANARY"}"#,
            Reason::Login,
            Retry::Never,
            format!("the server refused it (400){bound}"),
        ),
        (401, "", Reason::Login, Retry::Never, format!("the server refused it (401){bound}")),
        (
            403,
            "<html>CANARY</html>",
            Reason::Upstream,
            Retry::Backoff,
            "the server refused it (403), with a reply that is not its own: is a proxy in the way?; check the \
             address, and what stands before the server"
                .to_owned(),
        ),
        (
            404,
            r#"{"errors":["no handler for route"]}"#,
            Reason::Login,
            Retry::Never,
            "there is no such auth mount (404): no handler for route; check the auth mount and the namespace"
                .to_owned(),
        ),
    ] {
        refused(&bench, (status, body), (reason, retry), &text).await;
    }
}

#[tokio::test]
async fn a_login_that_fails_otherwise_says_whether_to_try_again() {
    let bench = Bench::start();
    let after = |seconds| Retry::After(Duration::from_secs(seconds));
    for (status, body, reason, retry, text) in [
        (
            429,
            r#"{"errors":["rate limit quota exceeded"]}"#,
            Reason::Throttled,
            after(7),
            "the server asks for patience (429): rate limit quota exceeded".to_owned(),
        ),
        (
            503,
            r#"{"errors":["Vault is sealed"]}"#,
            Reason::Upstream,
            after(7),
            "the server is sealed (503): Vault is sealed; unseal it".to_owned(),
        ),
        (500, r#"{"errors":[]}"#, Reason::Upstream, Retry::Backoff, "the server failed (500)".to_owned()),
        (
            501,
            "{}",
            Reason::Upstream,
            Retry::Never,
            "the server is not initialized (501); initialize it".to_owned(),
        ),
    ] {
        refused(&bench, (status, body), (reason, retry), &text).await;
    }
}

async fn refused(bench: &Bench, reply: (u16, &str), (reason, retry): (Reason, Retry), text: &str) {
    bench.kit.script("/", Reply::new(reply.0, reply.1).header("retry-after", "7"));
    let fault = bench.log_in().await.err().unwrap();
    assert_eq!((fault.problem.reason, fault.retry, fault.doubtful), (reason, retry, false), "{reply:?}");
    let wanted = "at SITE: login of `shop/web` as role `web` at auth mount `kubernetes`";
    assert_eq!(bench.told(&fault), format!("{wanted}: {text}"));
}

#[tokio::test]
async fn a_server_that_echoes_what_it_was_sent_tells_nobody() {
    let bench = Bench::start();
    let echo = format!("bad token {} and hvs.CANARY, eyJhbGciOiJIUzI1NiJ9.e30.CANARY", super::JWT);
    bench.kit.script("/", Reply::json(403, &serde_json::json!({ "errors": [echo], "data": VALUE })));
    let fault = bench.log_in().await.err().unwrap();
    assert!(bench.told(&fault).contains("bad token … and …, …;"), "{}", bench.told(&fault));
}
