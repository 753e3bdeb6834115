//! Sessions by principal: kept until they end, replaced a little before that, and refusals remembered for a short while
//! so that a wrong role makes no storm.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::flight::{Boarded, Flights};
use super::identity::Principal;
use super::keep::Keep;
use super::lru::Lru;
use super::refused::Refused;
use crate::clock::Instant;
use crate::error::Fault;
use crate::store::{Authority, Session};
use crate::telemetry::Counted;

/// How a login ended.
pub(super) type Login = Result<Arc<Session>, Fault>;

/// All sessions.
pub(super) struct Sessions {
    known: Mutex<Lru<Arc<Principal>, Known>>,
    flights: Flights<Arc<Principal>, Login>,
    max: usize,
    stale_max: Duration,
}

/// What is known of a principal.
#[derive(Default)]
struct Known {
    session: Option<(Arc<Session>, Counted)>,
    /// What the backend last said that it is, and until when an outage may rest on that.
    last: Option<(Authority, Instant)>,
    refused: Option<Refused>,
    /// When it last logged in anew over a denial, and how long it then had to wait for the next time.
    anew: Option<(Instant, Duration)>,
    /// The session that was last dropped before its end, and when: others may be about to find out about it too.
    dropped: Option<(Weak<Session>, Instant)>,
}

/// What a principal finds.
pub(super) enum Found {
    /// A session; where it is due, somebody should see to the next one.
    Session { session: Arc<Session>, due: bool },
    /// The backend said no a moment ago.
    Refused(Fault),
    /// Nothing: it has to log in.
    Nothing,
}

/// One principal logs in anew once in this time because its session was not believed, or was denied something; and a
/// session is as old as this before what it was told at its login may be out of date.
const AGAIN_EVERY: Duration = Duration::from_secs(300);
/// The longest that a session that goes on being denied something waits for the next time.
const ANEW_MAX: Duration = Duration::from_secs(3600);
/// This long before its end a session is due for replacement; or its last fifth, where that is shorter.
const DUE_BEFORE: Duration = Duration::from_secs(300);
/// This long before its end a session is not begun with any more; or its last tenth, where that is shorter.
const END_MARGIN: Duration = Duration::from_secs(10);

impl Sessions {
    pub(super) fn new(keep: &Keep) -> Self {
        Self {
            known: Mutex::default(),
            flights: Flights::default(),
            max: keep.sessions,
            stale_max: keep.stale_max,
        }
    }

    /// What there is for the principal.
    pub(super) fn find(&self, principal: &Arc<Principal>, first: bool, now: Instant) -> Found {
        let mut known = self.lock();
        let Some(known) = known.get(principal) else { return Found::Nothing };
        let refused = known.refused.as_ref().and_then(|refused| refused.stands(first, now));
        if let Some((session, _)) = known.session.as_ref().filter(|(session, _)| usable(session, now)) {
            known.last = Some((session.authority, now + self.stale_max));
            let due = refused.is_none() && is_due(session, now);
            return Found::Session { session: Arc::clone(session), due };
        }
        refused.map_or(Found::Nothing, |fault| Found::Refused(fault.clone()))
    }

    /// Leads a login, or joins the one that is on its way.
    pub(super) fn board(&self, principal: &Arc<Principal>) -> Boarded<Arc<Principal>, Login> {
        self.flights.board(principal)
    }

    /// Keeps what a login brought. A session that is over already serves whoever logged in, and is not kept; a refusal
    /// leaves the session that is there as it is, and so does a login that brought nothing new: `true` where it is to
    /// spare.
    pub(super) fn record(
        &self,
        principal: &Arc<Principal>,
        login: &Login,
        counted: Counted,
        now: Instant,
    ) -> bool {
        let mut all = self.lock();
        if all.get(principal).is_none() {
            while all.len() >= self.max && make_room(&mut all, principal, self.max) {}
            all.insert(Arc::clone(principal), Known::default());
        }
        let Some(known) = all.get(principal) else { return false };
        match login {
            Ok(session) => {
                known.refused = None;
                known.last = Some((session.authority, now + self.stale_max));
                // What was issued through it lasts no longer than it does.
                let same = |(kept, _): &(Arc<Session>, _)| {
                    kept.authority == session.authority && usable(kept, now) && !is_due(kept, now)
                };
                if known.session.as_ref().is_some_and(same) {
                    return true;
                }
                known.session = usable(session, now).then(|| (Arc::clone(session), counted));
            }
            Err(fault) if fault.problem.reason.is_refusal() => {
                known.refused = Some(Refused::after(known.refused.as_ref(), fault, now));
                known.last = None;
            }
            Err(_) => {}
        }
        false
    }

    /// Whether a new login may bring what a session is denied that its backend still knows: policies that the backend
    /// read off the role at the login may be others by now. Once in a while, and less often each time in a row.
    pub(super) fn is_outdated(
        &self,
        principal: &Arc<Principal>,
        session: &Arc<Session>,
        now: Instant,
    ) -> bool {
        let mut known = self.lock();
        let Some(known) = known.get(principal) else { return false };
        if known.refused.as_ref().is_some_and(|refused| refused.stands(false, now).is_some())
            || now - session.life.from < AGAIN_EVERY
        {
            return false;
        }
        let span = match known.anew {
            Some((last, span)) if now - last < span => return false,
            Some((last, span)) if now - last < span * 2 => (span * 2).min(ANEW_MAX),
            Some(_) | None => AGAIN_EVERY,
        };
        known.anew = Some((now, span));
        true
    }

    /// Drops a session that its backend does not believe any more, if it still is the principal's. `false` where that
    /// was so a short while ago too: then the fault stands, and no login will mend it.
    pub(super) fn expel(&self, principal: &Arc<Principal>, session: &Arc<Session>, now: Instant) -> bool {
        let mut known = self.lock();
        let Some(known) = known.get(principal) else { return true };
        if known.session.as_ref().is_some_and(|(kept, _)| !Arc::ptr_eq(kept, session)) {
            return true;
        }
        if let Some((dropped, last)) = &known.dropped {
            if std::ptr::eq(dropped.as_ptr(), Arc::as_ptr(session)) {
                return true;
            }
            if now - *last < AGAIN_EVERY {
                return false;
            }
        }
        known.dropped = Some((Arc::downgrade(session), now));
        known.session = None;
        true
    }

    /// What the backend last said that the principal is, for an outage to rest on.
    pub(super) fn last(&self, principal: &Arc<Principal>, now: Instant) -> Option<Authority> {
        self.lock().get(principal)?.last.filter(|(_, until)| now < *until).map(|(authority, _)| authority)
    }

    pub(super) fn sweep(&self, now: Instant) {
        self.lock().retain(|known| {
            if known.session.as_ref().is_some_and(|(session, _)| !usable(session, now)) {
                known.session = None;
            }
            known.session.is_some()
                || known.last.is_some_and(|(_, until)| now < until)
                || known.refused.as_ref().is_some_and(|refused| !refused.is_over(now))
        });
    }

    fn lock(&self) -> MutexGuard<'_, Lru<Arc<Principal>, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes out what was not used for longest: of the principal's own namespace, where that has a good part of all. Its
/// classes may name as many roles as they like, and take no session from anybody else.
fn make_room(all: &mut Lru<Arc<Principal>, Known>, principal: &Principal, max: usize) -> bool {
    let own = |other: &&Arc<Principal>| other.is_beside(principal);
    let many = all.keys().filter(own).count() > max / SHARE;
    let oldest = all.keys().find(own).filter(|_| many).cloned();
    match oldest {
        Some(oldest) => all.remove(&oldest).is_some(),
        None => all.pop().is_some(),
    }
}

/// The part of all sessions that a namespace may have before it makes room for its next ones itself.
const SHARE: usize = 4;

/// Whether something may be begun with a session.
pub(super) fn usable(session: &Session, now: Instant) -> bool {
    left(session, now).is_none_or(|(left, life)| left > END_MARGIN.min(life / 10))
}

/// What is left of a session's life, and all of it; `None` where it does not end.
fn left(session: &Session, now: Instant) -> Option<(Duration, Duration)> {
    session.life.until.map(|end| (end - now, end - session.life.from))
}

/// Whether it should be replaced.
fn is_due(session: &Session, now: Instant) -> bool {
    left(session, now).is_some_and(|(left, life)| left < DUE_BEFORE.min(life / 5))
}
