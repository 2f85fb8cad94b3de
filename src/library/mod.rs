//! What users register by name for databases to call: functions of transactions and queries, predicates of schemas.
//!
//! A database value carries the library of the registry that it was opened with, so [`with`](crate::with) and queries
//! find what a connection finds. The signatures name types of the layers that call: `Db`, tx-data, values.

mod named;

pub(crate) use named::Named;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::datom::{EntityId, Value};
use crate::db::Db;
use crate::error::Result;
use crate::query::aggregate::Aggregates;
use crate::query::builtin::Functions;
use crate::transact::{TxFunction, TxReport};

/// Whether an attribute may have a value.
pub(crate) type AttributePredicate = Arc<dyn Fn(&Value) -> Result<bool> + Send + Sync>;

/// Whether an entity of a database is as it should be.
pub(crate) type EntityPredicate = Arc<dyn Fn(&Db, EntityId) -> Result<bool> + Send + Sync>;

/// Whether a transaction may be made: an error refuses it.
pub(crate) type TxPredicate = Arc<dyn Fn(&TxReport) -> Result<()> + Send + Sync>;

/// The tables, one for each use. A value: cheap to clone, never changed.
#[derive(Clone, Default)]
pub(crate) struct Tables {
    pub transaction: Named<TxFunction>,
    pub attribute: Named<AttributePredicate>,
    pub entity: Named<EntityPredicate>,
    pub functions: Functions,
    pub aggregates: Aggregates,
    /// By the identity of the store.
    pub reports: Arc<BTreeMap<String, TxPredicate>>,
}

/// What one database finds of the tables of its registry. What is registered is found from then on, by databases that are
/// open too.
#[derive(Clone, Default)]
pub(crate) struct Library {
    shared: Arc<RwLock<Tables>>,
    /// The identity of the store.
    store: Arc<str>,
}

impl Library {
    /// The same tables for the database of a store.
    pub fn of_store(&self, identity: &str) -> Library {
        Library { shared: Arc::clone(&self.shared), store: identity.into() }
    }

    /// The tables as they are: one transaction or query uses the same from its beginning to its end.
    pub fn tables(&self) -> Tables {
        self.shared.read().clone()
    }

    /// What queries can call.
    pub fn callable(&self) -> (Functions, Aggregates) {
        let tables = self.shared.read();
        (tables.functions.clone(), tables.aggregates.clone())
    }

    pub fn change(&self, change: impl FnOnce(&mut Tables)) {
        change(&mut self.shared.write());
    }

    /// What every transaction of the database must pass.
    pub fn tx_predicate(&self) -> Option<TxPredicate> {
        self.shared.read().reports.get(&*self.store).cloned()
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self.tables();
        f.debug_struct("Library")
            .field("store", &self.store)
            .field("transaction", &tables.transaction)
            .field("attribute", &tables.attribute)
            .field("entity", &tables.entity)
            .finish_non_exhaustive()
    }
}
