//! What an author of an index kind runs, and the plainest index there is.

mod sorted_rows;

pub use sorted_rows::SortedRows;
