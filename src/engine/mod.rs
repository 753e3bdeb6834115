//! The engine owns everything that outlives a call: the tasks that mounts run on, what each holder was last given,
//! parsed plans. It reads like the sentence of a mount: parse, permit, fetch, render.
//!
//! A mount runs on a task of the engine's, not on its request: when the driver gives up, the handler is dropped, but
//! the mount is finished, counted and written into the audit trail all the same. A panic on that task is one mount's
//! failure. Sessions, caches and retries join here with the first remote store.

mod account;
mod delivered;
mod fetch;
mod plans;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::Audit;
use crate::clock::{Clock, Instant};
use crate::dialect::{Dialect, Facts};
use crate::error::{Problem, Problems, Reason};
use crate::model::{Call, Catalog, Envelope, Plan, Rendered, StoreName, VersionKey, render};
use crate::policy::{self, Rules};
use crate::secret::DigestKey;
use crate::store::Store;
use crate::telemetry::Metrics;
pub use account::Origin;
use account::Story;
use delivered::Delivered;
use plans::Plans;

/// Bounds of the engine; every one a key under `limits`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Mounts at work at once.
    pub mounts: usize,
    /// Largest encoded answer, in bytes: the driver's own limit of 4 MiB less a margin.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { mounts: 1024, answer_bytes: (4 << 20) - (64 << 10) }
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
    /// The administrator's rules.
    pub rules: Rules,
    /// The key of object versions.
    pub version_key: VersionKey,
    /// Bounds.
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
    places: Semaphore,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// A mount that succeeded.
pub struct Delivery {
    /// What the driver writes.
    pub rendered: Rendered,
    /// What it was made from.
    pub plan: Arc<Plan>,
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
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            digests: Arc::new(DigestKey::random()),
            plans: Plans::default(),
            delivered: Delivered::default(),
            places: Semaphore::new(parts.limits.mounts),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            parts,
        })
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
            Err(_) => Err(self.outside(provider, bug()).await),
        }
    }

    /// Accounts for a mount that was answered before it could begin: undecodable, or answered with a code that no
    /// mount may end in.
    pub async fn outside(&self, provider: &'static str, problem: Problem) -> Problems {
        let story = Story::begin(provider, Origin::Driver, self.parts.clock.now());
        match self.account(story, Err(problem.into())).await {
            Err(problems) => problems,
            Ok(_) => bug().into(),
        }
    }

    async fn run(&self, order: Order) -> Result<Delivery, Problems> {
        let mut story = Story::begin(order.dialect.provider(), order.origin, self.parts.clock.now());
        let steps = AssertUnwindSafe(self.steps(&order, &mut story)).catch_unwind();
        let result = tokio::select! {
            biased;
            result = self.parts.clock.until(order.deadline, steps) => match result {
                Some(Ok(result)) => result,
                Some(Err(_)) => Err(bug().into()),
                None => Err(late(&story).into()),
            },
            () = self.closing.cancelled() => Err(stopping().into()),
        };
        self.account(story, result).await
    }

    async fn steps(&self, order: &Order, story: &mut Story) -> Result<Delivery, Problems> {
        let call = Call::parse(&order.envelope)?;
        let call = story.of(call);
        let _place = self.places.try_acquire().map_err(|_| busy())?;
        if order.deadline.since(self.parts.clock.now()) < TIME_MIN {
            return Err(Problem::new(Reason::Timeout, "the caller allows too little time for a mount").into());
        }
        let facts = Facts { mode: call.mode, publish: call.publish.is_some() };
        let planned =
            self.plans.parse(&*order.dialect, &call.attributes, facts, &self.parts.catalog, &self.digests)?;
        story.planned(&planned);
        let permitted = policy::permit(Arc::clone(&planned.plan), &call.subject, &self.parts.rules)?;
        let got = self.fetch(&permitted, &call, order.deadline, story).await?;
        let rendered =
            render(permitted.plan(), &got, &self.parts.version_key, self.parts.limits.answer_bytes)?;
        Ok(Delivery { rendered, plan: Arc::clone(&planned.plan) })
    }

    /// Writes the counts of unchanged deliveries that are due; called every few minutes.
    pub async fn summarise(&self) {
        for (holder, count) in self.delivered.due(self.parts.clock.now()) {
            let _ = self.summary(&holder, count).await;
        }
    }

    /// Waits for the mounts at work until `deadline`, then answers the rest `busy`, and waits for those answers.
    pub async fn drain(&self, deadline: Instant) {
        self.tasks.close();
        if self.parts.clock.until(deadline, self.tasks.wait()).await.is_none() {
            self.closing.cancel();
            let last = self.parts.clock.now() + Duration::from_secs(1);
            self.parts.clock.until(last, self.tasks.wait()).await;
        }
        for (holder, count) in self.delivered.all() {
            let _ = self.summary(&holder, count).await;
        }
    }
}

/// Less than this and no backend is bothered: the answer could not be there in time.
const TIME_MIN: Duration = Duration::from_millis(10);

fn bug() -> Problem {
    Problem::new(Reason::Bug, "the agent failed on this mount by a fault of its own")
        .remedy("its log names the place; nobody else's mount is harmed")
}

fn busy() -> Problem {
    Problem::new(Reason::Busy, "the agent has as many mounts at work as it takes")
        .remedy("kubelet tries again; raise `limits.mounts` if it lasts")
}

fn stopping() -> Problem {
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
