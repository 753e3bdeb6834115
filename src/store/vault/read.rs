//! Reading one object, whatever its path, and what a 403 means.

use http::Method;

use super::envelope::Envelope;
use super::material::version;
use super::refusal::Purpose;
use super::server::{Asked, Server};
use crate::error::{Fault, Problem, Reason, Retry};
use crate::model::Material;
use crate::model::go::json::Object;
use crate::model::locator::request;
use crate::model::locator::vault::Locator;
use crate::net::Reply;
use crate::store::Session;
use crate::text::short;

impl Server<'_> {
    /// Sends the request that the locator is.
    pub(super) async fn read(&self, session: &Session, wanted: &Locator) -> Result<Material, Fault> {
        let method = Some(&*wanted.method).filter(|text| request::is_method(text));
        let method = method.and_then(|text| Method::from_bytes(text.as_bytes()).ok()).ok_or_else(|| {
            let what = format!("`{}` is no method that reads a path", short(&wanted.method));
            self.never(Problem::new(Reason::Invalid, what).remedy("correct the method, or leave it out"))
        })?;
        let body = wanted.args.as_ref().map(|args| &args.json);
        let path = wanted.target();
        let asked = Asked { operation: "read", method, path: &path, body };
        let issued = self.cx.clock.now();
        let purpose = Purpose::Read(wanted);
        let reply = self.asked(session, &purpose, asked).await?;
        let envelope = Envelope::parse(reply.body.expose())
            .map_err(|unusable| self.unusable(&purpose, &reply, unusable))?;
        match &envelope.data {
            Some(data) if !(envelope.bare && data.contains_key("errors")) => match another(data, wanted) {
                Some(problem) => Err(Fault { doubtful: true, ..self.never(problem) }),
                None => Ok(self.material(&reply, &envelope, data, wanted, issued)),
            },
            _ => Err(self.without_data(&envelope)),
        }
    }

    /// Sends a request of a session, and judges its status.
    pub(super) async fn asked(
        &self,
        session: &Session,
        purpose: &Purpose<'_>,
        asked: Asked<'_>,
    ) -> Result<Reply, Fault> {
        let reply = self.exchange(Some(session), asked).await?;
        match reply.status {
            200..300 => Ok(reply),
            403 => {
                let retry = self.after_denial(session).await;
                Err(Fault { retry, ..self.refusal(purpose, &reply) })
            }
            _ => Err(self.refusal(purpose, &reply)),
        }
    }

    /// A 403 says that the policies do not allow it or that the token is no longer known; the token itself can tell. Where
    /// it cannot be asked, the refusal stands, and another attempt may find out.
    async fn after_denial(&self, session: &Session) -> Retry {
        let path = "/v1/auth/token/lookup-self";
        let asked = Asked { operation: "lookup", method: Method::GET, path, body: None };
        match self.exchange(Some(session), asked).await.map(|reply| reply.status) {
            Ok(200..300) => Retry::Never,
            Ok(401 | 403) => Retry::Login,
            Ok(_) | Err(_) => Retry::Backoff,
        }
    }
}

/// What is wrong where KV version 2 was asked for one version and says that it gives another, as a cache on the way may.
/// Version 0 is the latest.
fn another(data: &Object<'_>, wanted: &Locator) -> Option<Problem> {
    let query = wanted.path.split_once('?')?.1;
    let mut asked = query.split('&').filter_map(|pair| pair.strip_prefix("version="));
    let (asked, None) = (asked.next()?.parse::<u64>().ok()?, asked.next()) else { return None };
    let got = version(data)?.parse::<u64>().ok()?;
    (asked != 0 && asked != got).then(|| {
        let what =
            format!("the reply does not match the request: it has version {got}, and {asked} was asked for");
        Problem::new(Reason::Upstream, what).remedy("check the address, and whether a proxy is in the way")
    })
}
