//! Columns of cells, and batches of them.

use std::ops::Range;
use std::sync::Arc;

use crate::datom::{Columns, IntColumn, ValueColumn, ValueKind};

/// About how many rows an operator puts into one batch.
pub(in crate::query) const BATCH: usize = 4096;

/// A column: for each row a kind and a cell of eight bytes. Cells of kinds that are not inline are places in a
/// [`Heap`](super::Heap).
#[derive(Debug, Clone)]
pub(in crate::query) struct Column {
    kinds: Kinds,
    cells: Cells,
    /// Whether the cells are known to ascend, as numbers.
    ascending: bool,
}

#[derive(Debug, Clone)]
enum Kinds {
    One(ValueKind),
    Each(Vec<ValueKind>),
}

#[derive(Debug, Clone)]
enum Cells {
    Own(Vec<u64>),
    /// Rows of a leaf, not copied.
    Entities(Arc<Columns>, Range<usize>),
    Values(Arc<Columns>, Range<usize>),
}

impl Cells {
    #[inline]
    fn get(&self) -> &[u64] {
        match self {
            Cells::Own(cells) => cells,
            Cells::Entities(leaf, rows) => leaf.e.plain().map_or(&[], |cells| &cells[rows.clone()]),
            Cells::Values(leaf, rows) => &leaf.v.cells()[rows.clone()],
        }
    }

    fn own(&mut self) -> &mut Vec<u64> {
        if !matches!(self, Cells::Own(_)) {
            *self = Cells::Own(self.get().to_vec());
        }
        match self {
            Cells::Own(cells) => cells,
            _ => unreachable!("made own above"),
        }
    }
}

impl Default for Column {
    fn default() -> Self {
        Column::of(ValueKind::Nil, Vec::new())
    }
}

impl Column {
    pub fn of(kind: ValueKind, cells: Vec<u64>) -> Column {
        Column { kinds: Kinds::One(kind), cells: Cells::Own(cells), ascending: false }
    }

    pub fn with_capacity(rows: usize) -> Column {
        Column::of(ValueKind::Nil, Vec::with_capacity(rows))
    }

    /// The entities of rows of a leaf, without a copy where they stand there as they are.
    pub fn of_entities(leaf: &Arc<Columns>, rows: Range<usize>) -> Column {
        if leaf.e.plain().is_some() {
            let cells = Cells::Entities(Arc::clone(leaf), rows);
            return Column { kinds: Kinds::One(ValueKind::Ref), cells, ascending: false };
        }
        let mut column = Column::default();
        column.extend_ints(ValueKind::Ref, &leaf.e, rows);
        column
    }

    /// The values of rows of a leaf, without a copy where they are inline and of one kind.
    pub fn of_values(leaf: &Arc<Columns>, rows: Range<usize>, pin: u32) -> Column {
        if let Some(kind) = leaf.v.kind().filter(|kind| kind.is_inline()) {
            let cells = Cells::Values(Arc::clone(leaf), rows);
            return Column { kinds: Kinds::One(kind), cells, ascending: false };
        }
        let mut column = Column::with_capacity(rows.len());
        column.extend_values(&leaf.v, rows, pin);
        column
    }

    /// The same cells, as values of another kind.
    pub fn with_kind(&self, kind: ValueKind) -> Column {
        Column { kinds: Kinds::One(kind), cells: self.cells.clone(), ascending: self.ascending }
    }

    pub fn len(&self) -> usize {
        match &self.cells {
            Cells::Own(cells) => cells.len(),
            Cells::Entities(_, rows) | Cells::Values(_, rows) => rows.len(),
        }
    }

    #[inline]
    pub fn cells(&self) -> &[u64] {
        self.cells.get()
    }

    pub fn is_ascending(&self) -> bool {
        self.ascending
    }

    /// Says that the cells ascend.
    pub fn set_ascending(&mut self) {
        self.ascending = true;
    }

    /// The cells, to append to.
    #[inline]
    fn own(&mut self) -> &mut Vec<u64> {
        self.ascending = false;
        self.cells.own()
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
        self.own().push(cell);
    }

    /// Makes room in `kinds` for `n` rows of a kind; called before the cells are appended.
    #[inline]
    fn take_kind(&mut self, kind: ValueKind, n: usize) {
        match &mut self.kinds {
            Kinds::One(one) if *one == kind => {}
            Kinds::One(one) if self.cells.get().is_empty() => *one = kind,
            Kinds::Each(kinds) => kinds.resize(kinds.len() + n, kind),
            Kinds::One(one) => {
                let before = self.cells.get().len();
                let mut kinds = vec![*one; before];
                kinds.resize(before + n, kind);
                self.kinds = Kinds::Each(kinds);
            }
        }
    }

    pub fn extend_same(&mut self, kind: ValueKind, cell: u64, n: usize) {
        if n > 0 {
            self.take_kind(kind, n);
            let cells = self.own();
            cells.resize(cells.len() + n, cell);
        }
    }

    pub fn extend_ints(&mut self, kind: ValueKind, ints: &IntColumn, rows: Range<usize>) {
        match ints.plain() {
            Some(xs) => {
                if !rows.is_empty() {
                    self.take_kind(kind, rows.len());
                    self.own().extend_from_slice(&xs[rows]);
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
                    self.own().extend_from_slice(&values.cells()[rows]);
                } else {
                    self.own().extend(rows.map(|row| place(pin, row)));
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
                self.own().extend(rows.iter().map(|row| xs[*row as usize]));
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
                    self.own().extend(rows.iter().map(|row| cells[*row as usize]));
                } else {
                    self.own().extend(rows.iter().map(|row| place(pin, *row as usize)));
                }
            }
            None => rows.iter().for_each(|row| self.push_value(values, *row as usize, pin)),
        }
    }

    pub fn append(&mut self, other: &Column) {
        let cells = other.cells();
        match &other.kinds {
            Kinds::One(kind) if !cells.is_empty() => {
                self.take_kind(*kind, cells.len());
                self.own().extend_from_slice(cells);
            }
            Kinds::One(_) => {}
            Kinds::Each(kinds) => kinds.iter().zip(cells).for_each(|(kind, cell)| self.push(*kind, *cell)),
        }
    }

    pub fn gather(&self, rows: &[u32]) -> Column {
        let own = self.cells();
        let cells = rows.iter().map(|row| own[*row as usize]).collect();
        let kinds = match &self.kinds {
            Kinds::One(kind) => Kinds::One(*kind),
            Kinds::Each(kinds) => Kinds::Each(rows.iter().map(|row| kinds[*row as usize]).collect()),
        };
        Column { kinds, cells: Cells::Own(cells), ascending: false }
    }

    /// [`gather`](Self::gather) of rows that ascend.
    pub fn gather_ascending(&self, rows: &[u32]) -> Column {
        Column { ascending: self.ascending, ..self.gather(rows) }
    }

    pub fn slice(&self, rows: Range<usize>) -> Column {
        let kinds = match &self.kinds {
            Kinds::One(kind) => Kinds::One(*kind),
            Kinds::Each(kinds) => Kinds::Each(kinds[rows.clone()].to_vec()),
        };
        let within = |all: &Range<usize>| all.start + rows.start..all.start + rows.end;
        let cells = match &self.cells {
            Cells::Own(cells) => Cells::Own(cells[rows].to_vec()),
            Cells::Entities(leaf, all) => Cells::Entities(Arc::clone(leaf), within(all)),
            Cells::Values(leaf, all) => Cells::Values(Arc::clone(leaf), within(all)),
        };
        Column { kinds, cells, ascending: self.ascending }
    }

    /// Replaces the cells of values that are not inline.
    pub fn replace_far(&mut self, f: impl Fn(u64) -> u64) {
        match &self.kinds {
            Kinds::One(kind) if kind.is_inline() => {}
            Kinds::One(_) => self.cells.own().iter_mut().for_each(|cell| *cell = f(*cell)),
            Kinds::Each(kinds) => {
                let cells = self.cells.own().iter_mut();
                kinds.iter().zip(cells).filter(|(kind, _)| !kind.is_inline()).for_each(|(_, cell)| *cell = f(*cell));
            }
        }
    }

    /// Bytes held; those of a leaf that others have, too, as if they were its own.
    pub fn weight(&self) -> usize {
        let kinds = match &self.kinds {
            Kinds::One(_) => 0,
            Kinds::Each(kinds) => kinds.capacity(),
        };
        let cells = match &self.cells {
            Cells::Own(cells) => cells.capacity(),
            Cells::Entities(..) | Cells::Values(..) => self.len(),
        };
        kinds + cells * 8
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

/// Rows of a result: batches one after the other, as they came.
#[derive(Debug, Default)]
pub(in crate::query) struct Rows {
    batches: Vec<Batch>,
    /// The rows up to and with each batch.
    ends: Vec<usize>,
}

impl Rows {
    pub fn of(batch: Batch) -> Rows {
        let mut rows = Rows::default();
        rows.push(batch);
        rows
    }

    pub fn push(&mut self, batch: Batch) {
        self.ends.push(self.len() + batch.len);
        self.batches.push(batch);
    }

    pub fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    pub fn weight(&self) -> usize {
        self.batches.iter().map(Batch::weight).sum()
    }

    /// The batches, one after the other.
    pub fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// The batch that a row stands in, and where.
    pub fn find(&self, row: usize) -> Option<(&Batch, usize)> {
        let at = self.ends.partition_point(|end| *end <= row);
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some((self.batches.get(at)?, row - start))
    }

    /// All rows in one batch of so many columns.
    pub fn into_one(mut self, columns: usize) -> Batch {
        match self.batches.len() {
            0 => Batch::empty(columns),
            1 => self.batches.swap_remove(0),
            _ => {
                let mut all =
                    Batch { len: 0, columns: (0..columns).map(|_| Column::with_capacity(self.len())).collect() };
                self.batches.iter().for_each(|batch| all.append(batch));
                all
            }
        }
    }
}
