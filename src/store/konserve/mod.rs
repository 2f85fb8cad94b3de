//! Values of EDN under keys of EDN, on any backend: a store to use on its own, in the model of konserve.
//!
//! A value travels with its [`Metadata`]. Its blob lies under `kv/` and the hash of the printed key and holds two
//! frames, the metadata and the value, so that the one is read without the other. Elements of append logs lie under
//! `kvlog/`, each a blob of its own.

mod append;
mod path;
mod record;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::Store;
use super::bridge::wait;
use crate::edn::Form;
use crate::error::{Error, ErrorKind, Result};
use record::{Key, Record};
pub use record::{Metadata, Stored};

/// Where the blobs of values lie.
const PREFIX: &str = "kv/";
/// Bytes in which most metadata ends.
const HEAD: u64 = 512;

/// EDN values under EDN keys. Clones share their locks and their clock.
///
/// Each call blocks the calling thread and has a twin named `_async`. A call that reads and then writes holds the
/// key's lock in this process and stores by compare-and-set, so that writers in other processes are seen too, where
/// the backend's `swap` is atomic between them.
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
    shared: Arc<Shared>,
}

type Lock = Arc<tokio::sync::Mutex<()>>;

#[derive(Debug, Default)]
struct Shared {
    /// The locks that somebody holds or waits for.
    locks: Mutex<HashMap<String, Lock>>,
    /// The last time given out, in milliseconds.
    clock: AtomicI64,
}

/// Holds the lock of a key.
struct Held<'a> {
    shared: &'a Shared,
    name: &'a str,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut locks = self.shared.locks.lock();
        if locks.get(self.name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(self.name);
        }
    }
}

impl Shared {
    async fn lock<'a>(&'a self, name: &'a str) -> Held<'a> {
        let lock = self.locks.lock().entry_ref(name).or_default().clone();
        // Made before waiting, so that a future that is dropped while it waits leaves no lock behind.
        let mut held = Held { shared: self, name, guard: None };
        held.guard = Some(lock.lock_owned().await);
        held
    }

    /// Milliseconds since 1970, never less than the last time.
    fn now(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.clock.fetch_max(now, Ordering::AcqRel).max(now)
    }
}

fn no_path() -> Error {
    Error::new(ErrorKind::Argument, "store/path", "a path is empty; it begins with the key")
}

impl KeyValue {
    /// Keys and values on `store`, beside whatever else lies there.
    pub fn new(store: Store) -> Self {
        KeyValue { store, shared: Arc::default() }
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
    }

    async fn read(&self, key: &Key) -> Result<Option<Record>> {
        match self.store.get_async(&key.name, None).await? {
            Some(bytes) => Record::decode(key, bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The metadata in the beginning of a blob, of which more is read as needed; `None` if the blob is gone.
    async fn read_meta(&self, name: &str, head: Vec<u8>) -> Result<Option<Metadata>> {
        let len = Metadata::encoded_len(&head, name)?;
        if len <= head.len() as u64 {
            return Metadata::decode(&head, name).map(Some);
        }
        match self.store.get_async(name, Some(0..len)).await? {
            Some(bytes) => Metadata::decode(&bytes, name).map(Some),
            None => Ok(None),
        }
    }

    /// Reads, changes and stores under the key's lock; `change` runs again if another process was faster.
    async fn modify<T>(
        &self,
        key: &Form,
        mut change: impl FnMut(Option<&Record>) -> Result<(Stored, T)> + Send,
    ) -> Result<T> {
        let key = Key::of(key)?;
        let _held = self.shared.lock(&key.name).await;
        loop {
            let old = self.read(&key).await?;
            let (value, result) = change(old.as_ref())?;
            let extra = old.as_ref().map_or(&[][..], |old| &old.meta.extra);
            let new = Record::encode(&key, &value, self.shared.now(), extra)?;
            if self.store.swap_async(&key.name, old.as_ref().map(|old| &old.bytes[..]), new).await? {
                return Ok(result);
            }
        }
    }

    /// Whether there is a value under `key`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn exists(&self, key: &Form) -> Result<bool> {
        wait(self.exists_async(key))
    }

    /// [`exists`](Self::exists) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn exists_async(&self, key: &Form) -> Result<bool> {
        Ok(self.get_meta_async(key).await?.is_some())
    }

    /// The value under `key`; `None` where there is none, which differs from `nil`.
    ///
    /// # Errors
    /// `store/type` if the value is binary, `store/corrupt`, `store/bad-form` if the key cannot be written as text, and
    /// those of the backend.
    pub fn get(&self, key: &Form) -> Result<Option<Form>> {
        wait(self.get_async(key))
    }

    /// [`get`](Self::get) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn get_async(&self, key: &Form) -> Result<Option<Form>> {
        let key = Key::of(key)?;
        self.read(&key).await?.map(|record| record.into_form(&key)).transpose()
    }

    /// The metadata and the value under `key`, of whatever type.
    ///
    /// # Errors
    /// As [`get`](Self::get), but for `store/type`.
    pub fn get_stored(&self, key: &Form) -> Result<Option<(Metadata, Stored)>> {
        wait(self.get_stored_async(key))
    }

    /// [`get_stored`](Self::get_stored) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn get_stored_async(&self, key: &Form) -> Result<Option<(Metadata, Stored)>> {
        let record = self.read(&Key::of(key)?).await?;
        Ok(record.map(|record| (record.meta, record.value)))
    }

    /// The metadata of the value under `key`, without reading the value.
    ///
    /// # Errors
    /// As [`get`](Self::get), but for `store/type`.
    pub fn get_meta(&self, key: &Form) -> Result<Option<Metadata>> {
        wait(self.get_meta_async(key))
    }

    /// [`get_meta`](Self::get_meta) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn get_meta_async(&self, key: &Form) -> Result<Option<Metadata>> {
        let key = Key::of(key)?;
        let Some(head) = self.store.get_async(&key.name, Some(0..HEAD)).await? else { return Ok(None) };
        let meta = self.read_meta(&key.name, head).await?;
        meta.map(|meta| key.check(meta)).transpose()
    }

    /// What lies at a path: the key, then keys of maps, places in vectors, members of sets.
    ///
    /// # Errors
    /// As [`get`](Self::get), and `store/path` if the path is empty.
    pub fn get_in(&self, path: &[Form]) -> Result<Option<Form>> {
        wait(self.get_in_async(path))
    }

    /// [`get_in`](Self::get_in) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn get_in_async(&self, path: &[Form]) -> Result<Option<Form>> {
        let (key, rest) = path.split_first().ok_or_else(no_path)?;
        let value = self.get_async(key).await?;
        Ok(value.and_then(|value| path::find(&value, rest).cloned()))
    }

    /// Stores `value` under `key`, whatever is there; an append log is better removed first, with its elements.
    ///
    /// # Errors
    /// `store/bad-form` if key or value is a form that cannot be read back from its text, and those of the backend.
    pub fn assoc(&self, key: &Form, value: Form) -> Result<()> {
        wait(self.assoc_async(key, value))
    }

    /// [`assoc`](Self::assoc) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn assoc_async(&self, key: &Form, value: Form) -> Result<()> {
        self.store_new(key, Stored::Edn(value), &[]).await
    }

    /// [`assoc`](Self::assoc) with entries of the caller's own in the metadata. `:key`, `:type` and `:last-write` are
    /// the store's, whatever the caller says.
    ///
    /// # Errors
    /// As [`assoc`](Self::assoc).
    pub fn assoc_with_meta(&self, key: &Form, value: Form, extra: &[(Form, Form)]) -> Result<()> {
        wait(self.assoc_with_meta_async(key, value, extra))
    }

    /// [`assoc_with_meta`](Self::assoc_with_meta) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn assoc_with_meta_async(&self, key: &Form, value: Form, extra: &[(Form, Form)]) -> Result<()> {
        self.store_new(key, Stored::Edn(value), extra).await
    }

    async fn store_new(&self, key: &Form, value: Stored, extra: &[(Form, Form)]) -> Result<()> {
        let key = Key::of(key)?;
        let bytes = Record::encode(&key, &value, self.shared.now(), extra)?;
        let _held = self.shared.lock(&key.name).await;
        self.store.put_async(&key.name, bytes).await
    }

    /// Stores `value` at a path; maps are made where the path leads through nothing, and a vector grows by one at its
    /// end.
    ///
    /// # Errors
    /// As [`assoc`](Self::assoc), `store/path` if the path is empty or leads through what is no map or vector, and
    /// `store/type` if the value under the key is binary or an append log.
    pub fn assoc_in(&self, path: &[Form], value: Form) -> Result<()> {
        wait(self.assoc_in_async(path, value))
    }

    /// [`assoc_in`](Self::assoc_in) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn assoc_in_async(&self, path: &[Form], value: Form) -> Result<()> {
        match path {
            [key] => self.assoc_async(key, value).await,
            path => self.update_in_async(path, |_| Ok(value.clone())).await.map(|_| ()),
        }
    }

    /// Stores what `change` makes of the value under `key`, and gives the old and the new one. The metadata's own
    /// entries are kept. `change` may run more than once, and must not use the same key.
    ///
    /// # Errors
    /// Those of `change` (nothing is stored then), and as [`assoc`](Self::assoc) and [`get`](Self::get).
    pub fn update(
        &self,
        key: &Form,
        change: impl FnMut(Option<Form>) -> Result<Form> + Send,
    ) -> Result<(Option<Form>, Form)> {
        wait(self.update_async(key, change))
    }

    /// [`update`](Self::update) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn update_async(
        &self,
        key: &Form,
        change: impl FnMut(Option<Form>) -> Result<Form> + Send,
    ) -> Result<(Option<Form>, Form)> {
        self.update_in_async(std::slice::from_ref(key), change).await
    }

    /// [`update`](Self::update) at a path as [`assoc_in`](Self::assoc_in) takes it.
    ///
    /// # Errors
    /// As [`update`](Self::update) and [`assoc_in`](Self::assoc_in).
    pub fn update_in(
        &self,
        path: &[Form],
        change: impl FnMut(Option<Form>) -> Result<Form> + Send,
    ) -> Result<(Option<Form>, Form)> {
        wait(self.update_in_async(path, change))
    }

    /// [`update_in`](Self::update_in) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn update_in_async(
        &self,
        path: &[Form],
        mut change: impl FnMut(Option<Form>) -> Result<Form> + Send,
    ) -> Result<(Option<Form>, Form)> {
        let (key, rest) = path.split_first().ok_or_else(no_path)?;
        self.modify(key, |old| {
            let old = old.map(|old| old.value.as_form(key)).transpose()?;
            let (root, old, new) = path::change(old.cloned(), rest, &mut change)?;
            Ok((Stored::Edn(root), (old, new)))
        })
        .await
    }

    /// Removes the value under `key`; whether there was one. The elements of an append log go with it.
    ///
    /// # Errors
    /// Those of the backend, and `store/corrupt` for an append log that cannot be read.
    pub fn dissoc(&self, key: &Form) -> Result<bool> {
        wait(self.dissoc_async(key))
    }

    /// [`dissoc`](Self::dissoc) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn dissoc_async(&self, key: &Form) -> Result<bool> {
        let name = Key::of(key)?.name;
        let _held = self.shared.lock(&name).await;
        let elements = self.log_elements(key).await?;
        let existed = self.store.delete_async(&name).await?;
        for element in elements {
            self.store.delete_async(&element).await?;
        }
        self.store.sync_async().await?;
        Ok(existed)
    }

    /// The bytes under `key`, stored by [`bassoc`](Self::bassoc).
    ///
    /// # Errors
    /// `store/type` if the value is not binary; else as [`get`](Self::get).
    pub fn bget(&self, key: &Form) -> Result<Option<Vec<u8>>> {
        wait(self.bget_async(key))
    }

    /// [`bget`](Self::bget) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn bget_async(&self, key: &Form) -> Result<Option<Vec<u8>>> {
        let key = Key::of(key)?;
        self.read(&key).await?.map(|record| record.into_bytes(&key)).transpose()
    }

    /// Stores bytes under `key`, whatever is there.
    ///
    /// # Errors
    /// As [`assoc`](Self::assoc).
    pub fn bassoc(&self, key: &Form, bytes: impl Into<Vec<u8>>) -> Result<()> {
        wait(self.bassoc_async(key, bytes.into()))
    }

    /// [`bassoc`](Self::bassoc) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn bassoc_async(&self, key: &Form, bytes: Vec<u8>) -> Result<()> {
        self.store_new(key, Stored::Binary(bytes), &[]).await
    }

    /// The metadata of all values, in no order.
    ///
    /// # Errors
    /// `store/corrupt` and those of the backend.
    pub fn keys(&self) -> Result<Vec<Metadata>> {
        wait(self.keys_async())
    }

    /// [`keys`](Self::keys) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn keys_async(&self) -> Result<Vec<Metadata>> {
        let names = self.store.list_async(PREFIX).await?;
        let heads = names.iter().map(|name| (name.clone(), Some(0..HEAD))).collect();
        let mut all = Vec::with_capacity(names.len());
        for (name, head) in names.iter().zip(self.store.get_many_async(heads).await?) {
            // One that was removed meanwhile is no key.
            let Some(head) = head else { continue };
            all.extend(self.read_meta(name, head).await?);
        }
        Ok(all)
    }

    /// The values that are there of those asked for, with their keys, in the order asked.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn multi_get(&self, keys: &[Form]) -> Result<Vec<(Form, Form)>> {
        wait(self.multi_get_async(keys))
    }

    /// [`multi_get`](Self::multi_get) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn multi_get_async(&self, keys: &[Form]) -> Result<Vec<(Form, Form)>> {
        let keys: Vec<Key> = keys.iter().map(Key::of).collect::<Result<_>>()?;
        let wanted = keys.iter().map(|key| (key.name.clone(), None)).collect();
        let blobs = self.store.get_many_async(wanted).await?;
        let found = keys.into_iter().zip(blobs).filter_map(|(key, blob)| Some((key, blob?)));
        found
            .map(|(key, blob)| {
                let value = Record::decode(&key, blob)?.into_form(&key)?;
                Ok((key.form, value))
            })
            .collect()
    }

    /// Stores all values in order: the last one, which may point to the others, becomes visible only when they are
    /// durable.
    ///
    /// # Errors
    /// As [`assoc`](Self::assoc); some may be stored then.
    pub fn multi_assoc(&self, pairs: Vec<(Form, Form)>) -> Result<()> {
        wait(self.multi_assoc_async(pairs))
    }

    /// [`multi_assoc`](Self::multi_assoc) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn multi_assoc_async(&self, pairs: Vec<(Form, Form)>) -> Result<()> {
        let mut blobs = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let key = Key::of(&key)?;
            let bytes = Record::encode(&key, &Stored::Edn(value), self.shared.now(), &[])?;
            blobs.push((key.name, bytes));
        }
        self.store.put_many_async(blobs).await
    }

    /// Removes all these values; each key with whether there was one.
    ///
    /// # Errors
    /// As [`dissoc`](Self::dissoc); some may be removed then.
    pub fn multi_dissoc(&self, keys: &[Form]) -> Result<Vec<(Form, bool)>> {
        wait(self.multi_dissoc_async(keys))
    }

    /// [`multi_dissoc`](Self::multi_dissoc) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn multi_dissoc_async(&self, keys: &[Form]) -> Result<Vec<(Form, bool)>> {
        let mut existed = Vec::with_capacity(keys.len());
        for key in keys {
            existed.push((key.clone(), self.dissoc_async(key).await?));
        }
        Ok(existed)
    }
}

#[cfg(test)]
mod tests;
