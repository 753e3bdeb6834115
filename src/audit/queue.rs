//! The bounded queue between those who record and the thread that writes, with each subject's share of it. It knows
//! neither time nor files.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// What one call of `record` brings: all of its lines or none.
pub(super) struct Batch {
    pub(super) subject: u64,
    pub(super) lines: u64,
    pub(super) bytes: Vec<u8>,
    /// Told whether the lines were written, where somebody waits for it.
    pub(super) done: Option<oneshot::Sender<bool>>,
}

impl Batch {
    /// How much of the queue it takes: a line counts once for each KiB that it begins.
    fn cost(&self) -> usize {
        let lines = usize::try_from(self.lines).unwrap_or(usize::MAX);
        lines.max(self.bytes.len().div_ceil(1024))
    }
}

/// The queue. What the writer has taken counts until it is written, so that a blocked sink does not widen the bound.
pub(super) struct Queue {
    state: Mutex<State>,
    /// For the writer: there is something to write, or nobody records any more.
    work: Condvar,
    /// For those who record: something was written, or given up.
    pub(super) room: Notify,
    hasher: RandomState,
    max: usize,
    share: usize,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Batch>,
    total: usize,
    shares: HashMap<u64, usize>,
    idle: bool,
    closed: bool,
}

/// How many bytes the writer takes at once, about.
const CHUNK: usize = 64 * 1024;

impl Queue {
    pub(super) fn new(max: usize) -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            room: Notify::new(),
            hasher: RandomState::new(),
            max,
            share: (max / 4).max(1),
        }
    }

    /// The subject as the queue knows it. Two that collide share a share, which harms nobody.
    pub(super) fn subject(&self, key: &str) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Takes the batch, or gives it back where there is no room. A batch larger than the queue, or than a share, is
    /// taken when it would stand there alone.
    pub(super) fn push(&self, batch: Batch) -> Result<(), Batch> {
        let cost = batch.cost();
        let mut state = self.lock();
        let mine = state.shares.get(&batch.subject).copied().unwrap_or(0);
        let fits = |used: usize, max: usize| used == 0 || used + cost <= max;
        if !fits(state.total, self.max) || !fits(mine, self.share) {
            return Err(batch);
        }
        state.total += cost;
        state.shares.insert(batch.subject, mine + cost);
        state.batches.push_back(batch);
        // Waking costs a system call, which a busy writer does not need.
        let wake = std::mem::take(&mut state.idle);
        drop(state);
        if wake {
            self.work.notify_one();
        }
        Ok(())
    }

    /// For the writer: waits for something to write. `None` when nobody records any more and all is written.
    pub(super) fn take(&self, into: &mut Vec<Batch>) -> Option<()> {
        let mut state = self.lock();
        while state.batches.is_empty() {
            if state.closed {
                return None;
            }
            state.idle = true;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut bytes = 0;
        while bytes < CHUNK
            && let Some(batch) = state.batches.pop_front()
        {
            bytes += batch.bytes.len();
            into.push(batch);
        }
        Some(())
    }

    /// For the writer: this many of the batches it took reached the sink, in their order; the rest did not.
    pub(super) fn finish(&self, batches: &mut Vec<Batch>, written: usize) {
        let mut state = self.lock();
        for batch in batches.iter() {
            let cost = batch.cost();
            state.total -= cost;
            if let Some(mine) = state.shares.get_mut(&batch.subject) {
                *mine -= cost;
                if *mine == 0 {
                    state.shares.remove(&batch.subject);
                }
            }
        }
        drop(state);
        for (index, batch) in batches.drain(..).enumerate() {
            if let Some(done) = batch.done {
                // Nobody may wait any more.
                let _ = done.send(index < written);
            }
        }
        self.room.notify_waiters();
    }

    /// Whether nothing waits and nothing is being written.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().total == 0
    }

    /// Nobody records any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
