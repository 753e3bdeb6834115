//! What it means that the API server does not do as it was asked.

use std::time::Duration;

use http::header::RETRY_AFTER;
use serde::Deserialize;

use super::Cluster;
use crate::error::{Fault, Problem, Reason, Retry};
use crate::model::{Audience, Subject};
use crate::net::Reply;
use crate::text::{quoted, short};

/// What a call was for.
pub(super) enum Purpose<'a> {
    Token { subject: &'a Subject, audience: &'a Audience },
    Key { name: &'a str, verb: &'static str },
}

impl Purpose<'_> {
    /// A text that says what it was about.
    pub(super) fn told(&self, what: &str) -> String {
        match self {
            Self::Token { subject, audience } => {
                let audience = short(audience.as_str());
                format!("a token of service account `{subject}` for audience `{audience}`: {what}")
            }
            Self::Key { name, .. } => format!("Secret `{name}`: {what}"),
        }
    }

    fn rights(&self) -> &'static str {
        match self {
            Self::Token { .. } => "apply `daemonset/rbac-tokenrequest.yaml`",
            Self::Key { .. } => "apply `daemonset/rbac-version-key.yaml` with the Secret's name in it",
        }
    }

    fn forbidden(&self) -> String {
        match self {
            Self::Token { .. } => "the agent may not ask for it".to_owned(),
            Self::Key { verb, .. } => format!("the agent may not {verb} it"),
        }
    }
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
}

impl Cluster {
    /// The fault of a status that is no success.
    pub(super) fn refusal(&self, purpose: &Purpose<'_>, reply: &Reply) -> Fault {
        let (reason, what, remedy) = match (reply.status, purpose) {
            (401, _) => (
                Reason::Setup,
                "the API server does not believe the agent's own token".to_owned(),
                "let Kubernetes mount the token in `cluster.credentials`, and bring it anew",
            ),
            (403, _) => (Reason::Setup, purpose.forbidden(), purpose.rights()),
            (404 | 409, Purpose::Token { .. }) => (
                Reason::Setup,
                "the API server knows no such pod of this service account".to_owned(),
                "see whether the pod is still there, and which service account it runs as",
            ),
            (429, _) => (
                Reason::Throttled,
                "the API server is asked too much".to_owned(),
                "see who asks it so often; the agent tries again by itself",
            ),
            (500.., _) => {
                (Reason::Upstream, format!("the API server answered {}", reply.status), "look at its state")
            }
            (status, _) => {
                let what = format!("the API server answered {status}");
                (Reason::Upstream, what, "see what answers at this address")
            }
        };
        let words = serde_json::from_slice::<Status>(reply.body.expose()).map(|status| status.message);
        let words = words.map(|words| quoted(&words)).unwrap_or_default();
        let said = if words.is_empty() { String::new() } else { format!(": {words}") };
        let problem = Problem::new(reason, purpose.told(&format!("{what}{said}"))).remedy(remedy);
        let retry = match (reply.status, pause(reply)) {
            (429 | 500.., Some(pause)) => Retry::After(pause),
            (429 | 500.., None) => Retry::Backoff,
            _ => Retry::Never,
        };
        Fault { retry, doubtful: reply.status >= 500, ..self.never(problem) }
    }

    /// A failure that the API server answered for.
    pub(super) fn never(&self, problem: Problem) -> Fault {
        let site = self.endpoint.as_ref().map(|endpoint| endpoint.address.site());
        Fault::never(problem.hop(site.unwrap_or_default()))
    }
}

/// How long the API server asks to wait, where it says so in seconds.
fn pause(reply: &Reply) -> Option<Duration> {
    let seconds = reply.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse::<u32>().ok()?;
    Some(Duration::from_secs(seconds.into()))
}
