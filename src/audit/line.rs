//! One audit line and its bytes: the schema `latchkey.audit/v1` that `docs/AUDIT.md` describes. Pure; a line has room
//! for names only, never for a value or a token.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use serde::ser::{Serialize, Serializer};
use serde_json::ser::Formatter;

use crate::clock::Wall;
use crate::error::Reason;
use crate::model::Subject;
use crate::text;

/// One thing that happened to one object, or to a mount as a whole.
#[derive(Clone, Copy, Debug, serde::Serialize)]
#[serde(tag = "type", rename = "latchkey.audit/v1", rename_all = "camelCase")]
pub struct Line<'a> {
    /// When, in wall time.
    #[serde(serialize_with = "shown")]
    pub ts: Wall,
    /// What.
    pub event: Event,
    /// Which mount; lines of one mount share it. `None` for what no mount asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount: Option<MountId>,
    /// The socket's name: `vault`, `latchkey`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<&'a str>,
    /// The store's name in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<&'a str>,
    /// The backend's address, or the file that stands for one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "bounded")]
    pub endpoint: Option<&'a str>,
    /// The role that a login asked for.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "bounded")]
    pub role: Option<&'a str>,
    /// The pod's namespace. `None` where a call does not say who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<&'a str>,
    /// The pod's service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<&'a str>,
    /// The pod's name. `None` for a sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<&'a str>,
    /// The pod's uid. `None` for a sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<&'a str>,
    /// On whose behalf.
    pub caller: Caller,
    /// The object's canonical name in its store. `None`, written as `null`, where it did not come to objects.
    #[serde(serialize_with = "bounded")]
    pub object: Option<&'a str>,
    /// The version that was delivered.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "bounded")]
    pub version: Option<&'a str>,
    /// Where the material came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not end well.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "reason")]
    pub reason: Option<Reason>,
    /// How long it took.
    #[serde(rename = "latencyMs", skip_serializing_if = "Option::is_none", serialize_with = "milliseconds")]
    pub latency: Option<Duration>,
    /// The audience of the pod's token that was used.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "bounded")]
    pub audience: Option<&'a str>,
    /// The id of that token, which is not the token.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "bounded")]
    pub jti: Option<&'a str>,
    /// In a summary: how many unchanged deliveries it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub polls: Option<u64>,
}

impl<'a> Line<'a> {
    /// Longest text of a field that a tenant writes, in bytes; a longer one is cut, and ends in `…`.
    pub const TEXT_MAX: usize = 2048;

    /// A line that says no more than it must.
    pub const fn new(ts: Wall, event: Event, caller: Caller, outcome: Outcome) -> Self {
        Self {
            ts,
            event,
            mount: None,
            provider: None,
            store: None,
            endpoint: None,
            role: None,
            namespace: None,
            service_account: None,
            pod: None,
            pod_uid: None,
            caller,
            object: None,
            version: None,
            source: None,
            outcome,
            reason: None,
            latency: None,
            audience: None,
            jti: None,
            polls: None,
        }
    }

    /// With who asked.
    #[must_use]
    pub fn subject(mut self, subject: &'a Subject) -> Self {
        self.namespace = Some(subject.namespace.as_str());
        self.service_account = Some(subject.account.as_str());
        self.pod = subject.pod.as_ref().map(|pod| pod.name.as_str());
        self.pod_uid = subject.pod.as_ref().map(|pod| pod.uid.as_str());
        self
    }

    /// Appends the line and its line feed.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Printable);
        self.serialize(&mut serializer).expect("a line has string keys only, and a vector takes any bytes");
        out.push(b'\n');
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
        pub enum $name {
            $($(#[$about])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word in the line.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

words! {
    /// What happened.
    Event {
        /// An object was handed to a pod.
        Deliver = "deliver",
        /// A mount was refused: somebody has to change something.
        Refuse = "refuse",
        /// A mount failed, and may succeed when it is tried again.
        Fail = "fail",
        /// A backend made a credential for a pod.
        Issue = "issue",
        /// A lease was prolonged.
        Renew = "renew",
        /// A credential took the place of an older one.
        Replace = "replace",
        /// A credential was ended.
        Revoke = "revoke",
        /// An identity logged in at a backend, or was refused there.
        Login = "login",
    }
}

impl Event {
    /// How a mount with this reason is told.
    pub const fn of(reason: Reason) -> Self {
        if reason.is_refusal() { Self::Refuse } else { Self::Fail }
    }
}

words! {
    /// On whose behalf.
    Caller {
        /// The CSI driver, for a volume of a pod.
        Driver = "driver",
        /// The sync controller.
        Sync = "sync",
        /// A person at the command line.
        Cli = "cli",
    }
}

words! {
    /// Where material came from.
    Source {
        /// It was read for this mount.
        Backend = "backend",
        /// It was read a short while ago.
        Cache = "cache",
        /// It is held under a lease.
        Lease = "lease",
        /// It is the last good one, since its refresh failed.
        Stale = "stale",
    }
}

words! {
    /// How it ended.
    Outcome {
        /// Other content than the holder got before, or the first.
        Changed = "changed",
        /// The same content as before.
        Unchanged = "unchanged",
        /// An optional object that does not exist.
        Missing = "missing",
        /// A login succeeded.
        Accepted = "accepted",
        /// Nothing was handed over, and somebody has to change something.
        Refused = "refused",
        /// Nothing was handed over, and trying again may help.
        Failed = "failed",
    }
}

impl Outcome {
    /// How something with this reason ended.
    pub const fn of(reason: Reason) -> Self {
        if reason.is_refusal() { Self::Refused } else { Self::Failed }
    }
}

/// Ties the lines of one mount together: 8 random bytes, which the caller draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MountId([u8; 8]);

impl MountId {
    /// From random bytes.
    pub const fn new(random: [u8; 8]) -> Self {
        Self(random)
    }
}

impl fmt::Display for MountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl Serialize for MountId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn shown<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn reason<S: Serializer>(reason: &Option<Reason>, serializer: S) -> Result<S::Ok, S::Error> {
    reason.map(Reason::label).serialize(serializer)
}

/// Milliseconds with three decimals.
fn milliseconds<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    let milliseconds = |span: Duration| span.as_micros() as f64 / 1000.0;
    span.map(milliseconds).serialize(serializer)
}

fn bounded<S: Serializer>(text: &Option<&str>, serializer: S) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) if text.len() > Line::TEXT_MAX => {
            let kept = text::shorten(text, Line::TEXT_MAX - '…'.len_utf8());
            serializer.collect_str(&format_args!("{kept}…"))
        }
        text => text.serialize(serializer),
    }
}

/// Compact JSON in which nothing reaches a terminal as more than a letter: besides what JSON wants escaped, also the
/// other control characters and those that reorder or hide text. Parsing gives the text back unchanged.
struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.bytes().all(|byte| byte.is_ascii() && byte != 0x7f) {
            return out.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, hostile)) = rest.char_indices().find(|(_, c)| text::is_hostile(*c)) {
            out.write_all(&rest.as_bytes()[..at])?;
            for unit in hostile.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + hostile.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}
