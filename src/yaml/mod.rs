//! A YAML tree that keeps what a dialect needs: the text of every scalar as it was written, its style and tag, and
//! the line and column where each node starts.
//!
//! Nothing is resolved: `0440`, `no` and `1e3` stay text, `<<` stays a key, and each dialect applies the rules of the
//! parser that its users know. Beyond the grammar the tree refuses what would be misread in silence: a second
//! document, duplicate keys, keys that are not scalars, tabs where indentation stands, an unknown `%YAML` version,
//! aliases that grow without end. It is pure, and it never sees a secret: errors still never quote a scalar.
//!
//! Dialects whose users know Go's `yaml.v3` read the first document only ([`first`]), and what its scalars and merge
//! keys mean from [`go`].

mod build;
mod ease;
pub mod go;
mod lines;
mod node;
mod timestamp;

use std::borrow::Cow;
use std::fmt;

use saphyr_parser::{Event, Parser, ScanError};

pub use self::node::{Node, Scalar, Style, Value};
use self::{build::Tree, lines::Lines};

/// How much a text may cost. Holds for the whole text, all of its documents together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest text, in bytes.
    pub bytes: usize,
    /// Most nodes, keys included; an alias weighs as much as what it repeats.
    pub nodes: usize,
    /// Deepest nesting of lists and mappings, also through aliases.
    pub depth: usize,
}

impl Limits {
    /// For one parameter of a class.
    pub const PARAMETER: Self = Self { bytes: 256 * 1024, nodes: 10_000, depth: 64 };
}

/// Why a text is not the YAML that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Line and column, both from 1, never outside the text.
    pub at: (u32, u32),
    /// What is wrong, in words that quote no scalar.
    pub what: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.at.0, self.at.1, self.what)
    }
}

impl std::error::Error for Error {}

/// Reads a text of exactly one document. A text without any is a null at line 1, column 1.
///
/// # Errors
/// The first thing that is wrong: the grammar, a limit, a second document.
pub fn parse(text: &str, limits: Limits) -> Result<Node, Error> {
    let first = read(text, limits, Documents::One)?.into_iter().next();
    Ok(first.unwrap_or_else(|| Node::null((1, 1))))
}

/// Reads the first document of a text as Go's `yaml.v3` does: what follows the first token of
/// the next is not looked at, U+0085 ends a line, a
/// byte order mark stands at the beginning only, no directive is known but `%YAML 1.1` and `%TAG`, a `?` in brackets
/// stands in quotes only, `\/` is no escape, and inside quotes and brackets a line may be indented by nothing.
///
/// # Errors
/// The first thing that is wrong: the grammar, a limit.
pub fn first(text: &str, limits: Limits) -> Result<Node, Error> {
    let first = read(text, limits, Documents::First)?.into_iter().next();
    Ok(first.unwrap_or_else(|| Node::null((1, 1))))
}

/// Reads a text of several documents. Those without content are left out.
///
/// # Errors
/// The first thing that is wrong: the grammar, a limit.
pub fn documents(text: &str, limits: Limits) -> Result<Vec<Node>, Error> {
    let mut documents = read(text, limits, Documents::Many)?;
    documents.retain(|document| !document.is_null());
    Ok(documents)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Documents {
    One,
    Many,
    First,
}

fn read(text: &str, limits: Limits, wanted: Documents) -> Result<Vec<Node>, Error> {
    if text.len() > limits.bytes {
        let what = format!("has {} bytes, {} at most", text.len(), limits.bytes);
        return Err(Error { at: (1, 1), what });
    }
    let go = wanted == Documents::First;
    let text = if go && text.contains('\u{85}') {
        Cow::Owned(text.replace('\u{85}', "\n"))
    } else {
        Cow::Borrowed(text)
    };
    let (mut text, mut shifts, mut again) = (text, Vec::new(), 0);
    loop {
        let lines = Lines::new(&text, &shifts);
        let error = match events(&lines, limits, wanted) {
            Ok(documents) => return Ok(documents),
            Err(Stop::Ours(error)) => return Err(error),
            Err(Stop::Parser(error)) => error,
        };
        again += text.len();
        let eased = if go && again <= ease::AGAIN_BYTES { ease::eased(&lines, &error) } else { None };
        let Some((next, more)) = eased else { return Err(lines.refusal(&error)) };
        text = Cow::Owned(next);
        shifts.extend(more);
    }
}

/// What ends the reading of a text.
enum Stop {
    /// The parser's refusal, which another spelling may avoid.
    Parser(ScanError),
    /// A refusal of our own.
    Ours(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

fn events(lines: &Lines<'_>, limits: Limits, wanted: Documents) -> Result<Vec<Node>, Stop> {
    let go = wanted == Documents::First;
    lines.printable(go)?;
    let mut tree = Tree::new(limits, go, lines);
    let mut documents = Vec::new();
    // The line from which on directives for the next document may stand.
    let mut prologue = 1;
    // The parser repeats an error for ever, so the first one ends the loop.
    let mut parser = Parser::new_from_str(lines.text());
    while let Some(event) = parser.next() {
        let (event, span) = event.map_err(Stop::Parser)?;
        if let Event::DocumentStart(explicit) = event {
            if go && !documents.is_empty() {
                // That much Go's parser looks at before it is content with the first one.
                if explicit {
                    lines.directives(prologue..span.start.line(), go)?;
                    let first = parser.next().and_then(Result::err);
                    first
                        .filter(|error| !error.info().contains("unknown anchor"))
                        .map_or(Ok(()), |e| Err(Stop::Parser(e)))?;
                }
                break;
            }
            if wanted == Documents::One && !documents.is_empty() {
                let what = "a second document starts here, and only one is read".to_owned();
                return Err(Error { at: lines.exact(span.start), what }.into());
            }
            if explicit {
                lines.directives(prologue..span.start.line(), go)?;
            }
        } else if event == Event::DocumentEnd {
            prologue = span.start.line();
            documents.extend(tree.finish());
        } else {
            tree.take(event, span)?;
        }
    }
    Ok(documents)
}
