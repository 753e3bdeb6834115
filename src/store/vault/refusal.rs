//! What a status means: the reason, whether another attempt can help, and whether the request may have had its effect.
//! The server's own words are passed on, its bodies never.

use std::time::Duration;

use http::header::RETRY_AFTER;

use super::envelope::{Envelope, Unusable};
use super::server::Server;
use crate::error::{Fault, Problem, Reason, Retry};
use crate::model::Subject;
use crate::model::go::json::{self, Text, Value};
use crate::model::locator::vault::{GET, Locator};
use crate::net::Reply;
use crate::text::{quoted, short};

/// What a request was for.
pub(super) enum Purpose<'a> {
    Login(&'a Subject),
    Read(&'a Locator),
    /// A session or a lease, to be renewed or ended.
    Keep,
}

impl Purpose<'_> {
    /// Whether a request may have an effect that must not come twice. Logins may: a token that nobody got lapses.
    fn is_effect(&self) -> bool {
        matches!(self, Self::Read(wanted) if *wanted.method != *GET)
    }
}

/// What a status means, before anyone's circumstances count.
struct Verdict {
    reason: Reason,
    what: &'static str,
    retry: Retry,
    /// As in [`Fault`].
    doubtful: bool,
    /// Whether it is about the server, and not about what was asked.
    ill: bool,
    remedy: &'static str,
}

const fn verdict(reason: Reason, what: &'static str, retry: Retry, remedy: &'static str) -> Verdict {
    Verdict { reason, what, retry, doubtful: false, ill: false, remedy }
}

/// The server did nothing, and does so for everybody.
const fn ill(what: &'static str, retry: Retry, remedy: &'static str) -> Verdict {
    Verdict { ill: true, ..verdict(Reason::Upstream, what, retry, remedy) }
}

#[rustfmt::skip]
fn judge(status: u16) -> Verdict {
    use Reason::{Forbidden, Invalid, NotFound, Throttled, Upstream};
    use Retry::{Backoff, Login, Never};
    match status {
        401 => verdict(Forbidden, "the server did not accept the token of the login", Login, ""),
        403 => verdict(Forbidden, "the server denied access", Never, ""),
        404 => verdict(NotFound, "there is nothing at this path", Never, "check the path; in a KV version 2 mount, `data/` follows the mount"),
        405 => verdict(Invalid, "the path does not take this method", Never, "check method and path"),
        412 => verdict(Upstream, "the server has not caught up with the active one", Backoff, "it does by itself; if this lasts, look at its replication"),
        429 => verdict(Throttled, "the server asks for patience", Backoff, ""),
        472 => ill("the server is a disaster recovery secondary, which serves no secrets", Never, "name the primary as the address"),
        473 => ill("the server is a performance standby, and did not pass the request on", Never, "name the active server as the address"),
        501 => ill(UNINITIALIZED.0, Never, UNINITIALIZED.1),
        502 => Verdict { doubtful: true, ..verdict(Upstream, "what the server needs for it failed, or a proxy did", Backoff, "") },
        503 => ill("the server is sealed, or under maintenance", Backoff, "look at its state, and unseal it if it is sealed"),
        504 => Verdict { doubtful: true, ..verdict(Upstream, "the server, or a proxy before it, waited too long", Backoff, "") },
        400..500 => verdict(Upstream, "the server refused the request", Never, ""),
        500..600 => verdict(Upstream, "the server failed", Backoff, ""),
        _ => verdict(Upstream, "the server answered with a status that it never has", Never, "check the address, and whether a proxy is in the way"),
    }
}

const UNINITIALIZED: (&str, &str) = ("the server is not initialized", "initialize it");

/// What the server's own words say of its state, where its status leaves that open: 503 stands for several, and a standby
/// that finds no active server answers 500. It did nothing then.
fn state(status: u16, words: &str) -> Option<Verdict> {
    let says = |part: &str| words.contains(part);
    Some(match status {
        429 if says("lease count quota") => {
            // More leases do not become free by asking.
            let remedy = "wait until leases end, or have the quota raised";
            verdict(Reason::Throttled, "a quota of leases is used up", Retry::Never, remedy)
        }
        503 if says("namespace") && (says("locked") || says("sealed")) => {
            let what = "the namespace is locked or sealed, and the server is not";
            verdict(Reason::Upstream, what, Retry::Backoff, "have its administrator unlock or unseal it")
        }
        503 if says("sealed") => ill("the server is sealed", Retry::Backoff, "unseal it"),
        500 | 503 if says("initialized") => ill(UNINITIALIZED.0, Retry::Never, UNINITIALIZED.1),
        500 | 503 if says("standby") || says("active cluster node not found") => {
            let what =
                "the server is a standby, and there is no active one that it could pass the request to";
            ill(what, Retry::Backoff, "it may be electing one; if this lasts, look at the cluster")
        }
        503 if !words.is_empty() => {
            ill("the server does not serve now, as under maintenance", Retry::Backoff, "look at its state")
        }
        _ => return None,
    })
}

impl Server<'_> {
    /// The failure that a status stands for.
    pub(super) fn refusal(&self, purpose: &Purpose<'_>, reply: &Reply) -> Fault {
        let status = reply.status;
        let words = words(reply.body.expose());
        let told = words.as_deref().and_then(|words| state(status, words));
        let by_words = told.is_some();
        let Verdict { reason, what, retry, doubtful, ill, remedy } = told.unwrap_or_else(|| judge(status));
        let (reason, what, remedy) = self.circumstances(purpose, reply, (reason, what, remedy));
        let said = match &words {
            Some(words) if words.is_empty() => String::new(),
            Some(words) => format!(": {words}"),
            None if reply.body.is_empty() => String::new(),
            None => ", with a reply that is not its own: is a proxy in the way?".to_owned(),
        };
        // A proxy's refusal says nothing of the pod or its secret.
        let foreign = matches!(status, 401 | 403 | 404 | 405) && words.is_none() && !reply.body.is_empty();
        let (reason, retry, remedy) = match foreign {
            true => (
                Reason::Upstream,
                Retry::Backoff,
                "check the address, and what stands before the server".to_owned(),
            ),
            false => (reason, retry, remedy),
        };
        let problem =
            Problem::new(reason, self.told(purpose, &format!("{what} ({status}){said}"))).remedy(remedy);
        // Whoever stands before the server may fail after the server has done what was asked.
        let before = status >= 500 && words.is_none();
        let retry = match (retry, status) {
            (Retry::Backoff, 429 | 503) => pause(reply).map_or(retry, Retry::After),
            (Retry::Backoff, _) if purpose.is_effect() && status != 412 && !by_words => Retry::Never,
            (Retry::Login, _) if matches!(purpose, Purpose::Login(_)) => Retry::Never,
            _ => retry,
        };
        Fault { retry, doubtful: doubtful || before, answered: !ill && !before, ..self.never(problem) }
    }

    /// What the same status means in a login, of a lease, or beside what the body says.
    fn circumstances(
        &self,
        purpose: &Purpose<'_>,
        reply: &Reply,
        (reason, what, remedy): (Reason, &'static str, &'static str),
    ) -> (Reason, &'static str, String) {
        let same = (reason, what, remedy.to_owned());
        match (purpose, reply.status) {
            (Purpose::Login(_), 400 | 401 | 403) => {
                let audience = short(self.access.audience.as_str()).into_owned();
                let remedy = format!(
                    "check what the role is bound to: service accounts, namespaces, and the audience `{audience}`"
                );
                (Reason::Login, "the server refused it", remedy)
            }
            (Purpose::Login(_), 404 | 405) => {
                let remedy = "check the auth mount and the namespace".to_owned();
                (Reason::Login, "there is no such auth mount", remedy)
            }
            (Purpose::Read(_), 403) => {
                let remedy = format!("allow it in a policy of the role `{}`", short(&self.access.role));
                (reason, what, remedy)
            }
            (Purpose::Read(_), 404) => match deleted(reply.body.expose()) {
                Some(what) => (reason, what, "restore it, or ask for another version".to_owned()),
                None => same,
            },
            (Purpose::Keep, 400) => {
                (Reason::NotFound, "the server did not find it, or cannot renew it", String::new())
            }
            _ => same,
        }
    }

    /// A success whose body is of no use.
    pub(super) fn unusable(&self, purpose: &Purpose<'_>, reply: &Reply, why: Unusable) -> Fault {
        let (what, remedy) = match why {
            Unusable::Empty => (
                format!("the reply ({}) is empty", reply.status),
                match purpose {
                    Purpose::Read(_) => "check that the path answers this method with a secret",
                    Purpose::Login(_) | Purpose::Keep => {
                        "check the address, and whether a proxy is in the way"
                    }
                },
            ),
            Unusable::Foreign => (
                "unexpected reply, is a proxy in the way?".to_owned(),
                "check the address: the reply is not a JSON object",
            ),
            Unusable::Bounds => {
                ("the reply is nested too deep, or has too many values".to_owned(), "split the secret")
            }
            Unusable::Field(field) => (
                format!("the field `{field}` of the reply is not of its type"),
                "check the address, and whether a proxy changes replies",
            ),
        };
        let problem = Problem::new(Reason::Upstream, self.told(purpose, &what)).remedy(remedy);
        Fault { doubtful: true, ..self.never(problem) }
    }

    /// A success that brought no secret.
    pub(super) fn without_data(&self, envelope: &Envelope<'_>) -> Fault {
        let problem = if envelope.wrap_info.is_some() {
            Problem::new(Reason::Setup, "the server wrapped its reply for someone else to fetch")
                .remedy("let no `min_wrapping_ttl` of a policy wrap the replies of this path")
        } else if envelope.auth.is_some() {
            Problem::new(Reason::Upstream, "the reply has a token, and no data")
                .remedy("read a path that answers with data")
        } else {
            let errors = envelope.data.as_ref().and_then(|data| data.get("errors"));
            let warnings = envelope.warnings.iter().flatten();
            let words = quote(warnings.chain(errors.into_iter().flat_map(texts)));
            let said = if words.is_empty() { String::new() } else { format!(": {words}") };
            Problem::new(Reason::Upstream, format!("the reply has no data{said}"))
                .remedy("check the path, and that there is a secret")
        };
        Fault { doubtful: true, ..self.never(problem) }
    }

    /// A text about a login says whose it was and as what.
    pub(super) fn told(&self, purpose: &Purpose<'_>, what: &str) -> String {
        let Purpose::Login(subject) = purpose else { return what.to_owned() };
        let (role, mount) = (short(&self.access.role), short(&self.access.mount));
        let namespace = match &*self.access.namespace {
            "" => String::new(),
            namespace => format!(" in namespace `{}`", short(namespace)),
        };
        format!("login of `{subject}` as role `{role}` at auth mount `{mount}`{namespace}: {what}")
    }
}

/// How long the server asks to wait, where it says so in seconds. These servers cut what is left down to whole ones, and say
/// `0` during the last: asked again at once, they refuse again.
fn pause(reply: &Reply) -> Option<Duration> {
    let seconds = reply.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse::<u32>().ok()?;
    Some(Duration::from_secs(seconds.max(1).into()))
}

/// The errors and warnings of a body; `None` where it is not this kind of server's.
fn words(body: &[u8]) -> Option<String> {
    let Ok(json::First::Object(members)) = json::first(body) else { return None };
    let named = |wanted: &str| {
        let values = members.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted));
        values.flat_map(|(_, value)| texts(value)).collect::<Vec<_>>()
    };
    let (errors, warnings) = (named("errors"), named("warnings"));
    Some(quote(errors.into_iter().chain(warnings)))
}

fn texts<'a>(value: &'a Value<'a>) -> impl Iterator<Item = &'a Text<'a>> {
    let list = if let Value::List(list) = value { &list[..] } else { &[] };
    list.iter().filter_map(|value| if let Value::Text(text) = value { Some(text) } else { None })
}

/// The words of a server on one line, made fit for a person.
pub(super) fn quote<'a>(words: impl Iterator<Item = &'a Text<'a>>) -> String {
    let words: Vec<&str> = words.map(|text| &**text).take(WORDS_MAX).collect();
    quoted(&words.join("; "))
}

/// Most errors of one reply that are passed on.
const WORDS_MAX: usize = 8;

/// KV version 2 says of a version that is gone when it went.
fn deleted(body: &[u8]) -> Option<&'static str> {
    let envelope = Envelope::parse(body).ok()?;
    let data = envelope.data?;
    let metadata = data.get("metadata")?.object()?;
    let destroyed = matches!(metadata.get("destroyed"), Some(Value::Bool(true)));
    let deleted = matches!(metadata.get("deletion_time"), Some(Value::Text(when)) if !when.is_empty());
    match (destroyed, deleted) {
        (true, _) => Some("this version was destroyed"),
        (false, true) => Some("this version was deleted"),
        (false, false) => None,
    }
}
