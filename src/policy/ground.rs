//! What can stand against a plan whoever asks: where it leads, what it believes there, which files and tokens it takes
//! along. Each with its words and the line that would allow it.

use std::fmt::Write as _;
use std::path::Path;

use super::audience::{self, Refusal};
use super::rule::quoted;
use super::{Policy, Site};
use crate::error::{Problem, Reason};
use crate::model::endpoint::{Address, Endpoint, Origin, is_guarded};
use crate::model::{Access, Audience, Catalog, Source, StoreName};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ground<'a> {
    /// A class leads where nobody allowed it to.
    Endpoint(&'a Address),
    /// Any certificate would be believed.
    SkipVerify(&'a Address),
    /// A file of the agent's own would be read.
    File(&'a Path),
    /// A token would go where it does not belong.
    Audience(&'a StoreName, &'a Audience, Refusal<'a>),
    /// The node would ask in place of the pod.
    Node(&'a StoreName),
}

/// Tells everything that stands against an access.
pub(super) fn look<'a>(
    access: &'a Access,
    policy: &Policy,
    catalog: &'a Catalog,
    mut found: impl FnMut(Ground<'a>),
) {
    for endpoint in access.endpoints() {
        let listed = |sites: &[Site]| sites.iter().any(|site| site.matches(&endpoint.address));
        if endpoint.origin == Origin::Tenant && !listed(&policy.endpoints) {
            found(Ground::Endpoint(&endpoint.address));
        }
        if is_configured(endpoint, catalog) {
            continue;
        }
        if endpoint.tls.skip_verify && !listed(&policy.skip_verify) {
            found(Ground::SkipVerify(&endpoint.address));
        }
        if let Some(ca) = endpoint.tls.ca.as_deref()
            && !is_configured_file(ca, access, catalog)
            && !policy.files.iter().any(|listed| listed.as_os_str() == ca.as_os_str())
        {
            found(Ground::File(ca));
        }
    }
    if let (Some(audience), Some(why)) = (access.audience(), audience::refuse(access, catalog)) {
        found(Ground::Audience(access.store(), audience, why));
    }
    if access.is_node() && !policy.node_identity.contains(access.store()) {
        found(Ground::Node(access.store()));
    }
}

/// Whether the administrator configured this very endpoint, TLS settings included.
fn is_configured(endpoint: &Endpoint, catalog: &Catalog) -> bool {
    endpoint.origin == Origin::Administrator
        && catalog.entries().any(|entry| entry.defaults.endpoint() == Some(endpoint))
}

/// Whether the administrator gave this file to the store, so that the class did not name it.
fn is_configured_file(file: &Path, access: &Access, catalog: &Catalog) -> bool {
    let defaults = catalog.entry(access.store().as_str()).ok().map(|entry| &entry.defaults);
    defaults.is_some_and(|defaults| {
        let own = defaults.tls().and_then(|tls| tls.ca.as_deref());
        let there = defaults.endpoint().and_then(|endpoint| endpoint.tls.ca.as_deref());
        own == Some(file) || there == Some(file)
    })
}

impl Ground<'_> {
    /// The line of `policy.endpoints.allow` that would be enough.
    pub(super) fn endpoint(&self) -> Option<String> {
        if let Self::Endpoint(address) = self { Site::line(address) } else { None }
    }

    /// It, as the mount's refusal.
    pub(super) fn problem(&self, sources: &[&Source]) -> Problem {
        let (what, remedy) = match self {
            Self::Endpoint(address) => endpoint(address),
            Self::SkipVerify(address) => (
                format!("believing any certificate of `{}` is not permitted", address.site()),
                add("policy.skipVerify", Site::line(address).as_deref()),
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
        Problem::new(Reason::Policy, what).object(objects(sources)).remedy(remedy)
    }
}

fn endpoint(address: &Address) -> (String, String) {
    let site = address.site();
    match address {
        Address::Unix(_) => (
            format!("the socket `{site}` is the administrator's to name, and a class may not"),
            "name a store of the configuration that has this address".to_owned(),
        ),
        Address::Web { .. } if address.literal().is_some_and(is_guarded) => (
            format!("the address `{site}` is the node's own or its surroundings', and is not permitted"),
            add("policy.endpoints.allow", Site::line(address).as_deref()),
        ),
        Address::Web { .. } => (
            format!("the address `{site}` is not permitted"),
            add("policy.endpoints.allow", Site::line(address).as_deref()),
        ),
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
