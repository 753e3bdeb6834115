//! What may change while the engine runs: the policy and the bounds, which a mount takes once, at its beginning; and the
//! key of object versions, which it takes at its end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::Limits;
use crate::model::VersionKey;
use crate::policy::Policy;

/// What is in force for the mounts that begin now.
pub(super) struct Live {
    pub(super) policy: Policy,
    pub(super) limits: Limits,
}

pub(super) struct Current {
    live: RwLock<Arc<Live>>,
    key: RwLock<Arc<VersionKey>>,
    at_work: AtomicUsize,
}

impl Current {
    pub(super) fn new(policy: Policy, limits: Limits, key: VersionKey) -> Self {
        Self {
            live: RwLock::new(Arc::new(Live { policy, limits })),
            key: RwLock::new(Arc::new(key)),
            at_work: AtomicUsize::new(0),
        }
    }

    pub(super) fn key(&self) -> Arc<VersionKey> {
        Arc::clone(&self.key.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn rekey(&self, key: VersionKey) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }

    pub(super) fn get(&self) -> Arc<Live> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set(&self, policy: Policy, limits: Limits) {
        let live = Arc::new(Live { policy, limits });
        // The old one goes after the lock: its last user may be this call.
        let _old = std::mem::replace(&mut *self.live.write().unwrap_or_else(PoisonError::into_inner), live);
    }

    /// A place among the mounts at work, of which there are so many; `None` where all are taken. A count and no
    /// semaphore, so that the bound may change while places are taken.
    pub(super) fn enter(&self, places: usize) -> Option<Place<'_>> {
        let more = |taken: usize| (taken < places).then_some(taken + 1);
        let entered = self.at_work.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        entered.is_ok().then(|| Place(&self.at_work))
    }
}

/// Given back when it is dropped.
pub(super) struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::DigestKey;

    #[test]
    fn a_bound_that_changes_counts_the_places_that_are_taken() {
        let key = VersionKey(DigestKey::random());
        let current = Current::new(Policy::default(), Limits::default(), key);
        let (first, second) = (current.enter(2).unwrap(), current.enter(2).unwrap());
        assert!(current.enter(2).is_none());
        let third = current.enter(3).unwrap();
        drop((first, second));
        assert!(current.enter(1).is_none(), "one of three is still there");
        drop(third);
        assert!(current.enter(1).is_some());
    }
}
