//! Who asks a backend, and what proves it: the principal that a session belongs to, and the proof of a login.

use std::sync::Arc;

use super::mint::Wanted;
use crate::clock::Wall;
use crate::error::{Problem, Reason};
use crate::model::token::LEEWAY;
use crate::model::{Access, AccountName, Audience, Call, Namespace, PodUid, Publish, Subject, Token};
use crate::secret::{Digest, DigestKey};
use crate::store::{self, Scope};

/// Whom a session belongs to, and at what: nobody else is served through it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Principal {
    pub(super) access: Arc<Access>,
    who: Who,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Who {
    Pod(PodUid, Namespace, AccountName),
    Account(Namespace, AccountName),
    Publish(Option<Digest>),
    Node,
}

impl Principal {
    /// The principal that the store's scope makes of a call. A sync has no pod, and stands for its account.
    pub(super) fn of(access: &Arc<Access>, scope: Scope, call: &Call, digests: &DigestKey) -> Arc<Self> {
        let Subject { namespace, account, pod } = &call.subject;
        let who = match (scope, pod) {
            (Scope::Pod, Some(pod)) => Who::Pod(pod.uid.clone(), namespace.clone(), account.clone()),
            (Scope::Pod, None) | (Scope::Account, _) => Who::Account(namespace.clone(), account.clone()),
            (Scope::Publish, _) => Who::Publish(call.publish.as_ref().map(|data| data.digest(digests))),
            (Scope::Node, _) => Who::Node,
        };
        Arc::new(Self { access: Arc::clone(access), who })
    }

    /// Whose it is, as a budget knows that: its namespace's, or its own where it has none.
    pub(super) fn tenant(&self, digests: &DigestKey) -> Digest {
        match self.namespace() {
            Some(namespace) => digests.digest_of(format_args!("{namespace}")),
            None => self.digest(digests),
        }
    }

    /// Whether it is of the same namespace as another.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.namespace().is_some() && self.namespace() == other.namespace()
    }

    fn namespace(&self) -> Option<&Namespace> {
        match &self.who {
            Who::Pod(_, namespace, _) | Who::Account(namespace, _) => Some(namespace),
            Who::Publish(_) | Who::Node => None,
        }
    }

    /// What a budget knows it by.
    pub(super) fn digest(&self, digests: &DigestKey) -> Digest {
        digests.digest_of(format_args!("{self:?}"))
    }
}

/// A proof on its way into the task that logs in, and gone with it.
#[derive(Clone)]
pub(super) enum Proof {
    Token(Token, Subject),
    Publish(Publish),
    Subject(Subject),
    Node,
}

impl Proof {
    pub(super) fn lend(&self) -> store::Proof<'_> {
        match self {
            Self::Token(token, subject) => store::Proof::Token(token, subject),
            Self::Publish(publish) => store::Proof::Publish(publish),
            Self::Subject(subject) => store::Proof::Subject(subject),
            Self::Node => store::Proof::Node,
        }
    }

    /// The id of its token, which is not the token.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Token(token, _) => token.claims.id.as_deref(),
            Self::Publish(_) | Self::Subject(_) | Self::Node => None,
        }
    }
}

/// What a login will be made with.
#[derive(Clone)]
pub(super) enum Evidence {
    /// It is there.
    Given(Proof),
    /// A token that is asked for once a login needs it.
    Asked(Arc<Wanted>),
}

/// What a login is made with, as the store's scope wants it; `issues` says whether a token may be asked for. Judged at
/// every mount, whether it needs a login or not.
pub(super) fn evidence(
    scope: Scope,
    access: &Access,
    call: &Call,
    issues: bool,
    now: Wall,
) -> Result<Evidence, Problem> {
    let given = match (scope, access.audience()) {
        (Scope::Pod | Scope::Account, Some(audience)) => {
            let remote = access.endpoints().next().is_some();
            return token(call, audience, remote, issues, now).map_err(|problem| at_store(problem, access));
        }
        (Scope::Pod | Scope::Account, None) => Ok(Proof::Subject(call.subject.clone())),
        (Scope::Publish, _) => call.publish.clone().map(Proof::Publish).ok_or_else(|| {
            let what = "the pod's volume names no `nodePublishSecretRef`";
            at_store(
                Problem::new(Reason::Setup, what).remedy("name the Secret with the credentials there"),
                access,
            )
        }),
        (Scope::Node, _) => Ok(Proof::Node),
    };
    given.map(Evidence::Given)
}

/// The pod's token for an audience, or that one may be asked for.
fn token(
    call: &Call,
    audience: &Audience,
    remote: bool,
    issues: bool,
    now: Wall,
) -> Result<Evidence, Problem> {
    match call.tokens.get(audience) {
        Some(token) => {
            judge(token, audience, remote, now)?;
            Ok(Evidence::Given(Proof::Token(token.clone(), call.subject.clone())))
        }
        None if issues => Wanted::of(call, audience, remote).map(Evidence::Asked),
        None => Err(lacking(call, audience)),
    }
}

/// Judges a token by its own word: a backend is not bothered with one that is past its end, and never gets one that the
/// API server itself would believe. Whose an audience is by its name is policy's to say.
pub(super) fn judge(token: &Token, audience: &Audience, remote: bool, now: Wall) -> Result<(), Problem> {
    if remote && token.claims.for_api_server {
        let what = format!("audience `{audience}` is the API server's own, and its tokens go nowhere else");
        return Err(Problem::new(Reason::Policy, what).remedy(
            "choose an audience of the store's own, there and in `tokenRequests`: with such a token anyone could act as \
             the pod in the cluster",
        ));
    }
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
    Ok(())
}

/// That nobody handed a token over, and how somebody will.
pub(super) fn lacking(call: &Call, audience: &Audience) -> Problem {
    if call.subject.pod.is_none() {
        let what = format!("the sync controller passes no token for audience `{audience}`");
        return Problem::new(Reason::Setup, what)
            .remedy(format!("add `{audience}` to the controller's `--token-request-audience`"));
    }
    let there: Vec<&str> = call.tokens.audiences().map(Audience::as_str).collect();
    let there =
        if there.is_empty() { "it has none".to_owned() } else { format!("it has {}", there.join(", ")) };
    let what = format!("the CSIDriver's tokenRequests lack audience `{audience}`");
    Problem::new(Reason::Setup, what).remedy(format!(
        "add `- audience: {audience}` to `tokenRequests` of CSIDriver `secrets-store.csi.k8s.io` ({there}; in the driver's \
         chart it is the value `tokenRequests`), or let the agent ask the API server (`cluster.tokenRequest`)"
    ))
}

/// Names the store where a problem is about no object of it.
pub(super) fn at_store(problem: Problem, access: &Access) -> Problem {
    if problem.place.object.is_some() {
        problem
    } else {
        problem.object(format!("store `{}`", access.store()))
    }
}
