//! The pod's tokens as kubelet hands them over: a JSON string that holds JSON, keyed by audience (`driver.md` §2.2).
//! Their claims are decoded, not verified, and must agree with the subject before anything else happens: what a token
//! says is proved by the backend that it is sent to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

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
    /// Not good from this on: the earlier of the claim and of kubelet's `expirationTimestamp`.
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
    pub fn issued(
        audience: &Audience,
        token: String,
        expiration: Option<String>,
        subject: &Subject,
    ) -> Result<Self, Problem> {
        let expected = Expected {
            namespace: &subject.namespace,
            account: &subject.account,
            pod: subject.pod.as_ref().map(|pod| &pod.uid),
        };
        self::token(audience.as_str(), Entry { token, expiration }, &expected)
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
        if matches!(text.trim(), "" | "null") {
            return Self::default();
        }
        let Ok(entries) = serde_json::from_str::<BTreeMap<String, Entry>>(text) else {
            let what = "is not a JSON object of `{\"token\": …, \"expirationTimestamp\": …}` by audience";
            problems.push(Problem::new(Reason::Invalid, what).parameter(KEY));
            return Self::default();
        };
        let mut tokens = BTreeMap::new();
        for (audience, entry) in entries {
            match token(&audience, entry, expected) {
                Ok(token) => drop(tokens.insert(Audience::new(&audience), token)),
                Err(problem) => problems.push(problem.object(name(&audience)).parameter(KEY)),
            }
        }
        Self(tokens)
    }
}

/// How far the clocks of nodes, API server and issuers may differ where a token's times are judged.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// kubelet's key for the tokens.
pub const KEY: &str = "csi.storage.k8s.io/serviceAccount.tokens";

#[derive(Deserialize)]
struct Entry {
    token: String,
    #[serde(rename = "expirationTimestamp")]
    expiration: Option<String>,
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

fn token(audience: &str, entry: Entry, expected: &Expected<'_>) -> Result<Token, Problem> {
    let malformed = || Problem::new(Reason::Invalid, "is not a JSON Web Token of three parts");
    let raw = Secret::from_text(entry.token);
    let body = decode(raw.expose()).ok_or_else(malformed)?;
    let timestamp = match entry.expiration.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => {
            let what = "its `expirationTimestamp` is not an RFC 3339 time";
            Some(Wall::parse(text).ok_or_else(|| Problem::new(Reason::Invalid, what))?)
        }
        None => None,
    };
    agrees(audience, &body, expected)?;
    let claims = Claims {
        id: body.jti.map(|id| printable(&id)),
        not_before: body.nbf.map(seconds),
        expires: [body.exp.map(seconds), timestamp].into_iter().flatten().min(),
        for_api_server: body.aud.zip(body.iss).is_some_and(|(aud, iss)| aud.contains(&iss)),
    };
    Ok(Token { raw, claims })
}

fn decode(token: &[u8]) -> Option<Body> {
    let mut parts = token.split(|byte| *byte == b'.');
    let (header, body, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || header.is_empty() || signature.is_empty() {
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

/// The claims that Kubernetes signs into every service account token (`kubernetes.io`, and `sub`, which says the same).
fn agrees(audience: &str, body: &Body, expected: &Expected<'_>) -> Result<(), Problem> {
    let disagrees = |claim: &str, theirs: &str, ours: &str| {
        let what = format!("is of {claim} `{theirs}`, but the volume is of `{ours}`");
        Problem::new(Reason::Setup, what)
            .remedy("only kubelet may fill this key: remove it from the class and the pod")
    };
    let named =
        |named: &Option<Named>, pick: fn(&Named) -> Option<&String>| named.as_ref().and_then(pick).cloned();
    let (mut namespace, mut account, mut pod) = (None, None, None);
    if let Some(kubernetes) = &body.kubernetes {
        namespace.clone_from(&kubernetes.namespace);
        account = named(&kubernetes.serviceaccount, |n| n.name.as_ref());
        pod = named(&kubernetes.pod, |n| n.uid.as_ref());
    }
    if let Some((ns, sa)) =
        body.sub.as_deref().and_then(|s| s.strip_prefix("system:serviceaccount:")?.split_once(':'))
    {
        for (claim, theirs, ours) in [
            ("namespace", ns, expected.namespace.as_str()),
            ("service account", sa, expected.account.as_str()),
        ] {
            if theirs != ours {
                return Err(disagrees(claim, theirs, ours));
            }
        }
        namespace.get_or_insert_with(|| ns.to_owned());
        account.get_or_insert_with(|| sa.to_owned());
    }
    let (Some(namespace), Some(account)) = (namespace, account) else {
        let what = "says of no service account that it is its own";
        return Err(
            Problem::new(Reason::Setup, what).remedy("it must be a token of the pod's service account")
        );
    };
    if namespace != expected.namespace.as_str() {
        return Err(disagrees("namespace", &namespace, expected.namespace.as_str()));
    }
    if account != expected.account.as_str() {
        return Err(disagrees("service account", &account, expected.account.as_str()));
    }
    if let (Some(theirs), Some(ours)) = (&pod, expected.pod)
        && theirs != ours.as_str()
    {
        return Err(disagrees("pod uid", theirs, ours.as_str()));
    }
    let listed = body.aud.as_ref().is_some_and(|aud| aud.contains(audience));
    // The empty key stands for the API server's own audience, whose text only the cluster knows.
    if !listed && !audience.is_empty() {
        return Err(Problem::new(
            Reason::Setup,
            "is handed over for an audience that it does not name itself",
        )
        .remedy("only kubelet may fill this key: remove it from the class and the pod"));
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
