//! What becomes of a mount on record: one figure, a log line where it matters, and audit lines. No outcome has none.

use std::sync::Arc;
use std::time::Duration;

use super::delivered::Compared;
use super::fetch::Got;
use super::objects::Key;
use super::plans::Planned;
use super::{Delivery, Engine};
use crate::audit::{Caller, Event, Line, MountId, Outcome};
use crate::clock::Instant;
use crate::error::{Problem, Problems, Reason};
use crate::model::{self, Access, Audience, Call, Holder, StoreName, Subject};
use crate::secret::Digest;
use crate::telemetry;

/// Who calls the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A driver, or the sync controller, over a socket.
    Driver,
    /// `latchkey mount`.
    Cli,
}

/// Who requests a mount, as the trail names them.
pub(super) struct Requester {
    provider: &'static str,
    subject: Option<Subject>,
    caller: Caller,
    volume: Option<String>,
}

/// For whom something is done that outlives its mount.
#[derive(Clone)]
pub(super) struct Witness {
    id: MountId,
    requester: Arc<Requester>,
}

/// What is known of a mount so far. It survives a panic of the mount itself.
pub(super) struct Story {
    id: MountId,
    started: Instant,
    origin: Origin,
    requester: Arc<Requester>,
    call: Option<Arc<Call>>,
    planned: Option<Arc<Planned>>,
    holder: Option<Holder>,
    waiting: Option<String>,
    /// Of each source what it got, if anything.
    got: Vec<Option<Got>>,
}

impl Story {
    pub(super) fn begin(id: MountId, provider: &'static str, origin: Origin, started: Instant) -> Self {
        let caller = if origin == Origin::Cli { Caller::Cli } else { Caller::Driver };
        Self {
            id,
            started,
            origin,
            requester: Arc::new(Requester { provider, subject: None, caller, volume: None }),
            call: None,
            planned: None,
            holder: None,
            waiting: None,
            got: Vec::new(),
        }
    }

    /// Takes the call in, which says who asks.
    pub(super) fn identify(&mut self, call: Call) -> Arc<Call> {
        let (caller, volume) = match (&call.caller, self.origin) {
            (_, Origin::Cli) => (Caller::Cli, None),
            (model::Caller::Volume { volume, .. }, Origin::Driver) => (Caller::Driver, Some(volume.clone())),
            (model::Caller::Sync, Origin::Driver) => (Caller::Sync, None),
        };
        let (provider, subject) = (self.requester.provider, Some(call.subject.clone()));
        self.requester = Arc::new(Requester { provider, subject, caller, volume });
        let call = Arc::new(call);
        self.call = Some(Arc::clone(&call));
        call
    }

    pub(super) fn planned(&mut self, planned: &Arc<Planned>) {
        self.planned = Some(Arc::clone(planned));
        self.holder = self.call.as_ref().map(|call| call.holder(planned.digest));
    }

    /// Says which stores are asked, for the text of a mount that is not done in time.
    pub(super) fn reading<'a>(&mut self, stores: impl Iterator<Item = &'a StoreName>) {
        let names: Vec<&str> = stores.map(StoreName::as_str).collect();
        self.waiting = Some(names.join(", "));
    }

    pub(super) fn got(&mut self, answers: &[Option<Got>]) {
        self.waiting = None;
        self.got = answers.to_vec();
    }

    pub(super) fn witness(&self) -> Witness {
        Witness { id: self.id, requester: Arc::clone(&self.requester) }
    }

    pub(super) fn waiting(&self) -> Option<&str> {
        self.waiting.as_deref()
    }

    pub(super) fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// What the mount's objects are kept under.
    fn keys(&self) -> Vec<Arc<Key>> {
        self.got.iter().flatten().filter_map(|got| got.key.clone()).collect()
    }

    /// Points a line at an object, and at the token that was used for it.
    fn point<'a>(&'a self, line: &mut Line<'a>, source: &'a model::Source, object: &'a Object) {
        line.store = Some(source.access.store().as_str());
        line.endpoint = Some(&object.endpoint);
        line.object = Some(&object.locator);
        if let (Some(audience), Some(call)) = (source.access.audience(), &self.call) {
            line.audience = Some(audience.as_str());
            line.jti = call.tokens.get(audience).and_then(|token| token.claims.id.as_deref());
        }
    }

    fn class(&self) -> Option<&str> {
        self.call.as_ref().and_then(|call| call.class.as_deref())
    }
}

/// How a line spells an object, and where it stands.
struct Object {
    locator: String,
    endpoint: String,
}

impl Object {
    fn of(source: &model::Source) -> Self {
        Self { locator: source.locator.to_string(), endpoint: endpoint(&source.access) }
    }
}

fn endpoint(access: &Access) -> String {
    let endpoint = access.endpoints().next();
    endpoint.map_or_else(|| "local".to_owned(), |endpoint| endpoint.address.site())
}

impl Requester {
    /// Names the requester in a line.
    fn name<'a>(&'a self, line: &mut Line<'a>) {
        line.provider = Some(self.provider);
        if let Some(subject) = &self.subject {
            *line = line.subject(subject);
        }
    }

    fn pod(&self) -> Option<&model::Pod> {
        self.subject.as_ref().and_then(|subject| subject.pod.as_ref())
    }
}

impl Engine {
    /// Puts the mount on record and hands its result on; an audit line that must be written and cannot be turns it
    /// into `busy`.
    pub(super) async fn account(
        &self,
        story: Story,
        result: Result<Delivery, Problems>,
    ) -> Result<Delivery, Problems> {
        let holder = story.holder();
        let first = holder.is_none_or(|holder| !self.delivered.knows(holder));
        let recorded = match (&result, holder) {
            (Ok(delivery), Some(holder)) => self.deliver(&story, holder, delivery).await,
            (Ok(_), None) => Err(Problem::new(Reason::Bug, "something was delivered to nobody")),
            (Err(problems), _) => self.refusal_lines(&story, problems).await,
        };
        let result = match (recorded, result) {
            (Ok(()), result) => result,
            (Err(unrecorded), Ok(_)) => Err(unrecorded.into()),
            (Err(unrecorded), Err(problems)) => Err(problems.and(unrecorded)),
        };
        self.count(&story, &result, first);
        result
    }

    fn count(&self, story: &Story, result: &Result<Delivery, Problems>, first: bool) {
        let requester = &story.requester;
        let outcome = match result {
            Ok(_) => telemetry::Outcome::Delivered,
            Err(problems) => telemetry::Outcome::of(problems.reason()),
        };
        let took = self.parts.clock.now() - story.started;
        self.parts.metrics.mount(requester.provider, outcome, first, took);
        if let (Some(volumes), Some(volume), Some(subject), Some(pod)) =
            (self.parts.metrics.volumes(), &requester.volume, &requester.subject, requester.pod())
        {
            let (namespace, pod) = (subject.namespace.as_str(), pod.name.as_str());
            match result {
                Ok(_) => volumes.delivered(namespace, pod, volume),
                Err(_) => volumes.failed(namespace, pod, volume),
            }
        }
        if let Err(problems) = result {
            tracing::warn!(
                mount = %story.id,
                provider = requester.provider,
                reason = problems.reason().label(),
                first,
                subject = requester.subject.as_ref().map(tracing::field::display),
                pod = requester.pod().map(|pod| pod.name.as_str()),
                class = story.class(),
                "not mounted: {problems}"
            );
        }
    }

    async fn deliver(&self, story: &Story, holder: &Holder, delivery: &Delivery) -> Result<(), Problem> {
        let (now, digest) = (self.parts.clock.now(), delivery.rendered.digest());
        let keys = story.keys();
        let before = match self.delivered.compare(holder, digest, &keys, now) {
            Compared::First => None,
            Compared::Changed(before) => Some(before),
            Compared::Unchanged(due) => {
                tracing::debug!(mount = %story.id, "mounted, unchanged");
                if self.parts.audit_all_polls {
                    let objects = self.contents(delivery);
                    return self.delivery_lines(story, delivery, &objects, &objects).await;
                }
                return match due {
                    Some(count) => self.summary(&story.requester, count).await,
                    None => Ok(()),
                };
            }
        };
        let first = before.is_none();
        let objects = self.contents(delivery);
        self.delivery_lines(story, delivery, &before.unwrap_or_default(), &objects).await?;
        let requester = Arc::clone(&story.requester);
        let evicted = self.delivered.remember(holder.clone(), digest, objects, keys, requester, now);
        self.summaries(evicted.into_iter().collect()).await;
        tracing::info!(
            mount = %story.id,
            provider = story.requester.provider,
            first,
            subject = story.requester.subject.as_ref().map(tracing::field::display),
            pod = story.requester.pod().map(|pod| pod.name.as_str()),
            class = story.class(),
            files = delivery.rendered.files().len(),
            "mounted"
        );
        Ok(())
    }

    /// One line for each object of a delivery.
    async fn delivery_lines(
        &self,
        story: &Story,
        delivery: &Delivery,
        before: &[Digest],
        now: &[Digest],
    ) -> Result<(), Problem> {
        let objects: Vec<Object> = delivery.plan.sources().iter().map(Object::of).collect();
        let sources = delivery.plan.sources().iter().zip(&objects).enumerate();
        let lines = sources.map(|(index, (source, object))| {
            let got = story.got.get(index).and_then(Option::as_ref);
            let outcome = match got {
                None => Outcome::Missing,
                Some(_) if before.get(index) == now.get(index) => Outcome::Unchanged,
                Some(_) => Outcome::Changed,
            };
            let mut line = self.line(story, Event::Deliver, outcome);
            story.point(&mut line, source, object);
            line.version = got.and_then(|got| got.material.parts.first()?.version.as_deref());
            line.source = got.map(|got| got.source);
            line
        });
        self.write(&story.requester, &lines.collect::<Vec<_>>()).await
    }

    /// One line for each object that failed, and one for what is about no object.
    async fn refusal_lines(&self, story: &Story, problems: &Problems) -> Result<(), Problem> {
        let sources: &[model::Source] = story.planned.as_ref().map_or(&[], |planned| planned.plan.sources());
        let known: Vec<(String, Object)> =
            sources.iter().map(|source| (source.label(), Object::of(source))).collect();
        let mut lines: Vec<Line<'_>> = Vec::new();
        for problem in problems.iter() {
            let reason = problem.reason;
            let mut line = self.line(story, Event::of(reason), Outcome::of(reason));
            line.reason = Some(reason);
            let object = problem.place.object.as_deref().unwrap_or_default();
            if let Some(index) = known.iter().position(|(label, _)| object.starts_with(label)) {
                story.point(&mut line, &sources[index], &known[index].1);
            } else if lines.iter().any(|line| line.object.is_none()) {
                continue;
            }
            lines.push(line);
        }
        self.write(&story.requester, &lines).await
    }

    /// Writes counts of unchanged deliveries. Nobody's mount waits for these lines, so a lost one is only counted.
    pub(super) async fn summaries(&self, counts: Vec<(Arc<Requester>, u64)>) {
        for (requester, count) in counts {
            let _ = self.summary(&requester, count).await;
        }
    }

    /// How many unchanged deliveries a holder got since its last line.
    pub(super) async fn summary(&self, requester: &Requester, count: u64) -> Result<(), Problem> {
        let mut line =
            Line::new(self.parts.clock.wall(), Event::Deliver, requester.caller, Outcome::Unchanged);
        requester.name(&mut line);
        line.polls = Some(count);
        self.write(requester, &[line]).await
    }

    /// A login at a backend, which many mounts may live on. It is told even where no mount waits for it any more.
    pub(super) async fn login_line(
        &self,
        witness: &Witness,
        access: &Access,
        token: Option<&str>,
        reason: Option<Reason>,
        took: Duration,
    ) {
        let Witness { id, requester } = witness;
        let outcome = reason.map_or(Outcome::Accepted, Outcome::of);
        let mut line = Line::new(self.parts.clock.wall(), Event::Login, requester.caller, outcome);
        let endpoint = endpoint(access);
        requester.name(&mut line);
        line.mount = Some(*id);
        line.store = Some(access.store().as_str());
        line.endpoint = Some(&endpoint);
        line.role = access.role();
        line.reason = reason;
        line.latency = Some(took);
        line.audience = access.audience().map(Audience::as_str);
        line.jti = token;
        // Where audit is required, the mount that waits meets the same sink with lines of its own.
        let _ = self.write(requester, &[line]).await;
    }

    fn line<'a>(&self, story: &'a Story, event: Event, outcome: Outcome) -> Line<'a> {
        let mut line = Line::new(self.parts.clock.wall(), event, story.requester.caller, outcome);
        story.requester.name(&mut line);
        line.mount = Some(story.id);
        line.latency = Some(self.parts.clock.now() - story.started);
        line
    }

    async fn write(&self, requester: &Requester, lines: &[Line<'_>]) -> Result<(), Problem> {
        let share = requester.subject.as_ref().map_or_else(String::new, ToString::to_string);
        self.parts.audit.record(&share, lines).await.map_err(Problem::from)
    }

    /// A digest of each object's files, in the order of the plan.
    fn contents(&self, delivery: &Delivery) -> Vec<Digest> {
        let (files, versions) = (delivery.rendered.files(), delivery.rendered.versions());
        let of = |source: usize| {
            let own = files.iter().zip(versions).filter(|(file, _)| file.source == source);
            let parts =
                own.map(|(file, version)| format!("{} {}", file.mode, version.version)).collect::<Vec<_>>();
            self.digests.digest(&parts.iter().map(String::as_bytes).collect::<Vec<_>>())
        };
        (0..delivery.plan.sources().len()).map(of).collect()
    }
}
