//! `files`: what to write. Each entry is a path and a piece of a secret.

use super::keys::{self, Found, document, is_name, key, listed};
use super::secrets::Declared;
use super::{FILES, SECRETS};
use crate::error::{Problem, Reason};
use crate::model::{Body, Cut, FileMode, FileSpec, PathRule, Plan, RelPath, VersionRule};
use crate::text::{nearest, short};
use crate::yaml::Node;

/// Keys of a file.
const KEYS: [&str; 3] = ["from", "field", "mode"];
/// Keys that the dialect reserves, and this version does not read.
const LATER: [&str; 3] = ["template", "as", "encoding"];
const FORMS: &str = "`name`, `name.field` or `{ from: name, field: field, mode: \"0440\" }`";

/// Without the parameter: every secret under its own name.
pub(super) fn spread(declared: &[Declared], mode: FileMode, problems: &mut Found) -> Vec<FileSpec> {
    let mut files = Vec::with_capacity(declared.len());
    for (source, secret) in declared.iter().enumerate().filter(|(_, secret)| is_name(&secret.name)) {
        match RelPath::parse(&secret.name) {
            Ok(path) => files.push(FileSpec {
                path: PathRule::Spread(path),
                mode,
                body: Body::Cut { source, cut: Cut::Whole },
                version: VersionRule::Content,
                at: Some(secret.at),
            }),
            Err(rule) => problems.push(
                Problem::new(Reason::Invalid, format!("the name of the secret, as a path, {rule}"))
                    .parameter(SECRETS)
                    .at(secret.at)
                    .object(format!("secret `{}`", short(&secret.name)))
                    .remedy("shorten it, or write `files:` and give it a path of its own"),
            ),
        }
    }
    files
}

/// Reads the parameter. `declared` is `None` where the secrets could not be read: what files refer to is not judged
/// then, everything else is.
pub(super) fn read(
    text: &str,
    declared: Option<&[Declared]>,
    mode: FileMode,
    problems: &mut Found,
) -> Vec<FileSpec> {
    let root = match document(FILES, text, "paths to secrets") {
        Ok(root) => root,
        Err(problem) => {
            problems.push(problem);
            return Vec::new();
        }
    };
    let entries = root.mapping().unwrap_or_default();
    if entries.is_empty() {
        problems.push(
            keys::problem(FILES, &root, "the parameter names no file, so that nothing would be written")
                .remedy(
                    "name at least one file, or remove the parameter to get every secret under its own name",
                ),
        );
        return Vec::new();
    }
    if let Some(problem) = Plan::too_many(entries.len(), FILES) {
        problems.push(problem);
        return Vec::new();
    }
    let mut reader = Reader {
        path: &root,
        declared,
        used: vec![false; declared.map_or(0, <[Declared]>::len)],
        unresolved: false,
        problems,
    };
    let mut files = Vec::with_capacity(entries.len());
    for (path, file) in entries {
        reader.path = path;
        files.extend(reader.file(file, mode));
    }
    reader.unused();
    files
}

/// Longest name of a field, in bytes: no store of ours gives a longer one.
const FIELD_BYTES_MAX: usize = 253;
/// Problems with a suggestion of what was meant.
const SEARCHES_MAX: usize = 16;

struct Reader<'a> {
    /// The entry's key.
    path: &'a Node,
    declared: Option<&'a [Declared]>,
    /// Which secrets are referred to.
    used: Vec<bool>,
    /// Whether some reference could not be made out, so that it may have meant any of them.
    unresolved: bool,
    problems: &'a mut Found,
}

impl<'a> Reader<'a> {
    fn refuse(&mut self, at: &Node, what: impl AsRef<str>, remedy: impl Into<String>) {
        let name = format!("file `{}`", short(key(self.path)));
        self.problems.push(keys::problem(FILES, at, what).object(name).remedy(remedy.into()));
    }

    fn file(&mut self, file: &'a Node, default: FileMode) -> Option<FileSpec> {
        let path = self.path;
        let checked = RelPath::parse(key(path));
        if let Err(rule) = checked {
            self.refuse(
                path,
                format!("the path {rule}"),
                "write a path below the volume's root, like `db/password`",
            );
        }
        let (body, mode) = if let Some(text) = file.text() {
            (self.reference(file, text, None), Some(default))
        } else if let Some(pairs) = file.mapping() {
            self.mapping(file, pairs, default)
        } else {
            self.unresolved = true;
            self.refuse(
                file,
                format!("is {}, where {FORMS} is expected", file.kind()),
                format!("write {FORMS}"),
            );
            (None, None)
        };
        let (path_rule, body, mode) = (PathRule::One(checked.ok()?), body?, mode?);
        Some(FileSpec { path: path_rule, mode, body, version: VersionRule::Content, at: Some(path.at) })
    }

    fn mapping(
        &mut self,
        file: &'a Node,
        pairs: &'a [(Node, Node)],
        default: FileMode,
    ) -> (Option<Body>, Option<FileMode>) {
        let before = self.problems.len();
        for (key, _) in pairs {
            self.key(key);
        }
        let unknown = self.problems.len() > before;
        let mode = match file.get("mode") {
            None => Some(default),
            Some(node) => {
                let mode = node.text().and_then(FileMode::parse_octal);
                if mode.is_none() {
                    let what = "`mode` is not one in octal digits, from 0 to 07777";
                    self.refuse(node, what, "write it like `\"0440\"`, or leave it out");
                }
                mode
            }
        };
        let Some(from) = file.get("from") else {
            self.unresolved = true;
            // An unknown key may be a misspelt `from`, and says enough.
            if !unknown {
                self.refuse(file, "the file names no secret", "add `from:` with the name of a secret");
            }
            return (None, mode);
        };
        let Some(text) = from.text() else {
            self.unresolved = true;
            let what = format!("`from` is {}, where the name of a secret is expected", from.kind());
            self.refuse(from, what, "write `name` or `name.field`");
            return (None, mode);
        };
        (self.reference(from, text, file.get("field")), mode)
    }

    fn key(&mut self, node: &Node) {
        let word = key(node);
        if KEYS.contains(&word) {
            return;
        }
        let has = format!("a file has {}", listed(&KEYS));
        if LATER.contains(&word) {
            self.refuse(node, format!("`{word}` is not yet supported"), format!("remove it: {has}"));
        } else if word == "<<" {
            self.refuse(
                node,
                "merge keys are not read",
                "write the keys out, or use an alias for the whole file",
            );
        } else {
            let remedy = match nearest(word, KEYS.into_iter().chain(LATER)) {
                Some(near) => format!("did you mean `{near}`? {has}"),
                None => format!("remove it: {has}"),
            };
            self.refuse(node, format!("a file has no key `{}`", short(word)), remedy);
        }
    }

    /// The piece that `name`, `name.field`, or `name` with a `field` beside it means.
    fn reference(&mut self, at: &Node, text: &str, field: Option<&Node>) -> Option<Body> {
        let (name, dotted) = text.split_once('.').map_or((text, None), |(name, field)| (name, Some(field)));
        let source = self.source(at, name);
        let cut = match (dotted, field) {
            (None, None) => Cut::Whole,
            (Some(""), None) => {
                self.refuse(
                    at,
                    "the name of a field is missing behind the dot",
                    "write `name` or `name.field`",
                );
                return None;
            }
            (Some(field), None) => Cut::Field(field.to_owned()),
            (Some(_), Some(node)) => {
                let what = "the field is named twice, in `from` and in `field`";
                self.refuse(node, what, "write `from: name` beside `field`");
                return None;
            }
            (None, Some(node)) => match node.text().filter(|field| !field.is_empty()) {
                Some(field) => Cut::Field(field.to_owned()),
                None => {
                    let kind = if node.text().is_some() { "empty" } else { node.kind() };
                    self.refuse(
                        node,
                        format!("`field` is {kind}, where the name of a field is expected"),
                        "name a field, or leave `field` out for the whole secret",
                    );
                    return None;
                }
            },
        };
        if let Cut::Field(field) = &cut
            && field.len() > FIELD_BYTES_MAX
        {
            let what = format!("the name of a field has {} bytes, {FIELD_BYTES_MAX} at most", field.len());
            self.refuse(at, what, "name a field of the secret");
            return None;
        }
        Some(Body::Cut { source: source?, cut })
    }

    fn source(&mut self, at: &Node, name: &str) -> Option<usize> {
        let declared = self.declared?;
        let source = declared.iter().position(|secret| secret.name == name);
        if let Some(source) = source {
            self.used[source] = true;
        } else {
            self.unresolved = true;
            let names = declared.iter().map(|secret| secret.name.as_str()).filter(|name| is_name(name));
            // Only the first few are looked at by anyone, and each search costs a comparison with every secret.
            let searched = self.problems.len() < SEARCHES_MAX;
            let remedy = match nearest(name, names.filter(|_| searched)) {
                Some(near) => format!("did you mean `{}`?", short(near)),
                None => "declare it in `secrets`".to_owned(),
            };
            self.refuse(at, format!("`secrets` has no secret `{}`", short(name)), remedy);
        }
        source
    }

    /// What nobody writes is not fetched in vain.
    fn unused(self) {
        if self.unresolved {
            return;
        }
        let unused = self.declared.unwrap_or_default().iter().zip(self.used).filter(|(_, used)| !used);
        self.problems.extend(unused.map(|(secret, _)| {
            Problem::new(Reason::Invalid, "no file uses the secret")
                .parameter(SECRETS)
                .at(secret.at)
                .object(format!("secret `{}`", short(&secret.name)))
                .remedy("add a file for it to `files`, or remove it")
        }));
    }
}
