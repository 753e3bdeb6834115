//! What the operator sees of a running agent: log lines ([`log`]) and metrics ([`Metrics`]). It decides nothing, knows
//! no store, and holds no value: labels are words of our own, or names that Kubernetes gave.

pub mod log;
mod metrics;
mod names;
mod pipe;
mod stores;
mod volumes;

pub use metrics::{Metrics, Outcome, Refusal, SocketState};
pub use stores::{CacheFigures, Counted, StoreFigures};
pub use volumes::Volumes;

use self::log::{Format, Level};

/// The settings of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How log lines are written.
    pub format: Format,
    /// The lowest level of our own log lines. Those of other crates are capped at `info`, whatever stands here.
    pub level: Level,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: Format::Json, level: Level::Info }
    }
}

/// Replaces the process's panic hook: counts a panic and logs its place and thread, never its payload, which may hold
/// anything. Nothing goes to stderr but through the log, since writing there can block.
pub fn install_panic_hook(metrics: &Metrics) {
    let metrics = metrics.clone();
    std::panic::set_hook(Box::new(move |info| {
        metrics.panicked();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        let (file, line) = info.location().map_or(("unknown", 0), |place| (place.file(), place.line()));
        tracing::error!(place = %format_args!("{file}:{line}"), thread, "panicked");
    }));
}
