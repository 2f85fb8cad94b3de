//! Treering: an embedded Datalog database. Facts accrete, time can be travelled, databases are values.

pub mod edn;
mod error;
pub mod store;

pub use error::{Error, ErrorKind, Result};
