//! Random calls, faults, deadlines and departures: what always holds.

use std::time::Duration;

use latchkey::engine::budget::{Limits, Work};
use latchkey::error::{Fault, Reason, Retry};
use proptest::prelude::*;
use tokio::task::JoinSet;

use super::bed::{Ask, Bed, ask, fault, ms, s, throttled, unreachable};

#[derive(Clone, Debug)]
struct Plan {
    at: u64,
    who: u32,
    first: bool,
    exchange: bool,
    within: u64,
    takes: u64,
    answers: [u8; 3],
    leaves: Option<u64>,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let plan = (
        0u64..8_000,
        0u32..12,
        any::<bool>(),
        any::<bool>(),
        1u64..20_000,
        0u64..400,
        prop::array::uniform3(0u8..20),
        prop::option::weighted(0.1, 0u64..3_000),
    );
    let plan = plan.prop_map(|(at, who, first, exchange, within, takes, answers, leaves)| Plan {
        at,
        // A third of all is one principal's.
        who: who.saturating_sub(4),
        first,
        exchange,
        within,
        takes,
        answers,
        leaves,
    });
    prop::collection::vec(plan, 100..600)
}

fn answer(code: u8) -> Result<(), Fault> {
    match code {
        0 => Err(throttled(Some(1))),
        1 => Err(throttled(None)),
        2..5 => Err(unreachable()),
        5 => Err(Fault { doubtful: true, ..fault(Reason::Upstream, "500") }),
        6 => Err(Fault { retry: Retry::Never, ..fault(Reason::Forbidden, "403") }),
        _ => Ok(()),
    }
}

async fn run(plans: Vec<Plan>, seed: u64) -> Result<(), TestCaseError> {
    let limits = Limits { burst: 50, per_second: 50, queue: 60, breaker_after: 6, ..Limits::default() };
    let bed = Bed::with(limits, seed);
    let mut calls = JoinSet::new();
    for plan in plans {
        let bed = bed.clone();
        calls.spawn(async move {
            bed.until(ms(plan.at)).await;
            let work = if plan.exchange { Work::Exchange } else { Work::Read { harmless: false } };
            let ask = Ask { first: plan.first, work, within: ms(plan.within), ..ask(plan.who) };
            let from = bed.since();
            let call = bed.call(ask, ms(plan.takes), |n| answer(plan.answers[n - 1]));
            let leaves = plan.leaves.map_or(s(3600), ms);
            let ended = bed.clock.until(bed.clock.now() + leaves, call).await;
            (bed.since() - from, ms(plan.within), ended.is_some())
        });
    }
    for (took, within, ended) in calls.join_all().await {
        prop_assert!(!ended || took <= within + ms(1), "{took:?} of {within:?}");
    }
    {
        let seen = bed.seen.lock().unwrap();
        prop_assert!(seen.most <= 32 && seen.most_of_one <= 8, "{} and {}", seen.most, seen.most_of_one);
        for (number, from) in seen.calls.iter().enumerate() {
            let second = seen.calls[number..].iter().take_while(|call| call.at < from.at + s(1)).count();
            prop_assert!(second <= 50 + 51, "{second} in a second");
        }
    }
    prop_assert_eq!(bed.now(), 0);
    // Nothing has leaked: after a rest all places are there, for one and for all.
    bed.clock.sleep(s(3600)).await;
    bed.fine(ask(0)).await.unwrap();
    bed.clock.sleep(s(3600)).await;
    let before = bed.calls().len();
    let mut calls = JoinSet::new();
    for n in 0..40u32 {
        let bed = bed.clone();
        calls.spawn(async move { bed.call(ask(n % 4), ms(100), |_| Ok(())).await });
    }
    bed.clock.sleep(ms(50)).await;
    prop_assert_eq!(bed.calls().len() - before, 32);
    prop_assert!(calls.join_all().await.iter().all(Result::is_ok));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_the_bounds_hold_nobody_waits_too_long_and_nothing_leaks(plans in plans(), seed: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(plans, seed))?;
    }
}

#[tokio::test(start_paused = true)]
async fn first_mounts_wait_less_than_refreshes_and_no_refresh_waits_forever() {
    let limits = Limits { in_flight: 4, ..Limits::default() };
    let bed = Bed::with(limits, 1);
    let mut calls = JoinSet::new();
    // More than four at a time of 100 ms can do: the line grows for ten seconds.
    for n in 0..600u32 {
        let bed = bed.clone();
        calls.spawn(async move {
            bed.until(ms(16) * n).await;
            let from = bed.since();
            let first = n % 3 > 0;
            let result = bed.call(Ask { first, ..ask(n) }, ms(100), |_| Ok(())).await;
            (first, bed.since() - from, result.is_ok())
        });
    }
    let results = calls.join_all().await;
    let mean = |which: bool| {
        let of: Vec<Duration> = results.iter().filter(|r| r.0 == which).map(|r| r.1).collect();
        of.iter().sum::<Duration>().div_f64(of.len() as f64)
    };
    assert!(results.iter().all(|(.., fine)| *fine));
    assert!(mean(true) * 3 < mean(false), "{:?} against {:?}", mean(true), mean(false));
    let early = bed.calls().iter().filter(|call| !call.first && call.at < s(10)).count();
    assert!(early >= 40, "an eighth of all turns is theirs meanwhile: {early}");
}
