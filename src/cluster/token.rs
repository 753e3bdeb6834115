//! A token of a pod's service account, for an audience that kubelet hands over none for.

use http::Method;
use serde::Deserialize;

use super::refusal::Purpose;
use super::{Asked, Cluster};
use crate::clock::Instant;
use crate::error::{Fault, Problem, Reason};
use crate::model::go::Json;
use crate::model::{Audience, Pod, Subject, Token};
use crate::secret::Secret;

/// For how long a token is asked for. The API server gives none for less than ten minutes, and may give one for longer.
const LIFE_SECONDS: u32 = 900;

#[derive(Deserialize)]
struct Issued {
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    token: String,
}

impl Cluster {
    /// Asks for a token of this account, bound to this pod, so that it ends with the pod; one attempt.
    ///
    /// # Errors
    /// `setup` where the agent may not ask or the API server knows no such pod, `throttled`, `unreachable`, `timeout`,
    /// `upstream`.
    pub async fn token(
        &self,
        subject: &Subject,
        pod: &Pod,
        audience: &Audience,
        deadline: Instant,
    ) -> Result<Token, Fault> {
        let path =
            format!("/api/v1/namespaces/{}/serviceaccounts/{}/token", subject.namespace, subject.account);
        let body = body(pod, audience);
        let asked = Asked { operation: "token", method: Method::POST, path: &path, body: Some(&body) };
        let reply = self.send(asked, deadline).await?;
        let purpose = Purpose::Token { subject, audience };
        if reply.status != 201 && reply.status != 200 {
            return Err(self.refusal(&purpose, &reply));
        }
        let Issued { status } = serde_json::from_slice(reply.body.expose()).map_err(|_| {
            let problem = Problem::new(Reason::Upstream, purpose.told("the reply has no token"));
            self.never(problem.remedy("see what answers at this address"))
        })?;
        Token::issued(audience, Secret::from_text(status.token), subject).map_err(|problem| {
            let what = purpose.told(&format!("the API server's token {}", problem.what));
            self.never(Problem::new(Reason::Upstream, what).remedy("see what answers at this address"))
        })
    }
}

fn body(pod: &Pod, audience: &Audience) -> Secret {
    let mut json = Json::new(BODY_BYTES);
    json.raw(r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"audiences":["#);
    json.string(audience.as_str()).raw("],\"expirationSeconds\":").raw(&LIFE_SECONDS.to_string());
    json.raw(r#","boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"#).string(pod.name.as_str());
    json.raw(",\"uid\":").string(pod.uid.as_str()).raw("}}}");
    json.finish()
}

/// Room for a request of usual length.
const BODY_BYTES: usize = 384;
