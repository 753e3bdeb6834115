//! What was found in manifests, for a person and for a program.

use std::fmt;

use serde::Serialize;

use crate::error::Problem;
use crate::model::Class;
use crate::text::printable;

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is wrong, in the order of the files.
    pub problems: Vec<Finding>,
    /// Where classes lead that nobody allowed yet: each endpoint once.
    pub endpoints: Vec<Closed>,
    /// Classes of providers that this build does not have, which were not judged.
    pub strangers: Vec<(Spot, String)>,
    /// How many classes were judged.
    pub classes: usize,
    /// How many objects of other kinds were passed over.
    pub others: usize,
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spot {
    /// The file as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// The class, with its namespace where the manifest has one.
    pub class: Option<String>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where.
    #[serde(flatten)]
    pub spot: Spot,
    /// The reason that a mount would have.
    pub reason: &'static str,
    /// Parameter and object, what is wrong, and what to do about it.
    pub text: String,
}

/// An endpoint to allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Closed {
    /// As `policy.endpoints.allow` spells it.
    pub endpoint: String,
    /// Who leads there.
    pub classes: Vec<Spot>,
}

impl Spot {
    pub(super) fn new(file: &str, (line, column): (u32, u32), class: Option<&Class>) -> Self {
        let name = |class: &Class| match &class.namespace {
            Some(namespace) => printable(&format!("{namespace}/{}", class.name)),
            None => printable(&class.name),
        };
        Self { file: printable(file), line, column, class: class.map(name) }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Finding {
    /// The place inside the parameter gives way to the place in the file.
    pub(super) fn new(spot: Spot, mut problem: Problem) -> Self {
        problem.place.at = None;
        Self { spot, reason: problem.reason.label(), text: problem.to_string() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.spot, self.reason, self.text)
    }
}

impl Report {
    /// Whether every class that was judged would be taken as it is.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty() && self.endpoints.is_empty()
    }

    pub(super) fn closed(&mut self, endpoint: String, spot: Spot) {
        match self.endpoints.iter_mut().find(|closed| closed.endpoint == endpoint) {
            Some(closed) => closed.classes.push(spot),
            None => self.endpoints.push(Closed { endpoint, classes: vec![spot] }),
        }
    }
}
