//! Keys and values by config: what [`KeyValue`] is opened with where a database is not wanted.
//!
//! ```
//! use treering::edn::read;
//! use treering::{Access, StoreConfig, key_value};
//! let config = StoreConfig::new("memory").with_option("name", "key-value-example");
//! let kv = key_value::create(&config)?;
//! kv.assoc(&read(":a")?, read("1")?)?;
//! key_value::release(&config, kv)?;
//! assert!(key_value::exists(&config)?);
//! let kv = key_value::connect(&config, Access::ReadOnly)?;
//! assert_eq!(kv.get(&read(":a")?)?, Some(read("1")?));
//! key_value::release(&config, kv)?;
//! key_value::delete(&config)?;
//! assert!(!key_value::exists(&config)?);
//! # Ok::<(), treering::Error>(())
//! ```

use super::{Access, Registry};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{BoxFuture, KeyValue, Store, StoreConfig};

/// Makes a store and opens it.
///
/// # Errors
/// `Existence`, code `:store/exists`; `Config`, and those of the backend.
pub fn create(config: &StoreConfig) -> Result<KeyValue> {
    Registry::standard().create_key_value(config)
}

/// [`create`] as a future, for any executor.
///
/// # Errors
/// As there.
pub fn create_async(config: &StoreConfig) -> BoxFuture<'static, Result<KeyValue>> {
    let config = config.clone();
    Registry::standard().pool().run(move || create(&config))
}

/// Opens a store that exists.
///
/// # Errors
/// `Existence`, code `:store/missing`; `Config`, `Fenced` where another process writes, and those of the backend.
pub fn connect(config: &StoreConfig, access: Access) -> Result<KeyValue> {
    Registry::standard().connect_key_value(config, access)
}

/// [`connect`] as a future, for any executor.
///
/// # Errors
/// As there.
pub fn connect_async(config: &StoreConfig, access: Access) -> BoxFuture<'static, Result<KeyValue>> {
    let config = config.clone();
    Registry::standard().pool().run(move || connect(&config, access))
}

/// Whether there is a store.
///
/// # Errors
/// `Config`, and those of the backend.
pub fn exists(config: &StoreConfig) -> Result<bool> {
    Registry::standard().store_exists(&of(config))
}

/// [`exists`] as a future, for any executor.
///
/// # Errors
/// As there.
pub fn exists_async(config: &StoreConfig) -> BoxFuture<'static, Result<bool>> {
    let config = config.clone();
    Registry::standard().pool().run(move || exists(&config))
}

/// Removes a store with all that it holds; no error if there is none.
///
/// # Errors
/// `Config`, and those of the backend.
pub fn delete(config: &StoreConfig) -> Result<()> {
    Registry::standard().delete_store(&of(config))
}

/// [`delete`] as a future, for any executor.
///
/// # Errors
/// As there.
pub fn delete_async(config: &StoreConfig) -> BoxFuture<'static, Result<()>> {
    let config = config.clone();
    Registry::standard().pool().run(move || delete(&config))
}

/// Gives a store back to its backend. Clones of `kv` are not to be used any more.
///
/// # Errors
/// Those of the backend.
pub fn release(config: &StoreConfig, kv: KeyValue) -> Result<()> {
    Registry::standard().release_key_value(config, kv)
}

/// [`release`] as a future, for any executor.
///
/// # Errors
/// As there.
pub fn release_async(config: &StoreConfig, kv: KeyValue) -> BoxFuture<'static, Result<()>> {
    let config = config.clone();
    Registry::standard().pool().run(move || release(&config, kv))
}

fn of(config: &StoreConfig) -> Config {
    Config::new().store(config.clone())
}

fn on(store: Store, config: &StoreConfig) -> KeyValue {
    KeyValue::new(store).with_serializer(config.encoding().given_serializer())
}

impl Registry {
    /// [`create`] with the backends of this registry.
    ///
    /// # Errors
    /// As there.
    pub fn create_key_value(&self, config: &StoreConfig) -> Result<KeyValue> {
        let whole = of(config);
        if self.store_exists(&whole)? {
            let message =
                format!("there is a store already: {}; connect to it, or delete it first", self.identity(&whole)?);
            return Err(Error::new(ErrorKind::Existence, "store/exists", message));
        }
        Ok(on(self.create_store(&whole)?, config))
    }

    /// [`connect`] with the backends of this registry.
    ///
    /// # Errors
    /// As there.
    pub fn connect_key_value(&self, config: &StoreConfig, access: Access) -> Result<KeyValue> {
        let whole = of(config);
        if !self.store_exists(&whole)? {
            let message = format!("there is no store: {}; create it first", self.identity(&whole)?);
            return Err(Error::new(ErrorKind::Existence, "store/missing", message));
        }
        Ok(on(self.connect_store(&whole, access)?, config))
    }

    /// [`release`] with the backends of this registry.
    ///
    /// # Errors
    /// As there.
    pub fn release_key_value(&self, config: &StoreConfig, kv: KeyValue) -> Result<()> {
        let store = kv.store().clone();
        drop(kv);
        let _ = config;
        store.close()
    }
}
