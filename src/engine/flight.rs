//! Single flight: whoever asks for what is on its way already waits for that. Who boards first leads, does the work on a
//! task of the engine's, and lands it; a leader that is lost (a panic) takes nobody with it but those who wait.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use tokio::sync::oneshot;

type Open<K, T> = Arc<Mutex<HashMap<K, Waiting<T>>>>;

/// Waits for what somebody else is at; an error where that was lost.
pub(super) type Waiting<T> = Shared<oneshot::Receiver<T>>;

/// What is on its way, by key.
pub(super) struct Flights<K, T: Clone>(Open<K, T>);

impl<K, T: Clone> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// The one right, and the duty, to bring what others wait for.
pub(super) struct Landing<K: Eq + Hash, T: Clone> {
    key: K,
    open: Open<K, T>,
    done: Option<oneshot::Sender<T>>,
}

/// How somebody came aboard.
pub(super) enum Boarded<K: Eq + Hash, T: Clone> {
    /// As the first. What was kept meanwhile must be looked at once more: a flight lands after its result is kept.
    Lead(Landing<K, T>),
    /// Behind another.
    Join(Waiting<T>),
}

impl<K: Eq + Hash + Clone, T: Clone> Flights<K, T> {
    pub(super) fn board(&self, key: &K) -> Boarded<K, T> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = open.get(key) {
            return Boarded::Join(waiting.clone());
        }
        let (done, landed) = oneshot::channel();
        open.insert(key.clone(), landed.shared());
        Boarded::Lead(Landing { key: key.clone(), open: Arc::clone(&self.0), done: Some(done) })
    }
}

impl<K: Eq + Hash, T: Clone> Landing<K, T> {
    /// Hands the result to all who wait; whoever comes from now on finds what was kept, or begins anew.
    pub(super) fn land(mut self, result: T) {
        let done = self.done.take();
        drop(self);
        if let Some(done) = done {
            // Nobody may be waiting any more.
            let _ = done.send(result);
        }
    }
}

impl<K: Eq + Hash, T: Clone> Drop for Landing<K, T> {
    fn drop(&mut self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
