//! The administrator's rules: which namespaces and service accounts may use which stores and objects. Judged at every
//! mount, before anything is fetched, on the one canonical spelling of a locator.

use std::sync::Arc;

use crate::error::{Problem, Problems, Reason};
use crate::model::{Plan, Subject};

/// What the administrator allows.
#[derive(Clone, Debug, Default)]
pub struct Rules(Option<Vec<Rule>>);

/// One line of `policy.rules`: all four lists must match.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Namespaces.
    pub namespaces: Vec<Pattern>,
    /// Service accounts.
    pub accounts: Vec<Pattern>,
    /// Names of configured stores.
    pub stores: Vec<Pattern>,
    /// Objects, by their canonical spelling.
    pub objects: Vec<Pattern>,
}

impl Rules {
    /// Without rules everything is allowed that the stores allow.
    pub const fn open() -> Self {
        Self(None)
    }

    /// With rules, what none of them allows is refused, so that an empty list allows nothing.
    pub const fn only(rules: Vec<Rule>) -> Self {
        Self(Some(rules))
    }
}

/// Text in which each `*` stands for any run of characters, `/` included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Any text is a pattern.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or("");
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let Some(mut piece) = pieces.next() else { return rest.is_empty() };
        for next in pieces {
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
            piece = next;
        }
        rest.ends_with(piece)
    }
}

/// A plan that the rules allow to this subject. There is no other way to make one, and nothing else can be fetched.
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
/// `policy`, once for each object that no rule allows, with the very line to add.
pub fn permit(plan: Arc<Plan>, subject: &Subject, rules: &Rules) -> Result<PermittedPlan, Problems> {
    if let Some(rules) = &rules.0 {
        let refused = plan.sources().iter().filter_map(|source| {
            let (store, object) = (source.access.store().as_str(), source.locator.to_string());
            let allowed = rules.iter().any(|rule| {
                any(&rule.namespaces, subject.namespace.as_str())
                    && any(&rule.accounts, subject.account.as_str())
                    && any(&rule.stores, store)
                    && any(&rule.objects, &object)
            });
            (!allowed).then(|| {
                let what = format!("no rule allows it to service account `{subject}`");
                let line = format!(
                    "- {{ namespaces: [{}], serviceAccounts: [{}], stores: [{store}], objects: [\"{object}\"] }}",
                    subject.namespace, subject.account,
                );
                Problem::new(Reason::Policy, what)
                    .object(source.label())
                    .remedy(format!("the administrator may add to `policy.rules`: {line}"))
            })
        });
        Problems::check(refused.collect())?;
    }
    Ok(PermittedPlan(plan))
}

fn any(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}
