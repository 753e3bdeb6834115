//! What was superseded, or whose holders have gone: kept as long as somebody may use it, then ended.

use std::time::Duration;

use super::Act;
use super::issue::Issue;
use super::terms::{Class, LOST, Moment, Ticket, pause};
use crate::clock::Instant;

/// One thing that is not given any more.
#[derive(Clone, Debug)]
pub(super) struct Old {
    pub(super) ticket: Ticket,
    pub(super) class: Class,
    pub(super) issued: Instant,
    pub(super) end: Option<Instant>,
    /// Left to its own end: somebody has it of whom we do not know when he has gone.
    pub(super) lapses: bool,
    pub(super) parting: Parting,
}

/// How far its end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// Somebody has nothing newer yet, or hangs on it.
    Held,
    /// Everybody has a newer one: until then for those who are slow to take it up.
    Until(Instant),
    /// To be revoked then, after so many tries.
    Due {
        tries: u32,
        at: Instant,
    },
    /// A revocation is on its way.
    Out {
        tries: u32,
        since: Instant,
    },
    Over,
}

/// A revocation that failed so often is left to the end of what it was to end.
const TRIES: u32 = 8;
/// The longest pause between them.
const RETRY_MAX: Duration = Duration::from_secs(60);

impl Old {
    /// `None` where there is nothing to end.
    pub(super) fn new(issue: &Issue, at: &Moment<'_>) -> Option<Self> {
        if !issue.class.revocable() || !issue.good(at.now) {
            return None;
        }
        Some(Self {
            ticket: issue.ticket,
            class: issue.class,
            issued: issue.issued,
            end: issue.end(),
            lapses: issue.lapses || !at.timing.revoke,
            parting: Parting::Held,
        })
    }

    /// Nobody needs it from now on.
    pub(super) fn end_now(&mut self, now: Instant) {
        if !self.lapses && matches!(self.parting, Parting::Held | Parting::Until(_)) {
            self.parting = Parting::Due { tries: 0, at: now };
        }
    }

    /// Whether somebody still has it. A token is held by what hangs on it, which is told by [`super::Event::Unused`].
    pub(super) fn settle(&mut self, had: bool, at: &Moment<'_>) {
        match self.parting {
            Parting::Held if !had && !self.lapses && self.class != Class::Token => {
                let left = self.end.map_or(at.timing.overlap, |end| end - at.now);
                self.parting = Parting::Until(at.now + left.min(at.timing.overlap));
            }
            Parting::Until(_) if had => self.parting = Parting::Held,
            Parting::Held | Parting::Until(_) | Parting::Due { .. } | Parting::Out { .. } | Parting::Over => {
            }
        }
    }

    pub(super) fn tick(&mut self, at: &Moment<'_>, acts: &mut Vec<Act>) {
        if self.end.is_some_and(|end| end <= at.now) {
            self.forget(acts);
            return;
        }
        if let Parting::Out { since, .. } = self.parting
            && since + LOST <= at.now
        {
            self.not_revoked(at);
        }
        let tries = match self.parting {
            Parting::Until(then) if then <= at.now => 0,
            Parting::Due { tries, .. } if tries >= TRIES => return self.forget(acts),
            Parting::Due { tries, at: then } if then <= at.now => tries,
            Parting::Held | Parting::Until(_) | Parting::Due { .. } | Parting::Out { .. } | Parting::Over => {
                return;
            }
        };
        self.parting = Parting::Out { tries, since: at.now };
        acts.push(Act::Revoke(self.ticket));
    }

    pub(super) fn forget(&mut self, acts: &mut Vec<Act>) {
        self.parting = Parting::Over;
        acts.push(Act::Forget(self.ticket));
    }

    pub(super) fn not_revoked(&mut self, at: &Moment<'_>) {
        if let Parting::Out { tries, .. } = self.parting {
            let tries = tries + 1;
            self.parting = Parting::Due { tries, at: at.now + pause(tries, RETRY_MAX, at) };
        }
    }

    pub(super) fn over(&self) -> bool {
        self.parting == Parting::Over
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let own = match self.parting {
            Parting::Held | Parting::Over => None,
            Parting::Until(then) | Parting::Due { at: then, .. } => Some(then),
            Parting::Out { since, .. } => Some(since + LOST),
        };
        [own, self.end].into_iter().flatten().min()
    }
}
