//! When each volume last got its files: the driver hides a failed rotation from kubelet, so this is where an operator
//! sees one. Bounded in number and in age, since nobody tells us that a pod is gone. It raises no alarm itself.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::names;
use crate::clock::{Clock, Instant, Wall};

/// The volumes of this node. Clones share them.
#[derive(Clone)]
pub struct Volumes {
    clock: Clock,
    known: Arc<Mutex<HashMap<Key, Seen>>>,
}

/// Namespace, pod, volume.
type Key = [Box<str>; 3];

struct Seen {
    success: Wall,
    called: Instant,
}

impl Volumes {
    /// Most volumes that have a series. Another one takes the place of that which called longest ago.
    pub const MAX: usize = 4096;

    /// A volume that has not called for this long loses its series: its pod is gone, or rotation is off.
    pub const SILENT: Duration = Duration::from_secs(6 * 3600);

    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, known: Arc::default() }
    }

    /// A volume got its files, now.
    pub fn delivered(&self, namespace: &str, pod: &str, volume: &str) {
        let seen = Seen { success: self.clock.wall(), called: self.clock.now() };
        let mut known = self.lock();
        let key = key(namespace, pod, volume);
        if known.len() >= Self::MAX
            && !known.contains_key(&key)
            && let Some(oldest) = known.iter().min_by_key(|(_, seen)| seen.called).map(|(key, _)| key.clone())
        {
            known.remove(&oldest);
        }
        known.insert(key, seen);
    }

    /// A volume asked and got nothing: its last success stays what it was, and stays visible.
    pub fn failed(&self, namespace: &str, pod: &str, volume: &str) {
        let called = self.clock.now();
        if let Some(seen) = self.lock().get_mut(&key(namespace, pod, volume)) {
            seen.called = called;
        }
    }

    /// A pod is known to be gone, and its volumes with it.
    pub fn gone(&self, namespace: &str, pod: &str) {
        self.lock().retain(|[of, name, _], _| !(&**of == namespace && &**name == pod));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Seen>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(namespace: &str, pod: &str, volume: &str) -> Key {
    [namespace.into(), pod.into(), volume.into()]
}

impl fmt::Debug for Volumes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Volumes({})", self.lock().len())
    }
}

impl Collector for Volumes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let name = names::VOLUME_LAST_SUCCESS;
        let mut metric = encoder.encode_descriptor(name.name, name.help, None, MetricType::Gauge)?;
        let now = self.clock.now();
        let mut known = self.lock();
        known.retain(|_, seen| now.since(seen.called) < Self::SILENT);
        for ([namespace, pod, volume], seen) in known.iter() {
            let labels = [("namespace", &**namespace), ("pod", &**pod), ("volume", &**volume)];
            metric.encode_family(&labels)?.encode_gauge(&seen.success.seconds())?;
        }
        Ok(())
    }
}
