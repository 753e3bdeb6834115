//! Manifests judged by the dialects of this build and by a configuration, without an agent.

use super::dialects;
use crate::config::{Config, Store};
use crate::dialect::Facts;
use crate::lint::{Linter, Report};
use crate::model::locator::local;
use crate::model::{Catalog, Defaults, Entry, FileMode, StoreName};
use crate::secret::DigestKey;

/// Judges files, each a name and its text. Where `assume` is set, there is no configuration, and every kind of store
/// that needs one is taken for configured under its own name.
pub fn lint(config: &Config, assume: bool, files: &[(String, String)]) -> Report {
    let assumed = assume.then(|| StoreName::parse("local")).flatten().map(assumed);
    let entries = assumed.into_iter().chain(config.stores.iter().map(Store::entry));
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

fn assumed(store: StoreName) -> Entry {
    let access = local::Access { store: store.clone(), audience: None };
    Entry { store, defaults: Defaults::Local(access), fresh: None }
}
