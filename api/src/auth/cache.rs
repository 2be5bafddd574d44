//! What PostgreSQL said of a token or a session, remembered for a few seconds, so that thousands of requests a
//! second do not each ask.
//!
//! The price: what was revoked by another process works until its entry here is that old.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Most entries of each sort; beyond it the memory starts afresh.
const MOST: usize = 10_000;

/// A use is written down at most this often.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

pub(super) struct Cache<K, V> {
    known: RwLock<HashMap<K, Arc<Known<V>>>>,
    unknown: RwLock<HashMap<K, Instant>>,
    touched: RwLock<HashMap<K, Instant>>,
    trust: Duration,
}

struct Known<V> {
    value: Arc<V>,
    checked: Instant,
    renewing: AtomicBool,
}

/// What this process knows of a key.
pub(super) enum Memory<V> {
    /// Checked a moment ago. `renew` is true once, when the answer is getting old: a busy key is then checked
    /// again beside the request, so that it never waits for PostgreSQL.
    Fresh { value: Arc<V>, renew: bool },
    /// Was there when it was last checked, too long ago.
    Stale,
    /// Was not there a moment ago.
    Unknown,
    /// Never seen.
    Strange,
}

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    /// Trusts what it knows for `trust`.
    pub(super) fn new(trust: Duration) -> Self {
        Self { known: RwLock::default(), unknown: RwLock::default(), touched: RwLock::default(), trust }
    }

    pub(super) fn recall(&self, key: &K) -> Memory<V> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        let Some(known) = known else {
            let unknown = self.unknown.read().unwrap_or_else(PoisonError::into_inner);
            let refused = unknown.get(key).is_some_and(|checked| checked.elapsed() < self.trust);
            return if refused { Memory::Unknown } else { Memory::Strange };
        };
        let age = known.checked.elapsed();
        if age >= self.trust {
            return Memory::Stale;
        }
        let renew = age >= self.trust * 3 / 4 && !known.renewing.swap(true, Ordering::Relaxed);
        Memory::Fresh { value: known.value.clone(), renew }
    }

    /// Keeps an answer. Its age counts from before the question: what happens meanwhile must not be trusted
    /// longer.
    pub(super) fn keep(&self, key: K, value: Option<V>, checked: Instant) -> Option<Arc<V>> {
        let Some(value) = value.map(Arc::new) else {
            self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
            remember(&self.unknown, key, checked);
            return None;
        };
        let known = Known { value: value.clone(), checked, renewing: AtomicBool::new(false) };
        remember(&self.known, key, Arc::new(known));
        Some(value)
    }

    /// Drops what fits, so that this process asks again.
    pub(super) fn forget(&self, fits: impl Fn(&V) -> bool) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, known| !fits(&known.value));
    }

    /// Whether the use of a key is to be written down now.
    pub(super) fn touch_due(&self, key: K) -> bool {
        let mut touched = self.touched.write().unwrap_or_else(PoisonError::into_inner);
        if touched.get(&key).is_some_and(|at| at.elapsed() < TOUCH_EVERY) {
            return false;
        }
        if touched.len() >= MOST {
            touched.clear();
        }
        touched.insert(key, Instant::now());
        true
    }
}

fn remember<K: Eq + Hash, V>(all: &RwLock<HashMap<K, V>>, key: K, value: V) {
    let mut all = all.write().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= MOST {
        all.clear();
    }
    all.insert(key, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_grow_old_and_are_forgotten() {
        let cache = Cache::<u8, &str>::new(Duration::from_secs(60));
        assert!(matches!(cache.recall(&1), Memory::Strange));
        cache.keep(1, Some("one"), Instant::now());
        cache.keep(2, None, Instant::now());
        assert!(matches!(cache.recall(&1), Memory::Fresh { renew: false, .. }));
        assert!(matches!(cache.recall(&2), Memory::Unknown));
        cache.forget(|value| *value == "one");
        assert!(matches!(cache.recall(&1), Memory::Strange));

        let old = Cache::<u8, &str>::new(Duration::from_millis(1));
        old.keep(1, Some("one"), Instant::now());
        std::thread::sleep(Duration::from_millis(2));
        assert!(matches!(old.recall(&1), Memory::Stale));
    }

    #[test]
    fn a_use_is_written_down_once_a_minute() {
        let cache = Cache::<u8, ()>::new(Duration::from_secs(1));
        assert!(cache.touch_due(1) && !cache.touch_due(1) && cache.touch_due(2));
    }
}
