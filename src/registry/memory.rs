//! Databases that live in this process: they outlast their connections and end when they are deleted.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use crate::config::Config;
use crate::db::Db;
use crate::error::{Error, ErrorKind, Result};

/// The databases in memory of one registry, by store and branch.
#[derive(Debug, Default)]
pub(crate) struct MemoryDatabases {
    all: Mutex<HashMap<String, MemoryDatabase>>,
}

#[derive(Debug)]
struct MemoryDatabase {
    config: Config,
    current: Arc<RwLock<Db>>,
}

impl MemoryDatabases {
    pub fn create(&self, name: String, config: Config, db: Db) -> Result<()> {
        let mut all = self.all.lock();
        if all.contains_key(&name) {
            let message = "the database exists already; delete it first, or connect to it";
            return Err(Error::new(ErrorKind::Existence, "db-already-exists", message));
        }
        all.insert(name, MemoryDatabase { config, current: Arc::new(RwLock::new(db)) });
        Ok(())
    }

    /// The cell in which the current database stands.
    pub fn connect(&self, name: &str, config: &Config) -> Result<Arc<RwLock<Db>>> {
        let all = self.all.lock();
        let database = all.get(name).ok_or_else(|| {
            let message = format!("there is no database in memory under {name}; create it first");
            Error::new(ErrorKind::Existence, "db-does-not-exist", message)
        })?;
        config.matching(&database.config)?;
        Ok(Arc::clone(&database.current))
    }

    pub fn exists(&self, name: &str) -> bool {
        self.all.lock().contains_key(name)
    }

    pub fn delete(&self, name: &str) {
        self.all.lock().remove(name);
    }
}
