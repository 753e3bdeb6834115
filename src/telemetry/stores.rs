//! What is counted of each store. The counters are found once, when the engine is made, so that counting on a mount's
//! way costs an addition.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::error::Reason;

/// The figures of one store.
#[derive(Clone, Debug, Default)]
pub struct StoreFigures {
    /// Where objects came from.
    pub cache: CacheFigures,
    pub(super) sessions: Gauge,
    pub(super) logins: [Counter; 3],
}

/// How objects, and logins, were come by without the store, or not.
#[derive(Clone, Debug, Default)]
pub struct CacheFigures {
    /// Kept, and fresh.
    pub hit: Counter,
    /// On its way for another mount.
    pub shared: Counter,
    /// Read.
    pub miss: Counter,
    /// The last good, since its refresh failed.
    pub stale: Counter,
    /// A login that was refused a moment ago, and not tried.
    pub negative: Counter,
}

impl CacheFigures {
    /// The words in the metric.
    pub const RESULTS: [&str; 5] = ["hit", "shared", "miss", "stale", "negative"];
}

impl StoreFigures {
    /// The words in the metric.
    pub const LOGINS: [&str; 3] = ["accepted", "refused", "failed"];

    /// A login ended.
    pub fn login(&self, reason: Option<Reason>) {
        let [accepted, refused, failed] = &self.logins;
        match reason {
            None => accepted.inc(),
            Some(reason) if reason.is_refusal() => refused.inc(),
            Some(_) => failed.inc(),
        };
    }

    /// A session is kept for as long as what this gives.
    pub fn session_kept(&self) -> Counted {
        Counted::new(&self.sessions, 1)
    }
}

/// Counts in a gauge as long as it lives.
#[derive(Debug)]
pub struct Counted(Gauge, i64);

impl Counted {
    pub(super) fn new(gauge: &Gauge, amount: usize) -> Self {
        let amount = i64::try_from(amount).unwrap_or(i64::MAX);
        gauge.inc_by(amount);
        Self(gauge.clone(), amount)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec_by(self.1);
    }
}
