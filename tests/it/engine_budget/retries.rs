//! When an attempt is repeated, after which pause, and when none is begun.

use std::time::Duration;

use latchkey::engine::budget::{Limits, Work};
use latchkey::error::{Fault, Reason, Retry};

use super::bed::{Ask, Bed, HARMLESS, ask, fault, ms, s, throttled, unreachable};

const DOUBTFUL: Work = Work::Read { harmless: false };

/// How many attempts a fault costs that does not go away.
async fn attempts(work: Work, retry: Retry, doubtful: bool) -> usize {
    let bed = Bed::new();
    let fault = Fault { retry, doubtful, ..fault(Reason::Upstream, "500") };
    let failed = bed.call(Ask { work, ..ask(1) }, ms(5), |_| Err(fault.clone())).await.unwrap_err();
    assert_eq!((failed.problem.what.as_str(), failed.retry), ("500", retry));
    bed.calls().len()
}

#[tokio::test(start_paused = true)]
async fn f_03_one_failure_of_the_backend_is_one_retry() {
    let bed = Bed::new();
    let answer = |n| if n == 1 { Err(fault(Reason::Upstream, "500")) } else { Ok(()) };
    bed.call(ask(1), ms(5), answer).await.unwrap();
    assert_eq!(bed.calls().len(), 2);
    assert_eq!(bed.figure(r#"latchkey_retries_total{store="vault",reason="upstream"}"#), 1.0);
    assert_eq!(bed.figure(r#"latchkey_queue_seconds_count{store="vault",priority="first"}"#), 2.0);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_is_tried_twice_and_a_read_three_times() {
    assert_eq!(attempts(Work::Exchange, Retry::Backoff, false).await, 2);
    assert_eq!(attempts(HARMLESS, Retry::Backoff, false).await, 3);
    assert_eq!(attempts(DOUBTFUL, Retry::Backoff, false).await, 3);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_happened_is_repeated_only_where_it_does_no_harm() {
    assert_eq!(attempts(Work::Exchange, Retry::Backoff, true).await, 2);
    assert_eq!(attempts(HARMLESS, Retry::Backoff, true).await, 3);
    assert_eq!(attempts(DOUBTFUL, Retry::Backoff, true).await, 1);
    assert_eq!(attempts(DOUBTFUL, Retry::After(s(1)), true).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_repetition_cannot_mend_comes_back_at_once() {
    for work in [Work::Exchange, HARMLESS] {
        assert_eq!(attempts(work, Retry::Never, false).await, 1);
        assert_eq!(attempts(work, Retry::Login, false).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_leaves_no_process_is_asked_once_and_leaves_no_trace() {
    let bed = Bed::new();
    let local = Ask { endpoint: None, within: ms(1), ..ask(1) };
    assert!(bed.call(local, Duration::ZERO, |_| Err(unreachable())).await.is_err());
    assert_eq!(bed.calls().len(), 1, "no retry, and no least time");
    assert!(!bed.metrics.encode().contains("store=\"vault\""), "and no figure");
}

/// The pauses between the attempts of one read that always fails.
async fn pauses(limits: Limits, seed: u64) -> Vec<Duration> {
    let bed = Bed::with(limits, seed);
    bed.call(ask(1), Duration::ZERO, |_| Err(fault(Reason::Upstream, "500"))).await.unwrap_err();
    bed.calls().windows(2).map(|pair| pair[1].at - pair[0].at).collect()
}

#[tokio::test(start_paused = true)]
async fn pauses_are_any_part_of_a_span_that_doubles_up_to_5_s() {
    let limits = Limits { reads: 8, ..Limits::default() };
    let mut tenths = [[0; 10]; 7];
    const RUNS: usize = 1_000;
    for seed in 0..RUNS {
        for (number, pause) in pauses(limits, seed as u64 * 7919).await.into_iter().enumerate() {
            let most = ms(200 << number).min(s(5));
            assert!(pause <= most + ms(1), "pause {number}: {pause:?}");
            let tenth = (1..10).filter(|tenth| pause >= most * *tenth / 10).count();
            tenths[number][tenth] += 1;
        }
    }
    // A tenth each: 100 ± 9.5 by chance.
    for (number, tenths) in tenths.iter().enumerate() {
        assert!(tenths.iter().all(|count| (60..=140).contains(count)), "pause {number}: {tenths:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_seed_decides_about_every_pause() {
    let limits = Limits { reads: 8, ..Limits::default() };
    assert_eq!(pauses(limits, 5).await, pauses(limits, 5).await);
    assert_ne!(pauses(limits, 5).await, pauses(limits, 6).await);
}

#[tokio::test(start_paused = true)]
async fn two_processes_do_not_pause_alike() {
    let limits = Limits { reads: 8, ..Limits::default() };
    let mut all = Vec::new();
    for _ in 0..2 {
        let mut bed = Bed::new();
        bed.budgets = std::sync::Arc::new(latchkey::engine::budget::Budgets::new(
            bed.clock,
            bed.metrics.clone(),
            limits,
        ));
        bed.call(ask(1), Duration::ZERO, |_| Err(unreachable())).await.unwrap_err();
        all.push(bed.calls().windows(2).map(|pair| pair[1].at - pair[0].at).collect::<Vec<_>>());
    }
    assert_ne!(all[0], all[1]);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_that_cannot_end_in_time() {
    let bed = Bed::new();
    let short = bed.fine(Ask { within: ms(49), ..ask(1) }).await.unwrap_err();
    assert_eq!(short.problem.reason, Reason::Timeout);
    assert_eq!(bed.calls().len(), 0);
    let mut most = 0;
    for seed in 0..200 {
        let bed = Bed::with(Limits { reads: 8, ..Limits::default() }, seed);
        let failed = bed
            .call(Ask { within: ms(400), ..ask(1) }, ms(10), |_| Err(fault(Reason::Upstream, "500")))
            .await
            .unwrap_err();
        assert_eq!(failed.problem.what, "500", "its own words, not those of a deadline");
        assert!(bed.since() < ms(400), "{:?}: it fails as soon as that is clear", bed.since());
        assert!(bed.calls().iter().all(|call| call.at <= ms(350)), "{:?}", bed.calls());
        most = most.max(bed.calls().len());
    }
    assert!(most >= 4, "there is time for several: {most}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_after_15_s_and_no_answer_comes_after_the_deadline() {
    let bed = Bed::new();
    let late = bed.call(ask(1), s(3600), |_| Ok(())).await.unwrap_err();
    assert_eq!((late.problem.reason, late.doubtful), (Reason::Timeout, true));
    assert_eq!(late.problem.place.hop.as_deref(), Some(super::bed::SITE));
    let starts: Vec<_> = bed.calls().iter().map(|call| call.at).collect();
    assert_eq!(starts.len(), 3);
    assert!(starts[1] >= s(15) && starts[1] <= ms(15_205), "{starts:?}");
    let bed = Bed::new();
    bed.call(Ask { within: s(20), ..ask(1) }, s(3600), |_| Ok(())).await.unwrap_err();
    assert_eq!((bed.calls().len(), bed.since()), (2, s(20)));
    let bed = Bed::new();
    let ask = Ask { work: DOUBTFUL, ..ask(1) };
    bed.call(ask, s(3600), |_| Ok(())).await.unwrap_err();
    assert_eq!(bed.calls().len(), 1, "it may have happened");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_finds_no_turn_ends_with_what_its_own_attempt_met() {
    let bed = Bed::with(Limits { breaker_after: 1, ..Limits::default() }, 1);
    let failed = bed.call(ask(1), ms(5), |_| Err(unreachable())).await.unwrap_err();
    assert_eq!(failed.problem.what, "refuses the connection");
    assert_eq!(bed.figure("latchkey_retries_total"), 0.0, "what was not repeated is not counted so");
    let bed = Bed::new();
    let failed = bed.call(ask(1), ms(5), |_| Err(throttled(Some(3600)))).await.unwrap_err();
    assert_eq!((failed.problem.reason, bed.calls().len()), (Reason::Throttled, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_run_on_any_thread() {
    let bed = Bed { clock: latchkey::clock::Clock::system(), ..Bed::new() };
    let tasks = (0..64u32).map(|who| {
        let bed = bed.clone();
        tokio::spawn(async move { bed.fine(ask(who % 4)).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
}
