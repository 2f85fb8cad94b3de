//! Bytes under keys: nothing here knows of datoms.
//!
//! A [`Backend`] keeps raw blobs; everything above it goes through one [`Store`].

pub mod backend;
pub mod backends;
mod bridge;
mod cache;
pub(crate) mod config;
mod encoding;
pub mod frame;
pub mod fs;
pub(crate) mod kind;
mod konserve;
#[cfg(feature = "testing")]
pub mod testing;

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

pub use backend::{Backend, BoxFuture, Capabilities};
pub use backends::{FileBackend, MemoryBackend, TieredBackend, TieredKind, WritePolicy};
#[cfg(feature = "lmdb")]
pub use backends::{LmdbBackend, LmdbKind};
#[cfg(feature = "s3")]
pub use backends::{ObjectBackend, ObjectKind};
#[cfg(feature = "postgres")]
pub use backends::{PostgresBackend, PostgresKind};
#[cfg(feature = "redis")]
pub use backends::{RedisBackend, RedisKind};
pub use cache::{Cache, CacheStats};
pub use config::StoreConfig;
pub use encoding::{Compressor, Encoding, EncodingConfig, Key};
pub use kind::{Access, BackendKind, Kinds};
pub use konserve::{BinaryReader, Handlers, KeyValue, Metadata, Serializer, Stored, WithMeta, WriteEvent, WriteOp};

use crate::error::Result;
use backend::check_key;
pub(crate) use bridge::{Bridge, wait};

/// A backend with all that stands on every backend. Clones share it.
///
/// Each call that can wait has two forms: one that blocks the calling thread, which may belong to any runtime, and one
/// named `_async` that gives a future for any executor.
///
/// ```
/// use treering::store::{MemoryBackend, Store};
/// let store = Store::new(MemoryBackend::new());
/// store.put("a", b"1".to_vec())?;
/// assert!(store.swap("a", Some(b"1"), b"2".to_vec())?);
/// assert!(!store.swap("a", Some(b"1"), b"3".to_vec())?);
/// assert_eq!(store.get("a", None)?, Some(b"2".to_vec()));
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    encoding: Arc<Encoding>,
}

struct Shared {
    backend: Arc<dyn Backend>,
    capabilities: Capabilities,
    bridge: Bridge,
    /// The kind that opened the backend, and the config by which it did.
    opened_by: Option<(Arc<dyn BackendKind>, StoreConfig)>,
}

impl Shared {
    fn new(backend: Arc<dyn Backend>, bridge: Bridge) -> Self {
        let capabilities = backend.capabilities();
        Shared { backend, capabilities, bridge, opened_by: None }
    }

    /// Gives the backend back to its kind, once.
    fn release(&mut self) -> Result<()> {
        let Some((kind, config)) = self.opened_by.take() else { return Ok(()) };
        wait(self.bridge.within(kind.needs_tokio(), kind.release(&config, Arc::clone(&self.backend)))?)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            tracing::warn!(%error, "a store could not be released");
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.shared.backend).finish()
    }
}

impl Store {
    /// A store on `backend`.
    pub fn new(backend: impl Backend + 'static) -> Self {
        Store::on(Arc::new(backend))
    }

    /// A store on a backend that others hold too.
    pub fn on(backend: Arc<dyn Backend>) -> Self {
        Store::with(Shared::new(backend, Bridge::default()))
    }

    fn with(shared: Shared) -> Self {
        Store { shared: Arc::new(shared), encoding: Arc::default() }
    }

    /// Opens a backend by `connect`, which is polled inside the store's own tokio runtime, and the store on it.
    ///
    /// # Errors
    /// Those of `connect`, and `store/runtime` if the threads cannot be started.
    pub fn connect<F>(connect: F) -> Result<Self>
    where
        F: Future<Output = Result<Arc<dyn Backend>>> + Send,
    {
        let bridge = Bridge::default();
        let backend = wait(bridge.within(true, Box::pin(connect))?)?;
        Ok(Store::with(Shared::new(backend, bridge)))
    }

    /// The same store, whose frames are compressed and encrypted from now on as `config` says; what was written before
    /// is read as its frames say. With a key, the first call makes the store's own key and stores it, wrapped.
    ///
    /// ```
    /// use treering::store::{Compressor, EncodingConfig, KeyValue, MemoryBackend, Store};
    /// let store = Store::new(MemoryBackend::new()).encoded(&EncodingConfig::new().compressor(Compressor::Lz4))?;
    /// let kv = KeyValue::new(store);
    /// kv.bassoc(&treering::edn::read(":zeros")?, vec![0; 10_000])?;
    /// assert!(kv.store().size(&kv.store().list("kv/")?[0])? < Some(500));
    /// # Ok::<(), treering::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Config`: `store/wrong-key` for a key that does not open the store, `store/key-missing` without one,
    /// `store/not-encrypted` for a store that was begun without encryption, unless the config is
    /// [mixed](EncodingConfig::mixed), `config/unsupported` where this program was built without what is asked for; and
    /// those of the backend.
    pub fn encoded(self, config: &EncodingConfig) -> Result<Self> {
        wait(self.encoded_async(config))
    }

    /// [`encoded`](Self::encoded) as a future. It may compute for a part of a second.
    ///
    /// # Errors
    /// As there.
    pub async fn encoded_async(self, config: &EncodingConfig) -> Result<Self> {
        self.encode(config, true).await
    }

    /// [`encoded_async`](Self::encoded_async); without `may_write` no key is made.
    pub(crate) async fn encode(mut self, config: &EncodingConfig, may_write: bool) -> Result<Self> {
        self.encoding = Arc::new(Encoding::on(&self, config, may_write).await?);
        Ok(self)
    }

    /// How frames are compressed and encrypted.
    pub fn encoding(&self) -> &Encoding {
        &self.encoding
    }

    /// The same store, which goes back to `kind` when nobody holds it any more.
    pub(crate) fn released_by(self, kind: Arc<dyn BackendKind>, config: StoreConfig) -> Store {
        let Store { shared, encoding } = self;
        let shared = match Arc::try_unwrap(shared) {
            Ok(mut shared) => {
                shared.opened_by = Some((kind, config));
                Arc::new(shared)
            }
            Err(shared) => shared,
        };
        Store { shared, encoding }
    }

    /// Lets go of the store. Who is the last to hold it gives it back to its backend, and hears of what goes wrong; to
    /// drop it does the same and tells nobody.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn close(self) -> Result<()> {
        Arc::into_inner(self.shared).map_or(Ok(()), |mut shared| shared.release())
    }

    /// What the backend promises.
    pub fn capabilities(&self) -> Capabilities {
        self.shared.capabilities
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.shared.backend
    }

    /// Lets another writer in; see [`Backend::give_up_writing`].
    pub fn give_up_writing(&self) {
        self.shared.backend.give_up_writing();
    }

    /// Polls a call of the backend where the backend needs to be polled.
    async fn drive<'a, T>(&'a self, call: BoxFuture<'a, Result<T>>) -> Result<T> {
        self.shared.bridge.within(self.shared.capabilities.tokio, call)?.await
    }

    /// The bytes under `key`, or those of them inside `range`, cut at the end of the blob; `None` where there is none.
    ///
    /// # Errors
    /// `store/bad-key`, and those of the backend.
    pub fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>> {
        wait(self.get_async(key, range))
    }

    /// [`get`](Self::get) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn get_async(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>> {
        check_key(key)?;
        self.drive(self.shared.backend.get(key, range)).await
    }

    /// Several blobs or ranges of them, in the order asked.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_many(&self, wanted: Vec<(String, Option<Range<u64>>)>) -> Result<Vec<Option<Vec<u8>>>> {
        wait(self.get_many_async(wanted))
    }

    /// [`get_many`](Self::get_many) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn get_many_async(&self, wanted: Vec<(String, Option<Range<u64>>)>) -> Result<Vec<Option<Vec<u8>>>> {
        wanted.iter().try_for_each(|(key, _)| check_key(key))?;
        self.drive(self.shared.backend.get_many(wanted)).await
    }

    /// Stores `bytes` under `key`, durable when it returns.
    ///
    /// # Errors
    /// `store/bad-key`, and those of the backend.
    pub fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        wait(self.put_async(key, bytes))
    }

    /// [`put`](Self::put) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn put_async(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        check_key(key)?;
        self.drive(self.shared.backend.put(key, bytes)).await
    }

    /// Stores several blobs; the last one only becomes visible when all others are durable.
    ///
    /// # Errors
    /// As [`put`](Self::put); some may be stored then.
    pub fn put_many(&self, blobs: Vec<(String, Vec<u8>)>) -> Result<()> {
        wait(self.put_many_async(blobs))
    }

    /// [`put_many`](Self::put_many) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn put_many_async(&self, blobs: Vec<(String, Vec<u8>)>) -> Result<()> {
        blobs.iter().try_for_each(|(key, _)| check_key(key))?;
        self.drive(self.shared.backend.put_many(blobs)).await
    }

    /// Removes the blob; whether there was one. Durable after the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn delete(&self, key: &str) -> Result<bool> {
        wait(self.delete_async(key))
    }

    /// [`delete`](Self::delete) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn delete_async(&self, key: &str) -> Result<bool> {
        check_key(key)?;
        self.drive(self.shared.backend.delete(key)).await
    }

    /// All keys that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn list(&self, prefix: &str) -> Result<Vec<String>> {
        wait(self.list_async(prefix))
    }

    /// [`list`](Self::list) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn list_async(&self, prefix: &str) -> Result<Vec<String>> {
        self.drive(self.shared.backend.list(prefix)).await
    }

    /// The length of the blob under `key`; `None` where there is none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn size(&self, key: &str) -> Result<Option<u64>> {
        wait(self.size_async(key))
    }

    /// [`size`](Self::size) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn size_async(&self, key: &str) -> Result<Option<u64>> {
        check_key(key)?;
        self.drive(self.shared.backend.size(key)).await
    }

    /// Stores `new` under `key` if the blob there equals `expected` (`None`: if there is none); whether it was stored.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn swap(&self, key: &str, expected: Option<&[u8]>, new: Vec<u8>) -> Result<bool> {
        wait(self.swap_async(key, expected, new))
    }

    /// [`swap`](Self::swap) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn swap_async(&self, key: &str, expected: Option<&[u8]>, new: Vec<u8>) -> Result<bool> {
        check_key(key)?;
        self.drive(self.shared.backend.swap(key, expected, new)).await
    }

    /// Overwrites `bytes` at `offset` of the blob, durable when it returns; see [`Backend::write_at`].
    ///
    /// # Errors
    /// As [`put`](Self::put), and `store/write-at-unsupported` where [`Capabilities::write_at`] is not set.
    pub fn write_at(&self, key: &str, offset: u64, bytes: Vec<u8>) -> Result<()> {
        wait(self.write_at_async(key, offset, bytes))
    }

    /// [`write_at`](Self::write_at) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn write_at_async(&self, key: &str, offset: u64, bytes: Vec<u8>) -> Result<()> {
        check_key(key)?;
        self.drive(self.shared.backend.write_at(key, offset, bytes)).await
    }

    /// Leaves a note that is not durable; see [`Backend::hint`].
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub(crate) fn hint(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        check_key(key)?;
        wait(self.drive(self.shared.backend.hint(key, bytes)))
    }

    /// The last note; see [`Backend::hinted`].
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn hinted(&self, key: &str) -> Result<Option<Vec<u8>>> {
        check_key(key)?;
        wait(self.drive(self.shared.backend.hinted(key)))
    }

    /// Makes everything written and removed so far durable.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn sync(&self) -> Result<()> {
        wait(self.sync_async())
    }

    /// [`sync`](Self::sync) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn sync_async(&self) -> Result<()> {
        self.drive(self.shared.backend.sync()).await
    }
}

/// The examples of the authors' guide, which run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/backends.md")]
struct AuthorsGuide;
