//! Something made from files, made again when they change, once for all who wait. What an older file said is never
//! given out: a file that turned bad is an error until it changes again.

use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::disk::{Source, Stamp};
use crate::clock::Clock;
use crate::error::{Problem, Reason};
use crate::secret::{Digest, DigestKey};

/// Seconds after a change within which a file may change again without its stamp showing it: file systems tell time
/// in steps of up to two seconds, and give the number of a removed file to the next one.
const UNSETTLED_SECONDS: i64 = 3;

/// The contents of the files, in their order.
pub(super) type Contents = Vec<Zeroizing<Vec<u8>>>;

/// What was made of some files, and of which.
pub(super) struct Reloaded<T> {
    sources: Arc<[Source]>,
    make: Arc<dyn Fn(Contents) -> Result<T, Problem> + Send + Sync>,
    digests: Arc<DigestKey>,
    held: Mutex<Option<Held<T>>>,
    turn: tokio::sync::Mutex<()>,
}

struct Held<T> {
    stamps: Vec<Stamp>,
    digest: Digest,
    /// Whether the stamps were old enough to be trusted when the files were read last.
    settled: bool,
    outcome: Result<Arc<T>, Problem>,
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    pub(super) fn new(
        sources: impl Into<Arc<[Source]>>,
        make: impl Fn(Contents) -> Result<T, Problem> + Send + Sync + 'static,
    ) -> Self {
        Self {
            sources: sources.into(),
            make: Arc::new(make),
            digests: Arc::new(DigestKey::random()),
            held: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// What the files say now.
    pub(super) async fn current(&self, clock: &Clock) -> Result<Arc<T>, Problem> {
        if let Some(outcome) = self.held_still() {
            return outcome;
        }
        let _turn = self.turn.lock().await;
        if let Some(outcome) = self.held_still() {
            return outcome;
        }
        let (known, sources, make, digests) =
            (self.known(), self.sources.clone(), self.make.clone(), self.digests.clone());
        let now = clock.wall().seconds();
        let task = move || load(&sources, &*make, &digests, known, now);
        let loaded = tokio::task::spawn_blocking(task)
            .await
            .map_err(|_| Problem::new(Reason::Bug, "reading the local store broke down"))
            .flatten();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // Files that cannot even be read are looked at each time: nothing is spared by remembering that.
        *held = loaded.as_ref().ok().cloned();
        loaded?.outcome
    }

    fn held_still(&self) -> Option<Result<Arc<T>, Problem>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_ref().filter(|held| held.settled)?;
        let same =
            self.sources.iter().zip(&held.stamps).all(|(source, stamp)| source.stamp() == Some(*stamp));
        same.then(|| held.outcome.clone())
    }

    fn known(&self) -> Option<(Digest, Result<Arc<T>, Problem>)> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map(|held| (held.digest, held.outcome.clone()))
    }
}

impl<T> Clone for Held<T> {
    fn clone(&self) -> Self {
        Self {
            stamps: self.stamps.clone(),
            digest: self.digest,
            settled: self.settled,
            outcome: self.outcome.clone(),
        }
    }
}

fn load<T>(
    sources: &[Source],
    make: &dyn Fn(Contents) -> Result<T, Problem>,
    digests: &DigestKey,
    known: Option<(Digest, Result<Arc<T>, Problem>)>,
    now: i64,
) -> Result<Held<T>, Problem> {
    let (mut stamps, mut contents) = (Vec::new(), Vec::new());
    for source in sources {
        let (stamp, bytes) = source.read()?;
        stamps.push(stamp);
        contents.push(bytes);
    }
    let parts: Vec<&[u8]> = contents.iter().map(|bytes| bytes.as_slice()).collect();
    let digest = digests.digest(&parts);
    let settled = stamps.iter().all(|stamp| now - stamp.changed() >= UNSETTLED_SECONDS);
    let outcome = match known {
        Some((known, outcome)) if known == digest => outcome,
        _ => make(contents).map(Arc::new),
    };
    Ok(Held { stamps, digest, settled, outcome })
}
