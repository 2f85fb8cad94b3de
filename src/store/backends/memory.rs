//! `:memory`: blobs in a sorted map of this process.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use uuid::Uuid;

use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::store::backend::{Backend, BoxFuture, Capabilities, check_key, cut};
use crate::store::{Access, BackendKind, StoreConfig};

/// Blobs in the memory of this process; clones share them, and they go when the last clone goes.
///
/// ```
/// use treering::store::{MemoryBackend, Store};
/// let store = Store::new(MemoryBackend::new());
/// store.put("a/b", b"bytes".to_vec())?;
/// assert_eq!(store.get("a/b", Some(1..3))?, Some(b"yt".to_vec()));
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryBackend {
    blobs: Arc<RwLock<BTreeMap<String, Vec<u8>>>>,
}

impl MemoryBackend {
    /// An empty backend.
    pub fn new() -> Self {
        MemoryBackend::default()
    }
}

impl std::fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryBackend({} blobs)", self.blobs.read().len())
    }
}

impl Backend for MemoryBackend {
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            let blobs = self.blobs.read();
            Ok(blobs.get(key).map(|bytes| {
                let (start, end) = cut(range, bytes.len() as u64);
                bytes[start as usize..end as usize].to_vec()
            }))
        })
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            check_key(key)?;
            self.blobs.write().insert(key.to_owned(), bytes);
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(self.blobs.write().remove(key).is_some()) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let blobs = self.blobs.read();
            let from = blobs.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
            Ok(from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect())
        })
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a [u8]>, new: Vec<u8>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            check_key(key)?;
            let mut blobs = self.blobs.write();
            if blobs.get(key).map(Vec::as_slice) != expected {
                return Ok(false);
            }
            blobs.insert(key.to_owned(), new);
            Ok(true)
        })
    }

    fn size<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<u64>>> {
        Box::pin(async move { Ok(self.blobs.read().get(key).map(|bytes| bytes.len() as u64)) })
    }

    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn write_at<'a>(&'a self, key: &'a str, offset: u64, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            check_key(key)?;
            let mut blobs = self.blobs.write();
            let blob = blobs.entry(key.to_owned()).or_default();
            let too_large = || {
                let what = format!("cannot grow the blob {key:?} to {} bytes at {offset} in memory", bytes.len());
                Error::new(ErrorKind::Storage, "store/full", what)
            };
            let start = usize::try_from(offset).map_err(|_| too_large())?;
            let end = start.checked_add(bytes.len()).ok_or_else(too_large)?;
            if end > blob.len() {
                blob.try_reserve(end - blob.len()).map_err(|e| too_large().caused_by(e))?;
                blob.resize(end, 0);
            }
            blob[start..end].copy_from_slice(&bytes);
            Ok(())
        })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { write_at: true, durable: false, volatile: true, ..Capabilities::default() }
    }
}

/// `:memory`: stores by their id, kept until they are deleted.
#[derive(Debug, Default)]
pub(crate) struct MemoryKind {
    stores: Mutex<HashMap<Uuid, MemoryBackend>>,
}

impl MemoryKind {
    fn id(store: &StoreConfig) -> Result<Uuid> {
        store.id().ok_or_else(|| {
            let message = format!(
                "a :memory store is found by its :id, and the config gives none: \
                 add :id #uuid \"{}\" (or another UUID) to :store, or a :name",
                Uuid::new_v4()
            );
            Error::new(ErrorKind::Config, "config/missing", message)
        })
    }
}

impl BackendKind for MemoryKind {
    fn keyword(&self) -> Keyword {
        Keyword::new("memory")
    }

    fn validate(&self, store: &StoreConfig) -> Result<()> {
        store.check_keys(&["name", "scope"])?;
        MemoryKind::id(store).map(|_| ())
    }

    fn identity(&self, store: &StoreConfig) -> Result<String> {
        Ok(MemoryKind::id(store)?.to_string())
    }

    fn create<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move {
            let backend = self.stores.lock().entry(MemoryKind::id(store)?).or_default().clone();
            Ok(Arc::new(backend) as Arc<dyn Backend>)
        })
    }

    fn exists<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(self.stores.lock().contains_key(&MemoryKind::id(store)?)) })
    }

    fn connect<'a>(&'a self, store: &'a StoreConfig, _access: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move {
            let id = MemoryKind::id(store)?;
            let backend = self.stores.lock().get(&id).cloned();
            let backend = backend.ok_or_else(|| {
                let message = format!("there is no database {id} in the memory of this process: create it first");
                Error::new(ErrorKind::Existence, "db-does-not-exist", message)
            })?;
            Ok(Arc::new(backend) as Arc<dyn Backend>)
        })
    }

    fn delete<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.stores.lock().remove(&MemoryKind::id(store)?);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn conforms() {
        crate::store::testing::conformance(|| Arc::new(MemoryBackend::new()));
    }

    #[test]
    fn clones_share_and_too_much_is_an_error() {
        let backend = MemoryBackend::new();
        let (one, two) = (Store::new(backend.clone()), Store::new(backend));
        one.put("a", vec![1]).unwrap();
        assert_eq!(two.get("a", None).unwrap(), Some(vec![1]));
        assert_eq!(one.write_at("a", u64::MAX, vec![1]).unwrap_err().code(), "store/full");
        assert_eq!(one.write_at("a", u64::MAX / 2 - 9, vec![1]).unwrap_err().code(), "store/full");
    }
}
