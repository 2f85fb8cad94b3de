//! Columns of cells, and batches of them.

use std::ops::Range;

use crate::datom::{IntColumn, ValueColumn, ValueKind};

/// About how many rows an operator puts into one batch.
pub(in crate::query) const BATCH: usize = 4096;

/// A column: for each row a kind and a cell of eight bytes. Cells of kinds that are not inline are places in a
/// [`Heap`](super::Heap).
#[derive(Debug, Clone)]
pub(in crate::query) struct Column {
    kinds: Kinds,
    cells: Vec<u64>,
}

#[derive(Debug, Clone)]
enum Kinds {
    One(ValueKind),
    Each(Vec<ValueKind>),
}

impl Default for Column {
    fn default() -> Self {
        Column { kinds: Kinds::One(ValueKind::Nil), cells: Vec::new() }
    }
}

impl Column {
    pub fn of(kind: ValueKind, cells: Vec<u64>) -> Column {
        Column { kinds: Kinds::One(kind), cells }
    }

    pub fn with_capacity(rows: usize) -> Column {
        Column { kinds: Kinds::One(ValueKind::Nil), cells: Vec::with_capacity(rows) }
    }

    pub fn len(&self) -> usize {
        self.cells.len()
    }

    pub fn cells(&self) -> &[u64] {
        &self.cells
    }

    /// The kind of all rows, where they have one.
    pub fn kind(&self) -> Option<ValueKind> {
        match &self.kinds {
            Kinds::One(kind) => Some(*kind),
            Kinds::Each(_) => None,
        }
    }

    #[inline]
    pub fn kind_at(&self, row: usize) -> ValueKind {
        match &self.kinds {
            Kinds::One(kind) => *kind,
            Kinds::Each(kinds) => kinds[row],
        }
    }

    #[inline]
    pub fn push(&mut self, kind: ValueKind, cell: u64) {
        self.take_kind(kind, 1);
        self.cells.push(cell);
    }

    /// Makes room in `kinds` for `n` rows of a kind; called before the cells are appended.
    #[inline]
    fn take_kind(&mut self, kind: ValueKind, n: usize) {
        match &mut self.kinds {
            Kinds::One(one) if *one == kind => {}
            Kinds::One(one) if self.cells.is_empty() => *one = kind,
            Kinds::Each(kinds) => kinds.resize(kinds.len() + n, kind),
            Kinds::One(one) => {
                let mut kinds = vec![*one; self.cells.len()];
                kinds.resize(self.cells.len() + n, kind);
                self.kinds = Kinds::Each(kinds);
            }
        }
    }

    pub fn extend_same(&mut self, kind: ValueKind, cell: u64, n: usize) {
        if n > 0 {
            self.take_kind(kind, n);
            self.cells.resize(self.cells.len() + n, cell);
        }
    }

    pub fn extend_ints(&mut self, kind: ValueKind, ints: &IntColumn, rows: Range<usize>) {
        match ints.plain() {
            Some(xs) => {
                if !rows.is_empty() {
                    self.take_kind(kind, rows.len());
                    self.cells.extend_from_slice(&xs[rows]);
                }
            }
            None => {
                if !rows.is_empty() {
                    self.extend_same(kind, ints.get(rows.start), rows.len());
                }
            }
        }
    }

    /// Appends values of a leaf; `pin` is its number in the heap, used for kinds that are not inline.
    pub fn extend_values(&mut self, values: &ValueColumn, rows: Range<usize>, pin: u32) {
        match values.kind() {
            Some(kind) if !rows.is_empty() => {
                self.take_kind(kind, rows.len());
                if kind.is_inline() {
                    self.cells.extend_from_slice(&values.cells()[rows]);
                } else {
                    self.cells.extend(rows.map(|row| place(pin, row)));
                }
            }
            _ => rows.for_each(|row| self.push_value(values, row, pin)),
        }
    }

    #[inline]
    pub fn push_value(&mut self, values: &ValueColumn, row: usize, pin: u32) {
        let kind = values.kind_at(row);
        self.push(kind, if kind.is_inline() { values.cells()[row] } else { place(pin, row) });
    }

    /// Appends single rows of numbers.
    pub fn gather_ints(&mut self, kind: ValueKind, ints: &IntColumn, rows: &[u32]) {
        match ints.plain() {
            Some(xs) => {
                self.take_kind(kind, rows.len());
                self.cells.extend(rows.iter().map(|row| xs[*row as usize]));
            }
            None => self.extend_same(kind, ints.get(0), rows.len()),
        }
    }

    /// Appends single rows of the values of a leaf, as [`extend_values`](Self::extend_values) does.
    pub fn gather_values(&mut self, values: &ValueColumn, rows: &[u32], pin: u32) {
        match values.kind() {
            Some(kind) => {
                self.take_kind(kind, rows.len());
                if kind.is_inline() {
                    let cells = values.cells();
                    self.cells.extend(rows.iter().map(|row| cells[*row as usize]));
                } else {
                    self.cells.extend(rows.iter().map(|row| place(pin, *row as usize)));
                }
            }
            None => rows.iter().for_each(|row| self.push_value(values, *row as usize, pin)),
        }
    }

    pub fn append(&mut self, other: &Column) {
        match &other.kinds {
            Kinds::One(kind) if !other.cells.is_empty() => {
                self.take_kind(*kind, other.cells.len());
                self.cells.extend_from_slice(&other.cells);
            }
            Kinds::One(_) => {}
            Kinds::Each(kinds) => kinds.iter().zip(&other.cells).for_each(|(kind, cell)| self.push(*kind, *cell)),
        }
    }

    pub fn gather(&self, rows: &[u32]) -> Column {
        let cells = rows.iter().map(|row| self.cells[*row as usize]).collect();
        let kinds = match &self.kinds {
            Kinds::One(kind) => Kinds::One(*kind),
            Kinds::Each(kinds) => Kinds::Each(rows.iter().map(|row| kinds[*row as usize]).collect()),
        };
        Column { kinds, cells }
    }

    pub fn slice(&self, rows: Range<usize>) -> Column {
        let kinds = match &self.kinds {
            Kinds::One(kind) => Kinds::One(*kind),
            Kinds::Each(kinds) => Kinds::Each(kinds[rows.clone()].to_vec()),
        };
        Column { kinds, cells: self.cells[rows].to_vec() }
    }

    pub fn weight(&self) -> usize {
        let kinds = match &self.kinds {
            Kinds::One(_) => 0,
            Kinds::Each(kinds) => kinds.len(),
        };
        kinds + self.cells.len() * 8
    }
}

/// The cell of a value that is not inline: which pinned leaf, which row.
#[inline]
pub(in crate::query) fn place(pin: u32, row: usize) -> u64 {
    u64::from(pin) << 32 | row as u64
}

/// Rows in columns. A batch without columns still has a number of rows.
#[derive(Debug, Clone, Default)]
pub(in crate::query) struct Batch {
    pub len: usize,
    pub columns: Vec<Column>,
}

impl Batch {
    /// One row without columns: where a plan begins.
    pub fn unit() -> Batch {
        Batch { len: 1, columns: Vec::new() }
    }

    pub fn empty(columns: usize) -> Batch {
        Batch { len: 0, columns: vec![Column::default(); columns] }
    }

    pub fn append(&mut self, other: &Batch) {
        self.len += other.len;
        self.columns.iter_mut().zip(&other.columns).for_each(|(own, theirs)| own.append(theirs));
    }

    /// The rows `rows`, in that order.
    pub fn gather(&self, rows: &[u32]) -> Batch {
        Batch { len: rows.len(), columns: self.columns.iter().map(|column| column.gather(rows)).collect() }
    }

    pub fn slice(&self, rows: Range<usize>) -> Batch {
        let columns = self.columns.iter().map(|column| column.slice(rows.clone())).collect();
        Batch { len: rows.len(), columns }
    }

    pub fn weight(&self) -> usize {
        self.columns.iter().map(Column::weight).sum()
    }
}
