//! Treering: an embedded Datalog database. Facts accrete, time can be travelled, databases are values.

mod commit;
mod config;
mod conn;
mod datom;
mod db;
pub mod edn;
mod error;
pub mod index;
mod log;
pub mod pull;
mod query;
mod registry;
mod schema;
pub mod store;
mod transact;
pub mod typed;

pub use config::{Config, StoreConfig};
pub use conn::{
    Connection, ListenerId, connect, connect_async, connect_in, create_database, create_database_async,
    create_database_in, database_exists, database_exists_in, delete_database, delete_database_in,
};
pub use datom::{
    AttrId, Columns, Component, Cut, Datom, EntityId, IntColumn, Key, OPEN, Order, Row, Side, TX0, Value, ValueColumn,
    ValueKind, ValueRef,
};
pub use db::{Attr, Components, Count, DatomFilter, Datoms, Db, Entity, EntityRef, Mode};
pub use error::{Error, ErrorKind, Result};
pub use query::aggregate::{Aggregate, Aggregates, State};
pub use query::builtin::{Argument, Function, FunctionBody, Functions, truthy};
pub use query::{Explanation, Input, IntoInputs, IntoQuery, Output, Query, QueryOptions, Shape, explain, q, q_with};
pub use registry::{Access, BackendKind, Registry};
pub use schema::{
    Attribute, Cardinality, FIRST_USER_ATTRIBUTE, Schema, SchemaFlexibility, TupleShape, Unique, ValueType, builtin,
};
pub use transact::{EntityMap, Given, IntoTxData, Op, Subject, TempId, TxData, TxReport, with};

#[cfg(any(test, feature = "testing"))]
pub use db::testing as db_testing;
