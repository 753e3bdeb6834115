//! Who asks: namespace, service account and pod, from kubelet's keys only.

use std::fmt;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal, $ok:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// `None` where Kubernetes could not have such a name.
            pub fn parse(text: &str) -> Option<Self> {
                let ok: fn(u8) -> bool = $ok;
                (!text.is_empty() && text.len() <= $max && text.bytes().all(ok)).then(|| Self(text.into()))
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A namespace: an RFC 1123 label, as the API server requires.
    Namespace,
    63,
    |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'
);
name!(
    /// A service account: an RFC 1123 subdomain.
    AccountName,
    253,
    |b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.')
);
name!(
    /// A pod: an RFC 1123 subdomain.
    PodName,
    253,
    |b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.')
);
name!(
    /// A pod's uid: a UUID today, an opaque word by contract.
    PodUid,
    128,
    |b| b.is_ascii_alphanumeric() || b == b'-'
);

/// The pod that a volume belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pod {
    /// Its name.
    pub name: PodName,
    /// Its uid.
    pub uid: PodUid,
}

/// The identity that every fetch is made with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The namespace of the pod, or of the SecretSync.
    pub namespace: Namespace,
    /// The service account.
    pub account: AccountName,
    /// The pod; `None` for a sync, whose caller names its own pod beside another's namespace.
    pub pod: Option<Pod>,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.account)
    }
}
