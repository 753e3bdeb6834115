//! What every store promises, once for all of them: each clause is a function over a [`Backend`], and [`contract!`] makes
//! a test of each for one store. A store that passes may be put behind the engine without another look.

mod clauses;
mod lies;
mod local;

use std::sync::Arc;
use std::time::Duration;

use latchkey::clock::Clock;
use latchkey::error::Fault;
use latchkey::model::{Access, AccountName, Claims, Locator, Material, Namespace, Pod, PodName, PodUid};
use latchkey::model::{Subject, Token};
use latchkey::room::Room;
use latchkey::secret::{DigestKey, Secret};
use latchkey::store::{Cx, Proof, Session, Store};

pub(crate) use self::clauses::*;
use crate::support::agent::pod;

/// A server (or a file) with a store before it. Objects below `app/` are for [`Who::App`] and [`Who::AppToo`], those below
/// `other/` for [`Who::Other`].
pub(crate) trait Backend {
    fn store(&self) -> &dyn Store;
    /// Creates an object of these fields, or replaces its content.
    async fn put(&self, path: &str, fields: &[(&str, &str)]);
    fn locator(&self, path: &str) -> Locator;
    fn identity(&self, who: Who) -> Identity;
    /// A locator of another kind of store.
    fn foreign(&self) -> Locator;
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    App,
    /// Another account with the same rights.
    AppToo,
    Other,
    /// Shows a token that is not the cluster's.
    Nobody,
}

impl Who {
    pub(crate) fn account(self) -> &'static str {
        match self {
            Self::App | Self::Nobody => "app",
            Self::AppToo => "app-too",
            Self::Other => "other",
        }
    }
}

/// Who asks, as what, and with which token.
pub(crate) struct Identity {
    pub(crate) subject: Subject,
    pub(crate) token: Token,
    pub(crate) access: Access,
}

impl Identity {
    /// The pod `web/ACCOUNT-1` with this token.
    pub(crate) fn new(account: &str, jwt: String, access: Access) -> Self {
        let pod = pod(account);
        let subject = Subject {
            namespace: Namespace::parse(&pod.namespace).unwrap(),
            account: AccountName::parse(account).unwrap(),
            pod: Some(Pod {
                name: PodName::parse(&pod.name).unwrap(),
                uid: PodUid::parse(&pod.uid).unwrap(),
            }),
        };
        let claims = Claims { id: None, not_before: None, expires: None, for_api_server: false };
        Self { subject, token: Token { raw: Secret::from_text(jwt), claims }, access }
    }

    pub(crate) fn proof(&self) -> Proof<'_> {
        Proof::Token(&self.token, &self.subject)
    }
}

/// What every operation may use, for 20 seconds from now on.
pub(crate) fn cx() -> Cx {
    let clock = Clock::system();
    Cx {
        clock,
        deadline: clock.now() + Duration::from_secs(20),
        digests: Arc::new(DigestKey::new(&[7; 32])),
        claim: Room::new(64 << 20).claim(),
    }
}

/// One login; a fault is held against what is true of all of them.
pub(crate) async fn log_in(bed: &impl Backend, cx: &Cx, identity: &Identity) -> Result<Session, Fault> {
    let answer = bed.store().authenticate(cx, &identity.access, identity.proof()).await;
    answer.inspect_err(|fault| quiet(fault, identity))
}

/// Logs in as somebody who may.
pub(crate) async fn session(bed: &impl Backend, who: Who) -> (Identity, Session) {
    let identity = bed.identity(who);
    let session = log_in(bed, &cx(), &identity).await.map_err(|fault| fault.problem.to_string());
    (identity, session.expect("a login"))
}

/// One fetch: as many answers as were asked for, and each fault held against what is true of all of them.
pub(crate) async fn fetch(
    bed: &impl Backend,
    identity: &Identity,
    session: &Session,
    paths: &[&str],
) -> Vec<Result<Material, Fault>> {
    let wanted: Vec<Locator> = paths.iter().map(|path| bed.locator(path)).collect();
    let answers = bed.store().fetch(&cx(), session, &identity.access, &wanted).await;
    assert_eq!(answers.len(), wanted.len(), "one answer each");
    answers.iter().filter_map(|answer| answer.as_ref().err()).for_each(|fault| {
        quiet(fault, identity);
        // A store that has nothing to hand out may take the account's name for a credential.
        let credential = session.credential.expose();
        let named = credential == identity.subject.to_string().as_bytes();
        assert!(named || !contains(fault, credential), "the session's credential is in a text");
    });
    answers
}

/// The fields of one object that is there.
pub(crate) async fn fields(
    bed: &impl Backend,
    identity: &Identity,
    session: &Session,
    path: &str,
) -> Vec<(String, Vec<u8>)> {
    let mut answers = fetch(bed, identity, session, &[path]).await;
    let material = answers.remove(0).map_err(|fault| fault.problem.to_string()).expect("it is there");
    let [part] = &material.parts[..] else { panic!("{} parts", material.parts.len()) };
    part.fields.iter().map(|(name, value)| (name.clone(), value.expose().to_vec())).collect()
}

/// Stands in every value that a clause writes.
pub(crate) const CANARY: &str = "canary-7c41e-value";

/// Neither a value nor a token stands in a fault, however it is printed, and a person is told something.
fn quiet(fault: &Fault, identity: &Identity) {
    assert!(!fault.problem.what.is_empty(), "a fault without a word");
    assert!(!contains(fault, CANARY.as_bytes()), "a value is in a text: {}", fault.problem);
    for part in identity.token.raw.expose().split(|byte| *byte == b'.').skip(1) {
        assert!(!contains(fault, part), "a part of the token is in a text: {}", fault.problem);
    }
}

fn contains(fault: &Fault, bytes: &[u8]) -> bool {
    let text = format!("{} {fault:?}", fault.problem);
    !bytes.is_empty() && text.as_bytes().windows(bytes.len()).any(|window| window == bytes)
}

/// A test of each clause over a bed.
macro_rules! contract {
    ($bed:expr) => {
        $crate::contract::promises! { $bed;
            an_allowed_identity_reads_exact_bytes, what_is_absent_is_not_found, what_is_denied_is_forbidden,
            answers_stand_in_the_order_of_the_questions, a_version_changes_when_the_content_does,
            an_authority_is_one_identitys, a_wrong_proof_opens_nothing, a_failure_has_the_same_words_each_time,
            many_at_once_are_not_mixed, a_deadline_that_has_passed_is_answered_at_once,
            a_future_that_is_dropped_leaves_the_store_usable, nouns_of_another_store_are_refused, the_manners_are_sane,
        }
    };
}

macro_rules! promises {
    ($bed:expr; $($clause:ident),* $(,)?) => { $(
        #[tokio::test]
        async fn $clause() {
            $crate::contract::$clause(&$bed).await;
        }
    )* };
}

pub(crate) use {contract, promises};
