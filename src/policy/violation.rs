//! What can stand against a plan whoever asks: where it leads, what it believes there, which files and tokens it takes
//! along. Each with its words and the line that would allow it.

use std::fmt::Write as _;
use std::path::Path;

use super::audience::{self, Refusal};
use super::rule::quoted;
use super::{Policy, Site};
use crate::error::{Problem, Reason};
use crate::model::endpoint::{Address, Endpoint, Origin, is_guarded};
use crate::model::{Access, Audience, Catalog, Said, Source, StoreName};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Violation<'a> {
    /// A class leads where nobody allowed it to.
    Endpoint(Shut),
    /// A class leads to a socket of the node.
    Socket(&'a Path),
    /// Any certificate would be believed.
    SkipVerify(Shut),
    /// A file of the agent's own would be read.
    File(&'a Path),
    /// A token would go where it does not belong.
    Audience(&'a StoreName, &'a Audience, Refusal<'a>),
    /// The node would ask in place of the pod.
    Node(&'a StoreName),
}

/// An endpoint without its path, and the line that would allow it, where there is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shut {
    site: String,
    line: Option<String>,
    /// Whether it is a literal address of the node's own or its surroundings'.
    guarded: bool,
}

impl Shut {
    fn new(address: &Address) -> Self {
        let guarded = address.literal().is_some_and(is_guarded);
        Self { site: address.site(), line: Site::line(address), guarded }
    }
}

/// Tells everything that stands against an access.
pub(super) fn look<'a>(
    access: &'a Access,
    policy: &Policy,
    catalog: &'a Catalog,
    mut found: impl FnMut(Violation<'a>),
) {
    for endpoint in access.endpoints() {
        let listed = |sites: &[Site]| sites.iter().any(|site| site.matches(&endpoint.address));
        if endpoint.origin == Origin::Tenant && !listed(&policy.endpoints) {
            found(match &endpoint.address {
                Address::Web { .. } => Violation::Endpoint(Shut::new(&endpoint.address)),
                Address::Unix(path) => Violation::Socket(path),
            });
        }
        // Whoever says so: what reads every token on the way is worth saying twice.
        if endpoint.tls.skip_verify && !listed(&policy.skip_verify) {
            found(Violation::SkipVerify(Shut::new(&endpoint.address)));
        }
        if is_configured(endpoint, catalog) {
            continue;
        }
        for file in endpoint.tls.files() {
            if !is_configured_file(file, endpoint, access, catalog)
                && !policy.files.iter().any(|listed| listed.as_os_str() == file.as_os_str())
            {
                found(Violation::File(file));
            }
        }
    }
    if let (Some(audience), Some(why)) = (access.audience(), audience::refuse(access, catalog)) {
        found(Violation::Audience(access.store(), audience, why));
    }
    if access.is_node() && !policy.node_identity.contains(access.store()) {
        found(Violation::Node(access.store()));
    }
}

/// Whether the administrator configured this very endpoint, TLS settings included.
fn is_configured(endpoint: &Endpoint, catalog: &Catalog) -> bool {
    endpoint.origin == Origin::Administrator
        && catalog.entries().any(|entry| entry.defaults.endpoint() == Some(endpoint))
}

/// Whether the administrator gave this file to the store, so that the class did not name it. Authorities are the store's
/// wherever a class leads; a certificate and its key are shown at the store's own address alone, whoever writes their paths.
fn is_configured_file(file: &Path, endpoint: &Endpoint, access: &Access, catalog: &Catalog) -> bool {
    let Ok(entry) = catalog.entry(access.store().as_str()) else { return false };
    let (own, settings) = (entry.defaults.endpoint(), entry.defaults.tls());
    let at_home = own.is_some_and(|own| own.address == endpoint.address);
    let is = |own: &Path| own.as_os_str() == file.as_os_str();
    own.map(|own| &own.tls)
        .into_iter()
        .chain(settings)
        .any(|tls| if at_home { tls.files().any(is) } else { tls.authorities().is_some_and(is) })
}

impl Violation<'_> {
    /// The line of `policy.endpoints.allow` that would be enough.
    pub(super) fn endpoint(&self) -> Option<String> {
        if let Self::Endpoint(shut) = self { shut.line.clone() } else { None }
    }

    /// It, as the mount's refusal.
    pub(super) fn problem(&self, sources: &[&Source]) -> Problem {
        let (what, remedy) = match self {
            Self::Endpoint(Shut { site, line, guarded }) => {
                let own = if *guarded { "is the node's own or its surroundings', and " } else { "" };
                (
                    format!("the address `{site}` {own}is not permitted"),
                    add("policy.endpoints.allow", line.as_deref()),
                )
            }
            Self::Socket(path) => (
                format!(
                    "the socket `unix://{}` is the administrator's to name, and a class may not",
                    path.display()
                ),
                "name a store of the configuration that has this address".to_owned(),
            ),
            Self::SkipVerify(Shut { site, line, .. }) => (
                format!("believing any certificate of `{site}` is not permitted"),
                add("policy.skipVerify", line.as_deref()),
            ),
            Self::File(path) => (
                format!("the file `{}` is the agent's, and a class may not name it", path.display()),
                add("policy.files.allow", path.to_str().filter(|text| Policy::file(text).is_some())),
            ),
            Self::Audience(store, audience, why) => token(store, audience, *why),
            Self::Node(store) => (
                format!("the store `{store}` may not be reached as the node"),
                add("policy.nodeIdentity", Some(store.as_str())),
            ),
        };
        let problem = Problem::new(Reason::Policy, what).object(objects(sources)).remedy(remedy);
        match sources.iter().find_map(|source| self.said(&source.said)) {
            Some(parameter) => problem.parameter(parameter.clone()),
            None => problem,
        }
    }

    /// The parameter in which a class says it, as the class spells it.
    fn said<'s>(&self, said: &'s Said) -> Option<&'s String> {
        let named = |file: &Path| said.files.iter().find(|(said, _)| said.as_os_str() == file.as_os_str());
        match self {
            Self::Endpoint(_) | Self::Socket(_) => said.address.as_ref(),
            Self::SkipVerify(_) => said.skip_verify.as_ref(),
            Self::File(file) => named(file).map(|(_, parameter)| parameter),
            Self::Audience(..) => said.audience.as_ref(),
            Self::Node(_) => None,
        }
    }
}

fn token(store: &StoreName, audience: &Audience, why: Refusal<'_>) -> (String, String) {
    let elsewhere = "name the audience that the store itself expects, or none".to_owned();
    match why {
        Refusal::ApiServer => (
            "the empty audience is the API server's own, and its token is sent nowhere".to_owned(),
            elsewhere,
        ),
        Refusal::Cloud(owner) => {
            let owner = owner.label();
            (
                format!("a token of audience `{audience}` belongs to {owner} and is sent nowhere else"),
                elsewhere,
            )
        }
        Refusal::Store(other) => (
            format!(
                "a token of audience `{audience}` belongs to the store `{other}` and is sent nowhere else"
            ),
            elsewhere,
        ),
        Refusal::Unlisted => (
            format!("the store `{store}` takes no token of audience `{audience}`"),
            add(&format!("stores.{store}.audiences"), Some(audience.as_str())),
        ),
    }
}

fn add(key: &str, line: Option<&str>) -> String {
    match line {
        Some(line) => format!("the administrator may add to `{key}`: - {}", quoted(line)),
        None => "name another".to_owned(),
    }
}

/// The objects that it is for, as many as leave the text readable.
fn objects(sources: &[&Source]) -> String {
    let mut text = String::new();
    for (index, source) in sources.iter().enumerate() {
        let label = source.label();
        if index > 0 && text.len() + label.len() > OBJECTS_BYTES {
            let _ = write!(text, " and {} more", sources.len() - index);
            break;
        }
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(&label);
    }
    text
}

/// The line to add stands behind the objects, and must be on the page.
const OBJECTS_BYTES: usize = 512;
