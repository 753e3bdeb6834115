//! The only place that knows what time it is. Boot time for lives and deadlines (it goes on while a machine is
//! suspended and never jumps), wall time for tokens and for people.
//!
//! Timers wait on tokio's clock, which stands still in suspend, so long waits look at boot time again every half
//! minute. A [`Clock::paused`] clock is tokio's paused one: a day of leases passes in a millisecond.

use std::fmt;
use std::future::Future;
use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// A point in boot time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// What has passed since `earlier`; zero if that lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// From when until when something is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When it began.
    pub from: Instant,
    /// When it ends; `None` where it does not.
    pub until: Option<Instant>,
}

/// A point in wall time, in milliseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wall(i64);

impl Wall {
    /// From whole seconds since 1970, as tokens carry them.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// From an RFC 3339 text, as kubelet writes `expirationTimestamp`.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<Timestamp>().ok().map(|time| Self(time.as_millisecond()))
    }

    /// Whole seconds since 1970.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// What has passed since `earlier`; zero if that lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This much later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Wall {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Timestamp::from_millisecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH);
        write!(f, "{time:.3}")
    }
}

/// Asks for the time and waits for it. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Source);

#[derive(Clone, Copy, Debug)]
enum Source {
    System,
    Tokio { start: tokio::time::Instant, wall: Wall },
}

impl Clock {
    /// The machine's own time.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// Follows tokio's clock, which a test pauses, and which then jumps to the next timer; wall time begins at `wall`.
    pub fn paused(wall: Wall) -> Self {
        Self(Source::Tokio { start: now_of_tokio(), wall })
    }

    /// Boot time.
    pub fn now(&self) -> Instant {
        match self.0 {
            Source::System => {
                let time = clock_gettime(ClockId::Boottime);
                let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
                Instant(Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0)))
            }
            Source::Tokio { start, .. } => Instant(now_of_tokio().saturating_duration_since(start)),
        }
    }

    /// Wall time.
    pub fn wall(&self) -> Wall {
        match self.0 {
            Source::System => {
                let time = clock_gettime(ClockId::Realtime);
                Wall(time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000))
            }
            Source::Tokio { start, wall } => wall.plus(now_of_tokio().saturating_duration_since(start)),
        }
    }

    /// Waits until `then`; at once if that has passed.
    pub async fn sleep_until(&self, then: Instant) {
        loop {
            let left = then.since(self.now());
            if left.is_zero() {
                return;
            }
            wait(left.min(LOOK_AGAIN)).await;
        }
    }

    /// Waits for `span`.
    pub async fn sleep(&self, span: Duration) {
        self.sleep_until(self.now() + span).await;
    }

    /// The future's result, or `None` once `then` has come. A future that is ready wins over a time that has come.
    pub async fn until<F: Future>(&self, then: Instant, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            out = future => Some(out),
            () = self.sleep_until(then) => None,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that asks tokio's clock")]
fn now_of_tokio() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that waits")]
async fn wait(span: Duration) {
    tokio::time::sleep(span).await;
}

/// How long a timer may lag behind boot time after a suspend.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
