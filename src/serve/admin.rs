//! Probes and figures over plain HTTP/1: `/livez`, `/readyz`, `/metrics`, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ACCEPT_PAUSE;
use super::watchdog::Pulse;
use crate::clock::Clock;
use crate::telemetry::Metrics;

/// Whether the agent can serve: it is, as long as one socket is bound where the driver finds it, and it is not
/// stopping.
#[derive(Clone)]
pub struct Readiness {
    bound: Arc<AtomicUsize>,
    stopping: CancellationToken,
}

impl Readiness {
    pub(super) fn new(stopping: CancellationToken) -> Self {
        Self { bound: Arc::new(AtomicUsize::new(0)), stopping }
    }

    pub(super) fn bound(&self, gained: bool) {
        if gained {
            self.bound.fetch_add(1, Ordering::Relaxed);
        } else {
            self.bound.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether it can.
    pub fn is_ready(&self) -> bool {
        self.bound.load(Ordering::Relaxed) > 0 && !self.stopping.is_cancelled()
    }
}

#[derive(Clone)]
struct Probes {
    metrics: Metrics,
    pulse: Pulse,
    ready: Readiness,
}

/// Connections at once: probes and scrapers, each for one request.
const CONNECTIONS_MAX: usize = 32;
/// How long a request may take to come in, and all of a connection. Whoever reaches the address may open one.
const HEADERS: Duration = Duration::from_secs(5);
const CONNECTION: Duration = Duration::from_secs(15);

/// Serves until `stop`.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    pulse: Pulse,
    ready: Readiness,
    clock: Clock,
    stop: CancellationToken,
) {
    let routes = Router::new()
        .route("/livez", get(|State(probes): State<Probes>| async move { word(probes.pulse.is_well()) }))
        .route("/readyz", get(|State(probes): State<Probes>| async move { word(probes.ready.is_ready()) }))
        .route("/metrics", get(|State(probes): State<Probes>| async move { figures(probes.metrics) }))
        .with_state(Probes { metrics, pulse, ready });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                let served = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADERS)
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes.clone()));
                connections.spawn(async move { drop(clock.until(clock.now() + CONNECTION, served).await) });
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "accepting on the admin address failed; trying again");
                clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn word(well: bool) -> impl IntoResponse {
    if well { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ok\n") }
}

fn figures(metrics: Metrics) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], metrics.encode())
}
