//! What is given now: when it is renewed, and when it has to be replaced.

use std::time::Duration;

use super::terms::{Class, LOST, Moment, PAUSE_MIN, Terms, Ticket, pause};
use super::{Act, Why};
use crate::clock::Instant;
use crate::model::Grant;

/// One thing that was issued.
#[derive(Clone, Debug)]
pub(super) struct Issue {
    pub(super) ticket: Ticket,
    pub(super) class: Class,
    pub(super) issued: Instant,
    /// What a renewal asks for: what was granted first.
    asked: Duration,
    /// What was granted last, from when until when; without an end, for ever.
    from: Instant,
    granted: Duration,
    end: Option<Instant>,
    /// When the token ends that it hangs on.
    pub(super) limit: Option<Instant>,
    pub(super) renewal: Renewal,
    /// From when on a poll replaces it: set once no renewal takes it further.
    pub(super) replace: Option<Instant>,
    /// Renewals that failed by an outage, in a row.
    pub(super) failures: u32,
    /// It is known to be over before its time.
    dead: bool,
    /// Somebody was given it.
    pub(super) delivered: bool,
    /// A sync was: who uses it is not known, so it is left to its own end.
    pub(super) lapses: bool,
}

/// The next renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    At(Instant),
    /// One is on its way, since then.
    Out(Instant),
    /// Its holders are silent.
    Paused,
    Never,
}

impl Renewal {
    pub(super) fn next(self) -> Option<Instant> {
        match self {
            Self::At(at) => Some(at),
            Self::Out(since) => Some(since + LOST),
            Self::Paused | Self::Never => None,
        }
    }

    /// A silent holder came back.
    pub(super) fn resume(&mut self, now: Instant) {
        if *self == Self::Paused {
            *self = Self::At(now);
        }
    }
}

/// Less than this part of what was asked for is truncated: a maximum is near.
const TRUNCATED: f64 = 0.9;
/// Backends count in whole seconds.
const ROUNDING: Duration = Duration::from_secs(1);

impl Issue {
    pub(super) fn new(ticket: Ticket, terms: Terms, at: &Moment<'_>, cadence: Duration) -> Self {
        let Terms { class, life, renewable, limit } = terms;
        let granted = life.until.map_or(Duration::ZERO, |until| until - life.from);
        let mut issue = Self {
            ticket,
            class,
            issued: life.from,
            asked: granted,
            from: life.from,
            granted,
            end: life.until,
            limit,
            renewal: Renewal::Never,
            replace: None,
            failures: 0,
            dead: false,
            delivered: false,
            lapses: false,
        };
        let after = |part| Some(life.from + at.part(granted, part));
        match (class, life.until) {
            (_, None) => {}
            (Class::StaticRole, Some(next)) => {
                issue.replace = Some(next);
                issue.end = Some(next + at.timing.stale);
            }
            (Class::Certificate, Some(_)) => issue.replace = after(at.timing.certificate),
            (Class::Lease | Class::Token, Some(_)) if renewable => {
                issue.renewal = issue.schedule(at, cadence)
            }
            (Class::Lease | Class::Token, Some(_)) => issue.replace = after(at.timing.fixed),
        }
        issue
    }

    /// Its own end, or that of the token it hangs on.
    pub(super) fn end(&self) -> Option<Instant> {
        [self.end, self.limit].into_iter().flatten().min()
    }

    /// Whether it may be given to anybody.
    pub(super) fn good(&self, now: Instant) -> bool {
        !self.dead && self.end().is_none_or(|end| now < end)
    }

    /// Whether a poll has to replace it.
    pub(super) fn due(&self, now: Instant, cadence: Duration) -> bool {
        let Some(end) = self.end() else { return false };
        if self.class == Class::StaticRole {
            return self.replace.is_some_and(|at| at <= now);
        }
        // Never in its first third: else two volumes of one pod would replace each other's all the time where it is short.
        let margin = (cadence * 2).min((end - self.issued) * 2 / 3);
        let closing = now + margin >= end;
        match self.replace {
            Some(at) => at <= now || closing,
            None => closing && (self.failures > 0 || self.limit == Some(end)),
        }
    }

    /// Its whole life, where it is certain.
    pub(super) fn whole(&self) -> Option<Duration> {
        self.replace.and(self.end).map(|end| end - self.issued)
    }

    /// Until when it lasts at most, where that is certain.
    pub(super) fn bound(&self) -> Option<Instant> {
        self.replace.and_then(|_| self.end())
    }

    /// Whether its token ends before it would have to end itself.
    pub(super) fn cut(&self) -> bool {
        let own = self.end.filter(|_| self.replace.is_some());
        self.limit.is_some_and(|limit| own.is_none_or(|own| limit < own))
    }

    /// What is due of itself: a renewal.
    pub(super) fn tick(&mut self, at: &Moment<'_>, silent: bool) -> Option<Act> {
        if let Renewal::Out(since) = self.renewal
            && since + LOST <= at.now
        {
            self.refused(Why::Outage, at);
        }
        match self.renewal {
            Renewal::At(then) if then <= at.now && silent => {
                self.renewal = Renewal::Paused;
                Some(Act::StopRenewing(self.ticket))
            }
            Renewal::At(then) if then <= at.now => {
                self.renewal = Renewal::Out(at.now);
                Some(Act::Renew(self.ticket))
            }
            Renewal::At(_) | Renewal::Out(_) | Renewal::Paused | Renewal::Never => None,
        }
    }

    /// The reply is the truth, whatever was asked for.
    pub(super) fn renewed(&mut self, grant: Grant, sent: Instant, at: &Moment<'_>, cadence: Duration) {
        let end = sent + grant.granted;
        let truncated =
            grant.granted < self.asked.mul_f64(TRUNCATED) || grant.granted + ROUNDING < self.granted;
        let further = self.end.is_some_and(|before| end > before + ROUNDING);
        (self.from, self.granted, self.end, self.failures) = (sent, grant.granted, Some(end), 0);
        if grant.renewable && !truncated {
            self.replace = None;
            self.renewal = self.schedule(at, cadence);
            return;
        }
        self.renewal = Renewal::Never;
        if further || self.replace.is_none() {
            let part = if truncated { at.timing.renew } else { at.timing.fixed };
            self.replace = Some(sent + at.part(grant.granted, part));
        }
        // Who is polled gets another one. For all others this is renewed for as long as that helps.
        if further && grant.renewable {
            self.renewal = self.schedule(at, cadence);
        }
    }

    pub(super) fn refused(&mut self, why: Why, at: &Moment<'_>) {
        match why {
            Why::Outage => {
                self.failures = self.failures.saturating_add(1);
                self.renewal = Renewal::At(at.now + pause(self.failures, RETRY_MAX, at));
            }
            Why::NotRenewable | Why::Forbidden => {
                self.renewal = Renewal::Never;
                self.replace = Some(self.from + at.part(self.granted, at.timing.fixed));
            }
            Why::NotFound | Why::TokenDead => {
                self.renewal = Renewal::Never;
                self.dead = true;
            }
        }
    }

    /// At two thirds, spread; sooner where that would leave less than two polls to find out about a maximum, though never
    /// before a third.
    fn schedule(&self, at: &Moment<'_>, cadence: Duration) -> Renewal {
        let early = self.granted.saturating_sub(cadence * 3).max(self.granted / 3);
        let part = at.timing.renew.min(early.as_secs_f64() / self.granted.as_secs_f64());
        let then = (self.from + at.part(self.granted, part)).max(at.now + PAUSE_MIN);
        if self.end.is_some_and(|end| then < end) { Renewal::At(then) } else { Renewal::Never }
    }
}

/// The longest pause between renewals that fail.
const RETRY_MAX: Duration = Duration::from_secs(60);
