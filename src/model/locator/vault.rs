//! The nouns of Vault and OpenBao.

use std::fmt;

use crate::model::endpoint::{Endpoint, Tls};
use crate::model::{Audience, StoreName, Subject};
use crate::secret::{Digest, Secret};

/// Which server, and as whom: everything that a login depends on besides the pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Access {
    /// The configured store.
    pub store: StoreName,
    /// Where.
    pub endpoint: Endpoint,
    /// `X-Vault-Namespace` of login and reads; empty for none.
    pub namespace: Box<str>,
    /// The path of the auth mount below `auth/`, percent-escaped as it goes on the wire: a kubernetes or a jwt one.
    pub mount: Box<str>,
    /// The role. `{namespace}` and `{serviceAccount}` stand for the pod's: neither server has roles with braces.
    pub role: Box<str>,
    /// The audience of the pod's token.
    pub audience: Audience,
    /// Whose envelope a whole reply is written in.
    pub flavour: Flavour,
}

impl Access {
    /// What stands for the namespace of the pod in a role.
    pub const NAMESPACE: &'static str = "{namespace}";
    /// What stands for the service account of the pod in a role.
    pub const ACCOUNT: &'static str = "{serviceAccount}";

    /// With the subject's names in its role; `None` where the role leaves nothing open.
    pub fn resolved(&self, subject: &Subject) -> Option<Self> {
        let role = self
            .role
            .replace(Self::NAMESPACE, subject.namespace.as_str())
            .replace(Self::ACCOUNT, subject.account.as_str());
        (*role != *self.role).then(|| Self { role: role.into(), ..self.clone() })
    }
}

/// The two servers answer alike, but for the whole reply as it is written into a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flavour {
    /// Vault's.
    #[default]
    Vault,
    /// OpenBao's: it has no `mount_type`.
    OpenBao,
}

impl Flavour {
    /// Its name: of the kind of store, of the provider, and of the audience where nobody names one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::OpenBao => "openbao",
        }
    }
}

/// What an administrator says of a server.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// Which of the two it is.
    pub flavour: Flavour,
    /// Where; without it a class must say.
    pub endpoint: Option<Endpoint>,
    /// How the certificate of an endpoint is checked that a class names.
    pub tls: Tls,
    /// The namespace.
    pub namespace: Option<Box<str>>,
    /// The auth mount, as [`super::request::mount`] makes it; `kubernetes` where there is none.
    pub mount: Option<Box<str>>,
    /// The role of classes that name none.
    pub role: Option<Box<str>>,
    /// The audience of the pod's token; the dialect's own where there is none.
    pub audience: Option<Audience>,
    /// Audiences that a class may ask for besides; empty for any that belongs to no other kind of store.
    pub audiences: Vec<Audience>,
}

impl Defaults {
    /// The audience of classes that name none.
    pub fn usual_audience(&self) -> Audience {
        self.audience.clone().unwrap_or_else(|| Audience::new(self.flavour.name()))
    }

    /// The auth mount of classes that name none.
    pub fn usual_mount(&self) -> Box<str> {
        self.mount.clone().unwrap_or_else(|| "kubernetes".into())
    }
}

/// One request. Its `Display` is the one canonical spelling: for policy, for audit, and on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locator {
    /// The HTTP method, as written; `GET` where none is.
    pub method: Box<str>,
    /// The path below `/v1/`, percent-escaped, and the query, if any, sorted by key: what [`super::request::path`] makes.
    /// Empty for `/v1` itself.
    pub path: Box<str>,
    /// The body.
    pub args: Option<Args>,
}

/// A JSON body, and its keyed digest, which alone is compared and shown.
#[derive(Clone)]
pub struct Args {
    /// What is sent.
    pub json: Secret,
    digest: Digest,
}

impl Args {
    /// Takes the JSON and its digest.
    pub fn new(json: Secret, key: &crate::secret::DigestKey) -> Self {
        let digest = json.digest(key, b"vault args");
        Self { json, digest }
    }
}

impl Locator {
    /// The same request without its body.
    pub fn without_body(&self) -> Self {
        Self { args: None, ..self.clone() }
    }

    /// Path and query as they go on the wire, behind the path that the endpoint may have.
    pub fn target(&self) -> String {
        let slash = if matches!(self.path.as_bytes().first(), None | Some(b'?')) { "" } else { "/" };
        format!("/v1{slash}{}", self.path)
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self.method != *GET {
            write!(f, "{} ", self.method)?;
        }
        f.write_str(&self.path)?;
        self.args.as_ref().map_or(Ok(()), |args| write!(f, " args {}", args.digest))
    }
}

/// The method of a plain read.
pub const GET: &str = "GET";

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digest.fmt(f)
    }
}

impl PartialEq for Args {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Args {}

impl std::hash::Hash for Args {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl PartialOrd for Args {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Args {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.digest.cmp(&other.digest)
    }
}
