//! Many pods at a server that has had enough: how often it is asked, and that they all come through once it can.

use std::collections::BTreeSet;
use std::time::Duration;

use latchkey::error::Reason::{self, Throttled};

use super::bed::{Answer, Ask, Bed, CANARY, get};
use crate::testkit::{Identity, Reply, Testkit};

const HOST: &str = "a.kit.test";
const PODS: usize = 20;
/// How exactly it is known when the server was asked.
const TICK: Duration = Duration::from_millis(250);

/// Pods that mount over and over for a minute, as kubelet and the driver have them do it, while the server answers so to
/// all their logins, or to all their reads. When the server was asked, and what the pods were told.
async fn storm(bed: &Bed, path: &str, reply: &Reply) -> (Vec<Duration>, Vec<Answer>) {
    let asks: Vec<Ask> = (1..=PODS).map(|pod| bed.ask(pod, HOST, &get("kv/a"))).collect();
    bed.fault(HOST, path, reply);
    bed.forget();
    let clock = bed.held.clock;
    let began = clock.now();
    let one = async |ask: &Ask| {
        let (mut answers, mut pause) = (Vec::new(), Duration::from_millis(500));
        while clock.now() - began < MINUTE {
            answers.push(bed.mount(ask).await);
            clock.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(16));
        }
        answers
    };
    let watch = async {
        let mut asked = Vec::new();
        while clock.now() - began < MINUTE {
            clock.sleep(TICK).await;
            let more = bed.asked(HOST, path) - asked.len();
            asked.extend(std::iter::repeat_n(clock.now() - began, more));
        }
        asked
    };
    let pods = futures_util::future::join_all(asks.iter().map(one));
    let both = futures_util::future::join(watch, pods);
    let (asked, answers) = bed.held.drive(2 * MINUTE, both).await.0.expect("it ends");
    (asked, answers.into_iter().flatten().collect())
}

const MINUTE: Duration = Duration::from_secs(60);

/// Everybody is served within a poll once it is over.
async fn passes(bed: &Bed) {
    bed.mend();
    bed.held.elapse(MINUTE).await;
    let asks: Vec<Ask> = (1..=PODS)
        .map(|pod| Ask { time: Duration::from_secs(30), ..bed.ask(pod, HOST, &get("kv/a")) })
        .collect();
    for answer in bed.mount_all(&asks).await {
        assert_eq!(answer.file(), format!("{CANARY} of kv/a"));
    }
    bed.is_well().await;
}

#[tokio::test]
async fn f_01_a_server_that_asks_for_5_s_is_asked_once_in_5_s() {
    let bed = Bed::new(Testkit::start_as(Identity::Plain), &[HOST.to_owned()]);
    let reply = Reply::json(429, &serde_json::json!({ "errors": [] })).header("retry-after", "5");
    let (asked, answers) = storm(&bed, "auth/kubernetes/login", &reply).await;
    for answer in &answers {
        assert_eq!(answer.refused().reason(), Throttled, "{}", answer.refused());
        let text = answer.refused().text();
        assert!(text.contains(&format!("throttled by {};", bed.kit.at(HOST).site())), "{text}");
    }
    // All who came at once, before it had said anything; from then on one at a time.
    let later: Vec<Duration> = asked.iter().copied().filter(|at| *at > Duration::from_secs(2)).collect();
    assert!(asked.len() - later.len() <= PODS, "{asked:?}");
    assert!((5..=12).contains(&later.len()), "{later:?}");
    let gaps: Vec<Duration> = later.windows(2).map(|two| two[1] - two[0]).collect();
    let late: BTreeSet<Duration> = gaps.iter().copied().collect();
    assert!(gaps.iter().all(|gap| *gap + TICK >= Duration::from_secs(5)), "{gaps:?}");
    assert!(late.len() >= 3, "nobody in step with other nodes: {gaps:?}");
    passes(&bed).await;
}

#[tokio::test]
async fn f_01_and_one_that_says_nothing_of_time_ever_more_seldom() {
    let bed = Bed::new(Testkit::start_as(Identity::Plain), &[HOST.to_owned()]);
    let (asked, answers) = storm(&bed, "kv/a", &Reply::json(429, &serde_json::json!({ "errors": [] }))).await;
    assert!(answers.iter().all(|answer| answer.refused().reason() == Throttled));
    // All who came at once, and whose connections were made one after another.
    let of = |from: u64, to: u64| asked.iter().filter(|at| (from..to).contains(&at.as_secs())).count();
    assert!(of(0, 2) <= PODS + 4 && of(2, 20) <= 10 && of(20, 60) <= 9, "{asked:?}");
    passes(&bed).await;
}

#[tokio::test]
async fn a_server_that_only_fails_is_left_alone_and_found_again() {
    {
        let status = 500;
        let bed = Bed::new(Testkit::start_as(Identity::Plain), &[HOST.to_owned()]);
        let (asked, answers) = storm(&bed, "auth/kubernetes/login", &Reply::new(status, "")).await;
        for answer in &answers {
            let reason = answer.refused().reason();
            assert!(matches!(reason, Reason::Upstream | Reason::Unreachable), "{}", answer.refused());
        }
        let later = asked.iter().filter(|at| at.as_secs() >= 2).count();
        assert!(asked.len() - later <= 2 * PODS && later <= 5, "{status}: {asked:?}");
        passes(&bed).await;
    }
}
