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
