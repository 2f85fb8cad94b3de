//! Treering: an embedded Datalog database. Facts accrete, time can be travelled, databases are values.
//!
//! ```
//! use treering::{Config, EntityId, connect, create_database, delete_database, pull, q};
//!
//! let config = Config::memory("lib-example"); // or Config::file("people.tr")
//! create_database(&config)?;
//! let conn = connect(&config)?;
//! conn.transact("[{:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one
//!                  :db/unique :db.unique/identity}
//!                 {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]")?;
//! let before = conn.transact(r#"[{:name "Alice" :age 30}]"#)?.db_after.basis_t();
//! conn.transact(r#"[{:name "Alice" :age 31} {:name "Bob" :age 40}]"#)?;
//!
//! let query = "[:find ?n ?a :in $ ?min :where [?p :name ?n] [?p :age ?a] [(< ?min ?a)] :order-by [?n]]";
//! let rows: Vec<(String, i64)> = q(query, (&conn.db(), 30))?.rows_as()?;
//! assert_eq!(rows, [("Alice".to_owned(), 31), ("Bob".to_owned(), 40)]);
//!
//! let then = conn.db().as_of(before)?;
//! assert_eq!(q("[:find ?a . :where [_ :age ?a]]", &then)?.to_form().to_string(), "30");
//! # conn.release()?;
//! # delete_database(&config)?;
//! # Ok::<(), treering::Error>(())
//! ```
//!
//! A [`Connection`] makes transactions and gives the current [`Db`]; a `Db` is a value that never changes, and all reading
//! is done on it: [`q`], [`pull`](pull()), [`Db::entity`], [`Db::datoms`], and the views [`Db::as_of`], [`Db::since`],
//! [`Db::history`] and [`Db::filter`]. A [`Config`] says where a database is kept and how. Own storage backends
//! ([`store::Backend`], [`BackendKind`]), index kinds ([`index::IndexKind`]), functions of queries ([`Function`]) and of
//! transactions ([`TxFunction`]), and predicates of schemas are registered in a [`Registry`].

mod commit;
mod config;
mod conn;
mod datom;
mod db;
pub mod documents;
pub mod edn;
mod error;
pub mod index;
mod library;
mod log;
mod maintain;
mod merge;
mod migrate;
pub mod pull;
mod query;
mod registry;
mod schema;
pub mod store;
mod transact;
pub mod typed;
mod world;

pub use config::Config;
pub use conn::{
    BackgroundGc, BranchHistory, Connection, GcOptions, GcReport, ListenerId, LoggedTransaction, Revision, TxRange,
    branch_as_db, branch_as_db_async, branch_as_db_in, branches, branches_async, branches_in, commit_as_db,
    commit_as_db_async, commit_as_db_in, connect, connect_async, connect_in, create_database, create_database_async,
    create_database_in, database_exists, database_exists_async, database_exists_in, delete_database,
    delete_database_async, delete_database_in, q_async,
};
pub use datom::{
    AttrId, Columns, Component, Cut, Datom, EntityId, IntColumn, Key, OPEN, Order, Row, Side, TX0, Value, ValueColumn,
    ValueKind, ValueRef,
};
pub use db::{Attr, Components, Count, DatomFilter, Datoms, Db, Entity, EntityRef, Metrics, Mode};
pub use error::{Error, ErrorKind, Result};
pub use maintain::{
    BackupOptions, BackupReport, Loss, Problem, Progress, RepairOptions, RepairReport, VerifyOptions, VerifyReport,
    backup, backup_async, backup_in, repair, repair_async, repair_in, restore, restore_async, restore_in, verify,
    verify_async, verify_in,
};
pub use merge::{Conflict, ConflictKind, Merge, MergeBase, diff, merge};
pub use migrate::{Migration, Migrations};
pub use pull::{IndexPull, IndexPulled, index_pull, pull, pull_as};
pub use query::aggregate::{Aggregate, Aggregates, State};
pub use query::builtin::{Argument, Function, FunctionBody, Functions, truthy};
pub use query::{
    Cursor, Explanation, Input, IntoInputs, IntoQuery, Output, Prepared, Query, QueryOptions, QueryRows, Shape,
    explain, explain_analyze, prepare, prepare_with, q, q_iter, q_with,
};
pub use registry::{Registry, key_value};
pub use schema::{
    Attribute, Cardinality, FIRST_USER_ATTRIBUTE, Schema, SchemaFlexibility, TupleShape, Unique, ValueCaps, ValueType,
    builtin,
};
pub use store::{Access, BackendKind, Kinds, StoreConfig};
pub use transact::{
    Callee, EntityMap, Given, IntoTxData, LoadIds, LoadOptions, LoadReport, Op, RawAttribute, RawDatom, Subject,
    TempId, TxData, TxFunction, TxReport, load_onto, with,
};

#[cfg(any(test, feature = "testing"))]
pub use db::testing as db_testing;
#[cfg(any(test, feature = "testing"))]
pub use maintain::testing as maintain_testing;
#[cfg(feature = "testing")]
pub use world::simulated;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../docs/configuration.md")]
struct ConfigurationPage;

#[cfg(doctest)]
#[doc = include_str!("../docs/transactions.md")]
struct TransactionsPage;

#[cfg(doctest)]
#[doc = include_str!("../docs/schema.md")]
struct SchemaPage;

#[cfg(doctest)]
#[doc = include_str!("../docs/migrations.md")]
struct MigrationsPage;

#[cfg(doctest)]
#[doc = include_str!("../docs/functions.md")]
struct FunctionsPage;

#[cfg(doctest)]
#[doc = include_str!("../docs/import.md")]
struct ImportPage;

#[cfg(doctest)]
#[doc = include_str!("../docs/time.md")]
struct TimePage;

#[cfg(doctest)]
#[doc = include_str!("../docs/branches.md")]
struct BranchesPage;

#[cfg(doctest)]
#[doc = include_str!("../docs/query.md")]
struct QueryPage;

#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../docs/key-value.md")]
struct KeyValuePage;

#[cfg(doctest)]
#[doc = include_str!("../docs/backup.md")]
struct BackupPage;
