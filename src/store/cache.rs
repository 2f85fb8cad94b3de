//! A cache bounded by bytes, for what was read and decoded.
//!
//! Eviction is S3-FIFO: what is new waits in a small queue and only what is asked for again there moves on to the main
//! one, so a scan through everything does not push out what is used all the time. A hit takes a shared lock and raises
//! a counter; every operation is O(1) amortised.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};
use parking_lot::RwLock;

use crate::error::Result;

/// Bytes for which one more shard is worth it, and the most shards.
const SHARD: usize = 4 << 20;
const SHARDS: usize = 16;
/// Uses are counted up to here.
const MOST_USES: u8 = 3;

/// What a cache did and holds.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Look-ups that found the value.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Values that were pushed out.
    pub evictions: u64,
    /// Values held now.
    pub entries: u64,
    /// Bytes held now, never more than `capacity`.
    pub bytes: u64,
    /// Most bytes to hold.
    pub capacity: u64,
}

/// Values under keys, as many as fit a number of bytes. `V` is cheap to clone, such as an `Arc`.
///
/// ```
/// use std::sync::Arc;
/// use treering::store::Cache;
/// let cache: Cache<u64, Arc<str>> = Cache::new(1 << 20);
/// let load = || Ok((Arc::from("decoded"), 7));
/// assert_eq!(&*cache.get_or_load(&1, load)?, "decoded");
/// assert_eq!(&*cache.get_or_load(&1, || unreachable!("it is there"))?, "decoded");
/// assert_eq!((cache.stats().hits, cache.stats().misses), (1, 1));
/// # Ok::<(), treering::Error>(())
/// ```
pub struct Cache<K, V> {
    shards: Box<[RwLock<Shard<K, V>>]>,
    hasher: DefaultHashBuilder,
}

struct Shard<K, V> {
    capacity: usize,
    held: HashMap<K, Held<V>, DefaultHashBuilder>,
    small: Queue<K>,
    main: Queue<K>,
    /// Hashes of keys that left the small queue unused, oldest first; when one returns it goes to the main queue.
    ghosts: VecDeque<u64>,
    ghost_set: HashSet<u64>,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: u64,
}

struct Queue<K> {
    keys: VecDeque<K>,
    bytes: usize,
}

struct Held<V> {
    value: V,
    weight: usize,
    uses: AtomicU8,
}

impl<K> Queue<K> {
    fn push(&mut self, key: K, weight: usize) {
        self.keys.push_back(key);
        self.bytes += weight;
    }
}

impl<K: Hash + Eq + Clone, V> Shard<K, V> {
    fn insert(&mut self, key: K, hash: u64, value: V, weight: usize) {
        if weight > self.capacity {
            return;
        }
        while self.small.bytes + self.main.bytes + weight > self.capacity {
            self.step();
        }
        let queue = if self.ghost_set.contains(&hash) { &mut self.main } else { &mut self.small };
        queue.push(key.clone(), weight);
        self.held.insert(key, Held { value, weight, uses: AtomicU8::new(0) });
    }

    /// One step of eviction: a key leaves its queue, for good or for another round.
    fn step(&mut self) {
        let from_small = self.small.bytes > self.capacity / 10 || self.main.keys.is_empty();
        let queue = if from_small { &mut self.small } else { &mut self.main };
        let Some(key) = queue.keys.pop_front() else { return };
        let Some(held) = self.held.get_mut(&key) else { return };
        queue.bytes -= held.weight;
        let uses = held.uses.get_mut();
        if from_small && *uses > 1 {
            *uses = 0;
            self.main.push(key, held.weight);
        } else if !from_small && *uses > 0 {
            *uses -= 1;
            self.main.push(key, held.weight);
        } else {
            if from_small {
                self.remember(self.held.hasher().hash_one(&key));
            }
            self.held.remove(&key);
            self.evictions += 1;
        }
    }

    fn remember(&mut self, hash: u64) {
        if self.ghost_set.insert(hash) {
            self.ghosts.push_back(hash);
        }
        while self.ghosts.len() > self.held.len() {
            if let Some(oldest) = self.ghosts.pop_front() {
                self.ghost_set.remove(&oldest);
            }
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    /// An empty cache for at most `capacity` bytes; 0 keeps nothing.
    pub fn new(capacity: usize) -> Self {
        let shards = (capacity / SHARD).clamp(1, SHARDS).next_power_of_two();
        let hasher = DefaultHashBuilder::default();
        let shard = |_| {
            let queue = || Queue { keys: VecDeque::new(), bytes: 0 };
            RwLock::new(Shard {
                capacity: capacity / shards,
                held: HashMap::with_hasher(hasher.clone()),
                small: queue(),
                main: queue(),
                ghosts: VecDeque::new(),
                ghost_set: HashSet::new(),
                hits: AtomicU64::new(0),
                misses: AtomicU64::new(0),
                evictions: 0,
            })
        };
        Cache { shards: (0..shards).map(shard).collect(), hasher }
    }

    /// What an entry costs beside the value's own weight.
    const OVERHEAD: usize = size_of::<K>() * 2 + size_of::<Held<V>>() + 8;

    /// The shard of a hash; by its high bits, since the table inside uses the low ones.
    fn shard(&self, hash: u64) -> &RwLock<Shard<K, V>> {
        &self.shards[(hash >> 32) as usize & (self.shards.len() - 1)]
    }

    /// The value under `key`, if it is held.
    pub fn get(&self, key: &K) -> Option<V> {
        let shard = self.shard(self.hasher.hash_one(key)).read();
        let Some(held) = shard.held.get(key) else {
            shard.misses.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        shard.hits.fetch_add(1, Ordering::Relaxed);
        // Two threads may count as one; it is a hint.
        let uses = held.uses.load(Ordering::Relaxed);
        if uses < MOST_USES {
            held.uses.store(uses + 1, Ordering::Relaxed);
        }
        Some(held.value.clone())
    }

    /// Whether a value is held under `key`; this is no use of it.
    pub fn contains(&self, key: &K) -> bool {
        self.shard(self.hasher.hash_one(key)).read().held.contains_key(key)
    }

    /// Puts a value of `weight` bytes under `key`; where one is held already, that one stays and is returned.
    pub fn insert(&self, key: K, value: V, weight: usize) -> V {
        let hash = self.hasher.hash_one(&key);
        let mut shard = self.shard(hash).write();
        if let Some(held) = shard.held.get(&key) {
            return held.value.clone();
        }
        shard.insert(key, hash, value.clone(), weight.saturating_add(Self::OVERHEAD));
        value
    }

    /// Drops the value under `key`; it takes time in proportion to the number of keys of a shard.
    pub fn remove(&self, key: &K) {
        let mut shard = self.shard(self.hasher.hash_one(key)).write();
        let shard = &mut *shard;
        let Some(held) = shard.held.remove(key) else { return };
        for queue in [&mut shard.small, &mut shard.main] {
            let before = queue.keys.len();
            queue.keys.retain(|other| other != key);
            if queue.keys.len() < before {
                queue.bytes -= held.weight;
            }
        }
    }

    /// The value under `key`; if it is not held, what `load` gives with its weight in bytes. Threads that miss at the
    /// same time each load, and all get the value of the first to finish.
    ///
    /// # Errors
    /// Those of `load`; nothing is kept then.
    pub fn get_or_load(&self, key: &K, load: impl FnOnce() -> Result<(V, usize)>) -> Result<V> {
        if let Some(value) = self.get(key) {
            return Ok(value);
        }
        let (value, weight) = load()?;
        Ok(self.insert(key.clone(), value, weight))
    }

    /// Drops everything held.
    pub fn clear(&self) {
        for shard in &self.shards {
            let shard = &mut *shard.write();
            shard.held.clear();
            for queue in [&mut shard.small, &mut shard.main] {
                queue.keys.clear();
                queue.bytes = 0;
            }
        }
    }

    /// What the cache did and holds.
    pub fn stats(&self) -> CacheStats {
        let mut sum = CacheStats::default();
        for shard in &self.shards {
            let shard = shard.read();
            sum.hits += shard.hits.load(Ordering::Relaxed);
            sum.misses += shard.misses.load(Ordering::Relaxed);
            sum.evictions += shard.evictions;
            sum.entries += shard.held.len() as u64;
            sum.bytes += (shard.small.bytes + shard.main.bytes) as u64;
            sum.capacity += shard.capacity as u64;
        }
        sum
    }
}

impl<K: Hash + Eq + Clone, V: Clone> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stats().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use std::sync::Arc;

    /// The two queues hold exactly the keys of the table, each once, and the bytes add up.
    fn check<K: Hash + Eq + Clone + fmt::Debug, V>(cache: &Cache<K, V>) {
        for shard in &cache.shards {
            let shard = shard.read();
            let mut seen = HashSet::new();
            for queue in [&shard.small, &shard.main] {
                assert!(queue.keys.iter().all(|k| seen.insert(k)));
                assert_eq!(queue.bytes, queue.keys.iter().map(|k| shard.held[k].weight).sum::<usize>());
            }
            assert_eq!(seen.len(), shard.held.len());
            assert!(shard.small.bytes + shard.main.bytes <= shard.capacity);
            assert!(shard.ghosts.len() == shard.ghost_set.len());
        }
    }

    proptest! {
        #[test]
        fn never_wrong_and_never_too_large(
            capacity in 0usize..20_000,
            asks in proptest::collection::vec((0u32..60, 0usize..3000, 0u8..40), 1..400),
        ) {
            let cache: Cache<u32, Arc<u32>> = Cache::new(capacity);
            for (key, weight, clear) in asks {
                match clear {
                    0 => cache.clear(),
                    1..8 => cache.remove(&key),
                    _ => {}
                }
                let value = cache.get_or_load(&key, || Ok((Arc::new(key), weight))).unwrap();
                prop_assert_eq!(*value, key);
                let stats = cache.stats();
                prop_assert!(stats.bytes <= stats.capacity && stats.capacity <= capacity as u64);
                check(&cache);
            }
        }
    }

    #[test]
    fn a_scan_does_not_push_out_what_is_used() {
        let cache: Cache<u32, u32> = Cache::new(1000 * (Cache::<u32, u32>::OVERHEAD + 100));
        let ask = |key| cache.get_or_load(&key, || Ok((key, 100))).unwrap();
        for _ in 0..4 {
            (0..500).for_each(|key| assert_eq!(ask(key), key));
        }
        // A scan twenty times the size of the cache, with the used ones in between.
        for key in 1000..21_000 {
            ask(key);
            ask(key % 500);
        }
        let before = cache.stats().hits;
        (0..500).for_each(|key| assert_eq!(ask(key), key));
        assert_eq!(cache.stats().hits - before, 500);
        assert!(cache.stats().evictions >= 19_000);
        check(&cache);
    }

    #[test]
    fn an_error_is_not_kept_and_the_first_value_stands() {
        let cache: Cache<u32, u32> = Cache::new(10_000);
        let failing = cache.get_or_load(&1, || Err(Error::new(ErrorKind::Storage, "store/io", "no")));
        assert!(failing.is_err());
        assert_eq!(cache.insert(1, 10, 1), 10);
        assert_eq!(cache.insert(1, 20, 1), 10);
        assert_eq!(cache.get(&1), Some(10));
        assert_eq!(cache.insert(2, 20, 20_000), 20, "what does not fit is handed through");
        assert_eq!(cache.get(&2), None);
    }

    #[test]
    fn threads_share_it() {
        let cache: Cache<u64, Arc<u64>> = Cache::new(16 << 20);
        assert!(cache.shards.len() > 1);
        std::thread::scope(|scope| {
            for n in 0..4u64 {
                let cache = &cache;
                scope.spawn(move || {
                    for i in 0..20_000u64 {
                        let key = (i * (n + 1)) % 5000;
                        assert_eq!(*cache.get_or_load(&key, || Ok((Arc::new(key), 8000))).unwrap(), key);
                    }
                });
            }
        });
        let stats = cache.stats();
        assert_eq!(stats.hits + stats.misses, 80_000);
        check(&cache);
    }
}
