//! What was read, by what the backend said who reads: kept while it is fresh, and a while longer for the day when its
//! store is out. Only what others may be given is kept.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::flight::{Boarded, Flights};
use super::keep::{Age, Keep};
use super::lru::Lru;
use super::refused::Refused;
use crate::clock::Instant;
use crate::error::Fault;
use crate::model::{Access, Locator, Material};
use crate::room::Claim;
use crate::store::Authority;
use crate::telemetry::{Counted, Metrics};

/// What an object is kept under. Whoever was not given this authority through a session of its own never sees it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) authority: Authority,
    pub(super) access: Arc<Access>,
    pub(super) locator: Locator,
}

/// What those get who waited for somebody else's read.
#[derive(Clone)]
pub(super) enum Landed {
    /// The object, and the room that it takes.
    Material(Arc<Material>, Claim),
    /// Why there is none.
    Fault(Fault),
    /// It was issued to whoever read it: each has to read for itself.
    Alone,
}

/// All objects that are kept.
pub(super) struct Objects {
    kept: Mutex<Kept>,
    flights: Flights<Arc<Key>, Landed>,
    denied: Mutex<Lru<Arc<Key>, Refused>>,
    metrics: Metrics,
    keep: Keep,
}

#[derive(Default)]
struct Kept {
    objects: Lru<Arc<Key>, Object>,
    bytes: usize,
}

struct Object {
    material: Arc<Material>,
    /// When it was asked for: it may have changed from then on.
    asked: Instant,
    bytes: usize,
    _counted: [Counted; 2],
}

impl Objects {
    pub(super) fn new(keep: &Keep, metrics: &Metrics) -> Self {
        let (kept, denied, flights) = (Mutex::default(), Mutex::default(), Flights::default());
        Self { kept, denied, flights, metrics: metrics.clone(), keep: *keep }
    }

    /// The object, if it is fresh; or, with a `grace`, so much longer.
    pub(super) fn find(&self, key: &Key, age: Age, grace: Duration, now: Instant) -> Option<Arc<Material>> {
        let mut kept = self.lock();
        let object = kept.objects.get(key)?;
        let good = age.of(&object.material.kind) + grace;
        (now - object.asked < good).then(|| Arc::clone(&object.material))
    }

    /// Whether an earlier reply showed that reading the object has no side effect.
    pub(super) fn knows(&self, key: &Key) -> bool {
        self.lock().objects.get(key).is_some()
    }

    /// Why it is not asked for now: it was denied a moment ago.
    pub(super) fn denied(&self, key: &Key, first: bool, now: Instant) -> Option<Fault> {
        self.denials().get(key)?.stands(first, now).cloned()
    }

    /// Its authority is denied it, by policy and not by mishap.
    pub(super) fn deny(&self, key: &Arc<Key>, fault: &Fault, now: Instant) {
        let mut denied = self.denials();
        let refused = Refused::after(denied.get(key).map(|before| &*before), fault, now);
        while denied.len() >= DENIED_MAX && denied.pop().is_some() {}
        denied.insert(Arc::clone(key), refused);
    }

    /// It is given after all.
    pub(super) fn allow(&self, key: &Key) {
        self.denials().remove(key);
    }

    fn denials(&self) -> MutexGuard<'_, Lru<Arc<Key>, Refused>> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leads a read, or joins the one that is on its way.
    pub(super) fn board(&self, key: &Arc<Key>) -> Boarded<Arc<Key>, Landed> {
        self.flights.board(key)
    }

    /// Keeps an object that others may be given, unless it would take the place of very many.
    pub(super) fn record(&self, key: &Arc<Key>, material: &Arc<Material>, asked: Instant) {
        let bytes = size(material);
        let mut kept = self.lock();
        // A read that took long must not put what it saw over what was asked for later.
        if kept.objects.get(key).is_some_and(|object| asked < object.asked) {
            return;
        }
        kept.remove(key);
        if bytes > self.keep.bytes / LARGEST_PART || self.keep.objects == 0 {
            return;
        }
        while kept.bytes + bytes > self.keep.bytes || kept.objects.len() >= self.keep.objects {
            let Some(oldest) = kept.objects.pop() else { break };
            kept.bytes -= oldest.bytes;
        }
        let _counted = self.metrics.object_kept(bytes);
        kept.bytes += bytes;
        kept.objects
            .insert(Arc::clone(key), Object { material: Arc::clone(material), asked, bytes, _counted });
    }

    /// Drops what the backend does not give any more.
    pub(super) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    pub(super) fn sweep(&self, now: Instant) {
        self.denials().retain(|refused| !refused.is_over(now));
        let longest = self.keep.fresh_max.max(self.keep.fresh_min) + self.keep.stale_max;
        let mut kept = self.lock();
        let Kept { objects, bytes } = &mut *kept;
        objects.retain(|object| {
            let good = now - object.asked < longest;
            if !good {
                *bytes -= object.bytes;
            }
            good
        });
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, key: &Key) {
        if let Some(object) = self.objects.remove(key) {
            self.bytes -= object.bytes;
        }
    }
}

/// Most denials that are remembered.
const DENIED_MAX: usize = 4096;
/// The largest object that is kept takes this part of all bytes.
const LARGEST_PART: usize = 4;
/// What an object takes besides its own bytes.
const OVERHEAD_BYTES: usize = 512;
/// What a field takes besides its name and value: its places in the tree, and an allocation for each of three parts.
const FIELD_BYTES: usize = 192;

pub(super) fn size(material: &Material) -> usize {
    let part = |part: &crate::model::Part| {
        let fields = part.fields.iter().map(|(name, value)| name.len() + value.len() + FIELD_BYTES);
        part.body.len() + part.version.as_ref().map_or(0, String::len) + fields.sum::<usize>()
    };
    OVERHEAD_BYTES + material.parts.iter().map(part).sum::<usize>()
}
