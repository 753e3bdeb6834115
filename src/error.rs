//! One vocabulary for everything that can go wrong: a [`Reason`], where it stands, what was wrong, what to do.
//! Below everything else, so it knows no domain type. Texts never hold a value, a token or a reply body.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::text::{printable, shorten};

/// Why a mount failed. The order is the precedence among several: first what a person must mend first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The class or the request is wrong.
    Invalid,
    /// The administrator's rules say no.
    Policy,
    /// The cluster or the agent lacks something, or a token's claims disagree with the pod.
    Setup,
    /// The pod's token is past its end or not yet valid.
    Expired,
    /// The backend refused the identity.
    Login,
    /// Identity accepted, object refused.
    Forbidden,
    /// Object, version or field absent.
    NotFound,
    /// The answer is over the driver's limit, or an object over ours.
    TooLarge,
    /// The backend asks for patience, after our retries.
    Throttled,
    /// The backend cannot be reached, after our retries.
    Unreachable,
    /// The backend did not answer within the mount's time.
    Timeout,
    /// The backend answered nonsense or a failure of its own.
    Upstream,
    /// A bound of ours is reached.
    Busy,
    /// A panic or a broken invariant of ours.
    Bug,
}

impl Reason {
    /// All of them, in order of precedence.
    pub const ALL: [Self; 14] = [
        Self::Invalid,
        Self::Policy,
        Self::Setup,
        Self::Expired,
        Self::Login,
        Self::Forbidden,
        Self::NotFound,
        Self::TooLarge,
        Self::Throttled,
        Self::Unreachable,
        Self::Timeout,
        Self::Upstream,
        Self::Busy,
        Self::Bug,
    ];

    /// The name in metrics, audit, texts and the CLI.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Policy => "policy",
            Self::Setup => "setup",
            Self::Expired => "expired",
            Self::Login => "login",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::TooLarge => "too_large",
            Self::Throttled => "throttled",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Upstream => "upstream",
            Self::Busy => "busy",
            Self::Bug => "bug",
        }
    }

    /// Whether somebody has to change something before the same call can succeed; else trying again may help.
    pub const fn is_refusal(self) -> bool {
        match self {
            Self::Invalid
            | Self::Policy
            | Self::Setup
            | Self::Expired
            | Self::Login
            | Self::Forbidden
            | Self::NotFound
            | Self::TooLarge => true,
            Self::Throttled | Self::Unreachable | Self::Timeout | Self::Upstream | Self::Busy | Self::Bug => {
                false
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Where a problem stands: which parameter, which object, which line and column inside the parameter, which hop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The parameter of the class, or the key of the configuration.
    pub parameter: Option<Cow<'static, str>>,
    /// The object, by the name that the class gives it and what it is in the store.
    pub object: Option<String>,
    /// Line and column inside the parameter, both from 1.
    pub at: Option<(u32, u32)>,
    /// The host or file that answered.
    pub hop: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        if let Some(parameter) = &self.parameter {
            write!(f, "parameter {parameter}")?;
            comma = ", ";
        }
        if let Some((line, column)) = self.at {
            write!(f, "{comma}line {line}, column {column}")?;
            comma = ", ";
        }
        if let Some(object) = &self.object {
            write!(f, "{comma}{object}")?;
            comma = ", ";
        }
        if let Some(hop) = &self.hop {
            write!(f, "{comma}at {hop}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub reason: Reason,
    /// Where it stands.
    pub place: Box<Place>,
    /// What was wrong: lower case, no full stop, the same words each time.
    pub what: String,
    /// What to do about it, as an imperative; empty where there is nothing.
    pub remedy: Cow<'static, str>,
}

impl Problem {
    /// A problem without a place and a remedy yet. Control characters in `what` are escaped.
    pub fn new(reason: Reason, what: impl AsRef<str>) -> Self {
        Self { reason, place: Box::default(), what: printable(what.as_ref()), remedy: Cow::Borrowed("") }
    }

    /// With what to do about it. Control characters in a text that was put together are escaped.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedy = safe(remedy.into());
        self
    }

    /// In this parameter.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.place.parameter = Some(safe(name.into()));
        self
    }

    /// About this object.
    #[must_use]
    pub fn object(mut self, object: impl AsRef<str>) -> Self {
        self.place.object = Some(printable(object.as_ref()));
        self
    }

    /// At this line and column.
    #[must_use]
    pub fn at(mut self, at: (u32, u32)) -> Self {
        self.place.at = Some(at);
        self
    }

    /// At this host or file.
    #[must_use]
    pub fn hop(mut self, hop: impl AsRef<str>) -> Self {
        self.place.hop = Some(printable(hop.as_ref()));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self.place != Place::default() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Everything that is wrong with one mount: never empty, the worst first. This *is* the mount's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Longest text of a mount's error, in bytes: kubelet puts it into an event, whole.
    pub const TEXT_MAX: usize = 4096;

    /// `None` where nothing is wrong. Orders by precedence and keeps the order found within a reason.
    pub fn gather(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by_key(|problem| problem.reason);
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// Fails with what was found, or goes on.
    ///
    /// # Errors
    /// The problems, where there are any.
    pub fn check(problems: Vec<Problem>) -> Result<(), Self> {
        Self::gather(problems).map_or(Ok(()), Err)
    }

    /// With one more.
    #[must_use]
    pub fn and(mut self, problem: Problem) -> Self {
        self.0.push(problem);
        self.0.sort_by_key(|problem| problem.reason);
        self
    }

    /// The reason that counts: the first by precedence.
    pub fn reason(&self) -> Reason {
        self.0.first().map_or(Reason::Bug, |problem| problem.reason)
    }

    /// Each problem, the worst first.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// The text for the person who reads `kubectl describe pod`, at most [`Self::TEXT_MAX`] bytes: the first line
    /// says the reason, the worst problem, and how many more there are; every other line is one problem.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let total = self.0.len();
        for (index, problem) in self.0.iter().enumerate() {
            let line = match (index, total) {
                (0, 1) => format!("{}: {problem}", problem.reason),
                (0, _) => format!("{} (1 of {total} problems): {problem}", problem.reason),
                _ => format!("\n{} ({} of {total}): {problem}", problem.reason, index + 1),
            };
            // What is kept free holds the names of the rest: no failing object goes unnamed for want of room.
            let rest: usize =
                self.0[index + 1..].iter().map(|rest| name(rest).len() + 2).sum::<usize>() + MORE_BYTES;
            let room = Self::TEXT_MAX
                .saturating_sub(text.len() + if index + 1 < total { rest.min(REST_BYTES_MAX) } else { 0 });
            if line.len() > room && index > 0 {
                name_the_rest(&mut text, &self.0[index..]);
                break;
            }
            text.push_str(shorten(&line, room));
        }
        text
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl std::error::Error for Problems {}

/// What a store returns to the engine: one attempt that failed.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What a person should read, if there is no other attempt.
    pub problem: Problem,
    /// Whether another attempt can help.
    pub retry: Retry,
    /// Whether its effect may have happened all the same: it was sent, and no answer says that it was refused.
    pub doubtful: bool,
    /// Whether the backend itself answered, at work and about this request alone: its endpoint is well, whatever is wrong
    /// with what was asked.
    pub answered: bool,
}

impl Fault {
    /// A failure that no other attempt can mend, of something that was never sent.
    pub fn never(problem: Problem) -> Self {
        Self { problem, retry: Retry::Never, doubtful: false, answered: false }
    }
}

/// When another attempt makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It would fail the same way.
    Never,
    /// After a pause of the engine's choice.
    Backoff,
    /// Not before this has passed, as the backend asked.
    After(Duration),
    /// With a new session: the backend no longer knows this one.
    Login,
}

/// Our own words as they are, any other text [`printable`].
fn safe(text: Cow<'static, str>) -> Cow<'static, str> {
    match text {
        Cow::Borrowed(ours) => Cow::Borrowed(ours),
        Cow::Owned(text) => Cow::Owned(printable(&text)),
    }
}

/// Room for `and N more: `.
const MORE_BYTES: usize = 32;
/// Most of a text that is kept free for the names of problems that do not fit: half, so that the first few are told whole.
const REST_BYTES_MAX: usize = Problems::TEXT_MAX / 2;

fn name(problem: &Problem) -> &str {
    problem.place.object.as_deref().or(problem.place.parameter.as_deref()).unwrap_or("another")
}

fn name_the_rest(text: &mut String, rest: &[Problem]) {
    let _ = write!(text, "\nand {} more: ", rest.len());
    for (index, problem) in rest.iter().enumerate() {
        let name = name(problem);
        if text.len() + name.len() + 5 > Problems::TEXT_MAX {
            text.push('…');
            return;
        }
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(name);
    }
}
