//! The life of what was issued to somebody: leases, certificates, passwords that rotate, and the tokens themselves. Pure:
//! time and chance come in, acts go out. There is one [`Entry`] for each principal and locator, and one for each session. The
//! engine does not hold them yet: what is issued goes to the mount that asked, and ends by itself.
//!
//! ```text
//!            Offer::Issue                 renewed in full
//!   nothing ─────────────▶ pending ──▶ fresh ◀──────────▶ renewing ◀──▶ retrying (an outage: the end stays where it is)
//!                             │          │                    │             │
//!             nobody comes    │          │ cannot be renewed  │ truncated,  │ two polls before the end
//!             for it, 5 min   │          ▼                    ▼ refused     ▼
//!                             │         due ── Offer::Replace at the next poll ──▶ superseded, a newer one is fresh
//!                             │          │ past its end, or revoked behind our back    │ nobody has it any more, and
//!                             ▼          ▼                                             ▼ the overlap is over
//!                          revoking   nothing (Offer::Issue)                        revoking ──▶ nothing
//! ```
//!
//! * **Issued in a poll only.** [`Entry::offer`] says at a mount what to give; nothing is minted that nobody is there to take.
//! * **A failed renewal mints nothing.** In an outage it is tried again until the end, and a poll replaces only from two
//!   polls before the end on. The polls are as observed, holder by holder.
//! * **Suspicion stops renewal, only proof revokes.** A volume that polled regularly and fell silent while others are polled
//!   is renewed no more, and goes on at its next poll. Only holders that [`Left`] end an entry, after a grace.
//! * **An overlap begins when the last holder has the newer one**, not when that was issued: a mount may fail meanwhile.
//! * **Past its end nothing is offered.** The mount fails with the backend's fault, and the driver leaves the files alone.
//!
//! Every step may move the time at which the entry wants to be looked at: [`Entry::next`].

mod beat;
mod issue;
mod parting;
mod terms;
mod view;

use std::time::Duration;

use self::beat::Beat;
use self::issue::Issue;
use self::parting::Old;
pub use self::terms::{Class, Moment, Terms, Ticket, Timing};
pub use self::view::{State, View};
use super::{Grant, Holder};
use crate::clock::Instant;

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A holder asks for it, whatever its mount then ends in. [`Entry::offer`] says what there is for it.
    Polled(&'a Holder),
    /// The backend issued one: the ticket is [`Entry::current`] afterwards.
    Issued(Terms),
    /// The backend was asked for one and had none to give.
    NotIssued,
    /// A mount of the holder's succeeded, with this one in it.
    Delivered(&'a Holder, Ticket),
    /// [`Entry::next`] has come.
    Tick,
    /// A renewal succeeded; the time is from before it was sent.
    Renewed(Ticket, Grant, Instant),
    /// A renewal failed.
    Refused(Ticket, Why),
    /// The token that this hangs on ends then and cannot be renewed beyond; or `None`: it can be again.
    Limited(Ticket, Option<Instant>),
    /// A holder has no more use for it.
    Left(&'a Holder, Left),
    /// Of a token: it was superseded, and nothing hangs on it any more.
    Unused(Ticket),
    /// It was revoked; or it was gone already, or cannot be revoked.
    Revoked(Ticket),
    /// A revocation failed by an outage.
    NotRevoked(Ticket),
}

/// Why a renewal failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The backend was out, or the node: whatever says nothing about the lease.
    Outage,
    /// There is no such lease, or no such token: revoked behind our back.
    NotFound,
    /// It is good until its end, and cannot be renewed.
    NotRenewable,
    /// The same, by policy: the token is sound, and may not renew.
    Forbidden,
    /// The token that it hangs on is dead, and it with it.
    TokenDead,
}

/// How a holder left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Its pod is gone, and that is proved.
    Gone,
    /// Its class does not name the object any more. The pod runs, and may still use what it has.
    Released,
}

/// What is to be done. Each is answered by an [`Event`], but for what only is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Renew it: `Renewed` or `Refused`.
    Renew(Ticket),
    /// End it at the backend: `Revoked` or `NotRevoked`. Where the token that it hangs on is ended, that is done with it.
    Revoke(Ticket),
    /// It is over: nothing keeps its bytes.
    Forget(Ticket),
    /// Its holders have fallen silent, so that it is not renewed: to be told.
    StopRenewing(Ticket),
    /// Once in the life of an entry, to be told.
    Warn(Warning),
}

/// What somebody ought to know, since it takes a person to mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The token cannot be renewed for as long as the lease could: a `token_period` on its role would mend that.
    TokenEnds(Instant),
    /// Its end nears, and its holders are not polled, so that nothing newer can reach them: rotation is off.
    NotPolled(Instant),
    /// Its whole life is shorter than two polls, this long: each poll brings another, and one may end before the next.
    TooShort(Duration),
    /// The policy does not let the token renew it.
    RenewalForbidden,
}

/// What there is for a holder that polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Nothing: one has to be issued, and without it the mount fails.
    Issue,
    /// This one.
    Deliver(Ticket),
    /// A newer one has to be issued. Where the backend is out, this one is still good.
    Replace(Ticket),
}

/// What was issued under one key, and who has it.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    beats: Vec<Beat>,
    current: Option<Issue>,
    olds: Vec<Old>,
    last: Ticket,
    /// Since the last holder left: when everything ends.
    ending: Option<Instant>,
    /// Failures in a row to issue, and before when that is not tried again while there is something to give.
    failed: u32,
    hold: Option<Instant>,
    warned: Vec<Warning>,
}

impl Entry {
    /// Takes in what happened, and says what is to be done.
    pub fn step(&mut self, event: Event<'_>, at: &Moment<'_>) -> Vec<Act> {
        let mut acts = Vec::new();
        match event {
            Event::Polled(holder) => self.polled(holder, at, &mut acts),
            Event::Issued(terms) => self.issued(terms, at, &mut acts),
            Event::NotIssued => {
                self.failed = self.failed.saturating_add(1);
                self.hold = Some(at.now + terms::pause(self.failed, HOLD_MAX, at));
            }
            Event::Delivered(holder, ticket) => self.delivered(holder, ticket),
            Event::Tick => self.tick(at, &mut acts),
            Event::Renewed(ticket, grant, sent) => {
                let cadence = self.cadence();
                if let Some(issue) = self.issue(ticket) {
                    issue.renewed(grant, sent, at, cadence);
                }
            }
            Event::Refused(ticket, why) => self.refused(ticket, why, at, &mut acts),
            Event::Limited(ticket, limit) => self.limited(ticket, limit, &mut acts),
            Event::Left(holder, left) => self.left(holder, left, at),
            Event::Unused(ticket) => self.old(ticket, |old| old.end_now(at.now)),
            Event::Revoked(ticket) => self.old(ticket, |old| old.forget(&mut acts)),
            Event::NotRevoked(ticket) => self.old(ticket, |old| old.not_revoked(at)),
        }
        self.settle(at, &mut acts);
        acts
    }

    /// What there is for a holder, after [`Event::Polled`].
    pub fn offer(&self, now: Instant) -> Offer {
        let Some(issue) = self.current.as_ref().filter(|issue| issue.good(now)) else { return Offer::Issue };
        let held = self.hold.is_some_and(|until| now < until);
        if issue.due(now, self.cadence()) && !held {
            Offer::Replace(issue.ticket)
        } else {
            Offer::Deliver(issue.ticket)
        }
    }

    /// What was issued last, while it is good.
    pub fn current(&self) -> Option<Ticket> {
        self.current.as_ref().map(|issue| issue.ticket)
    }

    /// Of a token: until when at most what hangs on it can last, once that is certain: [`Event::Limited`].
    pub fn bound(&self, ticket: Ticket) -> Option<Instant> {
        match &self.current {
            Some(issue) if issue.ticket == ticket => issue.bound(),
            Some(_) | None => self.olds.iter().find(|old| old.ticket == ticket).and_then(|old| old.end),
        }
    }

    /// Whether there is nothing left, and nobody who came a short while ago.
    pub fn over(&self, at: &Moment<'_>) -> bool {
        let gone = |beat: &Beat| beat.last + at.timing.pending <= at.now;
        self.current.is_none() && self.olds.is_empty() && self.beats.iter().all(gone)
    }

    /// When it wants [`Event::Tick`]; never earlier than a moment after the last one. `None`: not of itself.
    pub fn next(&self, timing: &Timing) -> Option<Instant> {
        let mut next: Vec<Option<Instant>> = self.olds.iter().map(Old::next).collect();
        if let Some(issue) = &self.current {
            next.push(issue.end());
            next.push(issue.renewal.next().filter(|_| !self.beats.is_empty()));
            next.push(self.pending(issue, timing));
            next.push(self.unpolled(issue));
            next.push(self.ending);
        } else if self.olds.is_empty() {
            next.push(self.beats.iter().map(|beat| beat.last + timing.pending).max());
        }
        next.into_iter().flatten().min()
    }

    fn polled(&mut self, holder: &Holder, at: &Moment<'_>, acts: &mut Vec<Act>) {
        self.ending = None;
        match self.beats.iter_mut().find(|beat| beat.holder == *holder) {
            Some(beat) => beat.polled(at.now),
            None => self.beats.push(Beat::new(holder.clone(), at.now)),
        }
        let cadence = beat::observed(&self.beats);
        let Some(issue) = &mut self.current else { return };
        issue.renewal.resume(at.now);
        let short = cadence.and_then(|cadence| issue.whole().filter(|life| *life < cadence * 2));
        if let Some(life) = short {
            self.warn(Warning::TooShort(life), acts);
        }
    }

    fn issued(&mut self, terms: Terms, at: &Moment<'_>, acts: &mut Vec<Act>) {
        self.last = self.last.next();
        (self.failed, self.hold) = (0, None);
        let issue = Issue::new(self.last, terms, at, self.cadence());
        let limit = terms.limit.filter(|_| issue.cut());
        if let Some(before) = self.current.replace(issue) {
            self.part(before, at, acts);
        }
        if let Some(limit) = limit {
            self.warn(Warning::TokenEnds(limit), acts);
        }
        if self.beats.is_empty() && self.ending.is_none() {
            // Whoever asked left while it was on its way.
            self.ending = Some(at.now + at.timing.grace);
        }
    }

    /// What is not current any more: kept while there is something to end, forgotten otherwise.
    fn part(&mut self, issue: Issue, at: &Moment<'_>, acts: &mut Vec<Act>) {
        match Old::new(&issue, at) {
            Some(old) => self.olds.push(old),
            None => acts.push(Act::Forget(issue.ticket)),
        }
    }

    fn delivered(&mut self, holder: &Holder, ticket: Ticket) {
        let Some(beat) = self.beats.iter_mut().find(|beat| beat.holder == *holder) else { return };
        beat.has = Some(ticket);
        let sync = beat.is_sync();
        if let Some(issue) = self.issue(ticket) {
            issue.delivered = true;
            issue.lapses |= sync;
        }
        self.old(ticket, |old| old.lapses |= sync);
    }

    fn refused(&mut self, ticket: Ticket, why: Why, at: &Moment<'_>, acts: &mut Vec<Act>) {
        if matches!(why, Why::NotFound | Why::TokenDead) {
            self.old(ticket, |old| old.forget(acts));
        }
        let Some(issue) = self.issue(ticket) else { return };
        issue.refused(why, at);
        if why == Why::Forbidden {
            self.warn(Warning::RenewalForbidden, acts);
        }
    }

    fn limited(&mut self, ticket: Ticket, limit: Option<Instant>, acts: &mut Vec<Act>) {
        self.old(ticket, |old| old.end = [old.end, limit].into_iter().flatten().min());
        let Some(issue) = self.issue(ticket) else { return };
        issue.limit = limit;
        if let Some(limit) = limit.filter(|_| issue.cut()) {
            self.warn(Warning::TokenEnds(limit), acts);
        }
    }

    fn left(&mut self, holder: &Holder, left: Left, at: &Moment<'_>) {
        let before = self.beats.len();
        self.beats.retain(|beat| beat.holder != *holder);
        if self.beats.is_empty() && before > 0 {
            let wait = match left {
                Left::Gone => at.timing.grace,
                Left::Released => at.timing.overlap,
            };
            self.ending = Some(at.now + wait);
        }
    }

    fn tick(&mut self, at: &Moment<'_>, acts: &mut Vec<Act>) {
        let ending = self.ending.is_some_and(|end| end <= at.now);
        let late = |issue: &Issue| self.pending(issue, at.timing).is_some_and(|until| until <= at.now);
        let late = self.current.as_ref().is_some_and(late);
        if let Some(issue) = self.current.take_if(|_| ending || late) {
            self.part(issue, at, acts);
        }
        for old in &mut self.olds {
            if ending || (late && old.ticket == self.last) {
                old.end_now(at.now);
            }
            old.tick(at, acts);
        }
        self.ending = self.ending.filter(|_| !ending);
        let silent = self.beats.iter().all(|beat| beat.silent(at.now, at.others));
        let unpolled = self.current.as_ref().and_then(|issue| self.unpolled(issue));
        let Some(issue) = &mut self.current else { return };
        if !self.beats.is_empty() {
            acts.extend(issue.tick(at, silent));
        }
        if let Some(end) = issue.end().filter(|_| unpolled.is_some_and(|from| from <= at.now)) {
            self.warn(Warning::NotPolled(end), acts);
        }
    }

    /// What is over goes, and what nobody has any more goes into its overlap.
    fn settle(&mut self, at: &Moment<'_>, acts: &mut Vec<Act>) {
        if let Some(issue) = self.current.take_if(|issue| !issue.good(at.now)) {
            self.part(issue, at, acts);
        }
        self.olds.retain(|old| !old.over());
        for old in &mut self.olds {
            let had = self.beats.iter().any(|beat| beat.has == Some(old.ticket));
            old.settle(had, at);
        }
    }

    /// When what nobody was given is given up: a mount that failed comes again.
    fn pending(&self, issue: &Issue, timing: &Timing) -> Option<Instant> {
        let last = self.beats.iter().map(|beat| beat.last).max()?;
        (!issue.delivered).then(|| last + timing.pending)
    }

    /// From when on it is to be told that nothing newer can reach the holders.
    fn unpolled(&self, issue: &Issue) -> Option<Instant> {
        let told = self.warned.iter().any(|warning| matches!(warning, Warning::NotPolled(_)));
        let settled = beat::settled(&self.beats)?;
        issue.replace.filter(|_| !told).map(|from| from.max(settled))
    }

    /// As observed, or as usual.
    fn cadence(&self) -> Duration {
        beat::observed(&self.beats).unwrap_or(beat::ASSUMED)
    }

    fn issue(&mut self, ticket: Ticket) -> Option<&mut Issue> {
        self.current.as_mut().filter(|issue| issue.ticket == ticket)
    }

    fn old(&mut self, ticket: Ticket, act: impl FnOnce(&mut Old)) {
        if let Some(old) = self.olds.iter_mut().find(|old| old.ticket == ticket) {
            act(old);
        }
    }

    fn warn(&mut self, warning: Warning, acts: &mut Vec<Act>) {
        let same = |told: &Warning| std::mem::discriminant(told) == std::mem::discriminant(&warning);
        if !self.warned.iter().any(same) {
            self.warned.push(warning);
            acts.push(Act::Warn(warning));
        }
    }
}

/// The longest pause between attempts to replace what is still good.
const HOLD_MAX: Duration = Duration::from_secs(30);
