//! Whether an issuer's keys vouch for the pod's token. Pure: the keys, the token and the time come in. RS256 and ES256
//! only: an algorithm with a shared secret would take the public key for one.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use crate::clock::Wall;
use crate::error::{Problem, Reason};
use crate::model::token::{Kubernetes, LEEWAY, OneOrMany};
use crate::model::{Audience, Subject};

/// An issuer's keys.
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: String,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Keys {
    /// Reads a JWK set. Keys of other kinds are none of ours.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let broken = |what: &str| {
            Problem::new(Reason::Setup, what)
                .remedy("save the cluster's keys there: `kubectl get --raw /openid/v1/jwks`")
        };
        let set: Set = serde_json::from_slice(bytes)
            .map_err(|_| broken("the file of the issuer's keys is not a JSON Web Key Set"))?;
        let keys: Vec<Key> =
            set.keys.into_iter().filter_map(|key| Key::new(&serde_json::from_value(key).ok()?)).collect();
        if keys.is_empty() {
            return Err(broken("the file of the issuer's keys holds no RS256 or ES256 key with a `kid`"));
        }
        Ok(Self(keys))
    }
}

impl Key {
    fn new(jwk: &Jwk) -> Option<Self> {
        // Not `match`: the library may learn of more kinds of keys, and they are none of ours either.
        let (algorithm, name) = if let AlgorithmParameters::RSA(_) = &jwk.algorithm {
            (Algorithm::RS256, KeyAlgorithm::RS256)
        } else if let AlgorithmParameters::EllipticCurve(curve) = &jwk.algorithm
            && curve.curve == EllipticCurve::P256
        {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        } else {
            return None;
        };
        let common = &jwk.common;
        let signs = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
        let named = common.key_algorithm.is_none_or(|known| known == name);
        let id = common.key_id.clone().filter(|_| signs && named)?;
        Some(Self { id, algorithm, key: DecodingKey::from_jwk(jwk).ok()? })
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: OneOrMany,
    exp: i64,
    nbf: Option<i64>,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Kubernetes>,
}

/// Until when the token vouches for the subject, leeway included: always after `now`.
pub(super) fn verify(
    token: &[u8],
    keys: &Keys,
    issuer: &str,
    audience: &Audience,
    subject: &Subject,
    now: Wall,
) -> Result<Wall, Problem> {
    let claims = signed(token, keys)?;
    if claims.iss != issuer {
        return Err(refused("the pod's token is of another issuer", ISSUER));
    }
    let meant = claims.aud.contains(audience.as_str());
    if !meant {
        return Err(refused(
            "the pod's token is for another audience",
            "set the store's `audience` in the CSIDriver object's `tokenRequests`",
        ));
    }
    if !speaks_of(&claims, subject) {
        return Err(refused(
            "the pod's token speaks of another service account or pod",
            "only kubelet may hand over tokens: remove them from the class and the pod",
        ));
    }
    let end = Wall::from_seconds(claims.exp).plus(LEEWAY);
    let begin = claims.nbf.map(Wall::from_seconds);
    if now >= end {
        let remedy = "kubelet renews it by itself: see that the node's clock is right";
        return Err(Problem::new(Reason::Expired, "the pod's token has expired").remedy(remedy));
    }
    if begin.is_some_and(|begin| now.plus(LEEWAY) < begin) {
        let remedy = "see that the clocks of the API server and the node agree";
        return Err(Problem::new(Reason::Expired, "the pod's token is not valid yet").remedy(remedy));
    }
    Ok(end)
}

const UNVOUCHED: &str = "the issuer's keys do not vouch for the pod's token";
const ISSUER: &str =
    "see that the store's `issuer` and `jwks` are this cluster's: `kubectl get --raw /openid/v1/jwks`";

/// The claims, once a key of the issuer's has signed them.
fn signed(token: &[u8], keys: &Keys) -> Result<Claims, Problem> {
    let unvouched = || refused(UNVOUCHED, ISSUER);
    let header = decode_header(token).map_err(|_| unvouched())?;
    // `crit` names extensions that a verifier must understand (RFC 7515, 4.1.11); we know none.
    let id = header.kid.filter(|_| header.crit.is_none()).ok_or_else(unvouched)?;
    let key = keys.0.iter().find(|key| key.id == id && key.algorithm == header.alg).ok_or_else(unvouched)?;
    let mut rules = Validation::new(key.algorithm);
    // The rest is judged above, by our clock and in our words.
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    rules.validate_aud = false;
    decode::<Claims>(token, &key.key, &rules).map(|token| token.claims).map_err(|_| unvouched())
}

fn speaks_of(claims: &Claims, subject: &Subject) -> bool {
    let (namespace, account) = (subject.namespace.as_str(), subject.account.as_str());
    let agrees = |claim: Option<&String>, ours: &str| claim.is_none_or(|theirs| theirs == ours);
    let mut agreed = claims
        .sub
        .strip_prefix("system:serviceaccount:")
        .and_then(|names| names.split_once(':'))
        .is_some_and(|names| names == (namespace, account));
    if let Some(kubernetes) = &claims.kubernetes {
        agreed &= agrees(kubernetes.namespace.as_ref(), namespace);
        agreed &= agrees(kubernetes.serviceaccount.as_ref().and_then(|named| named.name.as_ref()), account);
        if let Some(pod) = &subject.pod {
            let uid = kubernetes.pod.as_ref().and_then(|named| named.uid.as_ref());
            agreed &= agrees(uid, pod.uid.as_str());
        }
    }
    agreed
}

fn refused(what: &str, remedy: &'static str) -> Problem {
    Problem::new(Reason::Login, what).remedy(remedy)
}
