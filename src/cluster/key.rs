//! The key of object versions in a Secret of the agent's own namespace, as the Vault and OpenBao providers keep theirs:
//! the same Secret, so that a volume that moves here keeps its versions, and all nodes say the same.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

use super::refusal::Purpose;
use super::{Asked, Cluster};
use crate::clock::Instant;
use crate::error::{Fault, Problem, Reason, Retry};
use crate::model::go::Json;
use crate::secret::{Secret, fill_random};

/// The name of the data in the Secret.
const DATA: &str = "key";
/// Bytes of a key that is made.
const KEY_BYTES: usize = 32;

#[derive(Deserialize)]
struct Found<'a> {
    kind: &'a str,
    /// Base64, which needs no escapes, so that nothing is copied.
    #[serde(borrow, default)]
    data: Option<BTreeMap<&'a str, &'a str>>,
}

impl Cluster {
    /// The key in the Secret of this name, which is made where it is absent. Deleting the Secret makes another key.
    ///
    /// # Errors
    /// `setup` where the agent may not read or make it, or where it holds no key; `throttled`, `unreachable`, `timeout`,
    /// `upstream`.
    pub async fn version_key(&self, name: &str, deadline: Instant) -> Result<Secret, Fault> {
        let folder = format!("/api/v1/namespaces/{}/secrets", self.namespace().map_err(Fault::never)?);
        let path = format!("{folder}/{name}");
        if let Some(key) = self.stored(name, &path, deadline).await? {
            return Ok(key);
        }
        if let Some(key) = self.made(name, &folder, deadline).await? {
            return Ok(key);
        }
        // Another node was faster.
        self.stored(name, &path, deadline).await?.ok_or_else(|| {
            let problem = Problem::new(Reason::Upstream, format!("Secret `{name}` comes and goes"));
            Fault { retry: Retry::Backoff, ..self.never(problem.remedy("see who deletes it")) }
        })
    }

    /// `None` where there is no such Secret.
    async fn stored(&self, name: &str, path: &str, deadline: Instant) -> Result<Option<Secret>, Fault> {
        let asked = Asked { operation: "read", method: Method::GET, path, body: None };
        let reply = self.send(asked, deadline).await?;
        match reply.status {
            200 => {}
            404 => return Ok(None),
            _ => return Err(self.refusal(&Purpose::Key { name, verb: "read" }, &reply)),
        }
        let found = serde_json::from_slice(reply.body.expose()).ok();
        let found = found.filter(|found: &Found<'_>| found.kind == "Secret").ok_or_else(|| {
            let problem = Problem::new(Reason::Upstream, format!("Secret `{name}`: the reply is no Secret"));
            self.never(problem.remedy("see what answers at this address"))
        })?;
        let data = found.data.unwrap_or_default();
        let key = data.get(DATA).and_then(|text| STANDARD.decode(text).ok());
        let key = key.filter(|key| !key.is_empty()).ok_or_else(|| {
            let problem = Problem::new(Reason::Setup, format!("Secret `{name}` has no `{DATA}`"));
            self.never(problem.remedy("delete it: another is made within a minute"))
        })?;
        Ok(Some(Secret::new(Zeroizing::new(key))))
    }

    /// `None` where there is one already.
    async fn made(&self, name: &str, folder: &str, deadline: Instant) -> Result<Option<Secret>, Fault> {
        let mut key = Zeroizing::new(vec![0; KEY_BYTES]);
        fill_random(&mut key);
        let mut text = STANDARD.encode(&*key);
        let mut json = Json::new(BODY_BYTES);
        json.raw(
            r#"{"apiVersion":"v1","kind":"Secret","type":"Opaque","immutable":true,"metadata":{"name":"#,
        );
        json.string(name).raw("},\"data\":{\"").raw(DATA).raw("\":").string(&text).raw("}}");
        text.zeroize();
        let body = json.finish();
        let asked = Asked { operation: "create", method: Method::POST, path: folder, body: Some(&body) };
        let reply = self.send(asked, deadline).await?;
        match reply.status {
            200..=202 => Ok(Some(Secret::new(key))),
            409 => Ok(None),
            _ => Err(self.refusal(&Purpose::Key { name, verb: "make" }, &reply)),
        }
    }
}

/// Room for a Secret of usual length.
const BODY_BYTES: usize = 384;
