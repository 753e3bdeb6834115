//! The gate before one endpoint: who may begin a call, and when. Everything is decided under one lock and in one
//! place, [`State::settle`]; nobody but the one whose turn it is looks at the time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::breaker::{Breaker, Change};
use super::bucket::Bucket;
use super::line::{Line, Ticket, Waiting};
use super::{Limits, Tools, Turn, USEFUL};
use crate::clock::Instant;
use crate::error::{Fault, Problem, Reason, Retry};
use crate::model::StoreName;
use crate::secret::Digest;

/// One endpoint's.
pub(super) struct Gate {
    site: String,
    tools: Arc<Tools>,
    state: Mutex<State>,
}

struct State {
    in_flight: usize,
    of: HashMap<Digest, usize>,
    first: Line,
    refresh: Line,
    /// Turns that first mounts have had since the last of a refresh.
    in_a_row: u32,
    bucket: Bucket,
    breaker: Breaker,
    /// Under which store's name the breaker counts as open.
    open_for: Option<StoreName>,
    hold: Option<Hold>,
    /// Whom alone the backend has asked for patience, while others are served.
    alone: HashMap<Digest, Hold>,
    /// The one call that finds out whether the endpoint is back.
    trial: Option<u64>,
    /// Who looks at the time, and when.
    keeper: Option<(u64, Instant)>,
    ids: u64,
}

/// The backend has asked for patience. After it one call at a time goes, until one is not asked again.
struct Hold {
    until: Instant,
    /// The tenant that was asked, as long as it is the only one: it may be at an end of a quota of its own.
    of: Option<Digest>,
    /// Until when that holds others back too.
    others: Instant,
    times: u32,
    /// The one call that finds out whether it is over for whom alone was asked.
    trial: Option<u64>,
}

/// A place in the line, then in flight; given back when it is dropped, whatever it is by then.
pub(super) struct Place {
    gate: Arc<Gate>,
    id: u64,
    principal: Digest,
    tenant: Digest,
    first: bool,
    patience: Instant,
    ticket: Arc<Ticket>,
}

/// What an attempt says about its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Alive,
    Ill,
    Nothing,
}

/// Every so many turns one is a refresh's, if any waits: first mounts have pods waiting for them, and refreshes must
/// not wait forever.
const REFRESH_EVERY: u32 = 8;
/// The part of the line that one principal may take up: a mount may read 500 objects at once.
const SHARE: usize = 2;
/// The part of the line that one tenant leaves to others: it may have as many principals as its classes name roles. A node
/// full of one tenant's pods fits into the rest.
const OTHERS_SHARE: usize = 4;
/// The longest that a backend's word holds calls back; then one asks again.
const HOLD_MAX: Duration = Duration::from_secs(300);
/// The longest that what one tenant alone was asked holds others back; then one of theirs finds out.
const OTHERS_MAX: Duration = Duration::from_secs(5);
/// An attempt that had less time than this and was not done says nothing about its endpoint: nobody shall talk a
/// breaker open by asking for the impossible.
const FAIR: Duration = Duration::from_secs(10);

impl Gate {
    pub(super) fn new(site: String, tools: Arc<Tools>) -> Self {
        let bucket = Bucket::new(&tools.limits, tools.clock.now());
        let state = Mutex::new(State {
            in_flight: 0,
            of: HashMap::new(),
            first: Line::default(),
            refresh: Line::default(),
            in_a_row: 0,
            bucket,
            breaker: Breaker::new(),
            open_for: None,
            hold: None,
            alone: HashMap::new(),
            trial: None,
            keeper: None,
            ids: 0,
        });
        Self { site, tools, state }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// Why there is none: `unreachable`, `throttled`, `busy`, or `timeout` where there is no time left.
    pub(super) async fn enter(self: &Arc<Self>, turn: &Turn<'_>) -> Result<Place, Problem> {
        let from = self.tools.clock.now();
        let place = self.line_up(turn, from)?;
        place.wait().await?;
        self.tools.metrics.queued(turn.store, turn.first, self.tools.clock.now() - from);
        Ok(place)
    }

    fn line_up(self: &Arc<Self>, turn: &Turn<'_>, now: Instant) -> Result<Place, Problem> {
        let left = turn.deadline.since(now);
        if left < USEFUL {
            return Err(
                Problem::new(Reason::Timeout, "there was no time left for an attempt").hop(&self.site)
            );
        }
        let patience = now + (left - USEFUL);
        let mut state = self.lock();
        if state.breaker.refuses(now) {
            return Err(state.breaker.problem(&self.site, &self.tools.limits));
        }
        if state.held(turn.tenant).is_some_and(|until| patience < until) {
            return Err(throttled(&self.site));
        }
        let (limits, principal, tenant) = (&self.tools.limits, turn.principal, turn.tenant);
        let lines = [&state.first, &state.refresh];
        let count = |of: &dyn Fn(&Line) -> usize| lines.iter().map(|line| of(line)).sum::<usize>();
        let own = count(&|line| line.waiting(principal));
        let theirs = count(&|line| line.of_tenant(tenant));
        if count(&Line::len) >= limits.queue
            || own >= limits.queue.div_ceil(SHARE)
            || theirs >= limits.queue - limits.queue / OTHERS_SHARE
        {
            return Err(full(&self.site));
        }
        state.ids += 1;
        let (id, ticket) = (state.ids, Arc::<Ticket>::default());
        let waiting = Waiting { id, tenant, patience, ticket: Arc::clone(&ticket) };
        state.line(turn.first).push(principal, waiting);
        state.settle(now, &self.tools);
        drop(state);
        Ok(Place { gate: Arc::clone(self), id, principal, tenant, first: turn.first, patience, ticket })
    }

    /// `scheme://host[:port]`.
    pub(super) fn site(&self) -> &str {
        &self.site
    }

    /// A backend that asks for patience is told of in the same words, whether a call was made or not. For how long it asks
    /// is another number each time, and stands in the log.
    pub(super) fn reword(&self, fault: Fault) -> Fault {
        // What is used up, and patience does not bring back, its own words say.
        match fault.problem.reason == Reason::Throttled && fault.retry != Retry::Never {
            true => Fault { problem: throttled(&self.site), ..fault },
            false => fault,
        }
    }

    /// Why calls of this tenant are not made now.
    pub(super) fn holds_back(&self, tenant: Digest) -> Option<Problem> {
        self.lock().holds_back(tenant, &self.site, &self.tools.limits)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: Change, store: &StoreName, problem: &str) {
        let endpoint = self.site.as_str();
        match change {
            Change::None | Change::Again => {}
            Change::Opened => {
                self.tools.metrics.breaker(store, true);
                tracing::warn!(%store, endpoint, problem, "the endpoint fails and is left alone for a while");
            }
            Change::Closed => {
                self.tools.metrics.breaker(store, false);
                tracing::info!(%store, endpoint, "the endpoint is back");
            }
        }
    }
}

impl Gate {
    /// For how long patience is asked for, in seconds where the backend says so.
    fn tell_patience(&self, store: &StoreName, retry: Retry) {
        let seconds = if let Retry::After(said) = retry { Some(said.as_secs_f64()) } else { None };
        tracing::info!(%store, endpoint = self.site.as_str(), seconds, "the endpoint asks for patience");
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = state.open_for.take() {
            self.tools.metrics.breaker(&store, false);
        }
    }
}

impl State {
    fn line(&mut self, first: bool) -> &mut Line {
        if first { &mut self.first } else { &mut self.refresh }
    }

    /// Lets in whoever may, and appoints who looks at the time where that is what all wait for.
    fn settle(&mut self, now: Instant, tools: &Tools) {
        let next = loop {
            let Some((first, principal)) = self.turn(now, tools) else { break self.released(now) };
            match self.door(now, tools) {
                Door::Open => self.admit(first, principal, now),
                Door::Full => break None,
                Door::At(when) => {
                    let next = self.line(first).peek(principal);
                    break next.map(|next| (next.id, when, Arc::clone(&next.ticket)));
                }
            }
        };
        let keeper = next.as_ref().map(|(id, when, _)| (*id, *when));
        if self.keeper != keeper {
            self.keeper = keeper;
            if let Some((_, _, ticket)) = next {
                ticket.bell.notify_one();
            }
        }
    }

    /// Whose turn it is, if the door is open.
    fn turn(&self, now: Instant, tools: &Tools) -> Option<(bool, Digest)> {
        let may = |principal, next: &Waiting| {
            self.of.get(&principal).copied().unwrap_or(0) < tools.limits.per_principal
                && self.held(next.tenant).is_none_or(|until| until <= now)
                && self.alone.get(&next.tenant).is_none_or(|hold| hold.trial.is_none())
        };
        let (first, refresh) = (self.first.turn(may), self.refresh.turn(may));
        match (first, refresh) {
            (Some(_), Some(refresh)) if self.in_a_row + 1 >= REFRESH_EVERY => Some((false, refresh)),
            (Some(first), _) => Some((true, first)),
            (None, Some(refresh)) => Some((false, refresh)),
            (None, None) => None,
        }
    }

    /// Until when the backend's word holds a tenant back.
    fn held(&self, tenant: Digest) -> Option<Instant> {
        let all = self.hold.as_ref().map(|hold| {
            let other = hold.of.is_some_and(|of| of != tenant);
            if other { hold.others } else { hold.until }
        });
        let own = self.alone.get(&tenant).map(|hold| hold.until);
        all.max(own)
    }

    /// The first of those whom a word holds back, and when it ends.
    fn released(&self, now: Instant) -> Option<(u64, Instant, Arc<Ticket>)> {
        let heads = self.first.heads().chain(self.refresh.heads());
        let held = heads.filter_map(|next| Some((self.held(next.tenant)?, next)));
        let first = held.filter(|(until, _)| now < *until).min_by_key(|(until, next)| (*until, next.id));
        first.map(|(until, next)| (next.id, until, Arc::clone(&next.ticket)))
    }

    fn door(&mut self, now: Instant, tools: &Tools) -> Door {
        if self.breaker.refuses(now) {
            return Door::Full;
        }
        let full = if self.tries() { self.trial.is_some() } else { self.in_flight >= tools.limits.in_flight };
        if full {
            return Door::Full;
        }
        self.bucket.ready(now).map_or(Door::Open, Door::At)
    }

    /// Whether one call at a time finds out how the endpoint is.
    fn tries(&self) -> bool {
        self.hold.is_some() || self.breaker.is_open()
    }

    fn admit(&mut self, first: bool, principal: Digest, now: Instant) {
        let Some(waiting) = self.line(first).take(principal) else { return };
        if waiting.patience <= now {
            waiting.ticket.bell.notify_one();
            return;
        }
        self.in_a_row = if first { self.in_a_row.saturating_add(1) } else { 0 };
        self.in_flight += 1;
        *self.of.entry(principal).or_default() += 1;
        self.bucket.take(now);
        if self.tries() {
            self.trial = Some(waiting.id);
        }
        if let Some(hold) = self.alone.get_mut(&waiting.tenant) {
            hold.trial = Some(waiting.id);
        }
        waiting.ticket.say(Ok(()));
    }

    /// The backend asks for patience.
    fn hold(&mut self, fault: &Fault, tenant: Digest, trial: bool, now: Instant, tools: &Tools) -> bool {
        let before = match &self.hold {
            None => self.alone.get(&tenant),
            hold => hold.as_ref(),
        };
        let times = before.map_or(0, |hold| hold.times);
        let span = match (fault.retry, fault.problem.reason) {
            (Retry::After(said), _) => said.min(HOLD_MAX),
            (Retry::Never, _) => return false,
            (_, Reason::Throttled) => tools.limits.pause(times),
            _ => return false,
        };
        // What was on its way already is told the same: only what is not yet covered counts.
        let covered = !trial && before.is_some_and(|hold| now + span <= hold.until);
        let mut until = now + span + tools.dice.part(span / 2);
        let mut times = times + u32::from(trial || before.is_none_or(|hold| hold.until <= now));
        if self.hold.is_none() && before.is_some() {
            // The others are served, as was found out before.
            if !covered {
                self.alone.insert(tenant, Hold { until, of: Some(tenant), others: now, times, trial: None });
            }
            return true;
        }
        let of = self.hold.as_ref().map_or(Some(tenant), |hold| hold.of.filter(|of| *of == tenant));
        if covered && let Some(hold) = &self.hold {
            (until, times) = (hold.until, hold.times);
        }
        let soon = now + OTHERS_MAX + tools.dice.part(OTHERS_MAX / 2);
        let others = match &self.hold {
            Some(hold) if covered && of.is_some() => hold.others,
            _ if of.is_some() => until.min(soon),
            _ => until,
        };
        self.hold = Some(Hold { until, of, others, times, trial: None });
        true
    }

    /// Why calls of this tenant are not made now.
    fn holds_back(&self, tenant: Digest, site: &str, limits: &Limits) -> Option<Problem> {
        let hold = self.held(tenant).map(|_| throttled(site));
        hold.or_else(|| self.breaker.is_open().then(|| self.breaker.problem(site, limits)))
    }

    /// The call that was to find out was served: whatever the backend has asked for is over, but for whom alone it was
    /// asked.
    fn served(&mut self, tenant: Digest, now: Instant) {
        if let Some(hold) = self.hold.take()
            && let Some(of) = hold.of.filter(|of| *of != tenant)
        {
            self.alone.retain(|_, hold| now < hold.until);
            self.alone.insert(of, hold);
        }
        self.bucket.gently(now);
    }

    fn refuse(&mut self, problem: &Problem, vain: impl Fn(&Waiting) -> bool) {
        self.first.refuse(&vain, problem);
        self.refresh.refuse(&vain, problem);
    }
}

enum Door {
    Open,
    /// Somebody has to go first.
    Full,
    /// Opens by itself.
    At(Instant),
}

impl Place {
    async fn wait(&self) -> Result<(), Problem> {
        let clock = self.gate.tools.clock;
        loop {
            let until = {
                let (mut state, now) = (self.gate.lock(), clock.now());
                if self.ticket.word.get().is_none() {
                    state.settle(now, &self.gate.tools);
                }
                match self.ticket.word.get() {
                    Some(Err(problem)) => return Err(problem.clone()),
                    _ if self.patience <= now => return Err(self.in_vain(&state)),
                    Some(Ok(())) => return Ok(()),
                    None => {}
                }
                let own = state.keeper.filter(|(id, _)| *id == self.id);
                own.map_or(self.patience, |(_, when)| when.min(self.patience))
            };
            clock.until(until, self.ticket.bell.notified()).await;
        }
    }

    /// Why a turn did not come in time.
    fn in_vain(&self, state: &State) -> Problem {
        let (site, limits) = (&self.gate.site, &self.gate.tools.limits);
        if let Some(problem) = state.holds_back(self.tenant, site, limits) {
            return problem;
        }
        let own = state.of.get(&self.principal).is_some_and(|own| *own >= limits.per_principal);
        let remedy = if own {
            "kubelet tries again; raise `limits.callsPerPrincipal` if it lasts"
        } else {
            "kubelet tries again; raise `limits.callsInFlight` and `limits.callsPerSecond` if it lasts"
        };
        Problem::new(Reason::Busy, "the turn of this call did not come in time").hop(site).remedy(remedy)
    }

    /// What has become of an attempt that began with this place, which is given back.
    pub(super) fn done<T>(self, result: &Result<T, Fault>, had: Duration, store: &StoreName) {
        let (gate, tools) = (&self.gate, &self.gate.tools);
        let (mut state, now) = (gate.lock(), tools.clock.now());
        let trial = state.trial == Some(self.id);
        let held_before = state.held(self.tenant).is_some_and(|until| now < until);
        let held = match result {
            Err(fault) => state.hold(fault, self.tenant, trial, now, tools),
            Ok(_) => false,
        };
        let sign = sign(result, had);
        let change = match (sign, result) {
            (Sign::Alive, _) => state.breaker.alive(),
            (Sign::Ill, Err(fault)) => {
                state.breaker.failed(now, self.principal, &fault.problem, trial, &tools.limits, &tools.dice)
            }
            _ => Change::None,
        };
        if !held && sign != Sign::Nothing {
            if state.alone.get(&self.tenant).is_some_and(|hold| hold.trial == Some(self.id)) {
                state.alone.remove(&self.tenant);
            }
            if trial && state.hold.is_some() {
                state.served(self.tenant, now);
            }
        }
        match change {
            Change::Opened => state.open_for = Some(store.clone()),
            Change::Closed => state.bucket.gently(now),
            Change::None | Change::Again => {}
        }
        if state.breaker.refuses(now) {
            let problem = state.breaker.problem(&gate.site, &tools.limits);
            state.refuse(&problem, |_| true);
        } else if held && let Some(until) = state.held(self.tenant) {
            let (problem, tenant) = (throttled(&gate.site), self.tenant);
            let others = state.hold.as_ref().map(|hold| hold.others);
            state.refuse(&problem, |waiting| {
                let until = if waiting.tenant == tenant { Some(until) } else { others };
                until.is_some_and(|until| waiting.patience < until)
            });
        }
        let named = if change == Change::Closed { state.open_for.take() } else { state.open_for.clone() };
        drop(state);
        let words = result.as_ref().err().map_or("", |fault| fault.problem.what.as_str());
        gate.tell(change, named.as_ref().unwrap_or(store), words);
        if let (true, false, Err(fault)) = (held, held_before, result) {
            gate.tell_patience(store, fault.retry);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (mut state, now) = (self.gate.lock(), self.gate.tools.clock.now());
        if let Some(Ok(())) = self.ticket.word.get() {
            state.in_flight -= 1;
            if let Some(own) = state.of.get_mut(&self.principal) {
                *own -= 1;
                if *own == 0 {
                    state.of.remove(&self.principal);
                }
            }
            if state.trial == Some(self.id) {
                state.trial = None;
            }
            if let Some(hold) = state.alone.get_mut(&self.tenant)
                && hold.trial == Some(self.id)
            {
                hold.trial = None;
            }
        } else {
            state.line(self.first).remove(self.principal, self.id);
        }
        state.settle(now, &self.gate.tools);
    }
}

/// What an attempt says about its endpoint; `had` is the time that it was given.
fn sign<T>(result: &Result<T, Fault>, had: Duration) -> Sign {
    match result.as_ref().map_err(|fault| fault.problem.reason) {
        Err(Reason::Upstream) if result.as_ref().is_err_and(|fault| fault.answered) => Sign::Alive,
        Ok(_)
        | Err(
            Reason::Invalid
            | Reason::Expired
            | Reason::Login
            | Reason::Forbidden
            | Reason::NotFound
            | Reason::TooLarge
            | Reason::Throttled,
        ) => Sign::Alive,
        Err(Reason::Timeout) if had < FAIR => Sign::Nothing,
        Err(Reason::Unreachable | Reason::Timeout | Reason::Upstream) => Sign::Ill,
        Err(Reason::Policy | Reason::Setup | Reason::Busy | Reason::Bug) => Sign::Nothing,
    }
}

fn throttled(site: &str) -> Problem {
    Problem::new(Reason::Throttled, format!("throttled by {site}"))
        .remedy("kubelet tries again; ask for fewer calls, or for a larger quota")
}

fn full(site: &str) -> Problem {
    Problem::new(Reason::Busy, "as many calls wait for this endpoint as may")
        .hop(site)
        .remedy("kubelet tries again; raise `limits.callsQueued` if it lasts")
}
