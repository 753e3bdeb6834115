//! The files behind TLS settings, as they were last read: read again when they change. Files that turned bad are
//! reported, and what they said before goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;

use super::failure::Failure;
use super::trust::{Settings, Stamp};
use crate::clock::{Clock, Instant};
use crate::error::{Problem, Reason};
use crate::model::{Address, Tls};
use crate::telemetry::{Counted, Metrics};

/// How certificates are checked and what is shown, and of which reading of the files.
#[derive(Clone)]
pub(super) struct Trust {
    pub(super) version: u64,
    pub(super) config: Arc<ClientConfig>,
}

/// What was read of each.
pub(super) struct Roots {
    clock: Clock,
    metrics: Metrics,
    system: Option<PathBuf>,
    /// Where there is no TLS.
    nothing: Result<Trust, Problem>,
    held: Mutex<BTreeMap<Tls, Held>>,
    /// Never the same twice, so that no pool takes one reading for another.
    readings: AtomicU64,
    turn: tokio::sync::Mutex<()>,
}

struct Held {
    looked: Instant,
    used: Instant,
    /// Of the files as they were looked at, whether they could be used or not.
    stamp: Option<Stamp>,
    trust: Trust,
    /// As long as the files are bad.
    bad: Option<Counted>,
}

impl Roots {
    pub(super) fn new(system: Option<PathBuf>, clock: Clock, metrics: Metrics) -> Self {
        let nothing = Settings::NONE.load().map(|config| Trust { version: 0, config });
        let (held, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { clock, metrics, system, nothing, held, readings: AtomicU64::new(1), turn }
    }

    /// What these settings mean now. Where there is no TLS, nothing is read.
    pub(super) async fn trust(&self, address: &Address, tls: &Tls) -> Result<Trust, Failure> {
        if !matches!(address, Address::Web { secure: true, .. }) {
            return self.nothing.clone().map_err(Failure::Roots);
        }
        if let Some(trust) = self.current(tls) {
            return Ok(trust);
        }
        let _turn = self.turn.lock().await;
        match self.current(tls) {
            Some(trust) => Ok(trust),
            None => self.look_again(tls).await.map_err(Failure::Roots),
        }
    }

    /// What is held, where it was looked at a moment ago.
    fn current(&self, tls: &Tls) -> Option<Trust> {
        let now = self.clock.now();
        self.held(|all| {
            let held = all.get_mut(tls)?;
            held.used = now;
            (now.since(held.looked) < LOOK_EVERY).then(|| held.trust.clone())
        })
    }

    async fn look_again(&self, tls: &Tls) -> Result<Trust, Problem> {
        let settings = Settings::of(tls, self.system.as_deref());
        let now = self.clock.now();
        let known = self.held(|all| {
            // Whoever comes while the files are read goes on with what they said before.
            let held = all.get_mut(tls)?;
            held.looked = now;
            Some(held.stamp.clone())
        });
        let looking = tokio::task::spawn_blocking(move || {
            // Looked at before it is read: what changes in between is read again.
            let stamp = settings.stamp();
            let unchanged = stamp.is_some() && known.flatten() == stamp;
            (!unchanged).then(|| (stamp, settings.load()))
        });
        let looked =
            looking.await.map_err(|_| Problem::new(Reason::Bug, "reading authorities broke down"))?;
        self.held(|all| match (all.get_mut(tls), looked) {
            (Some(held), None) => Ok(held.trust.clone()),
            (Some(held), Some((stamp, Err(problem)))) => {
                if stamp != held.stamp || held.bad.is_none() {
                    tracing::warn!("what TLS is spoken with is kept as it was: {problem}");
                }
                held.stamp = stamp;
                held.bad.get_or_insert_with(|| self.metrics.tls_kept());
                Ok(held.trust.clone())
            }
            (_, Some((stamp, Ok(config)))) => {
                let version = self.readings.fetch_add(1, Ordering::Relaxed);
                let trust = Trust { version, config };
                forget(all);
                let held = Held { looked: now, used: now, stamp, trust: trust.clone(), bad: None };
                all.insert(tls.clone(), held);
                Ok(trust)
            }
            (None, Some((_, Err(problem)))) => Err(problem),
            (None, None) => Err(Problem::new(Reason::Bug, "authorities are unchanged that were never read")),
        })
    }

    fn held<T>(&self, with: impl FnOnce(&mut BTreeMap<Tls, Held>) -> T) -> T {
        with(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Makes room for one more: classes may spell out authorities and names of their own.
fn forget(all: &mut BTreeMap<Tls, Held>) {
    while all.len() >= HELD_MAX {
        let Some(tls) = all.iter().min_by_key(|(_, held)| held.used).map(|(tls, _)| tls.clone()) else {
            return;
        };
        all.remove(&tls);
    }
}

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Most settings that are remembered: as many as there are pools of connections.
const HELD_MAX: usize = 64;
