//! The care of whole stores: copying a database to another store and back, checking it, saving what a damaged one still has.
//!
//! All of it reads what others write, beside them: nothing here becomes the writer of the database that it looks at.

mod backup;
mod options;
mod repair;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod verify;

pub use backup::{backup, backup_async, backup_in, restore, restore_async, restore_in};
pub use options::{BackupOptions, BackupReport, Progress};
pub use repair::{Loss, RepairOptions, RepairReport, repair, repair_async, repair_in};
pub use verify::{Problem, VerifyOptions, VerifyReport, verify, verify_async, verify_in};

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::Registry;
use crate::store::{Access, Store, StoreConfig};

/// A store and the config that names it.
type Side<'a> = (&'a Config, &'a Store);

/// Does some work between two stores, of which the first is only read.
fn between<T>(
    registry: &Registry,
    source: &Config,
    target: &Config,
    work: impl FnOnce(Side<'_>, Side<'_>) -> Result<T>,
) -> Result<T> {
    let (source, target) = (registry.complete(source)?, registry.complete(target)?);
    if registry.identity(&source)? == registry.identity(&target)? {
        let message = "the source and the target are one store; give the target another";
        return Err(Error::new(ErrorKind::Argument, "backup/same-store", message));
    }
    let from = registry.connect_store(&source, Access::ReadOnly)?;
    let to = registry.create_store(&target)?;
    let mut done = work((&source, &from), (&target, &to));
    for store in [from, to] {
        let released = store.close();
        done = done.and_then(|done| released.map(|()| done));
    }
    done
}

/// The config that a database remembers, once it is in the store of `target`.
fn config_in(target: &StoreConfig, config: &str) -> Result<String> {
    let config = Config::from_edn(config).map_err(|error| error.context("the stored config"))?;
    let id = target.given_id().or(config.store_config().given_id());
    let store = StoreConfig::new(target.backend().as_str());
    let store = id.map_or(store.clone(), |id| store.with_id(id)).with_encoding(target.encoding().clone());
    Ok(config.store(store).to_form().to_string())
}
