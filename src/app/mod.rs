//! Composition: the only module that names a concrete store or dialect. It builds an engine from a configuration and
//! runs an agent until it is told to stop.

#[cfg(feature = "cluster")]
mod cluster;
pub mod lint;
#[cfg(feature = "local")]
pub mod local;
mod reload;
pub mod versions;

#[cfg(not(any(feature = "local", feature = "vault")))]
compile_error!(
    "an agent without a store serves nobody: choose a feature of at least one store, such as `local`"
);

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::audit::{self, Audit};
use crate::clock::Clock;
use crate::config::{self, Config, Watch};
use crate::dialect::Dialect;
use crate::dialect::native::Native;
#[cfg(feature = "vault")]
use crate::dialect::vault::{Flavour, Vault};
use crate::engine::{self, Delivery, Engine, Order, Origin};
use crate::error::{Problem, Problems, Reason};
use crate::model::{Envelope, StoreName};
#[cfg(feature = "net")]
use crate::net::Net;
#[cfg(feature = "cluster")]
use crate::secret::fill_random;
use crate::serve::watchdog::Pulse;
use crate::serve::{FOLDER_BYTES_MAX, Server, TIME_UNTOLD, admin};
use crate::store::{self, Store};
use crate::telemetry::Metrics;
use crate::telemetry::log::Switch;
use crate::text::nearest;
use reload::Follower;
use versions::{Source, Versions};

/// What a test tree may put around every store; the agent that is shipped puts [`as_is`].
pub type Around = fn(Arc<dyn Store>) -> Arc<dyn Store>;

/// Nothing around a store.
pub fn as_is(store: Arc<dyn Store>) -> Arc<dyn Store> {
    store
}

/// Where lines go.
pub type Stream = Box<dyn Write + Send>;

/// Our release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How an agent is set up, besides its configuration.
pub struct Settings {
    /// Where the sockets stand.
    pub socket_dir: PathBuf,
    /// The driver's other folders, which it looks into first.
    pub other_socket_dirs: Vec<PathBuf>,
    /// Which dialects are served; all that are built in where empty.
    pub providers: Vec<String>,
    /// Where probes and figures are served.
    pub admin: SocketAddr,
    /// What is put around every store.
    pub around: Around,
    /// Takes audit lines where the configuration names no file.
    pub stdout: Stream,
    /// Looks after the configuration file.
    pub watch: Option<Watch>,
    /// The level of the log, where it follows the file.
    pub level: Option<Switch>,
    /// Ends the process, from outside the runtime, when that stands still.
    pub end: Box<dyn FnOnce() + Send>,
}

/// Every dialect that is built in.
fn dialects() -> Vec<Arc<dyn Dialect>> {
    vec![
        Arc::new(Native),
        #[cfg(feature = "vault")]
        Arc::new(Vault { flavour: Flavour::Vault }),
        #[cfg(feature = "vault")]
        Arc::new(Vault { flavour: Flavour::OpenBao }),
    ]
}

/// The dialect of a provider, as `spec.provider` names it.
///
/// # Errors
/// `setup`, with the providers that there are.
fn dialect(provider: &str) -> Result<Arc<dyn Dialect>, Problem> {
    let all = dialects();
    let names: Vec<&'static str> = all.iter().map(|dialect| dialect.provider()).collect();
    all.into_iter().find(|dialect| dialect.provider() == provider).ok_or_else(|| {
        let problem = Problem::new(Reason::Setup, format!("there is no provider `{provider}` in this build"));
        problem.remedy(match nearest(provider, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", names.join(", ")),
        })
    })
}

/// An engine from a configuration, and what looks after the key of its versions.
///
/// # Errors
/// `setup` where the version key cannot be read.
fn engine(
    config: &Config,
    clock: Clock,
    metrics: Metrics,
    audit: Audit,
    around: Around,
) -> Result<(Arc<Engine>, Versions), Problems> {
    for (name, why) in &config.ignored {
        tracing::warn!(name, "the variable is not honoured: {why}");
    }
    let mut stores: BTreeMap<StoreName, Arc<dyn Store>> = BTreeMap::new();
    #[cfg(feature = "net")]
    let net = Arc::new(Net::new(config.net.clone(), clock, metrics.clone())?);
    #[cfg(feature = "vault")]
    let vault: Arc<dyn Store> = Arc::new(store::vault::Vault::new(net));
    for store in &config.stores {
        match store {
            #[cfg(feature = "local")]
            config::Store::Local(config) => {
                stores
                    .insert(config.name.clone(), around(Arc::new(store::local::Local::new(config.clone()))));
            }
            #[cfg(feature = "vault")]
            config::Store::Vault(entry) => {
                stores.insert(entry.store.clone(), around(Arc::clone(&vault)));
            }
        }
    }
    #[cfg(feature = "cluster")]
    let cluster = cluster::cluster(config, clock, &metrics)?;
    #[cfg(feature = "cluster")]
    let issuer = cluster::issuer(config, cluster.as_ref());
    #[cfg(not(feature = "cluster"))]
    let issuer = None;
    let source = match (&config.version_key, &config.version_secret) {
        (Some(path), _) => Source::File(path.clone()),
        #[cfg(feature = "cluster")]
        (None, Some(name)) if let Some(cluster) = cluster => {
            Source::Secret { cluster, name: name.clone(), lag: lag() }
        }
        (None, _) => Source::Own,
    };
    let mut versions = Versions::new(source, clock);
    let version_key = versions.initial()?;
    let engine = Engine::new(engine::Parts {
        clock,
        stores,
        catalog: config.catalog(),
        policy: config.policy.clone(),
        issuer,
        version_key,
        limits: config.limits,
        metrics,
        audit,
        audit_all_polls: config.audit_all_polls,
    });
    Ok((engine, versions))
}

/// A number between nought and one, another one for each process.
#[cfg(feature = "cluster")]
fn lag() -> f64 {
    let mut byte = [0];
    fill_random(&mut byte);
    f64::from(byte[0]) / 255.0
}

/// Runs an agent until `stop` is ready, then drains it.
///
/// # Errors
/// `setup` where it cannot start, `bug` where a task of its own ended.
pub async fn serve(
    settings: Settings,
    config: Config,
    metrics: Metrics,
    stop: impl Future<Output = ()>,
) -> Result<(), Problems> {
    let clock = Clock::system();
    let audit = trail(&config.audit, settings.stdout, clock, &metrics)?;
    let (engine, versions) = engine(&config, clock, metrics.clone(), audit.clone(), settings.around)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(keyed(Arc::clone(&engine), versions, clock).await);
    let probes = listen(settings.admin).await?;
    let server = Server {
        engine: Arc::clone(&engine),
        dialects: chosen(&settings.providers)?,
        folder: folder(settings.socket_dir)?,
        others: settings.other_socket_dirs,
        clock,
        metrics: metrics.clone(),
    };
    let pulse = Pulse::watch(clock, config.patience, move |stood| {
        tracing::error!(
            seconds = stood.as_secs(),
            "the runtime stands still; the process ends so that it is started anew"
        );
        (settings.end)();
    });
    let (running, keepers) = server.start().await;
    let over = CancellationToken::new();
    for keeper in keepers {
        tasks.spawn(async move {
            keeper.await;
            "a socket's keeper"
        });
    }
    let (beat, tidied) = (pulse.clone(), Arc::clone(&engine));
    tasks.spawn(async move {
        beat.beat(clock, config.patience).await;
        "the pulse"
    });
    tasks.spawn(async move {
        loop {
            clock.sleep(TIDY_EVERY).await;
            tidied.tidy().await;
        }
    });
    if let Some(watch) = settings.watch {
        let follower =
            Follower { engine: Arc::clone(&engine), level: settings.level, metrics: metrics.clone(), clock };
        tasks.spawn(async move {
            follower.follow(watch).await;
            "the watch over the configuration"
        });
    }
    let served = admin::serve(probes, metrics, pulse.clone(), running.ready.clone(), clock, over.clone());
    tasks.spawn(async move {
        served.await;
        "the admin listener"
    });

    let unexpected = tokio::select! {
        () = stop => None,
        ended = tasks.join_next() => ended,
    };
    tracing::info!(seconds = config.drain.as_secs(), "stopping: mounts at work are finished first");
    running.stop();
    running.drained(clock.now() + config.drain).await;
    engine.close();
    running.drained(clock.now() + LAST_WORDS).await;
    engine.drained(clock.now() + LAST_WORDS).await;
    over.cancel();
    audit.flush(clock.now() + LAST_WORDS).await;
    pulse.stop();
    unexpected.map_or(Ok(()), |ended| Err(broken(ended).into()))
}

/// Looks for the version key before the first mount, and hands over who looks for it from then on.
async fn keyed(
    engine: Arc<Engine>,
    mut versions: Versions,
    clock: Clock,
) -> impl Future<Output = &'static str> + use<> {
    let take = move |key| engine.rekey(key);
    versions.begin(clock.now() + FIRST_KEY, &take).await;
    async move {
        versions.follow(take).await;
        "the look after the version key"
    }
}

/// A task of the agent's ended by itself.
fn broken(ended: Result<&'static str, JoinError>) -> Problem {
    let what = match ended {
        Ok(name) => format!("{name} ended without being asked to"),
        Err(_) => "a task of the agent panicked; the log names the place".to_owned(),
    };
    tracing::error!("{what}");
    Problem::new(Reason::Bug, what)
}

/// How often holders that fell silent are looked through for counts that are due, and what is kept for what is not.
const TIDY_EVERY: Duration = Duration::from_secs(300);
/// How long the start waits for a version key that the API server has. The driver waits for the sockets meanwhile.
const FIRST_KEY: Duration = Duration::from_secs(3);
/// How long answers and audit lines may take to leave after the drain, each: longer than a full audit queue holds a
/// mount up, and three of them less than the ten seconds that the pod's grace period has over the drain.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Starts the audit trail; `stream` takes its lines where the configuration names no file.
///
/// # Errors
/// `setup` where its file cannot be opened.
fn trail(config: &audit::Config, stream: Stream, clock: Clock, metrics: &Metrics) -> Result<Audit, Problem> {
    let dropped = metrics.clone();
    Audit::start(config, stream, clock, Arc::new(move |lines| dropped.audit_dropped(lines)))
}

/// One mount as the administrator, outside any agent; its audit lines go to `stream`.
///
/// # Errors
/// What an agent would answer, and `setup` where there can be none.
pub async fn mount(
    config: &Config,
    around: Around,
    stream: Stream,
    provider: &str,
    envelope: Envelope,
) -> Result<Delivery, Problems> {
    let clock = Clock::system();
    let dialect = dialect(provider).map_err(|problem| problem.parameter("spec.provider"))?;
    let metrics = Metrics::new(VERSION, false, clock);
    let settings = audit::Config { file: None, ..config.audit.clone() };
    let audit = trail(&settings, stream, clock, &metrics)?;
    let (engine, _) = engine(config, clock, metrics, audit.clone(), around)?;
    let deadline = clock.now() + TIME_UNTOLD;
    let delivery = engine.mount(Order { dialect, envelope, deadline, origin: Origin::Cli }).await;
    audit.flush(clock.now() + LAST_WORDS).await;
    delivery
}

/// Ready once the process is asked to end. Call it before anything is bound, so that no signal is missed.
///
/// # Errors
/// `setup` where the system does not let signals be caught.
pub fn interrupted() -> Result<impl Future<Output = ()>, Problems> {
    let caught = |kind| {
        signal(kind).map_err(|error| {
            Problems::from(Problem::new(Reason::Setup, format!("signals cannot be caught: {}", error.kind())))
        })
    };
    let (mut term, mut int) = (caught(SignalKind::terminate())?, caught(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

fn chosen(names: &[String]) -> Result<Vec<Arc<dyn Dialect>>, Problems> {
    if names.is_empty() {
        return Ok(dialects());
    }
    let mut problems = Vec::new();
    let mut chosen = Vec::new();
    for name in names {
        match dialect(name) {
            Ok(dialect)
                if chosen.iter().any(|other: &Arc<dyn Dialect>| other.provider() == dialect.provider()) =>
            {
                let problem = Problem::new(Reason::Invalid, format!("names `{name}` twice"));
                problems.push(problem.parameter("--providers").remedy("name each provider once"));
            }
            Ok(dialect) => chosen.push(dialect),
            Err(problem) => problems.push(problem.parameter("--providers")),
        }
    }
    Problems::check(problems)?;
    Ok(chosen)
}

fn folder(path: PathBuf) -> Result<PathBuf, Problem> {
    let wrong = |what: &str, remedy: String| {
        let problem = Problem::new(Reason::Setup, what).parameter("--socket-dir");
        problem.hop(path.display().to_string()).remedy(remedy)
    };
    if !path.is_dir() {
        let remedy = "mount the driver's provider folder there, or make it".to_owned();
        return Err(wrong("is not a folder", remedy));
    }
    if path.as_os_str().len() > FOLDER_BYTES_MAX {
        let remedy = format!("name a folder of {FOLDER_BYTES_MAX} bytes at most");
        return Err(wrong("is too long for the path of a socket", remedy));
    }
    Ok(path)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Problem> {
    TcpListener::bind(address).await.map_err(|error| {
        let what = format!("cannot listen on {address}: {}", error.kind());
        Problem::new(Reason::Setup, what).parameter("--admin-addr").remedy("choose a free address")
    })
}
