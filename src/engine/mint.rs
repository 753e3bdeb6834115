//! Tokens of pods that kubelet hands over none for, where the administrator lets the agent ask the API server. Asked for
//! only where a login needs one, once however many logins wait for it, and good for others until most of its life is over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::budget::{Turn, Work};
use super::flight::{Boarded, Flights, Landing};
use super::identity::{judge, lacking};
use super::keep::{Keep, Memory};
use super::lru::Lru;
use super::wire::slow;
use super::{Engine, bug};
use crate::clock::Instant;
use crate::error::{Fault, Problem, Reason};
use crate::model::{Audience, Call, Endpoint, Pod, StoreName, Subject, Token};
use crate::policy;

/// Who makes tokens of pods: the API server. One attempt each.
pub trait Issuer: Send + Sync {
    /// Its name in figures, beside those of the stores.
    fn name(&self) -> &StoreName;

    /// Where it is, which its budget is kept by; `None` where nothing leaves the process.
    fn endpoint(&self) -> Option<&Endpoint>;

    /// A token of the account, bound to the pod, for this audience.
    fn issue<'a>(
        &'a self,
        subject: &'a Subject,
        pod: &'a Pod,
        audience: &'a Audience,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Token, Fault>>;
}

/// The longest that a token is taken to live, whatever it says: a node's clock may be wrong. Issuers are asked for as much.
const LIFE_MAX: Duration = Duration::from_secs(900);

/// A token to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) subject: Subject,
    pod: Pod,
    pub(super) audience: Audience,
    /// Whether it leaves the process.
    remote: bool,
}

impl Wanted {
    /// What a call wants, where that may be asked for at all.
    pub(super) fn of(call: &Call, audience: &Audience, remote: bool) -> Result<Arc<Self>, Problem> {
        if policy::is_api_servers(audience.as_str()) {
            let what =
                format!("audience `{audience}` is the API server's own, and no token for it is asked for");
            return Err(Problem::new(Reason::Policy, what).remedy("choose an audience of the store's own"));
        }
        let subject = call.subject.clone();
        // A sync has no pod that a token could be bound to, and its controller brings tokens by itself.
        let pod = subject.pod.clone().ok_or_else(|| lacking(call, audience))?;
        Ok(Arc::new(Self { subject, pod, audience: audience.clone(), remote }))
    }
}

/// The tokens that were made.
pub(super) struct Minted {
    known: Mutex<Lru<Arc<Wanted>, (Token, Instant)>>,
    flights: Flights<Arc<Wanted>, Result<Token, Fault>>,
    max: usize,
}

impl Minted {
    pub(super) fn new(keep: &Keep) -> Self {
        Self { known: Mutex::default(), flights: Flights::default(), max: keep.sessions }
    }

    fn find(&self, wanted: &Arc<Wanted>, now: Instant) -> Option<Token> {
        self.lock().get(wanted).filter(|(_, until)| now < *until).map(|(token, _)| token.clone())
    }

    fn record(&self, wanted: &Arc<Wanted>, token: Token, until: Instant) {
        let mut known = self.lock();
        while known.len() >= self.max && known.pop().is_some() {}
        known.insert(Arc::clone(wanted), (token, until));
    }

    pub(super) fn sweep(&self, now: Instant) {
        self.lock().retain(|(_, until)| now < *until);
    }

    fn lock(&self) -> MutexGuard<'_, Lru<Arc<Wanted>, (Token, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// The token: the one that is kept, the one that is on its way, or a new one.
    pub(super) async fn mint(
        self: &Arc<Self>,
        wanted: &Arc<Wanted>,
        memory: &Arc<Memory>,
        first: bool,
        deadline: Instant,
    ) -> Result<Token, Fault> {
        let find = || memory.minted.find(wanted, self.parts.clock.now());
        let token = match find() {
            Some(token) => token,
            None => match memory.minted.flights.board(wanted) {
                Boarded::Join(waiting) => {
                    let token = self.parts.clock.until(deadline, waiting).await.ok_or_else(slow)?;
                    token.map_err(|_| Fault::never(bug()))??
                }
                Boarded::Lead(landing) => match find() {
                    Some(token) => {
                        landing.land(Ok(token.clone()));
                        token
                    }
                    None => {
                        self.issue(Arc::clone(wanted), Arc::clone(memory), first, landing, deadline).await?
                    }
                },
            },
        };
        judge(&token, &wanted.audience, wanted.remote, self.parts.clock.wall()).map_err(Fault::never)?;
        Ok(token)
    }

    async fn issue(
        self: &Arc<Self>,
        wanted: Arc<Wanted>,
        memory: Arc<Memory>,
        first: bool,
        landing: Landing<Arc<Wanted>, Result<Token, Fault>>,
        deadline: Instant,
    ) -> Result<Token, Fault> {
        let engine = Arc::clone(self);
        let work = self.work.spawn(async move {
            let clock = engine.parts.clock;
            let (asked, began) = (clock.now(), clock.wall());
            let token = engine.ask(&wanted, first, asked).await;
            if let Ok(token) = &token {
                let life = token.claims.expires.map_or(LIFE_MAX, |end| end.since(began)).min(LIFE_MAX);
                memory.minted.record(&wanted, token.clone(), asked + life * 4 / 5);
            }
            landing.land(token.clone());
            token
        });
        let token = self.parts.clock.until(deadline, work).await.ok_or_else(slow)?;
        token.map_err(|_| Fault::never(bug()))?
    }

    async fn ask(&self, wanted: &Wanted, first: bool, asked: Instant) -> Result<Token, Fault> {
        let Some(issuer) = &self.parts.issuer else { return Err(Fault::never(bug())) };
        let deadline = asked + self.parts.limits.keep.operation;
        let turn = Turn {
            store: issuer.name(),
            endpoint: issuer.endpoint(),
            principal: self.digests.digest_of(format_args!("{wanted:?}")),
            tenant: self.digests.digest_of(format_args!("{}", wanted.subject.namespace)),
            first,
            deadline,
            work: Work::Exchange,
        };
        let attempt = || issuer.issue(&wanted.subject, &wanted.pod, &wanted.audience, deadline);
        let token = self.budgets.attempt(&turn, attempt);
        self.parts.clock.until(deadline, token).await.unwrap_or_else(|| Err(slow()))
    }
}
