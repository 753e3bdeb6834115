//! Renewing and ending what was issued. `PUT`, as the server's own clients do.

use std::time::Duration;

use http::Method;

use super::envelope::Envelope;
use super::refusal::Purpose;
use super::server::{Asked, Server};
use crate::error::{Fault, Problem, Reason, Retry};
use crate::model::go::Json;
use crate::model::{Grant, LeaseId};
use crate::net::Reply;
use crate::secret::Secret;
use crate::store::{Renew, Revoke, Session};

impl Server<'_> {
    /// Asks for as long a time as was granted first, and reports what the reply says.
    pub(super) async fn renew(&self, session: &Session, what: Renew<'_>) -> Result<Grant, Fault> {
        let (path, body) = match what {
            Renew::Session => ("/v1/auth/token/renew-self", Secret::from_text("{}".to_owned())),
            Renew::Lease(lease) => ("/v1/sys/leases/renew", self.naming(&lease.id, Some(lease.granted))?),
        };
        let reply = self.put(session, "renew", path, &body).await?;
        let envelope = Envelope::parse(reply.body.expose())
            .map_err(|unusable| self.unusable(&Purpose::Keep, &reply, unusable))?;
        let (seconds, renewable) = match (what, &envelope.auth) {
            (Renew::Session, Some(auth)) => (auth.lease_duration, auth.renewable),
            (Renew::Lease(lease), _) if envelope.lease_id.as_bytes() == lease.id.0.expose() => {
                (envelope.lease_duration, envelope.renewable)
            }
            (Renew::Session | Renew::Lease(_), _) => {
                let problem =
                    Problem::new(Reason::Upstream, "the reply is about something else than was renewed");
                return Err(Fault { doubtful: true, ..self.never(problem) });
            }
        };
        Ok(Grant { granted: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)), renewable })
    }

    /// Ends it. A session that the server no longer knows has ended, and its leases with it.
    pub(super) async fn revoke(&self, session: &Session, what: Revoke<'_>) -> Result<(), Fault> {
        let (path, body) = match what {
            Revoke::Session => ("/v1/auth/token/revoke-self", Secret::from_text("{}".to_owned())),
            Revoke::Lease(lease) => ("/v1/sys/leases/revoke", self.naming(lease, None)?),
        };
        match self.put(session, "revoke", path, &body).await {
            Err(fault) if fault.retry != Retry::Login => Err(fault),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn put(
        &self,
        session: &Session,
        operation: &'static str,
        path: &str,
        body: &Secret,
    ) -> Result<Reply, Fault> {
        let asked = Asked { operation, method: Method::PUT, path, body: Some(body) };
        self.asked(session, &Purpose::Keep, asked).await
    }

    fn naming(&self, lease: &LeaseId, increment: Option<Duration>) -> Result<Secret, Fault> {
        let id = std::str::from_utf8(lease.0.expose())
            .map_err(|_| self.never(Problem::new(Reason::Bug, "the id of a lease is not text")))?;
        let mut json = Json::new(id.len() + FRAME_BYTES);
        json.raw("{\"lease_id\":").string(id);
        if let Some(increment) = increment {
            json.raw(",\"increment\":").raw(&increment.as_secs().to_string());
        }
        json.raw("}");
        Ok(json.finish())
    }
}

/// What stands around the id, and a few escapes.
const FRAME_BYTES: usize = 64;
