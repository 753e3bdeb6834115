//! The life of what was issued: the table of transitions, the spread of its times, and random lives against a model of a
//! backend.

mod jitter;
mod leaving;
mod model;
mod renewal;
mod replacing;
mod tokens;

use std::time::Duration;

use latchkey::clock::{Clock, Instant, Span};
use latchkey::model::lease::{
    Act, Entry, Event, Left, Moment, Offer, State, Terms, Ticket, Timing, Warning, Why,
};
use latchkey::model::{AccountName, Grant, Holder, Lease, LeaseId, Namespace, PodUid, Subject};
use latchkey::secret::{DigestKey, Secret};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn volume(name: &str) -> Holder {
    Holder::Volume { pod: PodUid::parse("a-pod").unwrap(), volume: name.to_owned() }
}

fn sync() -> Holder {
    let (namespace, account) = (Namespace::parse("web").unwrap(), AccountName::parse("app").unwrap());
    let plan = DigestKey::random().digest(&[b"plan"]);
    Holder::Sync { subject: Subject { namespace, account, pod: None }, plan }
}

fn grant(seconds: u64) -> Grant {
    Grant { granted: s(seconds), renewable: true }
}

/// An entry in a time of its own, which begins at zero. Chance is in the middle unless a test moves it.
struct Bed {
    entry: Entry,
    zero: Instant,
    now: Instant,
    timing: Timing,
    jitter: f64,
    others: Option<Instant>,
    /// What was to be done, and when.
    acts: Vec<(u64, Act)>,
}

impl Bed {
    fn new() -> Self {
        let now = Clock::system().now();
        let (entry, timing) = (Entry::default(), Timing::default());
        Self { entry, zero: now, now, timing, jitter: 0.5, others: None, acts: Vec::new() }
    }

    /// An entry whose one volume was given a lease at zero.
    fn lease(seconds: u64, renewable: bool) -> (Self, Ticket) {
        let mut bed = Self::new();
        let ticket = bed.mount(&volume("a"), bed.leased(seconds, renewable));
        (bed, ticket)
    }

    fn leased(&self, seconds: u64, renewable: bool) -> Terms {
        let id = LeaseId(Secret::from_text("database/creds/web/1".to_owned()));
        Terms::lease(&Lease { id, granted: s(seconds), renewable, issued: self.now })
    }

    fn span(&self, seconds: u64) -> Span {
        Span { from: self.now, until: Some(self.now + s(seconds)) }
    }

    fn secs(&self) -> u64 {
        self.now.since(self.zero).as_secs()
    }

    fn moment<'a>(timing: &'a Timing, now: Instant, jitter: f64, others: Option<Instant>) -> Moment<'a> {
        Moment { now, timing, jitter, others }
    }

    fn step(&mut self, event: Event<'_>) -> Vec<Act> {
        let at = Self::moment(&self.timing, self.now, self.jitter, self.others);
        let acts = self.entry.step(event, &at);
        let secs = self.secs();
        self.acts.extend(acts.iter().map(|act| (secs, *act)));
        acts
    }

    fn offer(&mut self, holder: &Holder) -> Offer {
        self.step(Event::Polled(holder));
        self.entry.offer(self.now)
    }

    /// A mount that succeeds: with what there is, or with a new one on these terms.
    fn mount(&mut self, holder: &Holder, terms: Terms) -> Ticket {
        let ticket = match self.offer(holder) {
            Offer::Deliver(ticket) => ticket,
            Offer::Issue | Offer::Replace(_) => {
                self.step(Event::Issued(terms));
                self.entry.current().unwrap()
            }
        };
        self.step(Event::Delivered(holder, ticket));
        ticket
    }

    /// Lets time pass, to so many seconds after zero, with a tick whenever the entry wants one.
    fn until(&mut self, seconds: u64) -> Vec<(u64, Act)> {
        let (end, from) = (self.zero + s(seconds), self.acts.len());
        while let Some(next) = self.entry.next(&self.timing).filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.step(Event::Tick);
            let at = Self::moment(&self.timing, self.now, self.jitter, self.others);
            let later = self.entry.next(&self.timing).is_none_or(|next| next > self.now);
            assert!(
                later || self.entry.over(&at),
                "it wants to be looked at all the time at {}",
                self.secs()
            );
            if self.entry.over(&at) {
                break;
            }
        }
        self.now = end;
        self.acts[from..].to_vec()
    }

    /// The same, with a poll each minute for which there is something.
    fn polled_until(&mut self, holder: &Holder, seconds: u64) {
        let from = self.secs() / 60;
        for minute in from + 1..=seconds / 60 {
            self.until(minute * 60);
            let ticket = self.entry.current().unwrap();
            assert_eq!(self.offer(holder), Offer::Deliver(ticket), "at {}", minute * 60);
            self.step(Event::Delivered(holder, ticket));
        }
        self.until(seconds);
    }

    fn over(&self) -> bool {
        self.entry.over(&Self::moment(&self.timing, self.now, self.jitter, self.others))
    }

    fn state(&self, ticket: Ticket) -> Option<State> {
        self.entry.views(self.now).into_iter().find(|view| view.ticket == ticket).map(|view| view.state)
    }

    fn ends(&self, ticket: Ticket) -> Option<u64> {
        let view = self.entry.views(self.now).into_iter().find(|view| view.ticket == ticket)?;
        Some(view.ends?.since(self.zero).as_secs())
    }
}
