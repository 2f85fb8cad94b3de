//! Values, owned and borrowed.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bigdecimal::BigDecimal;
use num_bigint::BigInt;
use uuid::Uuid;

use super::id::EntityId;
use super::order::compare;
use crate::edn::{Keyword, Symbol};

/// A value of a datom, a query or a pull result.
///
/// All but [`Nil`](Value::Nil), [`Char`](Value::Char), [`Set`](Value::Set) and [`Map`](Value::Map) can be stored in a
/// datom; `Nil` can stand inside a tuple. `Eq` and `Ord` are one total order over all values, described in
/// `docs/values.md`: numbers by what they amount to and then by type, so that `1` and `1.0` are neighbours and not equal.
#[non_exhaustive]
#[derive(Clone)]
pub enum Value {
    /// No value: a missing member of a tuple, `nil` in a query.
    Nil,
    /// `:db.type/boolean`
    Bool(bool),
    /// `:db.type/long`
    Long(i64),
    /// `:db.type/bigint`
    BigInt(Arc<BigInt>),
    /// `:db.type/float`
    Float(f32),
    /// `:db.type/double`
    Double(f64),
    /// `:db.type/bigdec`
    BigDec(Arc<BigDecimal>),
    /// `:db.type/ref`
    Ref(EntityId),
    /// `:db.type/instant`, milliseconds since 1970-01-01T00:00Z
    Instant(i64),
    /// `:db.type/keyword`
    Keyword(Keyword),
    /// `:db.type/symbol`
    Symbol(Symbol),
    /// `:db.type/string`
    Str(Arc<str>),
    /// `:db.type/uri`
    Uri(Arc<str>),
    /// `:db.type/uuid`
    Uuid(Uuid),
    /// `:db.type/bytes`
    Bytes(Arc<[u8]>),
    /// A character, in queries only.
    Char(char),
    /// `:db.type/tuple`, and every vector or list in a query
    Tuple(Arc<[Value]>),
    /// `:db.type/float-array`
    FloatArray(Arc<[f32]>),
    /// `:db.type/double-array`
    DoubleArray(Arc<[f64]>),
    /// A set, sorted and without duplicates; in queries and pull results only.
    Set(Arc<[Value]>),
    /// A map in the order of its making; in queries and pull results only.
    Map(Arc<[(Value, Value)]>),
}

/// The kind of a value: one for each variant of [`Value`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the variants are those of Value")]
pub enum ValueKind {
    Nil,
    Bool,
    Long,
    BigInt,
    Float,
    Double,
    BigDec,
    Ref,
    Instant,
    Keyword,
    Symbol,
    Str,
    Uri,
    Uuid,
    Bytes,
    Char,
    Tuple,
    FloatArray,
    DoubleArray,
    Set,
    Map,
}

impl ValueKind {
    pub(crate) const ALL: [ValueKind; 21] = {
        use ValueKind as K;
        [
            K::Nil,
            K::Bool,
            K::Long,
            K::BigInt,
            K::Float,
            K::Double,
            K::BigDec,
            K::Ref,
            K::Instant,
            K::Keyword,
            K::Symbol,
            K::Str,
            K::Uri,
            K::Uuid,
            K::Bytes,
            K::Char,
            K::Tuple,
            K::FloatArray,
            K::DoubleArray,
            K::Set,
            K::Map,
        ]
    };

    /// The kind with number `tag`, as stored in leaves; `None` for a number that is none.
    pub fn from_tag(tag: u8) -> Option<ValueKind> {
        Self::ALL.get(tag as usize).copied()
    }

    /// Whether a value of this kind is told by eight bytes alone (see [`ValueRef::cell`]).
    pub fn is_inline(self) -> bool {
        use ValueKind::{Bool, Char, Double, Float, Instant, Keyword, Long, Nil, Ref, Symbol};
        matches!(self, Nil | Bool | Long | Float | Double | Ref | Instant | Keyword | Symbol | Char)
    }
}

/// A borrowed value: what a cell of a [`Columns`](super::Columns) holds.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the variants are those of Value")]
pub enum ValueRef<'a> {
    Nil,
    Bool(bool),
    Long(i64),
    Float(f32),
    Double(f64),
    Ref(EntityId),
    Instant(i64),
    Keyword(Keyword),
    Symbol(Symbol),
    Str(&'a str),
    Uri(&'a str),
    Uuid(Uuid),
    Bytes(&'a [u8]),
    Char(char),
    /// Any of the other kinds.
    Wide(Cow<'a, Value>),
}

impl Value {
    /// The kind of the value.
    pub fn kind(&self) -> ValueKind {
        match self {
            Value::Nil => ValueKind::Nil,
            Value::Bool(_) => ValueKind::Bool,
            Value::Long(_) => ValueKind::Long,
            Value::BigInt(_) => ValueKind::BigInt,
            Value::Float(_) => ValueKind::Float,
            Value::Double(_) => ValueKind::Double,
            Value::BigDec(_) => ValueKind::BigDec,
            Value::Ref(_) => ValueKind::Ref,
            Value::Instant(_) => ValueKind::Instant,
            Value::Keyword(_) => ValueKind::Keyword,
            Value::Symbol(_) => ValueKind::Symbol,
            Value::Str(_) => ValueKind::Str,
            Value::Uri(_) => ValueKind::Uri,
            Value::Uuid(_) => ValueKind::Uuid,
            Value::Bytes(_) => ValueKind::Bytes,
            Value::Char(_) => ValueKind::Char,
            Value::Tuple(_) => ValueKind::Tuple,
            Value::FloatArray(_) => ValueKind::FloatArray,
            Value::DoubleArray(_) => ValueKind::DoubleArray,
            Value::Set(_) => ValueKind::Set,
            Value::Map(_) => ValueKind::Map,
        }
    }

    /// The value, borrowed.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Nil => ValueRef::Nil,
            Value::Bool(x) => ValueRef::Bool(*x),
            Value::Long(x) => ValueRef::Long(*x),
            Value::Float(x) => ValueRef::Float(*x),
            Value::Double(x) => ValueRef::Double(*x),
            Value::Ref(x) => ValueRef::Ref(*x),
            Value::Instant(x) => ValueRef::Instant(*x),
            Value::Keyword(x) => ValueRef::Keyword(*x),
            Value::Symbol(x) => ValueRef::Symbol(*x),
            Value::Str(x) => ValueRef::Str(x),
            Value::Uri(x) => ValueRef::Uri(x),
            Value::Uuid(x) => ValueRef::Uuid(*x),
            Value::Bytes(x) => ValueRef::Bytes(x),
            Value::Char(x) => ValueRef::Char(*x),
            Value::BigInt(_)
            | Value::BigDec(_)
            | Value::Tuple(_)
            | Value::FloatArray(_)
            | Value::DoubleArray(_)
            | Value::Set(_)
            | Value::Map(_) => ValueRef::Wide(Cow::Borrowed(self)),
        }
    }

    /// A set of `values`: sorted, duplicates dropped.
    pub fn set(mut values: Vec<Value>) -> Value {
        values.sort_unstable();
        values.dedup();
        Value::Set(values.into())
    }
}

impl ValueRef<'_> {
    /// The kind of the value.
    pub fn kind(&self) -> ValueKind {
        match self {
            ValueRef::Nil => ValueKind::Nil,
            ValueRef::Bool(_) => ValueKind::Bool,
            ValueRef::Long(_) => ValueKind::Long,
            ValueRef::Float(_) => ValueKind::Float,
            ValueRef::Double(_) => ValueKind::Double,
            ValueRef::Ref(_) => ValueKind::Ref,
            ValueRef::Instant(_) => ValueKind::Instant,
            ValueRef::Keyword(_) => ValueKind::Keyword,
            ValueRef::Symbol(_) => ValueKind::Symbol,
            ValueRef::Str(_) => ValueKind::Str,
            ValueRef::Uri(_) => ValueKind::Uri,
            ValueRef::Uuid(_) => ValueKind::Uuid,
            ValueRef::Bytes(_) => ValueKind::Bytes,
            ValueRef::Char(_) => ValueKind::Char,
            ValueRef::Wide(v) => v.kind(),
        }
    }

    /// The value, owned.
    pub fn to_value(&self) -> Value {
        match self {
            ValueRef::Nil => Value::Nil,
            ValueRef::Bool(x) => Value::Bool(*x),
            ValueRef::Long(x) => Value::Long(*x),
            ValueRef::Float(x) => Value::Float(*x),
            ValueRef::Double(x) => Value::Double(*x),
            ValueRef::Ref(x) => Value::Ref(*x),
            ValueRef::Instant(x) => Value::Instant(*x),
            ValueRef::Keyword(x) => Value::Keyword(*x),
            ValueRef::Symbol(x) => Value::Symbol(*x),
            ValueRef::Str(x) => Value::Str((*x).into()),
            ValueRef::Uri(x) => Value::Uri((*x).into()),
            ValueRef::Uuid(x) => Value::Uuid(*x),
            ValueRef::Bytes(x) => Value::Bytes((*x).into()),
            ValueRef::Char(x) => Value::Char(*x),
            ValueRef::Wide(v) => v.as_ref().clone(),
        }
    }

    /// The eight bytes that tell a value of an inline kind; `None` for the others. Equal cells of one inline kind are
    /// equal values. The cells of keywords and symbols are numbers of this process and never stored.
    pub fn cell(&self) -> Option<u64> {
        Some(match self {
            ValueRef::Nil => 0,
            ValueRef::Bool(x) => u64::from(*x),
            ValueRef::Long(x) | ValueRef::Instant(x) => *x as u64,
            ValueRef::Float(x) => u64::from(x.to_bits()),
            ValueRef::Double(x) => x.to_bits(),
            ValueRef::Ref(x) => x.0,
            ValueRef::Keyword(x) => u64::from(x.id()),
            ValueRef::Symbol(x) => u64::from(x.id()),
            ValueRef::Char(x) => u64::from(u32::from(*x)),
            _ => return None,
        })
    }

    /// The inverse of [`cell`](Self::cell) for a cell that came from it; `None` for kinds that are not inline.
    pub(crate) fn from_cell(kind: ValueKind, cell: u64) -> Option<ValueRef<'static>> {
        Some(match kind {
            ValueKind::Nil => ValueRef::Nil,
            ValueKind::Bool => ValueRef::Bool(cell != 0),
            ValueKind::Long => ValueRef::Long(cell as i64),
            ValueKind::Float => ValueRef::Float(f32::from_bits(cell as u32)),
            ValueKind::Double => ValueRef::Double(f64::from_bits(cell)),
            ValueKind::Ref => ValueRef::Ref(EntityId(cell)),
            ValueKind::Instant => ValueRef::Instant(cell as i64),
            ValueKind::Keyword => ValueRef::Keyword(Keyword::from_cell(cell)),
            ValueKind::Symbol => ValueRef::Symbol(Symbol::from_cell(cell)),
            ValueKind::Char => ValueRef::Char(char::from_u32(cell as u32)?),
            _ => return None,
        })
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        compare(&self.as_ref(), &other.as_ref()) == Ordering::Equal
    }
}

impl Eq for Value {}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.as_ref(), &other.as_ref())
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.kind() as u8);
        match self {
            Value::BigInt(x) => x.hash(state),
            Value::BigDec(x) => x.as_bigint_and_exponent().hash(state),
            Value::Str(x) | Value::Uri(x) => x.hash(state),
            Value::Uuid(x) => x.hash(state),
            Value::Bytes(x) => x.hash(state),
            Value::Tuple(x) | Value::Set(x) => x.hash(state),
            Value::FloatArray(x) => x.iter().for_each(|f| state.write_u32(f.to_bits())),
            Value::DoubleArray(x) => x.iter().for_each(|f| state.write_u64(f.to_bits())),
            // Maps are equal whatever the order of their entries: each is hashed by itself.
            Value::Map(x) => {
                let entry = |entry: &(Value, Value)| {
                    let mut own = std::hash::DefaultHasher::new();
                    entry.hash(&mut own);
                    own.finish()
                };
                state.write_u64(x.iter().map(entry).fold(x.len() as u64, u64::wrapping_add));
            }
            inline => state.write_u64(inline.as_ref().cell().unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    /// A query keeps pulled trees in a table: were all maps of one shape in one place there, it would compare each with all.
    #[test]
    fn maps_are_told_apart_by_their_hashes() {
        let hasher = RandomState::new();
        let map = |entries: &[(&str, i64)]| {
            let entry = |(key, n): &(&str, i64)| (Value::from(*key), Value::Long(*n));
            Value::Map(entries.iter().map(entry).collect())
        };
        let tree = |n: i64| Value::Map(Arc::from([(Value::from("child"), map(&[("n", n), ("two", 2)]))]));
        let hashes: std::collections::HashSet<u64> = (0..1000).map(|n| hasher.hash_one(tree(n))).collect();
        assert!(hashes.len() > 990, "{} hashes of 1000 trees", hashes.len());
        let (one, other) = (map(&[("a", 1), ("b", 2)]), map(&[("b", 2), ("a", 1)]));
        assert_eq!(one, other);
        assert_eq!(hasher.hash_one(one), hasher.hash_one(other));
    }
}
