//! A token bucket that remembers one point in time: when it will be full again. Exact, since nothing is added up.

use std::time::Duration;

use super::Limits;
use crate::clock::Instant;

pub(super) struct Bucket {
    interval: Duration,
    burst: Duration,
    full: Instant,
    gently: Option<Gently>,
}

/// Evenly spaced calls for a while, without a burst.
struct Gently {
    until: Instant,
    next: Instant,
}

/// How long an endpoint is used gently after a breaker has closed or a backend has asked for patience: work that
/// piled up is spread over at least this.
const GENTLY: Duration = Duration::from_secs(10);
/// The part of the rate that it gets then.
const GENTLY_DIVISOR: u32 = 5;

impl Bucket {
    /// Full.
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        let interval = Duration::from_secs(1) / u32::try_from(limits.per_second).unwrap_or(u32::MAX).max(1);
        let burst = interval * u32::try_from(limits.burst).unwrap_or(u32::MAX).max(1);
        Self { interval, burst, full: now, gently: None }
    }

    /// When a call may begin; `None` where it may at once.
    pub(super) fn ready(&mut self, now: Instant) -> Option<Instant> {
        if let Some(gently) = &self.gently {
            if now < gently.until {
                return (now < gently.next).then_some(gently.next);
            }
            self.full = gently.until + self.burst;
            self.gently = None;
        }
        let wait = (self.full.since(now) + self.interval).saturating_sub(self.burst);
        (!wait.is_zero()).then(|| now + wait)
    }

    /// A call begins.
    pub(super) fn take(&mut self, now: Instant) {
        match &mut self.gently {
            Some(gently) => gently.next = now + self.interval * GENTLY_DIVISOR,
            None => self.full = self.full.max(now) + self.interval,
        }
    }

    /// Begins again, gently.
    pub(super) fn gently(&mut self, now: Instant) {
        self.gently = Some(Gently { until: now + GENTLY, next: now + self.interval * GENTLY_DIVISOR });
    }
}
