//! From what was fetched to what the driver writes: total, ordered, deterministic.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use super::cut::cut;
use super::material::{Fetched, Part};
use super::plan::{Body, FileSpec, PathRule, Plan, Source, VersionRule};
use super::{FileMode, RelPath};
use crate::error::{Problem, Problems, Reason};
use crate::secret::{Digest, DigestKey, Secret};
use crate::text::printable;

/// The key under which contents become versions. Kept apart from other keys: it outlives the process where the
/// administrator names a file, so that replicas and restarts say the same.
pub struct VersionKey(pub DigestKey);

/// One file of the answer.
pub struct File {
    /// Where.
    pub path: RelPath,
    /// Its permission bits.
    pub mode: FileMode,
    /// Its content.
    pub contents: Secret,
    /// The source that it was cut from.
    pub source: usize,
    /// What its version is made of.
    pub version: VersionRule,
}

/// What the driver writes into the pod's status: changes when the file does, and says nothing about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    /// The file's path.
    pub id: String,
    /// A keyed digest of what its [`VersionRule`] says.
    pub version: String,
}

/// A whole answer, in the order of paths. Only [`render`] makes one, and it is never empty.
pub struct Rendered {
    files: Vec<File>,
    versions: Vec<ObjectVersion>,
    digest: Digest,
    bytes: usize,
}

impl Rendered {
    /// The files, in the order of their paths.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// One version per file, in the same order.
    pub fn versions(&self) -> &[ObjectVersion] {
        &self.versions
    }

    /// Changes exactly when a path, a mode or a content does.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Bytes of the encoded answer.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The parts, for the encoder.
    pub fn into_parts(self) -> (Vec<File>, Vec<ObjectVersion>) {
        (self.files, self.versions)
    }
}

/// Writes the plan with what was fetched. `answer_bytes_max` bounds the encoded answer.
///
/// # Errors
/// Every file that cannot be written: `not_found` for absent fields and where nothing at all would result,
/// `invalid` for field names that cannot be file names, `too_large` over the limit.
pub fn render(
    plan: &Plan,
    got: &Fetched,
    key: &VersionKey,
    answer_bytes_max: usize,
) -> Result<Rendered, Problems> {
    let (files, mut problems) = write(plan, got);
    if problems.is_empty() && files.is_empty() {
        problems.extend(plan.sources().iter().map(nothing));
    }
    Problems::check(problems)?;
    finish(files.into_values().collect(), key, answer_bytes_max)
}

/// What [`render`] would refuse of what was fetched, where some of it was not: all that fails is told at once.
pub fn unwritable(plan: &Plan, got: &Fetched) -> Vec<Problem> {
    write(plan, got).1
}

fn write(plan: &Plan, got: &Fetched) -> (BTreeMap<RelPath, File>, Vec<Problem>) {
    let mut files = BTreeMap::new();
    let mut problems = Vec::new();
    for spec in plan.files() {
        let Body::Cut { source, cut: piece } = &spec.body;
        let Some(material) = got.of(*source) else { continue };
        let written = match (material.parts.first(), &spec.path) {
            (None, _) => Err(Problem::new(Reason::Upstream, "the reply has no content")),
            (Some(part), PathRule::One(path)) => {
                cut(part, piece).map(|contents| vec![(path.clone(), contents)])
            }
            (Some(part), PathRule::Spread(folder)) => spread(folder, part),
        };
        match written {
            Ok(written) => {
                for (path, contents) in written {
                    let version = spec.version.clone();
                    let file =
                        File { path: path.clone(), mode: spec.mode, contents, source: *source, version };
                    if files.insert(path, file).is_some() {
                        problems.push(
                            Problem::new(Reason::Invalid, "two fields make the same file")
                                .object(label(plan, spec)),
                        );
                    }
                }
            }
            Err(problem) => problems.push(problem.object(label(plan, spec))),
        }
    }
    (files, problems)
}

fn spread(folder: &RelPath, part: &Part) -> Result<Vec<(RelPath, Secret)>, Problem> {
    if part.fields.is_empty() {
        return Ok(vec![(folder.clone(), part.body.clone())]);
    }
    let mut written = Vec::with_capacity(part.fields.len());
    for (name, value) in &part.fields {
        let path = folder.join(name).map_err(|rule| {
            let what = format!("the field `{}` cannot be a file name: it {rule}", printable(name));
            Problem::new(Reason::Invalid, what).remedy(OWN_PATH)
        })?;
        // A field may have a slash in its name; the driver would write the file or the folder, whichever came last.
        let above = name.match_indices('/').map(|(at, _)| &name[..at]);
        if let Some(folder) = above.into_iter().find(|folder| part.fields.contains_key(*folder)) {
            let what =
                format!("the field `{folder}` would be both a file and the folder of the field `{name}`");
            return Err(Problem::new(Reason::Invalid, what).remedy(OWN_PATH));
        }
        written.push((path, value.clone()));
    }
    Ok(written)
}

const OWN_PATH: &str = "write `files:` and give it a path of its own";

fn nothing(source: &Source) -> Problem {
    let what =
        "is absent, and no file is left: the driver takes an answer without files for `keep what is there`";
    Problem::new(Reason::NotFound, what)
        .object(source.label())
        .remedy("create it, or remove the volume from the pod")
}

fn finish(files: Vec<File>, key: &VersionKey, answer_bytes_max: usize) -> Result<Rendered, Problems> {
    // Before anything is hashed: what is too large shall cost nothing.
    let bytes: usize = files.iter().map(encoded).sum();
    if bytes > answer_bytes_max {
        let largest = files.iter().max_by_key(|file| file.contents.len());
        let largest = largest.map_or_else(String::new, |file| {
            format!(", of which `{}` has {}", file.path, file.contents.len())
        });
        let what =
            format!("the answer has {bytes} bytes{largest}; the driver takes {answer_bytes_max} at most");
        return Err(Problem::new(Reason::TooLarge, what)
            .remedy("split the class, or raise the driver's `--max-call-recv-msg-size` and `limits.answerBytes` together")
            .into());
    }
    let mut versions = Vec::with_capacity(files.len());
    let mut all: Vec<u8> = Vec::with_capacity(files.len() * (TAG_BYTES + 2));
    for file in &files {
        let version = match &file.version {
            VersionRule::Content => file.contents.digest(&key.0, file.path.as_str().as_bytes()).to_string(),
            VersionRule::Asked(asked) => URL_SAFE.encode(file.contents.tag_behind(asked, &key.0)),
        };
        all.extend_from_slice(version.as_bytes());
        all.extend_from_slice(&file.mode.bits().to_be_bytes());
        versions.push(ObjectVersion { id: file.path.as_str().to_owned(), version });
    }
    Ok(Rendered { digest: key.0.digest(&[&all]), files, versions, bytes })
}

fn label(plan: &Plan, spec: &FileSpec) -> String {
    let Body::Cut { source, .. } = &spec.body;
    let source = plan.sources().get(*source).map_or_else(String::new, Source::label);
    format!("{source}, file `{}`", spec.path.root())
}

/// Length of a version: a digest in hexadecimal.
const DIGEST_BYTES: usize = 32;
/// Length of a version: a whole tag in padded base64.
const TAG_BYTES: usize = 44;

/// Bytes that a file and its version take in the encoded answer, protobuf's framing included.
fn encoded(file: &File) -> usize {
    let field = |len: usize| 1 + varint(len) + len;
    let mode = if file.mode.bits() == 0 { 0 } else { 1 + varint(file.mode.bits().into()) };
    let contents = if file.contents.is_empty() { 0 } else { field(file.contents.len()) };
    let version = match file.version {
        VersionRule::Content => DIGEST_BYTES,
        VersionRule::Asked(_) => TAG_BYTES,
    };
    field(field(file.path.as_str().len()) + mode + contents)
        + field(field(file.path.as_str().len()) + field(version))
}

fn varint(value: usize) -> usize {
    let bits = usize::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}
