//! Parsed plans, kept by what they were parsed from: a volume polls with the same text again and again. A permission
//! is never kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::dialect::{Dialect, Facts};
use crate::error::Problems;
use crate::model::{Attributes, Catalog, Plan};
use crate::secret::{Digest, DigestKey};

/// A plan and its digest, which names a generation of it.
pub(super) struct Planned {
    pub(super) plan: Arc<Plan>,
    pub(super) digest: Digest,
}

#[derive(Default)]
pub(super) struct Plans(Mutex<HashMap<Digest, Arc<Planned>>>);

impl Plans {
    /// The plan of a class, parsed at most once as long as it is kept.
    pub(super) fn parse(
        &self,
        dialect: &dyn Dialect,
        attributes: &Attributes,
        facts: Facts,
        catalog: &Catalog,
        digests: &DigestKey,
    ) -> Result<Arc<Planned>, Problems> {
        let key = key(dialect, attributes, facts, digests);
        if let Some(known) = self.lock().get(&key) {
            return Ok(Arc::clone(known));
        }
        let plan = dialect.parse(attributes, facts, catalog)?;
        let digest = digests.digest(&[format!("{plan:?}").as_bytes()]);
        let planned = Arc::new(Planned { plan: Arc::new(plan), digest });
        let mut plans = self.lock();
        if plans.len() >= PLANS_MAX {
            plans.clear();
        }
        plans.insert(key, Arc::clone(&planned));
        Ok(planned)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<Planned>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More classes than a node has volumes; beyond it all are parsed anew, which costs microseconds each.
const PLANS_MAX: usize = 1024;

fn key(dialect: &dyn Dialect, attributes: &Attributes, facts: Facts, digests: &DigestKey) -> Digest {
    let facts =
        [facts.mode.bits().to_be_bytes()[0], facts.mode.bits().to_be_bytes()[1], u8::from(facts.publish)];
    let mut parts: Vec<&[u8]> = vec![dialect.provider().as_bytes(), &facts];
    for (key, value) in attributes.iter() {
        parts.extend([key.as_bytes(), value.as_bytes()]);
    }
    digests.digest(&parts)
}
