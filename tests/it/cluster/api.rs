//! As much of an API server as the agent speaks to: it knows one token, makes tokens of service accounts, and keeps
//! Secrets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use latchkey::clock::{Clock, Wall};
use serde_json::{Value, json};

use crate::support::issuer::unsigned;
use crate::testkit::{Reply, Request, Testkit};

/// The namespace of the agent.
pub(super) const NAMESPACE: &str = "kube-system";

/// What it knows.
pub(super) struct State {
    /// The agent's own token.
    pub(super) bearer: String,
    pub(super) secrets: BTreeMap<String, Value>,
    /// The tokens that it made.
    pub(super) issued: Vec<String>,
    /// Whether it fails whatever it is asked.
    pub(super) away: bool,
}

/// One, until it is dropped.
pub(super) struct ApiServer {
    pub(super) kit: Testkit,
    folder: tempfile::TempDir,
    state: Arc<Mutex<State>>,
}

impl ApiServer {
    pub(super) fn start() -> Self {
        let (kit, folder) = (Testkit::start(), tempfile::tempdir().unwrap());
        let bearer = "agents-own-token-1".to_owned();
        let state = State { bearer, secrets: BTreeMap::new(), issued: Vec::new(), away: false };
        let state = Arc::new(Mutex::new(state));
        let answering = Arc::clone(&state);
        kit.route("*", move |request| answer(&mut answering.lock().unwrap(), &request));
        let api = Self { kit, folder, state };
        std::fs::copy(api.kit.ca(), api.credentials().join("ca.crt")).unwrap();
        std::fs::write(api.credentials().join("namespace"), NAMESPACE).unwrap();
        // As an editor would leave it; Kubernetes writes no line break.
        std::fs::write(api.credentials().join("token"), "agents-own-token-1\n").unwrap();
        api
    }

    /// The folder that Kubernetes would mount.
    pub(super) fn credentials(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What Kubernetes sets in every container.
    pub(super) fn environment(&self) -> [(&'static str, String); 2] {
        let port = self.kit.listener().port().to_string();
        [("KUBERNETES_SERVICE_HOST", "127.0.0.1".to_owned()), ("KUBERNETES_SERVICE_PORT", port)]
    }
}

/// A refusal in the API server's form.
pub(super) fn status(code: u16, message: &str) -> Reply {
    Reply::json(
        code,
        &json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code }),
    )
}

fn answer(state: &mut State, request: &Request) -> Reply {
    if state.away {
        return status(503, "etcd is away");
    }
    if request.header("authorization") != Some(&format!("Bearer {}", state.bearer)) {
        return status(401, "Unauthorized");
    }
    let path: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    match (request.method.as_str(), &path[..]) {
        ("POST", ["api", "v1", "namespaces", namespace, "serviceaccounts", account, "token"]) => {
            token(state, namespace, account, &request.json())
        }
        ("GET", ["api", "v1", "namespaces", NAMESPACE, "secrets", name]) => match state.secrets.get(*name) {
            Some(secret) => Reply::json(200, secret),
            None => status(404, &format!("secrets \"{name}\" not found")),
        },
        ("POST", ["api", "v1", "namespaces", NAMESPACE, "secrets"]) => {
            let secret = request.json();
            let name = secret["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if name.is_empty() {
                return status(422, "a Secret without a name");
            }
            if state.secrets.contains_key(&name) {
                return status(409, &format!("secrets \"{name}\" already exists"));
            }
            state.secrets.insert(name, secret.clone());
            Reply::json(201, &secret)
        }
        _ => status(404, "the server could not find the requested resource"),
    }
}

fn token(state: &mut State, namespace: &str, account: &str, asked: &Value) -> Reply {
    let spec = &asked["spec"];
    let seconds = spec["expirationSeconds"].as_i64().unwrap_or(3600);
    if seconds < 600 {
        return status(422, "may not specify a duration less than 10 minutes");
    }
    let now = Clock::system().wall().seconds();
    let pod = &spec["boundObjectRef"];
    let claims = json!({
        "iss": "https://issuer.test", "aud": spec["audiences"], "nbf": now, "exp": now + seconds,
        "jti": format!("issued-{}", state.issued.len()),
        "sub": format!("system:serviceaccount:{namespace}:{account}"),
        "kubernetes.io": {
            "namespace": namespace, "serviceaccount": { "name": account },
            "pod": { "name": pod["name"], "uid": pod["uid"] },
        },
    });
    let token = unsigned(&claims);
    state.issued.push(token.clone());
    Reply::json(201, &reply(&token, now + seconds))
}

/// A TokenRequest that was answered.
pub(super) fn reply(token: &str, expires: i64) -> Value {
    let expires = Wall::from_seconds(expires).to_string();
    json!({ "kind": "TokenRequest", "status": { "token": token, "expirationTimestamp": expires } })
}
