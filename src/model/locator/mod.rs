//! Which object, and how to get at its store: one noun file per store, one variant each in [`Access`] and [`Locator`].

pub mod local;

use std::fmt;

use super::{Audience, StoreName};

/// How a source's store is reached, and as whom: everything that a session depends on besides the caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// The embedded encrypted file.
    Local(local::Access),
}

impl Access {
    /// The configured store.
    pub fn store(&self) -> &StoreName {
        match self {
            Self::Local(access) => &access.store,
        }
    }

    /// The audience of the pod's token that the store wants; `None` where kubelet's word is enough.
    pub fn audience(&self) -> Option<&Audience> {
        match self {
            Self::Local(access) => access.audience.as_ref(),
        }
    }

    /// What the store is called in audit and logs where one asks for its endpoint.
    pub fn endpoint(&self) -> &str {
        match self {
            Self::Local(_) => "local",
        }
    }
}

/// Which object. `Display` is its one canonical spelling: in policy, in audit, and on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Locator {
    /// An entry of the embedded file.
    Local(local::Locator),
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(locator) => locator.fmt(f),
        }
    }
}
