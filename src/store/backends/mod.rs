//! The places that keep bytes, one file each.

mod file;
mod memory;

pub use file::FileBackend;
pub use memory::MemoryBackend;
