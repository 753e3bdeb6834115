//! Which object, and how to get at its store: one noun file per store, one variant each in [`Access`] and [`Locator`].

pub mod local;
pub mod request;
pub mod vault;

use std::fmt;

use super::endpoint::Endpoint;
use super::{Audience, StoreName, Subject};

/// How a source's store is reached, and as whom: everything that a session depends on besides the caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// The embedded encrypted file.
    Local(local::Access),
    /// A Vault or OpenBao server.
    Vault(vault::Access),
}

impl Access {
    /// The configured store.
    pub fn store(&self) -> &StoreName {
        match self {
            Self::Local(access) => &access.store,
            Self::Vault(access) => &access.store,
        }
    }

    /// The audience of the pod's token that the store wants; `None` where kubelet's word is enough.
    pub fn audience(&self) -> Option<&Audience> {
        match self {
            Self::Local(access) => access.audience.as_ref(),
            Self::Vault(access) => Some(&access.audience),
        }
    }

    /// Whether the node asks in place of the pod, as no store does yet.
    pub fn is_node(&self) -> bool {
        match self {
            Self::Local(_) | Self::Vault(_) => false,
        }
    }

    /// The kind of store.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Local(_) => Kind::Local,
            Self::Vault(_) => Kind::Vault,
        }
    }

    /// Every endpoint that login and reads may reach.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        match self {
            Self::Local(_) => None,
            Self::Vault(access) => Some(&access.endpoint),
        }
        .into_iter()
    }

    /// This access with the subject's names where it leaves them open; `None` where it leaves nothing open.
    pub fn resolved(&self, subject: &Subject) -> Option<Self> {
        match self {
            Self::Local(_) => None,
            Self::Vault(access) => access.resolved(subject).map(Self::Vault),
        }
    }

    /// The role that the login asks for, where there is one.
    pub fn role(&self) -> Option<&str> {
        match self {
            Self::Local(_) => None,
            Self::Vault(access) => Some(&access.role),
        }
    }
}

/// A kind of store: whose audiences, limits and manners it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The embedded encrypted file.
    Local,
    /// Vault and OpenBao.
    Vault,
}

/// Which object. `Display` is its one canonical spelling: in policy, in audit, and on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Locator {
    /// An entry of the embedded file.
    Local(local::Locator),
    /// A request to Vault or OpenBao.
    Vault(vault::Locator),
}

impl Locator {
    /// Its spelling as rules have it: without the body, of which there is a digest alone, another one on each node and after
    /// each start, so that no rule could name it.
    pub fn in_rules(&self) -> String {
        match self {
            Self::Local(locator) => locator.to_string(),
            Self::Vault(locator) => locator.without_body().to_string(),
        }
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(locator) => locator.fmt(f),
            Self::Vault(locator) => locator.fmt(f),
        }
    }
}
