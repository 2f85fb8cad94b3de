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
            return Ok(KeyColumn(match kind.is_inline() {
                true => column.with_kind(equality_kind(kind)),
                false => Column::of(kind, heap.canonical_all(kind, column.cells())?),
            }));
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

    pub fn push_all(&mut self, other: &KeyColumn, rows: &[u32]) {
        if !rows.is_empty() {
            self.0.append(&other.0.gather(rows));
        }
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
    /// Whether no keys stand in two rows.
    single: bool,
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
        let single = next.iter().all(|next| *next == END);
        RowIndex { keys, heads, next, single }
    }

    /// The most bytes that an index of so many rows takes.
    pub fn bytes(rows: usize, keys: usize) -> usize {
        table_bytes(rows) + rows * (size_of::<u32>() + 8 * keys)
    }

    /// Appends the rows of `probe` that have a partner to `rows`, and the partners to `partners`. False, and nothing is
    /// done, where a row may have several partners or must be hashed.
    pub fn pair_all(&self, probe: &[KeyColumn], rows: &mut Vec<u32>, partners: &mut Vec<u32>) -> bool {
        let Heads::Dense { least, kind, rows: heads } = &self.heads else { return false };
        let [key] = probe else { return false };
        if !self.single || key.kind() != Some(*kind) {
            return false;
        }
        let cells = key.cells();
        rows.resize(cells.len(), 0);
        partners.resize(cells.len(), 0);
        let mut kept = 0;
        for (row, cell) in cells.iter().enumerate() {
            let head = heads.get(cell.wrapping_sub(*least) as usize).copied().unwrap_or(END);
            (rows[kept], partners[kept]) = (row as u32, head);
            kept += usize::from(head != END);
        }
        rows.truncate(kept);
        partners.truncate(kept);
        true
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

/// The most bytes that a table of so many row numbers takes while it grows: just doubled, and what it grew from not yet
/// freed.
pub(in crate::query) const fn table_bytes(rows: usize) -> usize {
    rows * 17
}

/// The most bytes that columns of so many rows take while they grow, row by row or batch by batch.
pub(in crate::query) const fn growing_bytes(rows: usize, columns: usize) -> usize {
    rows * columns * 24
}

/// A growing set of rows.
#[derive(Debug)]
pub(in crate::query) struct RowSet {
    keys: Vec<KeyColumn>,
    places: Places,
    len: usize,
}

/// Where the rows of a set are found.
#[derive(Debug)]
enum Places {
    /// By place, while the cells of each column lie close together.
    Dense(Grid),
    Hashed(HashTable<u32>),
}

/// An array with a place for each combination of cells.
#[derive(Debug, Default)]
struct Grid {
    /// For each column the least cell, how many there are from there on, and their kind.
    sides: Vec<(u64, u64, ValueKind)>,
    rows: Vec<u32>,
}

/// Places of a grid that are always allowed.
const SMALL_GRID: u64 = 1 << 17;

impl Grid {
    /// Makes room for rows to come; false where the cells lie too far apart, or are of several kinds.
    fn cover(&mut self, own: &[KeyColumn], len: usize, keys: &[KeyColumn], more: usize) -> bool {
        let mut sides = Vec::with_capacity(keys.len());
        let mut fits = !self.sides.is_empty() || len == 0;
        let mut places = 1_u64;
        for (i, key) in keys.iter().enumerate() {
            let Some(kind) = key.kind() else { return false };
            // As numbers with a sign, so that -1 and 0 are neighbours.
            let (mut least, most) = key
                .cells()
                .iter()
                .fold((i64::MAX, i64::MIN), |(least, most), cell| (least.min(*cell as i64), most.max(*cell as i64)));
            let Some(mut end) = most.checked_add(1) else { return false };
            match self.sides.get(i) {
                Some((known, width, of)) if *of == kind => {
                    let (known, known_end) = (*known as i64, (*known as i64).saturating_add_unsigned(*width));
                    fits &= known <= least && end <= known_end;
                    if end > known_end {
                        // What ascends goes on ascending: room for half as much again.
                        end = end.saturating_add_unsigned(end.abs_diff(known.min(end)) / 2);
                    }
                    (least, end) = (least.min(known), end.max(known_end));
                }
                Some(_) => return false,
                None => fits = false,
            }
            let width = end.abs_diff(least);
            places = places.saturating_mul(width);
            sides.push((least as u64, width, kind));
        }
        if fits && len > 0 {
            return true;
        }
        if places > SMALL_GRID.max(8 * (len + more) as u64) {
            return false;
        }
        self.sides = sides;
        self.rows = vec![END; places as usize];
        for row in 0..len {
            let place = self.place(own, row);
            self.rows[place] = row as u32;
        }
        true
    }

    #[inline]
    fn place(&self, keys: &[KeyColumn], row: usize) -> usize {
        let place = keys
            .iter()
            .zip(&self.sides)
            .fold(0, |place, (key, (least, width, _))| place * width + key.cell(row).wrapping_sub(*least));
        place as usize
    }
}

impl RowSet {
    pub fn new(columns: usize) -> RowSet {
        let keys = vec![KeyColumn::empty(); columns];
        RowSet { keys, places: Places::Dense(Grid::default()), len: 0 }
    }

    /// The most bytes that the set takes while it grows to its size.
    pub fn bytes(&self) -> usize {
        let places = match &self.places {
            Places::Dense(grid) => 2 * grid.rows.len() * size_of::<u32>(),
            Places::Hashed(_) => 0,
        };
        places + table_bytes(self.len) + growing_bytes(self.len, self.keys.len())
    }

    /// Adds rows. Calls `each` with the number that a row has in the set, and whether it is new.
    pub fn insert_all(&mut self, keys: &[KeyColumn], rows: usize, mut each: impl FnMut(usize, u32, bool)) {
        if rows == 0 {
            return;
        }
        if keys.is_empty() {
            (0..rows).for_each(|row| each(row, 0, self.len == 0 && row == 0));
            self.len = 1;
            return;
        }
        if let Places::Dense(grid) = &mut self.places
            && !grid.cover(&self.keys, self.len, keys, rows)
        {
            let mut table = HashTable::with_capacity(self.len + rows);
            let own = &self.keys;
            for row in 0..self.len {
                table.insert_unique(hash_row(own, row), row as u32, |other| hash_row(own, *other as usize));
            }
            self.places = Places::Hashed(table);
        }
        match &mut self.places {
            Places::Dense(grid) => {
                let mut fresh: Vec<u32> = Vec::new();
                let mut number = |row: usize, place: usize| {
                    let known = &mut grid.rows[place];
                    let is_new = *known == END;
                    if is_new {
                        *known = self.len as u32;
                        self.len += 1;
                        fresh.push(row as u32);
                    }
                    each(row, *known, is_new);
                };
                match (keys, grid.sides.as_slice()) {
                    ([key], [(least, ..)]) => {
                        let least = *least;
                        key.cells()
                            .iter()
                            .enumerate()
                            .for_each(|(row, cell)| number(row, cell.wrapping_sub(least) as usize));
                    }
                    ([a, b], [(least_a, ..), (least_b, width, _)]) => {
                        let (least_a, least_b, width) = (*least_a, *least_b, *width);
                        for (row, (a, b)) in a.cells().iter().zip(b.cells()).enumerate() {
                            number(row, (a.wrapping_sub(least_a) * width + b.wrapping_sub(least_b)) as usize);
                        }
                    }
                    (_, sides) => {
                        for row in 0..rows {
                            let place = keys.iter().zip(sides).fold(0, |place, (key, (least, width, _))| {
                                place * width + key.cell(row).wrapping_sub(*least)
                            });
                            number(row, place as usize);
                        }
                    }
                }
                self.keys.iter_mut().zip(keys).for_each(|(own, key)| own.push_all(key, &fresh));
            }
            Places::Hashed(table) => {
                for row in 0..rows {
                    let hash = hash_row(keys, row);
                    let own = &self.keys;
                    if let Some(known) = table.find(hash, |other| same_row(keys, row, own, *other as usize)) {
                        each(row, *known, false);
                        continue;
                    }
                    self.keys.iter_mut().zip(keys).for_each(|(own, key)| own.push_from(key, row));
                    let own = &self.keys;
                    let number = self.len as u32;
                    table.insert_unique(hash, number, |other| hash_row(own, *other as usize));
                    self.len += 1;
                    each(row, number, true);
                }
            }
        }
    }

    /// Adds rows; those that are new.
    pub fn fresh(&mut self, keys: &[KeyColumn], rows: usize) -> Vec<u32> {
        let mut fresh = Vec::new();
        self.insert_all(keys, rows, |row, _, is_new| {
            if is_new {
                fresh.push(row as u32);
            }
        });
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyColumn, Places, RowSet};
    use crate::datom::ValueKind;
    use crate::query::operator::Column;

    fn keys(columns: &[&[u64]]) -> Vec<KeyColumn> {
        columns.iter().map(|cells| KeyColumn(Column::of(ValueKind::Long, cells.to_vec()))).collect()
    }

    fn numbers(set: &mut RowSet, columns: &[&[u64]]) -> Vec<(u32, bool)> {
        let mut out = Vec::new();
        set.insert_all(&keys(columns), columns[0].len(), |_, number, is_new| out.push((number, is_new)));
        out
    }

    #[test]
    fn rows_keep_their_numbers_when_cells_come_that_lie_far_away() {
        let mut set = RowSet::new(2);
        assert_eq!(numbers(&mut set, &[&[5, 6, 5], &[1, 1, 1]]), [(0, true), (1, true), (0, false)]);
        assert_eq!(numbers(&mut set, &[&[3, 6], &[9, 1]]), [(2, true), (1, false)]);
        assert!(matches!(set.places, Places::Dense(_)));
        assert_eq!(numbers(&mut set, &[&[1 << 40, 3], &[0, 9]]), [(3, true), (2, false)]);
        assert!(matches!(set.places, Places::Hashed(_)));
        assert_eq!(numbers(&mut set, &[&[5, 6, 1 << 40], &[1, 1, 0]]), [(0, false), (1, false), (3, false)]);
        assert_eq!(set.len, 4);
    }

    #[test]
    fn numbers_below_zero_are_neighbours_of_those_above() {
        let mut set = RowSet::new(1);
        let minus = u64::MAX;
        assert_eq!(numbers(&mut set, &[&[minus, minus]]), [(0, true), (0, false)]);
        assert_eq!(numbers(&mut set, &[&[0, minus, 1, minus - 3]]), [(1, true), (0, false), (2, true), (3, true)]);
        assert!(matches!(set.places, Places::Dense(_)));
        let (least, most) = (i64::MIN as u64, i64::MAX as u64);
        assert_eq!(numbers(&mut set, &[&[most, least, 0]]), [(4, true), (5, true), (1, false)]);
        assert!(matches!(set.places, Places::Hashed(_)));
    }

    #[test]
    fn equal_cells_of_different_kinds_are_different_rows() {
        let mut set = RowSet::new(1);
        assert_eq!(numbers(&mut set, &[&[1, 2]]), [(0, true), (1, true)]);
        let doubles = [KeyColumn(Column::of(ValueKind::Double, vec![1, 1]))];
        assert_eq!(set.fresh(&doubles, 2), [0]);
        assert_eq!(set.len, 3);
    }
}
