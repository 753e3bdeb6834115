//! Compares what the sources mention with the table. Pure: the sources are text, the result is a list.

use std::collections::BTreeSet;
use std::fmt;

use super::collect::{Facts, Kind, Mention, Written, collect};
use super::scope::{Names, Reached};
use super::source::Source;
use super::table::{Table, starts};

/// A line that breaks the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Violation {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) unit: String,
    pub(super) used: String,
    pub(super) why: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, unit, used, why } = self;
        write!(f, "{file}:{line}: unit `{unit}` may not use `{used}`: {why}")
    }
}

/// Every violation in the sources, in order of file and line.
pub(super) fn check(table: &Table, sources: &[Source]) -> Vec<Violation> {
    let mut found = BTreeSet::new();
    let mut files = Vec::new();
    for source in sources {
        match syn::parse_file(&source.text) {
            Ok(file) => files.push((source, collect(source.module(), &file))),
            Err(error) => {
                let line = error.span().start().line;
                let module = source.module().join("::");
                found.insert(violation(source, line, &module, "this text", &format!("no Rust: {error}")));
            }
        }
    }
    let tests: Vec<Vec<String>> = files.iter().flat_map(|(_, facts)| facts.tests.clone()).collect();
    files.retain(|(source, _)| !tests.iter().any(|test| source.module().starts_with(test)));
    let mut names = Names::default();
    for (source, facts) in &files {
        names.add(&source.module(), facts);
    }
    for (source, facts) in &files {
        if let Some(unit) = unlisted(table, &source.module()) {
            let why = "it has no row in the table; decide what it may use";
            found.insert(violation(source, 1, &unit, "anything", why));
        } else {
            judge_file(table, &names, source, facts, &mut found);
        }
    }
    found.into_iter().collect()
}

/// The name under which the module should be in the table, if it is not. The root of the crate needs no row.
fn unlisted(table: &Table, module: &[String]) -> Option<String> {
    let top = module.first()?;
    let Some(unit) = table.unit(module) else { return Some(top.clone()) };
    // `store` and `dialect` are folders of units: there, a file that is in no row must be a declared part.
    let folder = table.units().any(|other| other.starts_with(&format!("{unit}::")));
    let part = table.parts.iter().any(|part| starts(&module.join("::"), part.path));
    (folder && module.len() > 1 && !part).then(|| module[..2].join("::"))
}

fn judge_file(
    table: &Table,
    names: &Names<'_>,
    source: &Source,
    facts: &Facts,
    found: &mut BTreeSet<Violation>,
) {
    let unit_of = |module: &[String]| table.unit(module).map_or_else(|| module.join("::"), str::to_owned);
    for (line, why) in &facts.hidden {
        found.insert(violation(source, *line, &unit_of(&source.module()), "a module from elsewhere", why));
    }
    for mention in &facts.mentions {
        let judge = Judge { table, names, mention };
        for (used, why) in judge.faults() {
            found.insert(violation(source, mention.line, &unit_of(&mention.module), &used, &why));
        }
    }
}

fn violation(source: &Source, line: usize, unit: &str, used: &str, why: &str) -> Violation {
    let text = |text: &str| text.to_owned();
    Violation { file: text(&source.path), line, unit: text(unit), used: text(used), why: text(why) }
}

/// Decides about one mention.
struct Judge<'a> {
    table: &'a Table,
    names: &'a Names<'a>,
    mention: &'a Mention,
}

type Fault = (String, String);

impl Judge<'_> {
    fn faults(&self) -> Vec<Fault> {
        let Mention { module, kind, .. } = self.mention;
        let Some(unit) = self.table.unit(module) else { return self.root() };
        if *kind == Kind::Method {
            return self.method(unit);
        }
        let reached = self.reached();
        let judged = reached.iter().filter_map(|reached| match reached {
            Reached::Inner(inner) => self.inner(unit, inner),
            Reached::Outer(outer) => self.outer(outer),
        });
        judged.collect()
    }

    /// What a mention means. A single name is no path: its import was judged where it stands, unless a glob brought it.
    fn reached(&self) -> Vec<Reached> {
        let Mention { module, kind, path, binds, .. } = self.mention;
        let resolved = self.names.resolve(module, path, binds.as_deref());
        let single = path.segments.len() == 1 && !matches!(kind, Kind::Use | Kind::Glob);
        if !single {
            return resolved;
        }
        let name = &path.segments[0];
        if *kind == Kind::Macro && !resolved.iter().any(|one| matches!(one, Reached::Inner(_))) {
            // These two read the environment of the build, and share the name of a module that reads the process's.
            if matches!(name.as_str(), "env" | "option_env") {
                return Vec::new();
            }
            // The macros of the standard library are in scope without an import.
            return vec![Reached::Outer(vec!["std".to_owned(), name.clone()])];
        }
        if self.names.settled(module, name) {
            return Vec::new();
        }
        resolved.into_iter().filter(|one| !is_bare(one)).collect()
    }

    fn inner(&self, unit: &str, path: &[String]) -> Option<Fault> {
        let Some(other) = self.table.unit(path) else { return unknown(path) };
        if other == unit {
            return None;
        }
        let used = path.join("::");
        let rest = &path[other.split("::").count()..];
        let row = self.table.row(unit)?;
        if self.table.may(unit, other) {
            let never = self.table.never.iter().filter(|names| names.between(unit, other));
            let named = |names: &&super::table::Names| rest.iter().any(|name| names.has(name));
            return never.filter(named).map(|names| (used.clone(), names.why.to_owned())).next();
        }
        match self.table.only.iter().find(|names| names.between(unit, other)) {
            Some(names) if self.within(names, rest) => None,
            Some(names) => Some((used, format!("{} (only `{}`)", names.why, names.names))),
            None => Some((used, format!("{} (it may use: {})", row.why, listed(row.may)))),
        }
    }

    /// A unit of which only some names may be used: its module may be imported, and the first type or constant on a path
    /// must be one of the names. A path that has neither calls a function.
    fn within(&self, names: &super::table::Names, rest: &[String]) -> bool {
        let importing = self.mention.kind == Kind::Use && rest.is_empty();
        let capital = |name: &&String| name.starts_with(|first: char| first.is_ascii_uppercase());
        importing || rest.iter().find(capital).is_some_and(|name| names.has(name))
    }

    fn outer(&self, path: &[String]) -> Option<Fault> {
        let Mention { module, kind, .. } = self.mention;
        let rule = match self.table.owner(path) {
            Some(rule) if rule.owned(module) => None,
            rule => rule,
        };
        let hidden = if *kind == Kind::Glob { self.table.hidden(module, path) } else { None };
        let rule = rule.or(hidden)?;
        let star = if *kind == Kind::Glob { "::*" } else { "" };
        Some((format!("{}{star}", path.join("::")), format!("{} (only `{}`)", rule.why, rule.units)))
    }

    fn method(&self, unit: &str) -> Vec<Fault> {
        let name = &self.mention.path.segments[0];
        let never = self.table.never.iter().filter(|names| names.unit == unit && names.has(name));
        never.map(|names| (format!(".{name}()"), names.why.to_owned())).collect()
    }

    /// `src/lib.rs` has no row: it may list modules and say nothing else.
    fn root(&self) -> Vec<Fault> {
        let Mention { kind, path: Written { segments, .. }, .. } = self.mention;
        let attribute = segments.len() == 1 && *kind == Kind::Path;
        let fault = || (segments.join("::"), "the root of the crate only lists its modules".to_owned());
        (!attribute).then(fault).into_iter().collect()
    }
}

fn is_bare(reached: &Reached) -> bool {
    matches!(reached, Reached::Outer(path) if path.len() == 1)
}

/// The crate itself may be named; what is at its root and in no row may not.
fn unknown(path: &[String]) -> Option<Fault> {
    let first = path.first()?;
    Some((format!("crate::{first}"), "it has no row in the table".to_owned()))
}

fn listed(may: &str) -> &str {
    if may.is_empty() { "nothing of the crate" } else { may }
}
