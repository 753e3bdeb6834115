//! Log lines of the process: one line each, JSON or text, through a queue that never blocks, with
//! the time of `clock`. A filter that no setting lifts keeps the lines of other crates at `info` and above: below,
//! they print what they send, tokens included. Where the lines go is the caller's business.

use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Context, Filter, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use super::pipe::{Drain, Pipe};
use super::{Config, Metrics};
use crate::clock::Clock;
use crate::error::{Problem, Reason};

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For a person.
    Text,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Json, Self::Text];

    /// The word in flags and the configuration.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

/// The lowest level that is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something must be mended.
    Error,
    /// Something may have to be.
    Warn,
    /// What the agent does.
    #[default]
    Info,
    /// How it does it.
    Debug,
    /// Step by step.
    Trace,
}

impl Level {
    /// All of them, from the quietest.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The word in flags and the configuration.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    const fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

impl FromStr for Format {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        Self::ALL.into_iter().find(|format| format.label() == text).ok_or_else(|| {
            Problem::new(Reason::Invalid, "is not a log format").remedy("write `json` or `text`")
        })
    }
}

impl FromStr for Level {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        Self::ALL.into_iter().find(|level| level.label() == text).ok_or_else(|| {
            Problem::new(Reason::Invalid, "is not a log level")
                .remedy("write `error`, `warn`, `info`, `debug` or `trace`")
        })
    }
}

/// The level of a running log, which can be changed at any time. Clones change the same one.
#[derive(Clone, Debug)]
pub struct Switch(Arc<AtomicU8>);

impl Switch {
    fn new(level: Level) -> Self {
        Self(Arc::new(AtomicU8::new(level as u8)))
    }

    /// The level now.
    pub fn get(&self) -> Level {
        Level::ALL.get(usize::from(self.0.load(Ordering::Relaxed))).copied().unwrap_or(Level::Info)
    }

    /// From now on, this level.
    pub fn set(&self, level: Level) {
        self.0.store(level as u8, Ordering::Relaxed);
        // Call sites remember whether anyone listens.
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Keeps the log's thread going. Hold it as long as the process logs.
pub struct LogGuard {
    drain: Drain,
    switch: Switch,
}

impl LogGuard {
    /// The level, to be changed.
    pub fn switch(&self) -> Switch {
        self.switch.clone()
    }

    /// Waits until all that was logged is written, at most `limit`; says whether it was. Blocks its thread.
    pub fn flush(&self, limit: Duration) -> bool {
        self.drain.flush(limit)
    }
}

/// Makes the log of the whole process, once, with its lines going to `out` (stderr, as a rule).
///
/// # Errors
/// `setup`: the process has one already, or the system refuses a thread.
pub fn init(config: &Config, out: Box<dyn Write + Send>, metrics: &Metrics) -> Result<LogGuard, Problem> {
    let (subscriber, guard) = build(config, out, metrics)?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|_| Problem::new(Reason::Setup, "this process has a log already"))?;
    Ok(guard)
}

/// What [`init`] makes the process's log, for a caller that wants it for one thread.
///
/// # Errors
/// `setup`: the system refuses a thread.
pub fn build(
    config: &Config,
    out: Box<dyn Write + Send>,
    metrics: &Metrics,
) -> Result<(impl Subscriber + Send + Sync + use<>, LogGuard), Problem> {
    let (pipe, drain) =
        Pipe::start(out, config.format == Format::Text, metrics.clone()).map_err(|error| {
            Problem::new(Reason::Setup, format!("the log's thread does not start ({})", error.kind()))
                .remedy("raise the limit of processes")
        })?;
    let switch = Switch::new(config.level);
    let layer = tracing_subscriber::fmt::layer().with_timer(Time).with_writer(pipe).with_ansi(false);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match config.format {
        Format::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
        Format::Text => layer.boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(Cap(switch.clone())));
    Ok((subscriber, LogGuard { drain, switch }))
}

/// Our own lines at the level of the switch, all others at `info` at most.
struct Cap(Switch);

impl Cap {
    const OTHERS: LevelFilter = LevelFilter::INFO;

    fn allows(&self, metadata: &Metadata<'_>) -> bool {
        let level = self.0.get().filter();
        *metadata.level() <= if is_ours(metadata.target()) { level } else { level.min(Self::OTHERS) }
    }
}

fn is_ours(target: &str) -> bool {
    target.strip_prefix("latchkey").is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

impl<S> Filter<S> for Cap {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.allows(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.allows(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.get().filter())
    }
}

struct Time;

impl FormatTime for Time {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", Clock::system().wall())
    }
}
