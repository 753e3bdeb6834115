//! Budgets with a backend behind them that answers as a test says and remembers who asked when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchkey::clock::{Clock, Instant, Wall};
use latchkey::engine::budget::{Budgets, Limits, Turn, Work};
use latchkey::error::{Fault, Problem, Reason, Retry};
use latchkey::model::{Address, Endpoint, Origin, StoreName, Tls};
use latchkey::secret::{Digest, DigestKey};
use latchkey::telemetry::Metrics;

pub(super) const SITE: &str = "https://vault.corp:8200";
pub(super) const HARMLESS: Work = Work::Read { harmless: true };

/// Cheap to clone; clones are the same.
#[derive(Clone)]
pub(super) struct Bed {
    pub(super) budgets: Arc<Budgets>,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) start: Instant,
    pub(super) seen: Arc<Mutex<Seen>>,
}

/// What the backend saw.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) calls: Vec<Call>,
    now: BTreeMap<u32, usize>,
    pub(super) most: usize,
    pub(super) most_of_one: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// Since the start.
    pub(super) at: Duration,
    pub(super) who: u32,
    pub(super) first: bool,
}

/// Who asks for what until when.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    pub(super) who: u32,
    pub(super) first: bool,
    pub(super) work: Work,
    pub(super) within: Duration,
    pub(super) endpoint: Option<&'static str>,
    pub(super) ca: Option<&'static str>,
    pub(super) tenant: u32,
}

pub(super) fn ask(who: u32) -> Ask {
    Ask {
        who,
        first: true,
        work: HARMLESS,
        within: Duration::from_secs(90),
        endpoint: Some(SITE),
        ca: None,
        tenant: 0,
    }
}

impl Bed {
    pub(super) fn new() -> Self {
        Self::with(Limits::default(), 1)
    }

    pub(super) fn with(limits: Limits, seed: u64) -> Self {
        let clock = Clock::paused(Wall::from_seconds(1_800_000_000));
        let metrics = Metrics::new("1.2.3", false, clock);
        let budgets = Arc::new(Budgets::seeded(clock, metrics.clone(), limits, seed));
        Self { budgets, clock, metrics, start: clock.now(), seen: Arc::default() }
    }

    /// As the engine calls; the backend takes `takes` and answers what `answer` says to the number of the call.
    pub(super) async fn call(
        &self,
        ask: Ask,
        takes: Duration,
        mut answer: impl FnMut(usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let endpoint = ask.endpoint.map(|address| Endpoint {
            address: Address::parse(address).unwrap(),
            origin: Origin::Administrator,
            tls: Tls { ca: ask.ca.map(Into::into), ..Tls::default() },
        });
        let turn = Turn {
            store: &StoreName::parse("vault").unwrap(),
            endpoint: endpoint.as_ref(),
            principal: principal(ask.who),
            tenant: principal(ask.tenant),
            first: ask.first,
            deadline: self.clock.now() + ask.within,
            work: ask.work,
        };
        let mut number = 0;
        self.budgets
            .attempt(&turn, || {
                number += 1;
                let (visit, answer, clock) = (Visit::begin(self, ask), answer(number), self.clock);
                async move {
                    let _visit = visit;
                    clock.sleep(takes).await;
                    answer
                }
            })
            .await
    }

    /// One that succeeds at once.
    pub(super) async fn fine(&self, ask: Ask) -> Result<(), Fault> {
        self.call(ask, Duration::ZERO, |_| Ok(())).await
    }

    pub(super) fn since(&self) -> Duration {
        self.clock.now() - self.start
    }

    pub(super) async fn until(&self, at: Duration) {
        self.clock.sleep_until(self.start + at).await;
    }

    /// When calls came.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.seen.lock().unwrap().calls.clone()
    }

    pub(super) fn now(&self) -> usize {
        self.seen.lock().unwrap().now.values().sum()
    }

    /// The value of a series; 0 where it is not there.
    pub(super) fn figure(&self, series: &str) -> f64 {
        let text = self.metrics.encode();
        let line = text.lines().find(|line| line.starts_with(series));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }
}

/// A call that the backend has not answered yet.
struct Visit {
    seen: Arc<Mutex<Seen>>,
    who: u32,
}

impl Visit {
    fn begin(bed: &Bed, ask: Ask) -> Self {
        let mut seen = bed.seen.lock().unwrap();
        seen.calls.push(Call { at: bed.since(), who: ask.who, first: ask.first });
        *seen.now.entry(ask.who).or_default() += 1;
        seen.most = seen.most.max(seen.now.values().sum());
        seen.most_of_one = seen.most_of_one.max(seen.now[&ask.who]);
        Self { seen: Arc::clone(&bed.seen), who: ask.who }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut seen = self.seen.lock().unwrap();
        *seen.now.get_mut(&self.who).unwrap() -= 1;
    }
}

pub(super) fn principal(who: u32) -> Digest {
    DigestKey::new(&[7; 16]).digest(&[&who.to_be_bytes()])
}

pub(super) fn fault(reason: Reason, what: &str) -> Fault {
    Fault { problem: Problem::new(reason, what), retry: Retry::Backoff, doubtful: false, answered: false }
}

pub(super) fn unreachable() -> Fault {
    fault(Reason::Unreachable, "refuses the connection")
}

pub(super) fn throttled(after: Option<u64>) -> Fault {
    let retry = after.map_or(Retry::Backoff, |after| Retry::After(Duration::from_secs(after)));
    Fault { retry, ..fault(Reason::Throttled, "429") }
}

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
