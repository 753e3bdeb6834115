//! The engine owns everything that outlives a call: the tasks that mounts run on, what each holder was last given,
//! parsed plans. It reads like the sentence of a mount: parse, permit, fetch, render.
//!
//! A mount runs on a task of the engine's, not on its request: when the driver gives up, the handler is dropped, but
//! the mount is finished, counted and written into the audit trail all the same. A panic on that task is one mount's
//! failure.
//!
//! `fetch` is the order of a mount's checks. `sessions` and `objects` are what is kept, `flight` brings those together who
//! want the same, `wire` is what goes out.

mod account;
pub mod budget;
mod current;
mod delivered;
mod fetch;
mod flight;
mod identity;
mod keep;
mod lru;
mod mint;
mod notices;
mod objects;
mod plans;
mod reads;
mod refused;
mod sessions;
mod wire;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::{Audit, MountId};
use crate::clock::{Clock, Instant};
use crate::dialect::{Dialect, Facts};
use crate::error::{Problem, Problems, Reason};
use crate::model::{
    Attributes, Call, Catalog, Envelope, Fetched, FileMode, Plan, Rendered, StoreName, VersionKey, render,
};
use crate::policy::{self, Policy};
use crate::room::{Claim, Room};
use crate::secret::{DigestKey, fill_random};
use crate::store::{Manners, Store};
use crate::telemetry::{Metrics, StoreFigures};
pub use account::Origin;
use account::Story;
use budget::Budgets;
use current::Current;
use delivered::Delivered;
pub use keep::Keep;
use keep::Memory;
pub use mint::Issuer;
use notices::{Issued, Outages};
use plans::Plans;

/// Bounds of the engine; every one a key under `limits`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Mounts at work at once.
    pub mounts: usize,
    /// Largest encoded answer, in bytes: the driver's own limit of 4 MiB less a margin.
    pub answer_bytes: usize,
    /// Large replies and answers that are held at once, in bytes, besides what is kept: a quarter of it for answers.
    pub room_bytes: usize,
    /// What is kept between mounts.
    pub keep: Keep,
    /// Calls to backends.
    pub budget: budget::Limits,
}

impl Limits {
    /// The part of the room that is for answers. They leave as fast as the driver reads, and replies wait for them.
    pub const ANSWERS: usize = 4;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mounts: 1024,
            answer_bytes: (4 << 20) - (64 << 10),
            room_bytes: 32 << 20,
            keep: Keep::default(),
            budget: budget::Limits::default(),
        }
    }
}

/// What an [`Engine`] is made of.
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// The configured stores.
    pub stores: BTreeMap<StoreName, Arc<dyn Store>>,
    /// The same, as dialects see them.
    pub catalog: Catalog,
    /// Who is asked for a token of a pod that kubelet hands over none for; `None` where nobody may be.
    pub issuer: Option<Arc<dyn Issuer>>,
    /// The administrator's policy, until [`Engine::reload`].
    pub policy: Policy,
    /// The key of object versions, until [`Engine::rekey`].
    pub version_key: VersionKey,
    /// Bounds, until [`Engine::reload`].
    pub limits: Limits,
    /// Where figures go.
    pub metrics: Metrics,
    /// Where the trail goes.
    pub audit: Audit,
    /// Whether every delivery is written, or changes only and an hourly count of the rest.
    pub audit_all_polls: bool,
}

/// Mounts.
pub struct Engine {
    parts: Parts,
    digests: Arc<DigestKey>,
    plans: Plans,
    delivered: Delivered,
    current: Current,
    backends: BTreeMap<StoreName, Arc<Backend>>,
    budgets: Budgets,
    memory: Arc<Memory>,
    outages: Outages,
    issued: Issued,
    /// For replies.
    room: Room,
    /// For encoded answers. A room of its own: a mount that waits here holds replies, and nobody in here waits for room
    /// there, so that no two mounts wait for each other.
    answers: Room,
    /// Mounts.
    tasks: TaskTracker,
    /// What goes out to backends.
    work: TaskTracker,
    closing: CancellationToken,
    /// Where the ids of mounts are: a random place and from there on, without asking the system each time.
    ids: AtomicU64,
}

/// A store as the engine deals with it.
struct Backend {
    store: Arc<dyn Store>,
    manners: Manners,
    /// How old its objects may be where the class does not say, as configured.
    fresh: Option<Duration>,
    figures: StoreFigures,
}

impl Backend {
    /// A store that nothing is kept of has no figures to show.
    fn new(name: &StoreName, store: &Arc<dyn Store>, parts: &Parts) -> Self {
        let manners = store.manners();
        let figures = if manners.fresh.is_zero() {
            StoreFigures::default()
        } else {
            parts.metrics.store(name.as_str())
        };
        let fresh = parts.catalog.entry(name.as_str()).ok().and_then(|entry| entry.fresh);
        Self { store: Arc::clone(store), manners, fresh, figures }
    }
}

/// A mount that succeeded.
pub struct Delivery {
    /// What the driver writes.
    pub rendered: Rendered,
    /// What it was made from.
    pub plan: Arc<Plan>,
    /// The room that its bytes take, to be held until they have gone.
    pub claims: Vec<Claim>,
}

/// One mount to do.
pub struct Order {
    /// Whose words the class is in.
    pub dialect: Arc<dyn Dialect>,
    /// What the driver sent.
    pub envelope: Envelope,
    /// When the answer must be there.
    pub deadline: Instant,
    /// Who calls.
    pub origin: Origin,
}

impl Engine {
    /// An engine at rest.
    pub fn new(mut parts: Parts) -> Arc<Self> {
        let key = std::mem::replace(&mut parts.version_key, VersionKey(DigestKey::random()));
        let current = Current::new(std::mem::take(&mut parts.policy), parts.limits, key);
        let backend = |(name, store): (&StoreName, &Arc<dyn Store>)| {
            (name.clone(), Arc::new(Backend::new(name, store, &parts)))
        };
        Arc::new(Self {
            backends: parts.stores.iter().map(backend).collect(),
            budgets: Budgets::new(parts.clock, parts.metrics.clone(), parts.limits.budget),
            memory: Arc::new(Memory::new(&parts.limits.keep, &parts.metrics)),
            outages: Outages::default(),
            issued: Issued::default(),
            digests: Arc::new(DigestKey::random()),
            plans: Plans::default(),
            delivered: Delivered::default(),
            current,
            room: Room::new(parts.limits.room_bytes - parts.limits.room_bytes / Limits::ANSWERS),
            answers: Room::new(parts.limits.room_bytes / Limits::ANSWERS),
            tasks: TaskTracker::new(),
            work: TaskTracker::new(),
            closing: CancellationToken::new(),
            ids: AtomicU64::new(random()),
            parts,
        })
    }

    /// Takes another policy and other bounds, for mounts that begin from now on. Bounds that size something at the
    /// start stay as they were.
    pub fn reload(&self, policy: Policy, limits: Limits) {
        self.current.set(policy, limits);
    }

    /// Takes another key of object versions, for answers that are written from now on.
    pub fn rekey(&self, key: VersionKey) {
        self.current.rekey(key);
    }

    /// The whole content of one volume.
    ///
    /// # Errors
    /// Everything that is wrong; nothing is delivered then.
    pub async fn mount(self: &Arc<Self>, order: Order) -> Result<Delivery, Problems> {
        let engine = Arc::clone(self);
        let provider = order.dialect.provider();
        match self.tasks.spawn(async move { engine.run(order).await }).await {
            Ok(result) => result,
            // The mount itself is guarded in `run`, so this is a panic in what accounts for it.
            Err(_) => Err(self.refuse(provider, bug()).await),
        }
    }

    /// Accounts for a mount that was answered before it could begin: undecodable, or answered with a code that no
    /// mount may end in.
    pub async fn refuse(&self, provider: &'static str, problem: Problem) -> Problems {
        let story = Story::begin(self.next_id(), provider, Origin::Driver, self.parts.clock.now());
        match self.account(story, Err(problem.into())).await {
            Err(problems) => problems,
            Ok(_) => bug().into(),
        }
    }

    fn next_id(&self) -> MountId {
        MountId::new(self.ids.fetch_add(ID_STEP, Ordering::Relaxed).to_be_bytes())
    }

    async fn run(self: Arc<Self>, mut order: Order) -> Result<Delivery, Problems> {
        let mut story =
            Story::begin(self.next_id(), order.dialect.provider(), order.origin, self.parts.clock.now());
        let deadline = order.deadline;
        let steps = AssertUnwindSafe(self.steps(&mut order, &mut story)).catch_unwind();
        let result = tokio::select! {
            biased;
            result = self.parts.clock.until(deadline, steps) => match result {
                Some(Ok(result)) => result,
                Some(Err(_)) => Err(bug().into()),
                None => Err(late(&story).into()),
            },
            () = self.closing.cancelled() => Err(stopping().into()),
        };
        self.account(story, result).await
    }

    async fn steps(self: &Arc<Self>, order: &mut Order, story: &mut Story) -> Result<Delivery, Problems> {
        // The envelope holds tokens: it goes as soon as it is read.
        let envelope = std::mem::take(&mut order.envelope);
        let unasked = Facts { mode: FileMode::DEFAULT, publish: false, digests: &self.digests };
        let class =
            |attributes: &Attributes| order.dialect.parse(attributes, unasked, &self.parts.catalog).err();
        let call = Call::parse_beside(&envelope, class)?;
        drop(envelope);
        let call = story.identify(call);
        let live = self.current.get();
        let _place = self.current.enter(live.limits.mounts).ok_or_else(busy)?;
        if order.deadline.since(self.parts.clock.now()) < TIME_MIN {
            return Err(Problem::new(Reason::Timeout, "the caller allows too little time for a mount").into());
        }
        let facts = Facts { mode: call.mode, publish: call.publish.is_some(), digests: &self.digests };
        let planned =
            self.plans.parse(&*order.dialect, &call.attributes, facts, &self.parts.catalog, &self.digests)?;
        story.planned(&planned);
        let plan = planned.plan.resolved(&call.subject);
        let permitted = policy::permit(plan, &call.subject, &live.policy, &self.parts.catalog)?;
        let got = self.fetch(&permitted, &call, order.deadline, story).await?;
        let materials = got.iter().map(|got| got.as_ref().map(|got| Arc::clone(&got.material)));
        let fetched = Fetched::new(permitted.plan(), materials.collect()).ok_or_else(bug)?;
        let rendered = render(permitted.plan(), &fetched, &self.current.key(), live.limits.answer_bytes)?;
        let mut claims = self.room_for(&rendered, order.deadline).await?;
        claims.extend(got.into_iter().flatten().filter_map(|got| got.claim));
        Ok(Delivery { rendered, plan: Arc::clone(&planned.plan), claims })
    }

    /// Takes the room that the encoded answer will need, in one piece, before the mount counts as delivered.
    async fn room_for(&self, rendered: &Rendered, deadline: Instant) -> Result<Vec<Claim>, Problem> {
        if rendered.bytes() <= Claim::FREE {
            return Ok(Vec::new());
        }
        let now = self.parts.clock.now();
        // A little earlier than the mount itself is given up, so that it ends with the reason that counts.
        let until = now + deadline.since(now).saturating_sub(TIME_MIN);
        let claim = self.answers.claim();
        match self.parts.clock.until(until, claim.take(rendered.bytes())).await {
            Some(true) => Ok(vec![claim]),
            Some(false) | None => Err(crowded()),
        }
    }

    /// Writes the counts of unchanged deliveries that are due, where those have no lines of their own, and lets go of what
    /// is kept for nobody any more; called every few minutes.
    pub async fn tidy(&self) {
        let now = self.parts.clock.now();
        self.memory.sweep(now);
        let due = self.delivered.due(now);
        if !self.parts.audit_all_polls {
            self.summaries(due).await;
        }
    }

    /// Ready once the engine gives up what is still at work.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Answers every mount that is still at work `busy`, and those that come.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Waits until every mount is accounted for, then writes the counts that are left, and waits for what is still out at
    /// a backend; until `deadline` at most.
    pub async fn drained(&self, deadline: Instant) {
        self.tasks.close();
        self.work.close();
        let rest = async {
            self.tasks.wait().await;
            if !self.parts.audit_all_polls {
                self.summaries(self.delivered.all()).await;
            }
            self.work.wait().await;
        };
        self.parts.clock.until(deadline, rest).await;
    }
}

/// Odd, so that all ids come once before any comes again, and large, so that two in a row do not look alike.
const ID_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

fn random() -> u64 {
    let mut bytes = [0u8; 8];
    fill_random(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// Less than this and no backend is bothered: the answer could not be there in time.
const TIME_MIN: Duration = Duration::from_millis(10);

/// What a mount ends in by a fault of our own.
pub fn bug() -> Problem {
    Problem::new(Reason::Bug, "the agent failed on this mount by a fault of its own")
        .remedy("its log names the place; nobody else's mount is harmed")
}

fn busy() -> Problem {
    Problem::new(Reason::Busy, "the agent has as many mounts at work as it takes")
        .remedy("kubelet tries again; raise `limits.mountsInFlight` if it lasts")
}

fn crowded() -> Problem {
    Problem::new(Reason::Busy, "the agent holds as many large answers as it has room for")
        .remedy("kubelet tries again; raise `limits.roomBytes` if it lasts")
}

/// What a mount ends in that is still at work when the agent goes.
pub fn stopping() -> Problem {
    Problem::new(Reason::Busy, "the agent is stopping")
        .remedy("kubelet tries again, and the next agent answers")
}

fn late(story: &Story) -> Problem {
    let problem = Problem::new(Reason::Timeout, "the mount was not done within its time");
    match story.waiting() {
        Some(store) => {
            problem.object(format!("store `{store}`")).remedy("the store did not answer; look at its state")
        }
        None => problem,
    }
}
