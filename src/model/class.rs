//! SecretProviderClass manifests, as far as a mount needs them.

use std::collections::BTreeMap;

use crate::error::{Problem, Problems, Reason};
use crate::yaml::{self, Node};

/// One `SecretProviderClass` of a manifest.
#[derive(Clone, Debug)]
pub struct Class {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`, where the manifest has one.
    pub namespace: Option<String>,
    /// `spec.provider`.
    pub provider: String,
    /// `spec.parameters`.
    pub parameters: BTreeMap<String, String>,
    /// The same as the manifest has them, with their places in it.
    pub written: BTreeMap<String, Node>,
    /// The line that it begins at.
    pub line: u32,
}

/// What a file of one or more documents holds.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// The classes that can be read.
    pub classes: Vec<Class>,
    /// How many objects of other kinds there are.
    pub others: usize,
    /// What is wrong with the rest, each with its place in the file.
    pub problems: Vec<Problem>,
}

/// Largest manifest file.
const LIMITS: yaml::Limits = yaml::Limits { bytes: 8 << 20, nodes: 200_000, depth: 64 };

impl Class {
    /// Every class of a file of one or more documents; other kinds are passed over.
    ///
    /// # Errors
    /// Everything that is wrong with the classes, each with its line.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, Problems> {
        let manifest = Manifest::read(text);
        Problems::check(manifest.problems)?;
        Ok(manifest.classes)
    }

    fn parse(document: &Node, problems: &mut Vec<Problem>) -> Option<Self> {
        let before = problems.len();
        let mut text = |path: &'static [&'static str], required: bool| {
            let node = path.iter().try_fold(document, |node, key| node.get(key));
            let text = node.and_then(Node::text).map(str::to_owned);
            if text.is_none() && (required || node.is_some_and(|node| !node.is_null())) {
                let at = node.map_or(document.at, |node| node.at);
                problems.push(
                    Problem::new(Reason::Invalid, "is missing, or is not text")
                        .parameter(path.join("."))
                        .at(at),
                );
            }
            text
        };
        let name = text(&["metadata", "name"], true);
        let namespace = text(&["metadata", "namespace"], false);
        let provider = text(&["spec", "provider"], true);
        let written = parameters(document, problems);
        let texts = written.iter().filter_map(|(key, node)| Some((key.clone(), node.text()?.to_owned())));
        let parameters = texts.collect();
        if problems.len() > before {
            return None;
        }
        Some(Self { name: name?, namespace, provider: provider?, parameters, written, line: document.at.0 })
    }
}

impl Manifest {
    /// Reads a file, and goes on after each class that is wrong.
    pub fn read(text: &str) -> Self {
        let mut manifest = Self::default();
        match yaml::documents(text, LIMITS) {
            Ok(documents) => documents.iter().for_each(|document| manifest.take(document)),
            Err(error) => manifest
                .problems
                .push(Problem::new(Reason::Invalid, error.what).parameter("manifest").at(error.at)),
        }
        manifest
    }

    fn take(&mut self, document: &Node) {
        let kind = |node: &Node| node.get("kind").and_then(Node::text).map(str::to_owned);
        let items = match kind(document).as_deref() {
            Some("List") => document.get("items").and_then(Node::sequence).unwrap_or_default(),
            _ => std::slice::from_ref(document),
        };
        for item in items {
            if kind(item).as_deref() == Some("SecretProviderClass") {
                self.classes.extend(Class::parse(item, &mut self.problems));
            } else {
                self.others += 1;
            }
        }
    }
}

/// The parameters that are texts.
fn parameters(document: &Node, problems: &mut Vec<Problem>) -> BTreeMap<String, Node> {
    let node = document.get("spec").and_then(|spec| spec.get("parameters"));
    let Some(entries) = node.and_then(Node::mapping) else {
        let what = "is missing, or is not a mapping of texts";
        let at = node.map_or(document.at, |node| node.at);
        problems.push(Problem::new(Reason::Invalid, what).parameter("spec.parameters").at(at));
        return BTreeMap::new();
    };
    let mut parameters = BTreeMap::new();
    for (key, value) in entries {
        match (key.text(), value.text()) {
            (Some(key), Some(_)) => drop(parameters.insert(key.to_owned(), value.clone())),
            // The API server takes an empty string, which is written `""` and is text; nothing is not.
            (key, None) => {
                let path = format!("spec.parameters.{}", key.unwrap_or_default());
                let what = format!("is {}, and every parameter is one text", value.kind());
                problems.push(
                    Problem::new(Reason::Invalid, what)
                        .parameter(path)
                        .at(value.at)
                        .remedy("write it as a `|` block"),
                );
            }
            (None, Some(_)) => {}
        }
    }
    parameters
}
