//! Whose token an audience is. A pod's token is good wherever its audience is believed, so it goes to a store of the
//! kind that owns the audience, and to no other, whatever a class says.

use crate::model::catalog::Defaults;
use crate::model::locator::Kind;
use crate::model::{Access, Audience, Catalog, StoreName};

/// Why a token is sent nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal<'a> {
    /// It is the API server's own.
    ApiServer,
    /// It belongs to another kind of store.
    Cloud(Owner),
    /// It belongs to a configured store of another kind.
    Store(&'a StoreName),
    /// The administrator lists the audiences of this store, and not this one.
    Unlisted,
}

/// Who owns the audiences that are known to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Aws,
    Azure,
    Gcp,
    Vault,
}

impl Owner {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Aws => "AWS",
            Self::Azure => "Azure",
            Self::Gcp => "Google Cloud",
            Self::Vault => "Vault and OpenBao",
        }
    }

    /// Letters count alike in both cases: it costs nobody anything, and some issuers compare so.
    fn of(audience: &str) -> Option<Self> {
        let is = |its: &str| audience.eq_ignore_ascii_case(its);
        let begins = |its: &str| audience.get(..its.len()).is_some_and(|head| head.eq_ignore_ascii_case(its));
        let ends = |its: &str| {
            let tail = audience.len().checked_sub(its.len()).and_then(|at| audience.get(at..));
            tail.is_some_and(|tail| tail.eq_ignore_ascii_case(its))
        };
        if is("sts.amazonaws.com") || is("sts.amazonaws.com.cn") || is("pods.eks.amazonaws.com") {
            Some(Self::Aws)
        } else if begins("api://azureadtokenexchange") {
            Some(Self::Azure)
        } else if begins("//iam.googleapis.com/")
            || begins("https://iam.googleapis.com/")
            || ends(".svc.id.goog")
        {
            Some(Self::Gcp)
        } else if is("vault") || is("openbao") {
            Some(Self::Vault)
        } else {
            None
        }
    }

    fn is(self, kind: Kind) -> bool {
        match kind {
            Kind::Local => false,
            Kind::Vault => self == Self::Vault,
        }
    }
}

/// Judges the audience of an access.
pub(super) fn refuse<'a>(access: &Access, catalog: &'a Catalog) -> Option<Refusal<'a>> {
    // The audience of a local store is the configuration's own word, and its token never leaves the agent.
    let audience = access.audience().filter(|_| access.kind() != Kind::Local)?;
    if is_api_servers(audience.as_str()) {
        return Some(Refusal::ApiServer);
    }
    let owner = Owner::of(audience.as_str());
    if let Some(owner) = owner.filter(|owner| !owner.is(access.kind())) {
        return Some(Refusal::Cloud(owner));
    }
    let (default, listed) = expected(access, catalog);
    if default.as_ref() == Some(audience) || listed.contains(audience) {
        return None;
    }
    if owner.is_some() && listed.is_empty() {
        return None;
    }
    let theirs = catalog.entries().find(|entry| match &entry.defaults {
        Defaults::Local(local) => local.audience.as_ref() == Some(audience),
        Defaults::Vault(_) => false,
    });
    match theirs {
        Some(entry) => Some(Refusal::Store(&entry.store)),
        None => (!listed.is_empty()).then_some(Refusal::Unlisted),
    }
}

/// Whether an audience is the API server's: the empty one, which it reads as its own, and the names under which clusters
/// reach it. Where it goes by another name, the token itself shows it, by an issuer among its audiences.
pub fn is_api_servers(audience: &str) -> bool {
    let name = audience.strip_prefix("https://").unwrap_or(audience);
    let rest = name.strip_prefix("kubernetes.default.svc");
    audience.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/', ':']))
}

/// The audience that a store has where a class names none, and those that a class may ask for besides.
fn expected<'a>(access: &Access, catalog: &'a Catalog) -> (Option<Audience>, &'a [Audience]) {
    match catalog.entry(access.store().as_str()).map(|entry| &entry.defaults) {
        Ok(Defaults::Vault(defaults)) => (Some(defaults.usual_audience()), &defaults.audiences),
        Ok(Defaults::Local(_)) | Err(_) => (None, &[]),
    }
}
