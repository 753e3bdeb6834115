//! An entry as people and metrics see it.

use super::Entry;
use super::issue::Renewal;
use super::parting::Parting;
use super::terms::{Class, Ticket};
use crate::clock::Instant;

/// Where in its life something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// No mount has succeeded with it yet.
    Pending,
    /// Good.
    Fresh,
    /// A renewal is on its way.
    Renewing,
    /// Renewals fail by an outage.
    Retrying,
    /// Its holders are silent: it is not renewed.
    Paused,
    /// The next poll replaces it.
    Due,
    /// There is a newer one, or nobody is left who needs it.
    Superseded,
    /// It is being ended.
    Revoking,
}

impl State {
    /// As metrics and people see it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Fresh => "fresh",
            Self::Renewing => "renewing",
            Self::Retrying => "retrying",
            Self::Paused => "paused",
            Self::Due => "due",
            Self::Superseded => "superseded",
            Self::Revoking => "revoking",
        }
    }
}

/// One thing that was issued.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Which.
    pub ticket: Ticket,
    /// What it is.
    pub class: Class,
    /// Where in its life it stands.
    pub state: State,
    /// When it was issued.
    pub issued: Instant,
    /// When it ends, unless it is renewed; `None`: never.
    pub ends: Option<Instant>,
    /// When it is renewed, replaced at a poll or revoked next, as far as that is known.
    pub next: Option<Instant>,
}

impl Entry {
    /// All that was issued and is not over, the one that is given first.
    pub fn views(&self, now: Instant) -> Vec<View> {
        let current = self.current.iter().map(|issue| {
            let state = match issue.renewal {
                _ if issue.due(now, self.cadence()) => State::Due,
                _ if !issue.delivered => State::Pending,
                Renewal::Paused => State::Paused,
                _ if issue.failures > 0 => State::Retrying,
                Renewal::Out(_) => State::Renewing,
                Renewal::At(_) | Renewal::Never => State::Fresh,
            };
            let next = match issue.renewal {
                Renewal::At(then) => Some(then),
                Renewal::Out(_) | Renewal::Paused | Renewal::Never => issue.replace,
            };
            let (ticket, class) = (issue.ticket, issue.class);
            View { ticket, class, state, issued: issue.issued, ends: issue.end(), next }
        });
        let olds = self.olds.iter().map(|old| {
            let (state, next) = match old.parting {
                Parting::Held | Parting::Over => (State::Superseded, None),
                Parting::Until(then) => (State::Superseded, Some(then)),
                Parting::Due { at: then, .. } => (State::Revoking, Some(then)),
                Parting::Out { .. } => (State::Revoking, None),
            };
            View { ticket: old.ticket, class: old.class, state, issued: old.issued, ends: old.end, next }
        });
        current.chain(olds).collect()
    }
}
