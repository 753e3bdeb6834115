//! `latchkey serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Failure, runtime};
use crate::app::{self, Around, Settings};
use crate::clock::Clock;
use crate::config;
use crate::error::Reason;
use crate::telemetry::log::{Format, Level};
use crate::telemetry::{self, Metrics};
use clap::{Args, ValueEnum};

#[derive(Args)]
pub(super) struct ServeArgs {
    /// The folder of the providers' sockets, which the driver looks into
    #[arg(
        long,
        env = "LATCHKEY_SOCKET_DIR",
        default_value = "/var/run/secrets-store-csi-providers",
        value_name = "DIR"
    )]
    pub(super) socket_dir: PathBuf,
    /// Which dialects are served, a socket each; all that are built in where absent
    #[arg(long, env = "LATCHKEY_PROVIDERS", value_delimiter = ',', value_name = "NAME,…")]
    pub(super) providers: Vec<String>,
    /// The configuration file
    #[arg(long, env = "LATCHKEY_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Where /livez, /readyz and /metrics are served
    #[arg(long, env = "LATCHKEY_ADMIN_ADDR", default_value = "127.0.0.1:8090", value_name = "ADDR")]
    pub(super) admin_addr: SocketAddr,
    /// The form of log lines
    #[arg(long, env = "LATCHKEY_LOG_FORMAT", default_value = "json", value_name = "FORMAT")]
    pub(super) log_format: LogFormat,
    /// How much is logged of our own; what libraries say is never more than `info`
    #[arg(long, env = "LATCHKEY_LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    pub(super) log_level: LogLevel,
    /// Whether there is a figure for every volume's last success
    #[arg(long, env = "LATCHKEY_METRICS_PER_VOLUME", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub(super) metrics_per_volume: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LogFormat {
    Json,
    Text,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Text => Self::Text,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}

/// How long log lines may take to leave at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) fn run(args: &ServeArgs, around: Around, end: fn()) -> Result<(), Failure> {
    let config = config::load(args.config.as_ref()).map_err(Failure::Usage)?;
    let runtime = runtime()?;
    let clock = Clock::system();
    let metrics = Metrics::new(app::VERSION, args.metrics_per_volume, clock);
    let log = telemetry::Config {
        format: args.log_format.into(),
        level: args.log_level.into(),
        per_volume: args.metrics_per_volume,
    };
    let logging = telemetry::log::init(&log, Box::new(std::io::stderr()), &metrics)
        .map_err(|p| Failure::Usage(p.into()))?;
    telemetry::install_panic_hook(&metrics);
    let logging = Arc::new(logging);
    let last = Arc::clone(&logging);
    let settings = Settings {
        socket_dir: args.socket_dir.clone(),
        providers: args.providers.clone(),
        admin: args.admin_addr,
        around,
        stdout: Box::new(std::io::stdout()),
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
