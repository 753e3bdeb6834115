//! What is denied for good, and what was denied until somebody changed a role: how often the server is asked, and that
//! no token is lost over it.

use std::time::Duration;

use latchkey::error::Reason::Forbidden;
use serde_json::{Value, json};

use super::bed::{Ask, Bed, CANARY, get, put};
use crate::testkit::{Identity, Reply, Testkit};

const HOST: &str = "a.kit.test";
const LOGIN: &str = "auth/kubernetes/login";
const LOOKUP: &str = "auth/token/lookup-self";
const REVOKE: &str = "auth/token/revoke-self";
const MINUTE: Duration = Duration::from_secs(60);

fn bed() -> Bed {
    Bed::new(Testkit::start_as(Identity::Plain), &[HOST.to_owned()])
}

fn no() -> Reply {
    Reply::json(403, &json!({ "errors": ["permission denied"] }))
}

/// A login of pod 1 with another token than its first.
fn anew(policies: &Value) -> Reply {
    let auth = json!({
        "client_token": format!("hvs.{CANARY}-anew"), "accessor": format!("{CANARY}-anew"), "policies": policies,
        "entity_id": "entity-1", "lease_duration": 36_000, "renewable": true, "num_uses": 0,
    });
    Reply::json(200, &json!({ "auth": auth }))
}

/// The tokens of these requests.
fn tokens(bed: &Bed, path: &str) -> Vec<String> {
    let token =
        |request: &crate::testkit::Request| request.header("x-vault-token").unwrap_or_default().to_owned();
    bed.requests(HOST, path).iter().map(token).collect()
}

async fn denied(bed: &Bed, ask: &Ask) {
    let answer = bed.mount_one(ask).await;
    assert_eq!(answer.refused().reason(), Forbidden, "{}", answer.refused());
    let text = answer.refused().text();
    assert!(
        text.contains("(403): permission denied") && text.contains("a policy of the role `web`"),
        "{text}"
    );
}

/// An hour of polls: no login for each, and at last hardly any; the first token is kept, and what came anew is ended.
#[tokio::test]
async fn a_permanent_denial_costs_few_logins_and_no_token() {
    let bed = bed();
    let (good, ask) = (bed.ask(1, HOST, &get("kv/good")), bed.ask(1, HOST, &get("kv/denied")));
    // A session that lasts.
    let lasting = anew(&json!(["web"])).body;
    let lasting = String::from_utf8(lasting).unwrap().replace("-anew", "-first");
    bed.faults_for(HOST, LOGIN, Some(1), &Reply::new(200, lasting));
    assert!(bed.mount_one(&good).await.file().starts_with(CANARY));
    bed.fault(HOST, LOGIN, &anew(&json!(["web"])));
    bed.fault(HOST, "kv/denied", &no());
    bed.forget();
    for _ in 0..60 {
        denied(&bed, &ask).await;
        bed.held.elapse(MINUTE).await;
    }
    let (logins, reads) = (bed.asked(HOST, LOGIN), bed.asked(HOST, "kv/denied"));
    assert!((2..=4).contains(&logins), "{logins} logins in an hour");
    assert!(reads <= 60, "{reads} reads for 60 polls");
    assert_eq!(bed.asked(HOST, LOOKUP), reads, "the token is asked about once for each denial");
    assert!(
        tokens(&bed, "kv/denied").iter().all(|token| token.ends_with("-first")),
        "a token that is good is kept"
    );
    let ended = tokens(&bed, REVOKE);
    assert!(ended.len() == logins && ended.iter().all(|token| token.ends_with("-anew")), "{ended:?}");
    bed.is_well().await;
}

/// As kubelet does it for a pod that starts, and as many volumes do it at once.
#[tokio::test]
async fn a_denial_is_remembered_for_seconds_and_a_first_mount_waits_ten_at_most() {
    let bed = bed();
    bed.fault(HOST, "kv/denied", &no());
    bed.fault(HOST, "pki/denied", &no());
    for objects in [get("kv/denied"), put("pki/denied")] {
        bed.forget();
        let ask = bed.ask(1, HOST, &objects);
        for _ in 0..8 {
            denied(&bed, &ask).await;
            bed.held.elapse(Duration::from_millis(500)).await;
        }
        let reads = bed.asked(HOST, "kv/denied") + bed.asked(HOST, "pki/denied");
        assert_eq!((reads, bed.asked(HOST, LOOKUP)), (1, 1));
    }
    assert!(bed.figure("latchkey_cache_total{store=\"vault\",result=\"negative\"}") >= 14);
    // However often it was denied before.
    for _ in 0..6 {
        denied(&bed, &bed.ask(1, HOST, &get("kv/denied"))).await;
        bed.held.elapse(Duration::from_secs(11)).await;
    }
    bed.mend();
    denied_or_given(&bed).await;
    bed.is_well().await;
}

/// What is allowed now is given within ten seconds.
async fn denied_or_given(bed: &Bed) {
    bed.held.elapse(Duration::from_secs(10)).await;
    assert!(bed.mount_one(&bed.ask(1, HOST, &get("kv/denied"))).await.file().starts_with(CANARY));
    bed.forget();
    assert!(bed.mount_one(&bed.ask(1, HOST, &get("kv/denied"))).await.file().starts_with(CANARY));
    assert_eq!(bed.asked(HOST, LOOKUP), 0);
}

#[tokio::test]
async fn a_role_with_other_policies_by_now_is_found_out_by_a_session_that_is_old_enough() {
    let bed = bed();
    let (good, ask) = (bed.ask(1, HOST, &get("kv/good")), bed.ask(1, HOST, &get("kv/new")));
    assert!(bed.mount_one(&good).await.file().starts_with(CANARY));
    bed.fault(HOST, LOGIN, &anew(&json!(["web", "more"])));
    bed.faults_for(HOST, "kv/new", Some(2), &no());
    bed.held.elapse(4 * MINUTE).await;
    bed.forget();
    denied(&bed, &ask).await;
    assert_eq!(bed.asked(HOST, LOGIN), 0, "what was told four minutes ago is taken to hold");
    bed.held.elapse(2 * MINUTE).await;
    bed.forget();
    assert!(bed.mount_one(&ask).await.file().starts_with(CANARY));
    assert_eq!((bed.asked(HOST, LOGIN), bed.asked(HOST, REVOKE)), (1, 0));
    let read = tokens(&bed, "kv/new");
    assert!(read.len() == 2 && read[1].ends_with("-anew") && !read[0].ends_with("-anew"), "{read:?}");
    bed.is_well().await;
}

/// A session that is near its end is replaced in the background: that login is the new one which a denial asks for.
#[tokio::test]
async fn a_denial_meets_the_session_that_has_just_taken_anothers_place() {
    let bed = bed();
    let (good, ask) = (bed.ask(1, HOST, &get("kv/good")), bed.ask(1, HOST, &get("kv/new")));
    let short = String::from_utf8(anew(&json!(["web"])).body).unwrap().replace("-anew", "-first");
    bed.faults_for(HOST, LOGIN, Some(1), &Reply::new(200, short.replace("36000", "1800")));
    assert!(bed.mount_one(&good).await.file().starts_with(CANARY));
    bed.fault(HOST, LOGIN, &anew(&json!(["web", "more"])));
    bed.faults_for(HOST, "kv/new", Some(1), &no());
    // Due in its last five minutes, and old enough to be out of date.
    bed.held.elapse(26 * MINUTE).await;
    bed.forget();
    assert!(bed.mount_one(&ask).await.file().starts_with(CANARY));
    assert_eq!((bed.asked(HOST, LOGIN), bed.asked(HOST, REVOKE)), (1, 0));
    let read = tokens(&bed, "kv/new");
    assert!(read.len() == 2 && read[0].ends_with("-first") && read[1].ends_with("-anew"), "{read:?}");
    bed.is_well().await;
}

/// The login that might help is refused itself: the token that the server knows goes on being used.
#[tokio::test]
async fn a_login_that_does_not_help_takes_nothing_away() {
    let bed = bed();
    let (good, ask) = (bed.ask(1, HOST, &get("kv/good")), bed.ask(1, HOST, &get("kv/denied")));
    assert!(bed.mount_one(&good).await.file().starts_with(CANARY));
    bed.held.elapse(6 * MINUTE).await;
    for reply in [no(), Reply::json(503, &json!({ "errors": ["Vault is sealed"] }))] {
        bed.fault(HOST, LOGIN, &reply);
        bed.fault(HOST, "kv/denied", &no());
        bed.forget();
        denied(&bed, &ask).await;
        assert!(bed.asked(HOST, LOGIN) >= 1);
        let logins = bed.asked(HOST, LOGIN);
        bed.held.elapse(MINUTE).await;
        denied(&bed, &ask).await;
        assert!(bed.mount_one(&good).await.file().starts_with(CANARY));
        assert_eq!(bed.asked(HOST, LOGIN), logins, "once");
        bed.mend();
        bed.held.elapse(6 * MINUTE).await;
    }
    bed.is_well().await;
}
