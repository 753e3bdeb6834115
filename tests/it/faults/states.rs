//! The states that a server may be in, and what they mean for everybody: hung, sealed, killed, behind, used up; and that
//! one tenant's broken path is none of them.

use std::collections::BTreeSet;
use std::time::Duration;

use latchkey::error::Reason::{self, Throttled, Timeout, Unreachable, Upstream};
use latchkey::model::{Address, Endpoint, Origin};
use serde_json::json;

use super::bed::{Ask, Bed, CALLER, CANARY, get, put};
use crate::testkit::{Identity, Manner, Reply, Testkit, closed_port};

const HOST: &str = "a.kit.test";
const OPEN: &str = "latchkey_breaker_open{store=\"vault\"}";

fn bed() -> Bed {
    Bed::new(Testkit::start_as(Identity::Plain), &[HOST.to_owned()])
}

/// A server at a host for each of so many cases: time is held once in a test.
fn beds(cases: usize) -> (Bed, Vec<String>) {
    let hosts: Vec<String> = (0..cases).map(|case| format!("case-{case}.kit.test")).collect();
    (Bed::new(Testkit::start_as(Identity::Plain), &hosts), hosts)
}

fn said(status: u16, words: &str) -> Reply {
    Reply::json(status, &json!({ "errors": [words], "data": { "k": CANARY } }))
}

/// Whoever mounts for the first time, and whoever goes on until the server is left alone: each is answered in time, with a
/// text that says which of the three it is, and what to do.
#[tokio::test]
async fn a_hung_a_sealed_and_a_killed_server_are_told_apart_in_bounded_time() {
    let kit = Testkit::start_as(Identity::Plain);
    let killed = Address::parse(&format!("http://{}", closed_port())).unwrap();
    let mut endpoints: Vec<Endpoint> =
        ["hung.kit.test", "sealed.kit.test"].map(|host| kit.endpoint_at(host, Origin::Administrator)).into();
    endpoints.push(Endpoint { address: killed.clone(), ..endpoints[0].clone() });
    let bed = Bed::with(kit, endpoints, |_| Ok(vec!["127.0.0.1".parse().unwrap()]));
    bed.fault("hung.kit.test", "", &Reply::from(Manner::Hang));
    bed.fault("sealed.kit.test", "", &said(503, "Vault is sealed"));
    let cases: [(String, Reason, &str); 3] = [
        (bed.kit.at("hung.kit.test").to_string(), Timeout, "it did not answer in time"),
        (
            bed.kit.at("sealed.kit.test").to_string(),
            Upstream,
            "the server is sealed (503): Vault is sealed; unseal it",
        ),
        (
            killed.to_string(),
            Unreachable,
            "the connection is refused; see whether it runs, and listens there",
        ),
    ];
    let mut texts = BTreeSet::new();
    for round in 0..8 {
        let asks: Vec<Ask> = cases
            .iter()
            .enumerate()
            .map(|(index, (address, ..))| {
                let pod = 10 * round + index + 1;
                Ask { address: address.clone(), ..bed.ask(pod, HOST, &get("kv/a")) }
            })
            .collect();
        for (answer, (address, reason, words)) in bed.mount_all(&asks).await.iter().zip(&cases) {
            let text = answer.refused().text();
            let alone = text.contains("is left alone for a while, since the last 10 attempts failed");
            assert!(text.contains(address.as_str()) && answer.took < CALLER, "{:?}: {text}", answer.took);
            assert!(!text.contains(CANARY) && !text.contains("eyJ"), "{text}");
            let met = answer.refused().reason() == *reason && text.contains(words);
            let passed_on = words.split(';').next().unwrap_or_default();
            assert!(met || (alone && round > 3), "{round}: {text}");
            // What all of them met is told of a server that is left alone too.
            assert!(!alone || *reason == Upstream || text.contains(passed_on), "{text}");
            if round == 0 {
                texts.insert(text);
            }
        }
    }
    assert_eq!((texts.len(), bed.figure(OPEN)), (3, 3), "{texts:?}");
    bed.is_well().await;
}

/// Its storage is fine and its listener is fine: it is one path that fails, whatever it is read by.
#[tokio::test]
async fn one_tenants_failing_path_closes_the_server_for_nobody() {
    let replies = [
        said(500, "no connection to db-of-team-a:5432"),
        said(502, "no connection to db-of-team-a:5432"),
        said(400, "bad request"),
        said(503, "API access to this namespace has been locked by an administrator"),
        Reply::new(200, "-----BEGIN CERTIFICATE-----"),
    ];
    let (bed, hosts) = beds(replies.len());
    for (reply, host) in replies.iter().zip(&hosts) {
        bed.fault(host, "team-a/", reply);
        for _ in 0..6 {
            let asks: Vec<Ask> = (1..=4).map(|pod| bed.ask(pod, host, &get("team-a/kv/x"))).collect();
            for answer in bed.mount_all(&asks).await {
                assert_eq!(answer.refused().reason(), Upstream, "{}", answer.refused());
            }
        }
        assert_eq!(bed.figure(OPEN), 0, "{}", reply.status);
        let other = bed.mount_one(&bed.ask(100, host, &get("kv/other"))).await;
        assert!(other.file().starts_with(CANARY));
    }
    bed.is_well().await;
}

#[tokio::test]
async fn a_server_that_is_ill_for_everybody_is_left_alone_whatever_it_says() {
    let replies = [
        said(503, "Vault is sealed"),
        said(500, "local node not active but active cluster node not found"),
        Reply::new(502, "<html>"),
        Reply::new(504, "<html>"),
    ];
    let (bed, hosts) = beds(replies.len());
    for (index, (reply, host)) in replies.iter().zip(&hosts).enumerate() {
        bed.fault(host, "", reply);
        for round in 0..6 {
            let asks: Vec<Ask> = (1..=4).map(|pod| bed.ask(10 * round + pod, host, &get("kv/x"))).collect();
            bed.mount_all(&asks).await.iter().for_each(|answer| drop(answer.refused().text()));
        }
        assert_eq!(bed.figure(OPEN), index + 1, "{}", reply.status);
    }
    bed.is_well().await;
}

/// A performance standby, or a follower, that does not know the token yet: it is told how far the login was, says that it
/// is behind, and is asked again, for what has an effect too.
#[tokio::test]
async fn a_standby_that_is_behind_is_asked_again_with_how_far_the_login_was() {
    let bed = bed();
    for (pod, path, objects) in [(1, "kv/a", get("kv/a")), (2, "pki/a", put("pki/a"))] {
        let auth = json!({ "auth": { "client_token": format!("hvs.{CANARY}"), "entity_id": "e", "lease_duration": 60 } });
        bed.faults_for(HOST, "auth/", Some(1), &Reply::json(200, &auth).header("x-vault-index", "djE6MQ=="));
        bed.faults_for(HOST, path, Some(2), &said(412, "required index state not present"));
        let answer = bed.mount_one(&bed.ask(pod, HOST, &objects)).await;
        assert!(
            answer.file().starts_with(CANARY) && answer.took < Duration::from_secs(5),
            "{:?}",
            answer.took
        );
        let reads = bed.requests(HOST, path);
        assert_eq!(reads.len(), 3);
        assert!(reads.iter().all(|read| read.header("x-vault-index") == Some("djE6MQ==")));
        assert!(reads.iter().all(|read| read.header("x-vault-inconsistent").is_none()));
    }
    bed.is_well().await;
}

/// A quota of leases that is used up is told in its own words, asked for once, and holds nobody else up.
#[tokio::test]
async fn a_quota_of_leases_is_no_request_for_patience() {
    let bed = bed();
    bed.fault(HOST, "creds/", &said(429, "lease count quota exceeded").header("retry-after", "30"));
    let asks =
        [bed.ask(1, HOST, &get("creds/a")), bed.ask(2, HOST, &get("kv/a")), bed.ask(1, HOST, &get("kv/b"))];
    let mut answers = bed.mount_all(&asks).await;
    let used_up = answers.remove(0);
    let text = used_up.refused().text();
    assert_eq!(used_up.refused().reason(), Throttled);
    assert!(
        text.contains(
            "a quota of leases is used up (429): lease count quota exceeded; wait until leases end"
        ),
        "{text}"
    );
    assert!(
        answers
            .iter()
            .all(|answer| answer.file().starts_with(CANARY) && answer.took < Duration::from_secs(2))
    );
    assert_eq!(bed.asked(HOST, "creds/"), 1);
    let later = bed.mount_one(&bed.ask(3, HOST, &get("kv/c"))).await;
    assert!(later.file().starts_with(CANARY) && later.took < Duration::from_secs(2));
    bed.is_well().await;
}
