//! Statuses: what the server refuses, what it cannot do now, and for whom it has no time.

use latchkey::error::Reason::{Forbidden, Invalid, Login, NotFound, Throttled, Upstream};
use serde_json::json;

use super::bed::CANARY;
use super::family::{Case, run};
use crate::testkit::{Identity, Reply, Testkit};

fn of(status: u16) -> Reply {
    let body = json!({ "errors": [format!("no, hvs.{CANARY}")], "data": { "k": CANARY } });
    Reply::json(status, &body)
}

fn state(status: u16, words: &str) -> Reply {
    Reply::json(status, &json!({ "errors": [words, format!("hvs.{CANARY}")] }))
}

fn statuses() -> Vec<Case> {
    let failed = |what, status, words| {
        let reads = Case::clear(what, of(status), (Upstream, words));
        Case { put: 1, ..reads }
    };
    let wait = "throttled by";
    vec![
        Case::once("400", of(400), (Login, "(400): no"), (Upstream, "(400): no")),
        // The read is tried once more with a new session.
        Case {
            read: (Forbidden, "(401): no", 2),
            again: 2,
            put: 2,
            ..Case::once("401", of(401), (Login, "(401): no"), (Forbidden, "(401): no"))
        },
        Case::once("403", of(403), (Login, "(403): no"), (Forbidden, "(403): no")),
        Case::once("404", of(404), (Login, "(404): no"), (NotFound, "(404): no")),
        Case::once("405", of(405), (Login, "(405): no"), (Invalid, "(405): no")),
        failed("500", 500, "the server failed (500): no"),
        Case::doubtful("502", of(502), (Upstream, "(502): no")),
        Case::clear(
            "503",
            of(503),
            (Upstream, "the server does not serve now, as under maintenance (503): no"),
        ),
        Case::doubtful("504", of(504), (Upstream, "(504): no")),
        Case::once("501", of(501), (Upstream, "(501): no"), (Upstream, "(501): no")),
        Case { holds: true, ..Case::clear("429", of(429), (Throttled, wait)) },
        Case {
            holds: true,
            ..Case::clear("429 for a while", of(429).header("retry-after", "2"), (Throttled, wait))
        },
        Case {
            holds: true,
            ..Case::clear("503 for a while", of(503).header("retry-after", "2"), (Upstream, "(503): no"))
        },
    ]
}

#[tokio::test]
async fn every_status_is_one_pods_failure() {
    run(Testkit::start_as(Identity::Plain), &statuses()).await;
}

/// What only a cluster of servers answers, and a server that is there and does not serve.
fn states() -> Vec<Case> {
    vec![
        Case::once(
            "a disaster recovery secondary",
            of(472),
            (Upstream, "recovery secondary, which serves no secrets (472): no"),
            (Upstream, "recovery secondary, which serves no secrets (472): no"),
        ),
        Case::once(
            "a performance standby",
            of(473),
            (Upstream, "performance standby, and did not pass the request on (473): no"),
            (Upstream, "performance standby, and did not pass the request on (473): no"),
        ),
        Case::clear(
            "a standby that is behind",
            of(412),
            (Upstream, "has not caught up with the active one (412): no"),
        ),
        Case::clear("sealed", state(503, "Vault is sealed"), (Upstream, "the server is sealed (503)")),
        Case::clear(
            "without an active server",
            state(500, "local node not active but active cluster node not found"),
            (Upstream, "a standby, and there is no active one"),
        ),
    ]
}

#[tokio::test]
async fn every_state_of_a_server_is_one_pods_failure() {
    run(Testkit::start_as(Identity::Plain), &states()).await;
}
