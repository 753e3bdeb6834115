//! The administrator's policy: where a class may lead, whose audiences go where, and which namespaces and service
//! accounts may use which stores, objects and roles. Judged at every mount before anything is resolved, connected or
//! fetched, on the one canonical spelling of an object.

mod audience;
mod rule;
mod site;
mod violation;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::error::{Problem, Problems};
use crate::model::{Catalog, Plan, Source, StoreName, Subject};
pub use audience::is_api_servers;
pub use rule::{Pattern, Rule, Rules};
pub use site::Site;

use self::violation::Violation;

/// What the administrator allows. The default lists nothing and has no rules.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Where a class may lead besides the stores of the configuration.
    pub endpoints: Vec<Site>,
    /// Files of the agent's own that a class may name.
    pub files: Vec<PathBuf>,
    /// Where a class may ask to believe any certificate.
    pub skip_verify: Vec<Site>,
    /// Stores that may be reached as the node, and not as the pod.
    pub node_identity: Vec<StoreName>,
    /// Who may use what.
    pub rules: Rules,
}

impl Policy {
    /// A file as `policy.files.allow` lists it: `None` where the path is not absolute, or leads upwards.
    pub fn file(text: &str) -> Option<PathBuf> {
        let path = Path::new(text);
        let upwards = path.components().any(|part| part == Component::ParentDir);
        (path.is_absolute() && !upwards).then(|| path.to_owned())
    }
}

/// A plan that the policy allows to this subject. There is no other way to make one, and nothing else can be fetched.
#[derive(Clone, Debug)]
pub struct PermittedPlan(Arc<Plan>);

impl PermittedPlan {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.0
    }
}

/// Allows the plan to the subject.
///
/// # Errors
/// `policy`, for everything that is not allowed: once for each endpoint, file and audience with the objects it is for,
/// and once for each object that no rule allows; with the very line to add.
pub fn permit(
    plan: Arc<Plan>,
    subject: &Subject,
    policy: &Policy,
    catalog: &Catalog,
) -> Result<PermittedPlan, Problems> {
    let mut problems: Vec<Problem> =
        found(&plan, policy, catalog).iter().map(|(violation, sources)| violation.problem(sources)).collect();
    problems.extend(plan.sources().iter().filter_map(|source| policy.rules.refuse(source, subject, catalog)));
    Problems::check(problems)?;
    Ok(PermittedPlan(plan))
}

/// What is refused whoever asks: all of [`permit`] but the rules.
#[derive(Clone, Debug, Default)]
pub struct Violations {
    /// Endpoints to add to `policy.endpoints.allow`, as they are written there.
    pub endpoints: Vec<String>,
    /// Everything else.
    pub problems: Vec<Problem>,
}

/// Judges a plan before anybody asks for it.
pub fn violations(plan: &Plan, policy: &Policy, catalog: &Catalog) -> Violations {
    let mut all = Violations::default();
    for (violation, sources) in found(plan, policy, catalog) {
        match violation.endpoint() {
            Some(endpoint) => all.endpoints.push(endpoint),
            None => all.problems.push(violation.problem(&sources)),
        }
    }
    all
}

/// Everything that stands against the plan, each with the objects that it is for.
fn found<'a>(
    plan: &'a Plan,
    policy: &Policy,
    catalog: &'a Catalog,
) -> BTreeMap<Violation<'a>, Vec<&'a Source>> {
    let mut found: BTreeMap<Violation<'a>, Vec<&'a Source>> = BTreeMap::new();
    for source in plan.sources() {
        violation::look(&source.access, policy, catalog, |violation| {
            let sources = found.entry(violation).or_default();
            // One access may meet the same violation twice.
            if sources.last().is_none_or(|last| !std::ptr::eq(*last, source)) {
                sources.push(source);
            }
        });
    }
    found
}
