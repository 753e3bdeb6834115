//! When an endpoint is left alone: after so many failures in a row without a sign of life. Then one call at a time
//! finds out whether it is back.

use std::time::Duration;

use super::Limits;
use super::dice::Dice;
use crate::clock::Instant;
use crate::error::{Problem, Reason};
use crate::secret::Digest;

/// The breaker of one endpoint.
pub(super) struct Breaker {
    /// Failures since the last sign of life.
    run: Option<Run>,
    /// Until when everything is refused, and after which one call at a time is let through.
    open: Option<Open>,
}

struct Run {
    failures: usize,
    of: Digest,
    several: bool,
    words: String,
    /// Whether the words may be told to anyone: they are our own, or were met by more than one principal.
    common: bool,
}

struct Open {
    until: Instant,
    span: Duration,
}

/// What has become of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Opened,
    /// Refused by the call that was to find out.
    Again,
    Closed,
}

impl Breaker {
    pub(super) const fn new() -> Self {
        Self { run: None, open: None }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether everything is refused.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        self.open.as_ref().is_some_and(|open| now < open.until)
    }

    /// The endpoint answered, whatever it said.
    pub(super) fn alive(&mut self) -> Change {
        self.run = None;
        if self.open.take().is_some() { Change::Closed } else { Change::None }
    }

    /// It did not, or not with sense. Of what was on its way when the breaker opened, only the call that was to find
    /// out counts.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        by: Digest,
        problem: &Problem,
        trial: bool,
        limits: &Limits,
        dice: &Dice,
    ) -> Change {
        if self.open.is_some() && !trial {
            return Change::None;
        }
        let run = Run::longer(self.run.take(), by, problem);
        // Bad answers to one principal alone say something about its object, not about the endpoint.
        let tells = run.several || problem.reason != Reason::Upstream;
        let enough = run.failures >= limits.breaker_after && tells;
        self.run = Some(run);
        let (change, span) = match &self.open {
            Some(open) => (Change::Again, (open.span * 2).min(limits.breaker_open_max)),
            None if enough => (Change::Opened, limits.breaker_open),
            None => return Change::None,
        };
        // Somewhat sooner, each time and on each node differently, and never later.
        let until = now + span.saturating_sub(dice.part(span / SOONER));
        self.open = Some(Open { until, span });
        change
    }

    /// Why calls are refused.
    pub(super) fn problem(&self, site: &str, limits: &Limits) -> Problem {
        let words = self.run.as_ref().filter(|run| run.common).map_or("", |run| run.words.as_str());
        let colon = if words.is_empty() { "" } else { ": " };
        let what = format!(
            "is left alone for a while, since the last {} attempts failed{colon}{words}",
            limits.breaker_after
        );
        Problem::new(Reason::Unreachable, what)
            .hop(site)
            .remedy("look at its state; the agent finds out by itself when it is back")
    }
}

/// The part of an open span that chance may take away.
const SOONER: u32 = 4;

impl Run {
    fn longer(before: Option<Self>, by: Digest, problem: &Problem) -> Self {
        let ours = matches!(problem.reason, Reason::Unreachable | Reason::Timeout);
        let words = problem.what.clone();
        match before {
            None => Self { failures: 1, of: by, several: false, words, common: ours },
            Some(run) => {
                let other = run.of != by;
                let met_again = run.words == words && (run.common || other);
                Self {
                    failures: run.failures.saturating_add(1),
                    of: run.of,
                    several: run.several || other,
                    words,
                    common: ours || met_again,
                }
            }
        }
    }
}
