//! The joint between the engine and a backend. A store does IO and nothing else: one attempt each, no cache, no lease
//! book, no idea of a pod's fate.

#[cfg(feature = "local")]
pub mod local;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::clock::{Clock, Instant, Span};
use crate::error::Fault;
use crate::model::{Access, Locator, Material, Publish, Subject, Token};
use crate::secret::{Digest, DigestKey, Secret};

/// A backend.
pub trait Store: Send + Sync {
    /// Whose a session of this access is.
    fn scope(&self, access: &Access) -> Scope;

    /// Logs in.
    ///
    /// # Errors
    /// One attempt's failure: `login` where the backend refuses the identity.
    fn authenticate<'a>(
        &'a self,
        cx: &'a Cx,
        access: &'a Access,
        proof: Proof<'a>,
    ) -> BoxFuture<'a, Result<Session, Fault>>;

    /// Reads several objects of one session at once. The answers stand in the order of `wanted`, one each.
    fn fetch<'a>(
        &'a self,
        cx: &'a Cx,
        session: &'a Session,
        access: &'a Access,
        wanted: &'a [Locator],
    ) -> BoxFuture<'a, Vec<Result<Material, Fault>>>;
}

/// What every operation may use.
pub struct Cx {
    /// The time.
    pub clock: Clock,
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
    /// The key of digests that live as long as this process.
    pub digests: Arc<DigestKey>,
}

/// Whose a session is: who else may be served through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One pod's.
    Pod,
    /// All pods' of a service account.
    Account,
    /// Whoever brings the same `nodePublishSecretRef`.
    Publish,
    /// The node's own: only where the administrator turns it on.
    Node,
}

/// What a login is made with.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// The pod's token for the access's audience.
    Token(&'a Token, &'a Subject),
    /// The data of `nodePublishSecretRef`.
    Publish(&'a Publish),
    /// Kubelet's word: for the local store alone, which has no backend to prove anything to.
    Subject(&'a Subject),
    /// Nothing of the pod's.
    Node,
}

/// A login that succeeded.
#[derive(Clone)]
pub struct Session {
    /// What the backend gave.
    pub credential: Secret,
    /// What the backend itself said this identity is.
    pub authority: Authority,
    /// How long it lasts.
    pub life: Span,
}

/// A digest of what the backend itself said an identity is: equal authorities may be served the same object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Authority(pub Digest);
