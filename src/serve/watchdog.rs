//! A thread outside the runtime that notices when the runtime stands still: the probe fails first, then the process
//! ends, so that kubelet starts another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::clock::Clock;

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
            let (mut seen, mut last, mut stalled) = (0u64, clock.now(), Duration::ZERO);
            loop {
                thread::park_timeout(every);
                let (count, now) = (beat.count.load(Ordering::Relaxed), clock.now());
                if count == STOPPED {
                    return;
                }
                // A machine that was suspended, or a frozen group, ran neither of us: only time that this thread
                // itself was awake for counts.
                let awake = (now - last).min(every * 2);
                stalled = if count == seen { stalled + awake } else { Duration::ZERO };
                (seen, last) = (count, now);
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

const STOPPED: u64 = u64::MAX;
