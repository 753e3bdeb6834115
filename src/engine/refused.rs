//! What a backend said no to, remembered for a short while: a wrong role or a missing policy makes no storm.

use std::time::Duration;

use crate::clock::Instant;
use crate::error::Fault;

/// A no, and for how long it is not asked again.
pub(super) struct Refused {
    fault: Fault,
    at: Instant,
    span: Duration,
}

/// How long the first is remembered; each further one in a row twice as long.
const MIN: Duration = Duration::from_secs(5);
/// The longest that one is remembered.
const MAX: Duration = Duration::from_secs(60);
/// The same for a first mount: somebody may be waiting for what was just mended.
const FIRST_MAX: Duration = Duration::from_secs(10);

impl Refused {
    /// The next of a row, which may be its first.
    pub(super) fn after(before: Option<&Self>, fault: &Fault, at: Instant) -> Self {
        let span =
            before.filter(|before| !before.is_over(at)).map_or(MIN, |before| (before.span * 2).min(MAX));
        Self { fault: fault.clone(), at, span }
    }

    /// What was said, while it stands.
    pub(super) fn stands(&self, first: bool, now: Instant) -> Option<&Fault> {
        let limit = if first { FIRST_MAX } else { MAX };
        (now - self.at < self.span.min(limit)).then_some(&self.fault)
    }

    /// Whether it is so long ago that the next one would be the first of another row.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now - self.at >= MAX * 2
    }
}
