//! `:blobs`: blobs in memory that are treated as if they were on a server. Nothing is written in place, so each entry of
//! the log is a blob of its own.

#![allow(dead_code, reason = "each test uses its part")]

use std::ops::Range;
use std::sync::Arc;

use treering::edn::Keyword;
use treering::store::{Backend, BoxFuture, Capabilities, MemoryBackend, Store};
use treering::{Access, BackendKind, Result, StoreConfig};

#[derive(Debug, Clone, Default)]
pub struct Blobs(pub MemoryBackend);

impl Blobs {
    /// The bytes of every blob.
    pub fn all(&self) -> Vec<(String, Vec<u8>)> {
        let store = Store::new(self.0.clone());
        let keys = store.list("").unwrap();
        keys.into_iter().map(|key| (key.clone(), store.get(&key, None).unwrap().unwrap_or_default())).collect()
    }
}

impl Backend for Blobs {
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        self.0.get(key, range)
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        self.0.put(key, bytes)
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        self.0.delete(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        self.0.list(prefix)
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a [u8]>, new: Vec<u8>) -> BoxFuture<'a, Result<bool>> {
        self.0.swap(key, expected, new)
    }

    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        self.0.sync()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
}

impl BackendKind for Blobs {
    fn keyword(&self) -> Keyword {
        Keyword::new("blobs")
    }

    fn validate(&self, _: &StoreConfig) -> Result<()> {
        Ok(())
    }

    fn identity(&self, _: &StoreConfig) -> Result<String> {
        Ok("blobs".to_owned())
    }

    fn create<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async { Ok(Arc::new(self.clone()) as Arc<dyn Backend>) })
    }

    fn exists<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(true) })
    }

    fn connect<'a>(&'a self, _: &'a StoreConfig, _: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async { Ok(Arc::new(self.clone()) as Arc<dyn Backend>) })
    }

    fn delete<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        unreachable!("these tests delete no store")
    }
}
