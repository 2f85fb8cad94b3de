//! The template of `docs/backends.md`, as a crate of its own.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use treering::edn::Keyword;
use treering::store::{Backend, BoxFuture, Capabilities};
use treering::{Access, BackendKind, Error, ErrorKind, Result, StoreConfig};

#[derive(Debug, Default)]
pub struct TableBackend {
    rows: Mutex<BTreeMap<String, Vec<u8>>>,
    limit: usize,
}

impl TableBackend {
    /// An empty table for blobs of at most `limit` bytes.
    pub fn new(limit: usize) -> TableBackend {
        TableBackend { limit, ..TableBackend::default() }
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error says what was wanted and where, and has a code of the `store/` family.
    fn check(&self, key: &str, bytes: &[u8]) -> Result<()> {
        if bytes.len() <= self.limit {
            return Ok(());
        }
        let what = format!("the blob {key:?} has {} bytes; the table takes at most {}", bytes.len(), self.limit);
        Err(Error::new(ErrorKind::Storage, "store/too-large", what))
    }
}

impl Backend for TableBackend {
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            let rows = self.rows();
            let Some(bytes) = rows.get(key) else { return Ok(None) };
            // A range is cut at the end of the blob; what lies past it is empty.
            let len = bytes.len() as u64;
            let range = range.unwrap_or(0..len);
            let (start, end) = (range.start.min(len) as usize, range.end.min(len) as usize);
            Ok(Some(bytes.get(start..end).unwrap_or_default().to_vec()))
        })
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.check(key, &bytes)?;
            self.rows().insert(key.to_owned(), bytes);
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(self.rows().remove(key).is_some()) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move { Ok(self.rows().keys().filter(|key| key.starts_with(prefix)).cloned().collect()) })
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a [u8]>, new: Vec<u8>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            self.check(key, &new)?;
            let mut rows = self.rows();
            if rows.get(key).map(Vec::as_slice) != expected {
                return Ok(false);
            }
            rows.insert(key.to_owned(), new);
            Ok(true)
        })
    }

    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.durable = false;
        capabilities
    }
}

/// `:table`: what a config can ask of the backend. The tables live as long as the kind.
#[derive(Debug, Default)]
pub struct TableKind {
    tables: Mutex<HashMap<String, Arc<TableBackend>>>,
}

impl TableKind {
    fn name(store: &StoreConfig) -> Result<String> {
        Ok(store.string("table")?.ok_or_else(|| store.missing("table"))?.to_owned())
    }

    fn tables(&self) -> MutexGuard<'_, HashMap<String, Arc<TableBackend>>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BackendKind for TableKind {
    fn keyword(&self) -> Keyword {
        Keyword::new("table")
    }

    /// Duty 1, the default config: options to lay beneath those that are given, from the environment too.
    fn default_config(&self, environment: &dyn Fn(&str) -> Option<String>) -> StoreConfig {
        let store = StoreConfig::new("table").with_option("limit", 1 << 30);
        match environment("TABLE_NAME") {
            Some(name) => store.with_option("table", name.as_str()),
            None => store,
        }
    }

    /// Duty 2, validation: before anything is opened.
    fn validate(&self, store: &StoreConfig) -> Result<()> {
        store.check_keys(&["table", "limit"])?;
        store.number("limit", 1..=1 << 40)?;
        TableKind::name(store).map(|_| ())
    }

    /// Equal texts mean the same store, which is opened once in a process. No secrets: errors show it.
    fn identity(&self, store: &StoreConfig) -> Result<String> {
        TableKind::name(store)
    }

    /// Duty 3, to create: an empty store, or the one that is there.
    fn create<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move {
            let limit = store.number("limit", 1..=1 << 40)?.unwrap_or(1 << 30) as usize;
            let mut tables = self.tables();
            let made = tables.entry(TableKind::name(store)?).or_insert_with(|| Arc::new(TableBackend::new(limit)));
            Ok(Arc::clone(made) as Arc<dyn Backend>)
        })
    }

    fn exists<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(self.tables().contains_key(&TableKind::name(store)?)) })
    }

    /// Duty 4, to connect: a store that is there, to read it or to be its writer.
    fn connect<'a>(&'a self, store: &'a StoreConfig, _: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move {
            let name = TableKind::name(store)?;
            let found = self.tables().get(&name).cloned();
            let found = found.ok_or_else(|| {
                let message = format!("there is no table {name:?}: create the database first");
                Error::new(ErrorKind::Existence, "db-does-not-exist", message)
            })?;
            Ok(found as Arc<dyn Backend>)
        })
    }

    /// Duty 5, to release: nobody holds the store any more. Without this method it is dropped.
    fn release<'a>(&'a self, _: &'a StoreConfig, backend: Arc<dyn Backend>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { backend.sync().await })
    }

    /// Duty 6, to delete: the store with all that it holds, if it is there.
    fn delete<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.tables().remove(&TableKind::name(store)?);
            Ok(())
        })
    }

    /// Duty 7, the index of databases whose config names none. Without this method it is the persistent set.
    fn default_index(&self) -> Keyword {
        Keyword::new("datahike.index/persistent-set")
    }
}
