//! A backend in memory that does what it is told, and counts what it is asked.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use latchkey::clock::{Clock, Span};
use latchkey::error::{Fault, Problem, Reason, Retry};
use latchkey::model::{Access, Kind, Lease, LeaseId, Locator, Material, Part};
use latchkey::secret::Secret;
use latchkey::store::{Authority, Cx, Manners, Proof, Scope, Session, Store};

/// What an object is at the backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Nature {
    Static,
    Pinned,
    Leased,
    Large(usize),
    /// So many tiny fields.
    Wide(usize),
}

pub(super) struct State {
    pub(super) scope: Scope,
    pub(super) life: Option<Duration>,
    pub(super) login_delay: Duration,
    pub(super) read_delay: Duration,
    /// What the backend says that somebody is; by default the service account.
    pub(super) authority: HashMap<String, String>,
    /// Logins fail so, for one or (`*`) for all.
    pub(super) login_fault: HashMap<String, Reason>,
    /// Reads fail so, by path or (`*`) all.
    pub(super) read_fault: HashMap<String, Reason>,
    /// Whether another attempt may help then.
    pub(super) read_again: bool,
    pub(super) nature: HashMap<String, Nature>,
    pub(super) revision: HashMap<String, u32>,
    /// Who logged in, in order.
    pub(super) logins: Vec<String>,
    /// What was read, in order, each in its batch.
    pub(super) reads: Vec<String>,
    pub(super) batches: Vec<usize>,
    /// Sessions that are not believed any more.
    pub(super) revoked: HashSet<String>,
    pub(super) panics: bool,
}

pub(super) struct Backend {
    clock: Clock,
    manners: Manners,
    state: Mutex<State>,
}

impl Backend {
    pub(super) fn new(clock: Clock, manners: Manners) -> Arc<Self> {
        let state = State {
            scope: Scope::Pod,
            life: Some(Duration::from_secs(3600)),
            login_delay: Duration::from_millis(20),
            read_delay: Duration::from_millis(20),
            authority: HashMap::new(),
            login_fault: HashMap::new(),
            read_fault: HashMap::new(),
            read_again: false,
            nature: HashMap::new(),
            revision: HashMap::new(),
            logins: Vec::new(),
            reads: Vec::new(),
            batches: Vec::new(),
            revoked: HashSet::new(),
            panics: false,
        };
        Arc::new(Self { clock, manners, state: Mutex::new(state) })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Logins and reads so far.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.logins.len(), state.reads.len())
    }

    /// The object is another one from now on.
    pub(super) fn change(&self, path: &str) {
        *self.state().revision.entry(path.to_owned()).or_default() += 1;
    }

    /// Every session so far is not believed any more.
    pub(super) fn revoke_all(&self) {
        let mut state = self.state();
        let all: Vec<String> = state.logins.iter().enumerate().map(|(n, who)| format!("{who}#{n}")).collect();
        state.revoked.extend(all);
    }
}

impl State {
    fn authority_of(&self, who: &str) -> String {
        self.authority.get(who).cloned().unwrap_or_else(|| {
            let mut parts = who.split('/');
            format!("{}/{}", parts.next().unwrap_or(""), parts.next().unwrap_or(""))
        })
    }

    fn read(&mut self, credential: &str, path: &str, clock: &Clock) -> Result<Material, Fault> {
        self.reads.push(path.to_owned());
        if self.revoked.contains(credential.rsplit_once('#').map_or(credential, |(session, _)| session)) {
            let problem = Problem::new(Reason::Forbidden, "the session is not known");
            return Err(Fault { problem, retry: Retry::Login, doubtful: false, answered: true });
        }
        if let Some(reason) = self.read_fault.get(path).or_else(|| self.read_fault.get("*")) {
            let fault =
                Fault::never(Problem::new(*reason, format!("the backend was told to fail at {path}")));
            let retry = if self.read_again { Retry::Backoff } else { fault.retry };
            return Err(Fault { retry, ..fault });
        }
        // As with Vault, a session is for its life what its login said.
        let authority = credential.rsplit('#').next().unwrap_or("");
        let revision = self.revision.get(path).copied().unwrap_or(0);
        let nature = self.nature.get(path).copied().unwrap_or(Nature::Static);
        let mut body = format!("{authority} {path} r{revision}");
        let mut fields = BTreeMap::new();
        let kind = match nature {
            Nature::Static => Kind::Static,
            Nature::Wide(count) => {
                let one = |n: usize| (n.to_string(), Secret::from_text("1".to_owned()));
                fields.extend((0..count).map(one));
                Kind::Static
            }
            Nature::Pinned => Kind::Pinned,
            Nature::Large(bytes) => {
                body.push_str(&"x".repeat(bytes));
                Kind::Static
            }
            Nature::Leased => {
                body = format!("{body} issue {}", self.reads.len());
                let id = LeaseId(Secret::from_text("lease".to_owned()));
                Kind::Leased(Lease {
                    id,
                    granted: Duration::from_secs(60),
                    renewable: true,
                    issued: clock.now(),
                })
            }
        };
        let part = Part { version: None, body: Secret::from_text(body), fields };
        Ok(Material { parts: vec![part], kind })
    }
}

fn path(locator: &Locator) -> String {
    locator.to_string()
}

impl Store for Backend {
    fn scope(&self, _: &Access) -> Scope {
        self.state().scope
    }

    fn manners(&self) -> Manners {
        self.manners
    }

    fn authenticate<'a>(
        &'a self,
        cx: &'a Cx,
        access: &'a Access,
        proof: Proof<'a>,
    ) -> BoxFuture<'a, Result<Session, Fault>> {
        let who = match proof {
            Proof::Token(_, subject) | Proof::Subject(subject) => format!(
                "{}/{}/{}/{}",
                subject.namespace,
                subject.account,
                subject.pod.as_ref().map_or("", |pod| pod.uid.as_str()),
                access.role().unwrap_or_default(),
            ),
            Proof::Publish(publish) => {
                let user =
                    publish.get("user").map(|user| String::from_utf8_lossy(user.expose()).into_owned());
                format!("publish/{}", user.unwrap_or_default())
            }
            Proof::Node => "node".to_owned(),
        };
        async move {
            let (delay, number) = {
                let mut state = self.state();
                state.logins.push(who.clone());
                (state.login_delay, state.logins.len() - 1)
            };
            self.clock.sleep(delay).await;
            let state = self.state();
            assert!(!state.panics, "a backend that panics");
            if let Some(reason) = state.login_fault.get(&who).or_else(|| state.login_fault.get("*")) {
                return Err(Fault::never(Problem::new(*reason, "the backend refuses the login")));
            }
            let from = cx.clock.now();
            Ok(Session {
                credential: Secret::from_text(format!("{who}#{number}#{}", state.authority_of(&who))),
                authority: Authority(cx.digests.digest(&[state.authority_of(&who).as_bytes()])),
                life: Span { from, until: state.life.map(|life| from + life) },
            })
        }
        .boxed()
    }

    fn fetch<'a>(
        &'a self,
        cx: &'a Cx,
        session: &'a Session,
        _: &'a Access,
        wanted: &'a [Locator],
    ) -> BoxFuture<'a, Vec<Result<Material, Fault>>> {
        async move {
            let credential = String::from_utf8_lossy(session.credential.expose()).into_owned();
            let (delay, answers) = {
                let mut state = self.state();
                state.batches.push(wanted.len());
                let read = |locator| state.read(&credential, &path(locator), &cx.clock);
                let answers: Vec<_> = wanted.iter().map(read).collect();
                (state.read_delay, answers)
            };
            self.clock.sleep(delay).await;
            answers
        }
        .boxed()
    }
}
