//! What the clones of a handle share: a lock for each key in use, the clock, hooks, and the cache.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::hooks::Hooks;
use super::record::Record;
use crate::store::Cache;

type Lock = Arc<tokio::sync::Mutex<()>>;

#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The locks that somebody holds or waits for.
    pub locks: Mutex<HashMap<String, Lock>>,
    /// The last time given out, in milliseconds.
    pub clock: AtomicI64,
    pub hooks: Hooks,
    /// Values that were read, if they are kept; by the name of the blob.
    pub cache: OnceLock<Cache<String, Arc<Record>>>,
    /// How many writes were done: what was read before one is not put into the cache after it.
    writes: AtomicU64,
    /// Held while the cache is changed.
    filling: Mutex<()>,
}

/// Holds the lock of a key.
#[derive(Debug)]
pub(super) struct Held {
    shared: Arc<Shared>,
    name: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.guard = None;
        let mut locks = self.shared.locks.lock();
        if locks.get(&self.name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.name);
        }
    }
}

impl Shared {
    pub async fn lock(self: &Arc<Self>, name: &str) -> Held {
        let lock = self.locks.lock().entry_ref(name).or_default().clone();
        // Made before waiting, so that a future that is dropped while it waits leaves no lock behind.
        let mut held = Held { shared: Arc::clone(self), name: name.to_owned(), guard: None };
        held.guard = Some(lock.lock_owned().await);
        held
    }

    /// The locks of several keys, taken in one order by all.
    pub async fn lock_all(self: &Arc<Self>, names: impl Iterator<Item = &str>) -> Vec<Held> {
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.dedup();
        let mut held = Vec::with_capacity(names.len());
        for name in names {
            held.push(self.lock(name).await);
        }
        held
    }

    /// Milliseconds since 1970, never less than the last time.
    pub fn now(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.clock.fetch_max(now, Ordering::AcqRel).max(now)
    }

    /// What the cache has under the name, and the number of writes with which it may be filled.
    pub fn cached(&self, name: &str) -> (Option<Arc<Record>>, u64) {
        let found = self.cache.get().and_then(|cache| cache.get(&name.to_owned()));
        (found, self.writes.load(Ordering::Acquire))
    }

    /// Keeps what was read when so many writes were done.
    pub fn keep(&self, name: &str, record: &Arc<Record>, writes: u64) {
        if let Some(cache) = self.cache.get() {
            let _filling = self.filling.lock();
            if self.writes.load(Ordering::Acquire) == writes {
                cache.insert(name.to_owned(), Arc::clone(record), record.weight());
            }
        }
    }

    /// Drops what the cache has under a name that was written.
    pub fn written(&self, name: &str) {
        if let Some(cache) = self.cache.get() {
            let _filling = self.filling.lock();
            self.writes.fetch_add(1, Ordering::AcqRel);
            cache.remove(&name.to_owned());
        }
    }
}
