//! Rows by the values of some columns: what joins, distinct and grouping look things up in.

use hashbrown::HashTable;

use super::batch::Column;
use super::heap::Heap;
use crate::datom::ValueKind;
use crate::error::Result;

/// A column made comparable by its cells: entity ids and longs have one kind, values that are not inline are in the
/// dictionary. Two rows are equal when kind and cell are.
#[derive(Debug, Clone)]
pub(in crate::query) struct KeyColumn(Column);

/// The kind by which values of a kind are compared for equality: entity ids and longs of one number are equal.
#[inline]
pub(in crate::query) fn equality_kind(kind: ValueKind) -> ValueKind {
    if kind == ValueKind::Ref { ValueKind::Long } else { kind }
}

impl KeyColumn {
    pub fn of(column: &Column, heap: &mut Heap) -> Result<KeyColumn> {
        if let Some(kind) = column.kind() {
            let cells = if kind.is_inline() {
                column.cells().to_vec()
            } else {
                column.cells().iter().map(|cell| heap.canonical(kind, *cell)).collect::<Result<_>>()?
            };
            return Ok(KeyColumn(Column::of(equality_kind(kind), cells)));
        }
        let mut canonical = Column::with_capacity(column.len());
        for (row, cell) in column.cells().iter().enumerate() {
            let kind = column.kind_at(row);
            canonical.push(equality_kind(kind), heap.canonical(kind, *cell)?);
        }
        Ok(KeyColumn(canonical))
    }

    pub fn of_all(columns: &[&Column], heap: &mut Heap) -> Result<Vec<KeyColumn>> {
        columns.iter().map(|column| KeyColumn::of(column, heap)).collect()
    }

    #[inline]
    pub fn cell(&self, row: usize) -> u64 {
        self.0.cells()[row]
    }

    pub fn cells(&self) -> &[u64] {
        self.0.cells()
    }

    pub fn kind(&self) -> Option<ValueKind> {
        self.0.kind()
    }

    #[inline]
    pub fn kind_at(&self, row: usize) -> ValueKind {
        self.0.kind_at(row)
    }

    #[inline]
    pub fn push_from(&mut self, other: &KeyColumn, row: usize) {
        self.0.push(other.kind_at(row), other.cell(row));
    }

    pub fn empty() -> KeyColumn {
        KeyColumn(Column::default())
    }
}

#[inline]
fn mix(hash: u64, cell: u64) -> u64 {
    let product = u128::from(hash ^ cell ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93_u128;
    (product as u64) ^ (product >> 64) as u64
}

#[inline]
pub(in crate::query) fn hash_row(keys: &[KeyColumn], row: usize) -> u64 {
    keys.iter().fold(0, |hash, key| mix(hash, key.cell(row)))
}

#[inline]
pub(in crate::query) fn same_row(a: &[KeyColumn], i: usize, b: &[KeyColumn], j: usize) -> bool {
    a.iter().zip(b).all(|(a, b)| a.cell(i) == b.cell(j) && a.kind_at(i) == b.kind_at(j))
}

/// No further row.
const END: u32 = u32::MAX;

/// All rows with given keys, in the order of the rows.
#[derive(Debug)]
pub(in crate::query) struct RowIndex {
    keys: Vec<KeyColumn>,
    heads: Heads,
    /// For each row the next one with the same keys.
    next: Vec<u32>,
}

#[derive(Debug)]
enum Heads {
    /// One inline key whose cells lie close together: an array.
    Dense {
        least: u64,
        kind: ValueKind,
        rows: Vec<u32>,
    },
    Hashed(HashTable<u32>),
}

impl RowIndex {
    pub fn new(keys: Vec<KeyColumn>, len: usize) -> RowIndex {
        let mut next = vec![END; len];
        let heads = match dense_range(&keys, len) {
            Some((least, width, kind)) => {
                let mut rows = vec![END; width];
                for (row, cell) in keys[0].cells().iter().enumerate().rev() {
                    let head = &mut rows[(cell - least) as usize];
                    next[row] = std::mem::replace(head, row as u32);
                }
                Heads::Dense { least, kind, rows }
            }
            None => {
                let mut table: HashTable<u32> = HashTable::with_capacity(len);
                for row in (0..len).rev() {
                    let hash = hash_row(&keys, row);
                    match table.find_mut(hash, |other| same_row(&keys, row, &keys, *other as usize)) {
                        Some(head) => next[row] = std::mem::replace(head, row as u32),
                        None => {
                            table.insert_unique(hash, row as u32, |other| hash_row(&keys, *other as usize));
                        }
                    }
                }
                Heads::Hashed(table)
            }
        };
        RowIndex { keys, heads, next }
    }

    /// The first row whose keys are those of row `row` of `probe`.
    #[inline]
    pub fn first(&self, probe: &[KeyColumn], row: usize) -> Option<u32> {
        match &self.heads {
            Heads::Dense { least, kind, rows } => {
                let key = &probe[0];
                if key.kind_at(row) != *kind {
                    return None;
                }
                let place = key.cell(row).wrapping_sub(*least) as usize;
                rows.get(place).copied().filter(|head| *head != END)
            }
            Heads::Hashed(table) => {
                let hash = hash_row(probe, row);
                table.find(hash, |other| same_row(probe, row, &self.keys, *other as usize)).copied()
            }
        }
    }

    /// The row after `row` with the same keys.
    #[inline]
    pub fn after(&self, row: u32) -> Option<u32> {
        Some(self.next[row as usize]).filter(|next| *next != END)
    }
}

/// Where the cells of a single inline key lie so close together that an array of all of them is small.
fn dense_range(keys: &[KeyColumn], len: usize) -> Option<(u64, usize, ValueKind)> {
    let [key] = keys else { return None };
    let kind = key.kind().filter(|kind| kind.is_inline())?;
    let least = *key.cells().iter().min()?;
    let width = (key.cells().iter().max()? - least).checked_add(1)?;
    (width <= 64 + 4 * len as u64).then_some((least, width as usize, kind))
}

/// A growing set of rows.
#[derive(Debug)]
pub(in crate::query) struct RowSet {
    keys: Vec<KeyColumn>,
    table: HashTable<u32>,
    len: usize,
}

impl RowSet {
    pub fn new(columns: usize) -> RowSet {
        RowSet { keys: vec![KeyColumn::empty(); columns], table: HashTable::new(), len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds row `row` of `keys`; its number, and whether it is new.
    pub fn insert(&mut self, keys: &[KeyColumn], row: usize) -> (u32, bool) {
        let hash = hash_row(keys, row);
        let own = &self.keys;
        if let Some(known) = self.table.find(hash, |other| same_row(keys, row, own, *other as usize)) {
            return (*known, false);
        }
        self.keys.iter_mut().zip(keys).for_each(|(own, key)| own.push_from(key, row));
        let own = &self.keys;
        let number = self.len as u32;
        self.table.insert_unique(hash, number, |other| hash_row(own, *other as usize));
        self.len += 1;
        (number, true)
    }
}
