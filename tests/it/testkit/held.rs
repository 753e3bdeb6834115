//! Paused time beside real IO. Tokio's paused clock jumps to the next timer whenever its runtime is idle, and waiting
//! for a socket is idle to it: a timeout of 15 s would strike before a loopback answer of 1 ms. While a blocking task
//! runs it does not jump, so one is held open, and time moves only as it is told.

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use latchkey::clock::{Clock, Wall};
use tokio::runtime::Handle;

use super::Testkit;

/// Time that stands still until it is told to move. A second one in the same test would be one too many.
pub(crate) struct Held {
    /// Follows the held time.
    pub(crate) clock: Clock,
    /// Where servers run that must get their turn before time moves on.
    beside: Vec<Handle>,
    _hold: Sender<()>,
}

/// Pauses the time of this test's runtime, which must be of the current-thread kind, as `tokio::test` makes it.
pub(crate) fn held() -> Held {
    tokio::time::pause();
    let (hold, released) = channel::<()>();
    tokio::task::spawn_blocking(move || {
        // It ends when the sender is dropped.
        let _ = released.recv();
    });
    Held { clock: Clock::paused(Wall::from_seconds(1_800_000_000)), beside: Vec::new(), _hold: hold }
}

impl Held {
    /// Time moves on only after this server had its turn too: on a machine with much to do, no bound of the client's
    /// strikes because the server was not let on.
    pub(crate) fn beside(mut self, kit: &Testkit) -> Self {
        self.beside.push(kit.runtime.clone());
        self
    }

    /// Lets `span` pass, in steps with a little real time between them, so that IO gets done; and a millisecond more,
    /// since tokio's timers are rounded up to the next one.
    pub(crate) async fn elapse(&self, span: Duration) {
        let mut left = span + Duration::from_millis(1);
        self.breathe().await;
        while !left.is_zero() {
            let step = left.min(STEP);
            tokio::time::advance(step).await;
            self.breathe().await;
            left -= step;
        }
    }

    /// Runs the future while time passes, `limit` at most; its result, and how much held time it took, to a step.
    pub(crate) async fn drive<F: Future>(&self, limit: Duration, future: F) -> (Option<F::Output>, Duration) {
        let began = self.clock.now();
        let mut future = pin!(future);
        loop {
            // Real time first: what IO alone can finish takes no time at all.
            for _ in 0..if self.beside.is_empty() { BREATHS } else { BREATHS_BESIDE } {
                tokio::select! {
                    biased;
                    out = &mut future => return (Some(out), self.clock.now().since(began)),
                    () = self.breathe() => {}
                }
            }
            if self.clock.now().since(began) >= limit {
                return (None, self.clock.now().since(began));
            }
            tokio::time::advance(STEP).await;
        }
    }

    /// A millisecond of real time, during which the runtime goes on, and those of the servers.
    async fn breathe(&self) {
        let slept = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(1)));
        for server in &self.beside {
            // Whoever yields goes on after the runtime has looked at its sockets.
            let turns = server.spawn(async {
                for _ in 0..TURNS {
                    tokio::task::yield_now().await;
                }
            });
            turns.await.expect("a server that runs");
        }
        slept.await.expect("a thread that slept");
    }
}

const STEP: Duration = Duration::from_millis(250);
const BREATHS: usize = 4;
/// A server that has its turn in each needs fewer.
const BREATHS_BESIDE: usize = 3;
/// How often a server looks at its sockets in a breath: it accepts, reads and answers.
const TURNS: usize = 3;
