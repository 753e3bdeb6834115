//! The Kubernetes side: the key that signs service accounts' tokens, and what the API server answers to those who ask
//! about one. It truly verifies, so that a token passes only where it would pass in a cluster.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::listen::{Authority, Listener};
use crate::support::issuer;

/// The audience that the CSIDriver asks tokens for.
pub(super) const AUDIENCE: &str = "vault";

/// What a server's own account shows to ask for reviews.
pub(super) const REVIEWER: &str = "reviewer-of-tokens";

/// A cluster's issuer, and its API server.
pub(super) struct Cluster {
    keys: Arc<Keys>,
    listener: Listener,
}

struct Keys {
    pair: KeyPair,
    issuer: std::sync::OnceLock<String>,
}

impl Cluster {
    pub(super) fn start(runtime: &Handle, authority: &Authority) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key pair");
        let keys = Arc::new(Keys { pair, issuer: Default::default() });
        let routes = Router::new()
            .route("/apis/authentication.k8s.io/v1/tokenreviews", post(review))
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/openid/v1/jwks", get(jwks))
            .with_state(Arc::clone(&keys));
        let listener = Listener::start(runtime, authority, routes);
        keys.issuer.set(listener.url()).expect("set once");
        Self { keys, listener }
    }

    pub(super) fn url(&self) -> String {
        self.listener.url()
    }

    /// The claims of a good token of `web/ACCOUNT`.
    pub(super) fn claims(&self, account: &str) -> Value {
        let mut claims = issuer::claims(account);
        claims["iss"] = json!(self.url());
        claims["aud"] = json!([AUDIENCE]);
        // The server knows an account by its uid.
        claims["kubernetes.io"]["serviceaccount"]["uid"] = json!(format!("uid-of-{account}"));
        claims
    }

    /// A good token of `web/ACCOUNT`.
    pub(super) fn token(&self, account: &str) -> String {
        self.sign(&self.claims(account))
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        self.keys.sign(claims)
    }
}

/// What a key that is not the cluster's signs under the same name.
pub(super) fn forged(claims: &Value) -> String {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key pair");
    Keys { pair, issuer: Default::default() }.sign(claims)
}

/// A token that says of itself that nobody signed it.
pub(super) fn unsigned(claims: &Value) -> String {
    format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(claims))
}

fn part(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

impl Keys {
    fn sign(&self, claims: &Value) -> String {
        let message = format!("{}.{}", part(&json!({ "alg": "RS256", "kid": KEY_ID })), part(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed =
            self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature);
        signed.expect("a signature");
        format!("{message}.{}", BASE64.encode(signature))
    }

    /// Modulus and exponent as a key set has them.
    fn public(&self) -> (String, String) {
        let public = self.pair.public_key();
        let encode = |bytes: &[u8]| BASE64.encode(bytes);
        let (n, e) = (public.modulus(), public.exponent());
        (encode(n.big_endian_without_leading_zero()), encode(e.big_endian_without_leading_zero()))
    }

    /// The claims of a token that the issuer signed, that is good now, and that is meant for one of the audiences.
    fn verify(&self, token: &str, audiences: &[String]) -> Option<Value> {
        let (n, e) = self.public();
        let key = DecodingKey::from_rsa_components(&n, &e).expect("a key");
        let mut rules = Validation::new(Algorithm::RS256);
        rules.leeway = 0;
        rules.validate_nbf = true;
        rules.set_issuer(&[self.issuer.get().expect("a cluster that runs")]);
        rules.set_audience(audiences);
        rules.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        decode::<Value>(token, &key, &rules).map(|token| token.claims).ok()
    }
}

/// `TokenReview`, for whoever shows the reviewer's token.
async fn review(State(keys): State<Arc<Keys>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    if headers.get("authorization").is_none_or(|value| *value != *format!("Bearer {REVIEWER}")) {
        return (StatusCode::UNAUTHORIZED, json!({ "kind": "Status", "code": 401 }).to_string());
    }
    let Ok(asked) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, json!({ "kind": "Status", "code": 400 }).to_string());
    };
    let texts = |value: &Value| -> Vec<String> {
        let all = value.as_array().into_iter().flatten();
        all.filter_map(|one| one.as_str().map(str::to_owned)).collect()
    };
    let mut audiences = texts(&asked["spec"]["audiences"]);
    if audiences.is_empty() {
        audiences.push(API_SERVER.to_owned());
    }
    let token = asked["spec"]["token"].as_str().unwrap_or_default();
    let status = match keys.verify(token, &audiences) {
        Some(claims) => {
            let meant = texts(&claims["aud"]);
            audiences.retain(|one| meant.contains(one));
            let account = &claims["kubernetes.io"];
            let namespace = account["namespace"].as_str().unwrap_or_default();
            let groups = [
                "system:serviceaccounts",
                &format!("system:serviceaccounts:{namespace}"),
                "system:authenticated",
            ];
            json!({ "authenticated": true, "audiences": audiences, "user": {
                "username": claims["sub"], "uid": account["serviceaccount"]["uid"], "groups": groups } })
        }
        None => json!({ "authenticated": false, "error": "invalid bearer token" }),
    };
    let kind = json!({ "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status });
    (StatusCode::CREATED, kind.to_string())
}

async fn discovery(State(keys): State<Arc<Keys>>) -> ([(&'static str, &'static str); 1], Body) {
    let issuer = keys.issuer.get().expect("a cluster that runs");
    let page = json!({
        "issuer": issuer, "jwks_uri": format!("{issuer}/openid/v1/jwks"), "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
    });
    (JSON, page.to_string().into())
}

async fn jwks(State(keys): State<Arc<Keys>>) -> ([(&'static str, &'static str); 1], Body) {
    let (n, e) = keys.public();
    let key = json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": n, "e": e });
    (JSON, json!({ "keys": [key] }).to_string().into())
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const KEY_ID: &str = "k1";
/// What a token is for where nobody asked for anything.
const API_SERVER: &str = "https://kubernetes.default.svc";
