//! What becomes of a mount on record: one figure, one log line where it matters, and audit lines. No outcome has none.

use std::fmt::Write as _;
use std::sync::Arc;

use super::delivered::Compared;
use super::plans::Planned;
use super::{Delivery, Engine};
use crate::audit::{Caller, Event, Line, Outcome, Source};
use crate::clock::Instant;
use crate::error::{Problem, Problems, Reason};
use crate::model::{self, Call, Holder, Material, StoreName, Subject};
use crate::secret::{Digest, fill_random};

/// Who calls the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A driver, or the sync controller, over a socket.
    Driver,
    /// `latchkey mount`.
    Cli,
}

/// Who bears a mount, as the trail names them.
pub(super) struct Bearer {
    provider: &'static str,
    subject: Option<Subject>,
    caller: Caller,
    volume: Option<String>,
}

/// What is known of a mount so far. It survives a panic of the mount itself.
pub(super) struct Story {
    id: String,
    started: Instant,
    origin: Origin,
    bearer: Arc<Bearer>,
    call: Option<Arc<Call>>,
    planned: Option<Arc<Planned>>,
    waiting: Option<String>,
    /// Of each source: absent, or its version where the backend has one.
    got: Vec<Option<Option<String>>>,
}

impl Story {
    pub(super) fn begin(provider: &'static str, origin: Origin, started: Instant) -> Self {
        let mut id = [0u8; 8];
        fill_random(&mut id);
        let id = id.iter().fold(String::with_capacity(16), |mut id, byte| {
            let _ = write!(id, "{byte:02x}");
            id
        });
        let caller = match origin {
            Origin::Driver => Caller::Driver,
            Origin::Cli => Caller::Cli,
        };
        let bearer = Arc::new(Bearer { provider, subject: None, caller, volume: None });
        Self { id, started, origin, bearer, call: None, planned: None, waiting: None, got: Vec::new() }
    }

    /// Takes the call in, which says who asks.
    pub(super) fn of(&mut self, call: Call) -> Arc<Call> {
        let (caller, volume) = match (&call.caller, self.origin) {
            (_, Origin::Cli) => (Caller::Cli, None),
            (model::Caller::Volume { volume, .. }, Origin::Driver) => (Caller::Driver, Some(volume.clone())),
            (model::Caller::Sync, Origin::Driver) => (Caller::Sync, None),
        };
        let provider = self.bearer.provider;
        self.bearer = Arc::new(Bearer { provider, subject: Some(call.subject.clone()), caller, volume });
        let call = Arc::new(call);
        self.call = Some(Arc::clone(&call));
        call
    }

    pub(super) fn planned(&mut self, planned: &Arc<Planned>) {
        self.planned = Some(Arc::clone(planned));
    }

    /// Says which stores are asked, for the text of a mount that is not done in time.
    pub(super) fn reading<'a>(&mut self, stores: impl Iterator<Item = &'a StoreName>) {
        let names: Vec<&str> = stores.map(StoreName::as_str).collect();
        self.waiting = Some(names.join(", "));
    }

    pub(super) fn got(&mut self, answers: &[Option<Material>]) {
        self.waiting = None;
        let version = |material: &Material| material.parts.first().and_then(|part| part.version.clone());
        self.got = answers.iter().map(|answer| answer.as_ref().map(version)).collect();
    }

    pub(super) fn waiting(&self) -> Option<&str> {
        self.waiting.as_deref()
    }

    fn holder(&self) -> Option<Holder> {
        Some(self.call.as_ref()?.holder(self.planned.as_ref()?.digest))
    }
}

impl Engine {
    /// Puts the mount on record and hands its result on; an audit line that must be written and cannot be makes it
    /// `busy`.
    pub(super) async fn account(
        &self,
        story: Story,
        result: Result<Delivery, Problems>,
    ) -> Result<Delivery, Problems> {
        let holder = story.holder();
        let first = holder.as_ref().is_none_or(|holder| !self.delivered.knows(holder));
        let took = self.parts.clock.now() - story.started;
        let recorded = match &result {
            Ok(delivery) => self.deliver(&story, holder.as_ref(), delivery).await,
            Err(problems) => self.refuse(&story, problems).await,
        };
        let result = match recorded {
            Ok(()) => result,
            Err(problem) => Err(problem.into()),
        };
        let provider = story.bearer.provider;
        match &result {
            Ok(_) => {
                self.parts.metrics.mount(provider, "delivered", "", first, took);
                if let (Some(volume), Some(subject)) = (&story.bearer.volume, &story.bearer.subject) {
                    let pod = subject.pod.as_ref().map_or("", |pod| pod.name.as_str());
                    let now = self.parts.clock.wall();
                    self.parts.metrics.volume_success(subject.namespace.as_str(), pod, volume, now.seconds());
                }
            }
            Err(problems) => {
                let reason = problems.reason();
                self.parts.metrics.mount(provider, word(reason), reason.label(), first, took);
                tracing::warn!(
                    mount = story.id, provider, reason = reason.label(), first,
                    subject = story.bearer.subject.as_ref().map(tracing::field::display),
                    pod = story.bearer.pod(), class = story.call.as_ref().and_then(|call| call.class.as_deref()),
                    "not mounted: {problems}"
                );
            }
        }
        result
    }

    async fn deliver(&self, story: &Story, holder: Option<&Holder>, delivery: &Delivery) -> Result<(), Problem> {
        let Some(holder) = holder else { return Ok(()) };
        let objects = || objects(delivery);
        let bearer = || Arc::clone(&story.bearer);
        let now = self.parts.clock.now();
        let compared = self.delivered.note(holder, delivery.rendered.digest(), objects, bearer, now);
        let before = match compared {
            Compared::First => Vec::new(),
            Compared::Changed(before) => before,
            Compared::Unchanged(due) => {
                tracing::debug!(mount = story.id, provider = story.bearer.provider, "mounted, unchanged");
                if let Some(count) = due {
                    self.summary(&story.bearer, count).await;
                }
                if !self.parts.audit_all_polls {
                    return Ok(());
                }
                objects()
            }
        };
        let changed = !matches!(compared_word(&before, delivery), Outcome::Unchanged);
        if changed {
            tracing::info!(
                mount = story.id, provider = story.bearer.provider, first = before.is_empty(),
                subject = story.bearer.subject.as_ref().map(tracing::field::display),
                pod = story.bearer.pod(), files = delivery.rendered.files().len(),
                class = story.call.as_ref().and_then(|call| call.class.as_deref()), "mounted"
            );
        }
        let now = crate::engine::account::objects(delivery);
        let lines = delivery.plan.sources().iter().enumerate().map(|(index, source)| {
            let outcome = match story.got.get(index) {
                Some(None) | None => Outcome::Missing,
                Some(Some(_)) if before.get(index) == now.get(index) => Outcome::Unchanged,
                Some(Some(_)) => Outcome::Changed,
            };
            let mut line = self.line(story, Event::Deliver, outcome);
            line.store = Some(source.access.store().to_string());
            line.endpoint = Some(source.access.endpoint().to_owned());
            line.object = Some(source.locator.to_string());
            line.version = story.got.get(index).cloned().flatten().flatten();
            line.source = Some(Source::Backend);
            self.token(&mut line, story, source);
            line
        });
        self.write(story, lines.collect()).await
    }
}
