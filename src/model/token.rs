//! The pod's tokens as kubelet hands them over: a JSON string that holds JSON, keyed by audience.
//! Their claims are decoded, not verified, and must agree with the subject before anything else happens: what a token
//! says is proved by the backend that it is sent to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::call::{ACCOUNT_NAME, POD_NAMESPACE, POD_UID};
use super::go::json::{self, First, Value, is};
use super::subject::{AccountName, Namespace, PodUid, Subject};
use crate::clock::Wall;
use crate::error::{Problem, Reason};
use crate::secret::Secret;
use crate::text::printable;

/// For whom a token is meant: the text in `CSIDriver.spec.tokenRequests[].audience`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Audience(Box<str>);

impl Audience {
    /// Any text; the empty one is the API server's own audience.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One token of the pod, moved into the login that needs it and zeroed with it.
#[derive(Clone)]
pub struct Token {
    /// The JWT.
    pub raw: Secret,
    /// What it says of itself.
    pub claims: Claims,
}

/// What a token says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Its id, for the audit trail.
    pub id: Option<String>,
    /// Not good before this.
    pub not_before: Option<Wall>,
    /// Not good from this on.
    pub expires: Option<Wall>,
    /// Whether the API server itself would believe it: its issuer stands among its audiences.
    pub for_api_server: bool,
}

/// All tokens of a call, by audience.
#[derive(Clone, Default)]
pub struct Tokens(BTreeMap<Audience, Token>);

/// Whom the tokens must speak of.
pub(super) struct Expected<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) account: &'a AccountName,
    pub(super) pod: Option<&'a PodUid>,
}

impl Token {
    /// One that the API server made for a subject, held against it as kubelet's are.
    ///
    /// # Errors
    /// `invalid` where it is none, `setup` where it is of somebody or for somebody else.
    pub fn issued(audience: &Audience, token: Secret, subject: &Subject) -> Result<Self, Problem> {
        let expected = Expected {
            namespace: &subject.namespace,
            account: &subject.account,
            pod: subject.pod.as_ref().map(|pod| &pod.uid),
        };
        self::token(audience.as_str(), token, &expected)
    }
}

impl Tokens {
    /// The token for an audience.
    pub fn get(&self, audience: &Audience) -> Option<&Token> {
        self.0.get(audience)
    }

    /// The audiences that there are tokens for.
    pub fn audiences(&self) -> impl Iterator<Item = &Audience> {
        self.0.keys()
    }

    /// Decodes every token, and holds each against whom it must speak of.
    pub(super) fn parse(text: &str, expected: &Expected<'_>, problems: &mut Vec<Problem>) -> Self {
        if text.is_empty() {
            return Self::default();
        }
        let Some(entries) = json::whole(text.as_bytes()).ok().and_then(entries) else {
            let what = "is not a JSON object of `{\"token\": …, \"expirationTimestamp\": …}` by audience";
            problems.push(Problem::new(Reason::Invalid, what).parameter(KEY));
            return Self::default();
        };
        let mut tokens = BTreeMap::new();
        for (audience, raw) in entries {
            match token(&audience, raw, expected) {
                Ok(token) => drop(tokens.insert(Audience::new(&audience), token)),
                Err(problem) => problems.push(problem.object(name(&audience)).parameter(KEY)),
            }
        }
        Self(tokens)
    }
}

/// How far the clocks of nodes, API server and issuers may differ where a token's times are judged.
pub const LEEWAY: Duration = Duration::from_secs(60);

const KUBELETS: &str = "only kubelet may fill this key: remove it from the class and the pod";

/// kubelet's key for the tokens.
pub const KEY: &str = "csi.storage.k8s.io/serviceAccount.tokens";

/// The token of each entry that has one, by audience, as Go decodes them: names in any case, and `null` says nothing.
/// `expirationTimestamp` is no more than checked: the token itself says until when it is good.
fn entries(first: First<'_>) -> Option<BTreeMap<String, Secret>> {
    let members = match first {
        First::Object(members) => members,
        First::Null => Vec::new(),
        First::Other => return None,
    };
    let mut tokens = BTreeMap::new();
    for (audience, entry) in members {
        let entry = match entry {
            Value::Object(entry) => entry,
            Value::Null => json::Object::new(),
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => return None,
        };
        let mut token = None;
        for (name, value) in
            entry.into_iter().filter(|(name, _)| is(name, "token") || is(name, "expirationtimestamp"))
        {
            match value {
                Value::Text(text) if is(&name, "token") => token = Some(text.to_string()),
                Value::Text(_) | Value::Null => {}
                Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Object(_) => return None,
            }
        }
        // Of equal audiences the last counts, also where it has none.
        tokens.remove(&*audience);
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            tokens.insert(audience.to_string(), Secret::from_text(token));
        }
    }
    Some(tokens)
}

#[derive(Deserialize)]
struct Body {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<OneOrMany>,
    exp: Option<f64>,
    nbf: Option<f64>,
    jti: Option<String>,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Kubernetes>,
}

/// A claim that is one text or a list of them, as `aud` is (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// Whether it says this.
    pub(crate) fn contains(&self, text: &str) -> bool {
        match self {
            Self::One(one) => one == text,
            Self::Many(many) => many.iter().any(|one| one == text),
        }
    }
}

/// The claim `kubernetes.io` of a service account token.
#[derive(Deserialize)]
pub(crate) struct Kubernetes {
    pub(crate) namespace: Option<String>,
    pub(crate) serviceaccount: Option<Named>,
    pub(crate) pod: Option<Named>,
}

/// What Kubernetes names in a claim.
#[derive(Deserialize)]
pub(crate) struct Named {
    pub(crate) name: Option<String>,
    pub(crate) uid: Option<String>,
}

fn token(audience: &str, raw: Secret, expected: &Expected<'_>) -> Result<Token, Problem> {
    let malformed = || {
        let what = "is not a JSON Web Token of three parts, so that it does not say whose it is";
        Problem::new(Reason::Setup, what).remedy(KUBELETS)
    };
    let body = decode(raw.expose()).ok_or_else(malformed)?;
    agrees(audience, &body, expected)?;
    let claims = Claims {
        id: body.jti.map(|id| printable(&id)),
        not_before: body.nbf.map(seconds),
        expires: body.exp.map(seconds),
        for_api_server: body.aud.zip(body.iss).is_some_and(|(aud, iss)| aud.contains(&iss)),
    };
    Ok(Token { raw, claims })
}

fn decode(token: &[u8]) -> Option<Body> {
    let mut parts = token.split(|byte| *byte == b'.');
    let (header, body, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let encoded = |part: &[u8]| {
        !part.is_empty() && part.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if parts.next().is_some() || !encoded(header) || !encoded(signature) {
        return None;
    }
    let body = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).ok()?);
    serde_json::from_slice(&body).ok()
}

/// The name and the uid of the pod that a token is bound to, by its own word.
pub fn pod(jwt: &str) -> Option<(String, String)> {
    let pod = decode(jwt.as_bytes())?.kubernetes?.pod?;
    Some((pod.name?, pod.uid?))
}

/// The claim that Kubernetes signs into every service account token, `kubernetes.io`, and `sub`, which says the same.
fn agrees(audience: &str, body: &Body, expected: &Expected<'_>) -> Result<(), Problem> {
    let agrees = |claim: &str, key: &str, theirs: &str, ours: &str| {
        let what = format!("is of {claim} `{theirs}`, but `{key}` says `{ours}`");
        if theirs == ours { Ok(()) } else { Err(Problem::new(Reason::Setup, what).remedy(KUBELETS)) }
    };
    let namespace = |theirs: &str| agrees("namespace", POD_NAMESPACE, theirs, expected.namespace.as_str());
    let account = |theirs: &str| agrees("service account", ACCOUNT_NAME, theirs, expected.account.as_str());
    if let Some((ns, sa)) =
        body.sub.as_deref().and_then(|s| s.strip_prefix("system:serviceaccount:")?.split_once(':'))
    {
        namespace(ns)?;
        account(sa)?;
    }
    let theirs = body.kubernetes.as_ref();
    let named = theirs.and_then(|theirs| {
        Some((theirs.namespace.as_deref()?, theirs.serviceaccount.as_ref()?.name.as_deref()?))
    });
    let Some((theirs_namespace, theirs_account)) = named else {
        let what = "says of no service account that it is its own";
        let remedy = "it must be a token of the pod's service account, with the claim `kubernetes.io`";
        return Err(Problem::new(Reason::Setup, what).remedy(remedy));
    };
    namespace(theirs_namespace)?;
    account(theirs_account)?;
    let pod = theirs.and_then(|theirs| theirs.pod.as_ref()?.uid.as_deref());
    if let (Some(theirs), Some(ours)) = (pod, expected.pod) {
        agrees("pod uid", POD_UID, theirs, ours.as_str())?;
    }
    let listed = body.aud.as_ref().is_some_and(|aud| aud.contains(audience));
    // The empty key stands for the API server's own audience, whose text only the cluster knows.
    if !listed && !audience.is_empty() {
        let what = "is handed over for an audience that it does not name itself";
        return Err(Problem::new(Reason::Setup, what).remedy(KUBELETS));
    }
    Ok(())
}

fn name(audience: &str) -> String {
    format!("the token for audience `{audience}`")
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a time out of range saturates, and is then long past or far away"
)]
fn seconds(claim: f64) -> Wall {
    Wall::from_seconds(claim as i64)
}
