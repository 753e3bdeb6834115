//! The suite itself: for each clause a store that breaks it, and is caught.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use latchkey::error::{Fault, Problem, Reason, Retry};
use latchkey::model::{Access, Locator, Material};
use latchkey::secret::Secret;
use latchkey::store::{Cx, Manners, Proof, Scope, Session, Store};

use super::local::Embedded;
use super::{Backend, Identity, Who};

/// What is wrong with a store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Takes a line break at the end for none of the value's.
    Trims,
    /// Calls what is absent forbidden, and the other way round.
    Hides,
    /// Ends the whole fetch with the first object that fails.
    SpoilsTheRest,
    /// Gives every content the same version.
    OneVersion,
    /// Keeps what it read first.
    Remembers,
    /// Takes all accounts for one.
    OneAuthority,
    /// Says who asks from kubelet's word, whatever the token is.
    Believes,
    /// Takes a refusal for an outage.
    TriesAgain,
    /// Numbers its failures.
    Counts,
    /// Says what the token was.
    Tells,
    /// Answers with what was asked last.
    Mixes,
    /// Takes its time, whatever the deadline.
    Dawdles,
    /// Is never free again after a caller left.
    Jams,
    /// Takes a locator of another store for a path that is absent.
    Guesses,
    /// Takes no object at a time.
    NoBatch,
}

struct Liar {
    inner: Embedded,
    lie: Lie,
    asked: Mutex<Vec<Locator>>,
    first: Mutex<Option<Material>>,
    failures: AtomicUsize,
    busy: AtomicUsize,
}

impl Liar {
    fn new(lie: Lie) -> Self {
        let zero = AtomicUsize::default;
        let (asked, first) = (Mutex::default(), Mutex::default());
        Self { inner: Embedded::new(), lie, asked, first, failures: zero(), busy: zero() }
    }

    /// A failure as this store tells it.
    fn tell(&self, mut fault: Fault, token: Option<&[u8]>) -> Fault {
        match (self.lie, fault.problem.reason) {
            (Lie::Hides, Reason::NotFound) => fault.problem.reason = Reason::Forbidden,
            (Lie::Hides, Reason::Forbidden) => fault.problem.reason = Reason::NotFound,
            (Lie::Guesses, Reason::Bug) => fault.problem.reason = Reason::NotFound,
            (Lie::TriesAgain, _) => fault.retry = Retry::Backoff,
            (Lie::Counts, _) => {
                let number = self.failures.fetch_add(1, Ordering::SeqCst);
                fault.problem.what += &format!(" (request {number})");
            }
            (Lie::Tells, _) => fault.problem.what += &String::from_utf8_lossy(token.unwrap_or_default()),
            _ => {}
        }
        fault
    }

    async fn read(
        &self,
        cx: &Cx,
        session: &Session,
        access: &Access,
        wanted: &[Locator],
    ) -> Vec<Result<Material, Fault>> {
        if self.lie == Lie::Dawdles {
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
        let jammed = self.busy.fetch_add(1, Ordering::SeqCst) > 0 && self.lie == Lie::Jams;
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).extend(wanted.iter().cloned());
        tokio::task::yield_now().await;
        let last = self.asked.lock().unwrap().last().cloned();
        let wanted = match last {
            Some(last) if self.lie == Lie::Mixes => &vec![last; wanted.len()][..],
            _ => wanted,
        };
        let answers = self.inner.store().fetch(cx, session, access, wanted).await;
        self.busy.fetch_sub(1, Ordering::SeqCst);
        let failed = answers.iter().any(Result::is_err) && self.lie == Lie::SpoilsTheRest;
        let one = |answer: Result<Material, Fault>| {
            let problem = Problem::new(Reason::Upstream, "no");
            match answer {
                _ if failed || jammed => Err(Fault::never(problem)),
                Ok(material) => Ok(self.distort(material)),
                Err(fault) => Err(self.tell(fault, None)),
            }
        };
        answers.into_iter().map(one).collect()
    }

    fn distort(&self, mut material: Material) -> Material {
        let part = &mut material.parts[0];
        if self.lie == Lie::Trims {
            for value in part.fields.values_mut() {
                let text = std::str::from_utf8(value.expose()).unwrap().trim_end().to_owned();
                *value = Secret::from_text(text);
            }
        }
        if self.lie == Lie::OneVersion {
            part.version = Some("1".to_owned());
        }
        if self.lie == Lie::Remembers {
            return self.first.lock().unwrap().get_or_insert(material).clone();
        }
        material
    }
}

impl Store for Liar {
    fn scope(&self, access: &Access) -> Scope {
        self.inner.store().scope(access)
    }

    fn manners(&self) -> Manners {
        let manners = self.inner.store().manners();
        if self.lie == Lie::NoBatch { Manners { batch: 0, ..manners } } else { manners }
    }

    fn authenticate<'a>(
        &'a self,
        cx: &'a Cx,
        access: &'a Access,
        proof: Proof<'a>,
    ) -> BoxFuture<'a, Result<Session, Fault>> {
        Box::pin(async move {
            let good = self.inner.identity(Who::App);
            let Proof::Token(token, _) = proof else { panic!("the suite shows tokens") };
            let proof = if self.lie == Lie::Believes { good.proof() } else { proof };
            let session = self.inner.store().authenticate(cx, access, proof).await;
            let mut session = session.map_err(|fault| self.tell(fault, Some(token.raw.expose())))?;
            if self.lie == Lie::OneAuthority {
                let again = self.inner.store().authenticate(cx, access, good.proof()).await?;
                session.authority = again.authority;
            }
            Ok(session)
        })
    }

    fn fetch<'a>(
        &'a self,
        cx: &'a Cx,
        session: &'a Session,
        access: &'a Access,
        wanted: &'a [Locator],
    ) -> BoxFuture<'a, Vec<Result<Material, Fault>>> {
        Box::pin(self.read(cx, session, access, wanted))
    }
}

impl Backend for Liar {
    fn store(&self) -> &dyn Store {
        self
    }

    async fn put(&self, path: &str, fields: &[(&str, &str)]) {
        self.inner.put(path, fields).await;
    }

    fn locator(&self, path: &str) -> Locator {
        self.inner.locator(path)
    }

    fn identity(&self, who: Who) -> Identity {
        self.inner.identity(who)
    }

    fn foreign(&self) -> Locator {
        self.inner.foreign()
    }
}

macro_rules! caught {
    ($($test:ident: $lie:ident, $clause:ident;)*) => { $(
        #[tokio::test]
        #[should_panic]
        async fn $test() {
            super::$clause(&Liar::new(Lie::$lie)).await;
        }
    )* };
}

caught! {
    bytes_that_are_cut: Trims, an_allowed_identity_reads_exact_bytes;
    absent_as_forbidden: Hides, what_is_absent_is_not_found;
    denied_as_absent: Hides, what_is_denied_is_forbidden;
    refused_as_an_outage: TriesAgain, what_is_denied_is_forbidden;
    all_for_one: SpoilsTheRest, answers_stand_in_the_order_of_the_questions;
    one_answer_for_all: Mixes, answers_stand_in_the_order_of_the_questions;
    one_version_for_all: OneVersion, a_version_changes_when_the_content_does;
    a_store_that_keeps: Remembers, a_version_changes_when_the_content_does;
    one_authority_for_all: OneAuthority, an_authority_is_one_identitys;
    any_token_is_taken: Believes, a_wrong_proof_opens_nothing;
    a_login_to_try_again: TriesAgain, a_wrong_proof_opens_nothing;
    a_token_in_a_text: Tells, a_wrong_proof_opens_nothing;
    numbered_failures: Counts, a_failure_has_the_same_words_each_time;
    answers_of_others: Mixes, many_at_once_are_not_mixed;
    no_look_at_the_deadline: Dawdles, a_deadline_that_has_passed_is_answered_at_once;
    jammed_by_a_caller_that_left: Jams, a_future_that_is_dropped_leaves_the_store_usable;
    a_guess_at_foreign_nouns: Guesses, nouns_of_another_store_are_refused;
    no_object_at_a_time: NoBatch, the_manners_are_sane;
}
