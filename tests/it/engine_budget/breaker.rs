//! An endpoint that fails all the time is left alone, and found again.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchkey::engine::budget::{Limits, Work};
use latchkey::error::{Fault, Reason, Retry};
use tokio::task::JoinSet;

use super::bed::{Ask, Bed, SITE, ask, fault, ms, s, throttled, unreachable};
use crate::papers::page;
const OPEN: &str = r#"latchkey_breaker_open{store="vault"}"#;

/// Single attempts, so that calls are counted one by one.
fn bed() -> Bed {
    Bed::with(Limits { reads: 1, exchanges: 1, ..Limits::default() }, 3)
}

/// So many failures, of as many principals.
async fn fail(bed: &Bed, times: u32, fault: &Fault) {
    for who in 0..times {
        bed.call(ask(who), ms(1), |_| Err(fault.clone())).await.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn ten_failures_in_a_row_open_it_and_everything_is_refused_at_once() {
    for reason in [Reason::Unreachable, Reason::Timeout, Reason::Upstream] {
        let bed = bed();
        fail(&bed, 9, &fault(reason, "fails so and so")).await;
        assert_eq!(bed.figure(OPEN), 0.0);
        fail(&bed, 1, &fault(reason, "fails so and so")).await;
        assert_eq!(bed.figure(OPEN), 1.0, "{reason}");
        let before = bed.since();
        let refused = bed.fine(ask(50)).await.unwrap_err();
        assert_eq!((bed.since(), bed.calls().len()), (before, 10));
        assert_eq!(refused.problem.reason, Reason::Unreachable);
        assert_eq!(
            refused.problem.what,
            "is left alone for a while, since the last 10 attempts failed: fails so and so"
        );
        assert_eq!(refused.problem.place.hop.as_deref(), Some(SITE));
        assert_eq!((refused.retry, refused.doubtful), (Retry::Never, false));
        let text = refused.problem.to_string().replace("fails so and so", "the connection is refused");
        assert!(page().contains(&format!("unreachable: store `vault`, {text}\n")), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn any_sign_of_life_begins_the_count_anew() {
    let refusal = |reason| Err(Fault { retry: Retry::Never, ..fault(reason, "no") });
    let signs = [
        Ok(()),
        refusal(Reason::Forbidden),
        refusal(Reason::NotFound),
        refusal(Reason::Login),
        Err(throttled(Some(0))),
    ];
    for sign in signs {
        let bed = bed();
        fail(&bed, 9, &unreachable()).await;
        let _ = bed.call(ask(1), ms(1), |_| sign.clone()).await;
        fail(&bed, 9, &unreachable()).await;
        assert_eq!((bed.figure(OPEN), bed.calls().len()), (0.0, 19), "{sign:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_patience_and_faults_of_our_own_never_open_it() {
    for reason in Reason::ALL {
        if matches!(reason, Reason::Unreachable | Reason::Timeout | Reason::Upstream) {
            continue;
        }
        let bed = bed();
        for who in 0..30 {
            let answer = Fault { retry: Retry::Never, ..fault(reason, "no") };
            let ask = Ask { within: s(3600), ..ask(who) };
            bed.call(ask, ms(1), |_| Err(answer.clone())).await.unwrap_err();
        }
        assert_eq!((bed.figure(OPEN), bed.calls().len()), (0.0, 30), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_opens_it_by_asking_for_the_impossible() {
    let bed = bed();
    for who in 0..30 {
        let late = bed.call(Ask { within: s(9), ..ask(who) }, s(20), |_| Ok(())).await.unwrap_err();
        assert_eq!(late.problem.reason, Reason::Timeout);
    }
    assert_eq!((bed.figure(OPEN), bed.calls().len()), (0.0, 30));
    for who in 0..10 {
        bed.call(Ask { within: s(60), ..ask(who) }, s(20), |_| Ok(())).await.unwrap_err();
    }
    assert_eq!(bed.figure(OPEN), 1.0, "a backend that has 15 s and does not answer is another matter");
}

#[tokio::test(start_paused = true)]
async fn one_principals_bad_answers_are_its_own() {
    let bed = bed();
    let broken = fault(Reason::Upstream, "500: no connection to db-of-team-a:5432");
    for _ in 0..40 {
        bed.call(ask(1), ms(1), |_| Err(broken.clone())).await.unwrap_err();
    }
    assert_eq!(bed.figure(OPEN), 0.0);
    bed.call(ask(2), ms(1), |_| Err(fault(Reason::Upstream, "500: other words"))).await.unwrap_err();
    assert_eq!(bed.figure(OPEN), 1.0, "two have met it");
    let refused = bed.fine(ask(3)).await.unwrap_err();
    assert!(
        refused.problem.what.ends_with("the last 10 attempts failed"),
        "words of one are not told: {}",
        refused.problem
    );
    for _ in 0..10 {
        let bed = self::bed();
        for _ in 0..10 {
            bed.call(ask(1), ms(1), |_| Err(unreachable())).await.unwrap_err();
        }
        assert_eq!(bed.figure(OPEN), 1.0, "who cannot reach it at all speaks for everybody");
    }
}

/// When calls come while an endpoint is down for good and somebody asks all the time, from its tenth failure on.
async fn probes(seed: u64, until: Duration) -> Vec<Duration> {
    let bed = Bed::with(Limits { reads: 1, ..Limits::default() }, seed);
    fail(&bed, 10, &unreachable()).await;
    while bed.since() < until {
        let _ = bed.call(ask(1), ms(1), |_| Err(unreachable())).await;
        bed.clock.sleep(ms(100)).await;
    }
    bed.calls()[9..].iter().map(|call| call.at).collect()
}

#[tokio::test(start_paused = true)]
async fn it_is_looked_for_after_5_s_then_twice_as_long_and_once_a_minute_at_last() {
    let gaps = |at: &[Duration]| at.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>();
    let first = gaps(&probes(1, s(600)).await);
    for (number, gap) in first.iter().enumerate() {
        let most = s(5 << number.min(4)).min(s(60));
        assert!(*gap >= most * 3 / 4 && *gap <= most + ms(110), "{number}: {first:?}");
    }
    assert!(first.len() >= 12, "{first:?}");
    assert_ne!(first, gaps(&probes(2, s(600)).await), "each node at times of its own");
}

#[tokio::test(start_paused = true)]
async fn one_call_finds_out_while_the_others_wait_for_what_it_finds() {
    for back in [true, false] {
        let bed = bed();
        fail(&bed, 10, &unreachable()).await;
        bed.until(s(6)).await;
        let mut calls = JoinSet::new();
        for who in 0..20u32 {
            let bed = bed.clone();
            calls.spawn(async move {
                let answer = move |_| if back { Ok(()) } else { Err(unreachable()) };
                let result = bed.call(ask(who), s(2), answer).await;
                (result, bed.since())
            });
        }
        bed.until(ms(7_900)).await;
        assert_eq!(bed.calls().len(), 11, "one at a time");
        let results = calls.join_all().await;
        assert_eq!(results.iter().filter(|(result, _)| result.is_ok()).count(), if back { 20 } else { 0 });
        assert_eq!(bed.figure(OPEN), if back { 0.0 } else { 1.0 });
        if !back {
            assert_eq!(bed.calls().len(), 11);
            assert!(results.iter().all(|(_, at)| *at <= ms(8_005)), "all are told when it is clear");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_on_its_way_extends_nothing_and_may_close_it() {
    let bed = bed();
    let mut calls = JoinSet::new();
    for who in 0..30u32 {
        let bed = bed.clone();
        let takes = if who < 10 { ms(10) } else { s(4) };
        calls.spawn(async move { bed.call(ask(who), takes, |_| Err(unreachable())).await });
    }
    bed.until(ms(3_500)).await;
    let after = bed.calls().len();
    calls.join_all().await;
    bed.until(ms(5_100)).await;
    let _ = bed.call(ask(1), ms(1), |_| Err(unreachable())).await;
    assert_eq!(bed.calls().len(), after + 1, "it is looked for after its first 5 s");

    let bed = self::bed();
    let slow = tokio::spawn({
        let bed = bed.clone();
        async move { bed.call(ask(99), s(2), |_| Ok(())).await }
    });
    tokio::task::yield_now().await;
    fail(&bed, 10, &unreachable()).await;
    assert_eq!(bed.figure(OPEN), 1.0);
    slow.await.unwrap().unwrap();
    assert_eq!(bed.figure(OPEN), 0.0, "it answers after all");
    bed.fine(ask(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_to_find_out_and_is_dropped_makes_way_for_the_next() {
    let bed = bed();
    fail(&bed, 10, &unreachable()).await;
    bed.until(s(6)).await;
    let probe = tokio::spawn({
        let bed = bed.clone();
        async move { bed.call(ask(1), s(10), |_| Ok(())).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(bed.calls().len(), 11);
    probe.abort();
    assert!(probe.await.is_err());
    bed.fine(ask(2)).await.unwrap();
    assert_eq!(bed.figure(OPEN), 0.0);
}

#[tokio::test(start_paused = true)]
async fn l_15_after_an_outage_of_half_an_hour_the_herd_is_spread() {
    let bed = Bed::new();
    let mut calls = JoinSet::new();
    const OUTAGE: Duration = s(1800);
    for who in 0..110u32 {
        let bed = bed.clone();
        // As kubelet and the driver do it: each identity again and again until it has its login and four objects.
        calls.spawn(async move {
            bed.until(ms(37) * who).await;
            let mut done = 0;
            while done < 5 {
                let work = if done == 0 { Work::Exchange } else { super::bed::HARMLESS };
                let up = bed.clone();
                let answer = move |_| if up.since() < OUTAGE { Err(unreachable()) } else { Ok(()) };
                match bed.call(Ask { work, ..ask(who) }, ms(20), answer).await {
                    Ok(()) => done += 1,
                    Err(_) => bed.clock.sleep(s(2)).await,
                }
            }
            bed.since()
        });
    }
    let mut done = calls.join_all().await;
    done.sort_unstable();
    let calls = bed.calls();
    let during = calls.iter().filter(|call| call.at < OUTAGE).count();
    assert!(during <= 10 + 32 + 60, "{during} calls into the void");
    let back: Vec<Duration> = calls.iter().map(|c| c.at).filter(|at| *at >= OUTAGE).collect();
    assert!(back[0] <= OUTAGE + s(62), "it is found within its longest pause: {:?}", back[0]);
    assert!(*back.last().unwrap() - back[0] >= s(10), "spread over {:?}", *back.last().unwrap() - back[0]);
    let most =
        back.iter().map(|from| back.iter().filter(|at| *at >= from && **at < *from + s(1)).count()).max();
    assert!(most <= Some(101), "{most:?} in a second");
    assert!(*done.last().unwrap() <= back[0] + s(30), "and all are served soon: {:?}", done.last());
    assert_eq!(bed.figure(OPEN), 0.0);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_two_lines_in_the_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    outage().await;
    // Another thread may have been the first to come by, and have cached that nobody listens.
    tracing::callsite::rebuild_interest_cache();
    log.0.lock().unwrap().clear();
    outage().await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("WARN") && lines[0].contains("refuses the connection"), "{text}");
    assert!(lines[1].contains("INFO") && lines[1].contains("is back"), "{text}");
    assert!(lines.iter().all(|line| line.contains(SITE) && line.contains("store=vault")), "{text}");
}

async fn outage() {
    let bed = bed();
    fail(&bed, 10, &unreachable()).await;
    while bed.since() < s(120) {
        let _ = bed.call(ask(1), ms(1), |_| Err(unreachable())).await;
        bed.clock.sleep(s(1)).await;
    }
    bed.until(s(200)).await;
    bed.fine(ask(1)).await.unwrap();
}
