//! The rules of the structure, checked over all nodes.

use std::cmp::Ordering;

use super::node::{Branch, Context, LEAF_BYTES, Node};
use super::pending::Pending;
use crate::datom::Columns;
use crate::error::{Error, ErrorKind, Result};

/// Checks order, separators, sums, levels and fill of all nodes under `root`.
pub(super) fn check(context: &Context, root: &Branch) -> Result<()> {
    let mut checking = Checking { context, path: Vec::new() };
    if root.len() > context.shape.branch {
        return checking.broken("has too many children");
    }
    checking.branch(root, &Pending::default(), (None, None), true)
}

/// A row of some columns.
type Bound<'a> = Option<(&'a Columns, usize)>;

/// Where the rows of a node begin, and before which they end.
type Bounds<'a> = (Bound<'a>, Bound<'a>);

struct Checking<'a> {
    context: &'a Context,
    path: Vec<usize>,
}

impl Checking<'_> {
    fn broken<T>(&self, what: &str) -> Result<T> {
        let message = format!("{:?} index, node {:?} (children from the root): {what}", self.context.order, self.path);
        Err(Error::new(ErrorKind::Corrupt, "index/broken", message))
    }

    /// Checks the nodes under `branch`, whose rows must lie from `low` (inclusive) to `high` (exclusive). `above`: the
    /// edits that the branches above it have for it.
    fn branch(&mut self, branch: &Branch, above: &Pending, (low, high): Bounds<'_>, last: bool) -> Result<()> {
        let run = branch.run();
        self.buffer(branch, (low, high))?;
        let order = self.context.order;
        let pending = Pending::of(branch).and(order, above.clone())?;
        if run.separators.len() != run.len() || run.summaries.len() != run.len() {
            return self.broken("has not as many separators and sums as children");
        }
        if !run.separators.ascends(self.context.order) {
            return self.broken("has separators that do not ascend");
        }
        for i in 0..run.len() {
            self.path.push(i);
            let node = branch.child(i, self.context)?;
            let pending = pending.share(order, branch, i);
            let is_last = last && i + 1 == run.len();
            let low = if i == 0 { low } else { Some((&run.separators, i)) };
            let high = if i + 1 == run.len() { high } else { Some((&run.separators, i + 1)) };
            if node.summary() != run.summaries[i] {
                return self.broken("has other sums than its parent says");
            }
            if node.level() != branch.child_level() {
                return self.broken("has not the level below its parent's");
            }
            match &node {
                Node::Leaf(columns) => {
                    self.leaf(columns, (low, high))?;
                    // An edit without effect is an error.
                    pending.made_to(order, columns, 0..columns.len())?;
                    // An only child has nobody to be joined with; its parent is too small then and is found out.
                    if !is_last && run.len() > 1 && self.is_small(columns) && !self.has_heavy_neighbour(branch, i)? {
                        return self.broken("has too few rows");
                    }
                }
                Node::Branch(child) => {
                    let shape = self.context.shape;
                    if child.is_empty() || (child.len() < shape.min_branch() && !is_last && run.len() > 1) {
                        return self.broken("has too few children");
                    }
                    if child.len() > shape.branch {
                        return self.broken("has too many children");
                    }
                    self.branch(child, &pending, (low, high), is_last)?;
                }
            }
            self.path.pop();
        }
        Ok(())
    }

    fn is_small(&self, leaf: &Columns) -> bool {
        leaf.len() < self.context.shape.min_leaf() && leaf.v.heap_len() < LEAF_BYTES / 4
    }

    fn has_heavy_neighbour(&self, branch: &Branch, i: usize) -> Result<bool> {
        for j in [i.wrapping_sub(1), i + 1] {
            if j < branch.len() {
                let node = branch.child(j, self.context)?;
                if matches!(node, Node::Leaf(leaf) if leaf.v.heap_len() > LEAF_BYTES / 2) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn buffer(&self, branch: &Branch, bounds: Bounds<'_>) -> Result<()> {
        let Some(buffer) = branch.buffer() else { return Ok(()) };
        let rows = buffer.rows();
        if !self.context.shape.buffers(buffer.len(), rows.v.heap_len_of(0..rows.len())) {
            return self.broken("has a buffer that is too large");
        }
        if !rows.ascends(self.context.order) {
            return self.broken("has edits that do not ascend");
        }
        self.bounds(rows, bounds)
    }

    /// Checks that ascending rows lie where they should.
    fn bounds(&self, columns: &Columns, (low, high): Bounds<'_>) -> Result<()> {
        let order = self.context.order;
        if low.is_some_and(|(bound, j)| columns.compare(0, bound, j, order) == Ordering::Less) {
            return self.broken("has a row below its separator");
        }
        if high.is_some_and(|(bound, j)| columns.compare(columns.len() - 1, bound, j, order) != Ordering::Less) {
            return self.broken("has a row that belongs to the next node");
        }
        Ok(())
    }

    fn leaf(&self, columns: &Columns, bounds: Bounds<'_>) -> Result<()> {
        if columns.is_empty() {
            return self.broken("is an empty leaf");
        }
        let lens = [columns.e.len(), columns.a.len(), columns.tx.len(), columns.until.len()];
        if lens.iter().any(|len| *len != columns.len()) {
            return self.broken("has columns of different lengths");
        }
        if columns.len() > self.context.shape.bulk_leaf {
            return self.broken("has too many rows");
        }
        if !columns.ascends(self.context.order) {
            return self.broken("has rows that do not ascend");
        }
        self.bounds(columns, bounds)
    }
}
