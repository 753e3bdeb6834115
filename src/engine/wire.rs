//! What goes out to a backend: logins and reads, each on a task of the engine's own. Whoever waits may leave; what was
//! sent goes on, and its result is kept before it is handed to anybody. An operation's time is its own too: `operation`
//! from its beginning, however long those may wait who asked for it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

use super::account::Witness;
use super::budget::{Turn, Work};
use super::flight::Landing;
use super::identity::{Evidence, Principal, Proof};
use super::keep::Memory;
use super::objects::{self, Key, Landed};
use super::sessions::Login;
use super::{Backend, Engine, bug, crowded};
use crate::clock::Instant;
use crate::error::{Fault, Problem, Reason, Retry};
use crate::model::{Locator, Material};
use crate::room::{Allowance, Claim};
use crate::store::{Cx, Revoke, Session};

/// For whom something goes out, and where its result is kept.
#[derive(Clone)]
pub(super) struct Errand {
    pub(super) backend: Arc<Backend>,
    pub(super) principal: Arc<Principal>,
    pub(super) memory: Arc<Memory>,
    /// Whether a pod may be waiting to start.
    pub(super) first: bool,
    /// What the mount's small replies may still hold without room.
    pub(super) allowance: Allowance,
}

/// One object to read, with those who wait for it too.
pub(super) struct Reading {
    pub(super) key: Arc<Key>,
    pub(super) landing: Option<Landing<Arc<Key>, Landed>>,
}

/// What a read brought, and the room that it takes.
pub(super) type Answer = Result<(Arc<Material>, Claim), Fault>;

impl Engine {
    /// Logs in.
    pub(super) fn log_in(
        self: &Arc<Self>,
        errand: Errand,
        evidence: Evidence,
        witness: Witness,
        landing: Option<Landing<Arc<Principal>, Login>>,
    ) -> JoinHandle<Login> {
        let engine = Arc::clone(self);
        self.work.spawn(async move {
            let (login, spare) = engine.login(&errand, &evidence, &witness).await;
            if let Some(landing) = landing {
                landing.land(login.clone());
            }
            if let (true, Ok(session)) = (spare, &login) {
                let (engine, errand, session) = (Arc::clone(&engine), errand.clone(), Arc::clone(session));
                engine.work.clone().spawn(async move { engine.log_out(&errand, &session).await });
            }
            login
        })
    }

    /// Ends a session that nothing was asked through. If that fails, its own end will.
    async fn log_out(&self, errand: &Errand, session: &Session) {
        let cx = self.cx(self.parts.clock.now(), &errand.allowance);
        let turn = Turn { first: false, ..self.turn(errand, &cx, Work::Exchange) };
        let (store, access) = (&errand.backend.store, &errand.principal.access);
        let attempts = self.budgets.attempt(&turn, || store.revoke(&cx, session, access, Revoke::Session));
        if self.parts.clock.until(cx.deadline, attempts).await.is_none_or(|ended| ended.is_err()) {
            tracing::debug!(store = %access.store(), "a session that is not needed was left to its end");
        }
    }

    /// And whether the session is to spare, since the one that is there is as good.
    async fn login(
        self: &Arc<Self>,
        errand: &Errand,
        evidence: &Evidence,
        witness: &Witness,
    ) -> (Login, bool) {
        let started = self.parts.clock.now();
        let (access, cx) = (&errand.principal.access, self.cx(started, &errand.allowance));
        let turn = self.turn(errand, &cx, Work::Exchange);
        let store = &errand.backend.store;
        let mut shown = None;
        let attempts = async {
            let proof = self.proof(evidence, &errand.memory, errand.first, cx.deadline).await?;
            shown = proof.id().map(str::to_owned);
            self.budgets.attempt(&turn, || store.authenticate(&cx, access, proof.lend())).await
        };
        let login = self.parts.clock.until(cx.deadline, attempts).await.unwrap_or_else(|| Err(slow()));
        let login = login.map(Arc::new);
        let now = self.parts.clock.now();
        let figures = &errand.backend.figures;
        let reason = login.as_ref().err().map(|fault| fault.problem.reason);
        figures.login(reason);
        if reason.is_none() {
            self.outages.end(access, now);
        }
        let spare = errand.memory.sessions.record(&errand.principal, &login, figures.session_kept(), now);
        self.login_line(witness, access, shown.as_deref(), reason, now - started).await;
        (login, spare)
    }

    /// What a login is made with, for which a token may have to be asked for.
    pub(super) async fn proof(
        self: &Arc<Self>,
        evidence: &Evidence,
        memory: &Arc<Memory>,
        first: bool,
        deadline: Instant,
    ) -> Result<Proof, Fault> {
        match evidence {
            Evidence::Given(proof) => Ok(proof.clone()),
            Evidence::Asked(wanted) => {
                let token = self.mint(wanted, memory, first, deadline).await?;
                Ok(Proof::Token(token, wanted.subject.clone()))
            }
        }
    }

    /// Reads objects of one session, all at once. The answers stand in the same order.
    pub(super) fn read(
        self: &Arc<Self>,
        errand: Errand,
        session: Arc<Session>,
        readings: Vec<Reading>,
    ) -> JoinHandle<Vec<Answer>> {
        let engine = Arc::clone(self);
        self.work.spawn(async move {
            let asked = engine.parts.clock.now();
            let keys: Vec<Arc<Key>> = readings.iter().map(|reading| Arc::clone(&reading.key)).collect();
            let (results, claim) = engine.fetch_all(&errand, &session, &keys, asked).await;
            let one = |(reading, result): (Reading, Result<Material, Fault>)| {
                engine.arrive(&errand, reading, result, &claim, asked)
            };
            readings.into_iter().zip(results).map(one).collect()
        })
    }

    /// One answer for each key, with as many attempts as the budget gives.
    async fn fetch_all(
        &self,
        errand: &Errand,
        session: &Session,
        keys: &[Arc<Key>],
        asked: Instant,
    ) -> (Vec<Result<Material, Fault>>, Claim) {
        let cx = self.cx(asked, &errand.allowance);
        let harmless = keys.iter().all(|key| errand.memory.objects.knows(key));
        let turn = self.turn(errand, &cx, Work::Read { harmless });
        let results = Mutex::new(keys.iter().map(|_| None).collect());
        let attempts = self.budgets.attempt(&turn, || attempt(errand, &cx, session, keys, &results));
        let end = self.parts.clock.until(cx.deadline, attempts).await.unwrap_or_else(|| Err(slow()));
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        // The budget has the last word on an attempt, and its own where there was none; but what the store said of one object
        // is told of no other.
        let is = |last: &Fault, result: &Result<Material, Fault>| {
            result.as_ref().is_err_and(|fault| fault.problem == last.problem)
        };
        let budgets =
            end.as_ref().is_err_and(|last| !results.iter().flatten().any(|result| is(last, result)));
        let settled = results.into_iter().map(|result| match (result, &end) {
            (Some(Err(fault)), Err(last)) if budgets && fault.problem.reason == last.problem.reason => {
                Err(last.clone())
            }
            (Some(result), _) => result,
            (None, Err(last)) => Err(last.clone()),
            (None, Ok(())) => Err(Fault::never(bug())),
        });
        let mut results: Vec<_> = settled.collect();
        self.house(&mut results, &cx).await;
        (results, cx.claim)
    }

    /// Takes room for what objects are larger than their replies were: a reply of many tiny fields is a small part of
    /// what it becomes. What was issued is handed over all the same, since it is not to be had again.
    async fn house(&self, results: &mut [Result<Material, Fault>], cx: &Cx) {
        let beyond = |material: &Material| {
            objects::size(material) - material.parts.iter().map(|part| part.body.len()).sum::<usize>()
        };
        let bytes = results.iter().flatten().map(beyond).sum();
        if (bytes <= Claim::FREE && cx.claim.is_free(bytes))
            || self.parts.clock.until(cx.deadline, cx.claim.take(bytes)).await == Some(true)
        {
            return;
        }
        for result in results {
            if result.as_ref().is_ok_and(|material| material.kind.shared()) {
                *result = Err(Fault::never(crowded()));
            }
        }
    }

    /// Keeps what came and hands it to those who waited for it.
    fn arrive(
        &self,
        errand: &Errand,
        reading: Reading,
        result: Result<Material, Fault>,
        claim: &Claim,
        asked: Instant,
    ) -> Answer {
        let (key, objects) = (&reading.key, &errand.memory.objects);
        let now = self.parts.clock.now();
        let answer = result.map(|material| (Arc::new(material), claim.clone()));
        let landed = match &answer {
            Ok((material, claim)) => {
                self.outages.end(&key.access, now);
                objects.allow(key);
                if material.kind.shared() {
                    objects.record(key, material, asked);
                    self.issued.forget(&key.access, &key.locator);
                    Landed::Material(Arc::clone(material), claim.clone())
                } else {
                    objects.forget(key);
                    self.issued.note(&key.access, &key.locator, now);
                    Landed::Alone
                }
            }
            Err(fault) => {
                if fault.problem.reason.is_refusal() && fault.retry != Retry::Login {
                    objects.forget(key);
                }
                if is_denial(fault) {
                    objects.deny(key, fault, now);
                }
                Landed::Fault(fault.clone())
            }
        };
        if let Some(landing) = reading.landing {
            landing.land(landed);
        }
        answer
    }

    /// What an operation that begins now may use.
    pub(super) fn cx(&self, now: Instant, allowance: &Allowance) -> Cx {
        Cx {
            clock: self.parts.clock,
            deadline: now + self.parts.limits.keep.operation,
            digests: Arc::clone(&self.digests),
            claim: self.room.claim_of(allowance),
        }
    }

    fn turn<'a>(&self, errand: &'a Errand, cx: &Cx, work: Work) -> Turn<'a> {
        let access = &errand.principal.access;
        Turn {
            store: access.store(),
            endpoint: access.endpoints().next(),
            principal: errand.principal.digest(&self.digests),
            tenant: errand.principal.tenant(&self.digests),
            first: errand.first,
            deadline: cx.deadline,
            work,
        }
    }
}

/// Asks for every object that has no answer yet that stands. The gravest fault among the new ones decides about another
/// attempt.
async fn attempt(
    errand: &Errand,
    cx: &Cx,
    session: &Session,
    keys: &[Arc<Key>],
    results: &Mutex<Vec<Option<Result<Material, Fault>>>>,
) -> Result<(), Fault> {
    let results = || results.lock().unwrap_or_else(PoisonError::into_inner);
    let open: Vec<usize> =
        results().iter().enumerate().filter(|(_, result)| again(result)).map(|(at, _)| at).collect();
    let wanted: Vec<Locator> = open.iter().map(|index| keys[*index].locator.clone()).collect();
    let answers = errand.backend.store.fetch(cx, session, &errand.principal.access, &wanted).await;
    if answers.len() != wanted.len() {
        return Err(Fault::never(short()));
    }
    let mut results = results();
    for (index, answer) in open.into_iter().zip(answers) {
        results[index] = Some(answer);
    }
    let open = results.iter().filter(|result| again(result));
    let faults = open.filter_map(|result| result.as_ref()?.as_ref().err());
    faults.max_by_key(|fault| fault.doubtful).map_or(Ok(()), |fault| Err(fault.clone()))
}

/// Whether the backend knows who asks, and denies it all the same.
pub(super) fn is_denial(fault: &Fault) -> bool {
    fault.problem.reason == Reason::Forbidden && fault.retry == Retry::Never
}

/// Whether an object has no answer yet that stands.
fn again(result: &Option<Result<Material, Fault>>) -> bool {
    match result {
        None => true,
        Some(Ok(_)) => false,
        Some(Err(fault)) => matches!(fault.retry, Retry::Backoff | Retry::After(_)),
    }
}

impl Engine {
    /// What a mount ends in that waited in vain for something on its way to a backend: if that is held back, why.
    pub(super) fn in_vain(&self, principal: &Principal) -> Fault {
        let Some(endpoint) = principal.access.endpoints().next() else { return slow() };
        match self.budgets.holds_back(endpoint, principal.tenant(&self.digests)) {
            Some(problem) => Fault::never(problem),
            None => {
                let Fault { problem, .. } = slow();
                Fault::never(problem.hop(endpoint.address.site()))
            }
        }
    }
}

/// What an operation ends in once its time is over.
pub(super) fn slow() -> Fault {
    let what = "the store did not answer within the time that there is";
    Fault::never(Problem::new(Reason::Timeout, what).remedy("look at its state, and at the way to it"))
}

/// What a store ends in that does not answer each question.
pub(super) fn short() -> Problem {
    Problem::new(Reason::Bug, "the store answered fewer objects than it was asked for")
}
