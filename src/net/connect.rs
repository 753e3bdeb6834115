//! A connection in the making: how far it has come, and how long each step may take. reqwest makes it as one piece;
//! where it stands is told by those that it asks on the way, the resolver and the store of TLS sessions, through a
//! variable of the task.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use tokio::sync::Notify;
use tower::{Layer, Service};

use super::Limits;
use super::failure::Failure;
use crate::clock::Clock;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Step {
    /// Its name is looked up.
    Looking,
    /// TCP.
    Dialling,
    /// TLS.
    Shaking,
}

impl Step {
    const ALL: [Self; 3] = [Self::Looking, Self::Dialling, Self::Shaking];
}

tokio::task_local! {
    static STAGE: Arc<Stage>;
}

struct Stage {
    step: AtomicU8,
    moved: Notify,
}

impl Stage {
    fn step(&self) -> Step {
        let step = usize::from(self.step.load(Ordering::Relaxed));
        Step::ALL.get(step).copied().unwrap_or(Step::Dialling)
    }

    /// Returns once it is no longer at this step.
    async fn leaves(&self, step: Step) {
        while self.step() == step {
            self.moved.notified().await;
        }
    }
}

/// The connection that is being made here has come to this step.
pub(super) fn enter(step: Step) {
    // Outside any connection there is nobody to tell.
    let _ = STAGE.try_with(|stage| {
        stage.step.store(step as u8, Ordering::Relaxed);
        stage.moved.notify_one();
    });
}

/// Bounds each step of every connection, and says in our own words what went wrong.
#[derive(Clone)]
pub(super) struct Bounds {
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    pub(super) proxied: bool,
}

impl<S> Layer<S> for Bounds {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded { bounds: self.clone(), inner }
    }
}

#[derive(Clone)]
pub(super) struct Bounded<S> {
    bounds: Bounds,
    inner: S,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<S, R> Service<R> for Bounded<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, to: R) -> Self::Future {
        Box::pin(self.bounds.clone().keep(self.inner.call(to)))
    }
}

impl Bounds {
    async fn keep<T>(self, connecting: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError> {
        let stage = Arc::new(Stage { step: AtomicU8::new(Step::Dialling as u8), moved: Notify::new() });
        let mut connecting = pin!(STAGE.scope(Arc::clone(&stage), connecting));
        loop {
            let step = stage.step();
            let until = self.clock.now() + self.of(step);
            tokio::select! {
                biased;
                done = &mut connecting => {
                    return done.map_err(|error| Failure::connecting(&*error, stage.step(), self.proxied).into());
                }
                () = stage.leaves(step) => {}
                () = self.clock.sleep_until(until) => {
                    return Err(Failure::connecting(&Failure::Silent(step), step, self.proxied).into());
                }
            }
        }
    }

    const fn of(&self, step: Step) -> std::time::Duration {
        match step {
            Step::Looking => self.limits.lookup,
            Step::Dialling => self.limits.connect,
            Step::Shaking => self.limits.tls,
        }
    }
}

/// Remembers TLS sessions, and notices that a handshake begins: it is asked for a hint before the first byte.
#[derive(Debug)]
pub(super) struct Sessions(ClientSessionMemoryCache);

impl Sessions {
    /// For so many servers.
    pub(super) fn new(servers: usize) -> Self {
        Self(ClientSessionMemoryCache::new(servers))
    }
}

impl ClientSessionStore for Sessions {
    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        enter(Step::Shaking);
        self.0.kx_hint(server)
    }

    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(server, group);
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(server, value);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.0.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(server, value);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(server)
    }
}
