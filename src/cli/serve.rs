//! `latchkey serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::{Failure, runtime};
use crate::app::{self, Around, Settings};
use crate::clock::Clock;
use crate::config::{self, Watch};
use crate::error::{Problems, Reason};
use crate::telemetry::log::{Format, Level};
use crate::telemetry::{self, Metrics};

#[derive(Args)]
pub(super) struct ServeArgs {
    /// The folder of the providers' sockets, which the driver looks into
    #[arg(
        long,
        env = "LATCHKEY_SOCKET_DIR",
        default_value = "/var/run/secrets-store-csi-providers",
        value_name = "DIR"
    )]
    socket_dir: PathBuf,
    /// The driver's other folders, which it looks into first (`--additional-provider-volume-paths`); a socket of ours' name
    /// there is told of. Empty for none
    #[arg(
        long,
        env = "LATCHKEY_OTHER_SOCKET_DIRS",
        default_value = "/etc/kubernetes/secrets-store-csi-providers",
        value_delimiter = ',',
        value_name = "DIR,…"
    )]
    other_socket_dirs: Vec<PathBuf>,
    /// Providers to serve, one socket each; all that are built in by default
    #[arg(long, env = "LATCHKEY_PROVIDERS", value_delimiter = ',', value_name = "NAME,…")]
    providers: Vec<String>,
    /// The configuration file
    #[arg(long, env = "LATCHKEY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address that serves /livez, /readyz and /metrics
    #[arg(long, env = "LATCHKEY_ADMIN_ADDR", default_value = "127.0.0.1:8090", value_name = "ADDR")]
    admin_addr: SocketAddr,
    /// The form of log lines
    #[arg(long, env = "LATCHKEY_LOG_FORMAT", default_value = Format::Json.label(), value_parser = format(), value_name = "FORMAT")]
    log_format: Format,
    /// Level of Latchkey's own log lines, over the file's `logLevel`; libraries never log below `info`
    #[arg(long, env = "LATCHKEY_LOG_LEVEL", value_parser = level(), value_name = "LEVEL")]
    log_level: Option<Level>,
    /// Keep nothing between mounts: no sessions, no objects, no last good
    #[arg(long, env = "LATCHKEY_STATELESS")]
    stateless: bool,
    /// Expose the time of each volume's last success as a metric
    #[arg(long, env = "LATCHKEY_METRICS_PER_VOLUME", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    metrics_per_volume: bool,
}

/// Without the empty name that an empty list has.
fn others(given: &[PathBuf]) -> Vec<PathBuf> {
    given.iter().filter(|folder| !folder.as_os_str().is_empty()).cloned().collect()
}

fn format() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::label))
        .try_map(|word| word.parse().map_err(Problems::from))
}

fn level() -> impl TypedValueParser<Value = Level> {
    PossibleValuesParser::new(Level::ALL.map(Level::label))
        .try_map(|word| word.parse().map_err(Problems::from))
}

/// How long log lines may take to leave at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) fn run(args: &ServeArgs, around: Around, end: fn()) -> Result<(), Failure> {
    let (watch, mut config) = match &args.config {
        Some(path) => Watch::open(path).map(|(watch, config)| (Some(watch), config)),
        None => config::load(None).map(|config| (None, config)),
    }
    .map_err(Failure::Usage)?;
    config.limits.keep.stateless = args.stateless;
    let runtime = runtime()?;
    let clock = Clock::system();
    let metrics = Metrics::new(app::VERSION, args.metrics_per_volume, clock);
    let log = telemetry::Config {
        format: args.log_format,
        level: args.log_level.or(config.log_level).unwrap_or_default(),
    };
    let logging = telemetry::log::init(&log, Box::new(std::io::stderr()), &metrics)
        .map_err(|problem| Failure::Usage(problem.into()))?;
    telemetry::install_panic_hook(&metrics);
    // A flag is the last word; else the level follows the file.
    let switch = args.log_level.is_none().then(|| logging.switch());
    let logging = Arc::new(logging);
    let last = Arc::clone(&logging);
    let settings = Settings {
        socket_dir: args.socket_dir.clone(),
        other_socket_dirs: others(&args.other_socket_dirs),
        providers: args.providers.clone(),
        admin: args.admin_addr,
        around,
        stdout: Box::new(std::io::stdout()),
        watch,
        level: switch,
        end: Box::new(move || {
            last.flush(LAST_WORDS);
            end();
        }),
    };
    let served = runtime.block_on(async move {
        let stop = app::interrupted()?;
        app::serve(settings, config, metrics, stop).await
    });
    runtime.shutdown_background();
    logging.flush(LAST_WORDS);
    served.map_err(|problems| {
        if problems.reason() == Reason::Bug { Failure::Work(problems) } else { Failure::Usage(problems) }
    })
}
