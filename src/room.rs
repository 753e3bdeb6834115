//! Room for what is being answered: how many bytes of replies and answers the process may hold at once, besides what it
//! keeps. A reply that is too large to be overlooked takes its room before it is read, and gives it back with the answer
//! that was made of it, so that many large answers wait for each other and do not fill the memory.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All the room that there is.
#[derive(Clone)]
pub struct Room {
    places: Arc<Semaphore>,
    bytes: usize,
}

impl Room {
    /// This many bytes.
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(bytes)), bytes }
    }

    /// A part of it, empty at first, that grows with what is taken and is given back when the last clone is dropped.
    pub fn claim(&self) -> Claim {
        self.claim_of(&Allowance::default())
    }

    /// The same, for one of several operations that share what is free.
    pub fn claim_of(&self, allowance: &Allowance) -> Claim {
        Claim(Arc::new(Held { room: self.clone(), allowance: allowance.clone(), permits: Mutex::default() }))
    }
}

/// What small replies to one mount may hold without room: they are many where a class names many objects, and all of
/// them are held until the last has come.
#[derive(Clone)]
pub struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    /// So much in all.
    pub const BYTES: usize = 256 << 10;
}

impl Default for Allowance {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(Self::BYTES)))
    }
}

/// What one operation has taken.
#[derive(Clone)]
pub struct Claim(Arc<Held>);

struct Held {
    room: Room,
    allowance: Allowance,
    permits: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Claim {
    /// A reply up to this size is small.
    pub const FREE: usize = 64 << 10;

    /// Whether so many bytes of a small reply are within what is free, which they then use up.
    pub fn is_free(&self, bytes: usize) -> bool {
        let Allowance(left) = &self.0.allowance;
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    /// Takes room for this many more bytes, and waits for it; the caller has a deadline. `false` where there is never so
    /// much.
    pub async fn take(&self, bytes: usize) -> bool {
        let Ok(count) = u32::try_from(bytes) else { return false };
        if bytes > self.0.room.bytes {
            return false;
        }
        match Arc::clone(&self.0.room.places).acquire_many_owned(count).await {
            Ok(permit) => {
                let mut held = self.0.permits.lock().unwrap_or_else(PoisonError::into_inner);
                match &mut *held {
                    Some(held) => held.merge(permit),
                    None => *held = Some(permit),
                }
                true
            }
            Err(_) => false,
        }
    }

    /// Gives back what was taken and turned out not to be needed.
    pub fn give_back(&self, bytes: usize) {
        let mut held = self.0.permits.lock().unwrap_or_else(PoisonError::into_inner);
        drop(held.as_mut().and_then(|held| held.split(bytes.min(held.num_permits()))));
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claim")
    }
}
