//! Bytes under keys: nothing here knows of datoms.

pub mod backend;

pub use backend::{Backend, BoxFuture, Capabilities};
