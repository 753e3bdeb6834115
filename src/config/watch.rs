//! The configuration file while an agent runs: whether it changed, what it says now, and what of that waits for the
//! next start.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Config, LIMITS, environment, parse, read_file};
use crate::error::{Problem, Problems, Reason};
use crate::text::printable;
use crate::yaml::{self, Node, Value};

/// Keys that a running agent takes anew, with all that stands below them.
pub(super) const RELOADED: [&str; 4] = ["policy", "logLevel", "limits.mountsInFlight", "limits.answerBytes"];

/// Looks after the file.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    stamp: Option<Stamp>,
    /// Whether the file was read again a look after its stamp had changed: two changes within one tick of the file
    /// system's clock have the same stamp.
    settled: bool,
    /// What it said when it was read last; `None` where it could not be read.
    text: Option<String>,
    /// What the agent started with.
    started: BTreeMap<String, String>,
    told: Vec<String>,
}

/// The file has changed, and is good.
#[derive(Debug)]
pub struct Change {
    /// All that it says.
    pub config: Config,
    /// Keys that differ from what the agent started with and wait for the next start; told once.
    pub restart: Vec<String>,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    id: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
}

impl Watch {
    /// Reads the file, and remembers it.
    ///
    /// # Errors
    /// As [`super::load`].
    pub fn open(path: &Path) -> Result<(Self, Config), Problems> {
        let stamp = stamp(path);
        let text = read_file(path)?;
        let config = parse(&text, environment)?;
        let started = written(&text);
        let watch = Self {
            path: path.to_owned(),
            stamp,
            settled: false,
            text: Some(text),
            started,
            told: Vec::new(),
        };
        Ok((watch, config))
    }

    /// What changed since the last look; a file that turned bad is told once. Blocks its thread.
    pub fn look(&mut self) -> Option<Result<Change, Problems>> {
        let stamp = stamp(&self.path);
        if stamp == self.stamp && (self.settled || stamp.is_none()) {
            return None;
        }
        self.settled = stamp == self.stamp;
        self.stamp = stamp;
        let text = match read_file(&self.path) {
            Ok(text) => text,
            Err(problem) => {
                self.text = None;
                return Some(Err(problem.into()));
            }
        };
        if self.text.as_ref() == Some(&text) {
            return None;
        }
        // Whoever writes a file in place empties it first, and without rules everything would be allowed meanwhile.
        if text.trim().is_empty() {
            self.text = Some(text);
            let problem = Problem::new(Reason::Invalid, "the file is empty, as while it is being written");
            return Some(Err(problem.remedy("write `{}` where nothing shall be configured any more").into()));
        }
        let read = parse(&text, environment);
        let change = read.map(|config| Change { config, restart: self.restart(&text) });
        self.text = Some(text);
        Some(change)
    }

    fn restart(&mut self, text: &str) -> Vec<String> {
        let waiting = differing(&self.started, &written(text));
        if waiting == self.told {
            return Vec::new();
        }
        self.told.clone_from(&waiting);
        waiting
    }
}

/// Through symbolic links, since a mounted ConfigMap is changed by replacing one. What is no regular file, such as a
/// pipe, can be read once only.
fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(Stamp {
        id: (file.dev(), file.ino()),
        bytes: file.len(),
        modified: (file.mtime(), file.mtime_nsec()),
    })
}

/// Every value of a good file by its key.
fn written(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if let Ok(root) = yaml::parse(text, LIMITS) {
        leaves(&root, String::new(), &mut all);
    }
    all
}

fn leaves(node: &Node, path: String, all: &mut BTreeMap<String, String>) {
    match &node.value {
        Value::Scalar(scalar) => drop(all.insert(path, scalar.text.to_string())),
        Value::Sequence(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                leaves(entry, format!("{path}[{index}]"), all);
            }
        }
        Value::Mapping(pairs) => {
            for (key, value) in pairs.iter() {
                let dot = if path.is_empty() { "" } else { "." };
                leaves(value, format!("{path}{dot}{}", printable(key.text().unwrap_or_default())), all);
            }
        }
    }
}

/// The keys that differ and wait for a start, by section and name.
fn differing(started: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let names = |path: &str| path.split(['.', '[']).take(2).collect::<Vec<_>>().join(".");
    let reloaded = |path: &str| {
        RELOADED.iter().any(|key| {
            path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    };
    let paths = started.keys().chain(now.keys());
    let mut found: Vec<String> = paths
        .filter(|path| started.get(*path) != now.get(*path) && !reloaded(path))
        .map(|path| names(path))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}
