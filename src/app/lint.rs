//! Manifests judged by the dialects of this build and by a configuration, without an agent.

use super::dialects;
use crate::config::{Config, Store};
use crate::dialect::Facts;
use crate::lint::{Linter, Report};
use crate::model::{Address, Catalog, Defaults, Endpoint, Entry, FileMode, Origin, StoreName, locator};
use crate::secret::DigestKey;

/// Judges files, each a name and its text. Where `assume` is set, there is no configuration, and every kind of store
/// is taken for configured under its own name.
pub fn lint(config: &Config, assume: bool, files: &[(String, String)]) -> Report {
    let local = assume.then(|| StoreName::parse("local")).flatten().map(local);
    let stores =
        config.stores.iter().map(Store::entry).map(|entry| if assume { placed(entry) } else { entry });
    let entries = local.into_iter().chain(stores);
    let (dialects, catalog, digests) = (dialects(), Catalog::new(entries), DigestKey::random());
    // Whether the pod names a Secret is not in the class.
    let facts = Facts { mode: FileMode::DEFAULT, publish: true, digests: &digests };
    let linter = Linter { dialects: &dialects, facts, catalog: &catalog, policy: &config.policy };
    let mut report = Report::default();
    for (name, text) in files {
        linter.check(name, text, &mut report);
    }
    report
}

fn local(store: StoreName) -> Entry {
    let access = locator::local::Access { store: store.clone(), audience: None };
    Entry { store, defaults: Defaults::Local(access), fresh: None }
}

/// With an address that stands for the one that the configuration will have.
fn placed(mut entry: Entry) -> Entry {
    if let Defaults::Vault(defaults) = &mut entry.defaults
        && defaults.endpoint.is_none()
        && let Some(address) = Address::parse(SOMEWHERE)
    {
        let tls = defaults.tls.clone();
        defaults.endpoint = Some(Endpoint { address, origin: Origin::Administrator, tls });
    }
    entry
}

/// No name of this kind exists (RFC 2606), so no class means it.
const SOMEWHERE: &str = "https://configured.invalid";
