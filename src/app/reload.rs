//! Takes policy, bounds and log level anew when the configuration file changes. A file with problems changes nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Change, Watch};
use crate::engine::Engine;
use crate::error::{Problem, Reason};
use crate::telemetry::log::Switch;
use crate::telemetry::{Metrics, Reload};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What follows the file.
pub(super) struct Follower {
    pub(super) engine: Arc<Engine>,
    /// The log's level, unless a flag has set it.
    pub(super) level: Option<Switch>,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
}

impl Follower {
    /// Goes on for as long as the agent runs.
    pub(super) async fn follow(self, mut watch: Watch) {
        loop {
            self.clock.sleep(LOOK_EVERY).await;
            let look = move || {
                // A file that trips the agent up is one more file with a problem.
                let found = catch_unwind(AssertUnwindSafe(|| watch.look()));
                (watch, found.unwrap_or_else(|_| Some(Err(fault().into()))))
            };
            let Ok((back, found)) = tokio::task::spawn_blocking(look).await else { return };
            watch = back;
            match found {
                None => {}
                Some(Ok(change)) => self.take(change),
                Some(Err(problems)) => {
                    self.metrics.config_reload(Reload::Failed);
                    for problem in problems {
                        tracing::error!("the new configuration is not taken: {problem}");
                    }
                }
            }
        }
    }

    fn take(&self, Change { config, restart }: Change) {
        self.engine.reload(config.policy, config.limits);
        if let Some(switch) = &self.level {
            switch.set(config.log_level.unwrap_or_default());
        }
        self.metrics.config_reload(Reload::Taken);
        tracing::info!("the new configuration is taken");
        if !restart.is_empty() {
            tracing::warn!(
                keys = restart.join(", "),
                "some keys have changed that wait for a start: restart to take them"
            );
        }
    }
}

fn fault() -> Problem {
    Problem::new(Reason::Bug, "the agent failed on it by a fault of its own")
        .remedy("the log names the place")
}
