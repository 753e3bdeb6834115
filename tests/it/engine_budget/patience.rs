//! A backend that asks for patience: one word holds the whole endpoint back, and then one call finds out.

use std::time::Duration;

use latchkey::engine::budget::{Limits, Work};
use latchkey::error::{Fault, Reason, Retry};
use tokio::task::JoinSet;

use super::bed::{Ask, Bed, ask, fault, ms, s, throttled, unreachable};
use crate::papers::page;
const WORDS: &str = "throttled by https://vault.corp:8200";

#[tokio::test(start_paused = true)]
async fn f_01_one_call_per_word_of_the_backend_and_the_same_text_each_time() {
    let (bed, page) = (Bed::new(), page());
    let mut calls = JoinSet::new();
    // Ten mounts a second, of many pods, each with 45 s.
    for n in 0..600u32 {
        let bed = bed.clone();
        calls.spawn(async move {
            bed.until(ms(100) * n).await;
            let ask = Ask { within: s(45), ..ask(n) };
            bed.call(ask, ms(20), |_| Err(throttled(Some(5)))).await.unwrap_err()
        });
    }
    for fault in calls.join_all().await {
        assert_eq!((fault.problem.reason, fault.problem.what.as_str()), (Reason::Throttled, WORDS));
        assert!(
            page.contains(&format!("throttled: store `vault`: {}\n", fault.problem)),
            "{}",
            fault.problem
        );
    }
    let calls = bed.calls();
    for pair in calls.windows(2) {
        assert!(pair[1].at - pair[0].at >= s(5), "{pair:?}");
    }
    // 105 s of it, 5 to 7.5 s each.
    assert!((14..=21).contains(&calls.len()), "{} calls", calls.len());
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_is_told_the_same_and_extends_nothing() {
    let bed = Bed::new();
    let mut calls = JoinSet::new();
    for n in 0..32u32 {
        let bed = bed.clone();
        calls.spawn(async move {
            // The last few come back later than the first word.
            bed.call(
                ask(n),
                ms(20) * (1 + n / 8),
                |call| if call == 1 { Err(throttled(Some(5))) } else { Ok(()) },
            )
            .await
        });
    }
    calls.join_all().await.into_iter().for_each(|result| result.unwrap());
    let again: Vec<Duration> = bed.calls()[32..].iter().map(|call| call.at).collect();
    assert_eq!(again.len(), 32);
    assert!(again[0] >= ms(5_020) && again[0] <= ms(7_590), "{again:?}");
    assert!(again[1] >= again[0] + ms(20), "one finds out first");
    for pair in again[1..].windows(2) {
        assert!(pair[1] - pair[0] >= ms(49), "then they go gently: {again:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_two_nodes_return_in_step() {
    let mut waits = Vec::new();
    for seed in 0..400 {
        let bed = Bed::with(Limits::default(), seed * 31);
        let answer = |n| if n == 1 { Err(throttled(Some(10))) } else { Ok(()) };
        bed.call(ask(1), Duration::ZERO, answer).await.unwrap();
        waits.push(bed.calls()[1].at);
    }
    waits.sort_unstable();
    assert!(waits[0] >= s(10) && waits[399] <= ms(15_001));
    // Evenly over half as much again: no tenth of that holds many more than a tenth of them.
    for from in (0..10).map(|n| s(10) + ms(500) * n) {
        let count = waits.iter().filter(|at| **at >= from && **at < from + ms(500)).count();
        assert!((18..=65).contains(&count), "{count} from {from:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_wait_so_long_is_told_at_once_and_who_can_waits() {
    // One at a time, so that the others are in the line when the word comes.
    let bed = Bed::with(Limits { in_flight: 1, ..Limits::default() }, 1);
    let mut calls = JoinSet::new();
    for (who, within) in [(1, s(90)), (2, s(8)), (3, s(90))] {
        let bed = bed.clone();
        calls.spawn(async move {
            let ask = Ask { within, ..ask(who) };
            let result = bed
                .call(ask, ms(100), |n| if n == 1 && who == 1 { Err(throttled(Some(30))) } else { Ok(()) })
                .await;
            (who, result, bed.since())
        });
        tokio::task::yield_now().await;
    }
    let mut results = calls.join_all().await;
    results.sort_by_key(|(who, ..)| *who);
    let (_, waited, at) = &results[1];
    let told = waited.as_ref().unwrap_err();
    assert_eq!(told.problem.reason, Reason::Throttled);
    assert!(*at <= ms(102), "in the line, and told as soon as it is clear: {at:?}");
    for (who, result, at) in [&results[0], &results[2]] {
        assert!(result.is_ok() && *at >= s(30), "{who}");
    }
    // And who comes while it holds.
    let bed = Bed::new();
    let fault =
        bed.call(Ask { within: s(29), ..ask(1) }, ms(10), |_| Err(throttled(Some(30)))).await.unwrap_err();
    assert_eq!((bed.since(), bed.calls().len()), (ms(10), 1));
    let next = bed.fine(Ask { within: s(20), ..ask(2) }).await.unwrap_err();
    assert_eq!((bed.since(), bed.calls().len()), (ms(10), 1), "at once, without a call");
    assert_eq!(next.problem.to_string(), fault.problem.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_names_no_time_is_asked_less_and_less() {
    let bed = Bed::with(Limits { reads: 8, ..Limits::default() }, 1);
    let fault = bed.call(ask(1), Duration::ZERO, |_| Err(throttled(None))).await.unwrap_err();
    assert_eq!(fault.problem.what, WORDS);
    let pauses: Vec<Duration> = bed.calls().windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    for (number, pause) in pauses.iter().enumerate() {
        let least = ms(200 << number).min(s(5));
        assert!(*pause >= least && *pause <= least * 3 / 2 + ms(2), "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_word_holds_an_endpoint_for_longer_than_five_minutes() {
    let bed = Bed::new();
    let once = Ask { work: Work::Exchange, ..ask(1) };
    let fault = bed.call(once, ms(1), |_| Err(throttled(Some(1_000_000)))).await.unwrap_err();
    assert_eq!(fault.problem.what, WORDS);
    bed.until(s(299)).await;
    assert!(bed.fine(Ask { within: ms(900), ..ask(2) }).await.is_err());
    bed.until(s(452)).await;
    bed.fine(Ask { within: s(1), ..ask(2) }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_5xx_that_names_a_time_is_waited_for_in_its_own_words() {
    let bed = Bed::new();
    let sealed = Fault { retry: Retry::After(s(3)), ..fault(Reason::Upstream, "Vault is sealed") };
    let failed = bed.call(Ask { within: s(20), ..ask(1) }, ms(1), |_| Err(sealed.clone())).await.unwrap_err();
    assert_eq!(failed.problem.what, "Vault is sealed");
    let calls = bed.calls();
    assert_eq!(calls.len(), 3);
    assert!(calls.windows(2).all(|pair| pair[1].at - pair[0].at >= s(3)));
}

#[tokio::test(start_paused = true)]
async fn another_failure_after_the_time_ends_the_patience() {
    let bed = Bed::new();
    let answer = |n| match n {
        1 => Err(throttled(Some(2))),
        2 => Err(unreachable()),
        _ => Ok(()),
    };
    bed.call(ask(1), ms(1), answer).await.unwrap();
    let before = bed.since();
    bed.fine(ask(2)).await.unwrap();
    assert!(bed.since() - before <= ms(55), "nothing is held back any more");
}

#[tokio::test(start_paused = true)]
async fn the_longest_word_counts() {
    let bed = Bed::new();
    let mut calls = JoinSet::new();
    for (who, said) in [(1, 30), (2, 1)] {
        let bed = bed.clone();
        calls.spawn(async move {
            let answer = |n| if n == 1 { Err(throttled(Some(said))) } else { Ok(()) };
            bed.call(ask(who), ms(10) * who, answer).await
        });
    }
    calls.join_all().await.into_iter().for_each(|result| result.unwrap());
    let again: Vec<Duration> = bed.calls()[2..].iter().map(|call| call.at).collect();
    assert!(again.iter().all(|at| *at >= s(30)), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_always_asked_for_patience_closes_the_endpoint_to_no_other() {
    let bed = Bed::new();
    let mut calls = JoinSet::new();
    // A quota of their own, which is used up: two pods try all the time, each for as long as a mount lasts.
    for n in 0..1_200u32 {
        let bed = bed.clone();
        calls.spawn(async move {
            bed.until(ms(500) * n).await;
            let ask = Ask { within: s(45), tenant: 9, ..ask(n % 2) };
            bed.call(ask, ms(20), |_| Err(throttled(Some(240)))).await.map_err(|fault| fault.problem.reason)
        });
    }
    bed.until(ms(100)).await;
    let mut waited = Vec::new();
    for n in 0..110u32 {
        let (bed, from) = (bed.clone(), bed.since());
        bed.fine(Ask { within: s(30), tenant: n % 3, ..ask(100 + n) })
            .await
            .expect("it is not they who ask too much");
        waited.push(bed.since() - from);
        bed.until(bed.since() + s(5)).await;
    }
    // One of theirs finds out, once; from then on nobody waits.
    assert!(waited[0] <= ms(7_501), "{waited:?}");
    assert!(waited[1..].iter().all(|waited| *waited <= ms(250)), "{waited:?}");
    for result in calls.join_all().await {
        assert_eq!(result, Err(Reason::Throttled));
    }
    let theirs = bed.calls().iter().filter(|call| call.who < 2).map(|call| call.at).collect::<Vec<_>>();
    assert!(theirs.len() <= 8, "the word is heeded: {theirs:?}");
}

#[tokio::test(start_paused = true)]
async fn what_two_tenants_are_asked_holds_for_all() {
    let bed = Bed::new();
    let said = |_| Err(throttled(Some(60)));
    bed.call(Ask { within: s(20), tenant: 1, ..ask(1) }, ms(1), said).await.unwrap_err();
    let second = bed.call(Ask { within: s(20), tenant: 2, ..ask(2) }, ms(1), said).await.unwrap_err();
    assert_eq!(
        (second.problem.reason, bed.calls().len()),
        (Reason::Throttled, 2),
        "it found out for the others"
    );
    bed.until(s(40)).await;
    assert!(bed.fine(Ask { within: s(20), tenant: 3, ..ask(3) }).await.is_err());
    bed.until(s(100)).await;
    bed.fine(Ask { within: s(1), tenant: 3, ..ask(3) }).await.unwrap();
}

/// A quota of leases, at a login too: nothing comes back by waiting a little, and nobody else is held up.
#[tokio::test(start_paused = true)]
async fn what_is_used_up_is_told_in_its_own_words_and_holds_nobody_up() {
    let bed = Bed::new();
    let used_up = Fault { retry: Retry::Never, ..fault(Reason::Throttled, "a quota of leases is used up") };
    for _ in 0..20 {
        let told = bed.call(ask(1), ms(1), |_| Err(used_up.clone())).await.unwrap_err();
        assert_eq!(told.problem.what, "a quota of leases is used up");
    }
    let before = bed.since();
    bed.fine(ask(1)).await.unwrap();
    bed.fine(ask(2)).await.unwrap();
    assert_eq!((bed.since(), bed.calls().len()), (before, 22));
}
