//! The nouns of the embedded encrypted file.

use std::fmt;

use crate::model::{Audience, StoreName};

/// Which file, and whether the pod's token must prove who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Access {
    /// The configured store.
    pub store: StoreName,
    /// Set where the configuration names an issuer.
    pub audience: Option<Audience>,
}

/// An entry, by its path, and which of its versions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locator {
    /// The entry's path.
    pub path: EntryPath,
    /// A version number; `None` for the newest.
    pub version: Option<u64>,
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        self.version.map_or(Ok(()), |version| write!(f, "?version={version}"))
    }
}

/// The path of an entry: components of letters, digits and `._-`, joined by `/`, with no `.` or `..` among them.
/// One spelling only, so that a policy rule and a lookup can never see two different things.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryPath(Box<str>);

impl EntryPath {
    /// Longest path, in bytes.
    pub const BYTES_MAX: usize = 512;
    /// The rule in words.
    pub const RULE: &'static str =
        "a path is letters, digits, `.`, `_` and `-`, in components joined by `/`, 512 bytes at most";

    /// `None` where the text breaks the rule.
    pub fn parse(text: &str) -> Option<Self> {
        let word = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        (text.len() <= Self::BYTES_MAX && text.split('/').all(word)).then(|| Self(text.into()))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
