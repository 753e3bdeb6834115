//! One object among many, and objects that are no longer what they were.

use std::time::Duration;

use latchkey::error::Reason::{self, Forbidden, NotFound, Upstream};
use serde_json::json;

use super::bed::{Bed, CANARY, get, put};
use crate::testkit::{Identity, Manner, Reply, Testkit};

const HOST: &str = "a.kit.test";

fn bed() -> Bed {
    Bed::new(Testkit::start_as(Identity::Plain), &[HOST.to_owned()])
}

fn no() -> Reply {
    Reply::json(403, &json!({ "errors": ["permission denied"] }))
}

#[tokio::test]
async fn f_05_one_of_twenty_is_named_and_nothing_is_delivered() {
    let bed = bed();
    let many: String = (0..20)
        .map(|number| format!("- {{ objectName: file-{number}, secretPath: kv/{number}-x, secretKey: k }}\n"))
        .collect();
    let ask = bed.ask(1, HOST, &many);
    assert_eq!(bed.mount_one(&ask).await.outcome.unwrap().len(), 20);
    bed.held.elapse(Duration::from_secs(61)).await;
    bed.fault(HOST, "kv/7-x", &no());
    bed.forget();
    let answer = bed.mount_one(&ask).await;
    let problems = answer.refused();
    let text = problems.text();
    assert_eq!((problems.reason(), problems.iter().count()), (Forbidden, 1), "{text}");
    assert!(
        text.contains("`file-7`") && (0..20).all(|n| n == 7 || !text.contains(&format!("`file-{n}`"))),
        "{text}"
    );
    assert_eq!(
        (bed.asked(HOST, "kv/"), bed.asked(HOST, "auth/kubernetes/login")),
        (20, 0),
        "one session for all"
    );
    bed.mend();
    bed.held.elapse(Duration::from_secs(5)).await;
    assert_eq!(bed.mount_one(&ask).await.outcome.unwrap().len(), 20);
    bed.is_well().await;
}

#[tokio::test]
async fn f_07_what_is_gone_is_not_delivered_again_and_neither_is_it_when_the_server_is_out_afterwards() {
    let bed = bed();
    for (pod, status, reason) in [(1, 404, NotFound), (2, 403, Forbidden), (3, 401, Forbidden)] {
        let ask = bed.ask(pod, HOST, &get("kv/a"));
        assert_eq!(bed.mount_one(&ask).await.file(), format!("{CANARY} of kv/a"));
        bed.held.elapse(Duration::from_secs(61)).await;
        bed.fault(HOST, "kv/a", &Reply::json(status, &json!({ "errors": [] })));
        for _ in 0..3 {
            let answer = bed.mount_one(&ask).await;
            assert_eq!(answer.refused().reason(), reason, "{status}: {}", answer.refused());
        }
        bed.mend();
        // Longer than a denial is remembered.
        bed.held.elapse(Duration::from_secs(61)).await;
        bed.fault(HOST, "kv/a", &Reply::new(500, ""));
        let answer = bed.mount_one(&ask).await;
        let wanted = if status == 401 { None } else { Some(Upstream) };
        assert_eq!(answer.outcome.as_ref().err().map(|problems| problems.reason()), wanted, "{status}");
        bed.mend();
    }
    bed.is_well().await;
}

#[tokio::test]
async fn f_15_and_f_17_what_does_not_match_the_request_is_never_mounted() {
    let bed = bed();
    for (number, path, body, reason, words) in [
        (
            1,
            "kv/a?version=2",
            json!({ "data": { "data": { "k": CANARY }, "metadata": { "version": 3 } } }),
            Upstream,
            "does not match the request",
        ),
        (2, "kv/b", json!({ "data": { "data": null, "metadata": {} } }), NotFound, "no field `k`"),
        (3, "kv/c", json!({ "data": { "data": { "other": CANARY } } }), NotFound, "no field `k`"),
        (4, "kv/d", json!({ "data": {} }), NotFound, "no field `k`"),
        (5, "kv/e", json!({ "data": [CANARY] }), Upstream, "is not of its type"),
    ] {
        bed.fault(HOST, path, &Reply::json(200, &body));
        let answer = bed.mount_one(&bed.ask(number, HOST, &get(path))).await;
        let text = answer.refused().text();
        assert_eq!(answer.refused().reason(), reason, "{path}: {text}");
        assert!(text.contains(words) && text.contains(path) && !text.contains(CANARY), "{path}: {text}");
    }
    bed.is_well().await;
}

/// Whoever reads `creds/` is given something new each time, and whoever writes to `pki/` too: what may have been issued is
/// asked for once by each mount, whatever becomes of the answer.
#[tokio::test]
async fn what_may_have_been_issued_is_not_asked_for_again() {
    let lease =
        json!({ "lease_id": format!("creds/a/{CANARY}"), "lease_duration": 60, "data": { "k": CANARY } });
    let whole = Reply::json(200, &lease);
    let bed = bed();
    let faults: [(Reply, Reason); 5] = [
        (whole.clone().manner(Manner::Truncated(40)), Reason::Unreachable),
        (whole.clone().manner(Manner::Reset(40)), Reason::Unreachable),
        (whole.clone().manner(Manner::Close), Reason::Unreachable),
        (whole.clone().manner(Manner::Hang), Reason::Timeout),
        (whole.manner(Manner::HangAfter(40)), Reason::Timeout),
    ];
    for known in [false, true] {
        for (index, (reply, reason)) in faults.iter().enumerate() {
            for (kind, objects) in [("creds/", get("creds/a")), ("pki/", put("pki/a"))] {
                let pod = 100 * usize::from(known) + 10 * index + objects.len() + 1;
                let asks = [bed.ask(pod, HOST, &objects), bed.ask(pod + 1_000, HOST, &objects)];
                if known {
                    bed.mount_all(&asks).await.iter().for_each(|answer| drop(answer.file().to_owned()));
                }
                bed.fault(HOST, kind, reply);
                bed.forget();
                for answer in bed.mount_all(&asks).await {
                    assert_eq!(answer.refused().reason(), *reason, "{}", answer.refused());
                }
                assert_eq!(bed.asked(HOST, kind), 2, "{kind} {:?}: one for each pod", reply.manner);
                bed.mend();
            }
        }
    }
    bed.is_well().await;
}

#[tokio::test]
async fn f_03_an_error_that_passes_costs_one_retry() {
    let bed = bed();
    for (number, path, objects) in [(1, "auth/kubernetes/login", get("kv/a")), (2, "kv/b", get("kv/b"))] {
        bed.faults_for(HOST, path, Some(1), &Reply::new(500, r#"{"errors":["internal error"]}"#));
        bed.forget();
        let answer = bed.mount_one(&bed.ask(number, HOST, &objects)).await;
        assert!(
            answer.file().starts_with(CANARY) && answer.took <= Duration::from_secs(1),
            "{:?}",
            answer.took
        );
        assert_eq!(bed.asked(HOST, path), 2);
        assert_eq!(bed.figure("latchkey_retries_total{store=\"vault\",reason=\"upstream\"}"), number);
    }
    bed.is_well().await;
}
