//! What a thread has asked of the nodes of indexes. The difference between two moments tells what was done between them.

use std::cell::Cell;
use std::fmt;

/// Counts of a thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Nodes below a root that were gone to, wherever they were.
    pub nodes: u64,
    /// Bytes that came from the store because a node was not in memory: its own, and those read along with it.
    pub bytes: u64,
}

thread_local! {
    static SO_FAR: Cell<Reads> = const { Cell::new(Reads { nodes: 0, bytes: 0 }) };
}

impl Reads {
    /// What the calling thread has done so far.
    pub fn so_far() -> Reads {
        SO_FAR.get()
    }

    /// What it has done since then.
    pub fn since(self) -> Reads {
        let now = Reads::so_far();
        Reads { nodes: now.nodes - self.nodes, bytes: now.bytes - self.bytes }
    }

    /// The calling thread goes to a node.
    #[inline]
    pub fn node() {
        let so_far = SO_FAR.get();
        SO_FAR.set(Reads { nodes: so_far.nodes + 1, ..so_far });
    }

    /// So many bytes come from the store.
    pub fn bytes(n: usize) {
        let so_far = SO_FAR.get();
        SO_FAR.set(Reads { bytes: so_far.bytes + n as u64, ..so_far });
    }
}

/// What goes on a line after other things; nothing where no node was gone to.
impl fmt::Display for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Reads { nodes: 0, .. } => Ok(()),
            Reads { nodes, bytes: 0 } => write!(f, ", {nodes} nodes"),
            Reads { nodes, bytes } => write!(f, ", {nodes} nodes, {bytes} bytes read"),
        }
    }
}

impl std::ops::AddAssign for Reads {
    fn add_assign(&mut self, other: Reads) {
        self.nodes += other.nodes;
        self.bytes += other.bytes;
    }
}
