//! What a config can name as a store: kinds of backends.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use super::bridge::{Bridge, wait};
use super::{Backend, BoxFuture, Store, StoreConfig};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::did_you_mean;

/// What a connection wants of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To read, beside a writer or without one.
    ReadOnly,
    /// To be its writer.
    Writer,
}

/// A kind of storage backend: what an author registers under a keyword so that `:store {:backend …}` can name it.
///
/// The futures are polled inside a tokio runtime where [`needs_tokio`](Self::needs_tokio) says so. `docs/backends.md`
/// is a template.
pub trait BackendKind: Send + Sync + Debug {
    /// The keyword, such as `:file`.
    fn keyword(&self) -> Keyword;

    /// Options to lay beneath those that a config gives; `environment` answers with the text of a variable.
    fn default_config(&self, environment: &dyn Fn(&str) -> Option<String>) -> StoreConfig {
        let _ = environment;
        StoreConfig::new(self.keyword().as_str())
    }

    /// Whether the options can name a store.
    ///
    /// # Errors
    /// `Config`, naming the option.
    fn validate(&self, store: &StoreConfig) -> Result<()>;

    /// What tells this store from every other that this process may have open: equal texts mean the same store.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    fn identity(&self, store: &StoreConfig) -> Result<String>;

    /// Makes an empty store, or opens the one that is there, and becomes its writer.
    fn create<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>>;

    /// Whether there is a store. It may hold no database yet.
    fn exists<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<bool>>;

    /// Opens a store that exists.
    fn connect<'a>(&'a self, store: &'a StoreConfig, access: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>>;

    /// Gives back what [`create`](Self::create) or [`connect`](Self::connect) opened, when nobody holds the store any
    /// more: neither a connection nor a database that was taken from one. Dropping it is enough by default.
    fn release<'a>(&'a self, store: &'a StoreConfig, backend: Arc<dyn Backend>) -> BoxFuture<'a, Result<()>> {
        let _ = store;
        drop(backend);
        Box::pin(async { Ok(()) })
    }

    /// Removes the store with all that it holds; no error if there is none.
    fn delete<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<()>>;

    /// The index kind of databases whose config names none.
    fn default_index(&self) -> Keyword {
        Keyword::new("datahike.index/persistent-set")
    }

    /// Whether the futures of this trait need a tokio runtime around them.
    fn needs_tokio(&self) -> bool {
        false
    }
}

/// The kinds of backend by their keywords.
pub(crate) type KindTable = RwLock<BTreeMap<Keyword, Arc<dyn BackendKind>>>;

/// The kinds of backend that a registry knows, as a kind sees them that stands on others: see `Registry::kinds`. It does
/// not keep the registry.
///
/// ```
/// use treering::{Registry, StoreConfig};
/// let kinds = Registry::with_builtins().kinds();
/// assert!(kinds.get(StoreConfig::new("memory").backend()).is_err(), "the registry is gone");
/// let kinds = Registry::standard().kinds();
/// let store = kinds.create(&StoreConfig::new("memory").with_option("name", "kinds"))?;
/// store.put("a", vec![1])?;
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Clone)]
pub struct Kinds(Weak<KindTable>);

impl Kinds {
    pub(crate) fn of(table: &Arc<KindTable>) -> Kinds {
        Kinds(Arc::downgrade(table))
    }

    /// The kind of that keyword.
    ///
    /// # Errors
    /// `Config`, `backend-does-not-exist`, with the keywords that are known.
    pub fn get(&self, keyword: Keyword) -> Result<Arc<dyn BackendKind>> {
        let table = self.0.upgrade().unwrap_or_default();
        let table = table.read();
        table.get(&keyword).cloned().ok_or_else(|| {
            let known: Vec<Keyword> = table.keys().copied().collect();
            absent(keyword, &known, &BY_FEATURE)
        })
    }
}

/// The lives of stores. Options that a config does not give come from the defaults of its kind.
impl Kinds {
    /// The kind of a config, and the config with the defaults of the kind beneath it.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn complete(&self, config: &StoreConfig) -> Result<(Arc<dyn BackendKind>, StoreConfig)> {
        let kind = self.get(config.backend())?;
        let config = config.clone().or(kind.default_config(&|name| std::env::var(name).ok()));
        Ok((kind, config))
    }

    /// [`complete`](Self::complete), and whether the options can name a store.
    ///
    /// # Errors
    /// `Config`.
    pub fn check(&self, config: &StoreConfig) -> Result<(Arc<dyn BackendKind>, StoreConfig)> {
        let (kind, config) = self.complete(config)?;
        kind.validate(&config)?;
        Ok((kind, config))
    }

    /// What tells the store from every other that may be open.
    ///
    /// # Errors
    /// `Config`.
    pub fn identity(&self, config: &StoreConfig) -> Result<String> {
        let (kind, config) = self.check(config)?;
        Ok(format!("{} {}", kind.keyword(), kind.identity(&config)?))
    }

    /// Makes a store, or opens the one that is there, as its writer.
    ///
    /// # Errors
    /// `Config`, and those of the backend.
    pub fn create(&self, config: &StoreConfig) -> Result<Store> {
        let (kind, config) = self.check(config)?;
        let opened = open(&*kind, kind.create(&config))?;
        Ok(opened.released_by(kind, config))
    }

    /// Opens a store, which must exist.
    ///
    /// # Errors
    /// `Config`, and those of the backend.
    pub fn connect(&self, config: &StoreConfig, access: Access) -> Result<Store> {
        let (kind, config) = self.check(config)?;
        let opened = open(&*kind, kind.connect(&config, access))?;
        Ok(opened.released_by(kind, config))
    }

    /// Whether there is a store.
    ///
    /// # Errors
    /// `Config`, and those of the backend.
    pub fn exists(&self, config: &StoreConfig) -> Result<bool> {
        let (kind, config) = self.check(config)?;
        run(&*kind, kind.exists(&config))
    }

    /// Removes a store with all that it holds.
    ///
    /// # Errors
    /// `Config`, and those of the backend.
    pub fn delete(&self, config: &StoreConfig) -> Result<()> {
        let (kind, config) = self.check(config)?;
        run(&*kind, kind.delete(&config))
    }
}

fn open(kind: &dyn BackendKind, connect: BoxFuture<'_, Result<Arc<dyn Backend>>>) -> Result<Store> {
    if kind.needs_tokio() { Store::connect(connect) } else { Ok(Store::on(wait(connect)?)) }
}

fn run<T>(kind: &dyn BackendKind, call: BoxFuture<'_, Result<T>>) -> Result<T> {
    let bridge = Bridge::default();
    wait(bridge.within(kind.needs_tokio(), call)?)
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kinds")
    }
}

/// The backends of this crate that come with a feature of their name, and whether this build has it.
const BY_FEATURE: [(&str, bool); 4] = [
    ("lmdb", cfg!(feature = "lmdb")),
    ("postgres", cfg!(feature = "postgres")),
    ("redis", cfg!(feature = "redis")),
    ("s3", cfg!(feature = "s3")),
];

/// The error that there is no backend of that keyword.
fn absent(keyword: Keyword, known: &[Keyword], by_feature: &[(&str, bool)]) -> Error {
    let error = unknown("backend-does-not-exist", ":store :backend", "backend", keyword, known);
    match by_feature.contains(&(keyword.as_str(), false)) {
        true => error.context_after(format_args!(
            "this build of treering is without it: add the feature \"{}\" to the dependency",
            keyword.as_str()
        )),
        false => error,
    }
}

/// The error that a keyword of a config names nothing.
pub(crate) fn unknown(code: &'static str, key: &str, noun: &str, keyword: Keyword, known: &[Keyword]) -> Error {
    let hint = did_you_mean(keyword.as_str(), known.iter().map(|k| k.as_str()));
    let list: Vec<String> = known.iter().map(Keyword::to_string).collect();
    let message = format!("{key} names no {noun} that is known: {keyword}{hint} (known: {})", list.join(" "));
    Error::new(ErrorKind::Config, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_of_another_build_names_its_feature() {
        let (redis, memory) = (Keyword::new("redis"), Keyword::new("memory"));
        let without = absent(redis, &[memory], &[("redis", false)]);
        assert_eq!(without.code(), "backend-does-not-exist");
        assert!(without.message().contains("add the feature \"redis\""), "{without}");
        // A registry that was made without the built-in kinds.
        let with = absent(redis, &[memory], &[("redis", true)]);
        assert!(!with.message().contains("feature"), "{with}");
    }
}
