//! The objects of one session: kept, on their way for another mount, or read now; and the last good of them while the
//! store is out.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};

use super::fetch::{Got, Group, Visit, Wanted};
use super::flight::{Boarded, Waiting};
use super::identity::{Evidence, at_store};
use super::objects::{Key, Landed};
use super::sessions::Found;
use super::wire::{Answer, Errand, Reading, is_denial};
use super::{Engine, bug};
use crate::audit;
use crate::error::{Fault, Reason, Retry};
use crate::model::Material;
use crate::store::{Authority, Session};

/// How a mount comes by an object.
enum Step {
    /// It is kept, and fresh.
    Kept(Arc<Material>),
    /// Another mount reads it.
    Wait(Waiting<Landed>),
    /// This one does.
    Read(Reading),
    /// It was denied a moment ago.
    Denied(Fault),
}

/// What has become of each object so far.
type Results = Vec<Option<Result<Got, Fault>>>;

impl Engine {
    /// Every object, through a session of the caller's own.
    pub(super) async fn objects(
        self: &Arc<Self>,
        visit: &Visit<'_>,
        errand: &Errand,
        mut session: Arc<Session>,
        evidence: &Evidence,
        wanted: &[Wanted<'_>],
    ) -> Group {
        let mut keys = keys(errand, session.authority, wanted);
        let mut results: Results = vec![None; keys.len()];
        let (mut readings, mut waits) = (Vec::new(), Vec::new());
        for (index, (key, wanted)) in keys.iter().zip(wanted).enumerate() {
            match self.step(errand, key, wanted) {
                Step::Kept(material) => results[index] = Some(Ok(kept(material, key, audit::Source::Cache))),
                Step::Wait(waiting) => waits.push((index, waiting)),
                Step::Read(reading) => readings.push((index, reading)),
                Step::Denied(fault) => results[index] = Some(Err(fault)),
            }
        }
        let (reads, waits) =
            join(self.read_all(visit, errand, &session, readings), self.await_all(visit, errand, waits))
                .await;
        let mut again = joined(&mut results, waits, &keys);
        let mut doubted = took(&mut results, reads, &keys);
        // One login over a doubt or a denial is all that a mount may cost.
        let mut renewed = false;
        loop {
            let (sessions, now) = (&errand.memory.sessions, self.parts.clock.now());
            let denied = denied(&results);
            if renewed {
            } else if !doubted.is_empty() && sessions.expel(&errand.principal, &session, now) {
                renewed = true;
                session = match self.session(visit, errand, evidence).await {
                    Ok(session) => session,
                    Err(fault) => return self.without(visit, errand, wanted, fault),
                };
                keys = self::keys(errand, session.authority, wanted);
                again.append(&mut doubted);
            } else if !denied.is_empty() && sessions.is_outdated(&errand.principal, &session, now) {
                renewed = true;
                if let Some(other) = self.another(visit, errand, evidence, &session).await {
                    session = other;
                    keys = self::keys(errand, session.authority, wanted);
                    again.extend(denied);
                }
            }
            if again.is_empty() {
                break;
            }
            let readings = again.drain(..).map(|index| (index, alone(&keys[index]))).collect();
            let reads = self.read_all(visit, errand, &session, readings).await;
            doubted = took(&mut results, reads, &keys);
        }
        let settled = results.into_iter().zip(keys.iter().zip(wanted)).map(|(result, (key, wanted))| {
            let result = result.unwrap_or_else(|| Err(Fault::never(bug())));
            result.or_else(|fault| self.stale(visit, errand, key, wanted, &fault).ok_or(fault))
        });
        Ok(settled.collect())
    }

    /// A session of another authority than this one, which is denied something: the one that has taken its place already, or
    /// a new one. If there is none, this one goes on: the backend knows it, and what was issued through it.
    async fn another(
        self: &Arc<Self>,
        visit: &Visit<'_>,
        errand: &Errand,
        evidence: &Evidence,
        denied: &Arc<Session>,
    ) -> Option<Arc<Session>> {
        let sessions = &errand.memory.sessions;
        let other = match sessions.find(&errand.principal, visit.first, self.parts.clock.now()) {
            Found::Session { session, .. } if !Arc::ptr_eq(&session, denied) => session,
            Found::Session { .. } | Found::Refused(_) | Found::Nothing => {
                let login = match sessions.board(&errand.principal) {
                    Boarded::Join(waiting) => self.parts.clock.until(visit.deadline, waiting).await?.ok()?,
                    Boarded::Lead(landing) => {
                        let witness = visit.witness.clone();
                        let login = self.log_in(errand.clone(), evidence.clone(), witness, Some(landing));
                        self.wait(visit, errand, login).await.ok()?
                    }
                };
                login.ok()?
            }
        };
        (other.authority != denied.authority).then_some(other)
    }

    fn step(&self, errand: &Errand, key: &Arc<Key>, wanted: &Wanted<'_>) -> Step {
        let (objects, figures) = (&errand.memory.objects, &errand.backend.figures.cache);
        let find = || objects.find(key, wanted.age, Duration::ZERO, self.parts.clock.now());
        if let Some(material) = find() {
            figures.hit.inc();
            return Step::Kept(material);
        }
        if let Some(fault) = objects.denied(key, errand.first, self.parts.clock.now()) {
            figures.negative.inc();
            return Step::Denied(fault);
        }
        if wanted.age.none() || self.issued.knows(&key.access, &key.locator) {
            figures.miss.inc();
            return Step::Read(alone(key));
        }
        match objects.board(key) {
            Boarded::Join(waiting) => {
                figures.shared.inc();
                Step::Wait(waiting)
            }
            Boarded::Lead(landing) => match find() {
                Some(material) => {
                    figures.hit.inc();
                    landing.land(Landed::Material(Arc::clone(&material), self.room.claim()));
                    Step::Kept(material)
                }
                None => {
                    figures.miss.inc();
                    Step::Read(Reading { key: Arc::clone(key), landing: Some(landing) })
                }
            },
        }
    }

    /// Reads in as many batches as the store's manners ask for, all at once.
    async fn read_all(
        self: &Arc<Self>,
        visit: &Visit<'_>,
        errand: &Errand,
        session: &Arc<Session>,
        readings: Vec<(usize, Reading)>,
    ) -> Vec<(usize, Answer)> {
        let size = errand.backend.manners.batch.max(1);
        let mut readings = readings.into_iter().peekable();
        let mut batches = Vec::new();
        while readings.peek().is_some() {
            let (indexes, batch): (Vec<_>, Vec<_>) = readings.by_ref().take(size).unzip();
            let work = self.read(errand.clone(), Arc::clone(session), batch);
            batches.push(async move {
                match self.wait(visit, errand, work).await {
                    Ok(answers) => indexes.into_iter().zip(answers).collect::<Vec<_>>(),
                    Err(fault) => indexes.into_iter().map(|index| (index, Err(fault.clone()))).collect(),
                }
            });
        }
        join_all(batches).await.into_iter().flatten().collect()
    }

    async fn await_all(
        &self,
        visit: &Visit<'_>,
        errand: &Errand,
        waits: Vec<(usize, Waiting<Landed>)>,
    ) -> Vec<(usize, Landed)> {
        let clock = &self.parts.clock;
        join_all(waits.into_iter().map(async |(index, waiting)| {
            let landed = match clock.until(visit.deadline, waiting).await {
                None => Landed::Fault(self.in_vain(&errand.principal)),
                Some(landed) => landed.unwrap_or_else(|_| Landed::Fault(Fault::never(bug()))),
            };
            (index, landed)
        }))
        .await
    }

    /// What is left where the login failed: all objects as they last were, or the login's problem, once.
    pub(super) fn without(
        &self,
        visit: &Visit<'_>,
        errand: &Errand,
        wanted: &[Wanted<'_>],
        fault: Fault,
    ) -> Group {
        let authority = errand.memory.sessions.last(&errand.principal, self.parts.clock.now());
        let last = authority.and_then(|authority| {
            let keys = keys(errand, authority, wanted);
            let last = keys.iter().zip(wanted);
            last.map(|(key, wanted)| self.stale(visit, errand, key, wanted, &fault).map(Ok)).collect()
        });
        last.ok_or_else(|| at_store(fault.problem, &errand.principal.access))
    }

    /// The last good, where this very holder was given it and the fault is an outage: not about permission, nor about the
    /// object.
    fn stale(
        &self,
        visit: &Visit<'_>,
        errand: &Errand,
        key: &Arc<Key>,
        wanted: &Wanted<'_>,
        fault: &Fault,
    ) -> Option<Got> {
        let (keep, now) = (&self.parts.limits.keep, self.parts.clock.now());
        if !is_outage(fault.problem.reason) || !(keep.stale_first || self.delivered.has(visit.holder, key)) {
            return None;
        }
        let material = errand.memory.objects.find(key, wanted.age, keep.stale_max, now)?;
        errand.backend.figures.cache.stale.inc();
        self.outages.begin(&key.access, fault.problem.reason, now);
        Some(kept(material, key, audit::Source::Stale))
    }
}

/// The objects that the backend denies.
fn denied(results: &Results) -> Vec<usize> {
    let denied = |result: &Option<Result<Got, Fault>>| matches!(result, Some(Err(fault)) if is_denial(fault));
    results.iter().enumerate().filter(|(_, result)| denied(result)).map(|(index, _)| index).collect()
}

/// What each object is kept under.
fn keys(errand: &Errand, authority: Authority, wanted: &[Wanted<'_>]) -> Vec<Arc<Key>> {
    let access = &errand.principal.access;
    let key = |wanted: &Wanted<'_>| {
        Arc::new(Key { authority, access: Arc::clone(access), locator: wanted.locator.clone() })
    };
    wanted.iter().map(key).collect()
}

/// A read that nobody else waits for.
fn alone(key: &Arc<Key>) -> Reading {
    Reading { key: Arc::clone(key), landing: None }
}

fn kept(material: Arc<Material>, key: &Arc<Key>, source: audit::Source) -> Got {
    Got { material, source, key: Some(Arc::clone(key)), claim: None }
}

/// Takes what was read; hands back the objects whose session was not believed.
fn took(results: &mut Results, reads: Vec<(usize, Answer)>, keys: &[Arc<Key>]) -> Vec<usize> {
    let mut doubted = Vec::new();
    for (index, answer) in reads {
        if answer.as_ref().is_err_and(|fault| fault.retry == Retry::Login) {
            doubted.push(index);
        }
        results[index] = Some(answer.map(|(material, claim)| {
            let key = material.kind.shared().then(|| Arc::clone(&keys[index]));
            Got { material, source: audit::Source::Backend, key, claim: Some(claim) }
        }));
    }
    doubted
}

/// Takes what others read; hands back the objects that this mount has to read for itself: those that are nobody else's,
/// and those for which somebody else's session was not believed.
fn joined(results: &mut Results, waits: Vec<(usize, Landed)>, keys: &[Arc<Key>]) -> Vec<usize> {
    let mut again = Vec::new();
    for (index, landed) in waits {
        match landed {
            Landed::Material(material, claim) => {
                let got = kept(material, &keys[index], audit::Source::Cache);
                results[index] = Some(Ok(Got { claim: Some(claim), ..got }));
            }
            Landed::Alone => again.push(index),
            Landed::Fault(fault) if fault.retry == Retry::Login => again.push(index),
            Landed::Fault(fault) => results[index] = Some(Err(fault)),
        }
    }
    again
}

fn is_outage(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Throttled | Reason::Unreachable | Reason::Timeout | Reason::Upstream | Reason::Busy
    )
}
