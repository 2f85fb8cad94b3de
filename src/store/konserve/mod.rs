//! Values of EDN under keys of EDN, on any backend: a store to use on its own, in the model of konserve.
//!
//! A value travels with its [`Metadata`]. Its blob lies under `kv/` and the hash of the printed key and holds two
//! frames, the metadata and the value, so that the one is read without the other. Elements of append logs lie under
//! `kvlog/`, parts of large binary values under `kvpart/`, each a blob of its own.

mod append;
mod binary;
mod codec;
mod hooks;
mod locks;
mod many;
mod parts;
mod path;
mod record;
mod sweep;
mod values;

pub use codec::{Handlers, Serializer};
pub use hooks::{WriteEvent, WriteOp};
pub use many::WithMeta;
pub use parts::BinaryReader;
pub use record::{Metadata, Stored};

use std::sync::Arc;

use super::bridge::wait;
use super::{Cache, CacheStats, Store};
use crate::edn::Form;
use crate::error::{Error, ErrorKind, Result};
use codec::Codec;
use locks::Shared;
use record::{Hand, Key, Record, Value};

/// Where the blobs of values lie.
const PREFIX: &str = "kv/";
/// Bytes in which most metadata ends.
const HEAD: u64 = 512;

/// EDN values under EDN keys. Clones share their locks, their clock, their hooks and their cache.
///
/// Each call blocks the calling thread and has a twin named `_async`. A call that reads and then writes holds the
/// key's lock in this process and stores by compare-and-set, so that writers in other processes are seen too, where
/// the backend's `swap` is atomic between them. `docs/key-value.md` tells all calls.
///
/// ```
/// use treering::edn::read;
/// use treering::store::{KeyValue, MemoryBackend, Store};
/// let kv = KeyValue::new(Store::new(MemoryBackend::new()));
/// kv.assoc(&read(":user")?, read("{:name \"Ada\" :langs [:en]}")?)?;
/// kv.assoc_in(&[read(":user")?, read(":langs")?, read("1")?], read(":fr")?)?;
/// assert_eq!(kv.get(&read(":user")?)?, Some(read("{:name \"Ada\" :langs [:en :fr]}")?));
/// assert_eq!(kv.get_in(&[read(":user")?, read(":name")?])?, Some(read("\"Ada\"")?));
/// assert!(kv.dissoc(&read(":user")?)?);
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeyValue {
    store: Store,
    codec: Codec,
    /// Bytes of the parts of large binary values.
    part: usize,
    shared: Arc<Shared>,
}

fn no_path() -> Error {
    Error::new(ErrorKind::Argument, "store/path", "a path is empty; it begins with the key")
}

impl KeyValue {
    /// Keys and values on `store`, beside whatever else lies there.
    pub fn new(store: Store) -> Self {
        KeyValue { store, codec: Codec::default(), part: parts::PART, shared: Arc::default() }
    }

    /// The same keys and values, written from now on by another serializer; what is there is read as it was written.
    #[must_use]
    pub fn with_serializer(mut self, serializer: Serializer) -> Self {
        self.codec.serializer = serializer;
        self
    }

    /// The same keys and values, with what is done with the user's types.
    #[must_use]
    pub fn with_handlers(mut self, handlers: Handlers) -> Self {
        self.codec.handlers = Arc::new(handlers);
        self
    }

    /// The same keys and values, whose large binary values are stored in parts of so many bytes, of which one is in memory
    /// while they are written or read: 4 MiB unless this says otherwise, and 1 at least.
    #[must_use]
    pub fn with_parts_of(mut self, bytes: usize) -> Self {
        self.part = bytes.clamp(1, 1 << 30);
        self
    }

    /// Keeps values that were read in memory, as many as about so many bytes take, for this handle and its clones. What other
    /// processes write is not seen while the value is kept, but for calls that read and write: they read again.
    #[must_use]
    pub fn cached(self, bytes: usize) -> Self {
        self.shared.cache.get_or_init(|| Cache::new(bytes));
        self
    }

    /// What the cache did and holds; none where nothing is kept.
    pub fn cache_stats(&self) -> Option<CacheStats> {
        self.shared.cache.get().map(Cache::stats)
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
    }

    fn hand(&self) -> Hand<'_> {
        Hand { encoding: self.store.encoding(), codec: &self.codec }
    }

    /// The record in the store, as it is there.
    async fn fetch_raw(&self, key: &Key) -> Result<Option<Record>> {
        match self.store.get_async(&key.name, None).await? {
            Some(bytes) => self.hand().decode(key, bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The record in the store.
    async fn fetch(&self, key: &Key) -> Result<Option<Record>> {
        self.fetch_raw(key).await?.map(|record| record.handled(&self.codec)).transpose()
    }

    /// The record in the cache or the store.
    async fn read(&self, key: &Key) -> Result<Option<Record>> {
        let (cached, writes) = self.shared.cached(&key.name);
        let record = match cached {
            Some(record) => record,
            None => {
                let Some(record) = self.fetch_raw(key).await?.map(Arc::new) else { return Ok(None) };
                if matches!(record.value, Value::Edn(_)) {
                    self.shared.keep(&key.name, &record, writes);
                }
                record
            }
        };
        Arc::unwrap_or_clone(record).handled(&self.codec).map(Some)
    }

    /// Reads, changes and stores under the key's lock; `meta` and `change` run again if another process was faster. `done`
    /// is called before the lock is released.
    async fn modify<T>(
        &self,
        key: &Form,
        meta: &mut (impl FnMut(&mut Vec<(Form, Form)>) + Send),
        mut change: impl FnMut(Option<&Record>) -> Result<(Value, T)> + Send,
        done: impl FnOnce(&T) + Send,
    ) -> Result<T> {
        let key = Key::of(key)?;
        let _held = self.shared.lock(&key.name).await;
        loop {
            let old = self.fetch(&key).await?;
            let (value, result) = change(old.as_ref())?;
            let mut extra = old.as_ref().map_or_else(Vec::new, |old| old.meta.extra.clone());
            meta(&mut extra);
            let new = self.hand().encode(&key, &value, self.shared.now(), &extra)?;
            let swapped = self.store.swap_async(&key.name, old.as_ref().map(|old| &old.bytes[..]), new).await;
            self.shared.written(&key.name);
            if swapped? {
                done(&result);
                return Ok(result);
            }
        }
    }
}

#[cfg(test)]
mod tests;
