//! Who owns the name of a socket: bind, take over, stand by, look again.
//!
//! A socket is made under another name with mode 0600 from before `bind`, and renamed into place, so that nobody ever
//! meets one that is open to others or not listening yet. What stands at the path decides:
//!
//! | at the path | at start | later |
//! |---|---|---|
//! | nothing, or a socket that refuses | bind | bind |
//! | our own socket | – | keep |
//! | another Latchkey | take over by rename | give way, if the path was ours: it is newer |
//! | anyone else that answers, or does not | stand by | stand by |
//! | not a socket | leave it, stand by | the same |
//!
//! Nothing is unlinked at exit: the driver waits on the path for the next agent.
//!
//! The driver goes on with the connection that it has, whoever has the path by now. So once another provider answers there, a
//! newer Latchkey or a stranger, the connections of the name are asked to go, and the driver finds that one; calls at work are
//! answered first. Before a path that nobody serves they stay: to whom should the driver go?
//!
//! The driver has other folders, which it looks into first, and takes whatever has the name there. Nothing of ours
//! is asked then, so that is a state of its own: listening, and told.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use tokio::net::UnixListener;

use crate::clock::Clock;
use crate::driver::{Answer, ask};
use crate::secret::fill_random;
use crate::telemetry::SocketState;

/// How long a socket that someone holds may take to say who it is.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections that wait to be accepted: more than a driver and its probes ever open.
const BACKLOG: i32 = 128;

/// A socket's path and what is known of it.
pub(super) struct Name {
    pub(super) path: PathBuf,
    /// Where the driver looks for the same name before it looks here.
    before: Vec<PathBuf>,
    ours: Option<(u64, u64)>,
}

/// What the holder of a name does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The path is ours and we listen.
    Bound,
    /// The same, and the driver finds this path before ours.
    Shadowed(PathBuf),
    /// Another provider answers there.
    StandBy(String),
    /// Something holds it that is no provider, or does not say what it is.
    Held(&'static str),
    /// A newer Latchkey has taken the path over.
    Replaced,
    /// Something stands there that is not ours to remove.
    Blocked(String),
}

impl State {
    /// As the metric has it.
    pub(super) const fn figure(&self) -> SocketState {
        match self {
            Self::Bound => SocketState::Bound,
            Self::Shadowed(_) => SocketState::Shadowed,
            Self::StandBy(_) | Self::Held(_) => SocketState::Standby,
            Self::Replaced => SocketState::Replaced,
            Self::Blocked(_) => SocketState::Blocked,
        }
    }

    /// Whether we serve this name.
    pub(super) const fn is_ours(&self) -> bool {
        matches!(self, Self::Bound | Self::Shadowed(_))
    }

    /// Whether somebody else serves it: whoever comes back to the path finds a provider there.
    pub(super) const fn is_theirs(&self) -> bool {
        matches!(self, Self::StandBy(_) | Self::Replaced)
    }
}

impl Name {
    /// A name in `folder`; the driver looks for it in `before` first.
    pub(super) fn new(folder: &Path, name: &str, before: &[PathBuf]) -> Self {
        let before = before.iter().map(|folder| folder.join(name)).collect();
        Self { path: folder.join(name), before, ours: None }
    }

    /// Looks at the path and does what the table says; a listener where one was made.
    pub(super) async fn look(&mut self, clock: Clock) -> (State, Option<UnixListener>) {
        match self.look_here(clock).await {
            (State::Bound, listener) => (self.shadow().map_or(State::Bound, State::Shadowed), listener),
            other => other,
        }
    }

    /// What the driver takes for our socket: it goes by existence alone, follows links, and never asks who is there. The
    /// same folder under another name is no shadow.
    fn shadow(&self) -> Option<PathBuf> {
        let theirs = |path: &&PathBuf| {
            fs::metadata(path).is_ok_and(|meta| self.ours != Some((meta.dev(), meta.ino())))
        };
        self.before.iter().find(theirs).cloned()
    }

    async fn look_here(&mut self, clock: Clock) -> (State, Option<UnixListener>) {
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.take(),
            Err(error) => (State::Blocked(format!("cannot be looked at: {error}")), None),
            Ok(meta) if !meta.file_type().is_socket() => {
                (State::Blocked("is not a socket, and is left alone".to_owned()), None)
            }
            Ok(meta) if self.ours == Some((meta.dev(), meta.ino())) => (State::Bound, None),
            Ok(_) => match ask(&self.path, ASK_TIMEOUT, clock).await {
                Answer::Refused | Answer::Absent => self.take(),
                Answer::Latchkey(_) if self.ours.is_none() => self.take(),
                Answer::Latchkey(_) => (State::Replaced, None),
                Answer::Other(name) if name.is_empty() => {
                    (State::Held("is answered by something that is no provider"), None)
                }
                Answer::Other(name) => (State::StandBy(format!("is answered by `{name}`")), None),
                Answer::Silent => (State::Held("is held by something that does not answer"), None),
            },
        }
    }

    fn take(&mut self) -> (State, Option<UnixListener>) {
        match listener(&self.path) {
            Ok((listener, inode)) => {
                self.ours = Some(inode);
                (State::Bound, Some(listener))
            }
            Err(error) => (State::Blocked(format!("cannot be bound: {error}")), None),
        }
    }
}

fn listener(path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let fresh = fresh_name(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(&fresh)?)?;
    let placed = listen(&socket, BACKLOG)
        .map_err(io::Error::from)
        .and_then(|()| fs::symlink_metadata(&fresh))
        .and_then(|meta| fs::rename(&fresh, path).map(|()| meta));
    let meta = placed.inspect_err(|_| drop(fs::remove_file(&fresh)))?;
    let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(socket))?;
    Ok((listener, (meta.dev(), meta.ino())))
}

/// Beside the path, hidden, and of this attempt: the driver never looks at it. Not the pid, which is 1 in every container.
fn fresh_name(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the socket has no name"))?;
    let mut attempt = [0u8; 4];
    fill_random(&mut attempt);
    Ok(path.with_file_name(format!(".{name}.{:08x}", u32::from_ne_bytes(attempt))))
}
