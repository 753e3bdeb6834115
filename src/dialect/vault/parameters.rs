//! Everything but the objects: which server, and as whom. What the class leaves open is the store's.

use super::{AUDIENCE, Flavour};
use crate::error::{Problem, Reason};
use crate::model::endpoint::{Ca, Client};
use crate::model::locator::{request, vault};
use crate::model::{
    Address, Attributes, Audience, Catalog, Defaults, Endpoint, Origin, Said, StoreName, Tls, go,
};

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

/// The parameters that name files of the agent's own.
const FILES: [&str; 4] = ["CACertPath", "CADirectory", "TLSClientCertPath", "TLSClientKeyPath"];

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
            files: FILES
                .iter()
                .filter_map(|suffix| self.written(suffix))
                .map(|word| (word.text.into(), word.name))
                .collect(),
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
    let (role, mount, namespace) = (reader.role(), reader.mount(), reader.namespace());
    let (endpoint, skip, ca, client) =
        (reader.endpoint(catalog), reader.skip_verify(), reader.authorities(), reader.client());
    let endpoint = endpoint.and_then(|endpoint| {
        let name = reader.server_name(&endpoint.address)?;
        let Endpoint { address, origin, tls } = endpoint;
        let tls = Tls {
            ca: ca?.or(tls.ca),
            name: name.or(tls.name),
            client: client?.or(tls.client),
            skip_verify: tls.skip_verify || skip?,
        };
        Some(Endpoint { address, origin, tls })
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

    /// Whom the server's certificate is checked by. The first that says something counts, as it does upstream.
    fn authorities(&mut self) -> Option<Option<Ca>> {
        if let Some(file) = self.words.written("CACertPath") {
            return Some(Some(file.text.into()));
        }
        match self.words.written("CACert") {
            None => Some(self.words.written("CADirectory").map(|folder| folder.text.into())),
            Some(word) => Ca::pem(word.text).map(Some).or_else(|| {
                let what = "is no PEM of authorities";
                self.problem(refuse(Reason::Invalid, word.name, what, Ca::RULE))
            }),
        }
    }

    /// What we show for ourselves: files, of which policy judges each.
    fn client(&mut self) -> Option<Option<Box<Client>>> {
        let (certificate, key) =
            (self.words.written("TLSClientCertPath"), self.words.written("TLSClientKeyPath"));
        match (certificate, key) {
            (None, None) => Some(None),
            (Some(certificate), Some(key)) => {
                Some(Some(Box::new(Client { certificate: certificate.text.into(), key: key.text.into() })))
            }
            (Some(alone), None) | (None, Some(alone)) => {
                let what = "names a file of the agent's own, without the other half of certificate and key";
                let remedy =
                    format!("remove it; the administrator may set both for the store `{}`", self.store);
                self.problem(refuse(Reason::Policy, alone.name, what, remedy))
            }
        }
    }

    /// The name that the certificate must have. One that changes nothing is let be: the address's own, or where no
    /// certificate is asked for.
    fn server_name(&mut self, address: &Address) -> Option<Option<Box<str>>> {
        let Some(word) = self.words.written("TLSServerName") else { return Some(None) };
        match address {
            Address::Web { secure: true, host, .. } if !word.text.eq_ignore_ascii_case(&host.to_string()) => {
                Tls::name(word.text).map(Some).or_else(|| {
                    self.problem(refuse(
                        Reason::Invalid,
                        word.name,
                        "is no name that TLS can ask for",
                        Tls::NAME_RULE,
                    ))
                })
            }
            Address::Web { .. } | Address::Unix(_) => Some(None),
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
        // Elsewhere nobody is shown who we are at the administrator's server, nor is that one's name asked for.
        Some(own.or_else(|| catalog.endpoint(&address)).cloned().unwrap_or_else(|| Endpoint {
            address,
            origin: Origin::Tenant,
            tls: Tls { client: None, name: None, ..self.defaults.tls.clone() },
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
