//! What to read and what to write. A dialect makes it, policy permits it, the engine fetches it, render writes it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Access, FileMode, Locator, RelPath, Subject};
use crate::error::{Problem, Problems, Reason};
use crate::secret::Secret;
use crate::text::short;

/// A checked plan: every path legal, no two files in each other's way, every file cut from a source that exists.
#[derive(Clone, Debug)]
pub struct Plan {
    sources: Vec<Source>,
    files: Vec<FileSpec>,
}

/// One object to read.
#[derive(Clone, Debug)]
pub struct Source {
    /// What the class calls it.
    pub name: String,
    /// How its store is reached.
    pub access: Arc<Access>,
    /// Which object.
    pub locator: Locator,
    /// What the class wants of it.
    pub want: Want,
    /// Where the class says how its store is reached.
    pub said: Arc<Said>,
}

/// The parameters in which a class says what policy may refuse: `None` where it leaves it to the store. For errors only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The address.
    pub address: Option<String>,
    /// That any certificate is believed.
    pub skip_verify: Option<String>,
    /// Each file of the agent's own.
    pub files: Vec<(PathBuf, String)>,
    /// The audience of the pod's token.
    pub audience: Option<String>,
}

impl Source {
    /// How an error names it: by the class's word and by what it is in the store.
    pub fn label(&self) -> String {
        format!("secret `{}` ({} {})", self.name, self.access.store(), short(&self.locator.to_string()))
    }
}

/// What a class wants of an object besides its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// Absent is fine. Forbidden is not.
    pub optional: bool,
    /// How old the answer may be; `None` for the store's own rule.
    pub fresh: Option<Duration>,
}

/// One file to write, or a folder of them.
#[derive(Clone, Debug)]
pub struct FileSpec {
    /// Where.
    pub path: PathRule,
    /// Its permission bits.
    pub mode: FileMode,
    /// Its content.
    pub body: Body,
    /// What its version is made of.
    pub version: VersionRule,
    /// Where the class says so: line and column inside its parameter.
    pub at: Option<(u32, u32)>,
}

/// What the version of a file is made of, under the version key.
#[derive(Clone, Default)]
pub enum VersionRule {
    /// Its path and its content.
    #[default]
    Content,
    /// How the class asks for it, in the words of another provider, and its content: that provider's own version, so that
    /// a volume that moves here does not look changed. A secret, since the arguments of a request may be one.
    Asked(Secret),
}

impl fmt::Debug for VersionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Content => "Content",
            Self::Asked(_) => "Asked",
        })
    }
}

/// Where a file stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRule {
    /// At this path.
    One(RelPath),
    /// A folder with a file per field where the object has fields, otherwise one file.
    Spread(RelPath),
}

impl PathRule {
    /// The path that nothing else may use.
    pub fn root(&self) -> &RelPath {
        match self {
            Self::One(path) | Self::Spread(path) => path,
        }
    }
}

/// The content of a file.
#[derive(Clone, Debug)]
pub enum Body {
    /// A piece of one source.
    Cut {
        /// Its place among the plan's sources.
        source: usize,
        /// Which piece.
        cut: Cut,
    },
}

/// Which piece of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// All of it.
    Whole,
    /// One of its fields.
    Field(String),
    /// One of its fields, whose text is an encoding of the content.
    Decoded(String, Encoding),
}

/// How a backend's text stands for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 4648 base64 with the standard alphabet and padding; line breaks are ignored (Go's `StdEncoding`).
    Base64,
    /// Pairs of hexadecimal digits.
    Hex,
}

impl Encoding {
    /// Its name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Hex => "hex",
        }
    }
}

impl Plan {
    /// Most objects of one mount.
    pub const OBJECTS_MAX: usize = 500;

    /// Checks what a single file cannot know: duplicates, files that are folders too, limits.
    ///
    /// # Errors
    /// Every conflict, `invalid`, with the place of the second of the two.
    pub fn new(
        sources: Vec<Source>,
        files: Vec<FileSpec>,
        parameter: &'static str,
    ) -> Result<Self, Problems> {
        Problems::check(Self::review(sources.len(), &files, parameter))?;
        debug_assert!(
            files.iter().all(|file| matches!(file.body, Body::Cut { source, .. } if source < sources.len()))
        );
        Ok(Self { sources, files })
    }

    /// What [`Self::new`] would refuse, for a dialect that has found other problems already and tells all at once.
    pub fn review(sources: usize, files: &[FileSpec], parameter: &'static str) -> Vec<Problem> {
        let mut problems = Vec::new();
        if files.is_empty() {
            let what = "the class asks for no objects, and an empty answer would leave the volume as it is";
            problems.push(
                Problem::new(Reason::Invalid, what).parameter(parameter).remedy("name at least one object"),
            );
        }
        problems.extend(Self::too_many(files.len().max(sources), parameter));
        conflicts(files, parameter, &mut problems);
        problems
    }

    /// Refuses more objects than a mount may have; a dialect asks before it reads each of them.
    pub fn too_many(objects: usize, parameter: &'static str) -> Option<Problem> {
        (objects > Self::OBJECTS_MAX).then(|| {
            let what = format!("{objects} objects in one mount, {} at most", Self::OBJECTS_MAX);
            Problem::new(Reason::Invalid, what).parameter(parameter).remedy("split the class in two")
        })
    }

    /// This plan with the subject's names where an access leaves them open: the same one where none does.
    pub fn resolved(self: &Arc<Self>, subject: &Subject) -> Arc<Self> {
        let mut sources = Vec::new();
        // Objects of one class share their access, and go on doing so.
        let mut last: Option<(&Arc<Access>, Option<Arc<Access>>)> = None;
        for (index, source) in self.sources.iter().enumerate() {
            let access = match &last {
                Some((open, access)) if Arc::ptr_eq(open, &source.access) => access.clone(),
                _ => source.access.resolved(subject).map(Arc::new),
            };
            if let Some(access) = &access {
                if sources.is_empty() {
                    sources.clone_from(&self.sources);
                }
                if let Some(source) = sources.get_mut(index) {
                    source.access = Arc::clone(access);
                }
            }
            last = Some((&source.access, access));
        }
        if sources.is_empty() {
            Arc::clone(self)
        } else {
            Arc::new(Self { sources, files: self.files.clone() })
        }
    }

    /// The objects to read.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The files to write.
    pub fn files(&self) -> &[FileSpec] {
        &self.files
    }
}

fn conflicts(files: &[FileSpec], parameter: &'static str, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<&str, &FileSpec> = BTreeMap::new();
    let mut twice = |file: &FileSpec, what: String| {
        let mut problem =
            Problem::new(Reason::Invalid, what).parameter(parameter).remedy("give each file its own path");
        problem.place.at = file.at;
        problems.push(problem);
    };
    for file in files {
        let path = file.path.root().as_str();
        if let Some(first) = seen.insert(path, file) {
            twice(file, format!("the path `{path}` is used twice{}", also_at(first)));
        }
    }
    for file in files {
        for folder in file.path.root().ancestors() {
            if let Some(other) = seen.get(folder) {
                let what = format!(
                    "`{folder}` is both a file and the folder of `{}`{}",
                    file.path.root(),
                    also_at(other)
                );
                twice(file, what);
            }
        }
    }
}

fn also_at(file: &FileSpec) -> String {
    file.at.map_or_else(String::new, |(line, column)| format!(", first at line {line}, column {column}"))
}
