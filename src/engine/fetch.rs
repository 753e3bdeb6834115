//! From a permitted plan to its material: one login per principal, one read per object, all or nothing. This is the order
//! of the checks: the pod's token first, then a session of its own, and only then what is kept under its authority.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::account::{Story, Witness};
use super::flight::Boarded;
use super::identity::{Evidence, Principal, at_store, evidence};
use super::keep::{Age, Memory};
use super::objects::Key;
use super::sessions::{Found, usable};
use super::wire::{Errand, short};
use super::{Backend, Engine, bug};
use crate::audit;
use crate::clock::Instant;
use crate::error::{Fault, Problem, Problems, Reason};
use crate::model::{Access, Call, Fetched, Holder, Locator, Material, Source, unwritable};
use crate::policy::PermittedPlan;
use crate::room::{Allowance, Claim};
use crate::store::{self, Session};

/// What one source got, and where from.
#[derive(Clone)]
pub(super) struct Got {
    pub(super) material: Arc<Material>,
    pub(super) source: audit::Source,
    /// What it is kept under, where it is kept.
    pub(super) key: Option<Arc<Key>>,
    /// The room that it takes, where it was just read.
    pub(super) claim: Option<Claim>,
}

/// One mount, as far as fetching goes.
pub(super) struct Visit<'a> {
    pub(super) call: &'a Call,
    pub(super) holder: &'a Holder,
    /// Whether its holder was never given anything.
    pub(super) first: bool,
    /// When it stops waiting.
    pub(super) deadline: Instant,
    pub(super) witness: Witness,
    pub(super) memory: Arc<Memory>,
    /// What its small replies may hold without room.
    allowance: Allowance,
}

/// One object, however many sources of the mount want it.
pub(super) struct Wanted<'a> {
    pub(super) locator: &'a Locator,
    pub(super) age: Age,
    sources: Vec<usize>,
}

/// What a group of sources with one access got, in the order of what it wanted; or why it got nothing.
pub(super) type Group = Result<Vec<Result<Got, Fault>>, Problem>;

impl Engine {
    /// Fetches every source of the plan.
    ///
    /// # Errors
    /// Every object that failed, each named; a login that failed is named once, not for every object behind it.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        permitted: &PermittedPlan,
        call: &Call,
        deadline: Instant,
        story: &mut Story,
    ) -> Result<Vec<Option<Got>>, Problems> {
        let sources = permitted.plan().sources();
        let mut groups: BTreeMap<&Arc<Access>, Vec<usize>> = BTreeMap::new();
        for (index, source) in sources.iter().enumerate() {
            groups.entry(&source.access).or_default().push(index);
        }
        story.reading(groups.keys().map(|access| access.store()));
        let Some(holder) = story.holder() else { return Err(bug().into()) };
        let visit = Visit {
            call,
            holder,
            first: !self.delivered.knows(holder),
            deadline: self.patience(deadline),
            witness: story.witness(),
            memory: self.memory(),
            allowance: Allowance::default(),
        };
        let groups: Vec<_> = groups
            .into_iter()
            .map(|(access, indexes)| (access, self.wanted(access, indexes, sources)))
            .collect();
        let reads = groups.iter().map(|(access, wanted)| self.group(&visit, access, wanted, deadline));
        let mut answers: Vec<Option<Got>> = vec![None; sources.len()];
        let mut problems = Vec::new();
        for (result, (_, wanted)) in join_all(reads).await.into_iter().zip(&groups) {
            match result {
                Err(problem) => problems.push(problem),
                Ok(results) => settle(results, wanted, sources, &mut answers, &mut problems),
            }
        }
        if !problems.is_empty() {
            let materials = answers.iter().map(|got| got.as_ref().map(|got| Arc::clone(&got.material)));
            let some = Fetched::new(permitted.plan(), materials.collect());
            problems.extend(some.iter().flat_map(|some| unwritable(permitted.plan(), some)));
        }
        Problems::check(problems)?;
        story.got(&answers);
        Ok(answers)
    }

    /// A little less than the caller's time, so that there is some left for what is done when a store says nothing.
    fn patience(&self, deadline: Instant) -> Instant {
        let now = self.parts.clock.now();
        let left = deadline - now;
        now + (left - (left / 10).min(LAST_WORDS))
    }

    /// The memory of all mounts, or an empty one.
    fn memory(&self) -> Arc<Memory> {
        if self.parts.limits.keep.stateless {
            Arc::new(Memory::new(&self.parts.limits.keep, &self.parts.metrics))
        } else {
            Arc::clone(&self.memory)
        }
    }

    fn wanted<'a>(&self, access: &Access, indexes: Vec<usize>, sources: &'a [Source]) -> Vec<Wanted<'a>> {
        let backend = self.backends.get(access.store());
        let (configured, usual) =
            backend.map_or((None, Duration::ZERO), |backend| (backend.fresh, backend.manners.fresh));
        let mut all: BTreeMap<&Locator, Wanted<'a>> = BTreeMap::new();
        for index in indexes {
            let Source { locator, want, .. } = &sources[index];
            let age = self.parts.limits.keep.age(want.fresh, configured, usual);
            let wanted = all.entry(locator).or_insert_with(|| Wanted { locator, age, sources: Vec::new() });
            wanted.age = wanted.age.and(age);
            wanted.sources.push(index);
        }
        all.into_values().collect()
    }

    async fn group(
        self: &Arc<Self>,
        visit: &Visit<'_>,
        access: &Arc<Access>,
        wanted: &[Wanted<'_>],
        deadline: Instant,
    ) -> Group {
        let Some(backend) = self.backends.get(access.store()) else {
            let what = "a plan names a store that is not there";
            return Err(Problem::new(Reason::Bug, what).object(access.store().as_str()));
        };
        let scope = backend.store.scope(access);
        let issues = self.parts.issuer.is_some();
        let evidence = evidence(scope, access, visit.call, issues, self.parts.clock.wall())?;
        if backend.manners.fresh.is_zero() {
            return self.direct(visit, backend, access, &evidence, wanted, deadline).await;
        }
        let principal = Principal::of(access, scope, visit.call, &self.digests);
        let (memory, first) = (Arc::clone(&visit.memory), visit.first);
        let (backend, allowance) = (Arc::clone(backend), visit.allowance.clone());
        let errand = Errand { backend, principal, memory, first, allowance };
        match self.session(visit, &errand, &evidence).await {
            Ok(session) => self.objects(visit, &errand, session, &evidence, wanted).await,
            Err(fault) => self.without(visit, &errand, wanted, fault),
        }
    }

    /// A store of whose answers nothing is kept, since asking costs nothing: it is asked right here.
    async fn direct(
        self: &Arc<Self>,
        visit: &Visit<'_>,
        backend: &Backend,
        access: &Access,
        evidence: &Evidence,
        wanted: &[Wanted<'_>],
        deadline: Instant,
    ) -> Group {
        let cx = store::Cx { deadline, ..self.cx(deadline, &visit.allowance) };
        let proof = self.proof(evidence, &visit.memory, visit.first, visit.deadline).await;
        let proof = proof.map_err(|fault| at_store(fault.problem, access))?;
        let login = backend.store.authenticate(&cx, access, proof.lend()).await;
        let session = login.map_err(|fault| at_store(fault.problem, access))?;
        let locators: Vec<Locator> = wanted.iter().map(|wanted| wanted.locator.clone()).collect();
        let results = backend.store.fetch(&cx, &session, access, &locators).await;
        if results.len() != wanted.len() {
            return Err(at_store(short(), access));
        }
        let got = |material| Got {
            material: Arc::new(material),
            source: audit::Source::Backend,
            key: None,
            claim: Some(cx.claim.clone()),
        };
        Ok(results.into_iter().map(|result| result.map(got)).collect())
    }

    /// A session of the principal's own: the one that is kept, the one that is on its way, or a new one.
    pub(super) async fn session(
        self: &Arc<Self>,
        visit: &Visit<'_>,
        errand: &Errand,
        evidence: &Evidence,
    ) -> Result<Arc<Session>, Fault> {
        let (sessions, principal) = (&errand.memory.sessions, &errand.principal);
        let log_in = |landing| self.log_in(errand.clone(), evidence.clone(), visit.witness.clone(), landing);
        let find = || sessions.find(principal, visit.first, self.parts.clock.now());
        match find() {
            Found::Session { session, due } => {
                if due && let Boarded::Lead(landing) = sessions.board(principal) {
                    drop(log_in(Some(landing)));
                }
                return Ok(session);
            }
            Found::Refused(fault) => {
                errand.backend.figures.cache.negative.inc();
                return Err(fault);
            }
            Found::Nothing => {}
        }
        let landing = match sessions.board(principal) {
            Boarded::Lead(landing) => landing,
            Boarded::Join(waiting) => {
                let login = self.parts.clock.until(visit.deadline, waiting).await;
                let in_vain = || self.in_vain(principal);
                let session = login.ok_or_else(in_vain)?.map_err(|_| Fault::never(bug()))??;
                // A session that is over at once is good for the mount alone that made it.
                if usable(&session, self.parts.clock.now()) {
                    return Ok(session);
                }
                return self.wait(visit, errand, log_in(None)).await?;
            }
        };
        match find() {
            Found::Session { session, .. } => {
                landing.land(Ok(Arc::clone(&session)));
                Ok(session)
            }
            Found::Refused(fault) => {
                landing.land(Err(fault.clone()));
                Err(fault)
            }
            Found::Nothing => self.wait(visit, errand, log_in(Some(landing))).await?,
        }
    }

    /// Waits for work on another task as long as the mount has time. The work goes on without it.
    pub(super) async fn wait<T>(
        &self,
        visit: &Visit<'_>,
        errand: &Errand,
        work: JoinHandle<T>,
    ) -> Result<T, Fault> {
        let done = self.parts.clock.until(visit.deadline, work).await;
        done.ok_or_else(|| self.in_vain(&errand.principal))?.map_err(|_| Fault::never(bug()))
    }
}

/// What is kept of a mount's time for what comes after its reads.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Gives each source its object. An optional one may be absent. Forbidden is never taken for absent.
fn settle(
    results: Vec<Result<Got, Fault>>,
    wanted: &[Wanted<'_>],
    sources: &[Source],
    answers: &mut [Option<Got>],
    problems: &mut Vec<Problem>,
) {
    for (result, wanted) in results.into_iter().zip(wanted) {
        for index in &wanted.sources {
            match &result {
                Ok(got) => answers[*index] = Some(got.clone()),
                Err(fault) if fault.problem.reason == Reason::NotFound && sources[*index].want.optional => {}
                Err(fault) => problems.push(fault.problem.clone().object(sources[*index].label())),
            }
        }
    }
}
