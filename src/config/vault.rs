//! Stores of the kinds `vault` and `openbao`. One of each is always there, under the name of its kind, where it may also
//! be filled from the variables that the upstream providers honour.

use std::time::Duration;

use super::tree::{Findings, Section};
use crate::model::endpoint::{Ca, Client};
use crate::model::locator::request;
use crate::model::locator::vault::{Access, Defaults, Flavour};
use crate::model::{self, Address, Audience, Endpoint, Entry, Origin, StoreName, Tls, go};

/// The keys of a store of these kinds.
pub(super) const KEYS: &[&str] = &[
    "kind",
    "address",
    "ca",
    "serverName",
    "clientCertificate",
    "clientKey",
    "skipVerify",
    "authMount",
    "namespace",
    "role",
    "audience",
    "audiences",
    "fresh",
];

/// Variables of the upstream providers' client that are not honoured, and why.
pub(super) fn ignored(environment: &dyn Fn(&str) -> Option<String>) -> Vec<(String, &'static str)> {
    let all = IGNORED
        .iter()
        .flat_map(|(name, why)| ["VAULT", "BAO"].map(|prefix| (format!("{prefix}_{name}"), *why)));
    all.filter(|(name, _)| environment(name).is_some()).collect()
}

const IGNORED: [(&str, &str); 9] = [
    ("TOKEN", "it would lend one identity to every pod"),
    ("WRAP_TTL", "what is wrapped for someone else to fetch cannot be delivered"),
    ("HEADERS", "it would be sent for every pod"),
    ("SRV_LOOKUP", "name the server itself"),
    ("HTTP_PROXY", "set HTTPS_PROXY and HTTP_PROXY"),
    ("PROXY_ADDR", "set HTTPS_PROXY and HTTP_PROXY"),
    ("CLIENT_TIMEOUT", "see `limits.attempt`"),
    ("MAX_RETRIES", "see `limits.readAttempts` and `limits.loginAttempts`"),
    ("RATE_LIMIT", "see `limits.callsPerSecond` and `limits.callsBurst`"),
];

/// The kinds of store.
pub(super) fn flavour(kind: &str) -> Option<Flavour> {
    [Flavour::Vault, Flavour::OpenBao].into_iter().find(|flavour| flavour.name() == kind)
}

/// The prefixes of variables; the first that is set counts.
const fn prefixes(flavour: Flavour) -> &'static [&'static str] {
    match flavour {
        Flavour::Vault => &["VAULT"],
        Flavour::OpenBao => &["BAO", "VAULT"],
    }
}

/// A variable that is set: its name, and what it says.
type Variable = Option<(String, String)>;

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
        let (flavour, environment) = (self.flavour, self.environment);
        let variable = |suffix: &str| {
            let names = prefixes(flavour).iter().filter(|_| named).map(|prefix| format!("{prefix}_{suffix}"));
            names.into_iter().find_map(|name| environment(&name).map(|text| (name, text)))
        };
        let tls = self.tls(section, &variable);
        // An agent beside us is asked in place of the server, as upstream does.
        let address = self.address(section, variable("AGENT_ADDR").or_else(|| variable("ADDR")));
        let namespace = variable("NAMESPACE");
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

    /// Each setting is the file's, else the environment's; certificate and key are one.
    fn tls(&mut self, section: Option<&Section<'_>>, variable: &dyn Fn(&str) -> Variable) -> Tls {
        Tls {
            ca: self.authorities(section, variable),
            name: self.either(section, "serverName", variable("TLS_SERVER_NAME")).and_then(|(path, text)| {
                Tls::name(&text)
                    .or_else(|| self.wrong(section, &path, "is no name that TLS can ask for", Tls::NAME_RULE))
            }),
            client: self.client(section, variable),
            skip_verify: self.skip_verify(section, variable("SKIP_VERIFY")),
        }
    }

    /// A path, or the PEM itself.
    fn authorities(
        &mut self,
        section: Option<&Section<'_>>,
        variable: &dyn Fn(&str) -> Variable,
    ) -> Option<Ca> {
        let spelled = |text: &str| text.trim_start().starts_with("-----BEGIN");
        let (path, text) = match self.either(section, "ca", variable("CACERT")) {
            Some((_, text)) if !spelled(&text) => return Some(text.into()),
            Some(pem) => pem,
            None => match variable("CACERT_BYTES") {
                None => return variable("CAPATH").map(|(_, folder)| folder.into()),
                Some(pem) => pem,
            },
        };
        Ca::pem(&text).or_else(|| self.wrong(section, &path, "is no PEM of authorities", Ca::RULE))
    }

    fn client(
        &mut self,
        section: Option<&Section<'_>>,
        variable: &dyn Fn(&str) -> Variable,
    ) -> Option<Box<Client>> {
        let mut written = |key: &str| {
            section
                .zip(self.text(section, key))
                .map(|(section, text)| (format!("{}.{key}", section.path()), text))
        };
        let (certificate, key) = match (written("clientCertificate"), written("clientKey")) {
            (None, None) => (variable("CLIENT_CERT"), variable("CLIENT_KEY")),
            both => both,
        };
        match (certificate, key) {
            (None, None) => None,
            (Some((_, certificate)), Some((_, key))) => {
                Some(Box::new(Client { certificate: certificate.into(), key: key.into() }))
            }
            (Some((path, _)), None) | (None, Some((path, _))) => {
                let remedy = "set both `clientCertificate` and `clientKey`, or both variables, or neither";
                self.wrong(
                    section,
                    &path,
                    "is a half of certificate and key, and the other is not set",
                    remedy,
                )
            }
        }
    }

    fn skip_verify(&mut self, section: Option<&Section<'_>>, variable: Variable) -> bool {
        if let Some(section) = section
            && section.has("skipVerify")
        {
            return section.bool("skipVerify", self.findings).unwrap_or(false);
        }
        let Some((path, text)) = variable else { return false };
        go::parse_bool(&text)
            .or_else(|| self.wrong(section, &path, "is no boolean", "write `true` or `false`, or remove it"))
            .unwrap_or(false)
    }

    fn text(&mut self, section: Option<&Section<'_>>, key: &str) -> Option<String> {
        section?.text(key, self.findings).map(str::to_owned)
    }

    /// What the file says, else what a variable says, with where it stands.
    fn either(&mut self, section: Option<&Section<'_>>, key: &str, variable: Variable) -> Variable {
        let written = section.zip(self.text(section, key));
        let written = written.map(|(section, text)| (format!("{}.{key}", section.path()), text));
        written.or(variable)
    }

    fn wrong<T>(&mut self, section: Option<&Section<'_>>, path: &str, what: &str, remedy: &str) -> Option<T> {
        let key = path.rsplit('.').next().unwrap_or(path);
        let node =
            section.filter(|section| path.starts_with(section.path())).and_then(|section| section.value(key));
        self.findings.add(path, node, what, remedy.to_owned());
        None
    }

    fn address(&mut self, section: Option<&Section<'_>>, variable: Variable) -> Option<Address> {
        let (path, text) = self.either(section, "address", variable)?;
        Address::parse(text.trim())
            .or_else(|| self.wrong(section, &path, "is not an address", &format!("write {}", Address::RULE)))
    }

    fn namespace(&mut self, section: Option<&Section<'_>>, variable: Variable) -> Option<Box<str>> {
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
