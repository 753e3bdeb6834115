//! The stores: what each kind takes, and which are there without a word of the file.

use super::Store;
use super::tree::{Findings, Section};
#[cfg(feature = "vault")]
use super::vault;
#[cfg(feature = "local")]
use super::{LOCAL_FILE, LOCAL_IDENTITY};
use crate::model::StoreName;
#[cfg(feature = "local")]
use crate::store::local;
use crate::text::nearest;

/// All that the file and the environment name, and those that are always there.
pub(super) fn stores(
    section: &Section<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
    findings: &mut Findings,
) -> Vec<Store> {
    let mut stores = Vec::new();
    let mut named = Vec::new();
    for (name, store) in section.named(findings) {
        let Some(store_name) = StoreName::parse(name) else {
            let remedy = "a name is lower-case letters, digits and `-`, and begins with a letter".to_owned();
            findings.add(store.path(), store.node(), "is not a name for a store", remedy);
            continue;
        };
        named.push(name);
        match store.text("kind", findings).unwrap_or(name) {
            #[cfg(feature = "local")]
            "local" => {
                store.only("local", LOCAL_KEYS, findings);
                stores.extend(local_store(store_name, &store, findings));
            }
            #[cfg(feature = "vault")]
            kind if let Some(flavour) = vault::flavour(kind) => {
                store.only(kind, vault::KEYS, findings);
                let mut reader = vault::Reader { flavour, environment, findings };
                stores.push(Store::Vault(reader.store(store_name, Some(&store))));
            }
            kind => unknown_kind(kind, &store, findings),
        }
    }
    #[cfg(feature = "local")]
    if !named.contains(&"local") {
        stores.extend(local_of_environment(environment, findings));
    }
    #[cfg(feature = "vault")]
    for (flavour, name) in ["vault", "openbao"].into_iter().filter_map(|name| {
        Some((vault::flavour(name)?, StoreName::parse(name).filter(|_| !named.contains(&name))?))
    }) {
        stores.push(Store::Vault(vault::Reader { flavour, environment, findings }.store(name, None)));
    }
    stores
}

/// Refuses a store whose kind, or whose name where it has no `kind`, is none.
fn unknown_kind(kind: &str, store: &Section<'_>, findings: &mut Findings) {
    let has = format!("this build has: {}", KINDS.join(", "));
    let remedy = match nearest(kind, KINDS.iter().copied()) {
        _ if !store.has("kind") => format!("add `kind:`; {has}"),
        Some(near) => format!("did you mean `{near}`? {has}"),
        None => has,
    };
    findings.add(store.path(), store.node(), "is of a kind that this build does not have", remedy);
}

/// The store `local` as the two variables name it together.
#[cfg(feature = "local")]
fn local_of_environment(
    environment: &dyn Fn(&str) -> Option<String>,
    findings: &mut Findings,
) -> Option<Store> {
    let (file, identity) = match (environment(LOCAL_FILE), environment(LOCAL_IDENTITY)) {
        (None, None) => return None,
        (Some(file), Some(identity)) => (file, identity),
        (there, _) => {
            let missing = if there.is_some() { LOCAL_IDENTITY } else { LOCAL_FILE };
            findings.add(missing, None, "is not set, and its twin is", "set both, or neither".to_owned());
            return None;
        }
    };
    let name = StoreName::parse("local")?;
    Some(Store::Local(local::Config { name, file: file.into(), identity: identity.into(), verify: None }))
}

/// The kinds of store of this build.
const KINDS: &[&str] = &[
    #[cfg(feature = "local")]
    "local",
    #[cfg(feature = "vault")]
    "vault",
    #[cfg(feature = "vault")]
    "openbao",
];

/// The keys of a local store.
#[cfg(feature = "local")]
const LOCAL_KEYS: &[&str] = &["kind", "file", "identity", "issuer", "jwks", "audience"];

#[cfg(feature = "local")]
fn local_store(name: StoreName, store: &Section<'_>, findings: &mut Findings) -> Option<Store> {
    let file = store.required_path("file", findings);
    let identity = store.required_path("identity", findings);
    let three = ["issuer", "jwks", "audience"];
    let verify = if three.iter().any(|key| store.has(key)) {
        let issuer = store.required("issuer", findings);
        let jwks = store.required_path("jwks", findings);
        let audience = store.required("audience", findings);
        Some(local::Verify {
            issuer: issuer?.to_owned(),
            jwks: jwks?,
            audience: crate::model::Audience::new(audience?),
        })
    } else {
        None
    };
    Some(Store::Local(local::Config { name, file: file?, identity: identity?, verify }))
}
