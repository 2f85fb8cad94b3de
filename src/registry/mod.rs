//! Names to what they name: storage backends, index kinds, functions, and the stores that are open.
//!
//! [`Registry::standard`] is the one default of the process; tests and embedders that want their own make one with
//! [`Registry::new`].

mod functions;
pub mod key_value;
mod memory;
mod open;
mod pool;
mod stores;
#[cfg(test)]
mod tests;

pub(crate) use memory::{MemoryDatabase, MemoryDatabases};
pub(crate) use open::OpenTable;
pub(crate) use pool::Pool;
pub(crate) use stores::{Lease, OpenStore};

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::{Mutex, RwLock};

use crate::commit::NodeCache;
use crate::config::Config;
use crate::edn::Keyword;
use crate::error::Result;
use crate::index::{HitchhikerTree, IndexKind, PersistentSet};
use crate::library::Library;
use crate::store::backends::{FileKind, MemoryKind, TieredKind};
use crate::store::kind::{KindTable, unknown};
use crate::store::{Access, BackendKind, Kinds, Store, StoreConfig, wait};
use stores::OpenStores;

/// The backends and index kinds that configs can name, the functions that transactions and queries can call, and what is
/// open.
///
/// ```
/// use treering::{Config, Registry};
/// let registry = Registry::standard();
/// assert!(registry.backend_keywords().iter().any(|k| k.as_str() == "file"));
/// let config = Config::from_edn("{:store {:backend :fiel}}")?;
/// let error = registry.check(&config).unwrap_err();
/// assert_eq!(error.code(), "backend-does-not-exist");
/// assert!(error.message().contains("did you mean :file?"));
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Registry {
    backends: Arc<KindTable>,
    indexes: RwLock<BTreeMap<Keyword, Arc<dyn IndexKind>>>,
    open: Arc<OpenTable>,
    stores: Arc<OpenStores>,
    memory: MemoryDatabases,
    pool: Arc<Pool>,
    library: Library,
    /// By the bytes that they may hold.
    caches: Mutex<BTreeMap<u64, Weak<NodeCache>>>,
}

static STANDARD: LazyLock<Registry> = LazyLock::new(Registry::with_builtins);

impl Registry {
    /// A registry that knows nothing.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// A registry of its own with the backends and index kinds of this crate.
    pub fn with_builtins() -> Registry {
        let registry = Registry::new()
            .with_backend(MemoryKind::default())
            .with_backend(FileKind)
            .with_index(PersistentSet)
            .with_index(HitchhikerTree);
        registry.register_backend(TieredKind::new(registry.kinds()));
        #[cfg(feature = "lmdb")]
        registry.register_backend(crate::store::backends::LmdbKind);
        #[cfg(feature = "postgres")]
        registry.register_backend(crate::store::backends::PostgresKind);
        #[cfg(feature = "redis")]
        registry.register_backend(crate::store::backends::RedisKind);
        #[cfg(feature = "s3")]
        registry.register_backend(crate::store::backends::ObjectKind);
        for kind in ["persistent-set", "hitchhiker-tree"] {
            registry.alias_index(&format!("treering.index/{kind}"), &format!("datahike.index/{kind}"));
        }
        registry
    }

    /// The registry of the process, which `create_database` and the others use. What is
    /// registered in it stays for the life of the process.
    pub fn standard() -> &'static Registry {
        &STANDARD
    }

    /// The registry with a backend; one of the same keyword is replaced.
    #[must_use]
    pub fn with_backend(self, kind: impl BackendKind + 'static) -> Registry {
        self.register_backend(kind);
        self
    }

    /// The registry with an index kind; one of the same keyword is replaced.
    #[must_use]
    pub fn with_index(self, kind: impl IndexKind + 'static) -> Registry {
        self.register_index(kind);
        self
    }

    /// Adds a backend under its keyword; one of the same keyword is replaced.
    pub fn register_backend(&self, kind: impl BackendKind + 'static) {
        self.backends.write().insert(kind.keyword(), Arc::new(kind));
    }

    /// Adds an index kind under its keyword; one of the same keyword is replaced.
    pub fn register_index(&self, kind: impl IndexKind + 'static) {
        self.indexes.write().insert(kind.keyword(), Arc::new(kind));
    }

    /// Lets another keyword, written without its colon, name the index kind that `known` names. Nothing happens where
    /// `known` names none.
    pub fn alias_index(&self, alias: &str, known: &str) {
        let mut indexes = self.indexes.write();
        if let Some(kind) = indexes.get(&Keyword::new(known)).cloned() {
            indexes.insert(Keyword::new(alias), kind);
        }
    }

    /// The keywords that `:store :backend` can be, sorted.
    pub fn backend_keywords(&self) -> Vec<Keyword> {
        self.backends.read().keys().copied().collect()
    }

    /// The keywords that `:index` can be, sorted.
    pub fn index_keywords(&self) -> Vec<Keyword> {
        self.indexes.read().keys().copied().collect()
    }

    /// The backend of that keyword.
    ///
    /// # Errors
    /// `Config`, `backend-does-not-exist`, with the keywords that are known.
    pub fn backend(&self, keyword: Keyword) -> Result<Arc<dyn BackendKind>> {
        self.kinds().get(keyword)
    }

    /// The backends as a kind sees them that stands on others, such as one that caches: [`BackendKind`]s are made before
    /// they are registered, and find those that they stand on when they are asked for a store.
    pub fn kinds(&self) -> Kinds {
        Kinds::of(&self.backends)
    }

    /// The index kind of that keyword.
    ///
    /// # Errors
    /// `Config`, `unknown-index-type`, with the keywords that are known.
    pub fn index(&self, keyword: Keyword) -> Result<Arc<dyn IndexKind>> {
        let found = self.indexes.read().get(&keyword).cloned();
        found.ok_or_else(|| unknown("unknown-index-type", ":index", "index", keyword, &self.index_keywords()))
    }

    /// The config with what the backend gives beneath it: options of the store, and the index.
    ///
    /// # Errors
    /// As [`backend`](Self::backend).
    pub fn complete(&self, config: &Config) -> Result<Config> {
        let (kind, store) = self.kinds().complete(config.store_config())?;
        let store = store.with_key_of(&|name| std::env::var(name).ok())?;
        let index = config.index_kind().unwrap_or_else(|| kind.default_index());
        Ok(config.clone().store(store).index(index.as_str()))
    }

    /// Whether the config can be used: its keys agree, its backend and index are known and take their options.
    ///
    /// # Errors
    /// `Config`.
    pub fn check(&self, config: &Config) -> Result<()> {
        let config = self.complete(config)?;
        config.check()?;
        self.kinds().check(config.store_config())?;
        if let Some(keyword) = config.index_kind() {
            self.index(keyword)?.check_settings(&config.index_settings())?;
        }
        Ok(())
    }

    /// What tells the store of `config` from every other that may be open.
    ///
    /// # Errors
    /// Those of the backend's [`identity`](BackendKind::identity).
    pub fn identity(&self, config: &Config) -> Result<String> {
        self.kinds().identity(config.store_config())
    }

    /// Makes the store of `config`, or opens the one that is there, as its writer.
    ///
    /// # Errors
    /// `Config`, and those of the backend.
    pub fn create_store(&self, config: &Config) -> Result<Store> {
        let config = self.complete(config)?;
        let config = config.store_config();
        encoded(self.kinds().create(config)?, config, Access::Writer)
    }

    /// Opens the store of `config`, which must exist.
    ///
    /// # Errors
    /// `Config`, and those of the backend.
    pub fn connect_store(&self, config: &Config, access: Access) -> Result<Store> {
        let config = self.complete(config)?;
        let config = config.store_config();
        encoded(self.kinds().connect(config, access)?, config, access)
    }

    /// Whether there is a store; it may hold no database.
    ///
    /// # Errors
    /// `Config`, and those of the backend.
    pub fn store_exists(&self, config: &Config) -> Result<bool> {
        self.kinds().exists(config.store_config())
    }

    /// Removes the store with all that it holds.
    ///
    /// # Errors
    /// `Config`, and those of the backend.
    pub fn delete_store(&self, config: &Config) -> Result<()> {
        self.kinds().delete(config.store_config())
    }

    /// Opens the store of `config`, which must exist, for writing, or shares it with those of this process who write to it
    /// already.
    ///
    /// # Errors
    /// `Config`, and those of the backend.
    pub(crate) fn lease(&self, config: &Config) -> Result<Lease> {
        self.stores.lease(self.identity(config)?, || self.connect_store(config, Access::Writer))
    }

    /// What is open in this process.
    pub(crate) fn open(&self) -> &Arc<OpenTable> {
        &self.open
    }

    /// The databases in memory.
    pub(crate) fn memory(&self) -> &MemoryDatabases {
        &self.memory
    }

    /// The cache for decoded nodes that all who want one of so many bytes share.
    pub(crate) fn node_cache(&self, bytes: u64) -> Arc<NodeCache> {
        let mut caches = self.caches.lock();
        caches.retain(|_, cache| cache.strong_count() > 0);
        if let Some(cache) = caches.get(&bytes).and_then(Weak::upgrade) {
            return cache;
        }
        let cache = Arc::new(NodeCache::new(usize::try_from(bytes).unwrap_or(usize::MAX)));
        caches.insert(bytes, Arc::downgrade(&cache));
        cache
    }

    /// The threads for the async twins of blocking calls.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// What the database of `config` can call by name.
    ///
    /// # Errors
    /// Those of [`identity`](Self::identity).
    pub(crate) fn library(&self, config: &Config) -> Result<Arc<Library>> {
        Ok(Arc::new(self.library.of_store(&self.identity(config)?)))
    }
}

/// The store with the encoding of its config. Where a store stands on others, it alone has one.
fn encoded(store: Store, config: &StoreConfig, access: Access) -> Result<Store> {
    wait(store.encode(config.encoding(), access == Access::Writer)).map_err(|error| match config.path() {
        Some(path) => error.context(path.display()),
        None => error,
    })
}
