//! The one guarded HTTP stack: every byte that leaves for a backend goes through [`Net::send`]. It knows endpoints and
//! bounds, and no store.
//!
//! An attempt is: a client of the pool (`pool`), a connection whose address was judged when it was looked up
//! (`names`) and whose certificate was checked against files that may change (`roots`, `trust`), a request, and an answer that
//! came whole (`body`) or is a fault (`failure`) in our own words (`words`). Redirects are answers like any other.
//!
//! The SDKs of later stores get no client of their own: their transport traits take a request and give an answer, which
//! is what [`Net::send`] does, so an adapter is a function around it and inherits every guard.

mod asked;
mod body;
mod connect;
mod failure;
mod gzip;
mod names;
mod pool;
mod proxy;
mod roots;
mod trust;
mod words;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

use crate::clock::{Clock, Instant};
use crate::error::{Fault, Problem};
use crate::model::{Address, Endpoint, StoreName};
use crate::room::Claim;
use crate::secret::Secret;
use crate::telemetry::Metrics;
use failure::Failure;
pub use names::Names;
use pool::Pools;

/// The settings of this module: the administrator's word.
#[derive(Clone, Default)]
pub struct Config {
    /// The proxy of `https://` addresses, as a URL.
    pub https_proxy: Option<String>,
    /// The proxy of `http://` addresses, as a URL.
    pub http_proxy: Option<String>,
    /// Where no proxy is used: names with all that lies below them, addresses, networks, `*`; separated by commas.
    pub no_proxy: Option<String>,
    /// The PEM file of the authorities that count as the system's.
    pub ca: Option<PathBuf>,
    /// Who knows the addresses of names.
    pub names: Names,
    /// Bounds.
    pub limits: Limits,
}

impl fmt::Debug for Config {
    /// Of a proxy only that there is one: its URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("https_proxy", &self.https_proxy.is_some())
            .field("http_proxy", &self.http_proxy.is_some())
            .field("no_proxy", &self.no_proxy)
            .field("ca", &self.ca)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Bounds of one attempt. A caller's deadline that is earlier wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Looking a name up: longer than the 5 s after which the system asks its second DNS server.
    pub lookup: Duration,
    /// A TCP connection; through a proxy, with what the proxy needs for its own.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// From the beginning to the headers of the answer.
    pub head: Duration,
    /// From the beginning to the end of the answer.
    pub attempt: Duration,
    /// Largest body of an answer.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lookup: Duration::from_secs(6),
            connect: Duration::from_secs(3),
            tls: Duration::from_secs(5),
            head: Duration::from_secs(10),
            attempt: Duration::from_secs(15),
            body_bytes: 2 << 20,
        }
    }
}

/// Outgoing HTTP.
pub struct Net {
    clock: Clock,
    metrics: Metrics,
    limits: Limits,
    pools: Pools,
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
    /// Connects to nothing yet, and reads no file.
    ///
    /// # Errors
    /// `setup` where a proxy cannot be used.
    pub fn new(config: Config, clock: Clock, metrics: Metrics) -> Result<Self, Problem> {
        let limits = config.limits;
        let pools = Pools::new(config, clock, metrics.clone())?;
        Ok(Self { clock, metrics, limits, pools })
    }

    /// Sends a request once and reads its answer, within `deadline` and the bounds of one attempt. Large answers take
    /// their room from `claim` before they are read.
    ///
    /// # Errors
    /// `policy`, `setup`, `unreachable`, `timeout`, `upstream`, `too_large` or `busy`, with the endpoint as the hop.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        request: Request<'_>,
        claim: &Claim,
        deadline: Instant,
    ) -> Result<Reply, Fault> {
        let began = self.clock.now();
        let (store, operation) = (request.store, request.operation);
        let outcome = self.attempt(endpoint, request, claim, (began, deadline)).await;
        let code = match &outcome {
            Ok(reply) => code(reply.status),
            Err(failure) => failure.label(),
        };
        self.metrics.backend(store, operation, code, self.clock.now().since(began));
        outcome.map_err(|failure| failure.fault(&endpoint.address))
    }

    async fn attempt(
        &self,
        endpoint: &Endpoint,
        request: Request<'_>,
        claim: &Claim,
        (began, deadline): (Instant, Instant),
    ) -> Result<Reply, Failure> {
        let head_by = deadline.min(began + self.limits.head);
        let url = url(&endpoint.address, request.path)?;
        let client = self.clock.until(head_by, self.pools.client(endpoint)).await;
        let (client, asked) = client.unwrap_or(Err(Failure::NotSent))?;
        let (url, host) = renamed(url, endpoint)?;
        let mut sending = client.request(request.method, url);
        if let Some(host) = host {
            sending = sending.header(http::header::HOST, host);
        }
        for (name, value) in request.headers {
            sending = sending.header(name, value);
        }
        if let Some(body) = request.body {
            sending = sending.body(body.share());
        }
        let sent = self.clock.until(head_by, sending.send()).await;
        let reply = sent.ok_or(Failure::NoHead)?.map_err(|error| asked.explain(Failure::sent(&error)))?;
        asked.served();
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        let by = deadline.min(began + self.limits.attempt);
        let mut body = body::read(reply, self.limits.body_bytes, claim, &self.clock, by).await?;
        if let Some(bytes) = gzip::unpacked(&headers, &body) {
            if bytes > self.limits.body_bytes {
                return Err(Failure::TooLarge(self.limits.body_bytes));
            }
            body::cover(claim, bytes, bytes, &self.clock, by).await?;
            body = gzip::unpack(&body, bytes)?;
        }
        Ok(Reply { status, headers, body })
    }
}

/// The URL of a request, whose path is on the wire as it was judged, or not at all.
fn url(address: &Address, path: &str) -> Result<Url, Failure> {
    let text = match address {
        Address::Web { .. } => format!("{address}{path}"),
        Address::Unix(_) => format!("http://localhost{path}"),
    };
    let url = Url::parse(&text).map_err(|_| Failure::Spelling)?;
    let on_the_wire = &url[url::Position::BeforePath..];
    if path.starts_with('/') && url.fragment().is_none() && text.ends_with(on_the_wire) {
        let base = match address {
            Address::Web { base, .. } => base.len(),
            Address::Unix(_) => 0,
        };
        if on_the_wire.len() == base + path.len() {
            return Ok(url);
        }
    }
    Err(Failure::Spelling)
}

/// Where TLS asks for another name than the address's, the URL has that one: the pool's resolver knows what it stands
/// for. The Host stays the address's.
fn renamed(mut url: Url, endpoint: &Endpoint) -> Result<(Url, Option<String>), Failure> {
    let Some(name) = endpoint.address.renamed(&endpoint.tls) else { return Ok((url, None)) };
    let host = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
    url.set_host(Some(name)).map_err(|_| Failure::Spelling)?;
    Ok((url, Some(host)))
}

/// The word for a status in figures.
const fn code(status: u16) -> &'static str {
    match status {
        403 => "403",
        404 => "404",
        429 => "429",
        503 => "503",
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}
