//! Stored databases: what a flush writes, and how it is found again.
//!
//! A flush writes the nodes that have no address in packs, then the [`Commit`] record that names the index roots, then
//! swaps the branch's [`Head`] to it. The log after the commit's position holds what came later, so opening a database
//! is reading the head, the commit and the log's tail. Each branch has a head and a log of its own; the commits and nodes
//! of all of them lie together.

pub(crate) mod branches;
pub(crate) mod gc;
pub(crate) mod kin;
mod load;
mod nodes;
mod record;
mod scrub;
mod write;

pub(crate) use load::{Loaded, load, read_commit, read_head, replay, restore};
pub(crate) use nodes::{NodeCache, Packs, StoredNodes, cached_nodes, check_node, check_pack, pack_key};
pub(crate) use record::{Commit, Head, Purges, branch_of_key, head_key};
pub(crate) use scrub::scrub;
pub(crate) use write::{Moment, Provenance, create, flush, move_head, take_over, write_commit};

/// The format of everything that a database stores. A version reads its own number and those that `docs/file-format.md`
/// lists; a greater number is refused with an error that says so.
pub(crate) const FORMAT: u16 = 3;
