//! What each holder was last given, as digests: tells a change from a poll, and a first mount from a refresh.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::account::Bearer;
use crate::clock::Instant;
use crate::model::Holder;
use crate::secret::Digest;

/// How often unchanged deliveries are summed up in the audit trail.
const SUMMARY_EVERY: Duration = Duration::from_secs(3600);

/// Most holders that are remembered: ten times the volumes of a full node. Beyond it the one silent for longest goes.
const HOLDERS_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Delivered(Mutex<HashMap<Holder, Record>>);

struct Record {
    answer: Digest,
    objects: Vec<Digest>,
    bearer: Arc<Bearer>,
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

    /// Remembers an answer and says how it compares. `objects` is asked for only where it differs.
    pub(super) fn note(
        &self,
        holder: &Holder,
        answer: Digest,
        objects: impl FnOnce() -> Vec<Digest>,
        bearer: impl FnOnce() -> Arc<Bearer>,
        now: Instant,
    ) -> Compared {
        let mut records = self.lock();
        if let Some(record) = records.get_mut(holder) {
            record.last = now;
            if record.answer == answer {
                record.unchanged += 1;
                return Compared::Unchanged(record.take_due(now));
            }
            record.answer = answer;
            return Compared::Changed(std::mem::replace(&mut record.objects, objects()));
        }
        if records.len() >= HOLDERS_MAX {
            let silent = records.iter().min_by_key(|(_, record)| record.last).map(|(holder, _)| holder.clone());
            silent.and_then(|holder| records.remove(&holder));
        }
        let record =
            Record { answer, objects: objects(), bearer: bearer(), unchanged: 0, counted_from: now, last: now };
        records.insert(holder.clone(), record);
        Compared::First
    }

    /// The counts that are due, of holders that may have fallen silent.
    pub(super) fn due(&self, now: Instant) -> Vec<(Arc<Bearer>, u64)> {
        let mut records = self.lock();
        records.values_mut().filter_map(|record| Some((Arc::clone(&record.bearer), record.take_due(now)?))).collect()
    }

    /// Every count that is left, due or not.
    pub(super) fn all(&self) -> Vec<(Arc<Bearer>, u64)> {
        let mut records = self.lock();
        let taken = records.values_mut().map(|record| (Arc::clone(&record.bearer), std::mem::take(&mut record.unchanged)));
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
