//! Reading values out of the configuration's tree, with the key and the place in every error.

use std::ops::RangeInclusive;
#[cfg(feature = "local")]
use std::path::PathBuf;
use std::time::Duration;

use super::keys::KEYS;
use crate::error::{Problem, Reason};
use crate::text::nearest;
use crate::yaml::Node;

/// A mapping under a key, whose entries are taken one by one; what is left is unknown.
pub(super) struct Section<'a> {
    /// The path with the administrator's names, for errors.
    path: String,
    /// The path as [`KEYS`] spells it.
    known: String,
    node: Option<&'a Node>,
}

/// Collects what is wrong while values are read.
#[derive(Default)]
pub(super) struct Findings(pub(super) Vec<Problem>);

impl Findings {
    pub(super) fn add(&mut self, path: &str, node: Option<&Node>, what: &str, remedy: String) {
        let mut problem = Problem::new(Reason::Invalid, what).parameter(path.to_owned()).remedy(remedy);
        problem.place.at = node.map(|node| node.at);
        // Stores of two kinds may read one variable.
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }
}

impl<'a> Section<'a> {
    pub(super) fn root(node: &'a Node, findings: &mut Findings) -> Self {
        Self::at(String::new(), String::new(), Some(node), findings)
    }

    fn at(path: String, known: String, node: Option<&'a Node>, findings: &mut Findings) -> Self {
        let node = node.filter(|node| !node.is_null());
        let section = Self { path, known, node: node.filter(|node| node.mapping().is_some()) };
        match node {
            Some(node) if node.mapping().is_none() => {
                findings.add(
                    &section.path,
                    Some(node),
                    &format!("is {}, and should be a mapping", node.kind()),
                    String::new(),
                );
            }
            Some(_) => {
                section.unknown(findings);
                section.empty(findings);
            }
            None => {}
        }
        section
    }

    /// Refuses every key that no reader knows, with the nearest that one does.
    fn unknown(&self, findings: &mut Findings) {
        let prefix = if self.known.is_empty() { String::new() } else { format!("{}.", self.known) };
        let mut known: Vec<&str> = KEYS
            .iter()
            .filter_map(|key| key.path.strip_prefix(prefix.as_str()))
            .filter_map(|rest| rest.split(['.', '[']).next())
            .collect();
        known.dedup();
        if known.contains(&"*") {
            return;
        }
        for (key, _) in self.entries() {
            let name = key.text().unwrap_or_default();
            if !known.contains(&name) {
                let path = self.child(name);
                let remedy = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                findings.add(&path, Some(key), "is not a known key", remedy);
            }
        }
    }

    fn child(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn known_child(&self, name: &str) -> String {
        if self.known.is_empty() { name.to_owned() } else { format!("{}.{name}", self.known) }
    }

    fn entries(&self) -> &'a [(Node, Node)] {
        self.node.and_then(Node::mapping).unwrap_or_default()
    }

    pub(super) fn value(&self, name: &str) -> Option<&'a Node> {
        self.node.and_then(|node| node.get(name)).filter(|node| !node.is_null())
    }

    /// Refuses keys with nothing behind them: a rule or an issuer whose lines were commented out shall not read like
    /// one that nobody asked for. Sections may be empty.
    fn empty(&self, findings: &mut Findings) {
        let sections = |path: &str| {
            KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
        };
        for (key, value) in self.entries() {
            let name = key.text().unwrap_or_default();
            if value.is_null() && !sections(&self.known_child(name)) {
                findings.add(
                    &self.child(name),
                    Some(key),
                    "has no value",
                    "give it one, or remove the key".to_owned(),
                );
            }
        }
    }

    /// Refuses keys that belong to stores of another kind.
    pub(super) fn only(&self, kind: &str, keys: &[&str], findings: &mut Findings) {
        for (key, _) in self.entries() {
            let name = key.text().unwrap_or_default();
            let path = self.known_child(name);
            if !keys.contains(&name) && KEYS.iter().any(|known| known.path == path) {
                let what = format!("is no key of a store of the kind `{kind}`");
                findings.add(&self.child(name), Some(key), &what, format!("it has {}", keys.join(", ")));
            }
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn node(&self) -> Option<&'a Node> {
        self.node
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    pub(super) fn section(&self, name: &str, findings: &mut Findings) -> Self {
        Self::at(self.child(name), self.known_child(name), self.value(name), findings)
    }

    /// The sections under names that the administrator chose.
    pub(super) fn named(&self, findings: &mut Findings) -> Vec<(&'a str, Self)> {
        let sections = self.entries().iter().map(|(key, node)| {
            let name = key.text().unwrap_or_default();
            (name, Self::at(self.child(name), self.known_child("*"), Some(node), findings))
        });
        sections.collect()
    }

    /// The sections of a list; `None` where the key is absent.
    pub(super) fn list(&self, name: &str, findings: &mut Findings) -> Option<Vec<Self>> {
        let node = self.value(name)?;
        let Some(entries) = node.sequence() else {
            findings.add(
                &self.child(name),
                Some(node),
                &format!("is {}, and should be a list", node.kind()),
                String::new(),
            );
            return None;
        };
        let sections = entries.iter().enumerate().map(|(index, entry)| {
            let known = format!("{}[]", self.known_child(name));
            Self::at(format!("{}[{index}]", self.child(name)), known, Some(entry), findings)
        });
        Some(sections.collect())
    }

    pub(super) fn text(&self, name: &str, findings: &mut Findings) -> Option<&'a str> {
        let node = self.value(name)?;
        let text = node.text().filter(|text| !text.trim().is_empty());
        if text.is_none() {
            findings.add(
                &self.child(name),
                Some(node),
                &format!("is {}, and should be text", node.kind()),
                String::new(),
            );
        }
        text
    }

    #[cfg(feature = "local")]
    pub(super) fn required(&self, name: &str, findings: &mut Findings) -> Option<&'a str> {
        if !self.has(name) {
            findings.add(&self.child(name), self.node, "is missing", "set it".to_owned());
        }
        self.text(name, findings)
    }

    pub(super) fn texts(&self, name: &str, findings: &mut Findings) -> Vec<&'a str> {
        let node = self.value(name);
        let texts = node
            .and_then(Node::sequence)
            .map(|entries| entries.iter().filter_map(Node::text).collect::<Vec<_>>());
        let whole = node.and_then(Node::sequence).map(<[Node]>::len);
        match texts {
            Some(texts) if Some(texts.len()) == whole => texts,
            _ => {
                let what = "is missing, or not a list of texts";
                findings.add(
                    &self.child(name),
                    node.or(self.node),
                    what,
                    "write `[\"*\"]` for all".to_owned(),
                );
                Vec::new()
            }
        }
    }

    /// The entries of a list, each parsed; empty where the key is absent. A bad entry is told with its own place.
    pub(super) fn items<T>(
        &self,
        name: &str,
        what: &str,
        rule: &str,
        findings: &mut Findings,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let Some(node) = self.value(name) else { return Vec::new() };
        let path = self.child(name);
        let Some(entries) = node.sequence() else {
            findings.add(
                &path,
                Some(node),
                &format!("is {}, and should be a list", node.kind()),
                rule.to_owned(),
            );
            return Vec::new();
        };
        let parsed = entries.iter().enumerate().filter_map(|(index, entry)| {
            let parsed = entry.text().and_then(&parse);
            if parsed.is_none() {
                findings.add(&format!("{path}[{index}]"), Some(entry), what, rule.to_owned());
            }
            parsed
        });
        parsed.collect()
    }

    #[cfg(feature = "local")]
    pub(super) fn required_path(&self, name: &str, findings: &mut Findings) -> Option<PathBuf> {
        self.required(name, findings).map(PathBuf::from)
    }

    pub(super) fn bool(&self, name: &str, findings: &mut Findings) -> Option<bool> {
        self.parsed(name, "is not `true` or `false`", findings, Node::bool)
    }

    pub(super) fn number(
        &self,
        name: &str,
        range: RangeInclusive<usize>,
        findings: &mut Findings,
    ) -> Option<usize> {
        let what = format!("is not a whole number from {} to {}", range.start(), range.end());
        self.parsed(name, &what, findings, |node| {
            node.text()?.parse().ok().filter(|number| range.contains(number))
        })
    }

    /// A duration of 100 milliseconds to a day.
    pub(super) fn duration(&self, name: &str, findings: &mut Findings) -> Option<Duration> {
        let what = "is not a duration such as `30s`, `5m` or `1h`, from `100ms` to `24h`";
        let range = Duration::from_millis(100)..=Duration::from_secs(86_400);
        self.parsed(name, what, findings, |node| node.duration().filter(|span| range.contains(span)))
    }

    /// A duration from nothing to `most`, which is a whole number of hours.
    pub(super) fn span(&self, name: &str, most: Duration, findings: &mut Findings) -> Option<Duration> {
        let hours = most.as_secs() / 3600;
        let what = format!("is not a duration such as `30s` or `5m`, from `0` to `{hours}h`");
        self.parsed(name, &what, findings, |node| node.duration().filter(|span| *span <= most))
    }

    pub(super) fn word<T: Copy>(
        &self,
        name: &str,
        words: &[(&str, T)],
        findings: &mut Findings,
    ) -> Option<T> {
        let all: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let what = format!("is not one of {}", all.join(", "));
        self.parsed(name, &what, findings, |node| {
            let text = node.text()?;
            words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
        })
    }

    fn parsed<T>(
        &self,
        name: &str,
        what: &str,
        findings: &mut Findings,
        parse: impl FnOnce(&Node) -> Option<T>,
    ) -> Option<T> {
        let node = self.value(name)?;
        let parsed = parse(node);
        if parsed.is_none() {
            findings.add(&self.child(name), Some(node), what, String::new());
        }
        parsed
    }
}
