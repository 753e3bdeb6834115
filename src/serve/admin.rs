//! Probes and figures over plain HTTP/1: `/livez`, `/readyz`, `/metrics`, and nothing else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::watchdog::Pulse;
use crate::telemetry::Metrics;

/// Whether the agent can serve: it is, as long as one socket is bound and it is not stopping.
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

/// Serves until `stop`.
///
/// # Errors
/// Where accepting fails for good.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    pulse: Pulse,
    ready: Readiness,
    stop: CancellationToken,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(|State(probes): State<Probes>| async move { word(probes.pulse.is_well()) }))
        .route("/readyz", get(|State(probes): State<Probes>| async move { word(probes.ready.is_ready()) }))
        .route("/metrics", get(|State(probes): State<Probes>| async move { figures(probes.metrics) }))
        .with_state(Probes { metrics, pulse, ready });
    axum::serve(listener, routes).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

fn word(well: bool) -> impl IntoResponse {
    if well { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ok\n") }
}

fn figures(metrics: Metrics) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], metrics.encode())
}
