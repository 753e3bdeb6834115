//! Everything but the objects: which server, and as whom. What the class leaves open is the store's.

use std::path::PathBuf;

use super::{AUDIENCE, Flavour};
use crate::error::{Problem, Reason};
use crate::model::locator::{request, vault};
use crate::model::{Address, Attributes, Audience, Catalog, Defaults, Endpoint, Origin, Said, StoreName, go};

/// The prefixes of parameters; the first that is there counts, whatever stands behind it.
const fn prefixes(flavour: Flavour) -> &'static [&'static str] {
    match flavour {
        Flavour::Vault => &["vault"],
        Flavour::OpenBao => &["bao", "openbao", "vault"],
    }
}

/// The parameters that name the role; the first that is there counts.
const fn roles(flavour: Flavour) -> &'static [&'static str] {
    match flavour {
        Flavour::Vault => &["roleName", "vaultRoleName"],
        Flavour::OpenBao => &["baoRoleName", "openbaoRoleName", "vaultRoleName", "roleName"],
    }
}

/// The parameters of a class, by what stands behind their prefix.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    flavour: Flavour,
    attributes: &'a Attributes,
}

/// A parameter that is there.
struct Word<'a> {
    name: String,
    text: &'a str,
}

impl<'a> Words<'a> {
    pub(super) fn new(flavour: Flavour, attributes: &'a Attributes) -> Self {
        Self { flavour, attributes }
    }

    fn get(&self, suffix: &str) -> Option<Word<'a>> {
        self.first(prefixes(self.flavour).iter().map(|prefix| format!("{prefix}{suffix}")))
    }

    fn role(&self) -> Option<Word<'a>> {
        self.first(roles(self.flavour).iter().map(|name| (*name).to_owned()))
    }

    fn first(&self, names: impl Iterator<Item = String>) -> Option<Word<'a>> {
        let mut found = names.filter_map(|name| Some(Word { text: self.attributes.get(&name)?, name }));
        found.next()
    }

    /// One that says something: an empty one is left to the store, as upstream does.
    fn written(&self, suffix: &str) -> Option<Word<'a>> {
        self.get(suffix).filter(|word| !word.text.is_empty())
    }

    /// Where the class says what policy may refuse.
    pub(super) fn said(&self) -> Said {
        let name = |suffix| self.written(suffix).map(|word| word.name);
        Said {
            address: name("Address"),
            skip_verify: name("SkipTLSVerify"),
            ca: name("CACertPath"),
            audience: self.audience().map(|_| AUDIENCE.to_owned()),
        }
    }

    fn audience(&self) -> Option<&'a str> {
        self.attributes.get(AUDIENCE).filter(|text| !text.is_empty())
    }

    /// How errors spell a parameter that is not there.
    fn usual(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.flavour.name())
    }
}

fn refuse(
    reason: Reason,
    parameter: impl Into<String>,
    what: impl AsRef<str>,
    remedy: impl Into<String>,
) -> Problem {
    Problem::new(reason, what).parameter(parameter.into()).remedy(remedy.into())
}

/// Whom the objects are read from; `None` where that could not be made out, which is told in `problems`.
pub(super) fn access(
    words: Words<'_>,
    catalog: &Catalog,
    problems: &mut Vec<Problem>,
) -> Option<vault::Access> {
    let mut keep = |outcome: Result<_, Problem>| outcome.map_err(|problem| problems.push(problem)).ok();
    let (store, defaults) = keep(store(words.flavour, catalog))?;
    let mut reader = Reader { words, store, defaults, problems };
    reader.foreign();
    let (role, mount, namespace) = (reader.role(), reader.mount(), reader.namespace());
    let (endpoint, skip) = (reader.endpoint(catalog), reader.skip_verify());
    let endpoint = endpoint.zip(skip).and_then(|(mut endpoint, skip)| {
        reader.server_name(&endpoint.address)?;
        endpoint.tls.skip_verify |= skip;
        if let Some(ca) = words.written("CACertPath") {
            endpoint.tls.ca = Some(PathBuf::from(ca.text));
        }
        Some(endpoint)
    });
    Some(vault::Access {
        store: store.clone(),
        endpoint: endpoint?,
        namespace: namespace?,
        mount: mount?,
        role: role?,
        audience: audience(words, defaults),
        flavour: words.flavour,
    })
}

fn store(flavour: Flavour, catalog: &Catalog) -> Result<(&StoreName, &vault::Defaults), Problem> {
    let entry = catalog.entry(flavour.name())?;
    match &entry.defaults {
        Defaults::Vault(defaults) => Ok((&entry.store, defaults)),
        Defaults::Local(_) => {
            let what = format!("the store `{}` is not a Vault or OpenBao server", entry.store);
            let remedy = "give it another name, since classes of this provider use the one of theirs";
            Err(Problem::new(Reason::Setup, what).parameter(format!("stores.{}", entry.store)).remedy(remedy))
        }
    }
}

fn audience(words: Words<'_>, defaults: &vault::Defaults) -> Audience {
    match words.audience() {
        Some(text) => Audience::new(text),
        None => defaults.usual_audience(),
    }
}

struct Reader<'a> {
    words: Words<'a>,
    store: &'a StoreName,
    defaults: &'a vault::Defaults,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn problem<T>(&mut self, problem: Problem) -> Option<T> {
        self.problems.push(problem);
        None
    }

    /// What only the administrator may say. An empty text says nothing.
    fn foreign(&mut self) {
        for suffix in ["CADirectory", "TLSClientCertPath", "TLSClientKeyPath"] {
            if let Some(word) = self.words.written(suffix) {
                self.administrators(word);
            }
        }
    }

    fn administrators(&mut self, word: Word<'_>) {
        let what =
            "the agent's own files and TLS settings are the administrator's, and a class cannot name them";
        let remedy = format!("remove it; the administrator may set `stores.{}.ca`", self.store);
        self.problems.push(refuse(Reason::Policy, word.name, what, remedy));
    }

    /// A name that changes nothing is let be: that of the address itself, or where no certificate is asked for.
    fn server_name(&mut self, address: &Address) -> Option<()> {
        let Some(word) = self.words.written("TLSServerName") else { return Some(()) };
        match address {
            Address::Web { secure: true, host, .. } if !word.text.eq_ignore_ascii_case(&host.to_string()) => {
                self.administrators(word);
                None
            }
            Address::Web { .. } | Address::Unix(_) => Some(()),
        }
    }

    fn role(&mut self) -> Option<Box<str>> {
        match self.words.role().filter(|word| !word.text.is_empty()) {
            Some(word) => Some(word.text.into()),
            None => self.defaults.role.clone().or_else(|| {
                let store = self.store;
                let remedy = format!(
                    "set it to a role that the server binds to the pod's service account, or let the administrator set \
                     `stores.{store}.role`"
                );
                self.problem(refuse(Reason::Invalid, "roleName", "the class names no role to log in with", remedy))
            }),
        }
    }

    fn mount(&mut self) -> Option<Box<str>> {
        let (old, new) = (self.words.get("KubernetesMountPath"), self.words.get("AuthMountPath"));
        if let (Some(old), Some(new)) = (&old, &new) {
            let what = format!("is set beside `{}`, and both name the auth mount", new.name);
            let usual = |suffix| self.words.usual(suffix);
            let (usual_old, usual_new) = (usual("KubernetesMountPath"), usual("AuthMountPath"));
            let remedy =
                format!("keep one of the two, `{usual_old}` or better `{usual_new}`, in whichever spelling");
            return self.problem(refuse(Reason::Invalid, old.name.clone(), what, remedy));
        }
        match old.or(new).filter(|word| !word.text.is_empty()) {
            None => Some(self.defaults.usual_mount()),
            Some(word) => match request::mount(word.text) {
                Ok(mount) => Some(mount),
                Err(rule) => {
                    let remedy = "write the path of an auth mount, like `kubernetes`";
                    self.problem(refuse(Reason::Invalid, word.name, rule, remedy))
                }
            },
        }
    }

    fn namespace(&mut self) -> Option<Box<str>> {
        match self.words.written("Namespace") {
            None => Some(self.defaults.namespace.clone().unwrap_or_default()),
            Some(word) => request::namespace(word.text).or_else(|| {
                let what = "has a control character, which no header can hold";
                self.problem(refuse(Reason::Invalid, word.name, what, "write the namespace in one line"))
            }),
        }
    }

    fn skip_verify(&mut self) -> Option<bool> {
        let Some(word) = self.words.get("SkipTLSVerify") else { return Some(false) };
        go::parse_bool(word.text).or_else(|| {
            self.problem(refuse(
                Reason::Invalid,
                word.name,
                "is no boolean",
                "write `true` or `false`, or leave it out",
            ))
        })
    }

    fn endpoint(&mut self, catalog: &Catalog) -> Option<Endpoint> {
        let Some(word) = self.words.written("Address") else {
            return self.defaults.endpoint.clone().or_else(|| {
                let (store, variables) = (self.store, variables(self.words.flavour));
                let parameter = self.words.usual("Address");
                let what = "neither the class nor the agent says where the server is";
                let remedy = format!(
                    "the administrator sets `stores.{store}.address` or {variables}, or the class sets `{parameter}`"
                );
                self.problem(refuse(Reason::Setup, parameter, what, remedy))
            });
        };
        // Before anything is dropped from the text: a person would take it for another place than it is.
        let Some(address) = Address::parse(word.text).filter(|_| is_clean(word.text)) else {
            let what = "is no address that could be permitted";
            return self.problem(refuse(
                Reason::Policy,
                word.name,
                what,
                format!("write {}", Address::TENANT_RULE),
            ));
        };
        // Another store may have the same address and check its certificate otherwise.
        let own = self.defaults.endpoint.as_ref().filter(|own| own.address == address);
        Some(own.or_else(|| catalog.endpoint(&address)).cloned().unwrap_or_else(|| Endpoint {
            address,
            origin: Origin::Tenant,
            tls: self.defaults.tls.clone(),
        }))
    }
}

const fn variables(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Vault => "`VAULT_ADDR`",
        Flavour::OpenBao => "`BAO_ADDR`",
    }
}

/// Whether an address is all that the text says: without user information, white space and control characters.
fn is_clean(text: &str) -> bool {
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or(authority);
    !authority.contains(['@', '\\']) && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}
