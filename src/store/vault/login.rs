//! The login, and what it says of who logged in.

use std::time::Duration;

use http::Method;

use super::envelope::{Auth, Envelope};
use super::refusal::{Purpose, quote};
use super::server::{Asked, Server, credential};
use crate::clock::{Instant, Span};
use crate::error::{Fault, Problem, Reason};
use crate::model::go::Json;
use crate::model::{Subject, Token};
use crate::secret::Secret;
use crate::store::{Authority, Session};

impl Server<'_> {
    /// Shows the pod's token to the auth mount.
    pub(super) async fn log_in(&self, token: &Token, subject: &Subject) -> Result<Session, Fault> {
        let body = body(token, &self.access.role).map_err(|problem| self.never(problem))?;
        let path = format!("/v1/auth/{}/login", self.access.mount);
        let from = self.cx.clock.now();
        let asked = Asked { operation: "login", method: Method::POST, path: &path, body: Some(&body) };
        let reply = self.exchange(None, asked).await?;
        let purpose = Purpose::Login(subject);
        if !(200..300).contains(&reply.status) {
            return Err(self.refusal(&purpose, &reply));
        }
        let envelope = Envelope::parse(reply.body.expose())
            .map_err(|unusable| self.unusable(&purpose, &reply, unusable))?;
        match &envelope.auth {
            Some(auth) if is_token(&auth.client_token) => Ok(Session {
                credential: credential(&auth.client_token, &reply.headers),
                authority: self.authority(auth),
                life: life(from, auth),
            }),
            _ => {
                let (reason, what, remedy) = no_token(&envelope);
                let problem = Problem::new(reason, self.told(&purpose, &what)).remedy(remedy);
                Err(Fault { doubtful: true, ..self.never(problem) })
            }
        }
    }

    /// What the server said this identity is: its namespace, its entity, its policies, and what the auth method knows of
    /// it. Where it names no entity, nothing in the reply is sure to tell two identities apart (policies are the role's, and
    /// so may the metadata be), so the session stands for itself: its accessor, or its token where a batch token has none.
    fn authority(&self, auth: &Auth<'_>) -> Authority {
        let (kind, who): (&[u8], &str) = match (&*auth.entity_id, &*auth.accessor) {
            ("", "") => (b"token", &auth.client_token),
            ("", accessor) => (b"accessor", accessor),
            (entity, _) => (b"entity", entity),
        };
        let lists = [&auth.policies, &auth.token_policies, &auth.identity_policies];
        let mut policies: Vec<&str> = lists.into_iter().flatten().flatten().map(|policy| &**policy).collect();
        policies.sort_unstable();
        policies.dedup();
        // The digest knows where each part ends; the count says where the policies do.
        let count = (policies.len() as u64).to_be_bytes();
        let mut parts: Vec<&[u8]> =
            vec![b"vault", self.access.namespace.as_bytes(), kind, who.as_bytes(), &count];
        parts.extend(policies.iter().map(|policy| policy.as_bytes()));
        let metadata = auth.metadata.iter().flatten();
        parts.extend(metadata.flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]));
        Authority(self.cx.digests.digest(&parts))
    }
}

/// Lasts as the reply says: for ever where that is zero, as for a root token. A token that may be used so many times only
/// is over as soon as it is given: it serves the mount that logged in, and is not kept for another.
fn life(from: Instant, auth: &Auth<'_>) -> Span {
    let until = match (auth.num_uses, u64::try_from(auth.lease_duration)) {
        (0, Ok(0)) => None,
        (0, Ok(seconds)) => Some(from + Duration::from_secs(seconds)),
        _ => Some(from),
    };
    Span { from, until }
}

fn body(token: &Token, role: &str) -> Result<Secret, Problem> {
    let jwt = std::str::from_utf8(token.raw.expose())
        .map_err(|_| Problem::new(Reason::Setup, "the pod's token is not text"))?;
    let mut json = Json::new(jwt.len() + role.len() + FRAME_BYTES);
    json.raw("{\"jwt\":").string(jwt).raw(",\"role\":").string(role).raw("}");
    Ok(json.finish())
}

/// What stands around token and role, and a few escapes.
const FRAME_BYTES: usize = 64;

/// Whether a text can be sent back as a token, alone in its header.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// A server that wraps the token, or wants more than the pod can show, refuses the pod. A reply with nothing of that is
/// no word about the pod at all: it comes of a proxy, or of another kind of server.
fn no_token(envelope: &Envelope<'_>) -> (Reason, String, &'static str) {
    let none = "the login reply had no token";
    if envelope.wrap_info.is_some() {
        let what = format!("{none}, it was wrapped for someone else to fetch");
        return (Reason::Login, what, "let no `min_wrapping_ttl` wrap the replies of the login");
    }
    if envelope.auth.as_ref().is_some_and(|auth| auth.mfa_requirement.is_some()) {
        let what = format!("{none}, it asks for a second factor, which a pod has not");
        return (
            Reason::Login,
            what,
            "take the logins of this auth mount out of the enforcement of multi-factor authentication",
        );
    }
    if envelope.auth.is_some() {
        let what = format!("{none} that could be sent back");
        return (Reason::Login, what, "check that the auth mount issues tokens to this role");
    }
    let warnings = quote(envelope.warnings.iter().flatten());
    let what = if warnings.is_empty() { none.to_owned() } else { format!("{none}: {warnings}") };
    (
        Reason::Upstream,
        what,
        "check that the auth mount is a kubernetes or a jwt one, and that no proxy changes replies",
    )
}
