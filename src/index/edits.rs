//! A sorted batch of changes to an index.

use std::ops::Range;

use crate::datom::{Columns, Order, Row};

/// What to do with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Put in a row that is absent.
    Insert,
    /// Take out a row that is present.
    Remove,
}

/// Rows to put in and rows to take out, ascending in the order of the index and each row once.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    rows: Columns,
    /// One for each row, or none: then all are inserts.
    edits: Vec<Edit>,
}

impl Edits {
    /// Edits that insert all of `rows`, which ascend in `order`.
    pub fn inserts(order: Order, rows: Columns) -> Edits {
        debug_assert!(rows.ascends(order));
        Edits { rows, edits: Vec::new() }
    }

    /// Edits from rows in any order, each row once.
    pub fn sorted(order: Order, mut rows: Vec<(Row, Edit)>) -> Edits {
        rows.sort_unstable_by(|(x, _), (y, _)| order.compare(x, y));
        let mut columns = Columns::default();
        rows.iter().for_each(|(row, _)| columns.push_row(row));
        debug_assert!(columns.ascends(order));
        let all_inserts = rows.iter().all(|(_, edit)| *edit == Edit::Insert);
        let edits = if all_inserts { Vec::new() } else { rows.into_iter().map(|(_, edit)| edit).collect() };
        Edits { rows: columns, edits }
    }

    /// Edits of `rows`, which ascend in `order`; `edits` has one for each row.
    pub(crate) fn ascending(order: Order, rows: Columns, edits: Vec<Edit>) -> Edits {
        debug_assert!(rows.ascends(order));
        debug_assert_eq!(rows.len(), edits.len());
        let all_inserts = edits.iter().all(|edit| *edit == Edit::Insert);
        Edits { rows, edits: if all_inserts { Vec::new() } else { edits } }
    }

    /// The rows, ascending.
    pub fn rows(&self) -> &Columns {
        &self.rows
    }

    /// What to do with row `i`.
    pub fn edit(&self, i: usize) -> Edit {
        self.edits.get(i).copied().unwrap_or(Edit::Insert)
    }

    /// Whether every edit is known to be an insert.
    pub fn only_inserts(&self) -> bool {
        self.edits.is_empty()
    }

    /// No edits, and room for `n` like those of `model`.
    pub(crate) fn with_room_like(model: &Edits, n: usize) -> Edits {
        let edits = if model.only_inserts() { Vec::new() } else { Vec::with_capacity(n) };
        Edits { rows: Columns::with_room_like(&model.rows, n), edits }
    }

    /// Appends the edits `range` of `other`, which lie behind these.
    pub(crate) fn extend(&mut self, other: &Edits, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        if !self.only_inserts() || !other.only_inserts() {
            self.edits.resize(self.rows.len(), Edit::Insert);
            self.edits.extend(range.clone().map(|i| other.edit(i)));
        }
        self.rows.extend(&other.rows, range);
    }

    /// How many rows more the edits `range` lead to.
    pub(crate) fn gain(&self, range: Range<usize>) -> i64 {
        let n = range.len() as i64;
        let removals = self.edits.get(range).unwrap_or(&[]).iter().filter(|edit| **edit == Edit::Remove).count();
        n - 2 * removals as i64
    }

    /// Bytes held on the heap.
    pub(crate) fn weight(&self) -> usize {
        self.rows.weight() + self.edits.len() * size_of::<Edit>()
    }

    /// The number of edits.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}
