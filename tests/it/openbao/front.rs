//! What stands before a server and counts: an HTTP proxy with its own address and its own figures, so that tests that
//! run side by side do not count each other's requests. It may be slow, and it may answer in the server's place.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use latchkey::model::{Endpoint, Origin};
use reqwest::Method;

use super::server::Server;
use crate::testkit::{Reply, Request, Testkit};

pub(super) struct Front {
    /// The listener: how slow it is, what it answers itself, who connected.
    pub(super) kit: Testkit,
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Front {
    /// Before this server.
    pub(super) fn start(server: &Server) -> Self {
        let (target, http) = (server.url(), server.client().build().expect("a client"));
        let (kit, counts) = (Testkit::start(), Arc::<Mutex<BTreeMap<String, usize>>>::default());
        let counting = Arc::clone(&counts);
        kit.route_async("*", move |request| {
            let short = request.path.strip_prefix("/v1/").unwrap_or(&request.path);
            *counting.lock().unwrap().entry(format!("{} {short}", request.method)).or_default() += 1;
            let (http, target) = (http.clone(), target.clone());
            async move { pass(&http, &target, request).await.unwrap_or_else(|| Reply::text(502, "")) }
        });
        Self { kit, counts }
    }

    /// A client that trusts it.
    pub(super) fn client(&self) -> reqwest::ClientBuilder {
        let ca = std::fs::read(self.kit.ca()).expect("a file");
        let ca = reqwest::Certificate::from_pem(&ca).expect("a certificate");
        reqwest::Client::builder().tls_certs_only([ca]).no_proxy()
    }

    pub(super) fn url(&self) -> String {
        self.kit.address().site()
    }

    /// As an administrator would write it.
    pub(super) fn endpoint(&self) -> Endpoint {
        self.kit.endpoint(Origin::Administrator)
    }

    /// How many requests were passed on, by method and path below `/v1/`.
    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        self.counts.lock().unwrap().clone()
    }

    /// How many requests that were passed on have this in their method and path.
    pub(super) fn count(&self, part: &str) -> usize {
        self.counts.lock().unwrap().iter().filter(|(key, _)| key.contains(part)).map(|(_, count)| count).sum()
    }

    /// Counts from zero again.
    pub(super) fn reset(&self) {
        self.counts.lock().unwrap().clear();
    }
}

async fn pass(http: &reqwest::Client, target: &str, request: Request) -> Option<Reply> {
    let method = Method::from_bytes(request.method.as_bytes()).ok()?;
    let mut onward = http.request(method, format!("{target}{}", request.path)).body(request.body);
    for (name, value) in request.headers.iter().filter(|(name, _)| !HOP.contains(&name.as_str())) {
        onward = onward.header(name, value);
    }
    let answer = onward.send().await.ok()?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let mut reply = Reply::new(status, answer.bytes().await.ok()?);
    for (name, value) in headers.iter().filter(|(name, _)| !HOP.contains(&name.as_str())) {
        reply = reply.header(name.as_str(), value.to_str().ok()?);
    }
    Some(reply)
}

/// Headers of one connection, not of what is said.
const HOP: [&str; 4] = ["host", "connection", "transfer-encoding", "content-length"];
