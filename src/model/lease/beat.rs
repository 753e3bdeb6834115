//! Who holds an entry, and how often they are polled.

use std::time::Duration;

use super::terms::{PAUSE_MIN, Ticket};
use crate::clock::Instant;
use crate::model::Holder;

/// One holder.
#[derive(Clone, Debug)]
pub(super) struct Beat {
    pub(super) holder: Holder,
    pub(super) last: Instant,
    /// What it was last given.
    pub(super) has: Option<Ticket>,
    /// The last times between two polls, the latest first. Only since it was first given something: until then kubelet tries
    /// again, which says nothing about rotation.
    gaps: [Option<Duration>; GAPS],
}

const GAPS: usize = 4;
/// A cadence is taken for this until two polls have shown it: the longest that is usual.
pub(super) const ASSUMED: Duration = Duration::from_secs(120);
/// From this many on polls are regular.
const REGULAR: usize = 3;
/// Silent for this many polls is suspicious.
const SILENT: u32 = 5;
/// A sync is silent after this, whatever its cadence: the controller comes twice a day.
const SYNC_SILENT: Duration = Duration::from_secs(25 * 3600);
/// A volume that was not polled again within this is not polled at all.
const SETTLED: Duration = Duration::from_secs(300);

impl Beat {
    pub(super) fn new(holder: Holder, now: Instant) -> Self {
        Self { holder, last: now, has: None, gaps: [None; GAPS] }
    }

    pub(super) fn polled(&mut self, now: Instant) {
        let gap = now - self.last;
        self.last = now;
        // Calls that come together are one poll.
        if self.has.is_some() && gap >= PAUSE_MIN {
            self.gaps.rotate_right(1);
            self.gaps[0] = Some(gap);
        }
    }

    pub(super) const fn is_sync(&self) -> bool {
        matches!(self.holder, Holder::Sync { .. })
    }

    /// The longest of the last times between two polls; but one, where enough are known: the longest may be a suspend, or a
    /// restart of the driver.
    fn cadence(&self) -> Option<Duration> {
        let mut gaps = self.gaps;
        gaps.sort_unstable();
        if self.regular() { gaps[GAPS - 2] } else { gaps[GAPS - 1] }
    }

    fn regular(&self) -> bool {
        self.gaps.iter().flatten().count() >= REGULAR
    }

    /// Whether it has fallen silent: a volume while others are polled, a sync by itself.
    pub(super) fn silent(&self, now: Instant, others: Option<Instant>) -> bool {
        let Some(cadence) = self.cadence() else { return self.is_sync() && now - self.last >= SYNC_SILENT };
        let quiet = now - self.last >= cadence * SILENT;
        if self.is_sync() {
            return quiet || now - self.last >= SYNC_SILENT;
        }
        // Others must have gone on for so long that it was left out, and not all of them together.
        self.regular() && quiet && others.is_some_and(|others| others - self.last >= cadence * (SILENT - 1))
    }
}

/// When it is certain that none of them is polled; `None` where one is.
pub(super) fn settled(beats: &[Beat]) -> Option<Instant> {
    let polled = beats.iter().any(|beat| beat.cadence().is_some());
    beats.iter().map(|beat| beat.last + SETTLED).max().filter(|_| !polled)
}

/// How often the slowest holder is polled, as far as that was seen.
pub(super) fn observed(beats: &[Beat]) -> Option<Duration> {
    beats.iter().filter_map(Beat::cadence).max()
}
