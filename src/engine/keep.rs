//! What may be kept, how much of it and for how long: the settings, and the memory itself. A stateless agent gives each
//! mount an empty memory of its own, and that is all that there is to it.

use std::time::Duration;

use super::mint::Minted;
use super::objects::Objects;
use super::sessions::Sessions;
use crate::clock::Instant;
use crate::model::Kind;
use crate::telemetry::Metrics;

/// What is kept between mounts.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Nothing at all is kept: every mount logs in and reads, and an outage is an outage.
    pub stateless: bool,
    /// No wish makes an object good for less than this.
    pub fresh_min: Duration,
    /// Nor for more than this.
    pub fresh_max: Duration,
    /// How much older than fresh the last good object may be that is served while its store is out.
    pub stale_max: Duration,
    /// Whether a holder that was never given an object may get it stale.
    pub stale_first: bool,
    /// How long a pinned version is fresh where the class does not say.
    pub pinned: Duration,
    /// Identities whose session, or refusal, is remembered.
    pub sessions: usize,
    /// Objects that are kept.
    pub objects: usize,
    /// Their bytes.
    pub bytes: usize,
    /// How long a login, or a read, may take with all its attempts, whoever waits for it.
    pub operation: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            stateless: false,
            fresh_min: Duration::ZERO,
            fresh_max: Duration::from_secs(3600),
            stale_max: Duration::from_secs(3600),
            stale_first: false,
            pinned: Duration::from_secs(3600),
            sessions: 4096,
            objects: 10_000,
            bytes: 16 << 20,
            operation: Duration::from_secs(60),
        }
    }
}

impl Keep {
    /// How old an object may be: as the class wishes, else as the store is configured, else as is its kind's manner.
    pub(super) fn age(&self, wish: Option<Duration>, configured: Option<Duration>, usual: Duration) -> Age {
        let within = |age: Duration| age.min(self.fresh_max).max(self.fresh_min);
        let age = within(wish.or(configured).unwrap_or(usual));
        let off = wish.is_some() || age.is_zero();
        Age { usual: age, pinned: if off { age } else { within(self.pinned) } }
    }
}

/// How old an object may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    usual: Duration,
    pinned: Duration,
}

impl Age {
    pub(super) fn of(self, kind: &Kind) -> Duration {
        match kind {
            Kind::Static => self.usual,
            Kind::Pinned => self.pinned,
            Kind::Leased(_) | Kind::OneShot => Duration::ZERO,
        }
    }

    /// Whether nothing but a read of one's own will do.
    pub(super) fn none(self) -> bool {
        self.usual.is_zero()
    }

    /// The stricter of two wishes for one object.
    pub(super) fn and(self, other: Self) -> Self {
        Self { usual: self.usual.min(other.usual), pinned: self.pinned.min(other.pinned) }
    }
}

/// What outlives a mount.
pub(super) struct Memory {
    pub(super) sessions: Sessions,
    pub(super) objects: Objects,
    pub(super) minted: Minted,
}

impl Memory {
    pub(super) fn new(keep: &Keep, metrics: &Metrics) -> Self {
        Self {
            sessions: Sessions::new(keep),
            objects: Objects::new(keep, metrics),
            minted: Minted::new(keep),
        }
    }

    /// Lets go of what can serve nobody any more, so that no secret stays for want of a successor.
    pub(super) fn sweep(&self, now: Instant) {
        self.sessions.sweep(now);
        self.objects.sweep(now);
        self.minted.sweep(now);
    }
}
