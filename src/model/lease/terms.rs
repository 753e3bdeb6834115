//! What was issued, as its reply said, and the times that rule its life.

use std::time::Duration;

use crate::clock::{Instant, Span};
use crate::model::Lease;

/// What kind of life something has. From the reply, never from the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A lease, which may be renewable or not.
    Lease,
    /// Good as long as it says itself; there is nothing to renew, and nothing to revoke.
    Certificate,
    /// A password that its backend changes at a known time. Reading it has no effect.
    StaticRole,
    /// A session, on which leases hang.
    Token,
}

impl Class {
    /// As metrics and people see it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Certificate => "certificate",
            Self::StaticRole => "static_role",
            Self::Token => "token",
        }
    }

    /// Whether there is something to end at the backend.
    pub(super) const fn revocable(self) -> bool {
        matches!(self, Self::Lease | Self::Token)
    }
}

/// What was issued, as its reply said.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// What it is.
    pub class: Class,
    /// From before the request was sent until its end. A certificate's is its own validity, which may have begun earlier; a
    /// static role's ends just after the next rotation.
    pub life: Span,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// When the token that it hangs on ends and cannot be renewed beyond, where that is certain: [`super::Entry::bound`].
    pub limit: Option<Instant>,
}

impl Terms {
    /// A lease.
    pub fn lease(lease: &Lease) -> Self {
        let life = Span { from: lease.issued, until: Some(lease.issued + lease.granted) };
        Self { class: Class::Lease, life, renewable: lease.renewable, limit: None }
    }

    /// A certificate, by its own validity.
    pub const fn certificate(validity: Span) -> Self {
        Self { class: Class::Certificate, life: validity, renewable: false, limit: None }
    }

    /// A static role that was read at `from` and is to be read again at `next`, a second after its rotation.
    pub const fn static_role(from: Instant, next: Instant) -> Self {
        let life = Span { from, until: Some(next) };
        Self { class: Class::StaticRole, life, renewable: false, limit: None }
    }

    /// A token.
    pub const fn token(life: Span, renewable: bool) -> Self {
        Self { class: Class::Token, life, renewable, limit: None }
    }
}

/// Names one thing that was issued within its [`super::Entry`]. Later ones are larger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

impl Ticket {
    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The times that rule a life: the administrator's, and a class's own where it may say so.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The part of what was granted after which it is renewed, or what was truncated is replaced.
    pub renew: f64,
    /// The part of its life after which what cannot be renewed is replaced.
    pub fixed: f64,
    /// The part of its validity after which a certificate is replaced.
    pub certificate: f64,
    /// How long everything is kept that belonged to a pod which is gone.
    pub grace: Duration,
    /// How long the one before is kept once everybody has the newer one; its own end may come first.
    pub overlap: Duration,
    /// How long that is kept for a next try which a mount had issued before it failed.
    pub pending: Duration,
    /// How long after its rotation a static role's last password is given while it cannot be read.
    pub stale: Duration,
    /// Whether anything is revoked at all. `false`: everything is left to its own end.
    pub revoke: bool,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            renew: 2.0 / 3.0,
            fixed: 0.8,
            certificate: 2.0 / 3.0,
            grace: Duration::from_secs(60),
            overlap: Duration::from_secs(600),
            pending: Duration::from_secs(300),
            stale: Duration::from_secs(3600),
            revoke: true,
        }
    }
}

/// What the world is like at a step.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Boot time: it goes on in suspend, and no change of the wall clock moves it.
    pub now: Instant,
    /// The times that hold for this entry.
    pub timing: &'a Timing,
    /// Chance, from 0 to 1, anew for each step.
    pub jitter: f64,
    /// When a volume of another pod was last polled that had been delivered to before: whether the driver is at work.
    pub others: Option<Instant>,
}

impl Moment<'_> {
    fn chance(&self) -> f64 {
        if (0.0..=1.0).contains(&self.jitter) { self.jitter } else { 0.5 }
    }

    /// A part of a span, a tenth of that more or less.
    pub(super) fn part(&self, span: Duration, part: f64) -> Duration {
        let part = if part.is_finite() { part.clamp(0.0, PART_MAX) } else { PART_MAX };
        span.mul_f64(part * (1.0 - SPREAD + 2.0 * SPREAD * self.chance()))
    }
}

/// How far a time is spread to either side, so that what began together does not end together.
const SPREAD: f64 = 0.1;
/// The largest part of a life, so that spread it still ends before that does.
const PART_MAX: f64 = 0.9;

/// The pause after so many failures in a row: from one second on, twice as long each time, half of it by chance.
pub(super) fn pause(failures: u32, max: Duration, at: &Moment<'_>) -> Duration {
    let doubled = PAUSE_MIN * 2u32.saturating_pow(failures.saturating_sub(1).min(16));
    doubled.min(max).mul_f64(0.5 + at.chance() / 2.0).max(PAUSE_MIN)
}

/// Nothing is done again sooner.
pub(super) const PAUSE_MIN: Duration = Duration::from_secs(1);
/// What is on its way for longer than this has been lost.
pub(super) const LOST: Duration = Duration::from_secs(120);
