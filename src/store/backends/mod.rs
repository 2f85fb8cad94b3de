//! The places that keep bytes, one file each.

mod file;
mod memory;

pub use file::FileBackend;
pub(crate) use file::FileKind;
pub use memory::MemoryBackend;
pub(crate) use memory::MemoryKind;
