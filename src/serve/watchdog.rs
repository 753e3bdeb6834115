//! A thread outside the runtime that notices when the runtime stands still: the probe fails first, then the process
//! ends, so that kubelet starts another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::clock::{Clock, Instant};

/// How long the runtime may stand still.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Then `/livez` fails.
    pub unwell: Duration,
    /// Then the process ends.
    pub dead: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { unwell: Duration::from_secs(10), dead: Duration::from_secs(30) }
    }
}

impl Patience {
    /// How often the pulse beats and is felt.
    fn every(self) -> Duration {
        (self.unwell / 10).clamp(Duration::from_millis(20), Duration::from_secs(1))
    }
}

/// The runtime's pulse. Cheap to clone.
#[derive(Clone)]
pub struct Pulse(Arc<Beat>);

struct Beat {
    count: AtomicU64,
    unwell: AtomicBool,
}

impl Pulse {
    /// Starts the thread. `end` ends the process and is told how long the runtime stood still.
    pub fn watch(clock: Clock, patience: Patience, end: impl FnOnce(Duration) + Send + 'static) -> Self {
        let beat = Arc::new(Beat { count: AtomicU64::new(0), unwell: AtomicBool::new(false) });
        let pulse = Self(Arc::clone(&beat));
        let every = patience.every();
        let watching = move || {
            let mut stall = Stall { every, seen: 0, last: clock.now(), lasted: Duration::ZERO };
            loop {
                thread::park_timeout(every);
                let count = beat.count.load(Ordering::Relaxed);
                if count == STOPPED {
                    return;
                }
                let stalled = stall.feel(count, clock.now());
                beat.unwell.store(stalled >= patience.unwell, Ordering::Relaxed);
                if stalled >= patience.dead {
                    return end(stalled);
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("watchdog".to_owned()).spawn(watching) {
            tracing::error!(%error, "there is no watchdog: its thread did not start");
        }
        pulse
    }

    /// Beats for ever; one of the agent's tasks.
    pub async fn beat(&self, clock: Clock, patience: Patience) {
        loop {
            self.0.count.fetch_add(1, Ordering::Relaxed);
            clock.sleep(patience.every()).await;
        }
    }

    /// Whether the runtime is alive.
    pub fn is_well(&self) -> bool {
        !self.0.unwell.load(Ordering::Relaxed)
    }

    /// Ends the watch: the runtime is about to be shut down on purpose.
    pub fn stop(&self) {
        self.0.count.store(STOPPED, Ordering::Relaxed);
    }
}

/// How long the pulse has not moved.
struct Stall {
    every: Duration,
    seen: u64,
    last: Instant,
    lasted: Duration,
}

impl Stall {
    /// A machine that was suspended, or a frozen group, ran neither the runtime nor this thread: only time that the
    /// thread itself was awake for counts.
    fn feel(&mut self, count: u64, now: Instant) -> Duration {
        let awake = (now - self.last).min(self.every * 2);
        self.lasted = if count == self.seen { self.lasted + awake } else { Duration::ZERO };
        (self.seen, self.last) = (count, now);
        self.lasted
    }
}

const STOPPED: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Stall;
    use crate::clock::Clock;

    #[test]
    fn only_time_that_the_watch_was_awake_for_counts() {
        let (start, second) = (Clock::system().now(), Duration::from_secs(1));
        let mut stall = Stall { every: second, seen: 7, last: start, lasted: Duration::ZERO };
        // Eight hours of suspend are two beats at most, whoever wakes first.
        assert_eq!(stall.feel(7, start + second * 28_800), second * 2);
        assert_eq!(stall.feel(8, start + second * 28_801), Duration::ZERO);
        let stalled = (28_802..28_832).map(|tick| stall.feel(8, start + second * tick)).last();
        assert_eq!(stalled, Some(second * 30));
    }
}
