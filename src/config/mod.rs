//! What the administrator says: one YAML file, and the environment. Everything wrong with the file is told at once,
//! with key, line and what was probably meant. Flags are the CLI's; each has its environment variable there.

#[cfg(feature = "cluster")]
mod cluster;
mod keys;
mod reference;
mod stores;
mod tree;
#[cfg(feature = "vault")]
mod vault;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::audit;
use crate::engine;
use crate::error::{Problem, Problems, Reason};
use crate::model::{Catalog, Entry, StoreName};
#[cfg(feature = "local")]
use crate::model::{Defaults, locator};
#[cfg(feature = "net")]
use crate::net;
use crate::policy::{Pattern, Policy, Rule, Rules, Site};
use crate::serve::watchdog::Patience;
#[cfg(feature = "local")]
use crate::store::local;
use crate::telemetry::log::Level;
use crate::yaml;
pub use reference::reference;
use tree::{Findings, Section};
pub use watch::{Change, Watch};

/// The configuration file, read.
#[derive(Debug)]
pub struct Config {
    /// The configured stores.
    pub stores: Vec<Store>,
    /// Variables that are set and that nothing honours, each with the reason, for a warning.
    pub ignored: Vec<(String, &'static str)>,
    /// Where classes may lead, and who may use what.
    pub policy: Policy,
    /// The level of our own log lines.
    pub log_level: Option<Level>,
    /// The key file of object versions.
    pub version_key: Option<PathBuf>,
    /// The Secret with the key of object versions, where no file is named.
    pub version_secret: Option<String>,
    /// The API server.
    #[cfg(feature = "cluster")]
    pub cluster: crate::cluster::Config,
    /// Bounds of the engine.
    pub limits: engine::Limits,
    /// How long mounts at work may go on after SIGTERM.
    pub drain: Duration,
    /// How long the runtime may stand still.
    pub patience: Patience,
    /// Outgoing HTTP.
    #[cfg(feature = "net")]
    pub net: net::Config,
    /// The audit trail.
    pub audit: audit::Config,
    /// Whether unchanged deliveries are written each.
    pub audit_all_polls: bool,
}

/// One configured store, by its kind.
#[derive(Debug)]
pub enum Store {
    /// The embedded encrypted file.
    #[cfg(feature = "local")]
    Local(local::Config),
    /// Vault or OpenBao.
    #[cfg(feature = "vault")]
    Vault(Entry),
}

impl Store {
    /// The same, as dialects see it.
    pub fn entry(&self) -> Entry {
        match self {
            #[cfg(feature = "local")]
            Self::Local(config) => Entry {
                store: config.name.clone(),
                defaults: Defaults::Local(locator::local::Access {
                    store: config.name.clone(),
                    audience: config.verify.as_ref().map(|verify| verify.audience.clone()),
                }),
                fresh: None,
            },
            #[cfg(feature = "vault")]
            Self::Vault(entry) => entry.clone(),
        }
    }
}

impl Config {
    /// The configured stores, as dialects see them.
    pub fn catalog(&self) -> Catalog {
        Catalog::new(self.stores.iter().map(Store::entry))
    }
}

/// Largest configuration: far more than anyone writes by hand, and far less than harms.
const LIMITS: yaml::Limits = yaml::Limits { bytes: 1 << 20, nodes: 50_000, depth: 32 };

/// The environment's variables that configure the local store where the file does not.
pub const LOCAL_FILE: &str = "LATCHKEY_LOCAL_FILE";
/// The identity to [`LOCAL_FILE`].
pub const LOCAL_IDENTITY: &str = "LATCHKEY_LOCAL_IDENTITY";

/// Reads the file at `path` and the environment; without a file, the environment alone.
///
/// # Errors
/// `setup` where the file cannot be read, `invalid` for everything that is wrong in it.
pub fn load(path: Option<&Path>) -> Result<Config, Problems> {
    parse(&path.map_or_else(|| Ok(String::new()), read_file)?, environment)
}

fn read_file(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|error| {
        let what = format!("the configuration cannot be read: {}", error.kind());
        Problem::new(Reason::Setup, what).hop(path.display().to_string()).remedy("see `--config`")
    })
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The system's folder for temporary files, which the environment may move.
pub fn temporary() -> PathBuf {
    std::env::temp_dir()
}

/// Reads a configuration's text; `environment` looks variables up.
///
/// # Errors
/// `invalid`, for everything that is wrong in it.
pub fn parse(text: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Config, Problems> {
    let tree = yaml::parse(text, LIMITS)
        .map_err(|error| Problem::new(Reason::Invalid, error.what).at(error.at).parameter("configuration"))?;
    let mut findings = Findings::default();
    let root = Section::root(&tree, &mut findings);
    let config = read(&root, &environment, &mut findings);
    Problems::check(findings.0)?;
    Ok(config)
}

fn read(root: &Section<'_>, environment: &dyn Fn(&str) -> Option<String>, findings: &mut Findings) -> Config {
    let limits = root.section("limits", findings);
    let answer_bytes = limits.number("answerBytes", 1024..=1 << 30, findings);
    let defaults = (engine::Limits::default(), Patience::default());
    let versions = root.section("versions", findings);
    let audit = root.section("audit", findings);
    Config {
        stores: stores::stores(&root.section("stores", findings), environment, findings),
        ignored: ignored(environment),
        policy: policy(&root.section("policy", findings), findings),
        log_level: root.word("logLevel", &Level::ALL.map(|level| (level.label(), level)), findings),
        version_key: versions.text("keyFile", findings).map(PathBuf::from),
        #[cfg(feature = "cluster")]
        version_secret: cluster::version_secret(&versions, findings),
        #[cfg(not(feature = "cluster"))]
        version_secret: without_cluster(root, &versions, findings),
        #[cfg(feature = "cluster")]
        cluster: cluster::cluster(&root.section("cluster", findings), environment, findings),
        limits: engine::Limits {
            mounts: limits.number("mountsInFlight", 1..=1_000_000, findings).unwrap_or(defaults.0.mounts),
            room_bytes: room_bytes(&limits, findings, answer_bytes.unwrap_or(defaults.0.answer_bytes)),
            budget: budget(&limits, findings),
            keep: keep(root, &limits, findings, defaults.0.keep),
            answer_bytes: answer_bytes.unwrap_or(defaults.0.answer_bytes),
        },
        drain: limits.duration("drain", findings).unwrap_or(DRAIN),
        #[cfg(feature = "net")]
        net: net(environment),
        patience: patience(&limits, findings, defaults.1),
        audit: audit::Config {
            file: audit.text("sink", findings).filter(|sink| *sink != "stdout").map(PathBuf::from),
            required: audit.bool("required", findings).unwrap_or(false),
            queue_lines: audit
                .number("queueLines", 16..=1_000_000, findings)
                .unwrap_or(audit::Config::QUEUE_LINES),
        },
        audit_all_polls: audit.word("polls", &[("changes", false), ("all", true)], findings).unwrap_or(false),
    }
}

/// Refuses what this build could not do.
#[cfg(not(feature = "cluster"))]
fn without_cluster(root: &Section<'_>, versions: &Section<'_>, findings: &mut Findings) -> Option<String> {
    for (path, node) in [("cluster", root.value("cluster")), ("versions.secret", versions.value("secret"))] {
        if node.is_some() {
            let what = "asks the API server, which this build does not";
            findings.add(path, node, what, "build it with the feature `cluster`".to_owned());
        }
    }
    None
}

/// What the environment says of outgoing HTTP, in capitals or not.
#[cfg(feature = "net")]
fn net(environment: &dyn Fn(&str) -> Option<String>) -> net::Config {
    let either = |name: &str| environment(name).or_else(|| environment(&name.to_ascii_lowercase()));
    net::Config {
        https_proxy: either("HTTPS_PROXY"),
        http_proxy: either("HTTP_PROXY"),
        no_proxy: either("NO_PROXY"),
        ca: environment("SSL_CERT_FILE").map(PathBuf::from),
        ..net::Config::default()
    }
}

#[cfg(feature = "vault")]
use vault::ignored;

#[cfg(not(feature = "vault"))]
fn ignored(_: &dyn Fn(&str) -> Option<String>) -> Vec<(String, &'static str)> {
    Vec::new()
}

/// The largest answer must fit the part that is for answers.
fn room_bytes(limits: &Section<'_>, findings: &mut Findings, answer_bytes: usize) -> usize {
    let least = answer_bytes * engine::Limits::ANSWERS;
    let Some(bytes) = limits.number("roomBytes", 1024..=1 << 32, findings) else {
        return engine::Limits::default().room_bytes.max(least);
    };
    if bytes < least {
        let what = "is less than four times `limits.answerBytes`";
        let remedy = "raise it, or lower `limits.answerBytes`".to_owned();
        findings.add("limits.roomBytes", limits.node(), what, remedy);
    }
    bytes
}

fn budget(limits: &Section<'_>, findings: &mut Findings) -> engine::budget::Limits {
    let default = engine::budget::Limits::default();
    let mut number = |name, most, default| limits.number(name, 1..=most, findings).unwrap_or(default);
    let counts = engine::budget::Limits {
        in_flight: number("callsInFlight", 10_000, default.in_flight),
        per_principal: number("callsPerPrincipal", 10_000, default.per_principal),
        queue: number("callsQueued", 1_000_000, default.queue),
        per_second: number("callsPerSecond", 1_000_000, default.per_second),
        burst: number("callsBurst", 1_000_000, default.burst),
        exchanges: number("loginAttempts", 10, default.exchanges),
        reads: number("readAttempts", 10, default.reads),
        breaker_after: number("breakerAfter", 1_000_000, default.breaker_after),
        ..default
    };
    let mut span = |name, default| limits.duration(name, findings).unwrap_or(default);
    engine::budget::Limits {
        attempt: span("attempt", default.attempt),
        backoff: span("backoff", default.backoff),
        backoff_max: span("backoffMax", default.backoff_max),
        breaker_open: span("breakerOpen", default.breaker_open),
        breaker_open_max: span("breakerOpenMax", default.breaker_open_max),
        ..counts
    }
}

const DRAIN: Duration = Duration::from_secs(25);

fn patience(limits: &Section<'_>, findings: &mut Findings, default: Patience) -> Patience {
    let patience = Patience {
        unwell: limits.duration("livezAfter", findings).unwrap_or(default.unwell),
        dead: limits.duration("exitAfter", findings).unwrap_or(default.dead),
    };
    if patience.dead < patience.unwell {
        let remedy = "raise it, or lower `limits.livezAfter`".to_owned();
        findings.add("limits.exitAfter", limits.node(), "is shorter than `limits.livezAfter`", remedy);
    }
    patience
}

fn policy(section: &Section<'_>, findings: &mut Findings) -> Policy {
    let (endpoints, files) = (section.section("endpoints", findings), section.section("files", findings));
    let not = "is not an endpoint";
    let name = "a name is lower-case letters, digits and `-`, and begins with a letter";
    Policy {
        endpoints: endpoints.items("allow", not, Site::RULE, findings, Site::parse),
        files: files.items(
            "allow",
            "is not an absolute path",
            "write it from `/` on, without `..`",
            findings,
            Policy::file,
        ),
        skip_verify: section.items("skipVerify", not, Site::RULE, findings, Site::parse),
        node_identity: section.items(
            "nodeIdentity",
            "is not a name for a store",
            name,
            findings,
            StoreName::parse,
        ),
        rules: rules(section, findings),
    }
}

/// Longest age that makes sense.
const DAY: Duration = Duration::from_secs(86_400);

fn keep(
    root: &Section<'_>,
    limits: &Section<'_>,
    findings: &mut Findings,
    default: engine::Keep,
) -> engine::Keep {
    let (fresh, stale) = (root.section("fresh", findings), root.section("stale", findings));
    let keep = engine::Keep {
        stateless: default.stateless,
        fresh_min: fresh.span("min", DAY, findings).unwrap_or(default.fresh_min),
        fresh_max: fresh.span("max", DAY, findings).unwrap_or(default.fresh_max),
        stale_max: stale.span("max", DAY, findings).unwrap_or(default.stale_max),
        stale_first: stale.bool("firstMounts", findings).unwrap_or(default.stale_first),
        pinned: limits.span("pinned", DAY, findings).unwrap_or(default.pinned),
        sessions: limits.number("sessions", 1..=1_000_000, findings).unwrap_or(default.sessions),
        objects: limits.number("cacheObjects", 0..=1_000_000, findings).unwrap_or(default.objects),
        bytes: limits.number("cacheBytes", 0..=1 << 32, findings).unwrap_or(default.bytes),
        operation: limits.duration("operation", findings).unwrap_or(default.operation),
    };
    if keep.fresh_max < keep.fresh_min {
        let remedy = "raise it, or lower `fresh.min`".to_owned();
        findings.add("fresh.max", fresh.node(), "is shorter than `fresh.min`", remedy);
    }
    keep
}

fn rules(policy: &Section<'_>, findings: &mut Findings) -> Rules {
    let patterns = |section: &Section<'_>, name: &str, findings: &mut Findings| {
        section.texts(name, findings).into_iter().map(Pattern::new).collect::<Vec<_>>()
    };
    let Some(list) = policy.list("rules", findings) else { return Rules::open() };
    let rules = list.iter().map(|rule| Rule {
        namespaces: patterns(rule, "namespaces", findings),
        accounts: patterns(rule, "serviceAccounts", findings),
        stores: patterns(rule, "stores", findings),
        objects: patterns(rule, "objects", findings),
        roles: rule.has("roles").then(|| patterns(rule, "roles", findings)),
    });
    Rules::only(rules.collect())
}
