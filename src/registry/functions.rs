//! Functions and predicates that databases of a registry call by name.
//!
//! Names are symbols, written with or without the colon of a keyword. What is registered is found from then on, by
//! databases that are open too; it is the process's and is not stored.

use std::sync::Arc;

use super::Registry;
use crate::config::Config;
use crate::datom::{EntityId, Value};
use crate::db::Db;
use crate::edn::Symbol;
use crate::error::Result;
use crate::query::aggregate::Aggregate;
use crate::query::builtin::Function;
use crate::transact::{IntoTxData, TxFunction, TxReport};

fn symbol(name: &str) -> Symbol {
    Symbol::new(name.strip_prefix(':').unwrap_or(name))
}

impl Registry {
    /// Adds a transaction function: `[:db.fn/call my.app/f 1 2]` in tx-data stands for what `f` makes of the database
    /// before the transaction and the arguments. One of the same name is replaced.
    ///
    /// It runs while the writer waits, so it must not call the writer itself, and should be quick.
    ///
    /// ```
    /// use treering::{Config, EntityMap, Registry, Value, connect, create_database, q};
    /// use treering::edn::Keyword;
    ///
    /// Registry::standard().register_tx_function("my.app/birthday", |db, args| {
    ///     let [name] = args else { return Ok(vec![]) };
    ///     let found = q("[:find ?p ?age :in $ ?n :where [?p :name ?n] [?p :age ?age]]", (db, name.clone()))?;
    ///     let people: Vec<(i64, i64)> = found.rows_as()?;
    ///     Ok(people.into_iter().map(|(p, age)| EntityMap::new().id(p).set(Keyword::new("age"), age + 1)).collect())
    /// });
    /// let config = Config::memory("functions-example");
    /// create_database(&config)?;
    /// let conn = connect(&config)?;
    /// conn.transact("[{:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
    ///                 {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]")?;
    /// conn.transact(r#"[{:name "Alice" :age 30}]"#)?;
    /// conn.transact(r#"[[:db.fn/call my.app/birthday "Alice"]]"#)?;
    /// assert_eq!(q("[:find ?a . :where [_ :age ?a]]", &conn.db())?.to_form().to_string(), "31");
    /// # conn.release()?;
    /// # treering::delete_database(&config)?;
    /// # Ok::<(), treering::Error>(())
    /// ```
    pub fn register_tx_function<D: IntoTxData>(
        &self,
        name: &str,
        function: impl Fn(&Db, &[Value]) -> Result<D> + Send + Sync + 'static,
    ) {
        let function = TxFunction::new(function);
        self.library.change(|tables| tables.transaction = tables.transaction.with(symbol(name), function));
    }

    /// Adds a predicate that attributes can name in `:db.attr/preds`: every value that is asserted of them must pass.
    /// One of the same name is replaced.
    pub fn register_attribute_predicate(
        &self,
        name: &str,
        predicate: impl Fn(&Value) -> Result<bool> + Send + Sync + 'static,
    ) {
        self.library.change(|tables| tables.attribute = tables.attribute.with(symbol(name), Arc::new(predicate)));
    }

    /// Adds a predicate that entity specs can name in `:db.entity/preds`. It gets the database after the transaction and
    /// the entity. One of the same name is replaced.
    pub fn register_entity_predicate(
        &self,
        name: &str,
        predicate: impl Fn(&Db, EntityId) -> Result<bool> + Send + Sync + 'static,
    ) {
        self.library.change(|tables| tables.entity = tables.entity.with(symbol(name), Arc::new(predicate)));
    }

    /// Adds a function that queries can call. One of the same name is replaced.
    pub fn register_function(&self, function: Function) {
        self.library.change(|tables| tables.functions = tables.functions.with(function));
    }

    /// Adds an aggregate that finds can name. One of the same name is replaced.
    pub fn register_aggregate(&self, name: &str, aggregate: impl Aggregate + 'static) {
        self.library.change(|tables| tables.aggregates = tables.aggregates.with(symbol(name), aggregate));
    }

    /// Sets what every transaction on the database of `config` must pass: it gets the report before anything is written,
    /// and an error refuses the transaction. There is one; another takes its place.
    ///
    /// # Errors
    /// Those of [`identity`](Self::identity).
    pub fn register_tx_predicate(
        &self,
        config: &Config,
        predicate: impl Fn(&TxReport) -> Result<()> + Send + Sync + 'static,
    ) -> Result<()> {
        let store = self.identity(config)?;
        self.library.change(|tables| {
            Arc::make_mut(&mut tables.reports).insert(store, Arc::new(predicate));
        });
        Ok(())
    }

    /// Takes off what [`register_tx_predicate`](Self::register_tx_predicate) set.
    ///
    /// # Errors
    /// Those of [`identity`](Self::identity).
    pub fn remove_tx_predicate(&self, config: &Config) -> Result<()> {
        let store = self.identity(config)?;
        self.library.change(|tables| {
            Arc::make_mut(&mut tables.reports).remove(&store);
        });
        Ok(())
    }
}
