//! Where the key of object versions comes from, and the look at whether it is another one by now. Nobody's mount waits
//! for that.

use std::future::pending;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
#[cfg(feature = "cluster")]
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use crate::clock::{Clock, Instant};
#[cfg(feature = "cluster")]
use crate::cluster::Cluster;
use crate::error::{Problem, Reason};
use crate::model::VersionKey;
use crate::secret::{Digest, DigestKey, Secret};

/// Looks after the key.
pub struct Versions {
    clock: Clock,
    source: Source,
    /// What was found last, told apart under a key of this process.
    known: Option<Digest>,
    digests: DigestKey,
    /// What was wrong at the last look, so that it is told once.
    told: Option<Problem>,
}

/// Where the key is.
pub enum Source {
    /// Nowhere: this process has its own.
    Own,
    /// In a file, which other agents may have too.
    File(PathBuf),
    /// In a Secret of the agent's namespace.
    #[cfg(feature = "cluster")]
    Secret {
        /// Who is asked for it.
        cluster: Arc<Cluster>,
        /// Its name.
        name: String,
        /// How much of the longest lag the pauses between looks have more, between nought and one, so that nodes do not
        /// ask in step.
        lag: f64,
    },
}

/// How often a file is looked at.
const FILE_EVERY: Duration = Duration::from_secs(10);
/// How often a Secret is read: with the lag and the time of two calls, a Secret that is deleted is made anew within a
/// minute.
#[cfg(feature = "cluster")]
const SECRET_EVERY: Duration = Duration::from_secs(30);
/// The longest lag.
#[cfg(feature = "cluster")]
const LAG: Duration = Duration::from_secs(15);
/// How soon a Secret is asked for again that was never had.
#[cfg(feature = "cluster")]
const SECRET_AGAIN: Duration = Duration::from_secs(5);
/// How long one look may take.
#[cfg(feature = "cluster")]
const LOOK: Duration = Duration::from_secs(10);

impl Versions {
    /// Nothing is looked at yet.
    pub fn new(source: Source, clock: Clock) -> Self {
        Self { clock, source, known: None, digests: DigestKey::random(), told: None }
    }

    /// The key to begin with: of the file, which must be there; otherwise one of this process, until a look finds more.
    ///
    /// # Errors
    /// `setup` where the file is no key.
    pub fn initial(&mut self) -> Result<VersionKey, Problem> {
        match &self.source {
            Source::File(path) => {
                let key = read(path)?;
                self.known = Some(key.digest(&self.digests, b"version key"));
                Ok(VersionKey(key.digest_key()))
            }
            Source::Own => Ok(VersionKey(DigestKey::random())),
            #[cfg(feature = "cluster")]
            Source::Secret { .. } => Ok(VersionKey(DigestKey::random())),
        }
    }

    /// Looks for a key in a Secret until `deadline`, so that the first mounts have it already, if it can be had.
    pub async fn begin(&mut self, deadline: Instant, take: &(dyn Fn(VersionKey) + Sync)) {
        #[cfg(feature = "cluster")]
        if matches!(self.source, Source::Secret { .. }) {
            let clock = self.clock;
            clock.until(deadline, self.look(take)).await;
        }
        #[cfg(not(feature = "cluster"))]
        let _ = (deadline, take);
    }

    /// Hands every key that is another one to `take`, for as long as the agent runs. Where it cannot be had, the one that
    /// there is goes on.
    pub async fn follow(mut self, take: impl Fn(VersionKey) + Sync) {
        if matches!(self.source, Source::Own) {
            return pending().await;
        }
        loop {
            let clock = self.clock;
            clock.sleep(self.pause()).await;
            self.look(&take).await;
        }
    }

    fn pause(&self) -> Duration {
        match &self.source {
            Source::Own | Source::File(_) => FILE_EVERY,
            #[cfg(feature = "cluster")]
            Source::Secret { lag, .. } if self.known.is_none() => SECRET_AGAIN + LAG.mul_f64(*lag),
            #[cfg(feature = "cluster")]
            Source::Secret { lag, .. } => SECRET_EVERY + LAG.mul_f64(*lag),
        }
    }

    async fn look(&mut self, take: &(dyn Fn(VersionKey) + Sync)) {
        let found = match &self.source {
            Source::Own => return,
            Source::File(path) => read(path),
            #[cfg(feature = "cluster")]
            Source::Secret { cluster, name, .. } => {
                let found = cluster.version_key(name, self.clock.now() + LOOK).await;
                found.map_err(|fault| fault.problem.parameter("versions.secret"))
            }
        };
        match found {
            Ok(key) => {
                self.told = None;
                let digest = key.digest(&self.digests, b"version key");
                if self.known != Some(digest) {
                    self.known = Some(digest);
                    take(VersionKey(key.digest_key()));
                    tracing::info!("the key of object versions is taken: versions under another one change");
                }
            }
            Err(problem) => {
                if self.told.as_ref() != Some(&problem) {
                    tracing::error!(
                        "the key of object versions cannot be read, and the last one goes on: {problem}"
                    );
                    self.told = Some(problem);
                }
            }
        }
    }
}

fn read(path: &Path) -> Result<Secret, Problem> {
    let fault = |what: &str| {
        let problem =
            Problem::new(Reason::Setup, what).parameter("versions.keyFile").hop(path.display().to_string());
        problem.remedy("give it 32 random bytes and mode 0400, the same on every node")
    };
    let unreadable = |error: std::io::Error| fault(&format!("cannot be read: {}", error.kind()));
    // Not blocking: someone may have put a pipe there.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unreadable(error.into()))?;
    let file = std::fs::File::from(file);
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(fault("is not a regular file"));
    }
    if about.permissions().mode() & 0o027 != 0 {
        return Err(fault("may be read or changed by others than its owner"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES_MAX));
    file.take(KEY_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() < KEY_BYTES_MIN { Err(fault("has fewer than 16 bytes")) } else { Ok(Secret::new(bytes)) }
}

/// Half of what the digest's own strength wants is the least that makes sense.
const KEY_BYTES_MIN: usize = 16;
/// More is hashed down to less anyway.
const KEY_BYTES_MAX: usize = 4096;
