//! Where the values live that do not fit a cell: in leaves that the query keeps alive, and in a dictionary of its own.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::BuildHasher;

use super::batch::{Batch, Column, place};
use crate::datom::{Columns, Value, ValueColumn, ValueKind, ValueRef, compare};
use crate::error::{Error, ErrorKind, Result};
use parking_lot::Mutex;

/// Pinned leaves and the dictionary. A cell of a kind that is not inline is (pin, row); pin 0 is the dictionary, where
/// equal values have one row, so that equality of their cells is equality of the values.
#[derive(Debug, Default)]
pub(in crate::query) struct Heap {
    /// Leaves by their numbers less one; `None` for those that only other threads of the query hold.
    pins: Vec<Option<Arc<Columns>>>,
    /// The leaves of all threads, where there are several.
    shared: Option<Arc<SharedPins>>,
    /// With several threads: the rows of the dictionary that all of them know.
    common: usize,
    by_leaf: HashMap<usize, u32>,
    own: ValueColumn,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    last: Option<(usize, u32)>,
    /// Bytes of pinned leaves, and of the dictionary.
    pinned: usize,
    dictionary: usize,
}

/// Leaves that several threads hold, by their numbers less one.
#[derive(Debug, Default)]
struct SharedPins(Mutex<Vec<Option<Arc<Columns>>>>);

impl SharedPins {
    fn pin(&self, leaf: &Arc<Columns>) -> u32 {
        let mut all = self.0.lock();
        all.push(Some(Arc::clone(leaf)));
        all.len() as u32
    }
}

/// Most bytes of a dictionary: its cells address 32 bits.
const MAX_DICTIONARY: usize = 3 << 30;

impl Heap {
    /// Keeps a leaf alive; its number goes into the cells of its values.
    #[inline]
    pub fn pin(&mut self, leaf: &Arc<Columns>) -> u32 {
        let address = Arc::as_ptr(leaf) as usize;
        match self.last {
            Some((last, pin)) if last == address => pin,
            _ => self.pin_other(leaf, address),
        }
    }

    fn pin_other(&mut self, leaf: &Arc<Columns>, address: usize) -> u32 {
        let pin = match self.by_leaf.get(&address) {
            Some(pin) => *pin,
            None => {
                let pin = match &self.shared {
                    Some(shared) => shared.pin(leaf),
                    None => self.pins.len() as u32 + 1,
                };
                if self.pins.len() < pin as usize {
                    self.pins.resize(pin as usize, None);
                }
                self.pins[pin as usize - 1] = Some(Arc::clone(leaf));
                self.by_leaf.insert(address, pin);
                self.pinned += leaf.v.len() * 8;
                pin
            }
        };
        self.last = Some((address, pin));
        pin
    }

    /// Bytes held, roughly.
    pub fn weight(&self) -> usize {
        self.pinned + self.dictionary
    }

    /// The most bytes held while the dictionary grows to its size: just doubled, and what it grew from not yet freed.
    pub fn most_weight(&self) -> usize {
        self.pinned + 3 * self.dictionary
    }

    /// Bytes of the values of a column that lie elsewhere, roughly.
    pub fn far_bytes(&self, column: &Column) -> usize {
        let far = (0..column.len()).filter(|row| !column.kind_at(*row).is_inline());
        far.map(|row| weigh(&self.get(column.kind_at(row), column.cells()[row]))).sum()
    }

    /// The value that a cell tells.
    #[inline]
    pub fn get(&self, kind: ValueKind, cell: u64) -> ValueRef<'_> {
        match ValueRef::from_cell(kind, cell) {
            Some(value) => value,
            None => self.far(cell),
        }
    }

    fn far(&self, cell: u64) -> ValueRef<'_> {
        let row = (cell & 0xFFFF_FFFF) as usize;
        match (cell >> 32) as usize {
            0 => self.own.get(row),
            pin => self.pins[pin - 1].as_ref().map_or(ValueRef::Nil, |leaf| leaf.v.get(row)),
        }
    }

    fn pinned(&self, pin: usize) -> Arc<Columns> {
        self.pins[pin - 1].clone().unwrap_or_default()
    }

    /// The same heap for each of several threads: numbers of leaves mean the same in all of them from now on, and what one
    /// of them finds is known to this one after [`sync`](Self::sync).
    pub fn shared(&mut self) -> Heap {
        let shared = self.shared.get_or_insert_with(|| Arc::new(SharedPins(Mutex::new(self.pins.clone()))));
        Heap {
            pins: self.pins.clone(),
            shared: Some(Arc::clone(shared)),
            common: self.own.len(),
            by_leaf: self.by_leaf.clone(),
            own: self.own.clone(),
            index: self.index.clone(),
            hasher: self.hasher.clone(),
            last: self.last,
            pinned: 0,
            dictionary: 0,
        }
    }

    /// Makes the cells of batches such that another thread can read them: what was put into the dictionary since the
    /// threads were parted becomes a leaf.
    pub fn seal(&mut self, batches: &mut [Batch]) {
        if self.own.len() == self.common {
            return;
        }
        let leaf = Arc::new(Columns { v: self.own.clone(), ..Columns::default() });
        let pin = self.pin(&leaf);
        for column in batches.iter_mut().flat_map(|batch| &mut batch.columns) {
            column.replace_far(|cell| {
                if cell >> 32 == 0 && cell as usize >= self.common { place(pin, cell as usize) } else { cell }
            });
        }
    }

    /// Takes in the leaves that other threads found.
    pub fn sync(&mut self) {
        if let Some(shared) = &self.shared {
            let all = shared.0.lock();
            let known = self.pins.len();
            self.pins.extend(all.get(known..).unwrap_or_default().iter().cloned());
            for (own, found) in self.pins.iter_mut().zip(all.iter()) {
                if own.is_none() {
                    own.clone_from(found);
                }
            }
        }
    }

    /// The cell of a value; values that are not inline go to the dictionary.
    pub fn cell(&mut self, value: &ValueRef<'_>) -> Result<(ValueKind, u64)> {
        let kind = value.kind();
        match value.cell() {
            Some(cell) => Ok((kind, cell)),
            None => Ok((kind, self.intern(value)?)),
        }
    }

    /// The cell by which equal values of a kind are equal: itself where the kind is inline, else the dictionary's.
    pub fn canonical(&mut self, kind: ValueKind, cell: u64) -> Result<u64> {
        if kind.is_inline() || cell >> 32 == 0 {
            return Ok(cell);
        }
        let (pin, row) = ((cell >> 32) as usize, (cell & 0xFFFF_FFFF) as usize);
        let leaf = self.pinned(pin);
        self.intern(&leaf.v.get(row))
    }

    /// [`canonical`](Self::canonical) for the cells of a column, of a kind that is not inline.
    pub fn canonical_all(&mut self, kind: ValueKind, cells: &[u64]) -> Result<Vec<u64>> {
        let mut out = Vec::with_capacity(cells.len());
        // Texts seen lately, by their length and some of their bytes: few different ones come again and again.
        let mut lately = [u64::MAX; LATELY];
        let mut leaf: Option<(usize, Arc<Columns>)> = None;
        let mut last = (0, 0);
        for cell in cells {
            let (pin, row) = ((cell >> 32) as usize, (cell & 0xFFFF_FFFF) as usize);
            if pin == 0 {
                out.push(*cell);
                continue;
            }
            let columns = match &leaf {
                Some((known, columns)) if *known == pin => columns,
                _ => &leaf.insert((pin, self.pinned(pin))).1,
            };
            // Neighbours that are equal share their bytes.
            let own = (pin as u64, columns.v.cells()[row]);
            if let Some(known) = out.last().filter(|_| own == last && columns.v.kind() == Some(kind)) {
                out.push(*known);
                continue;
            }
            last = own;
            let value = columns.v.get(row);
            let ValueRef::Str(text) = value else {
                out.push(self.intern(&value)?);
                continue;
            };
            let slot = &mut lately[digest(text)];
            let is_known = *slot != u64::MAX
                && matches!(self.own.get((*slot & 0xFFFF_FFFF) as usize), ValueRef::Str(known) if known == text);
            if !is_known {
                *slot = self.intern(&value)?;
            }
            out.push(*slot);
        }
        Ok(out)
    }

    fn intern(&mut self, value: &ValueRef<'_>) -> Result<u64> {
        let hash = hash_value(&self.hasher, value);
        let own = &self.own;
        let same = |row: &u32| {
            let known = own.get(*row as usize);
            known.kind() == value.kind() && compare(&known, value).is_eq()
        };
        if let Some(row) = self.index.find(hash, same) {
            return Ok(place(0, *row as usize));
        }
        let size = weigh(value);
        if self.dictionary + size > MAX_DICTIONARY {
            let message = "the query needs more than 3 GiB of text and other large values at a time";
            return Err(Error::new(ErrorKind::Limit, "query/limit", message));
        }
        self.dictionary += size + 16;
        let row = self.own.len();
        self.own.push(value);
        let (own, hasher) = (&self.own, &self.hasher);
        self.index.insert_unique(hash, row as u32, |row| hash_value(hasher, &own.get(*row as usize)));
        Ok(place(0, row))
    }
}

/// Texts that are remembered while a column is made canonical.
const LATELY: usize = 256;

fn digest(text: &str) -> usize {
    let bytes = text.as_bytes();
    let at = |i: usize| bytes.get(i).copied().map_or(0, u64::from);
    let n = bytes.len();
    let mixed = at(0) | at(n / 2) << 8 | at(n.wrapping_sub(1)) << 16 | at(2) << 24 | (n as u64) << 32;
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize
}

fn weigh(value: &ValueRef<'_>) -> usize {
    match value {
        ValueRef::Str(s) | ValueRef::Uri(s) => s.len(),
        ValueRef::Bytes(b) => b.len(),
        ValueRef::Wide(v) => weigh_wide(v),
        _ => 16,
    }
}

/// Bytes of a value, roughly.
pub(in crate::query) fn weigh_wide(value: &Value) -> usize {
    match value {
        Value::Tuple(xs) | Value::Set(xs) => xs.iter().map(weigh_wide).sum::<usize>() + 8,
        Value::Map(xs) => xs.iter().map(|(k, v)| weigh_wide(k) + weigh_wide(v)).sum::<usize>() + 8,
        Value::BigInt(x) => x.bits() as usize / 8 + 16,
        Value::FloatArray(xs) => xs.len() * 4,
        Value::DoubleArray(xs) => xs.len() * 8,
        Value::Str(s) | Value::Uri(s) => s.len() + 8,
        Value::Bytes(b) => b.len() + 8,
        _ => 32,
    }
}

fn hash_value(hasher: &DefaultHashBuilder, value: &ValueRef<'_>) -> u64 {
    let mut state = hasher.build_hasher();
    match value {
        ValueRef::Str(s) | ValueRef::Uri(s) => state.write(s.as_bytes()),
        ValueRef::Bytes(b) => state.write(b),
        ValueRef::Uuid(u) => state.write(u.as_bytes()),
        ValueRef::Wide(v) => v.hash(&mut state),
        inline => state.write_u64(inline.cell().unwrap_or(0)),
    }
    state.finish()
}
