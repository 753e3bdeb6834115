//! The way in: gRPC on several unix sockets at once. Here a call gets its deadline, its answer its code, and a
//! socket its owner. What a mount means is the engine's.

pub mod admin;
pub mod authority;
pub mod code;
mod connection;
mod grpc;
mod guard;
mod peer;
mod socket;
pub mod watchdog;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::clock::{Clock, Instant};
use crate::dialect::Dialect;
use crate::engine::Engine;
use crate::proto::csi_driver_provider_server::{CsiDriverProviderServer, SERVICE_NAME};
use crate::telemetry::{Metrics, Refusal};
use admin::Readiness;
pub use grpc::response;
use guard::Guard;
pub use guard::TIME_UNTOLD;
use socket::{Name, State};

/// Largest request that is decoded, in bytes: far above what we judge ourselves, so that the refusal is ours.
const REQUEST_BYTES_MAX: usize = 8 << 20;
/// Connections at once, over all sockets. A driver keeps one, its restarts and probes a few more.
const CONNECTIONS_MAX: usize = 256;
/// How often the owner of a name looks at its path again.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long accepting rests when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Longest path of the sockets' folder, in bytes: a socket's path has 107, and one is made under a longer name than it
/// ends up with.
pub const FOLDER_BYTES_MAX: usize = 80;

/// What serves: one socket per dialect.
pub struct Server {
    /// Mounts.
    pub engine: Arc<Engine>,
    /// What is spoken, a socket each.
    pub dialects: Vec<Arc<dyn Dialect>>,
    /// Where the sockets stand.
    pub folder: PathBuf,
    /// The driver's other folders, which it looks into first.
    pub others: Vec<PathBuf>,
    /// The time.
    pub clock: Clock,
    /// Where figures go.
    pub metrics: Metrics,
}

/// A running server.
#[derive(Clone)]
pub struct Running {
    tasks: TaskTracker,
    stopping: CancellationToken,
    clock: Clock,
    /// Whether it can serve.
    pub ready: Readiness,
}

impl Server {
    /// Takes hold of every socket it can, and returns with the futures that keep them, one per socket: they end only
    /// when the server is stopped. A name that someone else holds is looked at again and again.
    pub async fn start(self) -> (Running, Vec<impl Future<Output = ()> + Send + 'static>) {
        let stopping = CancellationToken::new();
        let running = Running {
            tasks: TaskTracker::new(),
            stopping: stopping.clone(),
            clock: self.clock,
            ready: Readiness::new(stopping),
        };
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut keepers = Vec::new();
        for dialect in self.dialects {
            let provider = dialect.provider();
            let service = grpc::Provider { engine: Arc::clone(&self.engine), dialect };
            let service = CsiDriverProviderServer::new(service)
                .max_decoding_message_size(REQUEST_BYTES_MAX)
                .max_encoding_message_size(usize::MAX);
            let (health, health_service) = tonic_health::server::health_reporter();
            let guard = Guard {
                routes: Routes::new(service).add_service(health_service).prepare(),
                provider,
                engine: Arc::clone(&self.engine),
                metrics: self.metrics.clone(),
                clock: self.clock,
            };
            keepers.push(SocketKeeper {
                name: Name::new(&self.folder, &format!("{provider}.sock"), &self.others),
                state: None,
                listener: None,
                health,
                guard,
                permits: Arc::clone(&permits),
                leave: running.stopping.child_token(),
                running: running.clone(),
            });
        }
        // All at once: a stranger who holds one name in silence keeps no other name waiting.
        join_all(keepers.iter_mut().map(SocketKeeper::look)).await;
        (running, keepers.into_iter().map(SocketKeeper::keep).collect())
    }
}

impl Running {
    /// Stops accepting, and asks every peer to go (GOAWAY) once its calls at work are answered.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Waits until every connection has ended, at most until `deadline`.
    pub async fn drained(&self, deadline: Instant) {
        self.tasks.close();
        self.clock.until(deadline, self.tasks.wait()).await;
    }
}

/// Keeps one socket.
struct SocketKeeper {
    name: Name,
    state: Option<State>,
    listener: Option<UnixListener>,
    health: HealthReporter,
    guard: Guard,
    permits: Arc<Semaphore>,
    /// Asks the connections of this name to go.
    leave: CancellationToken,
    running: Running,
}

impl SocketKeeper {
    async fn keep(mut self) {
        let clock = self.running.clock;
        let mut next = clock.now() + LOOK_EVERY;
        loop {
            tokio::select! {
                () = self.running.stopping.cancelled() => return self.tell(false).await,
                () = clock.sleep_until(next) => {
                    self.look().await;
                    next = clock.now() + LOOK_EVERY;
                }
                accepted = accept(self.listener.as_ref()) => match accepted {
                    Ok(stream) => self.admit(stream),
                    Err(error) => {
                        tracing::warn!(socket = self.guard.provider, %error, "accepting failed; trying again");
                        clock.sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    async fn look(&mut self) {
        let (state, listener) = self.name.look(self.running.clock).await;
        if let Some(listener) = listener {
            self.listener = Some(listener);
        }
        if self.state.as_ref() == Some(&state) {
            return;
        }
        if state.is_theirs() {
            self.leave.cancel();
        } else if state.is_ours() && self.leave.is_cancelled() {
            self.leave = self.running.stopping.child_token();
        }
        let (was, is) = (self.state == Some(State::Bound), state == State::Bound);
        if was != is {
            self.running.ready.bound(is);
        }
        self.tell(state.is_ours()).await;
        self.guard.metrics.socket(self.guard.provider, state.figure());
        let path = self.name.path.display();
        match &state {
            State::Bound => tracing::info!(socket = self.guard.provider, %path, "listening"),
            State::Shadowed(first) => tracing::warn!(
                socket = self.guard.provider,
                %path,
                first = %first.display(),
                "the driver finds another socket of this name first, and never asks here: uninstall its provider, \
                 remove the file, and restart the driver's pod on this node, which keeps the path that it found"
            ),
            State::StandBy(why) => {
                tracing::warn!(socket = self.guard.provider, %path, why, "standing by for this name")
            }
            State::Held(why) => {
                tracing::warn!(socket = self.guard.provider, %path, why, "standing by for this name")
            }
            State::Replaced => {
                tracing::info!(socket = self.guard.provider, %path, "a newer agent has taken over")
            }
            State::Blocked(why) => {
                tracing::error!(socket = self.guard.provider, %path, why, "cannot have this name")
            }
        }
        self.state = Some(state);
    }

    /// Says over `grpc.health.v1` whether this socket serves.
    async fn tell(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", SERVICE_NAME] {
            self.health.set_service_status(service, status).await;
        }
    }

    fn admit(&self, stream: UnixStream) {
        match peer::admit(&stream) {
            Ok(Ok(())) => {}
            Ok(Err(uid)) => {
                self.guard.metrics.connection_refused(Refusal::Peer);
                tracing::warn!(
                    socket = self.guard.provider,
                    uid,
                    "a peer that is neither root nor us was turned away"
                );
                return;
            }
            Err(error) => {
                self.guard.metrics.connection_refused(Refusal::Peer);
                tracing::warn!(socket = self.guard.provider, %error, "a peer without credentials was turned away");
                return;
            }
        }
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            self.guard.metrics.connection_refused(Refusal::Limit);
            tracing::debug!(
                socket = self.guard.provider,
                limit = CONNECTIONS_MAX,
                "a connection over the limit was closed"
            );
            return;
        };
        let running = &self.running;
        let served = connection::serve(
            stream,
            self.guard.clone(),
            running.clock,
            running.tasks.clone(),
            self.leave.clone(),
        );
        running.tasks.spawn(async move {
            served.await;
            drop(permit);
        });
    }
}

/// The next connection; never, while there is no listener.
async fn accept(listener: Option<&UnixListener>) -> io::Result<UnixStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}
