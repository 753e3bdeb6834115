//! The Kubernetes side: the key that signs service accounts' tokens, and what the API server answers to those who ask
//! about one. It truly verifies, so that a token passes only where it would pass in a cluster.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};

use crate::support::issuer::{self, part};
use crate::testkit::{Reply, Request, Testkit};

/// The audience that the CSIDriver asks tokens for.
pub(super) const AUDIENCE: &str = "vault";

/// What a server's own account shows to ask for reviews.
pub(super) const REVIEWER: &str = "reviewer-of-tokens";

/// A cluster's issuer, and its API server.
pub(super) struct Cluster {
    keys: Arc<Keys>,
    kit: Testkit,
}

struct Keys(KeyPair);

impl Cluster {
    pub(super) fn start() -> Self {
        let (keys, kit) = (Arc::new(Keys::new()), Testkit::start());
        let (held, url) = (Arc::clone(&keys), kit.address().site());
        kit.route("*", move |request| match &*request.path {
            "/apis/authentication.k8s.io/v1/tokenreviews" => held.review(&url, &request),
            "/.well-known/openid-configuration" => discovery(&url),
            JWKS => held.jwks(),
            _ => Reply::text(404, "no such path"),
        });
        Self { keys, kit }
    }

    pub(super) fn url(&self) -> String {
        self.kit.address().site()
    }

    /// Where its keys are.
    pub(super) fn jwks(&self) -> String {
        format!("{}{JWKS}", self.url())
    }

    /// The certificate of its authority.
    pub(super) fn ca(&self) -> String {
        std::fs::read_to_string(self.kit.ca()).expect("a certificate")
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
    Keys::new().sign(claims)
}

/// A token that says of itself that nobody signed it.
pub(super) fn unsigned(claims: &Value) -> String {
    format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(claims))
}

impl Keys {
    fn new() -> Self {
        Self(KeyPair::generate(KeySize::Rsa2048).expect("a key pair"))
    }

    fn sign(&self, claims: &Value) -> String {
        let message = format!("{}.{}", part(&json!({ "alg": "RS256", "kid": KEY_ID })), part(claims));
        let mut signature = vec![0; self.0.public_modulus_len()];
        let signed = self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature);
        signed.expect("a signature");
        format!("{message}.{}", BASE64.encode(signature))
    }

    /// Modulus and exponent as a key set has them.
    fn public(&self) -> (String, String) {
        let public = self.0.public_key();
        let (n, e) = (public.modulus(), public.exponent());
        let encode = |bytes: &[u8]| BASE64.encode(bytes);
        (encode(n.big_endian_without_leading_zero()), encode(e.big_endian_without_leading_zero()))
    }

    fn jwks(&self) -> Reply {
        let (n, e) = self.public();
        let key = json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": n, "e": e });
        Reply::json(200, &json!({ "keys": [key] }))
    }

    /// The claims of a token that the issuer signed, that is good now, and that is meant for one of the audiences.
    fn verify(&self, issuer: &str, token: &str, audiences: &[String]) -> Option<Value> {
        let (n, e) = self.public();
        let key = DecodingKey::from_rsa_components(&n, &e).expect("a key");
        let mut rules = Validation::new(Algorithm::RS256);
        rules.leeway = 0;
        rules.validate_nbf = true;
        rules.set_issuer(&[issuer]);
        rules.set_audience(audiences);
        rules.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        decode::<Value>(token, &key, &rules).map(|token| token.claims).ok()
    }

    /// `TokenReview`, for whoever shows the reviewer's token.
    fn review(&self, issuer: &str, request: &Request) -> Reply {
        if request.header("authorization") != Some(&format!("Bearer {REVIEWER}")) {
            return Reply::json(401, &json!({ "kind": "Status", "code": 401 }));
        }
        let asked = request.json();
        let mut audiences = texts(&asked["spec"]["audiences"]);
        if audiences.is_empty() {
            audiences.push(API_SERVER.to_owned());
        }
        let token = asked["spec"]["token"].as_str().unwrap_or_default();
        let status = match self.verify(issuer, token, &audiences) {
            Some(claims) => {
                let meant = texts(&claims["aud"]);
                audiences.retain(|one| meant.contains(one));
                json!({ "authenticated": true, "audiences": audiences, "user": user(&claims) })
            }
            None => json!({ "authenticated": false, "error": "invalid bearer token" }),
        };
        let api = "authentication.k8s.io/v1";
        Reply::json(201, &json!({ "kind": "TokenReview", "apiVersion": api, "status": status }))
    }
}

/// Whose token it is, as the API server says it.
fn user(claims: &Value) -> Value {
    let account = &claims["kubernetes.io"];
    let namespace = account["namespace"].as_str().unwrap_or_default();
    let own = format!("system:serviceaccounts:{namespace}");
    let groups = ["system:serviceaccounts", &own, "system:authenticated"];
    json!({ "username": claims["sub"], "uid": account["serviceaccount"]["uid"], "groups": groups })
}

fn texts(list: &Value) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    all.filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

fn discovery(issuer: &str) -> Reply {
    let page = json!({
        "issuer": issuer, "jwks_uri": format!("{issuer}{JWKS}"), "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
    });
    Reply::json(200, &page)
}

const JWKS: &str = "/openid/v1/jwks";
const KEY_ID: &str = "k1";
/// What a token is for where nobody asked for anything.
const API_SERVER: &str = "https://kubernetes.default.svc";
