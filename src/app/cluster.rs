//! The API server, where the configuration wants anything of it.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::clock::{Clock, Instant};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::engine::Issuer;
use crate::error::{Fault, Problem};
use crate::model::{Audience, Endpoint, Pod, StoreName, Subject, Token};
use crate::telemetry::Metrics;

/// `None` where nothing is switched on that would ask it.
///
/// # Errors
/// `setup` where outgoing HTTP cannot be set up.
pub(super) fn cluster(
    config: &Config,
    clock: Clock,
    metrics: &Metrics,
) -> Result<Option<Arc<Cluster>>, Problem> {
    if !config.cluster.token_request && config.version_secret.is_none() {
        return Ok(None);
    }
    Cluster::new(&config.cluster, config.net.clone(), clock, metrics.clone()).map(Arc::new).map(Some)
}

/// Who makes tokens of pods, where the administrator lets the agent ask.
pub(super) fn issuer(config: &Config, cluster: Option<&Arc<Cluster>>) -> Option<Arc<dyn Issuer>> {
    let cluster = cluster.filter(|_| config.cluster.token_request)?;
    Some(Arc::new(Tokens(Arc::clone(cluster))))
}

struct Tokens(Arc<Cluster>);

impl Issuer for Tokens {
    fn name(&self) -> &StoreName {
        self.0.name()
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        self.0.endpoint()
    }

    fn issue<'a>(
        &'a self,
        subject: &'a Subject,
        pod: &'a Pod,
        audience: &'a Audience,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Token, Fault>> {
        self.0.token(subject, pod, audience, deadline).boxed()
    }
}
