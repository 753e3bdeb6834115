//! Parsed plans, kept by what they were parsed from: a volume polls with the same text again and again. A permission
//! is never kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
pub(super) struct Plans(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    plans: HashMap<Digest, Arc<Planned>>,
    bytes: usize,
}

/// How much text all kept plans may come from; a plan takes a small multiple of its text. Beyond it all are parsed
/// anew, which costs microseconds each.
const TEXT_BYTES_MAX: usize = 2 << 20;

impl Plans {
    /// The plan of a class, parsed at most once as long as it is kept.
    pub(super) fn parse(
        &self,
        dialect: &dyn Dialect,
        attributes: &Attributes,
        facts: Facts<'_>,
        catalog: &Catalog,
        digests: &DigestKey,
    ) -> Result<Arc<Planned>, Problems> {
        let key = key(dialect, attributes, facts, digests);
        if let Some(known) = self.lock().plans.get(&key) {
            return Ok(Arc::clone(known));
        }
        let plan = dialect.parse(attributes, facts, catalog)?;
        let planned = Arc::new(Planned { digest: generation(&plan, digests), plan: Arc::new(plan) });
        let bytes = KEPT_BYTES + attributes.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        let mut kept = self.lock();
        if kept.bytes + bytes > TEXT_BYTES_MAX {
            kept.plans.clear();
            kept.bytes = 0;
        }
        if kept.plans.insert(key, Arc::clone(&planned)).is_none() {
            kept.bytes += bytes;
        }
        Ok(planned)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the smallest plan takes.
const KEPT_BYTES: usize = 1024;

fn key(dialect: &dyn Dialect, attributes: &Attributes, facts: Facts<'_>, digests: &DigestKey) -> Digest {
    let (mode, publish) = (facts.mode.bits().to_be_bytes(), [u8::from(facts.publish)]);
    let mut parts: Vec<&[u8]> = vec![dialect.provider().as_bytes(), &mode, &publish];
    for (key, value) in attributes.iter() {
        parts.extend([key.as_bytes(), value.as_bytes()]);
    }
    digests.digest(&parts)
}

/// What names a plan: all that it reads and writes, and not where its text stands. The holder of a sync is known by
/// this, so a comment in a class makes no new one.
fn generation(plan: &Plan, digests: &DigestKey) -> Digest {
    let sources = plan.sources().iter().map(|s| (&s.name, &s.access, &s.locator, &s.want));
    let files = plan.files().iter().map(|f| (&f.path, f.mode, &f.body));
    digests.digest_of(format_args!("{:?} {:?}", sources.collect::<Vec<_>>(), files.collect::<Vec<_>>()))
}
