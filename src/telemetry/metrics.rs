//! The metrics of the agent. Counting costs a hash and a read lock, and allocates only when a label set is new, and for
//! the name of a store.
//! Serving them over HTTP is not done here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use super::names::{self, Name};
use super::stores::{CacheFigures, Counted, StoreFigures};
use super::volumes::Volumes;
use crate::clock::Clock;
use crate::error::Reason;
use crate::model::StoreName;

/// How a mount ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its files were handed over.
    Delivered,
    /// Nothing was wrong with us or a backend: somebody has to change something.
    Refused(Reason),
    /// It may succeed when it is tried again.
    Failed(Reason),
}

impl Outcome {
    /// How a mount with this reason ended.
    pub const fn of(reason: Reason) -> Self {
        if reason.is_refusal() { Self::Refused(reason) } else { Self::Failed(reason) }
    }

    /// The word in the metric.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Delivered => "",
            Self::Refused(reason) | Self::Failed(reason) => reason.label(),
        }
    }
}

/// How a provider's socket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// We listen there.
    Bound,
    /// Someone else answers there; we look again from time to time.
    Standby,
    /// We cannot listen there.
    Blocked,
    /// Another instance of ours took it over.
    Replaced,
    /// We listen there, and the driver finds another socket of that name first, in another folder.
    Shadowed,
}

impl SocketState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Bound, Self::Standby, Self::Blocked, Self::Replaced, Self::Shadowed];

    /// The word in the metric.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::Standby => "standby",
            Self::Blocked => "blocked",
            Self::Replaced => "replaced",
            Self::Shadowed => "shadowed",
        }
    }
}

/// Why a connection was closed before a request was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its other end runs under a user that may not speak to us.
    Peer,
    /// As many connections as we allow are open.
    Limit,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Peer, Self::Limit];

    /// The word in the metric.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Limit => "limit",
        }
    }
}

/// What became of the configuration file that is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It is in force.
    Taken,
    /// It has problems, and the one before it is in force.
    Failed,
}

impl Reload {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Taken, Self::Failed];

    /// The word in the metric.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Failed => "failed",
        }
    }
}

/// All metrics of this process. Clones count into the same ones.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    mounts: Family<MountLabels, Counter>,
    mount_seconds: Family<SecondsLabels, Histogram>,
    backend_requests: Family<RequestLabels, Counter>,
    backend_seconds: Family<OperationLabels, Histogram>,
    connections_refused: Family<WhyLabels, Counter>,
    config_reload: Family<ReloadLabels, Gauge>,
    audit_dropped: Counter,
    log_dropped: Counter,
    panics: Counter,
    code_replaced: Counter,
    cache: Family<CacheLabels, Counter>,
    cache_bytes: Gauge,
    cache_entries: Gauge,
    sessions: Family<StoreLabels, Gauge>,
    logins: Family<LoginLabels, Counter>,
    queue_seconds: Family<QueueLabels, Histogram>,
    retries: Family<RetryLabels, Counter>,
    breaker_open: Family<StoreLabels, Gauge>,
    tls_files_kept: Gauge,
    sockets: Sockets,
    volumes: Option<Volumes>,
}

impl Metrics {
    /// Bounds of the histogram's buckets, in seconds: from a mount of the local store to one that a deadline ended.
    pub const SECONDS: [f64; 16] =
        [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

    /// The media type of [`Self::encode`]'s text, without which Prometheus reads it as the older format.
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Metrics that start from nothing. `version` is what `build_info` says; without `per_volume` no volume has a
    /// metric of its own. `clock` says when a volume was seen last.
    pub fn new(version: &'static str, per_volume: bool, clock: Clock) -> Self {
        let mut registry = Registry::default();
        let sockets = Sockets::default();
        registry.register_collector(Box::new(sockets.clone()));
        let volumes = per_volume.then(|| Volumes::new(clock));
        if let Some(volumes) = &volumes {
            registry.register_collector(Box::new(volumes.clone()));
        }
        let info = Info::new(BuildLabels { version });
        registry.register(names::BUILD.name, names::BUILD.help, info);
        let seconds: fn() -> Histogram = || Histogram::new(Self::SECONDS);
        let metrics = Self(Arc::new(Inner {
            mounts: add(&mut registry, &names::MOUNTS, Family::default()),
            mount_seconds: add(&mut registry, &names::MOUNT_SECONDS, Family::new_with_constructor(seconds)),
            backend_requests: add(&mut registry, &names::BACKEND_REQUESTS, Family::default()),
            backend_seconds: add(
                &mut registry,
                &names::BACKEND_SECONDS,
                Family::new_with_constructor(seconds),
            ),
            connections_refused: add(&mut registry, &names::CONNECTIONS_REFUSED, Family::default()),
            config_reload: add(&mut registry, &names::CONFIG_RELOAD, Family::default()),
            audit_dropped: add(&mut registry, &names::AUDIT_DROPPED, Counter::default()),
            log_dropped: add(&mut registry, &names::LOG_DROPPED, Counter::default()),
            panics: add(&mut registry, &names::PANICS, Counter::default()),
            code_replaced: add(&mut registry, &names::CODE_REPLACED, Counter::default()),
            cache: add(&mut registry, &names::CACHE, Family::default()),
            cache_bytes: add(&mut registry, &names::CACHE_BYTES, Gauge::default()),
            cache_entries: add(&mut registry, &names::CACHE_ENTRIES, Gauge::default()),
            sessions: add(&mut registry, &names::SESSIONS, Family::default()),
            logins: add(&mut registry, &names::LOGINS, Family::default()),
            queue_seconds: add(&mut registry, &names::QUEUE_SECONDS, Family::new_with_constructor(seconds)),
            retries: add(&mut registry, &names::RETRIES, Family::default()),
            breaker_open: add(&mut registry, &names::BREAKER_OPEN, Family::default()),
            tls_files_kept: add(&mut registry, &names::TLS_FILES_KEPT, Gauge::default()),
            sockets,
            volumes,
            registry,
        }));
        metrics.config_reload(Reload::Taken);
        metrics
    }

    /// A mount was answered. `first`: this process had no record of success by its holder.
    pub fn mount(&self, provider: &'static str, outcome: Outcome, first: bool, took: Duration) {
        let labels = MountLabels { provider, outcome: outcome.label(), reason: outcome.reason() };
        self.0.mounts.get_or_create(&labels).inc();
        self.0.mount_seconds.get_or_create(&SecondsLabels { provider, first }).observe(took.as_secs_f64());
    }

    /// A backend was asked. `code` says what came of it: a status or its class, or a word for what went wrong.
    pub fn backend(&self, store: &StoreName, operation: &'static str, code: &'static str, took: Duration) {
        let store = store.as_str();
        let labels = RequestLabels { store: store.to_owned(), operation, code };
        self.0.backend_requests.get_or_create(&labels).inc();
        let labels = OperationLabels { store: labels.store, operation };
        self.0.backend_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// The socket of a provider is now in this state, and in no other.
    pub fn socket(&self, name: &'static str, state: SocketState) {
        self.0.sockets.lock().insert(name, state);
    }

    /// A connection was closed before a request was read.
    pub fn connection_refused(&self, why: Refusal) {
        self.0.connections_refused.get_or_create(&WhyLabels { why: why.label() }).inc();
    }

    /// The configuration file was looked at anew.
    pub fn config_reload(&self, outcome: Reload) {
        for each in Reload::ALL {
            let labels = ReloadLabels { outcome: each.label() };
            self.0.config_reload.get_or_create(&labels).set(i64::from(each == outcome));
        }
    }

    /// So many audit lines were lost.
    pub fn audit_dropped(&self, lines: u64) {
        self.0.audit_dropped.inc_by(lines);
    }

    /// So many log lines were lost.
    pub fn log_dropped(&self, lines: u64) {
        self.0.log_dropped.inc_by(lines);
    }

    /// Something panicked.
    pub fn panicked(&self) {
        self.0.panics.inc();
    }

    /// A `Mount` was about to answer with a code outside the contract, and `Internal` was sent instead.
    pub fn code_replaced(&self) {
        self.0.code_replaced.inc();
    }

    /// The figures of a store, each beginning at zero.
    pub fn store(&self, name: &str) -> StoreFigures {
        let store = || name.to_owned();
        let cache = |result| self.0.cache.get_or_create(&CacheLabels { store: store(), result }).clone();
        let [hit, shared, miss, stale, negative] = CacheFigures::RESULTS.map(cache);
        let logins = |outcome| self.0.logins.get_or_create(&LoginLabels { store: store(), outcome }).clone();
        StoreFigures {
            cache: CacheFigures { hit, shared, miss, stale, negative },
            sessions: self.0.sessions.get_or_create(&StoreLabels { store: store() }).clone(),
            logins: StoreFigures::LOGINS.map(logins),
        }
    }

    /// An object is kept for as long as what this gives.
    pub fn object_kept(&self, bytes: usize) -> [Counted; 2] {
        [Counted::new(&self.0.cache_entries, 1), Counted::new(&self.0.cache_bytes, bytes)]
    }

    /// Files of TLS settings are bad, and what they said before goes on, for as long as what this gives.
    pub fn tls_kept(&self) -> Counted {
        Counted::new(&self.0.tls_files_kept, 1)
    }

    /// A call to a backend waited so long for its turn.
    pub fn queued(&self, store: &StoreName, first: bool, waited: Duration) {
        let priority = if first { "first" } else { "refresh" };
        let labels = QueueLabels { store: store.as_str().to_owned(), priority };
        self.0.queue_seconds.get_or_create(&labels).observe(waited.as_secs_f64());
    }

    /// A call to a backend is made again, since the one before met this.
    pub fn retry(&self, store: &StoreName, reason: Reason) {
        let labels = RetryLabels { store: store.as_str().to_owned(), reason: reason.label() };
        self.0.retries.get_or_create(&labels).inc();
    }

    /// The breaker of one of the store's endpoints is open now, or no longer.
    pub fn breaker(&self, store: &StoreName, open: bool) {
        let gauge =
            self.0.breaker_open.get_or_create_owned(&StoreLabels { store: store.as_str().to_owned() });
        if open {
            gauge.inc()
        } else {
            gauge.dec()
        };
    }

    /// The volumes' own metric; `None` where it is switched off.
    pub fn volumes(&self) -> Option<&Volumes> {
        self.0.volumes.as_ref()
    }

    /// All of it as OpenMetrics text, of the type [`Self::CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(8 * 1024);
        text::encode(&mut out, &self.0.registry).expect("writing into a string does not fail");
        out
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &Name, metric: M) -> M {
    registry.register(name.name, name.help, metric.clone());
    metric
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MountLabels {
    provider: &'static str,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SecondsLabels {
    provider: &'static str,
    first: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    store: String,
    operation: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    store: String,
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhyLabels {
    why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabels {
    store: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    store: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoginLabels {
    store: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    store: String,
    priority: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RetryLabels {
    store: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// States of the sockets. Collected rather than kept as gauges, so that no scrape ever sees a socket in two states.
#[derive(Clone, Debug, Default)]
struct Sockets(Arc<Mutex<BTreeMap<&'static str, SocketState>>>);

impl Sockets {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, SocketState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Sockets {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let name = names::SOCKET;
        let mut metric = encoder.encode_descriptor(name.name, name.help, None, MetricType::Gauge)?;
        for (name, state) in self.lock().iter() {
            for each in SocketState::ALL {
                let labels = [("name", *name), ("state", each.label())];
                metric.encode_family(&labels)?.encode_gauge(&i64::from(each == *state))?;
            }
        }
        Ok(())
    }
}
