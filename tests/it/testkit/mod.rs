//! A remote API for tests: one TLS listener on a loopback port with an authority of its own, routed by Host, with a
//! queue of canned answers and faults, and a log of what was asked. It runs on a thread and a runtime of its own, so a
//! test's paused clock never touches it.

mod held;
mod port;
mod proof;
mod reply;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use latchkey::model::endpoint::{Address, Endpoint, Origin, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) use held::{Held, held};
pub(crate) use port::{BlackHole, closed_port};
pub(crate) use reply::{Manner, Reply};

/// What the listener shows for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// One for `127.0.0.1`, `localhost` and `*.kit.test`, signed by the kit's authority.
    Good,
    /// The same, signed by an authority that is in no file.
    Untrusted,
    /// One of the kit's authority for another name.
    WrongName,
    /// One of the kit's authority that ended in 2001.
    Expired,
    /// None: plain HTTP.
    Plain,
    /// The good one, to clients that show one of the kit's authority themselves.
    Mutual,
}

/// One request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The Host header without its port.
    pub(crate) host: String,
    /// Path and query as they stand on the wire.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Which connection it came on, counted from 1.
    pub(crate) connection: usize,
    /// The name that TLS asked for.
    pub(crate) sni: Option<String>,
    /// The certificate that the client showed.
    pub(crate) shown: Option<Vec<u8>>,
}

impl Request {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Reply> + Send + Sync>;

/// The server, until it is dropped.
pub(crate) struct Testkit {
    address: SocketAddr,
    identity: Identity,
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
    shared: Arc<Shared>,
    runtime: Handle,
    _stop: DropGuard,
}

#[derive(Default)]
struct Shared {
    handlers: Mutex<BTreeMap<String, Handler>>,
    script: Mutex<VecDeque<(String, Reply)>>,
    log: Mutex<Vec<Request>>,
    delay: Mutex<Duration>,
    connections: AtomicUsize,
    requests: AtomicUsize,
    stop: CancellationToken,
}

impl Testkit {
    /// One with a certificate that is as it should be.
    pub(crate) fn start() -> Self {
        Self::start_as(Identity::Good)
    }

    pub(crate) fn start_as(identity: Identity) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = authority();
        let tls = certify(identity, &authority);
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("the authority's file");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let (serving, stop) = (Arc::clone(&shared), shared.stop.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let handle = runtime.handle().clone();
        std::thread::spawn(move || {
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                let stop = serving.stop.clone();
                tokio::select! {
                    () = accept(listener, tls, serving) => {}
                    () = stop.cancelled() => {}
                }
            });
        });
        Self { address, identity, authority, folder, shared, runtime: handle, _stop: stop.drop_guard() }
    }

    /// Answers requests for this host (`*`: every host that has none of its own) that no script answers.
    pub(crate) fn route(&self, host: &str, handler: impl Fn(Request) -> Reply + Send + Sync + 'static) {
        self.route_async(host, move |request| std::future::ready(handler(request)));
    }

    /// The same with a handler that waits; it waits on the kit's own runtime, in real time.
    pub(crate) fn route_async<F>(&self, host: &str, handler: impl Fn(Request) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        self.shared.handlers.lock().unwrap().insert(host.to_owned(), handler);
    }

    /// Answers the next request whose path begins so, once, before any handler. Scripts of one beginning are answered in
    /// their order.
    pub(crate) fn script(&self, path: &str, reply: Reply) {
        self.shared.script.lock().unwrap().push_back((path.to_owned(), reply));
    }

    /// Answers the next `times` requests so.
    pub(crate) fn script_times(&self, path: &str, times: usize, reply: &Reply) {
        (0..times).for_each(|_| self.script(path, reply.clone()));
    }

    /// How many canned answers nobody asked for yet.
    pub(crate) fn unasked(&self) -> usize {
        self.shared.script.lock().unwrap().len()
    }

    /// Every answer from now on takes this much longer, in real time.
    pub(crate) fn delay(&self, span: Duration) {
        *self.shared.delay.lock().unwrap() = span;
    }

    /// The listener itself.
    pub(crate) fn listener(&self) -> SocketAddr {
        self.address
    }

    /// `https://127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> Address {
        self.at("127.0.0.1")
    }

    /// `https://HOST:PORT`; somebody must resolve the host to loopback. The certificate is good for `*.kit.test`.
    pub(crate) fn at(&self, host: &str) -> Address {
        let scheme = if self.identity == Identity::Plain { "http" } else { "https" };
        Address::parse(&format!("{scheme}://{host}:{}", self.address.port())).expect("an address")
    }

    /// The endpoint at [`Self::address`], with the kit's authority.
    pub(crate) fn endpoint(&self, origin: Origin) -> Endpoint {
        self.endpoint_at("127.0.0.1", origin)
    }

    /// The endpoint at another name of the kit's.
    pub(crate) fn endpoint_at(&self, host: &str, origin: Origin) -> Endpoint {
        let tls = Tls { ca: Some(self.ca().into()), ..Tls::default() };
        Endpoint { address: self.at(host), origin, tls }
    }

    /// The PEM file of the authority, which a test may replace.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A new certificate for a client, signed by the kit's authority: its PEM, that of its key, and what goes over the wire.
    pub(crate) fn client(&self) -> (String, String, Vec<u8>) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["client.kit.test".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.authority).expect("a certificate");
        (certificate.pem(), key.serialize_pem(), certificate.der().to_vec())
    }

    /// Everything that was asked since the last time.
    pub(crate) fn take_log(&self) -> Vec<Request> {
        std::mem::take(&mut *self.shared.log.lock().unwrap())
    }

    /// Connections that were accepted.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Requests that came in whole.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

impl Shared {
    async fn answer(&self, request: Request) -> Reply {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.log.lock().unwrap().push(request.clone());
        let delay = *self.delay.lock().unwrap();
        let reply = match self.scripted(&request.path) {
            Some(reply) => reply,
            None => match self.handler(&request.host) {
                Some(handler) => handler(request).await,
                None => Reply::text(501, "no such host, and no script for this path"),
            },
        };
        tokio::time::sleep(delay + reply.after).await;
        reply
    }

    fn scripted(&self, path: &str) -> Option<Reply> {
        let mut script = self.script.lock().unwrap();
        let at = script.iter().position(|(prefix, _)| path.starts_with(prefix.as_str()))?;
        script.remove(at).map(|(_, reply)| reply)
    }

    fn handler(&self, host: &str) -> Option<Handler> {
        let handlers = self.handlers.lock().unwrap();
        handlers.get(host).or_else(|| handlers.get("*")).cloned()
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            // A client that breaks off is what many tests are about.
            let _ = wire::serve(stream, tls, number, &shared).await;
        });
    }
}

/// How the listener speaks, whose clients are told of this authority.
fn certify(identity: Identity, told: &CertifiedIssuer<'static, KeyPair>) -> Option<TlsAcceptor> {
    let unknown = authority();
    let issuer = if identity == Identity::Untrusted { &unknown } else { told };
    let names = if identity == Identity::WrongName {
        vec!["elsewhere.test".to_owned()]
    } else {
        ["localhost", "127.0.0.1", "*.kit.test"].map(str::to_owned).into()
    };
    let mut leaf = CertificateParams::new(names).expect("names");
    if identity == Identity::Expired {
        (leaf.not_before, leaf.not_after) =
            (rcgen::date_time_ymd(2000, 1, 1), rcgen::date_time_ymd(2001, 1, 1));
    }
    let key = KeyPair::generate().expect("a key");
    let certificate = leaf.signed_by(&key, issuer).expect("a certificate");
    if identity == Identity::Plain {
        return None;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(told.der().clone()).expect("an authority");
    let asks = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3");
    let builder = match identity {
        Identity::Mutual => builder.with_client_cert_verifier(asks.build().expect("an authority")),
        Identity::Good | Identity::Untrusted | Identity::WrongName | Identity::Expired | Identity::Plain => {
            builder.with_no_client_auth()
        }
    };
    let mut config = builder
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .expect("a certificate with its key");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(TlsAcceptor::from(Arc::new(config)))
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}
