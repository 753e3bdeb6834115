//! From a permitted plan to its material: one login per access, one read per object, all or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;

use super::Engine;
use super::account::Story;
use crate::clock::{Instant, Wall};
use crate::error::{Fault, Problem, Problems, Reason};
use crate::model::token::LEEWAY;
use crate::model::{Access, Audience, Call, Fetched, Locator, Material, Source, Token};
use crate::policy::PermittedPlan;
use crate::store::{Cx, Proof, Scope, Store};

impl Engine {
    /// Fetches every source of the plan.
    ///
    /// # Errors
    /// Every object that failed, each named; a login that failed is named once, not for every object behind it.
    pub(super) async fn fetch(
        &self,
        permitted: &PermittedPlan,
        call: &Call,
        deadline: Instant,
        story: &mut Story,
    ) -> Result<Fetched, Problems> {
        let plan = permitted.plan();
        let mut groups: BTreeMap<&Access, Vec<usize>> = BTreeMap::new();
        for (index, source) in plan.sources().iter().enumerate() {
            groups.entry(&source.access).or_default().push(index);
        }
        story.reading(groups.keys().map(|access| access.store()));
        let cx = Cx {
            clock: self.parts.clock,
            deadline,
            digests: Arc::clone(&self.digests),
            claim: self.room.claim(),
        };
        let reads =
            groups.iter().map(|(access, indexes)| self.read(&cx, access, indexes, plan.sources(), call));
        let mut answers: Vec<Option<Material>> = vec![None; plan.sources().len()];
        let mut problems = Vec::new();
        for read in join_all(reads).await {
            match read {
                Err(problem) => problems.push(problem),
                Ok(results) => {
                    for (index, result) in results {
                        match settle(&plan.sources()[index], result) {
                            Ok(material) => answers[index] = material,
                            Err(problem) => problems.push(problem),
                        }
                    }
                }
            }
        }
        Problems::check(problems)?;
        story.got(&answers);
        let count = Problem::new(Reason::Bug, "the store's answers do not fit the plan");
        Fetched::new(plan, answers).ok_or_else(|| count.into())
    }

    async fn read(
        &self,
        cx: &Cx,
        access: &Access,
        indexes: &[usize],
        sources: &[Source],
        call: &Call,
    ) -> Result<Vec<(usize, Result<Material, Fault>)>, Problem> {
        let store = self.parts.stores.get(access.store()).ok_or_else(|| {
            Problem::new(Reason::Bug, "a plan names a store that is not there")
                .object(access.store().as_str())
        })?;
        let proof = proof(&**store, access, call, cx.clock.wall())?;
        let session =
            store.authenticate(cx, access, proof).await.map_err(|fault| at_store(fault.problem, access))?;
        let mut wanted: Vec<Locator> = indexes.iter().map(|index| sources[*index].locator.clone()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let results = store.fetch(cx, &session, access, &wanted).await;
        if results.len() != wanted.len() {
            return Err(at_store(
                Problem::new(Reason::Bug, "the store answered fewer objects than it was asked for"),
                access,
            ));
        }
        let found: BTreeMap<&Locator, Result<Material, Fault>> = wanted.iter().zip(results).collect();
        Ok(indexes
            .iter()
            .filter_map(|index| Some((*index, found.get(&sources[*index].locator)?.clone())))
            .collect())
    }
}

/// What a login is made with, as the store's scope wants it.
fn proof<'a>(store: &dyn Store, access: &Access, call: &'a Call, now: Wall) -> Result<Proof<'a>, Problem> {
    match (store.scope(access), access.audience()) {
        (Scope::Pod | Scope::Account, Some(audience)) => token(call, audience, now)
            .map(|token| Proof::Token(token, &call.subject))
            .map_err(|p| at_store(p, access)),
        (Scope::Pod | Scope::Account, None) => Ok(Proof::Subject(&call.subject)),
        (Scope::Publish, _) => call.publish.as_ref().map(Proof::Publish).ok_or_else(|| {
            let what = "the pod's volume names no `nodePublishSecretRef`";
            at_store(
                Problem::new(Reason::Setup, what).remedy("name the Secret with the credentials there"),
                access,
            )
        }),
        (Scope::Node, _) => Ok(Proof::Node),
    }
}

/// The pod's token for an audience, judged by its own word: a backend is not bothered with one that is past its end.
fn token<'a>(call: &'a Call, audience: &Audience, now: Wall) -> Result<&'a Token, Problem> {
    let Some(token) = call.tokens.get(audience) else {
        let there: Vec<&str> = call.tokens.audiences().map(Audience::as_str).collect();
        let there =
            if there.is_empty() { "it has none".to_owned() } else { format!("it has {}", there.join(", ")) };
        let what = format!("the CSIDriver's tokenRequests lack audience `{audience}`");
        return Err(Problem::new(Reason::Setup, what).remedy(format!(
            "add `- audience: {audience}` to `tokenRequests` of CSIDriver `secrets-store.csi.k8s.io`; {there}"
        )));
    };
    let clocks =
        "kubelet brings a new one by itself; if this lasts, compare the clocks of node and API server";
    if token.claims.expires.is_some_and(|end| end.plus(LEEWAY) <= now) {
        let what = format!("the pod's token for audience `{audience}` has expired");
        return Err(Problem::new(Reason::Expired, what).remedy(clocks));
    }
    if token.claims.not_before.is_some_and(|start| now.plus(LEEWAY) < start) {
        let what = format!("the pod's token for audience `{audience}` is not valid yet");
        return Err(Problem::new(Reason::Expired, what).remedy(clocks));
    }
    Ok(token)
}

/// An optional object may be absent. Forbidden is never taken for absent.
fn settle(source: &Source, result: Result<Material, Fault>) -> Result<Option<Material>, Problem> {
    match result {
        Ok(material) => Ok(Some(material)),
        Err(fault) if source.want.optional && fault.problem.reason == Reason::NotFound => Ok(None),
        Err(fault) => Err(fault.problem.object(source.label())),
    }
}

fn at_store(problem: Problem, access: &Access) -> Problem {
    if problem.place.object.is_some() {
        problem
    } else {
        problem.object(format!("store `{}`", access.store()))
    }
}
