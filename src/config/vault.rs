//! Stores of the kinds `vault` and `openbao`. One of each is always there, under the name of its kind, where it may also
//! be filled from the variables that the upstream providers honour.

use std::path::PathBuf;
use std::time::Duration;

use super::tree::{Findings, Section};
use crate::model::locator::request;
use crate::model::locator::vault::{Access, Defaults, Flavour};
use crate::model::{self, Address, Audience, Endpoint, Entry, Origin, StoreName, Tls};

/// The keys of a store of these kinds.
pub(super) const KEYS: &[&str] =
    &["kind", "address", "ca", "authMount", "namespace", "role", "audience", "audiences", "fresh"];

/// Would give one identity to every pod, so it is not honoured.
pub(super) const TOKENS: [&str; 2] = ["VAULT_TOKEN", "BAO_TOKEN"];

/// The kinds of store.
pub(super) fn flavour(kind: &str) -> Option<Flavour> {
    [Flavour::Vault, Flavour::OpenBao].into_iter().find(|flavour| flavour.name() == kind)
}

/// What a value is called in the environment, the first that is set counts.
struct Variables {
    address: &'static [&'static str],
    namespace: &'static [&'static str],
    ca: &'static [&'static str],
}

const fn variables(flavour: Flavour) -> Variables {
    match flavour {
        Flavour::Vault => {
            Variables { address: &["VAULT_ADDR"], namespace: &["VAULT_NAMESPACE"], ca: &["VAULT_CACERT"] }
        }
        Flavour::OpenBao => Variables {
            address: &["BAO_ADDR", "VAULT_ADDR"],
            namespace: &["BAO_NAMESPACE", "VAULT_NAMESPACE"],
            ca: &["BAO_CACERT", "VAULT_CACERT"],
        },
    }
}

/// Reads a store.
pub(super) struct Reader<'a> {
    pub(super) flavour: Flavour,
    /// Looks variables up.
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    pub(super) findings: &'a mut Findings,
}

impl Reader<'_> {
    /// The store under a name; `section` is what the file says of it, if anything.
    pub(super) fn store(&mut self, name: StoreName, section: Option<&Section<'_>>) -> Entry {
        let named = name.as_str() == self.flavour.name();
        let variables = variables(self.flavour);
        let environment = |names: &'static [&'static str]| {
            names.iter().filter(|_| named).find_map(|name| Some((*name, (self.environment)(name)?)))
        };
        let (address, namespace, ca) =
            (environment(variables.address), environment(variables.namespace), environment(variables.ca));
        let ca = self.text(section, "ca").map(PathBuf::from).or_else(|| Some(PathBuf::from(ca?.1)));
        let tls = Tls { ca, skip_verify: false };
        let address = self.address(section, address);
        let defaults = Defaults {
            flavour: self.flavour,
            endpoint: address.map(|address| Endpoint {
                address,
                origin: Origin::Administrator,
                tls: tls.clone(),
            }),
            tls,
            namespace: self.namespace(section, namespace),
            mount: self.mount(section),
            role: self.role(section),
            audience: self.text(section, "audience").map(|text| Audience::new(&text)),
            audiences: self.audiences(section),
        };
        let fresh = section.and_then(|section| section.span("fresh", FRESH_MAX, self.findings));
        Entry { store: name, defaults: model::Defaults::Vault(defaults), fresh }
    }

    fn text(&mut self, section: Option<&Section<'_>>, key: &str) -> Option<String> {
        section?.text(key, self.findings).map(str::to_owned)
    }

    /// What the file says, else what a variable says, with where it stands.
    fn either(
        &mut self,
        section: Option<&Section<'_>>,
        key: &str,
        variable: Option<(&'static str, String)>,
    ) -> Option<(String, String)> {
        let written = section.zip(self.text(section, key));
        let written = written.map(|(section, text)| (format!("{}.{key}", section.path()), text));
        written.or_else(|| variable.map(|(name, text)| (name.to_owned(), text)))
    }

    fn wrong<T>(&mut self, section: Option<&Section<'_>>, path: &str, what: &str, remedy: &str) -> Option<T> {
        let key = path.rsplit('.').next().unwrap_or(path);
        let node =
            section.filter(|section| path.starts_with(section.path())).and_then(|section| section.value(key));
        self.findings.add(path, node, what, remedy.to_owned());
        None
    }

    fn address(
        &mut self,
        section: Option<&Section<'_>>,
        variable: Option<(&'static str, String)>,
    ) -> Option<Address> {
        let (path, text) = self.either(section, "address", variable)?;
        Address::parse(text.trim())
            .or_else(|| self.wrong(section, &path, "is not an address", &format!("write {}", Address::RULE)))
    }

    fn namespace(
        &mut self,
        section: Option<&Section<'_>>,
        variable: Option<(&'static str, String)>,
    ) -> Option<Box<str>> {
        let (path, text) = self.either(section, "namespace", variable)?;
        request::namespace(&text)
            .or_else(|| self.wrong(section, &path, "has a control character", "write it in one line"))
    }

    fn mount(&mut self, section: Option<&Section<'_>>) -> Option<Box<str>> {
        let (path, text) = self.either(section, "authMount", None)?;
        request::mount(&text)
            .map_or_else(|rule| self.wrong(section, &path, rule, "write a path like `kubernetes`"), Some)
    }

    fn role(&mut self, section: Option<&Section<'_>>) -> Option<Box<str>> {
        let (path, text) = self.either(section, "role", None)?;
        let fixed = text.replace(Access::NAMESPACE, "").replace(Access::ACCOUNT, "");
        if fixed.contains(['{', '}']) {
            let remedy =
                format!("only `{}` and `{}` stand for something", Access::NAMESPACE, Access::ACCOUNT);
            return self.wrong(section, &path, "has a brace that stands for nothing", &remedy);
        }
        Some(text.into())
    }

    fn audiences(&mut self, section: Option<&Section<'_>>) -> Vec<Audience> {
        let rule = "write it like `[vault, team-vault]`";
        let audience = |text: &str| (!text.is_empty()).then(|| Audience::new(text));
        section.map_or_else(Vec::new, |section| {
            section.items("audiences", "is not an audience", rule, self.findings, audience)
        })
    }
}

/// As long as anything may be.
const FRESH_MAX: Duration = Duration::from_secs(3600);
