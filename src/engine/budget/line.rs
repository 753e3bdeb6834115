//! Who waits for a turn: principals in turn, and each one's calls in the order in which they came, so that who waits
//! with many calls stands in nobody's way.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::clock::Instant;
use crate::error::Problem;
use crate::secret::Digest;

/// A call that waits.
pub(super) struct Waiting {
    pub(super) id: u64,
    pub(super) tenant: Digest,
    /// Until when it makes sense to begin.
    pub(super) patience: Instant,
    pub(super) ticket: Arc<Ticket>,
}

/// What the one who waits is told by.
#[derive(Default)]
pub(super) struct Ticket {
    /// Whether it may begin; set once.
    pub(super) word: OnceLock<Result<(), Problem>>,
    /// Rung when there is a word, and when its turn to look at the time has come.
    pub(super) bell: Notify,
}

impl Ticket {
    pub(super) fn say(&self, word: Result<(), Problem>) {
        let _ = self.word.set(word);
        self.bell.notify_one();
    }
}

/// The line of one class. No principal in it has an empty queue.
#[derive(Default)]
pub(super) struct Line {
    queues: HashMap<Digest, VecDeque<Waiting>>,
    order: VecDeque<Digest>,
    len: usize,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn waiting(&self, principal: Digest) -> usize {
        self.queues.get(&principal).map_or(0, VecDeque::len)
    }

    /// How many calls of a tenant wait, whichever its principals.
    pub(super) fn of_tenant(&self, tenant: Digest) -> usize {
        let theirs =
            self.queues.values().filter(|queue| queue.front().is_some_and(|next| next.tenant == tenant));
        theirs.map(VecDeque::len).sum()
    }

    pub(super) fn push(&mut self, principal: Digest, waiting: Waiting) {
        let queue = self.queues.entry(principal).or_default();
        if queue.is_empty() {
            self.order.push_back(principal);
        }
        queue.push_back(waiting);
        self.len += 1;
    }

    /// Whose turn it is, of those whose next call may.
    pub(super) fn turn(&self, may: impl Fn(Digest, &Waiting) -> bool) -> Option<Digest> {
        let may = |principal: Digest| self.peek(principal).is_some_and(|next| may(principal, next));
        self.order.iter().copied().find(|principal| may(*principal))
    }

    /// Everyone's next call.
    pub(super) fn heads(&self) -> impl Iterator<Item = &Waiting> {
        self.queues.values().filter_map(VecDeque::front)
    }

    /// The principal's next call, without taking it.
    pub(super) fn peek(&self, principal: Digest) -> Option<&Waiting> {
        self.queues.get(&principal)?.front()
    }

    /// The principal's next call; then it is the others' turn.
    pub(super) fn take(&mut self, principal: Digest) -> Option<Waiting> {
        let queue = self.queues.get_mut(&principal)?;
        let waiting = queue.pop_front()?;
        let more = !queue.is_empty();
        self.len -= 1;
        self.leave(principal);
        if more {
            self.order.push_back(principal);
        } else {
            self.queues.remove(&principal);
        }
        Some(waiting)
    }

    /// A call goes without having had its turn.
    pub(super) fn remove(&mut self, principal: Digest, id: u64) {
        let Some(queue) = self.queues.get_mut(&principal) else { return };
        let before = queue.len();
        queue.retain(|waiting| waiting.id != id);
        self.len -= before - queue.len();
        if queue.is_empty() {
            self.queues.remove(&principal);
            self.leave(principal);
        }
    }

    /// Tells all who wait in vain why.
    pub(super) fn refuse(&mut self, vain: impl Fn(&Waiting) -> bool, problem: &Problem) {
        for queue in self.queues.values_mut() {
            queue.retain(|waiting| {
                let vain = vain(waiting);
                if vain {
                    waiting.ticket.say(Err(problem.clone()));
                }
                !vain
            });
        }
        self.queues.retain(|_, queue| !queue.is_empty());
        let queues = &self.queues;
        self.order.retain(|principal| queues.contains_key(principal));
        self.len = self.queues.values().map(VecDeque::len).sum();
    }

    fn leave(&mut self, principal: Digest) {
        if let Some(at) = self.order.iter().position(|one| *one == principal) {
            self.order.remove(at);
        }
    }
}
