//! Sorted rows into leaves of a wanted size.

use std::borrow::Borrow;
use std::ops::Range;

use super::node::{LEAF_BYTES, Shape};
use crate::datom::Columns;

/// How many rows each of the leaves gets.
#[derive(Debug, Clone, Copy)]
pub(super) enum Plan {
    /// The first leaf so many, the others so many.
    Sizes(usize, usize),
    /// `n` leaves for `total` rows, as even as can be.
    Even { total: usize, n: usize },
}

impl Plan {
    /// The leaves for `total` rows that result from an edit of one leaf. `at_end`: the edits lie after the rows that
    /// were there; `last`: the leaf is the last of the tree.
    pub fn for_edit(shape: Shape, total: usize, at_end: bool, last: bool) -> Plan {
        if total <= shape.leaf {
            return Plan::Even { total, n: 1 };
        }
        let size = if total > 2 * shape.bulk_leaf { shape.bulk_leaf } else { shape.leaf };
        if at_end && last {
            return Plan::Sizes(size, size);
        }
        let n = total.div_ceil(size);
        if at_end && n == 2 {
            // As much as can be into the leaf that will not grow any more, and the least into the one that will.
            let first = shape.leaf.min(total - shape.min_leaf());
            return Plan::Sizes(first, total - first);
        }
        Plan::Even { total, n }
    }

    fn size(self, i: usize) -> usize {
        match self {
            Plan::Sizes(first, _) if i == 0 => first.max(1),
            Plan::Sizes(_, other) => other.max(1),
            Plan::Even { total, n } => (total * (i + 1) / n - total * i / n).max(1),
        }
    }
}

/// Takes runs of ascending rows, gives leaves. A leaf is made once all its rows are known, so that it takes no more room
/// than they need.
#[derive(Debug)]
pub(super) struct LeafBuilder<B> {
    plan: Plan,
    /// Rows that the plan has set aside for the leaves so far, which may have been closed early by their bytes.
    planned: usize,
    rows: usize,
    next: usize,
    open: Vec<(B, Range<usize>)>,
    /// Bytes that the open rows have in the heaps.
    heap: usize,
    done: Vec<Columns>,
}

impl<B: Borrow<Columns> + Clone> LeafBuilder<B> {
    pub fn new(plan: Plan) -> LeafBuilder<B> {
        let planned = plan.size(0);
        LeafBuilder { plan, planned, rows: 0, next: 1, open: Vec::new(), heap: 0, done: Vec::new() }
    }

    /// Appends the rows `range` of `rows`.
    pub fn extend(&mut self, rows: B, mut range: Range<usize>) {
        while !range.is_empty() {
            if self.rows == self.planned {
                self.close();
                self.planned += self.plan.size(self.next);
                self.next += 1;
            }
            if self.heap >= LEAF_BYTES {
                self.close();
            }
            let room = range.len().min(self.planned - self.rows);
            let (n, heap) = rows.borrow().v.fitting(range.start..range.start + room, LEAF_BYTES - self.heap);
            self.open.push((rows.clone(), range.start..range.start + n));
            self.heap += heap;
            self.rows += n;
            range.start += n;
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.done.push(Columns::concat(&self.open));
            self.open.clear();
            self.heap = 0;
        }
    }

    /// The leaves that are complete, the open one left out.
    pub fn take_done(&mut self) -> Vec<Columns> {
        std::mem::take(&mut self.done)
    }

    /// All leaves.
    pub fn finish(mut self) -> Vec<Columns> {
        self.close();
        self.done
    }
}
