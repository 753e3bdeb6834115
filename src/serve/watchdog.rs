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

/// The runtime's pulse. Cheap to clone.
#[derive(Clone)]
pub struct Pulse(Arc<Beat>);

struct Beat {
    every: Duration,
    count: AtomicU64,
    unwell: AtomicBool,
}

impl Pulse {
    /// Starts the thread. `end` ends the process and is told how long the runtime stood still.
    pub fn watch(clock: Clock, patience: Patience, end: impl FnOnce(Duration) + Send + 'static) -> Self {
        let every = (patience.unwell / 10).min(BEAT);
        let beat = Arc::new(Beat { every, count: AtomicU64::new(0), unwell: AtomicBool::new(false) });
        let pulse = Self(Arc::clone(&beat));
        let watching = move || {
            let (mut seen, mut since): (u64, Instant) = (0, clock.now());
            loop {
                thread::park_timeout(every);
                let count = beat.count.load(Ordering::Relaxed);
                let now = clock.now();
                if count != seen || count == STOPPED {
                    (seen, since) = (count, now);
                }
                if count == STOPPED {
                    return;
                }
                beat.unwell.store(now - since >= patience.unwell, Ordering::Relaxed);
                if now - since >= patience.dead {
                    return end(now - since);
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("watchdog".to_owned()).spawn(watching) {
            tracing::error!(%error, "there is no watchdog: its thread did not start");
        }
        pulse
    }

    /// Beats for ever; one of the agent's tasks.
    pub async fn beat(&self, clock: Clock) {
        loop {
            self.0.count.fetch_add(1, Ordering::Relaxed);
            clock.sleep(self.0.every).await;
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

/// Between two beats, at most: far less than the runtime may stand still.
const BEAT: Duration = Duration::from_secs(1);
const STOPPED: u64 = u64::MAX;
