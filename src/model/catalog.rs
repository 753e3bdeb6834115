//! The administrator's stores, as far as a dialect may see them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::endpoint::{Address, Endpoint, Tls};
use super::locator::{local, vault};
use crate::error::{Problem, Reason};
use crate::text::{nearest, short};

/// The name of a configured store: a kind (`local`), or one that the administrator chose.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreName(Box<str>);

impl StoreName {
    /// `None` where the text is not a lower-case word of letters, digits and `-`, 63 bytes at most.
    pub fn parse(text: &str) -> Option<Self> {
        let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        (letters && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.len() <= 63)
            .then(|| Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A configured store: how to reach it when the class says nothing more.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub store: StoreName,
    /// The administrator's defaults.
    pub defaults: Defaults,
    /// How old its objects may be where the class does not say; `None` for the kind's own rule.
    pub fresh: Option<Duration>,
}

/// What an administrator says of a store, by its kind. A store of each kind that needs no setting of its own is always
/// there, under the name of its kind.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is a handful of them, made at the start")]
pub enum Defaults {
    /// The embedded encrypted file.
    Local(local::Access),
    /// Vault or OpenBao.
    Vault(vault::Defaults),
}

impl Defaults {
    /// How the certificates of endpoints are checked that a class names.
    pub fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Local(_) => None,
            Self::Vault(defaults) => Some(&defaults.tls),
        }
    }

    /// The endpoint that the administrator names.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Local(_) => None,
            Self::Vault(defaults) => defaults.endpoint.as_ref(),
        }
    }
}

/// All configured stores. Filled by `config`, read by dialects.
#[derive(Clone, Debug, Default)]
pub struct Catalog(BTreeMap<StoreName, Entry>);

impl Catalog {
    /// From what the configuration names.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        Self(entries.into_iter().map(|entry| (entry.store.clone(), entry)).collect())
    }

    /// All of them, by name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.values()
    }

    /// The administrator's endpoint at this address, if one of the stores has it: a class that spells it out means that
    /// very one, its TLS settings included.
    pub fn endpoint(&self, address: &Address) -> Option<&Endpoint> {
        self.entries().filter_map(|entry| entry.defaults.endpoint()).find(|known| known.address == *address)
    }

    /// The store of that name.
    ///
    /// # Errors
    /// `setup`, naming the stores that there are.
    pub fn entry(&self, name: &str) -> Result<&Entry, Problem> {
        self.0.iter().find(|(known, _)| known.as_str() == name).map(|(_, entry)| entry).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(StoreName::as_str).collect();
            let problem = Problem::new(Reason::Setup, format!("there is no store `{}`", short(name)));
            match (nearest(name, known.iter().copied()), known.is_empty()) {
                (Some(near), _) => problem.remedy(format!("did you mean `{near}`?")),
                (None, true) => problem.remedy("configure it under `stores:`; this agent has none"),
                (None, false) => {
                    problem.remedy(format!("configure it under `stores:`; there are {}", known.join(", ")))
                }
            }
        })
    }
}
