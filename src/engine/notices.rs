//! What is told once although many mounts meet it: that a store is out and the last good is served, that it is back, and
//! that an object is issued anew each time that it is read.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::lru::Lru;
use crate::clock::Instant;
use crate::error::Reason;
use crate::model::endpoint::Endpoint;
use crate::model::{Access, Locator, StoreName};
use crate::text::short;

type Place = (StoreName, Option<Endpoint>);

/// Stores that are out.
#[derive(Default)]
pub(super) struct Outages(Mutex<BTreeMap<Place, Instant>>);

/// Most places that are told of at once: a class may name endpoints of its own.
const OUTAGES_MAX: usize = 256;

impl Outages {
    /// The last good was served, since this failed.
    pub(super) fn begin(&self, access: &Access, reason: Reason, now: Instant) {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place(access);
        if out.contains_key(&place) || out.len() >= OUTAGES_MAX {
            return;
        }
        tracing::warn!(
            store = place.0.as_str(),
            endpoint = place.1.as_ref().map(tracing::field::display),
            reason = reason.label(),
            "the store fails, and what it last gave is served"
        );
        out.insert(place, now);
    }

    /// The store answered.
    pub(super) fn end(&self, access: &Access, now: Instant) {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if out.is_empty() {
            return;
        }
        let place = place(access);
        if let Some(since) = out.remove(&place) {
            tracing::info!(
                store = place.0.as_str(),
                endpoint = place.1.as_ref().map(tracing::field::display),
                seconds = (now - since).as_secs(),
                "the store answers again"
            );
        }
    }
}

fn place(access: &Access) -> Place {
    (access.store().clone(), access.endpoints().next().cloned())
}

/// Objects that are issued to whoever reads them.
#[derive(Default)]
pub(super) struct Issued(Mutex<Lru<(StoreName, Locator), Instant>>);

/// Most of them that are remembered.
const ISSUED_MAX: usize = 1_000;
/// How often one of them is told.
const ISSUED_EVERY: Duration = Duration::from_secs(3600);

impl Issued {
    /// Whether the object was of that kind when it was last read: then nobody need wait for another's.
    pub(super) fn knows(&self, access: &Access, locator: &Locator) -> bool {
        let mut issued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        issued.len() > 0 && issued.get(&(access.store().clone(), locator.clone())).is_some()
    }

    /// One was issued. Told at once, then hourly.
    pub(super) fn note(&self, access: &Access, locator: &Locator, now: Instant) {
        let mut issued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (access.store().clone(), locator.clone());
        if issued.get(&key).is_some_and(|last| now - *last < ISSUED_EVERY) {
            return;
        }
        while issued.len() >= ISSUED_MAX && issued.pop().is_some() {}
        issued.insert(key, now);
        tracing::warn!(
            store = access.store().as_str(),
            object = &*short(&locator.to_string()),
            "the store issues this object anew each time that it is read, so at every poll of every volume"
        );
    }

    /// The object turned out to be of another kind.
    pub(super) fn forget(&self, access: &Access, locator: &Locator) {
        let mut issued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if issued.len() > 0 {
            issued.remove(&(access.store().clone(), locator.clone()));
        }
    }
}
