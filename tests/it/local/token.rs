//! The pod's token against the issuer's keys: signatures, claims, times, and the ways to get around them.

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use latchkey::clock::{Clock, Wall};
use latchkey::error::{Problem, Reason};
use latchkey::model::{Audience, Claims, Pod, PodName, PodUid, Subject, Token};
use latchkey::secret::Secret;
use latchkey::store::local::{Local, Verify};
use latchkey::store::{Cx, Proof, Session, Store as _};
use serde_json::{Value, json};

use super::{Bench, access, cx, newest, subject, whole};

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://kubernetes.default.svc";

/// A cluster with two keys, an agent that knows them, and the time standing still.
struct Cluster {
    rsa: rsa::KeyPair,
    ec: EcdsaKeyPair,
    bench: Bench,
    local: Local,
    cx: Cx,
}

impl Cluster {
    fn new() -> Self {
        let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let bench = Bench::new();
        let verify = Verify {
            issuer: ISSUER.to_owned(),
            jwks: bench.folder.path().join("jwks.json"),
            audience: Audience::new("latchkey"),
        };
        let local = super::local(&bench.file(), &bench.identity(), Some(verify));
        let cluster = Self { rsa, ec, bench, local, cx: cx(Clock::paused(Wall::from_seconds(NOW))) };
        cluster.publish(&[cluster.rsa_jwk("r1"), cluster.ec_jwk("e1")]);
        cluster
    }

    fn jwks(&self) -> PathBuf {
        self.bench.folder.path().join("jwks.json")
    }

    fn publish(&self, keys: &[Value]) {
        std::fs::write(self.jwks(), json!({ "keys": keys }).to_string()).unwrap();
    }

    fn rsa_jwk(&self, id: &str) -> Value {
        let public = self.rsa.public_key();
        let n = BASE64.encode(public.modulus().big_endian_without_leading_zero());
        let e = BASE64.encode(public.exponent().big_endian_without_leading_zero());
        json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": n, "e": e })
    }

    fn ec_jwk(&self, id: &str) -> Value {
        let point = self.ec.public_key().as_ref();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": id, "x": x, "y": y })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let random = SystemRandom::new();
        let signature = if header["alg"] == "ES256" {
            self.ec.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec()
        } else {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
            signature
        };
        format!("{message}.{}", BASE64.encode(signature))
    }

    async fn log_in(&self, token: &str, subject: &Subject) -> Result<Session, Problem> {
        let claims = Claims { id: None, not_before: None, expires: None, for_api_server: false };
        let token = Token { raw: Secret::from_text(token.to_owned()), claims };
        let proof = Proof::Token(&token, subject);
        let answer = self.local.authenticate(&self.cx, &access(), proof).await;
        answer.map_err(|fault| {
            let text = fault.problem.to_string();
            assert!(token.raw.is_empty() || !text.contains(std::str::from_utf8(token.raw.expose()).unwrap()));
            assert!(!fault.problem.remedy.is_empty(), "{text}");
            fault.problem
        })
    }

    /// A token with good signature and these claims.
    async fn with_claims(&self, claims: &Value) -> Result<Session, Problem> {
        self.log_in(&self.sign(&rs256(), claims), &web()).await
    }
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()))
}

fn rs256() -> Value {
    json!({ "alg": "RS256", "kid": "r1" })
}

fn es256() -> Value {
    json!({ "alg": "ES256", "kid": "e1" })
}

fn good() -> Value {
    json!({
        "iss": ISSUER, "aud": ["latchkey", "other"], "sub": "system:serviceaccount:web:app",
        "exp": NOW + 3600, "nbf": NOW - 10, "iat": NOW - 10,
        "kubernetes.io": { "namespace": "web", "serviceaccount": { "name": "app", "uid": "1" }, "pod": { "name": "p", "uid": "u-1" } },
    })
}

/// The good claims with one of them another, or absent where it is null.
fn with(claim: &str, value: Value) -> Value {
    let mut claims = good();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(claim);
    } else {
        claims[claim] = value;
    }
    claims
}

fn web() -> Subject {
    let pod = Pod { name: PodName::parse("p").unwrap(), uid: PodUid::parse("u-1").unwrap() };
    Subject { pod: Some(pod), ..subject("web", "app") }
}

async fn reason(answer: impl Future<Output = Result<Session, Problem>>) -> Reason {
    super::refused(answer.await).reason
}

#[tokio::test(start_paused = true)]
async fn rs256_and_es256_tokens_of_the_issuer_open_the_store() {
    let cluster = Cluster::new();
    cluster.bench.set("e", &["web/app"], b"v");
    for header in [rs256(), es256()] {
        let session = cluster.log_in(&cluster.sign(&header, &good()), &web()).await.unwrap();
        let answers = cluster.local.fetch(&cluster.cx, &session, &access(), &[newest("e")]).await;
        assert_eq!(whole(answers[0].as_ref().ok().unwrap()), b"v");
        // The token's own end, and the leeway within which it is still taken.
        assert_eq!(session.life.until.unwrap() - session.life.from, Duration::from_secs(3660));
    }
    assert!(cluster.with_claims(&with("aud", json!("latchkey"))).await.is_ok());
    assert!(cluster.with_claims(&with("kubernetes.io", Value::Null)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn without_a_token_the_administrator_is_told_which_audience_is_missing() {
    let cluster = Cluster::new();
    let web = web();
    let proof = Proof::Subject(&web);
    let fault = cluster.local.authenticate(&cluster.cx, &access(), proof).await.err().unwrap();
    assert_eq!(fault.problem.reason, Reason::Setup);
    assert!(fault.problem.remedy.contains(r#"- audience: "latchkey""#), "{}", fault.problem);
}

#[tokio::test(start_paused = true)]
async fn claims_of_someone_or_something_else_are_refused() {
    let cluster = Cluster::new();
    for claims in [
        with("iss", json!("https://elsewhere")),
        with("iss", json!(format!("{ISSUER}/"))),
        with("iss", Value::Null),
        with("aud", json!("latchkeys")),
        with("aud", json!([])),
        with("aud", Value::Null),
        with("sub", json!("system:serviceaccount:web:other")),
        with("sub", json!("system:serviceaccount:shop:app")),
        with("sub", json!("app")),
        with("sub", Value::Null),
        with("exp", Value::Null),
        with("kubernetes.io", json!({ "namespace": "shop" })),
        with("kubernetes.io", json!({ "serviceaccount": { "name": "other" } })),
        with("kubernetes.io", json!({ "pod": { "uid": "u-2" } })),
    ] {
        assert_eq!(reason(cluster.with_claims(&claims)).await, Reason::Login, "{claims}");
    }
}

#[tokio::test(start_paused = true)]
async fn times_are_judged_by_our_clock_with_a_minute_of_leeway() {
    let cluster = Cluster::new();
    for claims in [with("exp", json!(NOW - 60)), with("exp", json!(0)), with("nbf", json!(NOW + 61))] {
        assert_eq!(reason(cluster.with_claims(&claims)).await, Reason::Expired, "{claims}");
    }
    for claims in [with("exp", json!(NOW - 59)), with("nbf", json!(NOW + 60)), with("nbf", Value::Null)] {
        assert!(cluster.with_claims(&claims).await.is_ok(), "{claims}");
    }
    cluster.cx.clock.sleep(Duration::from_secs(3660)).await;
    assert_eq!(reason(cluster.with_claims(&good())).await, Reason::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_no_key_signed_is_refused() {
    let cluster = Cluster::new();
    let refused = async |token: String| {
        let problem = super::refused(cluster.log_in(&token, &web()).await);
        assert_eq!(problem.reason, Reason::Login, "{token}");
        assert_eq!(problem.what, "the issuer's keys do not vouch for the pod's token");
    };
    // Nothing, `none`, and the public key as a shared secret in each form that it has.
    for alg in ["none", "None", "NONE"] {
        refused(format!("{}.", message(&json!({ "alg": alg, "kid": "r1" }), &good()))).await;
    }
    let header = json!({ "alg": "HS256", "kid": "r1" });
    let public = cluster.rsa.public_key();
    let modulus = public.modulus().big_endian_without_leading_zero();
    for secret in
        [modulus, public.as_ref(), public.as_der().unwrap().as_ref(), BASE64.encode(modulus).as_bytes()]
    {
        let tag =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message(&header, &good()).as_bytes());
        refused(format!("{}.{}", message(&header, &good()), BASE64.encode(tag))).await;
    }
    // Another cluster's keys under the same names.
    let other = Cluster::new();
    refused(other.sign(&rs256(), &good())).await;
    refused(other.sign(&es256(), &good())).await;
    // A claim changed afterwards, a signature cut, and one of another token.
    let signed = cluster.sign(&rs256(), &good());
    let signature = signed.rsplit('.').next().unwrap();
    refused(format!("{}.{signature}", message(&rs256(), &with("exp", json!(NOW + 9999))))).await;
    refused(signed[..signed.len() - 8].to_owned()).await;
    refused(String::new()).await;
    refused("a.b.c".to_owned()).await;
}

#[tokio::test(start_paused = true)]
async fn the_key_is_the_one_that_the_token_names_and_of_its_algorithm() {
    let cluster = Cluster::new();
    for header in [
        json!({ "alg": "RS256", "kid": "unknown" }),
        json!({ "alg": "RS256" }),
        json!({ "alg": "RS256", "kid": "e1" }),
        json!({ "alg": "ES256", "kid": "r1" }),
        json!({ "alg": "RS384", "kid": "r1" }),
        json!({ "alg": "RS256", "kid": "r1", "crit": ["exp"] }),
    ] {
        let token = cluster.sign(&header, &good());
        assert_eq!(reason(cluster.log_in(&token, &web())).await, Reason::Login, "{header}");
    }
    // A key for encryption, or of another algorithm, vouches for nothing.
    for (member, value) in [("use", "enc"), ("alg", "PS256")] {
        let mut key = cluster.rsa_jwk("r1");
        key[member] = json!(value);
        cluster.publish(&[key, cluster.ec_jwk("e1")]);
        assert_eq!(reason(cluster.with_claims(&good())).await, Reason::Login, "{member}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_read_again_when_their_file_changes() {
    let cluster = Cluster::new();
    assert!(cluster.with_claims(&good()).await.is_ok());
    cluster.publish(&[cluster.ec_jwk("e1")]);
    assert_eq!(reason(cluster.with_claims(&good())).await, Reason::Login);
    cluster.publish(&[json!({ "kty": "from-the-future" }), cluster.rsa_jwk("r1")]);
    assert!(cluster.with_claims(&good()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_file_of_keys_that_is_missing_or_none_is_the_administrators_to_mend() {
    let cluster = Cluster::new();
    for text in
        ["", "canary", "[]", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"Y2FuYXJ5","kid":"r1"}]}"#]
    {
        std::fs::write(cluster.jwks(), text).unwrap();
        let problem = super::refused(cluster.with_claims(&good()).await);
        assert_eq!(problem.reason, Reason::Setup, "{text}");
        assert_eq!(problem.place.hop.as_deref(), cluster.jwks().to_str());
    }
    std::fs::remove_file(cluster.jwks()).unwrap();
    let problem = super::refused(cluster.with_claims(&good()).await);
    assert_eq!(
        (problem.reason, &*problem.what),
        (Reason::Setup, "the file of the issuer's keys does not exist")
    );
}
