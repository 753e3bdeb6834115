//! A map that knows what was used last (LRU), so that what was not used for longest can go.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Values by key, and their order of use.
pub(super) struct Lru<K, V> {
    entries: HashMap<K, Used<V>>,
    order: BTreeMap<u64, K>,
    uses: u64,
}

struct Used<V> {
    last: u64,
    value: V,
}

impl<K, V> Default for Lru<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), uses: 0 }
    }
}

impl<K: Eq + Hash + Clone, V> Lru<K, V> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The value, which is thereby used.
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let used = self.entries.get_mut(key)?;
        if let Some(key) = self.order.remove(&used.last) {
            self.uses += 1;
            used.last = self.uses;
            self.order.insert(used.last, key);
        }
        Some(&mut used.value)
    }

    /// Puts a value in, and hands back the one whose place it takes.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let before = self.remove(&key);
        self.uses += 1;
        self.order.insert(self.uses, key.clone());
        self.entries.insert(key, Used { last: self.uses, value });
        before
    }

    pub(super) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let used = self.entries.remove(key)?;
        self.order.remove(&used.last);
        Some(used.value)
    }

    /// All keys, that of what was not used for longest first.
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.order.values()
    }

    /// Takes out what was not used for longest.
    pub(super) fn pop(&mut self) -> Option<V> {
        let (_, key) = self.order.pop_first()?;
        self.entries.remove(&key).map(|used| used.value)
    }

    /// Takes out whatever `keep` does not want to keep.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut V) -> bool) {
        let order = &mut self.order;
        self.entries.retain(|_, used| {
            let kept = keep(&mut used.value);
            if !kept {
                order.remove(&used.last);
            }
            kept
        });
    }
}
