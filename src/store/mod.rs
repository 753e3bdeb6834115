//! The joint between the engine and a backend. A store does IO and nothing else: one attempt each, no cache, no lease
//! book, no idea of a pod's fate.

#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "vault")]
pub mod vault;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::clock::{Clock, Instant, Span};
use crate::error::{Fault, Problem, Reason};
use crate::model::{Access, Grant, Lease, LeaseId, Locator, Material, Publish, Subject, Token};
use crate::room::Claim;
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

    /// How the engine treats what this store gives.
    fn manners(&self) -> Manners;

    /// Makes a session or a lease last longer.
    fn renew<'a>(
        &'a self,
        cx: &'a Cx,
        session: &'a Session,
        access: &'a Access,
        what: Renew<'a>,
    ) -> BoxFuture<'a, Result<Grant, Fault>> {
        let _ = (cx, session, access, what);
        Box::pin(ready(Err(Fault::never(unsupported("renewal")))))
    }

    /// Ends a session with all its leases, or one lease.
    fn revoke<'a>(
        &'a self,
        cx: &'a Cx,
        session: &'a Session,
        access: &'a Access,
        what: Revoke<'a>,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        let _ = (cx, session, access, what);
        Box::pin(ready(Err(Fault::never(unsupported("revocation")))))
    }
}

fn unsupported(what: &str) -> Problem {
    Problem::new(Reason::Bug, format!("this store has no {what}, and was asked for one"))
}

/// How the engine treats what a store gives.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Objects of one [`Store::fetch`]; the engine asks for more in several at once.
    pub batch: usize,
    /// How old an object may be where neither class nor configuration says; zero where nothing is kept at all, sessions
    /// included, since asking costs nothing.
    pub fresh: Duration,
}

/// What is renewed.
#[derive(Clone, Copy)]
pub enum Renew<'a> {
    /// The session itself.
    Session,
    /// A lease of the session's.
    Lease(&'a Lease),
}

/// What is ended.
#[derive(Clone, Copy)]
pub enum Revoke<'a> {
    /// The session itself, with everything that was issued through it.
    Session,
    /// One lease.
    Lease(&'a LeaseId),
}

/// What every operation may use.
pub struct Cx {
    /// The time.
    pub clock: Clock,
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
    /// The key of digests that live as long as this process.
    pub digests: Arc<DigestKey>,
    /// Takes room for replies that are large.
    pub claim: Claim,
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
