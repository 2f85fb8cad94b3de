//! How often a backend is called: once for a small transaction, three times to open what was closed.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use treering::edn::Keyword;
use treering::store::{Backend, BoxFuture, Capabilities, Store};
use treering::{
    Access, BackendKind, Config, Connection, Kinds, Registry, Result, StoreConfig, connect_in, create_database_in,
};

use crate::support::SCHEMA;
use crate::{Place, suites};

type Calls = Arc<Mutex<Vec<String>>>;

/// Notes every call.
#[derive(Debug)]
struct Counted {
    store: Store,
    calls: Calls,
}

impl Counted {
    fn note(&self, call: &str, key: &str) {
        self.calls.lock().push(format!("{call} {}", key.split('/').next().unwrap_or_default()));
    }
}

impl Backend for Counted {
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        self.note("get", key);
        Box::pin(self.store.get_async(key, range))
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        self.note("put", key);
        Box::pin(self.store.put_async(key, bytes))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        self.note("delete", key);
        Box::pin(self.store.delete_async(key))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        self.note("list", prefix);
        Box::pin(self.store.list_async(prefix))
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a [u8]>, new: Vec<u8>) -> BoxFuture<'a, Result<bool>> {
        self.note("swap", key);
        Box::pin(self.store.swap_async(key, expected, new))
    }

    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        self.note("sync", "");
        Box::pin(self.store.sync_async())
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.store.capabilities();
        capabilities.tokio = false;
        capabilities
    }
}

/// `:counted`: another store, whose calls are noted. It needs nothing that a crate of its own could not have.
#[derive(Debug)]
struct CountedKind {
    kinds: Kinds,
    calls: Calls,
}

impl CountedKind {
    fn over(store: &StoreConfig) -> Result<StoreConfig> {
        StoreConfig::from_form(store.option("over").ok_or_else(|| store.missing("over"))?)
    }

    fn counted(&self, store: Store) -> Arc<dyn Backend> {
        Arc::new(Counted { store, calls: Arc::clone(&self.calls) })
    }
}

impl BackendKind for CountedKind {
    fn keyword(&self) -> Keyword {
        Keyword::new("counted")
    }

    fn validate(&self, store: &StoreConfig) -> Result<()> {
        self.kinds.check(&CountedKind::over(store)?).map(|_| ())
    }

    fn identity(&self, store: &StoreConfig) -> Result<String> {
        self.kinds.identity(&CountedKind::over(store)?)
    }

    fn create<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move { Ok(self.counted(self.kinds.create(&CountedKind::over(store)?)?)) })
    }

    fn exists<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { self.kinds.exists(&CountedKind::over(store)?) })
    }

    fn connect<'a>(&'a self, store: &'a StoreConfig, access: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move { Ok(self.counted(self.kinds.connect(&CountedKind::over(store)?, access)?)) })
    }

    fn delete<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.kinds.delete(&CountedKind::over(store)?) })
    }
}

/// What `work` calls.
fn during<T>(calls: &Calls, work: impl FnOnce() -> T) -> (T, Vec<String>) {
    calls.lock().clear();
    let done = work();
    (done, std::mem::take(&mut *calls.lock()))
}

pub fn are_few(place: &dyn Place) {
    let calls = Calls::default();
    let registry = || {
        let registry = Registry::with_builtins();
        registry.register_backend(CountedKind { kinds: registry.kinds(), calls: Arc::clone(&calls) });
        registry
    };
    let config = Config::from_edn(&format!("{{:store {{:backend :counted :over {}}}}}", place.store("calls"))).unwrap();
    create_database_in(&registry(), &config).unwrap();
    let connect = |config: &Config| -> Connection { connect_in(&registry(), config).unwrap() };

    let conn = connect(&config);
    conn.transact(SCHEMA).unwrap();
    for i in 0..3 {
        let ((), made) = during(&calls, || drop(conn.transact(format!("[{{:name \"n{i}\"}}]").as_str()).unwrap()));
        assert_eq!(made, ["swap log"], "a small transaction on {}", suites::backend(&config));
    }
    let (flushed, made) = during(&calls, || conn.flush());
    flushed.unwrap();
    assert_eq!(made, ["put pack", "put commit", "swap head"], "a flush");
    conn.release().unwrap();

    let (reader, made) = during(&calls, || connect(&config.clone().read_only(true)));
    assert_eq!(made, ["get head", "get commit", "get log"], "opening to read");
    reader.release().unwrap();
    let (conn, made) = during(&calls, || connect(&config));
    assert_eq!(made, ["get head", "get commit", "get log", "swap log", "swap head"], "opening to write");
    // What was not flushed is read from the log, one blob for each entry.
    for i in 0..5 {
        conn.transact(format!("[{{:name \"m{i}\"}}]").as_str()).unwrap();
    }
    let (reader, made) = during(&calls, || connect(&config.clone().read_only(true)));
    let reads = |what: &str| made.iter().filter(|call| *call == what).count();
    assert_eq!((reads("get head"), reads("get commit")), (2, 1), "{made:?}");
    assert_eq!(reads("get log"), 7, "the mark, five entries, and the end: {made:?}");
    assert_eq!(made.len(), 10 + reads("get pack"), "{made:?}");
    reader.release().unwrap();
    conn.release().unwrap();
}
