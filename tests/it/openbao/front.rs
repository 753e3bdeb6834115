//! What stands before a server and counts: an HTTP proxy with its own address and its own figures, so that tests that
//! run side by side do not count each other's requests. It may be slow, and it may refuse.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use tokio::runtime::Handle;

use super::listen::{Authority, Listener};

pub(super) struct Front {
    listener: Listener,
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    target: String,
    state: Mutex<Figures>,
}

#[derive(Default)]
struct Figures {
    delay: Duration,
    refusal: Option<(u16, String)>,
    counts: BTreeMap<String, usize>,
}

impl Front {
    pub(super) fn start(runtime: &Handle, authority: &Authority, target: &str) -> Self {
        let ca = reqwest::Certificate::from_pem(authority.pem().as_bytes()).expect("a certificate");
        let http = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().expect("a client");
        let inner = Arc::new(Inner { http, target: target.to_owned(), state: Mutex::default() });
        let routes = Router::new().fallback(pass).with_state(Arc::clone(&inner));
        Self { listener: Listener::start(runtime, authority, routes), inner }
    }

    pub(super) fn url(&self) -> String {
        self.listener.url()
    }

    /// How often somebody connected.
    pub(super) fn connections(&self) -> usize {
        self.listener.connections()
    }

    /// From now on every request waits so long before it is passed on.
    pub(super) fn delay(&self, delay: Duration) {
        self.inner.state().delay = delay;
    }

    /// From now on requests whose path contains this are answered with a status, and not passed on.
    pub(super) fn refuse(&self, status: u16, part: &str) {
        self.inner.state().refusal = Some((status, part.to_owned()));
    }

    /// How many requests there were, by method and path below `/v1/`.
    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        self.inner.state().counts.clone()
    }

    /// How many requests have this in their method and path.
    pub(super) fn count(&self, part: &str) -> usize {
        self.inner.state().counts.iter().filter(|(key, _)| key.contains(part)).map(|(_, count)| count).sum()
    }

    /// Counts from zero again.
    pub(super) fn reset(&self) {
        self.inner.state().counts.clear();
    }
}

impl Inner {
    fn state(&self) -> std::sync::MutexGuard<'_, Figures> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn pass(State(inner): State<Arc<Inner>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let (delay, refusal) = {
        let mut state = inner.state();
        let short = path.strip_prefix("/v1/").unwrap_or(&path);
        *state.counts.entry(format!("{} {short}", head.method)).or_default() += 1;
        (state.delay, state.refusal.clone())
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let answer = |status: u16, text: &str| {
        Response::builder().status(status).body(Body::from(text.to_owned())).expect("an answer")
    };
    if let Some((status, part)) = refusal
        && path.contains(&part)
    {
        return answer(status, r#"{"errors":["refused by the proxy"]}"#);
    }
    let Ok(body) = to_bytes(body, BODY_MAX).await else { return answer(400, "") };
    let mut onward = inner.http.request(head.method, format!("{}{path}", inner.target)).body(body);
    for (name, value) in head.headers.iter().filter(|(name, _)| name.as_str() != "host") {
        onward = onward.header(name, value);
    }
    let Ok(reply) = onward.send().await else { return answer(StatusCode::BAD_GATEWAY.as_u16(), "") };
    let mut back = Response::builder().status(reply.status());
    for (name, value) in reply.headers().iter().filter(|(name, _)| !HOP.contains(&name.as_str())) {
        back = back.header(name, value);
    }
    match reply.bytes().await {
        Ok(body) => back.body(Body::from(body)).expect("an answer"),
        Err(_) => answer(StatusCode::BAD_GATEWAY.as_u16(), ""),
    }
}

const BODY_MAX: usize = 4 << 20;
/// Headers of one connection, not of an answer.
const HOP: [&str; 3] = ["connection", "transfer-encoding", "content-length"];
