//! What a store brings back. Below `store`, since rendering and leases need it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::plan::Plan;
use crate::clock::Instant;
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

/// What an object's life is like, as the reply says, never its path.
#[derive(Clone, Debug)]
pub enum Kind {
    /// May change at any time.
    Static,
    /// This version never changes.
    Pinned,
    /// Issued to whoever asked, and good for as long as its lease is.
    Leased(Lease),
    /// Issued to whoever asked, and not again: never kept, never shared.
    OneShot,
}

impl Kind {
    /// Whether others of the same authority may be served it, and later calls.
    pub fn shared(&self) -> bool {
        match self {
            Self::Static | Self::Pinned => true,
            Self::Leased(_) | Self::OneShot => false,
        }
    }
}

/// A lease as it was issued.
#[derive(Clone, Debug)]
pub struct Lease {
    /// What it is renewed and revoked by.
    pub id: LeaseId,
    /// How long it is good, from `issued` on.
    pub granted: Duration,
    /// Whether it can be renewed at all.
    pub renewable: bool,
    /// Before the request was sent.
    pub issued: Instant,
}

/// The id of a lease: whoever knows it may end it, so it is not printed.
#[derive(Clone)]
pub struct LeaseId(pub Secret);

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseId")
    }
}

/// What a renewal brought: the reply is the truth, whatever was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How long from now.
    pub granted: Duration,
    /// Whether it can be renewed again.
    pub renewable: bool,
}

/// What a mount's sources brought, by their place in the plan; `None` for an optional one that is absent. Several mounts
/// may share a material.
pub struct Fetched(Vec<Option<Arc<Material>>>);

impl Fetched {
    /// `None` unless there is exactly one answer for each source.
    pub fn new<M: Into<Arc<Material>>>(plan: &Plan, answers: Vec<Option<M>>) -> Option<Self> {
        let fits = answers.len() == plan.sources().len();
        fits.then(|| Self(answers.into_iter().map(|answer| answer.map(Into::into)).collect()))
    }

    /// The material of a source.
    pub fn of(&self, source: usize) -> Option<&Material> {
        self.0.get(source).and_then(Option::as_deref)
    }
}
