//! What calls to a backend may cost, kept per endpoint whatever store, class or pod asks: so many at once, so many a
//! second, first mounts before refreshes, nobody before his turn. Attempts are repeated here and nowhere else, and an
//! endpoint that fails all the time is left alone for a while.
//!
//! `gate` decides who may begin; `line` is who waits, `bucket` how many a second, `breaker` when it is left alone.

mod breaker;
mod bucket;
mod dice;
mod gate;
mod line;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Instant};
use crate::error::{Fault, Problem, Reason, Retry};
use crate::model::{Endpoint, StoreName, Tls};
use crate::secret::Digest;
use crate::telemetry::Metrics;
use dice::Dice;
use gate::Gate;

/// Bounds of the calls to one endpoint; every one a key under `limits`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls at once.
    pub in_flight: usize,
    /// Calls at once of one principal.
    pub per_principal: usize,
    /// Calls that wait.
    pub queue: usize,
    /// Calls a second, in the long run.
    pub per_second: usize,
    /// Calls at once after a time of rest.
    pub burst: usize,
    /// Attempts of a login, a renewal, a revocation.
    pub exchanges: usize,
    /// Attempts of a read.
    pub reads: usize,
    /// Longest attempt.
    pub attempt: Duration,
    /// Longest pause before the second attempt; it doubles with each.
    pub backoff: Duration,
    /// Longest pause before any attempt.
    pub backoff_max: Duration,
    /// Failures in a row after which an endpoint is left alone.
    pub breaker_after: usize,
    /// For how long at first; it doubles with each time that it is not back.
    pub breaker_open: Duration,
    /// For how long at most.
    pub breaker_open_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 32,
            per_principal: 8,
            queue: 1024,
            per_second: 100,
            // A full node that starts anew: 110 pods, each with a login and four objects, within three seconds.
            burst: 400,
            exchanges: 2,
            reads: 3,
            attempt: Duration::from_secs(15),
            backoff: Duration::from_millis(200),
            backoff_max: Duration::from_secs(5),
            breaker_after: 10,
            breaker_open: Duration::from_secs(5),
            breaker_open_max: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// The longest pause after so many failed attempts before this one.
    fn pause(&self, before: u32) -> Duration {
        self.backoff.saturating_mul(2u32.saturating_pow(before)).min(self.backoff_max)
    }

    fn attempts(&self, work: Work) -> usize {
        match work {
            Work::Exchange => self.exchanges,
            Work::Read { .. } => self.reads,
        }
    }
}

/// A wire operation that wants its turn.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// The store, for figures.
    pub store: &'a StoreName,
    /// Where it goes; `None` where nothing leaves the process.
    pub endpoint: Option<&'a Endpoint>,
    /// For whom.
    pub principal: Digest,
    /// Whose that one is: a namespace has many.
    pub tenant: Digest,
    /// Whether a pod may be waiting to start.
    pub first: bool,
    /// When nobody waits for the result any more.
    pub deadline: Instant,
    /// What it is.
    pub work: Work,
}

/// What an operation is: how often it is tried, and whether it may be repeated although it may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A login, a renewal, a revocation: may always be repeated.
    Exchange,
    /// A read.
    Read {
        /// Whether it is known to have no effect, so that it may be repeated.
        harmless: bool,
    },
}

/// The budgets of all endpoints.
pub struct Budgets {
    tools: Arc<Tools>,
    gates: Mutex<HashMap<Key, Kept>>,
}

/// What all gates use.
struct Tools {
    clock: Clock,
    metrics: Metrics,
    limits: Limits,
    dice: Dice,
}

/// What a budget is kept by. A path makes no endpoint of its own, nor does who names it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    site: String,
    tls: Tls,
}

struct Kept {
    gate: Arc<Gate>,
    used: Instant,
    /// Who needed it first.
    by: Digest,
}

/// Endpoints that are remembered; more only while all of them are in use.
const ENDPOINTS_MAX: usize = 256;

/// Budgets at one server that one tenant may have had made lately: its classes may spell out authorities and TLS names of
/// their own, each a budget of its own, and must not have as many as they can spell.
const OWN_MAX: usize = 8;
/// For how long a budget counts among those after its last use.
const LATELY: Duration = Duration::from_secs(60);

/// The least time in which an attempt makes sense.
const USEFUL: Duration = Duration::from_millis(50);

impl Budgets {
    /// Budgets that nothing has been taken from.
    pub fn new(clock: Clock, metrics: Metrics, limits: Limits) -> Self {
        Self::seeded(clock, metrics, limits, super::random())
    }

    /// The same, with pauses that follow from `seed`.
    pub fn seeded(clock: Clock, metrics: Metrics, limits: Limits, seed: u64) -> Self {
        let tools = Arc::new(Tools { clock, metrics, limits, dice: Dice::new(seed) });
        Self { tools, gates: Mutex::default() }
    }

    /// Runs `attempt` until it succeeds or must not be repeated, within the endpoint's budget and the deadline.
    ///
    /// # Errors
    /// The last attempt's fault. `unreachable`, `throttled`, `busy` or `timeout` where there was none.
    pub async fn attempt<T, F>(&self, turn: &Turn<'_>, mut attempt: impl FnMut() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let Some(endpoint) = turn.endpoint else { return attempt().await };
        let gate = self.gate(endpoint, turn.tenant).map_err(Fault::never)?;
        let Tools { clock, metrics, limits, dice } = &*self.tools;
        let (mut number, mut left) = (0, limits.attempts(turn.work));
        let mut before: Option<Fault> = None;
        loop {
            let place = match (gate.enter(turn).await, before.take()) {
                (Ok(place), None) => place,
                (Ok(place), Some(fault)) => {
                    metrics.retry(turn.store, fault.problem.reason);
                    place
                }
                // What its own attempt met says more than why there is no other.
                (Err(_), Some(fault)) => return Err(fault),
                (Err(problem), None) => return Err(Fault::never(problem)),
            };
            let began = clock.now();
            let until = turn.deadline.min(began + limits.attempt);
            let result = clock.until(until, attempt()).await.unwrap_or_else(|| Err(late(gate.site())));
            place.done(&result, until - began, turn.store);
            let fault = match result {
                Ok(value) => return Ok(value),
                Err(fault) => gate.reword(fault),
            };
            let pause = match fault.retry {
                // The gate holds back what the backend wants held back.
                _ if fault.problem.reason == Reason::Throttled => Duration::ZERO,
                Retry::After(_) => Duration::ZERO,
                Retry::Backoff | Retry::Never | Retry::Login => dice.part(limits.pause(number)),
            };
            (number, left) = (number + 1, left.saturating_sub(1));
            let in_time = turn.deadline.since(clock.now()) >= pause + USEFUL;
            if left == 0 || !repeats(&fault, turn.work) || !in_time {
                return Err(fault);
            }
            clock.sleep(pause).await;
            before = Some(fault);
        }
    }

    /// Why calls of this tenant to this endpoint are not made now, if the backend asked for patience or is left alone.
    pub fn holds_back(&self, endpoint: &Endpoint, tenant: Digest) -> Option<Problem> {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.get(&Key::of(endpoint))?.gate.holds_back(tenant)
    }

    fn gate(&self, endpoint: &Endpoint, tenant: Digest) -> Result<Arc<Gate>, Problem> {
        let (now, key) = (self.tools.clock.now(), Key::of(endpoint));
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = gates.get_mut(&key) {
            kept.used = now;
            return Ok(Arc::clone(&kept.gate));
        }
        let own = gates
            .iter()
            .filter(|(other, kept)| other.site == key.site && kept.by == tenant && now - kept.used < LATELY);
        if own.count() >= OWN_MAX {
            return Err(many(&key.site));
        }
        forget(&mut gates);
        let gate = Arc::new(Gate::new(key.site.clone(), Arc::clone(&self.tools)));
        gates.insert(key, Kept { gate: Arc::clone(&gate), used: now, by: tenant });
        Ok(gate)
    }
}

impl Key {
    fn of(endpoint: &Endpoint) -> Self {
        Self { site: endpoint.address.site(), tls: endpoint.tls.clone() }
    }
}

fn many(site: &str) -> Problem {
    let what = format!("the classes of this namespace speak TLS with it in more than {OWN_MAX} ways at once");
    Problem::new(Reason::Busy, what)
        .hop(site)
        .remedy("give them the same authorities and TLS server name, or leave both to the configured store")
}

/// Makes room for one more endpoint: those go that nobody uses, and that were not used for longest.
fn forget(gates: &mut HashMap<Key, Kept>) {
    while gates.len() >= ENDPOINTS_MAX {
        let idle = gates.iter().filter(|(_, kept)| Arc::strong_count(&kept.gate) == 1);
        let Some(key) = idle.min_by_key(|(_, kept)| kept.used).map(|(key, _)| key.clone()) else { return };
        gates.remove(&key);
    }
}

/// Whether another attempt can help, and does no harm.
fn repeats(fault: &Fault, work: Work) -> bool {
    let harmless = match work {
        Work::Exchange => true,
        Work::Read { harmless } => harmless,
    };
    match fault.retry {
        Retry::Never | Retry::Login => false,
        Retry::Backoff | Retry::After(_) => harmless || !fault.doubtful,
    }
}

fn late(site: &str) -> Fault {
    let problem = Problem::new(Reason::Timeout, "did not answer within the time of an attempt").hop(site);
    Fault { problem, retry: Retry::Backoff, doubtful: true, answered: false }
}
