//! What both parameters share: the document that is a mapping, problems with their place, text in errors.

use crate::error::{Problem, Reason};
use crate::yaml::{self, Limits, Node};

/// The problems found so far.
pub(super) type Found = Vec<Problem>;

/// A problem at a node of a parameter.
pub(super) fn problem(parameter: &'static str, at: &Node, what: impl AsRef<str>) -> Problem {
    Problem::new(Reason::Invalid, what).parameter(parameter).at(at.at)
}

/// The mapping that a parameter holds; `Err` where it holds something else.
pub(super) fn document(parameter: &'static str, text: &str, entries: &str) -> Result<Node, Problem> {
    let root = yaml::parse(text, Limits::PARAMETER).map_err(|error| {
        Problem::new(Reason::Invalid, error.what)
            .parameter(parameter)
            .at(error.at)
            .remedy("correct the YAML of this parameter")
    })?;
    if root.is_null() || root.mapping().is_some() {
        return Ok(root);
    }
    let what = format!("is {}, where a mapping of {entries} is expected", root.kind());
    Err(problem(parameter, &root, what).remedy(format!("write a mapping of {entries}")))
}

/// Names as a list in a sentence: `a`, `b` and `c`.
pub(super) fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// The text of a key; empty for a null one.
pub(super) fn key(node: &Node) -> &str {
    node.text().unwrap_or_default()
}

/// Whether a text is a secret's name: `[a-z][a-z0-9_]*`, 63 bytes at most.
pub(super) fn is_name(text: &str) -> bool {
    let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    letters && text.len() <= 63 && text.starts_with(|c: char| c.is_ascii_lowercase())
}
