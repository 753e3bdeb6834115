//! The one guarded HTTP stack: every byte that leaves for a backend goes through [`Net::send`]. It knows endpoints and
//! bounds, and no store.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use zeroize::Zeroizing;

use crate::clock::{Clock, Instant};
use crate::error::{Fault, Problem, Reason, Retry};
use crate::model::{Endpoint, StoreName};
use crate::room::Claim;
use crate::secret::Secret;
use crate::telemetry::Metrics;

/// The settings of this module.
#[derive(Clone, Debug, Default)]
pub struct Config {}

/// Outgoing HTTP.
pub struct Net {
    clock: Clock,
    metrics: Metrics,
    client: reqwest::Client,
}

/// One request.
pub struct Request<'a> {
    /// For whom, in figures.
    pub store: &'a StoreName,
    /// What for, in figures: `login`, `read`.
    pub operation: &'static str,
    /// Its method.
    pub method: Method,
    /// Path and query, percent-escaped; it begins with `/` and follows the endpoint's own path.
    pub path: &'a str,
    /// Its headers. Those with credentials are marked sensitive.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// A JSON body.
    pub body: Option<&'a Secret>,
}

/// A whole answer, whatever its status.
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Secret,
}

impl Net {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// `setup` where a file of authorities or a proxy cannot be used.
    pub fn new(_config: Config, clock: Clock, metrics: Metrics) -> Result<Self, Problem> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|_| Problem::new(Reason::Setup, "the HTTP client does not start"))?;
        Ok(Self { clock, metrics, client })
    }

    /// Sends a request once and reads its answer, within `deadline` and the bounds of one attempt.
    ///
    /// # Errors
    /// `policy`, `unreachable`, `timeout` or `upstream`, with the endpoint as the hop.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        request: Request<'_>,
        claim: &Claim,
        deadline: Instant,
    ) -> Result<Reply, Fault> {
        let _ = (&self.metrics, claim);
        let url = format!("{endpoint}{}", request.path);
        let mut sending = self.client.request(request.method, url);
        for (name, value) in request.headers {
            sending = sending.header(name, value);
        }
        if let Some(body) = request.body {
            sending = sending.body(body.share());
        }
        let deadline = deadline.min(self.clock.now() + ATTEMPT);
        let fault = |reason, what: &str| Fault {
            problem: Problem::new(reason, what).hop(endpoint.address.site()),
            retry: Retry::Backoff,
            doubtful: true,
        };
        let exchange = async {
            let reply = sending.send().await.map_err(|_| fault(Reason::Unreachable, "cannot be reached"))?;
            let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
            let body: Bytes =
                reply.bytes().await.map_err(|_| fault(Reason::Unreachable, "broke off its answer"))?;
            Ok(Reply { status, headers, body: Secret::new(Zeroizing::new(body.to_vec())) })
        };
        let answered = self.clock.until(deadline, exchange).await;
        answered.unwrap_or_else(|| Err(fault(Reason::Timeout, "did not answer in time")))
    }
}

/// Longest attempt.
const ATTEMPT: Duration = Duration::from_secs(15);
