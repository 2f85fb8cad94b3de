//! Where the values live that do not fit a cell: in leaves that the query keeps alive, and in a dictionary of its own.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::BuildHasher;

use super::batch::place;
use crate::datom::{Columns, Value, ValueColumn, ValueKind, ValueRef, compare};
use crate::error::{Error, ErrorKind, Result};

/// Pinned leaves and the dictionary. A cell of a kind that is not inline is (pin, row); pin 0 is the dictionary, where
/// equal values have one row, so that equality of their cells is equality of the values.
#[derive(Debug, Default)]
pub(in crate::query) struct Heap {
    pins: Vec<Arc<Columns>>,
    by_leaf: HashMap<usize, u32>,
    own: ValueColumn,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    last: Option<(usize, u32)>,
    weight: usize,
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
        let pin = *self.by_leaf.entry(address).or_insert_with(|| {
            self.pins.push(Arc::clone(leaf));
            self.weight += leaf.v.len() * 8;
            self.pins.len() as u32
        });
        self.last = Some((address, pin));
        pin
    }

    /// Bytes held, roughly.
    pub fn weight(&self) -> usize {
        self.weight
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
            pin => self.pins[pin - 1].v.get(row),
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
        let leaf = Arc::clone(&self.pins[pin - 1]);
        self.intern(&leaf.v.get(row))
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
        if self.weight + size > MAX_DICTIONARY {
            let message = "the query needs more than 3 GiB of text and other large values at a time";
            return Err(Error::new(ErrorKind::Limit, "query/limit", message));
        }
        self.weight += size + 16;
        let row = self.own.len();
        self.own.push(value);
        let (own, hasher) = (&self.own, &self.hasher);
        self.index.insert_unique(hash, row as u32, |row| hash_value(hasher, &own.get(*row as usize)));
        Ok(place(0, row))
    }
}

fn weigh(value: &ValueRef<'_>) -> usize {
    match value {
        ValueRef::Str(s) | ValueRef::Uri(s) => s.len(),
        ValueRef::Bytes(b) => b.len(),
        ValueRef::Wide(v) => weigh_wide(v),
        _ => 16,
    }
}

fn weigh_wide(value: &Value) -> usize {
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
