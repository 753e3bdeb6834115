//! Whose turn it is: bounds, order, and that nobody waits for another's sake.

use std::time::Duration;

use latchkey::engine::budget::Limits;
use latchkey::error::{Fault, Reason};
use tokio::task::JoinSet;

use super::bed::{Ask, Bed, SITE, ask, ms, s, unreachable};

type Calls = JoinSet<Result<(), Fault>>;

/// Starts calls that take `takes`, in this order.
async fn start(bed: &Bed, asks: impl IntoIterator<Item = Ask>, takes: Duration) -> Calls {
    let mut calls = JoinSet::new();
    add(&mut calls, bed, asks, takes).await;
    calls
}

async fn add(calls: &mut Calls, bed: &Bed, asks: impl IntoIterator<Item = Ask>, takes: Duration) {
    for ask in asks {
        let bed = bed.clone();
        calls.spawn(async move { bed.call(ask, takes, |_| Ok(())).await });
        tokio::task::yield_now().await;
    }
}

async fn all_fine(calls: Calls) {
    calls.join_all().await.into_iter().for_each(|result| result.unwrap());
}

#[tokio::test(start_paused = true)]
async fn no_endpoint_has_more_than_32_calls_and_8_of_one_principal() {
    let bed = Bed::new();
    let calls = start(&bed, (0..120).map(|n| ask(n % 10)), ms(100)).await;
    assert_eq!(bed.now(), 32);
    all_fine(calls).await;
    let seen = bed.seen.lock().unwrap();
    assert_eq!((seen.calls.len(), seen.most), (120, 32));
    assert!(seen.most_of_one <= 8);
}

#[tokio::test(start_paused = true)]
async fn who_waits_behind_its_own_eight_blocks_nobody() {
    let bed = Bed::new();
    let noisy = start(&bed, (0..100).map(|_| ask(1)), s(10)).await;
    assert_eq!(bed.now(), 8);
    bed.call(ask(2), ms(1), |_| Ok(())).await.unwrap();
    assert!(bed.since() < ms(10), "{:?}", bed.since());
    drop(noisy);
}

#[tokio::test(start_paused = true)]
async fn first_mounts_go_before_refreshes_and_every_eighth_turn_is_a_refreshs() {
    let bed = Bed::with(Limits { in_flight: 1, ..Limits::default() }, 1);
    let refresh = |who| Ask { first: false, ..ask(who) };
    let order = (0..10).map(|n| refresh(100 + n)).chain((0..30).map(ask));
    all_fine(start(&bed, order, ms(1)).await).await;
    let classes: Vec<bool> = bed.calls().iter().map(|call| call.first).collect();
    assert!(!classes[0], "nobody else was there yet");
    let turns: Vec<usize> = (1..classes.len()).filter(|at| !classes[*at]).collect();
    assert_eq!(turns[..4], [8, 16, 24, 32], "{classes:?}");
    assert!(turns[4..].iter().all(|at| *at > 32));
    for class in [true, false] {
        let who: Vec<u32> = bed.calls().iter().filter(|c| c.first == class).map(|c| c.who).collect();
        assert!(who.is_sorted(), "first come, first served: {who:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn principals_have_their_turns_in_turn_whoever_has_more() {
    let bed = Bed::with(Limits { in_flight: 1, per_principal: 1, ..Limits::default() }, 1);
    let order = (0..40).map(|_| ask(1)).chain([ask(2), ask(3), ask(2)]);
    all_fine(start(&bed, order, ms(1)).await).await;
    let who: Vec<u32> = bed.calls().iter().map(|call| call.who).collect();
    assert_eq!(who[..7], [1, 1, 2, 3, 1, 2, 1], "{who:?}");
}

#[tokio::test(start_paused = true)]
async fn beyond_the_line_it_is_busy_at_once_and_one_principal_has_half_of_it() {
    let bed = Bed::with(Limits { queue: 20, ..Limits::default() }, 1);
    let refused = async |who| {
        let before = bed.since();
        let fault = bed.fine(ask(who)).await.unwrap_err();
        assert_eq!(bed.since(), before, "at once");
        assert_eq!(fault.problem.reason, Reason::Busy);
        assert!(fault.problem.remedy.contains("`limits.callsQueued`"));
        assert_eq!(fault.problem.place.hop.as_deref(), Some(SITE));
    };
    let mut calls = start(&bed, (0..18).map(|_| ask(1)), s(1)).await;
    refused(1).await;
    // Places in flight are left for others, and then the rest of the line.
    add(&mut calls, &bed, (0..24).map(|n| ask(2 + n % 3)), s(1)).await;
    assert_eq!(bed.now(), 32);
    add(&mut calls, &bed, (60..70).map(|n| Ask { tenant: n, ..ask(n) }), s(1)).await;
    refused(50).await;
    all_fine(calls).await;
    bed.fine(ask(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_tenant_with_very_many_principals_leaves_a_quarter_of_the_line_to_others() {
    let bed = Bed::with(Limits { queue: 20, ..Limits::default() }, 1);
    let mut calls = start(&bed, (0..32 + 15).map(ask), s(1)).await;
    let fault = bed.fine(ask(99)).await.unwrap_err();
    assert_eq!((fault.problem.reason, bed.since()), (Reason::Busy, ms(0)));
    add(&mut calls, &bed, (0..5).map(|n| Ask { tenant: 1, ..ask(200 + n) }), s(1)).await;
    all_fine(calls).await;
}

#[tokio::test(start_paused = true)]
async fn a_tenant_has_eight_budgets_at_one_server_however_many_tls_settings_it_spells() {
    let bed = Bed::new();
    let spelled: Vec<String> = (0..20).map(|n| format!("/ca/{n}")).collect();
    let at = |n: usize| Ask { ca: Some(spelled[n].clone().leak()), ..ask(1) };
    for n in 0..8 {
        bed.fine(at(n)).await.unwrap();
    }
    let fault = bed.fine(at(8)).await.unwrap_err();
    assert_eq!((fault.problem.reason, fault.problem.place.hop.as_deref()), (Reason::Busy, Some(SITE)));
    assert!(fault.problem.remedy.contains("the same authorities"), "{}", fault.problem);
    bed.fine(at(0)).await.unwrap();
    bed.fine(Ask { tenant: 2, ..at(9) }).await.unwrap();
    bed.fine(at(9)).await.unwrap();
    bed.fine(Ask { endpoint: Some("https://elsewhere.corp"), ..at(8) }).await.unwrap();
    // None of its own was used for a minute, but for one.
    bed.until(s(40)).await;
    bed.fine(at(0)).await.unwrap();
    bed.until(s(61)).await;
    for n in 10..17 {
        bed.fine(at(n)).await.unwrap();
    }
    assert_eq!(bed.fine(at(17)).await.unwrap_err().problem.reason, Reason::Busy);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_does_not_come_in_time_names_the_limit_that_it_waited_for() {
    for (who, key) in [(1, "`limits.callsPerPrincipal`"), (9, "`limits.callsInFlight`")] {
        let bed = Bed::new();
        let _calls = start(&bed, (0..32).map(|n| ask(1 + n % 4)), s(14)).await;
        let fault = bed.fine(Ask { within: s(2), ..ask(who) }).await.unwrap_err();
        assert_eq!(fault.problem.reason, Reason::Busy);
        assert!(fault.problem.remedy.contains(key), "{}", fault.problem);
        assert_eq!(bed.since(), ms(1950), "with as much time left as an attempt needs");
    }
}

#[tokio::test(start_paused = true)]
async fn there_are_400_calls_at_once_and_100_a_second() {
    let limits = Limits { in_flight: 1000, per_principal: 1000, ..Limits::default() };
    let bed = Bed::with(limits, 1);
    all_fine(start(&bed, (0..700).map(|n| ask(n % 7)), ms(1)).await).await;
    let calls = bed.calls();
    assert_eq!(calls.iter().filter(|call| call.at < ms(10)).count(), 400);
    for (number, call) in (1..).zip(&calls[400..]) {
        let earliest = ms(10) * number;
        assert!(call.at >= earliest && call.at <= earliest + ms(3), "{number}: {:?}", call.at);
    }
    bed.until(s(10)).await;
    all_fine(start(&bed, (0..450).map(ask), ms(1)).await).await;
    assert_eq!(bed.calls().iter().filter(|c| c.at >= s(10) && c.at < ms(10_009)).count(), 400, "full again");
}

#[tokio::test(start_paused = true)]
async fn a_budget_belongs_to_a_site_and_its_tls_settings() {
    let bed = Bed::new();
    let _calls = start(&bed, (0..32).map(ask), s(14)).await;
    let waits = async |ask: Ask| {
        let before = bed.calls().len();
        let _ = bed.fine(Ask { within: ms(100), ..ask }).await;
        bed.calls().len() == before
    };
    assert!(waits(Ask { endpoint: Some("https://VAULT.corp:8200/a/path/"), ..ask(99) }).await);
    for other in ["http://vault.corp:8200", "https://vault.corp", "https://vault2.corp:8200", "unix:///run/v"]
    {
        assert!(!waits(Ask { endpoint: Some(other), ..ask(99) }).await, "{other}");
    }
    assert!(!waits(Ask { ca: Some("/etc/ca.pem"), ..ask(99) }).await);
}

#[tokio::test(start_paused = true)]
async fn idle_endpoints_are_forgotten_and_used_ones_are_not() {
    let bed = Bed::with(Limits { breaker_after: 1, ..Limits::default() }, 1);
    let down = Ask { endpoint: Some("https://down.corp"), ..ask(1) };
    bed.call(down, ms(1), |_| Err(unreachable())).await.unwrap_err();
    let open = r#"latchkey_breaker_open{store="vault"}"#;
    assert_eq!(bed.figure(open), 1.0);
    let _calls = start(&bed, (0..32).map(ask), s(14)).await;
    for n in 0..300 {
        let site: &'static str = Box::leak(format!("https://v{n}.corp").into());
        bed.fine(Ask { endpoint: Some(site), ..ask(1) }).await.unwrap();
    }
    assert_eq!(bed.figure(open), 0.0, "what is forgotten counts no longer");
    bed.fine(down).await.unwrap();
    let busy = bed.fine(Ask { within: ms(100), ..ask(99) }).await.unwrap_err();
    assert_eq!(busy.problem.reason, Reason::Busy, "an endpoint in use keeps its budget");
}

/// Times from asking to being answered, in milliseconds, sorted, of eight principals that ask once a second each.
async fn others(bed: &Bed) -> Vec<u128> {
    let mut calls = JoinSet::new();
    for who in 10..18u32 {
        let bed = bed.clone();
        calls.spawn(async move {
            let mut took = Vec::new();
            for round in 0..60u32 {
                bed.until(s(1) * round + ms(125) * (who - 10)).await;
                let from = bed.since();
                bed.call(ask(who), ms(20), |_| Ok(())).await.unwrap();
                took.push((bed.since() - from).as_millis());
            }
            took
        });
    }
    let mut all: Vec<u128> = calls.join_all().await.concat();
    all.sort_unstable();
    all
}

#[tokio::test(start_paused = true)]
async fn l_19_a_noisy_principal_makes_others_wait_no_longer() {
    let quiet = others(&Bed::new()).await;
    let bed = Bed::new();
    let noisy = tokio::spawn({
        let bed = bed.clone();
        async move {
            let mut calls = JoinSet::new();
            for n in 0..60_000 {
                bed.until(ms(n)).await;
                let bed = bed.clone();
                calls
                    .spawn(async move { bed.call(Ask { within: s(5), ..ask(1) }, ms(20), |_| Ok(())).await });
            }
            calls.join_all().await.iter().filter(|result| result.is_ok()).count()
        }
    });
    let loud = others(&bed).await;
    let p99 = |all: &[u128]| all[all.len() * 99 / 100];
    assert!(p99(&loud) <= 2 * p99(&quiet), "{} ms against {} ms", p99(&loud), p99(&quiet));
    let served = noisy.await.unwrap();
    assert!(served > 5_000, "and is served what is left: {served}");
}
