//! F-29: clocks that disagree, and nodes that slept. Life times are of boot time; only the pod's token is of the clock on
//! the wall.

use std::time::Duration;

use latchkey::error::Reason::Expired;

use super::bed::{Ask, Bed, CANARY, get};
use crate::testkit::{Identity, Reply, Testkit};

const HOST: &str = "a.kit.test";

#[tokio::test]
async fn f_29_a_clock_that_is_off_is_told_of_before_anybody_is_asked() {
    let bed = Bed::new(Testkit::start_as(Identity::Plain), &[HOST.to_owned()]);
    // What the issuer's clock is ahead of this node's, with tokens of ten minutes.
    for (number, ahead, words) in [
        (1, 0, None),
        (2, 55, None),
        (3, 600, Some("is not valid yet")),
        (4, 3_600, Some("is not valid yet")),
        (5, -600, None),
        (6, -655, None),
        (7, -665, Some("has expired")),
        (8, -3_600, Some("has expired")),
    ] {
        bed.forget();
        let ask = Ask { token: Some((ahead, ahead + 600)), ..bed.ask(number, HOST, &get("kv/a")) };
        let answer = bed.mount_one(&ask).await;
        match words {
            None => assert!(answer.file().starts_with(CANARY), "{ahead}"),
            Some(words) => {
                let text = answer.refused().text();
                assert_eq!(answer.refused().reason(), Expired, "{ahead}: {text}");
                assert!(text.contains(words) && text.contains("compare the clocks"), "{ahead}: {text}");
                assert_eq!(bed.asked(HOST, ""), 0, "{ahead}: nobody is bothered");
            }
        }
    }
    bed.is_well().await;
}

#[tokio::test]
async fn f_29_after_a_sleep_of_8_h_each_pod_logs_in_once_and_nothing_old_is_served() {
    let bed = Bed::new(Testkit::start_as(Identity::Plain), &[HOST.to_owned()]);
    let asks: Vec<Ask> = (1..=40).map(|pod| bed.ask(pod, HOST, &get("kv/a"))).collect();
    bed.mount_all(&asks).await.iter().for_each(|answer| drop(answer.file().to_owned()));
    tokio::time::advance(Duration::from_secs(8 * 3600)).await;
    bed.forget();
    let answers = bed.mount_all(&asks).await;
    assert!(answers.iter().all(|answer| answer.file().starts_with(CANARY)));
    assert_eq!(
        (bed.asked(HOST, "auth/"), bed.asked(HOST, "kv/")),
        (40, 40),
        "a login and a read each, no storm"
    );
    assert!(answers.iter().all(|answer| answer.took <= Duration::from_secs(5)));
    // A server that is out when the node wakes up: what is hours old is not served for good.
    tokio::time::advance(Duration::from_secs(8 * 3600)).await;
    bed.fault(HOST, "", &Reply::new(503, ""));
    let answers = bed.mount_all(&asks).await;
    assert!(answers.iter().all(|answer| answer.outcome.is_err()));
    bed.mend();
    bed.held.elapse(Duration::from_secs(60)).await;
    let answers = bed.mount_all(&asks).await;
    assert!(answers.iter().all(|answer| answer.file().starts_with(CANARY)));
    bed.is_well().await;
}
