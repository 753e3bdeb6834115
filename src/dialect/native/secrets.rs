//! `secrets`: what to read. Each entry is a name and the keys of its store's kind.

use std::sync::Arc;

use super::keys::{self, Found, document, is_name, key, listed};
use super::{SECRETS, vault};
use crate::error::{Problem, Reason};
use crate::model::locator::local::{self, EntryPath};
use crate::model::{Access, Catalog, Defaults, Entry, Locator, Plan, Said, Source, Want};
use crate::secret::DigestKey;
use crate::text::{nearest, short};
use crate::yaml::Node;

/// A secret of the class.
pub(super) struct Declared {
    /// Its name, as written.
    pub(super) name: String,
    /// Where it is declared.
    pub(super) at: (u32, u32),
    /// What to read; `None` where that could not be made out, which is a problem told already.
    pub(super) source: Option<Source>,
}

/// Keys of a local secret.
const LOCAL: [&str; 5] = ["store", "path", "version", "optional", "fresh"];

/// Keys of secrets in stores of other kinds, to tell a wrong store from a wrong key.
const ELSEWHERE: [(&str, &str); 26] = [
    ("method", "vault"),
    ("args", "vault"),
    ("authMount", "vault"),
    ("namespace", "vault"),
    ("audience", "vault"),
    ("renewAt", "vault"),
    ("overlap", "vault"),
    ("revoke", "vault"),
    ("share", "vault"),
    ("role", "vault or aws"),
    ("name", "aws"),
    ("prefix", "aws"),
    ("stage", "aws"),
    ("label", "aws"),
    ("region", "aws"),
    ("failoverRegion", "aws"),
    ("parameter", "aws or gcp"),
    ("vault", "azure"),
    ("key", "azure"),
    ("certificate", "azure"),
    ("history", "azure"),
    ("tenant", "azure"),
    ("client", "azure"),
    ("secret", "azure or gcp"),
    ("project", "gcp"),
    ("location", "gcp"),
];

/// Reads the parameter. `None` where its entries could not be seen at all.
pub(super) fn read(
    text: Option<&str>,
    catalog: &Catalog,
    digests: &DigestKey,
    problems: &mut Found,
) -> Option<Vec<Declared>> {
    let root = match document(SECRETS, text.unwrap_or_default(), "names to secrets") {
        Ok(root) => root,
        Err(problem) => {
            problems.push(problem);
            return None;
        }
    };
    let entries = root.mapping().unwrap_or_default();
    if entries.is_empty() {
        let what = "the class asks for no objects";
        problems.push(
            Problem::new(Reason::Invalid, what)
                .parameter(SECRETS)
                .remedy("name at least one secret, as in `db: { store: local, path: prod/db }`"),
        );
        return None;
    }
    if let Some(problem) = Plan::too_many(entries.len(), SECRETS) {
        problems.push(problem);
        return None;
    }
    let declared = entries.iter().map(|(name, secret)| Declared {
        name: key(name).to_owned(),
        at: name.at,
        source: Reader { name, problems }.source(secret, catalog, digests),
    });
    Some(declared.collect())
}

/// Reads one entry, and goes on after each problem.
pub(super) struct Reader<'a> {
    name: &'a Node,
    problems: &'a mut Found,
}

impl Reader<'_> {
    pub(super) fn refuse(&mut self, at: &Node, what: impl AsRef<str>, remedy: impl Into<String>) {
        self.refuse_as(Reason::Invalid, at, what, remedy);
    }

    pub(super) fn refuse_as(
        &mut self,
        reason: Reason,
        at: &Node,
        what: impl AsRef<str>,
        remedy: impl Into<String>,
    ) {
        let name = format!("secret `{}`", short(key(self.name)));
        let problem = Problem { reason, ..keys::problem(SECRETS, at, what) };
        self.problems.push(problem.object(name).remedy(remedy.into()));
    }

    /// Refuses the entry as a whole, at its name.
    pub(super) fn refuse_name(&mut self, what: &str, remedy: &str) {
        self.refuse(self.name, what, remedy);
    }

    fn source(&mut self, secret: &Node, catalog: &Catalog, digests: &DigestKey) -> Option<Source> {
        let name = self.name;
        let named = is_name(key(name));
        if !named {
            let rule = "name it with a lower-case letter, then lower-case letters, digits and `_`";
            self.refuse(name, "the name of the secret is not one that files can refer to", rule);
        }
        let Some(pairs) = secret.mapping() else {
            let what = format!("the secret is {}, where a mapping is expected", secret.kind());
            self.refuse(secret, what, "write it as `{ store: local, path: prod/db }`");
            return None;
        };
        let entry = self.store(secret, catalog);
        let defaults = entry.map(|entry| &entry.defaults);
        for (key, _) in pairs {
            self.key(key, defaults);
        }
        let place = match (entry, defaults) {
            (Some(entry), Some(Defaults::Vault(defaults))) => {
                vault::read(self, secret, (&entry.store, defaults), digests)
            }
            (_, defaults) => self.local(secret, defaults),
        };
        let optional = self.value(secret, "optional", Node::bool, "`true` or `false`");
        let fresh = self.value(secret, "fresh", Node::duration, FRESH);
        let (true, Some((access, locator)), Ok(optional), Ok(fresh)) = (named, place, optional, fresh) else {
            return None;
        };
        let want = Want { optional: optional.unwrap_or(false), fresh };
        // Of what policy may refuse, a secret names the audience at most.
        let audience = secret.get("audience").map(|_| SECRETS.to_owned());
        let said = Arc::new(Said { audience, ..Said::default() });
        Some(Source { name: key(name).to_owned(), access: Arc::new(access), locator, want, said })
    }

    /// A secret of a local store, or of one that could not be made out: then only its own keys are judged.
    fn local(&mut self, secret: &Node, defaults: Option<&Defaults>) -> Option<(Access, Locator)> {
        let path = if defaults.is_some() { self.path(secret) } else { None };
        let version = self.version(secret);
        let (Some(Defaults::Local(access)), Some(path), Ok(version)) = (defaults, path, version) else {
            return None;
        };
        Some((Access::Local(access.clone()), Locator::Local(local::Locator { path, version })))
    }

    pub(super) fn version(&mut self, secret: &Node) -> Result<Option<u64>, ()> {
        self.value(secret, "version", version, VERSION)
    }

    fn store<'c>(&mut self, secret: &Node, catalog: &'c Catalog) -> Option<&'c Entry> {
        let Some(store) = secret.get("store") else {
            self.refuse(self.name, "the secret names no store", "add `store:` with the name of a store");
            return None;
        };
        let Some(text) = store.text() else {
            let what = format!("`store` is {}, where the name of a store is expected", store.kind());
            self.refuse(store, what, "write the name of a store");
            return None;
        };
        catalog
            .entry(text)
            .map_err(|problem| {
                let name = format!("secret `{}`", short(key(self.name)));
                self.problems.push(problem.parameter(SECRETS).at(store.at).object(name));
            })
            .ok()
    }

    fn key(&mut self, node: &Node, defaults: Option<&Defaults>) {
        let word = key(node);
        let (kind, keys): (&str, &[&str]) = match defaults {
            Some(Defaults::Vault(defaults)) => (defaults.flavour.name(), &vault::KEYS),
            Some(Defaults::Local(_)) | None => ("local", &LOCAL),
        };
        // Of a store that could not be made out, the key of any kind may be meant.
        if keys.contains(&word) || defaults.is_none() && vault::KEYS.contains(&word) {
            return;
        }
        let has = format!("a {kind} secret has {}", listed(keys));
        if word == "<<" {
            self.refuse(
                node,
                "merge keys are not read",
                "write the keys out, or use an alias for the whole secret",
            );
        } else if vault::LATER.contains(&word) && kind != "local" {
            self.refuse(
                node,
                format!("`{word}` comes with leases, and is not yet supported"),
                format!("remove it: {has}"),
            );
        } else if let Some((_, kinds)) = ELSEWHERE.iter().find(|(other, _)| *other == word) {
            let what = format!("`{word}` is a key of secrets of {kinds}, and this one is of a {kind} store");
            self.refuse(node, what, has);
        } else {
            let remedy = match nearest(word, keys.iter().copied()) {
                Some(near) => format!("did you mean `{near}`? {has}"),
                None => format!("remove it: {has}"),
            };
            self.refuse(node, format!("a secret has no key `{}`", short(word)), remedy);
        }
    }

    fn path(&mut self, secret: &Node) -> Option<EntryPath> {
        let Some(node) = secret.get("path") else {
            self.refuse(
                self.name,
                "the secret names no path",
                "add `path:` with the entry's path in the store",
            );
            return None;
        };
        let path = node.text().and_then(EntryPath::parse);
        if path.is_none() {
            self.refuse(
                node,
                format!("`path` does not name an entry: {}", EntryPath::RULE),
                "correct the path",
            );
        }
        path
    }

    /// An optional key: `Ok(None)` where it is not written, `Err` where it cannot be read.
    fn value<T>(
        &mut self,
        secret: &Node,
        key: &str,
        read: impl FnOnce(&Node) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>, ()> {
        let Some(node) = secret.get(key) else { return Ok(None) };
        read(node).map(Some).ok_or_else(|| {
            let remedy = format!("write {expected}, or leave `{key}` out");
            self.refuse(node, format!("`{key}` is not {expected}"), remedy);
        })
    }
}

const VERSION: &str = "a whole number from 1 on";
const FRESH: &str = "a duration like `60s`, `5m` or `1h`, or `0`";

fn version(node: &Node) -> Option<u64> {
    let text = node.text()?;
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    if digits { text.parse().ok() } else { None }
}
