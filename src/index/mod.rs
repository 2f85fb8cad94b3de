//! Indexes: all rows of a database in one order, as persistent values.
//!
//! An index is chosen by keyword. An author implements [`Index`] and [`IndexKind`], registers the kind, and runs the
//! conformance suite of [`testing`] over it; `docs/indexes.md` is the template.

mod edits;
mod hitchhiker_tree;
mod node;
mod persistent_set;
mod reads;
mod settings;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tree;
mod visibility;

pub use edits::{Edit, Edits};
pub use hitchhiker_tree::HitchhikerTree;
pub use node::{Address, Decode, NoNodes, Node, NodeSink, NodeSource};
pub use persistent_set::PersistentSet;
pub(crate) use reads::Reads;
pub use visibility::Visibility;

use std::fmt::Debug;
use std::sync::Arc;

use crate::datom::{Columns, Cut, Order};
use crate::edn::{Form, Keyword};
use crate::error::{Error, ErrorKind, Result};

/// A sorted set of rows in one order: an immutable value that shares structure with those it was made from.
///
/// Rows are distinct in the components of the order. All methods may be called from many threads at once.
pub trait Index: Send + Sync + Debug {
    /// The order of the rows.
    fn order(&self) -> Order;

    /// The number of rows.
    fn len(&self) -> u64;

    /// Whether there are no rows.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A new index with `edits` made. The edits are effective: rows to insert are absent, rows to remove present.
    ///
    /// # Errors
    /// Those of reading nodes; `self` is as it was.
    fn apply(&self, edits: &Edits) -> Result<Arc<dyn Index>>;

    /// The rows from one cut to another (`None`: from the start, to the end), as chunks in the given direction.
    ///
    /// # Errors
    /// Those of reading nodes.
    fn cursor(&self, from: Option<&Cut>, to: Option<&Cut>, direction: Direction) -> Result<Box<dyn Cursor>>;

    /// [`cursor`](Self::cursor) for a reader who wants only the rows that `visibility` shows: the cursor may pass over
    /// others, and need not.
    ///
    /// # Errors
    /// Those of reading nodes.
    fn cursor_within(
        &self,
        from: Option<&Cut>,
        to: Option<&Cut>,
        direction: Direction,
        visibility: Visibility,
    ) -> Result<Box<dyn Cursor>> {
        let _ = visibility;
        self.cursor(from, to, direction)
    }

    /// The number of rows before `cut`, exactly, in O(log n).
    ///
    /// # Errors
    /// Those of reading nodes.
    fn rank(&self, cut: &Cut) -> Result<u64>;

    /// The number of rows between two cuts.
    ///
    /// # Errors
    /// Those of reading nodes.
    fn count(&self, from: Option<&Cut>, to: Option<&Cut>) -> Result<u64> {
        let start = from.map_or(Ok(0), |cut| self.rank(cut))?;
        let end = to.map_or(Ok(self.len()), |cut| self.rank(cut))?;
        Ok(end.saturating_sub(start))
    }

    /// Writes the nodes that have no address to `sink`, children before parents. Returns an equal index whose nodes all
    /// have addresses, and the bytes from which [`IndexKind::open`] opens it.
    ///
    /// # Errors
    /// Those of the sink.
    fn flush(&self, sink: &mut dyn NodeSink) -> Result<(Arc<dyn Index>, Vec<u8>)>;

    /// An equal index that lets go of the nodes that it shares with one that was flushed since this was made: they are
    /// stored, so the next flush need not store them again, and can be read from there.
    ///
    /// The default knows of no such nodes, see [`IndexKind::flushes_aside`].
    ///
    /// # Errors
    /// Those of reading nodes.
    fn settled(&self) -> Result<Arc<dyn Index>> {
        self.apply(&Edits::inserts(self.order(), Columns::default()))
    }

    /// Bytes of nodes that have no address: what a flush would have to write, roughly.
    fn novelty(&self) -> usize;

    /// Calls `visit` with the address of every node that has one, parents first; where it answers false, the nodes
    /// under that one are passed over.
    ///
    /// # Errors
    /// Those of reading nodes, and those of `visit`.
    fn walk(&self, visit: &mut dyn FnMut(Address) -> Result<bool>) -> Result<()>;

    /// An equal index that holds nothing of rows that were removed from the `ranges`: their values stand neither in a
    /// separator nor in a buffer. Nodes in the store stay as they are until nothing refers to them.
    ///
    /// The default makes the whole index anew, with all rows in memory. A kind that keeps values only in the rows that
    /// have them returns itself.
    ///
    /// # Errors
    /// Those of reading nodes.
    fn forget(&self, ranges: &[(Cut, Cut)]) -> Result<Arc<dyn Index>> {
        let _ = ranges;
        self.rebuilt()
    }

    /// An equal index in which the nodes at the addresses that `moved` names have no address, so that the next flush
    /// stores them elsewhere. Nodes that refer to such nodes lose their address, too.
    ///
    /// The default makes the whole index anew if there is such a node.
    ///
    /// # Errors
    /// Those of reading nodes.
    fn detach(&self, moved: &dyn Fn(Address) -> bool) -> Result<Arc<dyn Index>> {
        let mut any = false;
        self.walk(&mut |address| {
            any |= moved(address);
            Ok(!any)
        })?;
        if any { self.rebuilt() } else { self.apply(&Edits::inserts(self.order(), Columns::default())) }
    }

    /// An equal index of which every node is new: all rows are taken out and put in again. It needs memory for all of them.
    ///
    /// # Errors
    /// Those of reading nodes.
    fn rebuilt(&self) -> Result<Arc<dyn Index>> {
        let mut rows = Columns::default();
        let mut cursor = self.cursor(None, None, Direction::Forward)?;
        while let Some(chunk) = cursor.next()? {
            rows.extend(&chunk.columns, chunk.rows());
        }
        let removals = Edits::ascending(self.order(), rows.clone(), vec![Edit::Remove; rows.len()]);
        self.apply(&removals)?.apply(&Edits::inserts(self.order(), rows))
    }

    /// Brings stored nodes into memory, those near the root first, at most `budget` of them and no more than there is room
    /// for. Answers how many nodes are at hand.
    ///
    /// The default brings none.
    ///
    /// # Errors
    /// Those of reading nodes.
    fn warm(&self, budget: usize) -> Result<usize> {
        let _ = budget;
        Ok(0)
    }

    /// All rows that can be read, forward. `lost` is told how many rows each node has that cannot: they belong between the
    /// chunk before and the one after. For repairs.
    ///
    /// The default reads up to the first damage.
    ///
    /// # Errors
    /// Those of the store that are no damage.
    fn salvage(&self, lost: Lost) -> Result<Box<dyn Cursor>> {
        Ok(Box::new(UpToDamage { cursor: self.cursor(None, None, Direction::Forward)?, left: self.len(), lost }))
    }

    /// Checks what the kind promises of its structure: order, counts, fill, separators. For tests and `verify`.
    ///
    /// # Errors
    /// `Corrupt`, naming the node and the rule that is broken.
    fn check(&self) -> Result<()>;
}

/// Is told of rows that cannot be read: how many, and why.
pub type Lost = Box<dyn FnMut(u64, Error) + Send>;

/// The rows before the first damage.
struct UpToDamage {
    cursor: Box<dyn Cursor>,
    /// Rows that were not read yet.
    left: u64,
    lost: Lost,
}

impl Cursor for UpToDamage {
    fn next(&mut self) -> Result<Option<Chunk>> {
        match self.cursor.next() {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                // Asked again, the cursor may do anything.
                if self.left > 0 {
                    (self.lost)(std::mem::take(&mut self.left), error);
                }
                Ok(None)
            }
            next => {
                let rows = next.as_ref().ok().and_then(|chunk| chunk.as_ref()).map_or(0, Chunk::len);
                self.left = self.left.saturating_sub(rows as u64);
                next
            }
        }
    }

    fn seek(&mut self, cut: &Cut) -> Result<()> {
        self.cursor.seek(cut)
    }
}

/// Which way a cursor goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Ascending.
    Forward,
    /// Descending.
    Reverse,
}

/// A walk over the rows of a range, a chunk at a time.
pub trait Cursor: Send {
    /// The next chunk, which is never empty; `None` after the last. Rows ascend inside a chunk in either direction:
    /// whoever reads in reverse reads each chunk from its end.
    ///
    /// # Errors
    /// Those of reading nodes.
    fn next(&mut self) -> Result<Option<Chunk>>;

    /// Passes over the rows before `cut` (in reverse: after it); those passed already stay passed.
    ///
    /// # Errors
    /// Those of reading nodes.
    fn seek(&mut self, cut: &Cut) -> Result<()>;
}

/// Neighbouring rows of an index: a run of rows of shared columns.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The columns that hold the rows, and perhaps others.
    pub columns: Arc<Columns>,
    /// The first row.
    pub start: usize,
    /// After the last row.
    pub end: usize,
}

impl Chunk {
    /// All rows of `columns`.
    pub fn whole(columns: Columns) -> Chunk {
        Chunk { start: 0, end: columns.len(), columns: Arc::new(columns) }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The rows' places in the columns.
    pub fn rows(&self) -> std::ops::Range<usize> {
        self.start..self.end
    }
}

/// A kind of index: makes and opens indexes. Registered under its keyword.
pub trait IndexKind: Send + Sync + Debug {
    /// The keyword that a config names, such as `:datahike.index/persistent-set`.
    fn keyword(&self) -> Keyword;

    /// Whether values of an index learn of the nodes that the flush of an earlier one has stored, see [`Index::settled`]. Then
    /// a flush goes on beside transactions; if not, as by default, transactions wait for it.
    fn flushes_aside(&self) -> bool {
        false
    }

    /// Whether the `:index-config` map of a database is usable; `nil` is always.
    ///
    /// # Errors
    /// `Config`, naming the key.
    fn check_settings(&self, settings: &Form) -> Result<()>;

    /// An index without rows. `nodes` is where nodes will be read from once the index is flushed.
    ///
    /// # Errors
    /// `Config` for settings that are not usable.
    fn empty(&self, order: Order, settings: &Form, nodes: Arc<dyn NodeSource>) -> Result<Arc<dyn Index>>;

    /// The index that [`Index::flush`] wrote; `root` is what it returned.
    ///
    /// # Errors
    /// `Corrupt` for a root that no flush returned.
    fn open(&self, order: Order, root: &[u8], settings: &Form, nodes: Arc<dyn NodeSource>) -> Result<Arc<dyn Index>>;

    /// An index of rows that come sorted and distinct. Nodes that are complete may be written to `sink` at once, so that
    /// the rows never have to be in memory together.
    ///
    /// # Errors
    /// Those of `rows`, of the sink, and of [`empty`](Self::empty).
    fn build(
        &self,
        order: Order,
        settings: &Form,
        nodes: Arc<dyn NodeSource>,
        rows: &mut dyn Iterator<Item = Result<Columns>>,
        sink: Option<&mut dyn NodeSink>,
    ) -> Result<Arc<dyn Index>> {
        let _ = sink;
        let mut index = self.empty(order, settings, nodes)?;
        for columns in rows {
            index = index.apply(&Edits::inserts(order, columns?))?;
        }
        Ok(index)
    }
}
