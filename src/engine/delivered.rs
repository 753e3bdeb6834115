//! What each holder was last given, as digests: tells a change from a poll, and a first mount from a refresh.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::account::Requester;
use super::objects::Key;
use crate::clock::Instant;
use crate::model::Holder;
use crate::secret::Digest;

/// How often unchanged deliveries are summed up in the audit trail.
const SUMMARY_EVERY: Duration = Duration::from_secs(3600);

/// After this a holder is taken for gone: a driver polls every minute or two, the sync controller twice a day.
const SILENT: Duration = Duration::from_secs(25 * 3600);

/// Most holders that are remembered: several times the volumes of a full node. Beyond it the one silent for longest goes.
const HOLDERS_MAX: usize = 2_000;

#[derive(Default)]
pub(super) struct Delivered(Mutex<HashMap<Holder, Record>>);

struct Record {
    answer: Digest,
    objects: Vec<Digest>,
    /// What it was last given, as far as that is kept.
    keys: Vec<Arc<Key>>,
    requester: Arc<Requester>,
    unchanged: u64,
    counted_from: Instant,
    last: Instant,
}

/// How an answer compares with the one before.
pub(super) enum Compared {
    /// There was none.
    First,
    /// The same again; a count where a summary is due.
    Unchanged(Option<u64>),
    /// Another one; the digests of the objects of the one before.
    Changed(Vec<Digest>),
}

impl Delivered {
    /// Whether the holder was ever given anything.
    pub(super) fn knows(&self, holder: &Holder) -> bool {
        self.lock().contains_key(holder)
    }

    /// Whether the holder has this very object.
    pub(super) fn has(&self, holder: &Holder, key: &Key) -> bool {
        self.lock().get(holder).is_some_and(|record| record.keys.iter().any(|kept| **kept == *key))
    }

    /// How an answer compares with the one that the holder has. An unchanged one is counted, and its keys are remembered:
    /// the same content may have come under another authority.
    pub(super) fn compare(
        &self,
        holder: &Holder,
        answer: Digest,
        keys: &[Arc<Key>],
        now: Instant,
    ) -> Compared {
        let mut records = self.lock();
        let Some(record) = records.get_mut(holder) else { return Compared::First };
        record.last = now;
        if record.answer == answer {
            if record.keys != keys {
                record.keys = keys.to_vec();
            }
            record.unchanged += 1;
            return Compared::Unchanged(record.take_due(now));
        }
        Compared::Changed(record.objects.clone())
    }

    /// Remembers what the holder was given. Not before that is on record: what was not, was not given. A count that
    /// is lost for want of room is handed back.
    pub(super) fn remember(
        &self,
        holder: Holder,
        answer: Digest,
        objects: Vec<Digest>,
        keys: Vec<Arc<Key>>,
        requester: Arc<Requester>,
        now: Instant,
    ) -> Option<(Arc<Requester>, u64)> {
        let mut records = self.lock();
        let mut evicted = None;
        if records.len() >= HOLDERS_MAX && !records.contains_key(&holder) {
            let silent =
                records.iter().min_by_key(|(_, record)| record.last).map(|(holder, _)| holder.clone());
            evicted = silent.and_then(|holder| records.remove(&holder));
        }
        let (unchanged, counted_from) =
            records.get(&holder).map_or((0, now), |record| (record.unchanged, record.counted_from));
        records
            .insert(holder, Record { answer, objects, keys, requester, unchanged, counted_from, last: now });
        evicted.map(|record| (record.requester, record.unchanged)).filter(|(_, count)| *count > 0)
    }

    /// The counts that are due, and the last ones of holders that have fallen silent, which are forgotten.
    pub(super) fn due(&self, now: Instant) -> Vec<(Arc<Requester>, u64)> {
        let mut records = self.lock();
        let mut due = Vec::new();
        records.retain(|_, record| {
            let silent = now - record.last >= SILENT;
            let count = if silent { Some(record.unchanged) } else { record.take_due(now) };
            due.extend(count.filter(|count| *count > 0).map(|count| (Arc::clone(&record.requester), count)));
            !silent
        });
        due
    }

    /// Every count that is left, due or not.
    pub(super) fn all(&self) -> Vec<(Arc<Requester>, u64)> {
        let mut records = self.lock();
        let taken = records
            .values_mut()
            .map(|record| (Arc::clone(&record.requester), std::mem::take(&mut record.unchanged)));
        taken.filter(|(_, count)| *count > 0).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Holder, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn take_due(&mut self, now: Instant) -> Option<u64> {
        if now - self.counted_from < SUMMARY_EVERY {
            return None;
        }
        self.counted_from = now;
        let count = std::mem::take(&mut self.unchanged);
        (count > 0).then_some(count)
    }
}
