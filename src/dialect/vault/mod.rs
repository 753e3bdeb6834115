//! The classes of the Vault and OpenBao providers, unchanged: one dialect in two flavours, which differ in the names of
//! parameters, the store they speak of, and the audience of the pod's token. `docs/vault.md` is its reference, and
//! `docs/compat/vault.md` what it does otherwise.

mod args;
mod objects;
mod parameters;

use std::sync::Arc;

use self::objects::Object;
use self::parameters::Words;
use crate::dialect::{Dialect, Facts, Param};
use crate::error::{Problem, Problems, Reason};
pub use crate::model::locator::vault::Flavour;
use crate::model::{
    Access, Attributes, Body, Catalog, FileSpec, Locator, PathRule, Plan, RelPath, Source, VersionRule, Want,
};

/// The dialect of `provider: vault` or `provider: openbao`.
#[derive(Clone, Copy, Debug)]
pub struct Vault {
    /// Which of the two.
    pub flavour: Flavour,
}

const OBJECTS: &str = "objects";
const AUDIENCE: &str = "audience";

/// The parameters with these prefixes, and those without one.
macro_rules! params {
    ($($prefix:literal),+) => {
        &[
            Param { name: OBJECTS, summary: "What to read and write: a YAML list of objects. Required." },
            Param { name: "roleName", summary: "The role of the login. Required, unless the store has one." },
            Param { name: AUDIENCE, summary: "The audience of the pod's token." },
            $(
                Param { name: concat!($prefix, "RoleName"), summary: "Another spelling of `roleName`." },
                Param { name: concat!($prefix, "Address"), summary: "The server; the store's own without it." },
                Param { name: concat!($prefix, "Namespace"), summary: "The server's namespace for login and reads." },
                Param { name: concat!($prefix, "AuthMountPath"), summary: "The auth mount, a kubernetes or jwt one." },
                Param { name: concat!($prefix, "KubernetesMountPath"), summary: "The same, by its old name." },
                Param { name: concat!($prefix, "SkipTLSVerify"), summary: "`true` only where policy lists the server." },
                Param { name: concat!($prefix, "CACert"), summary: "The authorities of the server's certificate, in PEM." },
                Param { name: concat!($prefix, "CACertPath"), summary: "A file of the agent's; only where policy lists it." },
                Param { name: concat!($prefix, "CADirectory"), summary: "A folder of the agent's; only where policy lists it." },
                Param { name: concat!($prefix, "TLSServerName"), summary: "The name that the server's certificate has." },
                Param { name: concat!($prefix, "TLSClientCertPath"), summary: "A file of the agent's; only where policy lists it." },
                Param { name: concat!($prefix, "TLSClientKeyPath"), summary: "A file of the agent's; only where policy lists it." },
            )+
        ]
    };
}

const VAULT: &[Param] = params!("vault");
const OPENBAO: &[Param] = params!("bao", "openbao", "vault");

impl Dialect for Vault {
    fn provider(&self) -> &'static str {
        self.flavour.name()
    }

    fn params(&self) -> &'static [Param] {
        match self.flavour {
            Flavour::Vault => VAULT,
            Flavour::OpenBao => OPENBAO,
        }
    }

    fn parse(&self, attributes: &Attributes, facts: Facts<'_>, catalog: &Catalog) -> Result<Plan, Problems> {
        let mut problems = Vec::new();
        let words = Words::new(self.flavour, attributes);
        let access = parameters::access(words, catalog, &mut problems);
        let objects = objects::read(attributes.get(OBJECTS).unwrap_or_default(), facts, &mut problems);
        let files = files(&objects);
        let Some(access) = access.filter(|_| problems.is_empty()) else {
            if !files.is_empty() {
                problems.extend(Plan::review(objects.len(), &files, OBJECTS));
            }
            return Err(Problems::gather(problems).unwrap_or_else(|| nothing().into()));
        };
        let (access, said) = (Arc::new(Access::Vault(access)), Arc::new(words.said()));
        let sources = objects.into_iter().map(|object| Source {
            name: object.name,
            access: Arc::clone(&access),
            locator: Locator::Vault(object.locator),
            want: Want::default(),
            said: Arc::clone(&said),
        });
        Plan::new(sources.collect(), files, OBJECTS)
    }
}

fn files(objects: &[Object]) -> Vec<FileSpec> {
    let file = |(source, object): (usize, &Object)| {
        Some(FileSpec {
            // It was checked when the object was read.
            path: PathRule::One(RelPath::parse_raw(&object.name).ok()?),
            mode: object.mode,
            body: Body::Cut { source, cut: object.cut.clone() },
            version: VersionRule::Asked(object.asked.clone()),
            at: Some(object.at),
        })
    };
    objects.iter().enumerate().filter_map(file).collect()
}

fn nothing() -> Problem {
    let problem = Problem::new(Reason::Invalid, "the class asks for no objects").parameter(OBJECTS);
    problem.remedy("name at least one, as in `- { objectName: password, secretPath: secret/data/db, secretKey: password }`")
}
