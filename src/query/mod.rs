//! Queries: the functions that clauses call and the aggregates that finds name.

pub mod aggregate;
pub mod builtin;
