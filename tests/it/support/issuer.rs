//! A cluster's issuer of service account tokens: a key pair, its public half as the API server publishes it, and tokens
//! that it signs, or does not.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use latchkey::clock::{Clock, Wall};
use latchkey::driver::{Pod, PodToken};
use serde_json::{Value, json};

use super::agent::{Agent, pod};

pub(crate) const ISSUER: &str = "https://kubernetes.default.svc";
pub(crate) const AUDIENCE: &str = "latchkey";

/// An issuer with a key of its own.
pub(crate) struct Issuer(EcdsaKeyPair);

impl Issuer {
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key pair"))
    }

    /// Makes the agent's local store ask for this issuer's tokens; `more` is what else the configuration says.
    pub(crate) fn trusted_by(&self, agent: &Agent, more: &str) {
        std::fs::write(agent.path("jwks.json"), self.jwks()).expect("a key set");
        let at = |name: &str| agent.path(name).display().to_string();
        let text = format!(
            "stores:\n  local: {{ file: {}, identity: {}, issuer: \"{ISSUER}\", jwks: {}, audience: {AUDIENCE} }}\n\
             audit:\n  sink: {}\n{more}",
            at("store.age"),
            at("key.txt"),
            at("jwks.json"),
            at("audit.jsonl"),
        );
        std::fs::write(agent.path("latchkey.yaml"), text).expect("a configuration");
    }

    /// Its public key as the API server publishes it.
    pub(crate) fn jwks(&self) -> String {
        let point = self.0.public_key().as_ref();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        let key = json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": "k1", "x": x, "y": y });
        json!({ "keys": [key] }).to_string()
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let message = format!("{}.{}", part(&json!({ "alg": "ES256", "kid": "k1" })), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).expect("a signature");
        format!("{message}.{}", BASE64.encode(signature))
    }
}

/// A token that nobody has signed: enough where its claims alone are looked at.
pub(crate) fn unsigned(claims: &Value) -> String {
    format!("{}.{}.c2ln", part(&json!({ "alg": "RS256", "kid": "none" })), part(claims))
}

/// A part of a token.
pub(crate) fn part(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

/// What Kubernetes writes into a token of pod `web/ACCOUNT-1`, good for an hour.
pub(crate) fn claims(account: &str) -> Value {
    let pod = pod(account);
    let now = now();
    json!({
        "iss": ISSUER,
        "aud": [AUDIENCE],
        "sub": format!("system:serviceaccount:web:{account}"),
        "exp": now + 3600,
        "iat": now,
        "nbf": now,
        "jti": "7e1c7a60-0000-4000-8000-000000000001",
        "kubernetes.io": {
            "namespace": "web",
            "serviceaccount": { "name": account, "uid": "5a5a5a5a-0000-4000-8000-000000000001" },
            "pod": { "name": pod.name, "uid": pod.uid },
        },
    })
}

pub(crate) fn now() -> i64 {
    Clock::system().wall().seconds()
}

/// The pod `web/ACCOUNT-1` with a token, as kubelet hands it over: good for an hour.
pub(crate) fn holding(account: &str, audience: &str, token: &str) -> Pod {
    let mut pod = pod(account);
    let token = PodToken { token: token.to_owned(), expires: Wall::from_seconds(now() + 3600) };
    pod.tokens.insert(audience.to_owned(), token);
    pod
}
