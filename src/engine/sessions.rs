//! Sessions by principal: kept until they end, replaced a little before that, and refusals remembered for a short while
//! so that a wrong role makes no storm.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::flight::{Boarded, Flights};
use super::identity::Principal;
use super::keep::Keep;
use super::lru::Lru;
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
    /// The session that was last dropped before its end, and when: others may be about to find out about it too.
    dropped: Option<(Weak<Session>, Instant)>,
}

struct Refused {
    fault: Fault,
    at: Instant,
    span: Duration,
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

/// How long the first refusal is remembered; each further one in a row twice as long.
const REFUSED_MIN: Duration = Duration::from_secs(5);
/// The longest that a refusal is remembered.
const REFUSED_MAX: Duration = Duration::from_secs(60);
/// The same for a first mount: somebody may be waiting for what was just mended.
const REFUSED_FIRST_MAX: Duration = Duration::from_secs(10);
/// One principal logs in anew once in this time because its session was not believed.
const AGAIN_EVERY: Duration = Duration::from_secs(300);
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
        let limit = if first { REFUSED_FIRST_MAX } else { REFUSED_MAX };
        let refused = known.refused.as_ref().filter(|refused| now - refused.at < refused.span.min(limit));
        if let Some((session, _)) = known.session.as_ref().filter(|(session, _)| usable(session, now)) {
            known.last = Some((session.authority, now + self.stale_max));
            let due = refused.is_none() && left(session, now).is_some_and(|(left, life)| left < due(life));
            return Found::Session { session: Arc::clone(session), due };
        }
        refused.map_or(Found::Nothing, |refused| Found::Refused(refused.fault.clone()))
    }

    /// Leads a login, or joins the one that is on its way.
    pub(super) fn board(&self, principal: &Arc<Principal>) -> Boarded<Arc<Principal>, Login> {
        self.flights.board(principal)
    }

    /// Keeps what a login brought. A session that is over already serves whoever logged in, and is not kept; a refusal
    /// leaves the session that is there as it is.
    pub(super) fn record(&self, principal: &Arc<Principal>, login: &Login, counted: Counted, now: Instant) {
        let mut all = self.lock();
        if all.get(principal).is_none() {
            while all.len() >= self.max && all.pop().is_some() {}
            all.insert(Arc::clone(principal), Known::default());
        }
        let Some(known) = all.get(principal) else { return };
        match login {
            Ok(session) => {
                known.refused = None;
                known.last = Some((session.authority, now + self.stale_max));
                known.session = usable(session, now).then(|| (Arc::clone(session), counted));
            }
            Err(fault) if fault.problem.reason.is_refusal() => {
                let before = known.refused.as_ref().map(|refused| refused.span);
                let span = before.map_or(REFUSED_MIN, |span| (span * 2).min(REFUSED_MAX));
                known.refused = Some(Refused { fault: fault.clone(), at: now, span });
                known.last = None;
            }
            Err(_) => {}
        }
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
                || known.refused.as_ref().is_some_and(|refused| now - refused.at < REFUSED_MAX * 2)
        });
    }

    fn lock(&self) -> MutexGuard<'_, Lru<Arc<Principal>, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether something may be begun with a session.
pub(super) fn usable(session: &Session, now: Instant) -> bool {
    left(session, now).is_none_or(|(left, life)| left > END_MARGIN.min(life / 10))
}

/// What is left of a session's life, and all of it; `None` where it does not end.
fn left(session: &Session, now: Instant) -> Option<(Duration, Duration)> {
    session.life.until.map(|end| (end - now, end - session.life.from))
}

fn due(life: Duration) -> Duration {
    DUE_BEFORE.min(life / 5)
}
