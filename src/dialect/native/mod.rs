//! The native dialect, `provider: latchkey`: what upstream manifests cannot say, in two parts. `secrets` is what to
//! read, `files` is what to write. Pure: no store is asked, and every problem of both parameters is told at once.
//! `docs/NATIVE.md` is its reference.

mod files;
mod keys;
mod secrets;
mod vault;

use self::keys::Found;
use crate::dialect::{Dialect, Facts, Param};
use crate::error::{Problem, Problems, Reason};
use crate::model::{Attributes, Catalog, Plan};
use crate::text::{nearest, short};

/// The dialect of `provider: latchkey`.
#[derive(Clone, Copy, Debug)]
pub struct Native;

const SECRETS: &str = "secrets";
const FILES: &str = "files";

const PARAMS: &[Param] = &[
    Param { name: SECRETS, summary: "What to read: a YAML mapping of names to secrets. Required." },
    Param {
        name: FILES,
        summary: "What to write: a YAML mapping of paths to `name`, `name.field` or `{ from, field, mode }`. \
                  Without it, a secret with fields becomes a folder with a file per field, any other one file.",
    },
];

impl Dialect for Native {
    fn provider(&self) -> &'static str {
        "latchkey"
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn parse(&self, attributes: &Attributes, facts: Facts<'_>, catalog: &Catalog) -> Result<Plan, Problems> {
        let mut problems = Vec::new();
        unknown(attributes, &mut problems);
        let declared = secrets::read(attributes.get(SECRETS), catalog, facts.digests, &mut problems);
        let (parameter, files) = match (attributes.get(FILES), &declared) {
            (Some(text), declared) => {
                (FILES, files::read(text, declared.as_deref(), facts.mode, &mut problems))
            }
            (None, Some(declared)) => (SECRETS, files::spread(declared, facts.mode, &mut problems)),
            (None, None) => (SECRETS, Vec::new()),
        };
        let declared = declared.unwrap_or_default();
        if !problems.is_empty() && !files.is_empty() {
            problems.extend(Plan::review(declared.len(), &files, parameter));
        }
        Problems::check(problems)?;
        // Without a problem every secret has become a source, so that their places agree.
        Plan::new(declared.into_iter().filter_map(|secret| secret.source).collect(), files, parameter)
    }
}

fn unknown(attributes: &Attributes, problems: &mut Found) {
    let known = || PARAMS.iter().map(|param| param.name);
    for (key, _) in attributes.iter().filter(|(key, _)| !known().any(|name| name == *key)) {
        let remedy = "remove it from the class's parameters or the pod's volumeAttributes";
        let remedy = match nearest(key, known()) {
            Some(near) => format!("did you mean `{near}`? Otherwise {remedy}"),
            None => remedy.to_owned(),
        };
        let what = "the provider latchkey has no such parameter";
        problems.push(Problem::new(Reason::Invalid, what).parameter(short(key).into_owned()).remedy(remedy));
    }
}
