//! The rules: who may use which stores, objects and roles.

use std::fmt::Write as _;

use crate::error::{Problem, Reason};
use crate::model::{Access, Catalog, Entry, Source, StoreName, Subject};
use crate::text::is_hostile;

/// Who may use what.
#[derive(Clone, Debug, Default)]
pub struct Rules(Option<Vec<Rule>>);

/// One line of `policy.rules`: all lists must match.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Namespaces.
    pub namespaces: Vec<Pattern>,
    /// Service accounts.
    pub accounts: Vec<Pattern>,
    /// Names of configured stores.
    pub stores: Vec<Pattern>,
    /// Objects, by their canonical spelling.
    pub objects: Vec<Pattern>,
    /// Roles of the login, of which a store without roles has the empty one; `None` for any.
    pub roles: Option<Vec<Pattern>>,
}

impl Rules {
    /// Without rules everything is allowed that the stores allow.
    pub const fn open() -> Self {
        Self(None)
    }

    /// With rules, what none of them allows is refused, so that an empty list allows nothing.
    pub const fn only(rules: Vec<Rule>) -> Self {
        Self(Some(rules))
    }

    /// Why an object is refused to the subject.
    pub(super) fn refuse(&self, source: &Source, subject: &Subject, catalog: &Catalog) -> Option<Problem> {
        let rules = self.0.as_ref()?;
        let (store, object) = (store(&source.access, catalog).as_str(), source.locator.in_rules());
        let role = source.access.role();
        let allowed = rules.iter().any(|rule| {
            any(&rule.namespaces, subject.namespace.as_str())
                && any(&rule.accounts, subject.account.as_str())
                && any(&rule.stores, store)
                && any(&rule.objects, &object)
                && rule.roles.as_ref().is_none_or(|roles| any(roles, role.unwrap_or_default()))
        });
        (!allowed).then(|| {
            let as_role = role.map_or_else(String::new, |role| format!(" as role `{role}`"));
            let what = format!("no rule allows it to service account `{subject}`{as_role}");
            Problem::new(Reason::Policy, what)
                .object(source.label())
                .remedy(remedy(subject, store, &object, role))
        })
    }
}

/// The store that an access leads to: where a class spells out the address of another store of the configuration, that
/// one, under whose name it is allowed or not.
fn store<'a>(access: &'a Access, catalog: &'a Catalog) -> &'a StoreName {
    let at = |entry: &Entry| {
        let configured = entry.defaults.endpoint();
        access.endpoints().any(|endpoint| configured.is_some_and(|known| known.address == endpoint.address))
    };
    let own = access.store();
    if catalog.entries().any(|entry| entry.store == *own && at(entry)) {
        return own;
    }
    catalog.entries().find(|entry| at(entry)).map_or(own, |entry| &entry.store)
}

/// The line that allows it, and nothing else. A name with a `*` has none: in a rule it would be a pattern, and whoever
/// copies the line would allow more than was asked for.
fn remedy(subject: &Subject, store: &str, object: &str, role: Option<&str>) -> String {
    if object.contains('*') || role.is_some_and(|role| role.contains('*')) {
        return "the administrator may write a rule for it in `policy.rules`, where a `*` stands for any run of \
                characters"
            .to_owned();
    }
    let roles = role.map_or_else(String::new, |role| format!(", roles: [{}]", quoted(role)));
    format!(
        "the administrator may add to `policy.rules`: - {{ namespaces: [{}], serviceAccounts: [{}], stores: [{}], \
         objects: [{}]{roles} }}",
        word(subject.namespace.as_str()),
        word(subject.account.as_str()),
        word(store),
        quoted(object),
    )
}

/// A name as YAML reads it as text: bare where it can be.
fn word(name: &str) -> String {
    let bare = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name != "null";
    if bare { name.to_owned() } else { quoted(name) }
}

/// Any text as a YAML scalar, on one line and free of what acts on a terminal.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if is_hostile(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Text in which each `*` stands for any run of characters, `/` included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Any text is a pattern.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or("");
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let Some(mut piece) = pieces.next() else { return rest.is_empty() };
        for next in pieces {
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
            piece = next;
        }
        rest.ends_with(piece)
    }
}

fn any(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}
