//! The API server of the agent's own cluster. It is asked only for what an administrator switches on, and where nothing is,
//! no [`Cluster`] is made and nothing is connected to: a token of a pod's service account (`token`), and the key of object
//! versions in a Secret (`key`), each with a file of rights of its own in `daemonset/`.
//!
//! Every call goes through `net`, one attempt each, as a store's does: its bounds, its authorities that are read again when
//! their file changes, its words for what fails. A client library would bring a second HTTP stack beside it.

mod key;
mod refusal;
mod token;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::clock::{Clock, Instant};
use crate::error::{Fault, Problem, Reason};
use crate::model::StoreName;
use crate::model::endpoint::{Address, Ca, Endpoint, Origin, Tls};
use crate::net::{self, Net, Reply, Request};
use crate::room::Room;
use crate::secret::Secret;
use crate::telemetry::Metrics;

/// Where the API server is, and as whom it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The API server; `None` outside a cluster.
    pub address: Option<Address>,
    /// The folder with `token`, `ca.crt` and `namespace` of the agent's own service account.
    pub credentials: PathBuf,
    /// Whether the agent may ask for tokens of pods.
    pub token_request: bool,
}

impl Config {
    /// Where Kubernetes mounts them.
    pub const CREDENTIALS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
}

/// The API server.
pub struct Cluster {
    net: Net,
    name: StoreName,
    endpoint: Option<Endpoint>,
    credentials: PathBuf,
    room: Room,
}

/// One call.
struct Asked<'a> {
    /// What for, in figures.
    operation: &'static str,
    method: Method,
    path: &'a str,
    body: Option<&'a Secret>,
}

impl Cluster {
    /// Connects to nothing yet, and reads no file. The proxies of `net` are left out: the agent's own token is not for one,
    /// and no pod reaches its API server through it.
    ///
    /// # Errors
    /// `bug` where its name in figures is none.
    pub fn new(config: &Config, net: net::Config, clock: Clock, metrics: Metrics) -> Result<Self, Problem> {
        let direct = net::Config { https_proxy: None, http_proxy: None, ..net };
        let net = Net::new(direct, clock, metrics)?;
        let name = StoreName::parse(NAME)
            .ok_or_else(|| Problem::new(Reason::Bug, "the API server has no name for figures"))?;
        let tls = Tls { ca: Some(Ca::Path(config.credentials.join("ca.crt"))), ..Tls::default() };
        let endpoint = config.address.clone();
        let endpoint = endpoint.map(|address| Endpoint { address, origin: Origin::Administrator, tls });
        Ok(Self { net, name, endpoint, credentials: config.credentials.clone(), room: Room::new(ROOM_BYTES) })
    }

    /// Its name in figures, beside those of the stores.
    pub fn name(&self) -> &StoreName {
        &self.name
    }

    /// What its budget is kept by.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref()
    }

    async fn send(&self, asked: Asked<'_>, deadline: Instant) -> Result<Reply, Fault> {
        let endpoint = self.endpoint.as_ref().ok_or_else(outside).map_err(Fault::never)?;
        let mut bearer = self.bearer().map_err(Fault::never)?;
        bearer.set_sensitive(true);
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        let headers: [(HeaderName, HeaderValue); 3] =
            [(AUTHORIZATION, bearer), (ACCEPT, JSON), (CONTENT_TYPE, JSON)];
        let request = Request {
            store: &self.name,
            operation: asked.operation,
            method: asked.method,
            path: asked.path,
            headers: &headers,
            body: asked.body,
        };
        let sent = self.net.send(endpoint, request, &self.room.claim(), deadline).await;
        sent.map_err(|fault| Fault { problem: fault.problem.remedy(REACH), ..fault })
    }

    /// The agent's own token, read anew each time: kubelet replaces it well before its end.
    fn bearer(&self) -> Result<HeaderValue, Problem> {
        let token = self.credential("token")?;
        let mut bearer = Zeroizing::new(Vec::with_capacity(SCHEME.len() + token.len()));
        bearer.extend_from_slice(SCHEME);
        bearer.extend_from_slice(token.trim_ascii());
        HeaderValue::from_maybe_shared(Secret::new(bearer).share()).map_err(|_| {
            Problem::new(Reason::Setup, "the agent's own token has characters that no header can hold")
                .hop(self.credentials.join("token").display().to_string())
                .remedy("let Kubernetes mount it there")
        })
    }

    /// The agent's own namespace.
    fn namespace(&self) -> Result<String, Problem> {
        let bytes = self.credential("namespace")?;
        let text = std::str::from_utf8(&bytes).ok().map(str::trim);
        let namespace = text.and_then(crate::model::Namespace::parse).ok_or_else(|| {
            Problem::new(Reason::Setup, "does not hold the name of a namespace")
                .hop(self.credentials.join("namespace").display().to_string())
                .remedy("let Kubernetes mount it there")
        })?;
        Ok(namespace.as_str().to_owned())
    }

    fn credential(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let path = self.credentials.join(name);
        read(&path).map_err(|error| {
            let what = format!("the agent's own service account cannot be read: {}", error.kind());
            Problem::new(Reason::Setup, what).hop(path.display().to_string()).remedy(MOUNT)
        })
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(CREDENTIAL_BYTES_MAX));
    File::open(path)?.take(CREDENTIAL_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn outside() -> Problem {
    Problem::new(Reason::Setup, "the agent is in no cluster: `KUBERNETES_SERVICE_HOST` is not set")
        .remedy("run it as a pod, or set `cluster.tokenRequest` and `versions.secret` only where it is one")
}

const NAME: &str = "api-server";
const SCHEME: &[u8] = b"Bearer ";
const MOUNT: &str = "give the DaemonSet's pods their service account (docs/CLUSTER.md), or name its folder in \
                     `cluster.credentials`";
const REACH: &str = "see whether pods of this node reach the API server, and whether `ca.crt` in `cluster.credentials` is \
                     its authority's";
/// Longer than any header that an API server takes.
const CREDENTIAL_BYTES_MAX: usize = 16 << 10;
/// For replies that are larger than any should be: a Secret has 1 MiB at most, which base64 makes larger by a third.
const ROOM_BYTES: usize = 2 << 20;
