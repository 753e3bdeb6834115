//! A client as the driver has one: it asks `Version` and `Mount` and judges the answer in the driver's order.
//!
//! It makes one attempt; the driver's retries, deadlines and rotation are the caller's. It sends `localhost` as
//! `:authority` like driver 1.6; the raw path of older drivers is no URI and cannot be sent from
//! here (`tests/it/agent/authority.rs` plays them).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tonic::{Code, Request, Status};

use super::wire::Link;
use crate::clock::Clock;
use crate::proto::{API_VERSION, MountRequest, MountResponse, RUNTIME_NAME, VersionRequest};
use crate::text::printable;

/// What a provider says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The API version that it speaks.
    pub version: String,
    /// Its name: `latchkey`, or another provider's.
    pub runtime_name: String,
    /// Its release.
    pub runtime_version: String,
}

/// What a successful `Mount` brought. Not printable: it holds values.
pub struct Mounted {
    /// Path, mode and content of each file, in the order of the answer.
    pub files: Vec<(String, u32, Bytes)>,
    /// Id and version of each object, in the order of the answer.
    pub versions: Vec<(String, String)>,
}

/// Why there is no answer, in the driver's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC code that kubelet would see.
    pub code: i32,
    /// The text that the pod's event would show.
    pub text: String,
    /// The `grpc-status` that travelled; `None` where the code was made on this side.
    pub wire: Option<i32>,
}

impl Refusal {
    /// The code's name, as `kubectl describe pod` spells it.
    pub fn name(&self) -> &'static str {
        match Code::from_i32(self.code) {
            Code::Ok => "OK",
            Code::Cancelled => "Canceled",
            Code::Unknown => "Unknown",
            Code::InvalidArgument => "InvalidArgument",
            Code::DeadlineExceeded => "DeadlineExceeded",
            Code::NotFound => "NotFound",
            Code::AlreadyExists => "AlreadyExists",
            Code::PermissionDenied => "PermissionDenied",
            Code::ResourceExhausted => "ResourceExhausted",
            Code::FailedPrecondition => "FailedPrecondition",
            Code::Aborted => "Aborted",
            Code::OutOfRange => "OutOfRange",
            Code::Unimplemented => "Unimplemented",
            Code::Internal => "Internal",
            Code::Unavailable => "Unavailable",
            Code::DataLoss => "DataLoss",
            Code::Unauthenticated => "Unauthenticated",
        }
    }

    /// The text of the event that `kubectl describe pod` shows for a volume that could not be mounted.
    pub fn event(&self, volume: &str, namespace: &str, pod: &str) -> String {
        let (name, text) = (self.name(), &self.text);
        // The driver's own errors are plain ones; what it passes on prints itself as gRPC's do.
        let inner = if self.made_by_driver() {
            text.clone()
        } else {
            format!("rpc error: code = {name} desc = {text}")
        };
        format!(
            "MountVolume.SetUp failed for volume \"{volume}\" : rpc error: code = {name} desc = failed to mount \
             secrets store objects for pod {namespace}/{pod}, err: {inner}"
        )
    }

    /// Judged from an answer that was a success on the wire, and no limit of gRPC's.
    fn made_by_driver(&self) -> bool {
        self.wire == Some(0) && self.code == i32::from(Code::Unknown)
    }

    fn here(code: Code, text: impl Into<String>) -> Self {
        Self { code: code.into(), text: text.into(), wire: None }
    }
}

/// How large an answer is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// 4 MiB encoded: the driver's default of `--max-call-recv-msg-size`.
    #[default]
    Driver,
    /// Any size, for tests that look at an answer that the driver would refuse.
    None,
}

impl Limit {
    fn bytes(self) -> usize {
        match self {
            Self::Driver => 4 << 20,
            Self::None => usize::MAX,
        }
    }
}

/// A provider's socket. Connects again at the next call when a connection has ended.
pub struct Client {
    path: PathBuf,
    clock: Clock,
    limit: Limit,
    link: Option<Link>,
}

impl Client {
    /// A client of the socket at `path`, not connected yet.
    pub fn new(path: impl Into<PathBuf>, clock: Clock) -> Self {
        Self { path: path.into(), clock, limit: Limit::default(), link: None }
    }

    /// With another limit for answers.
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limit = limit;
        self
    }

    /// A client that is connected now.
    ///
    /// # Errors
    /// The system's, where nobody takes the connection.
    pub async fn connect(path: impl Into<PathBuf>, clock: Clock) -> std::io::Result<Self> {
        let mut client = Self::new(path, clock);
        client.link = Some(Link::open(&client.path).await?);
        Ok(client)
    }

    /// Asks who is there, and waits that long at most, the connection included.
    ///
    /// # Errors
    /// The provider's refusal; `Unavailable` without a connection; `DeadlineExceeded` after `timeout`.
    pub async fn version(&mut self, timeout: Duration) -> Result<Version, Refusal> {
        let (clock, until) = (self.clock, self.clock.now() + timeout);
        let asked = clock.until(until, async {
            let link = self.link().await?;
            let mut client = link.client();
            let request = VersionRequest { version: API_VERSION.to_owned() };
            let answer = link.drive(client.version(request)).await;
            let answer = answer.map_err(|status| refusal(&status, link))?.into_inner();
            Ok(Version {
                version: answer.version,
                runtime_name: answer.runtime_name,
                runtime_version: answer.runtime_version,
            })
        });
        match asked.await {
            Some(answer) => answer,
            None => {
                // A half-done call must not stand in the way of the next.
                self.link = None;
                Err(Refusal::here(Code::DeadlineExceeded, "nobody answered in time"))
            }
        }
    }

    /// Asks for the content of a volume. `timeout` is told to the provider as `grpc-timeout` and not watched here:
    /// who wants to give up, drops the future.
    ///
    /// # Errors
    /// What the driver takes for a failure: the provider's status; `Unavailable` without a connection;
    /// `ResourceExhausted` for an answer over the limit; `Unknown` for an error code inside the answer, or for an
    /// answer without versions.
    pub async fn mount(
        &mut self,
        request: MountRequest,
        timeout: Option<Duration>,
    ) -> Result<Mounted, Refusal> {
        let limit = self.limit.bytes();
        let link = self.link().await?;
        // Judged below in the driver's words; tonic's own limit, far above, only keeps memory bounded.
        let mut client = link.client().max_decoding_message_size(limit.saturating_mul(DECODED_TIMES));
        let mut request = Request::new(request);
        if let Some(timeout) = timeout {
            request.set_timeout(timeout);
        }
        let answer = link.drive(client.mount(request)).await;
        let answer = answer.map_err(|status| refusal(&status, link))?.into_inner();
        judge(answer, limit).map_err(|refusal| Refusal { wire: link.status(), ..refusal })
    }

    async fn link(&mut self) -> Result<&mut Link, Refusal> {
        let open = self.link.take().and_then(|mut link| link.is_open().then_some(link));
        let link = match open {
            Some(link) => link,
            None => Link::open(&self.path).await.map_err(|error| {
                Refusal::here(Code::Unavailable, format!("cannot connect to the socket: {}", error.kind()))
            })?,
        };
        Ok(self.link.insert(link))
    }
}

/// Who answers at a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An agent of our kind.
    Latchkey(Version),
    /// Another provider, by its name; empty where it does not even speak the contract.
    Other(String),
    /// The file is there and nobody listens: stale.
    Refused,
    /// Somebody listens and does not answer in time.
    Silent,
    /// There is no such file.
    Absent,
}

/// Asks who is at a socket, for the rule of taking over. Whoever takes the connection is somebody: only a refused
/// connection counts as stale.
pub async fn ask(path: &Path, timeout: Duration, clock: Clock) -> Answer {
    let until = clock.now() + timeout;
    let mut client = match clock.until(until, Client::connect(path, clock)).await {
        None => return Answer::Silent,
        Some(Ok(client)) => client,
        Some(Err(error)) => return unconnected(error.kind()),
    };
    match client.version(until - clock.now()).await {
        Ok(version) if version.runtime_name == RUNTIME_NAME => Answer::Latchkey(version),
        Ok(version) => Answer::Other(printable(&version.runtime_name)),
        Err(refusal) if refusal.wire.is_none() && refusal.code == i32::from(Code::DeadlineExceeded) => {
            Answer::Silent
        }
        Err(_) => Answer::Other(String::new()),
    }
}

/// A path that is no socket, or that we may not open, is somebody's, and never to be replaced.
fn unconnected(error: ErrorKind) -> Answer {
    if error == ErrorKind::NotFound {
        Answer::Absent
    } else if error == ErrorKind::ConnectionRefused {
        Answer::Refused
    } else {
        Answer::Other(String::new())
    }
}

/// In the driver's order (`pkg/secrets-store/provider_client.go`, 1.6.0). No files is no failure: the volume stays as it is.
fn judge(answer: MountResponse, limit: usize) -> Result<Mounted, Refusal> {
    let size = answer.encoded_bytes();
    if size > limit {
        let text = format!("grpc: received message larger than max ({size} vs. {limit})");
        return Err(Refusal::here(Code::ResourceExhausted, text));
    }
    if let Some(error) = answer.error.filter(|error| !error.code.is_empty()) {
        let text = format!("mount request failed with provider error code {}", error.code);
        return Err(Refusal::here(Code::Unknown, text));
    }
    if answer.object_version.is_empty() {
        return Err(Refusal::here(Code::Unknown, "missing object versions"));
    }
    let files = answer.files.into_iter().map(|file| (file.path, file.mode.cast_unsigned(), file.contents));
    let versions = answer.object_version.into_iter().map(|object| (object.id, object.version));
    Ok(Mounted { files: files.collect(), versions: versions.collect() })
}

/// A status that travelled, or what a library made of its absence. A connection that ended under a call is
/// `Unavailable` to the driver, which is why it tries again.
fn refusal(status: &Status, link: &mut Link) -> Refusal {
    let wire = link.status();
    if wire.is_none() && !link.is_open() {
        return Refusal::here(Code::Unavailable, "the connection ended before the answer came");
    }
    Refusal { code: status.code().into(), text: status.message().to_owned(), wire }
}

/// How many times the limit is decoded before tonic itself refuses.
const DECODED_TIMES: usize = 32;
