//! Time and size: every hop has its bound, and a caller's deadline that is earlier wins.

use std::time::Duration;

use futures_util::FutureExt as _;
use http::Method;
use latchkey::error::{Reason, Retry};
use latchkey::model::{Origin, Tls};
use latchkey::net::{Config, Limits, Names};
use latchkey::room::{Allowance, Claim, Room};

use super::{administrators, is, now, stack};
use crate::testkit::{BlackHole, Manner, Reply, Testkit, held};

const MINUTE: Duration = Duration::from_secs(60);
/// How exactly held time tells when something happened.
const STEP: Duration = Duration::from_millis(500);

fn about(took: Duration, seconds: u64) {
    let wanted = Duration::from_secs(seconds);
    assert!(took >= wanted && took <= wanted + STEP, "{took:?}, not {wanted:?}");
}

#[tokio::test]
async fn a_connection_that_nobody_takes_is_given_up_after_3_s() {
    let hole = BlackHole::open();
    let held = held();
    let stack = stack(held.clock, Config::default());
    let endpoint = administrators(&format!("http://{}", hole.address));
    let (outcome, took) = held.drive(MINUTE, stack.get(&endpoint, "/v1/a")).await;
    let told = is(outcome.unwrap(), Reason::Unreachable, Retry::Backoff, false);
    assert!(told.contains("no connection in time"), "{told}");
    about(took, 3);
}

#[tokio::test]
async fn a_handshake_that_nobody_answers_is_given_up_after_5_s_more() {
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let held = held();
    let stack = stack(held.clock, Config::default());
    let mut endpoint = administrators(&format!("https://{}", mute.local_addr().unwrap()));
    endpoint.tls = Tls { skip_verify: true, ..Tls::default() };
    let (outcome, took) = held.drive(MINUTE, stack.get(&endpoint, "/v1/a")).await;
    let told = is(outcome.unwrap(), Reason::Timeout, Retry::Backoff, false);
    assert!(told.contains("TLS handshake was not finished in time"), "{told}");
    about(took, 5);
    assert_eq!(stack.counted("timeout"), 1);
}

#[tokio::test]
async fn a_name_that_nobody_resolves_in_time_is_given_up_after_6_s() {
    let held = held();
    let (hold, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let names = Names::of(move |_| {
        let _ = released.lock().unwrap().recv();
        Ok(Vec::new())
    });
    let stack = stack(held.clock, Config { names, ..Config::default() });
    let (outcome, took) = held.drive(MINUTE, stack.get(&administrators("http://vault.corp"), "/v1/a")).await;
    let told = is(outcome.unwrap(), Reason::Unreachable, Retry::Backoff, false);
    assert!(told.contains("`vault.corp` was not resolved in time (DNS)"), "{told}");
    about(took, 6);
    assert_eq!(stack.counted("dns"), 1);
    drop(hold);
}

#[tokio::test]
async fn f_11_headers_have_10_s_and_the_whole_answer_15_s() {
    let kit = Testkit::start();
    let held = held();
    let stack = stack(held.clock, Config::default());
    let endpoint = kit.endpoint(Origin::Administrator);
    for (manner, seconds, text) in [
        (Manner::Hang, 10, "did not answer in time"),
        (Manner::HangAfter(0), 15, "answer did not end in time"),
        (Manner::HangAfter(500), 15, "answer did not end in time"),
        (Manner::Slow(Duration::from_millis(20)), 15, "answer did not end in time"),
    ] {
        kit.script("/", manner.clone().into());
        let (outcome, took) = held.drive(MINUTE, stack.get(&endpoint, "/v1/a")).await;
        let told = is(outcome.unwrap(), Reason::Timeout, Retry::Backoff, true);
        assert!(told.contains(text), "{manner:?}: {told}");
        about(took, seconds);
    }
    kit.script("/", Reply::text(200, "x"));
    assert!(stack.get(&endpoint, "/v1/a").await.is_ok(), "and nobody else is disturbed");
    assert_eq!(stack.counted("timeout"), 4);
}

#[tokio::test]
async fn a_callers_earlier_deadline_wins_at_every_hop() {
    let (kit, hole) = (Testkit::start(), BlackHole::open());
    let held = held();
    let stack = stack(held.clock, Config::default());
    let endpoint = kit.endpoint(Origin::Administrator);
    let soon = Duration::from_secs(2);
    for manner in [Manner::Hang, Manner::HangAfter(10)] {
        kit.script("/", manner.into());
        let (outcome, took) = held.drive(MINUTE, stack.within(&endpoint, soon)).await;
        is(outcome.unwrap(), Reason::Timeout, Retry::Backoff, true);
        about(took, 2);
    }
    let nowhere = administrators(&format!("http://{}", hole.address));
    let (outcome, took) = held.drive(MINUTE, stack.within(&nowhere, soon)).await;
    assert_eq!(outcome.unwrap().err().unwrap().problem.reason, Reason::Timeout);
    about(took, 2);
}

#[tokio::test]
async fn a_body_has_2_mib_told_or_not_and_not_a_byte_more() {
    let kit = Testkit::start();
    let stack = now(Config::default());
    let endpoint = kit.endpoint(Origin::Administrator);
    let max = Limits::default().body_bytes;
    assert_eq!(max, 2 << 20);
    for manner in [Manner::Whole, Manner::Chunked(100_000)] {
        kit.script("/", Reply::new(200, vec![7; max]).manner(manner.clone()));
        assert_eq!(stack.get(&endpoint, "/v1/a").await.unwrap().body.len(), max);
        kit.script("/", Reply::new(200, vec![7; max + 1]).manner(manner));
        let told = is(stack.get(&endpoint, "/v1/a").await, Reason::TooLarge, Retry::Never, true);
        assert!(told.contains("larger than 2097152 bytes"), "{told}");
    }
    kit.script("/", Manner::Endless.into());
    is(stack.get(&endpoint, "/v1/a").await, Reason::TooLarge, Retry::Never, true);
    assert_eq!(stack.counted("too_large"), 3);
}

#[tokio::test]
async fn f_47_large_bodies_wait_for_room_and_small_ones_do_not() {
    let kit = Testkit::start();
    let held = held();
    let mut stack = stack(held.clock, Config::default());
    stack.room = Room::new(1 << 20);
    let endpoint = kit.endpoint(Origin::Administrator);
    let large = Reply::new(200, vec![7; 700_000]);
    let first = stack.room.claim();
    kit.script_times("/", 2, &large);
    stack.ask(&endpoint, Method::GET, "/v1/a", &first, MINUTE).await.unwrap();
    let (outcome, took) = held.drive(MINUTE, stack.within(&endpoint, Duration::from_secs(4))).await;
    let told = is(outcome.unwrap(), Reason::Busy, Retry::Backoff, true);
    assert!(told.contains("too many large answers"), "{told}");
    about(took, 4);
    for manner in [Manner::Whole, Manner::Chunked(1_000)] {
        kit.script("/", Reply::new(200, vec![7; Claim::FREE]).manner(manner));
        stack.get(&endpoint, "/v1/a").await.expect("what is small takes no room");
    }
    kit.script("/", Reply::new(200, vec![7; Claim::FREE + 1]).manner(Manner::Chunked(1_000)));
    let (outcome, _) = held.drive(MINUTE, stack.within(&endpoint, Duration::from_secs(1))).await;
    is(outcome.unwrap(), Reason::Busy, Retry::Backoff, true);
    drop(first);
    kit.script("/", large);
    stack.get(&endpoint, "/v1/a").await.expect("room that was given back is there again");
}

#[tokio::test]
async fn an_answer_whose_size_was_not_told_keeps_no_more_room_than_it_needs() {
    let kit = Testkit::start();
    let held = held();
    let mut stack = stack(held.clock, Config::default());
    // For one whole body, and a little more.
    stack.room = Room::new((2 << 20) + (512 << 10));
    let endpoint = kit.endpoint(Origin::Administrator);
    kit.script_times("/", 5, &Reply::new(200, vec![7; 70_000]).manner(Manner::Chunked(10_000)));
    let mut claims = Vec::new();
    for _ in 0..5 {
        let claim = stack.room.claim();
        let asked = stack.ask(&endpoint, Method::GET, "/v1/a", &claim, MINUTE);
        held.drive(MINUTE, asked).await.0.unwrap().expect("the room for the rest of 2 MiB was kept");
        claims.push(claim);
    }
    let rest = stack.room.claim();
    assert!(rest.take((2 << 20) + (512 << 10) - 5 * 70_000 + 5 * Claim::FREE).now_or_never().unwrap());
    assert!(stack.room.claim().take(1).now_or_never().is_none(), "more was given back than was taken");
}

#[tokio::test]
async fn very_many_small_answers_to_one_mount_take_room_as_large_ones_do() {
    let kit = Testkit::start();
    let held = held();
    let mut stack = stack(held.clock, Config::default());
    stack.room = Room::new(100_000);
    let endpoint = kit.endpoint(Origin::Administrator);
    let (mount, other) = (Allowance::default(), Allowance::default());
    for manner in [Manner::Whole, Manner::Chunked(1_000)] {
        let (mut came, mut claims) = (0, Vec::new());
        loop {
            kit.script("/", Reply::new(200, vec![7; 32_000]).manner(manner.clone()));
            let claim = stack.room.claim_of(&mount);
            let second = Duration::from_secs(1);
            match held
                .drive(MINUTE, stack.ask(&endpoint, Method::GET, "/v1/a", &claim, second))
                .await
                .0
                .unwrap()
            {
                Ok(_) => came += 1,
                Err(fault) => break drop(is(Err(fault), Reason::Busy, Retry::Backoff, true)),
            }
            assert!(came < 20, "nothing bounds what a mount holds");
            claims.push(claim);
        }
        kit.script("/", Reply::new(200, vec![7; 32_000]).manner(manner));
        let claim = stack.room.claim_of(&other);
        let asked = stack.ask(&endpoint, Method::GET, "/v1/a", &claim, MINUTE);
        held.drive(MINUTE, asked).await.0.unwrap().expect("another mount's small answer waits for nobody");
    }
}
