//! What a store brings back. Below `store`, since rendering and leases need it.

use std::collections::BTreeMap;

use super::plan::Plan;
use crate::secret::Secret;

/// One object as its backend gave it.
#[derive(Clone)]
pub struct Material {
    /// Its parts: one, or several where an object is more than one thing (a history, a certificate).
    pub parts: Vec<Part>,
    /// What its life is like, as the reply said.
    pub kind: Kind,
}

/// One part of an object.
#[derive(Clone)]
pub struct Part {
    /// The backend's own version, where it has one; not secret.
    pub version: Option<String>,
    /// The whole, as it is delivered where no field is asked for.
    pub body: Secret,
    /// Its fields; empty where it has none.
    pub fields: BTreeMap<String, Secret>,
}

/// What an object's life is like. Leases, certificates and rotating roles join with the first store that has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// May change at any time.
    Static,
    /// This version never changes.
    Pinned,
}

/// What a mount's sources brought, by their place in the plan; `None` for an optional one that is absent.
pub struct Fetched(Vec<Option<Material>>);

impl Fetched {
    /// `None` unless there is exactly one answer for each source.
    pub fn new(plan: &Plan, answers: Vec<Option<Material>>) -> Option<Self> {
        (answers.len() == plan.sources().len()).then_some(Self(answers))
    }

    /// The material of a source.
    pub fn of(&self, source: usize) -> Option<&Material> {
        self.0.get(source).and_then(Option::as_ref)
    }
}
