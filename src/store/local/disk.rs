//! Files on disk: reading one whole within a bound, telling whether it changed since, and replacing one so that a kill
//! at any moment leaves the old or the new. Knows nothing of what the files hold.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use zeroize::Zeroizing;

use crate::error::{Problem, Reason};
use crate::secret::fill_random;

/// Largest store file, in bytes.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
/// Largest identity file, in bytes.
const IDENTITY_BYTES_MAX: u64 = 64 << 10;
/// Largest file of an issuer's keys, in bytes.
const KEYS_BYTES_MAX: u64 = 1 << 20;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The encrypted store.
    Store,
    /// The private key.
    Identity,
    /// The issuer's public keys.
    Keys,
}

/// A file that is read. Symbolic links are followed: that is how Kubernetes mounts Secrets.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) role: Role,
    pub(super) path: PathBuf,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    id: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            id: (file.dev(), file.ino()),
            bytes: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// When the file changed last, in seconds since 1970.
    pub(super) fn changed(&self) -> i64 {
        self.changed.0
    }
}

impl Source {
    pub(super) fn new(role: Role, path: &Path) -> Self {
        Self { role, path: path.to_owned() }
    }

    /// Without reading: `None` where there is no such file.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        fs::metadata(&self.path).ok().map(|file| Stamp::of(&file))
    }

    /// The whole file.
    pub(super) fn read(&self) -> Result<(Stamp, Zeroizing<Vec<u8>>), Problem> {
        // Not blocking: someone may have put a pipe there.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(&self.path, flags, Mode::empty())
            .map_err(|error| self.unreadable(&error.into()))?;
        let mut file = File::from(file);
        let about = file.metadata().map_err(|error| self.unreadable(&error))?;
        self.check(&about)?;
        let room = usize::try_from(about.len()).unwrap_or(usize::MAX).saturating_add(1);
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        (&mut file).take(about.len() + 1).read_to_end(&mut bytes).map_err(|error| self.unreadable(&error))?;
        if bytes.len() + 1 != room {
            return Err(self.wrong("changed while it was read", "replace it by renaming a new file onto it"));
        }
        Ok((Stamp::of(&about), bytes))
    }

    /// The problem, at this file.
    pub(super) fn at(&self, problem: Problem) -> Problem {
        problem.hop(self.path.to_string_lossy())
    }

    fn check(&self, about: &Metadata) -> Result<(), Problem> {
        if !about.is_file() {
            return Err(self.wrong("is not a regular file", "name a regular file"));
        }
        if self.role == Role::Identity && about.mode() & 0o027 != 0 {
            let what = format!(
                "may be read or changed by others than its owner (mode {:04o})",
                about.mode() & 0o7777
            );
            let remedy = "run `chmod 0600` on it; of a mounted Kubernetes Secret, set `defaultMode: 0440`";
            return Err(self.wrong(&what, remedy));
        }
        let max = match self.role {
            Role::Store => FILE_BYTES_MAX,
            Role::Identity => IDENTITY_BYTES_MAX,
            Role::Keys => KEYS_BYTES_MAX,
        };
        if about.len() > max {
            let what = format!("is larger than {max} bytes");
            return Err(self.wrong(&what, "name the right file, or split the store"));
        }
        Ok(())
    }

    fn unreadable(&self, error: &io::Error) -> Problem {
        if error.kind() == io::ErrorKind::NotFound {
            let remedy = match self.role {
                Role::Store => "make one with `latchkey local init`, or name the right file",
                Role::Identity => "put the identity there that opens the store, or name the right file",
                Role::Keys => "save the cluster's keys there: `kubectl get --raw /openid/v1/jwks`",
            };
            return self.wrong("does not exist", remedy);
        }
        self.wrong(&format!("cannot be read ({})", error.kind()), "let this process read it")
    }

    fn wrong(&self, what: &str, remedy: &'static str) -> Problem {
        let noun = match self.role {
            Role::Store => "the store file",
            Role::Identity => "the identity file",
            Role::Keys => "the file of the issuer's keys",
        };
        self.at(Problem::new(Reason::Setup, format!("{noun} {what}")).remedy(remedy))
    }
}

/// A file that one writer may change. Another writer waits until this one is dropped, or dies.
pub(super) struct Claim {
    /// Behind all symbolic links, so that the file is replaced and not a link to it.
    target: PathBuf,
    _lock: File,
}

impl Claim {
    /// Waits for its turn.
    pub(super) fn new(path: &Path) -> Result<Self, Problem> {
        let target = resolved(path)?;
        let lock = beside(&target, "", ".lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(&lock, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| unwritable(&lock, &error.into()))?;
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Self { target, _lock: File::from(file) }),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(unwritable(&lock, &error.into())),
            }
        }
    }

    /// Replaces the file, keeping owner and mode; a new one is 0600.
    pub(super) fn replace(&self, bytes: &[u8]) -> Result<(), Problem> {
        // One name for all writers, under the lock: what a killed one left behind goes here, and nothing piles up.
        let temporary = beside(&self.target, ".", ".tmp");
        let written = remove(&temporary)
            .and_then(|()| write(&temporary, bytes, fs::metadata(&self.target).ok().as_ref()))
            .and_then(|()| fs::rename(&temporary, &self.target))
            .and_then(|()| sync_folder(&self.target));
        self.finish(written, &temporary)
    }

    /// Creates the file, 0600.
    pub(super) fn create(&self, bytes: &[u8]) -> Result<(), Problem> {
        let temporary = beside(&self.target, ".", ".tmp");
        let written = remove(&temporary).and_then(|()| publish(&temporary, &self.target, bytes));
        self.finish(written, &temporary)
    }

    fn finish(&self, written: io::Result<()>, temporary: &Path) -> Result<(), Problem> {
        written.map_err(|error| {
            let _ = fs::remove_file(temporary);
            unwritable(&self.target, &error)
        })
    }
}

/// Creates a file, 0600, that nobody else writes.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let target = resolved(path)?;
    let mut random = [0; 8];
    fill_random(&mut random);
    let temporary = beside(&target, ".", &format!(".{:016x}.tmp", u64::from_ne_bytes(random)));
    publish(&temporary, &target, bytes).map_err(|error| unwritable(path, &error))
}

/// Links instead of renaming, which fails where the name is taken.
fn publish(temporary: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
    let linked = write(temporary, bytes, None).and_then(|()| fs::hard_link(temporary, target));
    remove(temporary)?;
    linked.and_then(|()| sync_folder(target))
}

fn write(path: &Path, bytes: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(bytes)?;
    if let Some(like) = like {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o777))?;
    }
    file.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_folder(of: &Path) -> io::Result<()> {
    File::open(of.parent().unwrap_or_else(|| Path::new("/")))?.sync_all()
}

/// The path behind all links; the last component may be missing.
fn resolved(path: &Path) -> Result<PathBuf, Problem> {
    let name = path.file_name().ok_or_else(|| {
        let what = "does not name a file";
        Problem::new(Reason::Invalid, what).hop(path.to_string_lossy()).remedy("name a file in a folder")
    })?;
    if let Ok(there) = fs::canonicalize(path) {
        return Ok(there);
    }
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    fs::canonicalize(folder).map(|folder| folder.join(name)).map_err(|error| unwritable(path, &error))
}

fn beside(target: &Path, prefix: &str, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(prefix);
    name.push(target.file_name().unwrap_or_default());
    name.push(suffix);
    target.with_file_name(name)
}

fn unwritable(path: &Path, error: &io::Error) -> Problem {
    let kind = error.kind();
    let (what, remedy) = if kind == io::ErrorKind::AlreadyExists {
        ("the file exists already, and is never overwritten".to_owned(), "name another, or remove it first")
    } else if kind == io::ErrorKind::NotFound {
        ("the folder does not exist".to_owned(), "make the folder first")
    } else {
        (format!("cannot be written ({kind})"), "run as the owner of the file, with space on its disk")
    };
    Problem::new(Reason::Setup, what).hop(path.to_string_lossy()).remedy(remedy)
}
