//! Whoever leaves, wherever it stands, leaves nothing behind.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use latchkey::engine::budget::Limits;
use latchkey::error::{Fault, Reason};
use tokio::task::JoinSet;

use super::bed::{Ask, Bed, ask, fault, ms, s, unreachable};

/// Whether the whole budget is there: 32 at once and 8 of one, and nobody in the line.
async fn whole(bed: &Bed) -> bool {
    bed.clock.sleep(s(30)).await;
    let before = bed.calls().len();
    let mut calls = JoinSet::new();
    for n in 0..40u32 {
        let bed = bed.clone();
        calls.spawn(async move { bed.call(ask(n % 4), ms(100), |_| Ok(())).await });
    }
    bed.clock.sleep(ms(50)).await;
    let at_once = bed.calls().len() - before;
    let fine = calls.join_all().await.iter().all(Result::is_ok);
    at_once == 32 && fine
}

async fn busy(bed: &Bed, takes: Duration) -> JoinSet<Result<(), Fault>> {
    let mut calls = JoinSet::new();
    for n in 0..32u32 {
        let bed = bed.clone();
        calls.spawn(async move { bed.call(ask(n % 4), takes, |_| Ok(())).await });
    }
    tokio::task::yield_now().await;
    calls
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_anywhere_gives_back_its_place() {
    // In flight, in the line with all places taken, in the pause before a retry: each after so many turns of its own.
    for scene in 0..3 {
        for polls in 1..12 {
            let bed = Bed::new();
            let others = if scene == 1 { busy(&bed, s(3)).await } else { JoinSet::new() };
            let answer = |_| if scene == 2 { Err(fault(Reason::Upstream, "500")) } else { Ok(()) };
            {
                let mut call = pin!(bed.call(ask(77), ms(500), answer));
                for _ in 0..polls {
                    if call.as_mut().now_or_never_again().is_some() {
                        break;
                    }
                    bed.clock.sleep(ms(97)).await;
                }
            }
            others.join_all().await.into_iter().for_each(|result| result.unwrap());
            assert!(whole(&bed).await, "scene {scene}, {polls} polls");
        }
    }
}

trait Again: Future {
    /// Polls once.
    fn now_or_never_again(self: std::pin::Pin<&mut Self>) -> Option<Self::Output>;
}

impl<F: Future> Again for F {
    fn now_or_never_again(self: std::pin::Pin<&mut Self>) -> Option<Self::Output> {
        match self.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(out) => Some(out),
            Poll::Pending => None,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_looks_at_the_time_hands_that_on_when_it_leaves() {
    let limits = Limits { burst: 1, per_second: 1, ..Limits::default() };
    let bed = Bed::with(limits, 1);
    bed.fine(ask(0)).await.unwrap();
    let mut calls = Vec::new();
    for who in 1..6u32 {
        let bed = bed.clone();
        calls.push(tokio::spawn(async move { bed.fine(ask(who)).await }));
        tokio::task::yield_now().await;
    }
    bed.until(ms(500)).await;
    for call in &calls[..3] {
        call.abort();
        tokio::task::yield_now().await;
    }
    bed.until(ms(2_100)).await;
    let who: Vec<u32> = bed.calls().iter().map(|call| call.who).collect();
    assert_eq!(who, [0, 4, 5], "the next in the line go when their time comes");
}

#[tokio::test(start_paused = true)]
async fn whose_time_ends_in_the_line_hands_on_too() {
    let limits = Limits { burst: 1, per_second: 1, ..Limits::default() };
    let bed = Bed::with(limits, 1);
    bed.fine(ask(0)).await.unwrap();
    let short = tokio::spawn({
        let bed = bed.clone();
        async move { bed.fine(Ask { within: ms(300), ..ask(1) }).await }
    });
    tokio::task::yield_now().await;
    bed.fine(ask(2)).await.unwrap();
    assert!(bed.since() <= ms(1_005), "{:?}", bed.since());
    assert_eq!(short.await.unwrap().unwrap_err().problem.reason, Reason::Busy);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_panics_gives_back_its_place() {
    let bed = Bed::new();
    for n in 0..100u32 {
        let call = bed.call(ask(n % 2), ms(1), |_| panic!("a planted panic"));
        assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
    }
    assert!(whole(&bed).await);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_leaves_from_the_line_leaves_none_behind() {
    let bed = Bed::with(Limits { queue: 100, ..Limits::default() }, 1);
    let others = busy(&bed, s(3)).await;
    for _ in 0..5 {
        let mut crowd = JoinSet::new();
        for n in 0..100u32 {
            let bed = bed.clone();
            crowd.spawn(async move { bed.fine(ask(100 + n)).await });
        }
        bed.clock.sleep(ms(10)).await;
        crowd.shutdown().await;
    }
    others.join_all().await;
    assert!(whole(&bed).await);
    assert_eq!(bed.calls().len(), 32 + 40, "none of the crowd was let in");
}

#[tokio::test(start_paused = true)]
async fn those_who_are_refused_in_the_line_leave_no_place_taken() {
    let bed = Bed::with(Limits { reads: 1, ..Limits::default() }, 1);
    let mut calls = JoinSet::new();
    for n in 0..200u32 {
        let bed = bed.clone();
        calls.spawn(async move { bed.call(ask(n), ms(100), |_| Err(unreachable())).await });
    }
    assert!(calls.join_all().await.iter().all(Result::is_err));
    // Each of the first nine failures made a place for one more.
    assert_eq!(bed.calls().len(), 32 + 9, "the rest was told in the line");
    bed.clock.sleep(s(10)).await;
    bed.fine(ask(1)).await.unwrap();
    assert!(whole(&bed).await);
}
