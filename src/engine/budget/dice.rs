//! Chance for pauses: no secret hangs on it, so a small generator of our own does, which a test can seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A SplitMix64 generator that many may use at once.
pub(super) struct Dice(AtomicU64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// From nothing to nearly all of `span`, all alike.
    pub(super) fn part(&self, span: Duration) -> Duration {
        span.mul_f64(self.roll())
    }

    fn roll(&self) -> f64 {
        let mut bits = self.0.fetch_add(STEP, Ordering::Relaxed);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
