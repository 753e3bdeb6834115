//! `objects`: a YAML list, each entry one file and the request that fills it.

use std::borrow::Cow;

use super::{OBJECTS, args, nothing};
use crate::dialect::Facts;
use crate::error::{Problem, Reason};
use crate::model::go::Json;
use crate::model::locator::{request, vault};
use crate::model::{Cut, Encoding, FileMode, Plan, RelPath};
use crate::secret::Secret;
use crate::text::short;
use crate::yaml::go::{self, Field, Meaning, Wrong};
use crate::yaml::{self, Limits, Node, Value};

/// One entry, read.
pub(super) struct Object {
    pub(super) name: String,
    pub(super) locator: vault::Locator,
    pub(super) mode: FileMode,
    pub(super) cut: Cut,
    /// The entry as upstream has it, which its version is made of.
    pub(super) asked: Secret,
    pub(super) at: (u32, u32),
}

/// Reads the parameter, and goes on after each problem.
pub(super) fn read(text: &str, facts: Facts<'_>, problems: &mut Vec<Problem>) -> Vec<Object> {
    let root = match yaml::first(text, Limits::PARAMETER) {
        Ok(root) => root,
        Err(error) => {
            let problem = Problem::new(Reason::Invalid, error.what).parameter(OBJECTS).at(error.at);
            problems.push(problem.remedy("correct the YAML of this parameter"));
            return Vec::new();
        }
    };
    let Some(entries) = list(&root, problems) else { return Vec::new() };
    // Entries that are null are none, as upstream reads them.
    let entries: Vec<&Node> = entries.iter().filter(|entry| !go::is_null(entry)).collect();
    if entries.is_empty() {
        problems.push(nothing());
    }
    if let Some(problem) = Plan::too_many(entries.len(), OBJECTS) {
        problems.push(problem);
        return Vec::new();
    }
    let objects = entries.iter().enumerate().filter_map(|(index, entry)| {
        let mut reader = Reader { label: format!("object {}", index + 1), facts, problems };
        reader.object(entry)
    });
    objects.collect()
}

/// The list; none at all where the parameter is empty.
fn list<'a>(root: &'a Node, problems: &mut Vec<Problem>) -> Option<&'a [Node]> {
    if go::is_null(root) {
        return Some(&[]);
    }
    let list = root.sequence();
    if list.is_none() {
        let what = format!("is {}, where a list of objects is expected", root.kind());
        let remedy = if root.get("array").is_some() {
            "write the list itself, without `array:` around it"
        } else {
            "begin each object with `- objectName:`"
        };
        problems.push(Problem::new(Reason::Invalid, what).parameter(OBJECTS).at(root.at).remedy(remedy));
    }
    list
}

struct Reader<'a> {
    /// How errors name the entry: by its name once that is known.
    label: String,
    facts: Facts<'a>,
    problems: &'a mut Vec<Problem>,
}

/// The fields that are read; all others are ignored, as upstream does.
const NAME: &str = "objectName";
const PATH: &str = "secretPath";
const KEY: &str = "secretKey";
const METHOD: &str = "method";
const ARGS: &str = "secretArgs";
const MODE: &str = "filePermission";
const ENCODING: &str = "encoding";

/// Longest name by which an error calls an object in full.
const LABEL_BYTES: usize = 300;

type Fields<'a> = Vec<Field<'a>>;

impl Reader<'_> {
    fn refuse(
        &mut self,
        reason: Reason,
        at: (u32, u32),
        what: impl AsRef<str>,
        remedy: impl Into<Cow<'static, str>>,
    ) {
        let problem = Problem::new(reason, what).parameter(OBJECTS).at(at).object(&self.label);
        self.problems.push(problem.remedy(remedy));
    }

    fn invalid(&mut self, at: (u32, u32), what: impl AsRef<str>, remedy: &'static str) {
        self.refuse(Reason::Invalid, at, what, remedy);
    }

    fn object(&mut self, entry: &Node) -> Option<Object> {
        let fields = match go::fields(entry) {
            Ok(Some(fields)) => fields,
            Ok(None) => {
                let what = format!("the object is {}, where a mapping is expected", entry.kind());
                self.invalid(entry.at, what, "write it as `- objectName: …` with its fields below");
                return None;
            }
            Err(Wrong { at, what }) => {
                self.invalid(at, format!("the object {what}"), "correct the YAML of this object");
                return None;
            }
        };
        let (name, at) = self.name(entry, &fields);
        let locator = self.locator(entry, &fields);
        let mode = self.mode(&fields);
        let cut = self.cut(&fields);
        let (name, locator, mode, cut) = (name?, locator?, mode?, cut?);
        Some(Object { name, locator, mode, cut, asked: asked(&fields)?, at })
    }

    /// A field of text, empty where it is absent or null, and where it stands; `None` where it is no text.
    fn text<'a>(
        &mut self,
        entry: (u32, u32),
        fields: &'a Fields<'_>,
        name: &str,
    ) -> Option<(Cow<'a, str>, (u32, u32))> {
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            return Some((Cow::Borrowed(""), entry));
        };
        match go::text(field.value) {
            Ok(text) => Some((text.unwrap_or_default(), field.value.at)),
            Err(what) => {
                self.invalid(field.value.at, format!("`{name}` {what}"), "write a text");
                None
            }
        }
    }

    fn name(&mut self, entry: &Node, fields: &Fields<'_>) -> (Option<String>, (u32, u32)) {
        let Some((name, at)) = self.text(entry.at, fields, NAME) else { return (None, entry.at) };
        if !name.is_empty() {
            // As long as a component of a path may be, and a little longer: what is wrong may be its length.
            let known = if name.len() <= LABEL_BYTES { name.clone() } else { short(&name) };
            self.label = format!("object `{known}`");
        }
        if let Err(rule) = RelPath::parse_raw(&name) {
            let what = format!("`{NAME}`, the path of the file, {rule}");
            let remedy = RelPath::meant(&name).map_or_else(
                || "write a path below the volume's root, like `db/password`".to_owned(),
                |path| format!("write it as `{}`", short(path.as_str())),
            );
            self.refuse(Reason::Invalid, at, what, remedy);
            return (None, at);
        }
        (Some(name.into_owned()), at)
    }

    fn locator(&mut self, entry: &Node, fields: &Fields<'_>) -> Option<vault::Locator> {
        let path = self.path(entry, fields);
        let method = self.method(entry, fields);
        let args = self.args(fields);
        Some(vault::Locator { method: method?, path: path?, args: args? })
    }

    fn path(&mut self, entry: &Node, fields: &Fields<'_>) -> Option<Box<str>> {
        let (text, at) = self.text(entry.at, fields, PATH)?;
        match request::path(&text) {
            Err(rule) => {
                self.invalid(
                    at,
                    format!("`{PATH}` {rule}"),
                    "write the path as the server's API has it, below `/v1/`",
                );
                None
            }
            Ok(path) if request::is_session(&path) => {
                let what = format!("`{PATH}` {}", request::SESSION);
                self.refuse(Reason::Policy, at, what, "remove the object");
                None
            }
            Ok(path) => Some(path),
        }
    }

    fn method(&mut self, entry: &Node, fields: &Fields<'_>) -> Option<Box<str>> {
        let (text, at) = self.text(entry.at, fields, METHOD)?;
        if text.is_empty() {
            return Some(vault::GET.into());
        }
        if !request::is_method(&text) {
            self.invalid(
                at,
                format!("`{METHOD}` is no HTTP method"),
                "write one like `GET` or `PUT`, or leave it out",
            );
            return None;
        }
        Some(text.into())
    }

    /// `Some(None)` where no body is asked for.
    fn args(&mut self, fields: &Fields<'_>) -> Option<Option<vault::Args>> {
        let Some(field) = fields.iter().find(|field| field.name == ARGS) else { return Some(None) };
        match args::json(field.value) {
            Ok(body) => Some(body.map(|json| vault::Args::new(Secret::from_text(json), self.facts.digests))),
            Err(Wrong { at, what }) => {
                self.invalid(
                    at,
                    format!("`{ARGS}` {what}"),
                    "write a mapping of names to texts, numbers and booleans",
                );
                None
            }
        }
    }

    fn mode(&mut self, fields: &Fields<'_>) -> Option<FileMode> {
        let Some(field) = fields.iter().find(|field| field.name == MODE) else {
            return Some(self.facts.mode);
        };
        let bits = bits(field.value);
        // Nothing and nought are the same to upstream: not said.
        if bits == Some(0) {
            return Some(self.facts.mode);
        }
        let mode = bits.and_then(FileMode::from_bits);
        if mode.is_none() {
            let what = format!("`{MODE}` is no number of permission bits up to 07777");
            self.invalid(field.value.at, what, "write it like `0640`, without quotes");
        }
        mode
    }

    fn cut(&mut self, fields: &Fields<'_>) -> Option<Cut> {
        let nowhere = (1, 1);
        let key = self.text(nowhere, fields, KEY);
        let encoding = self.text(nowhere, fields, ENCODING);
        let (key, (encoding, at)) = (key?.0, encoding?);
        if key.is_empty() {
            return Some(Cut::Whole);
        }
        let key = key.into_owned();
        // Go folds case by Unicode: the long s is the only other letter that folds to one of these.
        match encoding.replace('ſ', "s").to_ascii_lowercase().as_str() {
            "" | "utf-8" => Some(Cut::Field(key)),
            "base64" => Some(Cut::Decoded(key, Encoding::Base64)),
            "hex" => Some(Cut::Decoded(key, Encoding::Hex)),
            _ => {
                let what = format!("`{ENCODING}` is none of `utf-8`, `base64` and `hex`");
                self.invalid(at, what, "write one of them, or leave it out");
                None
            }
        }
    }
}

/// An entry in the JSON that the versions of both upstream providers begin with, which they share to the byte: what the
/// fields say, and not what it stands for. `None` where one of them cannot be read, which is told by then.
fn asked(fields: &Fields<'_>) -> Option<Secret> {
    let find = |name: &str| fields.iter().find(|field| field.name == name).map(|field| field.value);
    let mut json = Json::new(ASKED_BYTES);
    let texts = [
        ("{\"ObjectName\":", NAME),
        (",\"SecretPath\":", PATH),
        (",\"SecretKey\":", KEY),
        (",\"Method\":", METHOD),
    ];
    let text = |name: &str| find(name).map_or(Ok(None), go::text).ok().map(Option::unwrap_or_default);
    for (before, name) in texts {
        json.raw(before).string(&text(name)?);
    }
    let args = find(ARGS).map_or(Ok(None), args::json).ok()?;
    json.raw(",\"SecretArgs\":").raw(args.as_deref().unwrap_or("null"));
    let mode = find(MODE).map_or(Some(0), bits)?;
    json.raw(",\"FilePermission\":").raw(&mode.to_string());
    json.raw(",\"Encoding\":").string(&text(ENCODING)?).raw("}");
    Some(json.finish())
}

/// Room for an entry of usual length.
const ASKED_BYTES: usize = 256;

/// The number that Go decodes into 32 bits without a sign, fractions cut off; nought for null.
fn bits(node: &Node) -> Option<u32> {
    let Value::Scalar(scalar) = &node.value else { return None };
    match go::meaning(scalar).ok()? {
        Meaning::Null => Some(0),
        Meaning::Int(number) => u32::try_from(number).ok(),
        Meaning::Float(number) => {
            let whole = number.trunc();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "within the range, and whole"
            )]
            (0.0..=f64::from(u32::MAX)).contains(&whole).then_some(whole as u32)
        }
        Meaning::Bool(_) | Meaning::Time(_) | Meaning::Text(_) | Meaning::Binary(_) => None,
    }
}
