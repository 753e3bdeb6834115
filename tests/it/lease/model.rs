//! Random lives against a model of a backend: what always holds.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::jitter::chance;
use super::*;

/// A backend, two volumes of a pod, and what goes wrong. In seconds.
#[derive(Clone, Debug)]
struct Plan {
    ttl: u64,
    max: u64,
    renewable: bool,
    /// The policy does not let anybody renew.
    forbidden: bool,
    cadence: [u64; 2],
    outages: Vec<(u64, u64)>,
    /// When somebody else revokes what there is.
    revoked: Vec<u64>,
    /// Of a hundred mounts, so many fail for another reason.
    failing: u32,
    gone: u64,
    seed: u64,
}

fn plans() -> impl Strategy<Value = Plan> {
    let life = (60u64..7200, 1u64..12, prop::bool::weighted(0.8), prop::bool::weighted(0.1));
    let polls = prop::array::uniform2(20u64..150);
    let outages = prop_oneof![Just(vec![]), prop::collection::vec((0u64..80_000, 1u64..5_000), 1..6)];
    let revoked = prop_oneof![Just(vec![]), prop::collection::vec(0u64..80_000, 1..6)];
    let rest = (prop_oneof![Just(0u32), 1u32..60], 600u64..80_000, any::<u64>());
    (life, polls, outages, revoked, rest).prop_map(|(life, cadence, outages, revoked, rest)| {
        let (ttl, times, renewable, forbidden) = life;
        let (failing, gone, seed) = rest;
        let max = ttl * times + ttl / 3 * (seed % 3);
        Plan { ttl, max, renewable, forbidden, cadence, outages, revoked, failing, gone, seed }
    })
}

impl Plan {
    fn calm(&self) -> bool {
        self.outages.is_empty() && self.revoked.is_empty()
    }

    /// The longest life of one lease.
    fn life(&self) -> u64 {
        if self.renewable && !self.forbidden { self.max } else { self.ttl }
    }

    /// The slowest poll: cadences are spread by a fifth, and are taken for two minutes at first.
    fn slowest(&self) -> u64 {
        (self.cadence[0].max(self.cadence[1]) * 6 / 5 + 1).max(120)
    }

    /// The overlap that the machine keeps: how long before its last end something is replaced at the earliest.
    fn overlap(&self) -> u64 {
        (self.ttl * 2 / 5).max((self.slowest() * 2).min(self.life() * 2 / 3)) + 2
    }
}

/// A lease at the backend.
struct Row {
    end: Instant,
    max: Instant,
    revoked: bool,
    /// Since when no volume has it that is still there.
    free: Option<Instant>,
}

struct Run {
    plan: Plan,
    bed: Bed,
    seed: u64,
    rows: BTreeMap<Ticket, Row>,
    has: [Option<Ticket>; 2],
    gone: bool,
    renewals: Vec<Instant>,
    behind: Vec<u64>,
}

const NAMES: [&str; 2] = ["a", "b"];

impl Run {
    fn new(plan: Plan) -> Self {
        let (seed, mut behind) = (plan.seed, plan.revoked.clone());
        behind.sort_unstable();
        let (rows, renewals) = (BTreeMap::new(), Vec::new());
        Self { plan, bed: Bed::new(), seed, rows, has: [None; 2], gone: false, renewals, behind }
    }

    fn chance(&mut self) -> f64 {
        chance(&mut self.seed)
    }

    fn out(&self) -> bool {
        let now = self.bed.secs();
        self.plan.outages.iter().any(|(from, long)| (*from..from + long).contains(&now))
    }

    fn alive(&self, ticket: Ticket) -> bool {
        let row = &self.rows[&ticket];
        !row.revoked && self.bed.now < row.end
    }

    fn step(&mut self, event: Event<'_>) -> Result<(), TestCaseError> {
        self.bed.jitter = self.chance();
        for act in self.bed.step(event) {
            match act {
                Act::Renew(ticket) => self.renew(ticket)?,
                Act::Revoke(ticket) => self.revoke(ticket)?,
                Act::StopRenewing(_) => prop_assert!(false, "nobody was silent"),
                Act::Forget(_) | Act::Warn(_) => {}
            }
        }
        Ok(())
    }

    fn renew(&mut self, ticket: Ticket) -> Result<(), TestCaseError> {
        let now = self.bed.now;
        self.renewals.push(now);
        let minute = self.renewals.iter().rev().take_while(|at| now.since(**at) < s(60)).count();
        prop_assert!(minute <= 12, "{minute} renewals in a minute");
        if self.out() {
            return self.step(Event::Refused(ticket, Why::Outage));
        }
        if !self.alive(ticket) {
            return self.step(Event::Refused(ticket, Why::NotFound));
        }
        if self.plan.forbidden {
            return self.step(Event::Refused(ticket, Why::Forbidden));
        }
        let (ttl, row) = (s(self.plan.ttl), self.rows.get_mut(&ticket).unwrap());
        let granted = s(row.max.since(now).min(ttl).as_secs());
        row.end = now + granted;
        self.step(Event::Renewed(ticket, Grant { granted, renewable: true }, now))
    }

    fn revoke(&mut self, ticket: Ticket) -> Result<(), TestCaseError> {
        prop_assert!(self.gone || !self.has.contains(&Some(ticket)), "revoked while a volume has it");
        if self.out() {
            return self.step(Event::NotRevoked(ticket));
        }
        self.rows.get_mut(&ticket).unwrap().revoked = true;
        self.step(Event::Revoked(ticket))
    }

    /// The backend issues one, if it is there.
    fn issue(&mut self) -> Result<Option<Ticket>, TestCaseError> {
        if self.out() {
            self.step(Event::NotIssued)?;
            return Ok(None);
        }
        let now = self.bed.now;
        let terms = self.bed.leased(self.plan.ttl, self.plan.renewable);
        let row =
            Row { end: now + s(self.plan.ttl), max: now + s(self.plan.max), revoked: false, free: None };
        self.step(Event::Issued(terms))?;
        let ticket = self.bed.entry.current().unwrap();
        self.rows.insert(ticket, row);
        Ok(Some(ticket))
    }

    /// Nothing is minted before its time: neither in an outage nor out of it.
    fn justified(&self, ticket: Ticket) -> Result<(), TestCaseError> {
        let (row, now) = (&self.rows[&ticket], self.bed.now);
        let healthy = self.plan.outages.is_empty() && self.plan.renewable && !self.plan.forbidden;
        let end = if healthy { row.max } else { row.end };
        let left = end.since(now);
        prop_assert!(
            left <= s(self.plan.overlap()),
            "replaced {left:?} before its end at {}",
            self.bed.secs()
        );
        Ok(())
    }

    fn poll(&mut self, at: usize) -> Result<(), TestCaseError> {
        let holder = volume(NAMES[at]);
        let polls = 5 * self.plan.cadence[0].max(self.plan.cadence[1]);
        if let Some(ticket) = self.has[at]
            && self.plan.calm()
            && self.plan.failing == 0
            && self.plan.ttl >= polls.max(600)
        {
            prop_assert!(self.alive(ticket), "what a volume had died before its poll at {}", self.bed.secs());
        }
        self.step(Event::Polled(&holder))?;
        let fails = self.chance() * 100.0 < f64::from(self.plan.failing);
        let ticket = match self.bed.entry.offer(self.bed.now) {
            Offer::Deliver(ticket) => Some(ticket),
            Offer::Issue => {
                let good = self.rows.keys().next_back().is_some_and(|last| self.alive(*last));
                prop_assert!(!good, "one was asked for although there is a good one");
                self.issue()?
            }
            Offer::Replace(ticket) => {
                self.justified(ticket)?;
                self.issue()?.or(Some(ticket))
            }
        };
        let Some(ticket) = ticket.filter(|_| !fails) else { return Ok(()) };
        let row = &self.rows[&ticket];
        prop_assert!(self.bed.now < row.end, "given past its end at {}", self.bed.secs());
        prop_assert!(!row.revoked || !self.plan.revoked.is_empty(), "given after it was revoked");
        self.has[at] = Some(ticket);
        self.step(Event::Delivered(&holder, ticket))
    }

    /// What nobody has any more has ended once its overlap is over.
    fn ended(&mut self) -> Result<(), TestCaseError> {
        let (now, current) = (self.bed.now, self.bed.entry.current());
        for (ticket, row) in &mut self.rows {
            if self.has.contains(&Some(*ticket)) || current == Some(*ticket) {
                row.free = None;
            } else if !row.revoked && now < row.end {
                let free = now.since(*row.free.get_or_insert(now));
                let late = self.plan.outages.is_empty() && free > s(601);
                prop_assert!(!late, "{ticket:?} is superseded, and was still alive after {free:?}");
            }
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), TestCaseError> {
        self.step(Event::Tick)?;
        let next = self.bed.entry.next(&self.bed.timing);
        let later = next.is_none_or(|next| next > self.bed.now);
        prop_assert!(
            later || self.bed.over(),
            "it wants to be looked at all the time at {}",
            self.bed.secs()
        );
        Ok(())
    }

    fn revoked_behind(&mut self) {
        while self.behind.first().is_some_and(|at| *at <= self.bed.secs()) {
            self.behind.remove(0);
            if let Some((_, row)) = self.rows.iter_mut().next_back() {
                row.revoked = true;
            }
        }
    }

    fn live(&mut self) -> Result<(), TestCaseError> {
        let end = self.bed.zero + s(self.plan.gone);
        let mut polls = [self.bed.zero, self.bed.zero + s(self.plan.seed % 40)];
        loop {
            let at = usize::from(polls[1] < polls[0]);
            let tick = self.bed.entry.next(&self.bed.timing).filter(|tick| *tick <= polls[at]);
            let now = tick.unwrap_or(polls[at]);
            if now >= end {
                break;
            }
            self.bed.now = self.bed.now.max(now);
            self.revoked_behind();
            if tick.is_some() && !self.bed.over() {
                self.tick()?;
            } else {
                self.poll(at)?;
                polls[at] = now + s(self.plan.cadence[at]).mul_f64(0.8 + 0.4 * self.chance());
            }
            self.ended()?;
        }
        self.bed.now = end;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), TestCaseError> {
        self.gone = true;
        let (from, count) = (self.bed.now, self.rows.len());
        for name in NAMES {
            self.step(Event::Left(&volume(name), Left::Gone))?;
        }
        while let Some(next) = self.bed.entry.next(&self.bed.timing).filter(|_| !self.bed.over()) {
            self.bed.now = self.bed.now.max(next);
            self.tick()?;
        }
        prop_assert!(self.bed.over() && self.rows.len() == count);
        let took = self.bed.now.since(from);
        prop_assert!(!self.plan.outages.is_empty() || took <= s(61), "all of it took {took:?}");
        let row = |row: &Row| row.revoked || row.end <= self.bed.now || !self.plan.outages.is_empty();
        prop_assert!(self.rows.values().all(row), "something was left behind");
        Ok(())
    }
}

fn run(plan: Plan) -> Result<(), TestCaseError> {
    let mut run = Run::new(plan);
    run.live()?;
    let plan = &run.plan;
    if plan.calm() && plan.life() > plan.overlap() {
        let most = 1 + plan.gone / (plan.life() - plan.overlap());
        prop_assert!(run.rows.len() as u64 <= most, "{} issues, {most} at most", run.rows.len());
    }
    run.leave()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_dead_is_given_nothing_is_minted_early_and_everything_ends(plan in plans()) {
        run(plan)?;
    }
}
