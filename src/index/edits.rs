//! A sorted batch of changes to an index.

use std::cmp::Ordering;

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
#[derive(Debug, Clone)]
pub struct Edits {
    rows: Columns,
    /// Empty when all are inserts.
    edits: Vec<Edit>,
}

impl Edits {
    /// Edits that insert all of `rows`, which ascend in `order`.
    pub fn inserts(order: Order, rows: Columns) -> Edits {
        debug_assert!((1..rows.len()).all(|i| rows.compare(i - 1, &rows, i, order) == Ordering::Less));
        Edits { rows, edits: Vec::new() }
    }

    /// Edits from rows in any order, each row once.
    pub fn sorted(order: Order, mut rows: Vec<(Row, Edit)>) -> Edits {
        rows.sort_unstable_by(|(x, _), (y, _)| order.compare(x, y));
        let mut columns = Columns::default();
        rows.iter().for_each(|(row, _)| columns.push_row(row));
        debug_assert!((1..rows.len()).all(|i| columns.compare(i - 1, &columns, i, order) == Ordering::Less));
        let all_inserts = rows.iter().all(|(_, edit)| *edit == Edit::Insert);
        let edits = if all_inserts { Vec::new() } else { rows.into_iter().map(|(_, edit)| edit).collect() };
        Edits { rows: columns, edits }
    }

    /// Edits of `rows`, which ascend in `order`; `edits` has one for each row.
    pub(crate) fn ascending(order: Order, rows: Columns, edits: Vec<Edit>) -> Edits {
        debug_assert!((1..rows.len()).all(|i| rows.compare(i - 1, &rows, i, order) == Ordering::Less));
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

    /// Whether every edit is an insert.
    pub fn only_inserts(&self) -> bool {
        self.edits.is_empty()
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
