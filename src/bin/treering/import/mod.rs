//! From records to entities: what their attributes are, and how values are read.

mod infer;
mod plan;
mod values;

pub use infer::Shape;
pub use plan::{Hints, Names, Plan};
