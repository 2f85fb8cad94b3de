//! What an author of an index kind runs, and the plainest index there is.

mod conformance;
mod memory_nodes;
mod random_rows;
mod sorted_rows;

pub use super::persistent_set::build_with_sizes;
pub use conformance::{conformance, conformance_with};
pub use memory_nodes::MemoryNodes;
pub use random_rows::{RandomRows, SplitMix};
pub use sorted_rows::SortedRows;

use crate::datom::{Columns, codec};
use crate::error::Result;

/// The bytes of columns as leaves are stored.
pub fn encode_columns(columns: &Columns) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode_columns(columns, &mut bytes);
    bytes
}

/// The columns at the front of `bytes`: for fuzzing.
///
/// # Errors
/// `Corrupt` for bytes that are no columns.
pub fn decode_columns(mut bytes: &[u8]) -> Result<Columns> {
    codec::decode_columns(&mut bytes)
}
