//! The orders: of values, of rows. Every comparison of the crate ends here.

use std::cmp::Ordering;

use bigdecimal::BigDecimal;
use num_bigint::BigInt;
use num_traits::{FromPrimitive, Signed, Zero};

use super::value::{Value, ValueKind, ValueRef};
use super::{AttrId, Row};

/// The total order of values: by class (nil, keywords, symbols, booleans, numbers and refs, strings, URIs, characters,
/// instants, uuids, bytes, arrays, tuples, sets, maps), inside a class as `docs/values.md` says.
pub(crate) fn compare(a: &ValueRef<'_>, b: &ValueRef<'_>) -> Ordering {
    match (a, b) {
        (ValueRef::Long(x), ValueRef::Long(y)) | (ValueRef::Instant(x), ValueRef::Instant(y)) => x.cmp(y),
        (ValueRef::Ref(x), ValueRef::Ref(y)) => x.cmp(y),
        (ValueRef::Str(x), ValueRef::Str(y)) | (ValueRef::Uri(x), ValueRef::Uri(y)) => x.as_bytes().cmp(y.as_bytes()),
        (ValueRef::Keyword(x), ValueRef::Keyword(y)) => x.cmp(y),
        (ValueRef::Symbol(x), ValueRef::Symbol(y)) => x.cmp(y),
        (ValueRef::Bool(x), ValueRef::Bool(y)) => x.cmp(y),
        (ValueRef::Char(x), ValueRef::Char(y)) => x.cmp(y),
        (ValueRef::Uuid(x), ValueRef::Uuid(y)) => x.cmp(y),
        (ValueRef::Bytes(x), ValueRef::Bytes(y)) => x.cmp(y),
        (ValueRef::Double(x), ValueRef::Double(y)) if !x.is_nan() && !y.is_nan() => x.total_cmp(y),
        _ => compare_classes(a, b),
    }
}

/// A number that never descends as values of one kind ascend: few comparisons of values go on after one of these.
pub(crate) fn rank(v: &ValueRef<'_>) -> u64 {
    match v {
        ValueRef::Long(n) | ValueRef::Instant(n) => (*n as u64) ^ (1 << 63),
        ValueRef::Ref(id) => id.0,
        ValueRef::Str(text) | ValueRef::Uri(text) => {
            let (mut first, n) = ([0; 8], text.len().min(8));
            first[..n].copy_from_slice(&text.as_bytes()[..n]);
            u64::from_be_bytes(first)
        }
        _ => 0,
    }
}

/// Classes in ascending order; kinds of one class are compared with each other.
pub(crate) fn class(kind: ValueKind) -> u8 {
    match kind {
        ValueKind::Nil => 0,
        ValueKind::Keyword => 1,
        ValueKind::Symbol => 2,
        ValueKind::Bool => 3,
        ValueKind::Long
        | ValueKind::BigInt
        | ValueKind::Float
        | ValueKind::Double
        | ValueKind::BigDec
        | ValueKind::Ref => 4,
        ValueKind::Str => 5,
        ValueKind::Uri => 6,
        ValueKind::Char => 7,
        ValueKind::Instant => 8,
        ValueKind::Uuid => 9,
        ValueKind::Bytes => 10,
        ValueKind::FloatArray => 11,
        ValueKind::DoubleArray => 12,
        ValueKind::Tuple => 13,
        ValueKind::Set => 14,
        ValueKind::Map => 15,
    }
}

fn compare_classes(a: &ValueRef<'_>, b: &ValueRef<'_>) -> Ordering {
    let by_class = class(a.kind()).cmp(&class(b.kind()));
    if by_class != Ordering::Equal {
        return by_class;
    }
    if class(a.kind()) == class(ValueKind::Long) {
        return compare_numbers(a, b).then_with(|| a.kind().cmp(&b.kind())).then_with(|| compare_representations(a, b));
    }
    match (a, b) {
        (ValueRef::Wide(x), ValueRef::Wide(y)) => compare_wide(x, y),
        _ => Ordering::Equal, // nil
    }
}

/// What a number amounts to; -0.0 amounts to 0, NaN to more than every number.
pub(crate) fn compare_numbers(a: &ValueRef<'_>, b: &ValueRef<'_>) -> Ordering {
    match (int(a), int(b), float(a), float(b)) {
        (Some(x), Some(y), _, _) => x.cmp(&y),
        (_, _, Some(x), Some(y)) => compare_floats(x, y),
        (Some(x), _, _, Some(y)) => compare_int_float(x, y),
        (_, Some(y), Some(x), _) => compare_int_float(y, x).reverse(),
        _ => match (exact(a), exact(b)) {
            (Some(x), Some(y)) => compare_decimals(&x, &y),
            // One side is exact, the other NaN or infinite.
            (None, _) => compare_floats(float(a).unwrap_or(f64::NAN), 0.0),
            (_, None) => compare_floats(0.0, float(b).unwrap_or(f64::NAN)),
        },
    }
}

/// By sign and magnitude first: bringing decimals of far apart scales to one scale could take any amount of memory.
fn compare_decimals(x: &BigDecimal, y: &BigDecimal) -> Ordering {
    let magnitude = |d: &BigDecimal| i128::from(d.digits()) - i128::from(d.fractional_digit_count());
    let sign = x.sign().cmp(&y.sign());
    if sign != Ordering::Equal || x.is_zero() {
        return sign;
    }
    match magnitude(x).cmp(&magnitude(y)) {
        Ordering::Equal => x.cmp(y),
        order if x.is_negative() => order.reverse(),
        order => order,
    }
}

fn compare_floats(x: f64, y: f64) -> Ordering {
    x.partial_cmp(&y).unwrap_or_else(|| x.is_nan().cmp(&y.is_nan()))
}

/// Compares exactly: an `i64` may have no `f64` of its own.
fn compare_int_float(x: i64, y: f64) -> Ordering {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if y.is_nan() || y >= TWO_63 {
        Ordering::Less
    } else if y < -TWO_63 {
        Ordering::Greater
    } else {
        let whole = y.trunc();
        x.cmp(&(whole as i64)).then_with(|| 0.0_f64.partial_cmp(&(y - whole)).unwrap_or(Ordering::Equal))
    }
}

fn int(v: &ValueRef<'_>) -> Option<i64> {
    match v {
        ValueRef::Long(x) => Some(*x),
        ValueRef::Ref(x) => Some(x.0 as i64),
        _ => None,
    }
}

fn float(v: &ValueRef<'_>) -> Option<f64> {
    match v {
        ValueRef::Double(x) => Some(*x),
        ValueRef::Float(x) => Some(f64::from(*x)),
        _ => None,
    }
}

/// The number as a decimal, exactly; `None` for NaN and infinities.
fn exact(v: &ValueRef<'_>) -> Option<BigDecimal> {
    match v {
        ValueRef::Long(x) => Some(BigDecimal::from(*x)),
        ValueRef::Ref(x) => Some(BigDecimal::from(x.0)),
        ValueRef::Double(x) => BigDecimal::from_f64(*x),
        ValueRef::Float(x) => BigDecimal::from_f32(*x),
        ValueRef::Wide(wide) => match wide.as_ref() {
            Value::BigInt(x) => Some(BigDecimal::from(BigInt::clone(x))),
            Value::BigDec(x) => Some(BigDecimal::clone(x)),
            _ => None,
        },
        _ => None,
    }
}

/// Parts numbers of one kind that amount to the same: -0.0 before 0.0, 1.0M before 1.00M, NaNs by their bits.
fn compare_representations(a: &ValueRef<'_>, b: &ValueRef<'_>) -> Ordering {
    match (a, b) {
        (ValueRef::Double(x), ValueRef::Double(y)) => x.total_cmp(y),
        (ValueRef::Float(x), ValueRef::Float(y)) => x.total_cmp(y),
        (ValueRef::Wide(x), ValueRef::Wide(y)) => match (x.as_ref(), y.as_ref()) {
            (Value::BigDec(x), Value::BigDec(y)) => x.fractional_digit_count().cmp(&y.fractional_digit_count()),
            _ => Ordering::Equal,
        },
        _ => Ordering::Equal,
    }
}

fn compare_wide(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        // Shorter first, as Clojure orders vectors, then member by member.
        (Value::Tuple(x), Value::Tuple(y)) | (Value::Set(x), Value::Set(y)) => {
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        }
        (Value::FloatArray(x), Value::FloatArray(y)) => compare_arrays(x, y, f32::total_cmp),
        (Value::DoubleArray(x), Value::DoubleArray(y)) => compare_arrays(x, y, f64::total_cmp),
        (Value::Map(x), Value::Map(y)) => x.len().cmp(&y.len()).then_with(|| {
            let (mut x, mut y) = (x.to_vec(), y.to_vec());
            x.sort_unstable();
            y.sort_unstable();
            x.cmp(&y)
        }),
        _ => Ordering::Equal,
    }
}

fn compare_arrays<T>(x: &[T], y: &[T], compare: impl Fn(&T, &T) -> Ordering) -> Ordering {
    let first_difference = x.iter().zip(y).map(|(a, b)| compare(a, b)).find(|o| *o != Ordering::Equal);
    first_difference.unwrap_or_else(|| x.len().cmp(&y.len()))
}

/// A part of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the parts of a row")]
pub enum Component {
    E,
    A,
    V,
    Tx,
    Until,
}

/// The order in which an index keeps its rows: by which component first, second and so on.
///
/// The history orders hold closed rows; `until` stands right after the prefix that a point query binds, so that the
/// state of one fact at a time is one seek however many versions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Order {
    /// Current rows: entity, attribute, value.
    Eavt,
    /// Current rows: attribute, entity, value.
    Aevt,
    /// Current rows: attribute, value, entity; holds indexed, unique and ref attributes only.
    Avet,
    /// Closed rows: entity, attribute, until, value.
    HistoryEavt,
    /// Closed rows: attribute, entity, until, value.
    HistoryAevt,
    /// Closed rows: attribute, value, until, entity; the attributes of `Avet` only.
    HistoryAvet,
}

impl Order {
    /// All orders.
    pub const ALL: [Order; 6] =
        [Order::Eavt, Order::Aevt, Order::Avet, Order::HistoryEavt, Order::HistoryAevt, Order::HistoryAvet];

    /// The components of a row, most significant first.
    pub const fn components(self) -> &'static [Component] {
        use Component::{A, E, Tx, Until, V};
        match self {
            Order::Eavt => &[E, A, V, Tx],
            Order::Aevt => &[A, E, V, Tx],
            Order::Avet => &[A, V, E, Tx],
            Order::HistoryEavt => &[E, A, Until, V, Tx],
            Order::HistoryAevt => &[A, E, Until, V, Tx],
            Order::HistoryAvet => &[A, V, Until, E, Tx],
        }
    }

    /// Whether the order is one of closed rows.
    pub const fn is_history(self) -> bool {
        matches!(self, Order::HistoryEavt | Order::HistoryAevt | Order::HistoryAvet)
    }

    /// The history order that goes with a current one, and the reverse.
    pub const fn counterpart(self) -> Order {
        match self {
            Order::Eavt => Order::HistoryEavt,
            Order::Aevt => Order::HistoryAevt,
            Order::Avet => Order::HistoryAvet,
            Order::HistoryEavt => Order::Eavt,
            Order::HistoryAevt => Order::Aevt,
            Order::HistoryAvet => Order::Avet,
        }
    }

    /// Compares two rows.
    pub fn compare(self, x: &Row, y: &Row) -> Ordering {
        for component in self.components() {
            let by_component = match component {
                Component::E => x.e.cmp(&y.e),
                Component::A => x.a.cmp(&y.a),
                Component::V => x.v.cmp(&y.v),
                Component::Tx => x.tx.cmp(&y.tx),
                Component::Until => x.until.cmp(&y.until),
            };
            if by_component != Ordering::Equal {
                return by_component;
            }
        }
        Ordering::Equal
    }
}

/// The leading components of rows in some order. Components are read in the order's sequence up to the first that is
/// absent; what is given after it is ignored. The empty key is a prefix of every row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Key {
    /// The entity.
    pub e: Option<u64>,
    /// The attribute.
    pub a: Option<AttrId>,
    /// The value.
    pub v: Option<Value>,
    /// The transaction.
    pub tx: Option<u64>,
    /// The end of validity.
    pub until: Option<u64>,
}

impl Key {
    /// Whether the key has the component.
    pub(crate) fn has(&self, component: Component) -> bool {
        match component {
            Component::E => self.e.is_some(),
            Component::A => self.a.is_some(),
            Component::V => self.v.is_some(),
            Component::Tx => self.tx.is_some(),
            Component::Until => self.until.is_some(),
        }
    }

    /// The key of all components of a row.
    pub fn of(row: &Row) -> Key {
        Key { e: Some(row.e), a: Some(row.a), v: Some(row.v.clone()), tx: Some(row.tx), until: Some(row.until) }
    }
}

/// Which side of the rows that begin with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Before the first of them.
    Before,
    /// After the last of them.
    After,
}

/// A place between two rows of an index: the rows that begin with `key` lie after or before it.
///
/// A range of an index goes from one cut to another: `before(k) .. after(k)` holds the rows that begin with `k`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cut {
    /// The prefix.
    pub key: Key,
    /// The side of the rows with that prefix.
    pub side: Side,
}

impl Cut {
    /// The place before all rows that begin with `key`.
    pub fn before(key: Key) -> Cut {
        Cut { key, side: Side::Before }
    }

    /// The place after all rows that begin with `key`.
    pub fn after(key: Key) -> Cut {
        Cut { key, side: Side::After }
    }

    /// Compares the places of two cuts among the rows in `order`.
    pub fn compare(&self, other: &Cut, order: Order) -> Ordering {
        let side = |cut: &Cut| if cut.side == Side::Before { Ordering::Less } else { Ordering::Greater };
        let (x, y) = (&self.key, &other.key);
        for component in order.components() {
            let by_component = match component {
                Component::E => by_presence(x.e.as_ref(), y.e.as_ref()),
                Component::A => by_presence(x.a.as_ref(), y.a.as_ref()),
                Component::V => by_presence(x.v.as_ref(), y.v.as_ref()),
                Component::Tx => by_presence(x.tx.as_ref(), y.tx.as_ref()),
                Component::Until => by_presence(x.until.as_ref(), y.until.as_ref()),
            };
            match by_component {
                Ok(Ordering::Equal) => {}
                Ok(different) => return different,
                Err(Shorter::First) => return side(self),
                Err(Shorter::Second) => return side(other).reverse(),
                Err(Shorter::Both) => break,
            }
        }
        side(self).cmp(&side(other))
    }
}

/// Which of two keys ends.
enum Shorter {
    First,
    Second,
    Both,
}

fn by_presence<T: Ord>(x: Option<&T>, y: Option<&T>) -> Result<Ordering, Shorter> {
    match (x, y) {
        (Some(x), Some(y)) => Ok(x.cmp(y)),
        (None, Some(_)) => Err(Shorter::First),
        (Some(_), None) => Err(Shorter::Second),
        (None, None) => Err(Shorter::Both),
    }
}

#[cfg(test)]
mod tests {
    use super::rank;
    use crate::datom::{EntityId, Value};
    use proptest::prelude::any;
    use proptest::{prop_assert, proptest};

    proptest! {
        #[test]
        fn ranks_ascend_with_values(x in any::<i64>(), y in any::<i64>(), s in "[a-b\0é]{0,10}", t in "[a-b\0é]{0,10}") {
            for (x, y) in [
                (Value::Long(x), Value::Long(y)),
                (Value::Instant(x), Value::Instant(y)),
                (Value::Ref(EntityId(x as u64 >> 1)), Value::Ref(EntityId(y as u64 >> 1))),
                (Value::from(s.clone()), Value::from(t.clone())),
                (Value::Uri(s.into()), Value::Uri(t.into())),
            ] {
                let (low, high) = if x <= y { (x, y) } else { (y, x) };
                prop_assert!(rank(&low.as_ref()) <= rank(&high.as_ref()), "{low:?} {high:?}");
            }
        }
    }
}
