//! Room for what is being answered: how many bytes of replies and answers the process may hold at once, besides what it
//! keeps. A reply that is too large to be overlooked takes its room before it is read, and gives it back with the answer
//! that was made of it, so that many large answers wait for each other and do not fill the memory.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All the room that there is.
#[derive(Clone)]
pub struct Room(Arc<Semaphore>);

impl Room {
    /// This many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// A part of it, empty at first, that grows with what is taken and is given back when the last clone is dropped.
    pub fn claim(&self) -> Claim {
        Claim(Arc::new(Held { room: self.clone(), permits: Mutex::default() }))
    }
}

/// What one operation has taken.
#[derive(Clone)]
pub struct Claim(Arc<Held>);

struct Held {
    room: Room,
    permits: Mutex<Vec<OwnedSemaphorePermit>>,
}

impl Claim {
    /// Replies up to this size take no room: they are as many as requests are in flight.
    pub const FREE: usize = 64 << 10;

    /// Takes room for this many more bytes, and waits for it; the caller has a deadline. `false` where there is never so
    /// much.
    pub async fn take(&self, bytes: usize) -> bool {
        let Ok(bytes) = u32::try_from(bytes) else { return false };
        match Arc::clone(&self.0.room.0).acquire_many_owned(bytes).await {
            Ok(permit) => {
                self.0.permits.lock().unwrap_or_else(PoisonError::into_inner).push(permit);
                true
            }
            Err(_) => false,
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claim")
    }
}
