//! Values: what an attribute takes, and what becomes of a value of another kind. Only conversions that lose nothing are
//! made; a double for a float attribute is the one exception, since EDN has no notation for floats.

use std::sync::Arc;

use bigdecimal::BigDecimal;
use num_bigint::BigInt;
use num_traits::ToPrimitive;

use crate::datom::{EntityId, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Attribute, TupleShape, ValueType};

/// Longest text or bytes of one value, in bytes.
const MAX_BYTES: usize = 1 << 30;

/// Deepest nesting of vectors in a value.
const MAX_NESTING: usize = 64;

/// Most members of a homogeneous tuple.
const MAX_TUPLE: usize = 8;

/// The value as the attribute keeps it. Refs are not for this function, but for tuples that hold them.
pub(super) fn convert(attribute: &Attribute, value: Value) -> Result<Value> {
    let value = match (attribute.value_type, &attribute.tuple) {
        (Some(ValueType::Tuple), Some(shape)) => tuple(attribute, shape, value)?,
        (Some(value_type), _) => to_type(value_type, value).map_err(|got| mismatch(attribute, value_type, &got))?,
        (None, _) => any(attribute, value)?,
    };
    check_length(attribute, &value)?;
    Ok(value)
}

/// The value as the type keeps it, or the value back.
fn to_type(value_type: ValueType, value: Value) -> std::result::Result<Value, Value> {
    use ValueType as T;
    Ok(match (value_type, value) {
        (T::Long, v @ Value::Long(_))
        | (T::Double, v @ Value::Double(_))
        | (T::Float, v @ Value::Float(_))
        | (T::BigInt, v @ Value::BigInt(_))
        | (T::BigDec, v @ Value::BigDec(_))
        | (T::Boolean, v @ Value::Bool(_))
        | (T::String, v @ Value::Str(_))
        | (T::Keyword, v @ Value::Keyword(_))
        | (T::Symbol, v @ Value::Symbol(_))
        | (T::Instant, v @ Value::Instant(_))
        | (T::Uuid, v @ Value::Uuid(_))
        | (T::Uri, v @ Value::Uri(_))
        | (T::Bytes, v @ Value::Bytes(_))
        | (T::Ref, v @ Value::Ref(_))
        | (T::Tuple, v @ Value::Tuple(_))
        | (T::FloatArray, v @ Value::FloatArray(_))
        | (T::DoubleArray, v @ Value::DoubleArray(_)) => v,
        (
            T::Number,
            v @ (Value::Long(_) | Value::Double(_) | Value::Float(_) | Value::BigInt(_) | Value::BigDec(_)),
        ) => v,
        (T::Long, Value::BigInt(n)) => n.to_i64().map(Value::Long).ok_or(Value::BigInt(n))?,
        (T::BigInt, Value::Long(n)) => Value::BigInt(Arc::new(BigInt::from(n))),
        (T::BigDec, Value::Long(n)) => Value::BigDec(Arc::new(BigDecimal::from(n))),
        (T::BigDec, Value::BigInt(n)) => Value::BigDec(Arc::new(BigDecimal::from(BigInt::clone(&n)))),
        (T::Double, Value::Float(x)) => Value::Double(f64::from(x)),
        (T::Double, Value::Long(n)) => exact_double(n).map(Value::Double).ok_or(Value::Long(n))?,
        (T::Float, Value::Long(n)) => {
            let exact = exact_double(n).filter(|x| f64::from(*x as f32) == *x);
            exact.map(|x| Value::Float(x as f32)).ok_or(Value::Long(n))?
        }
        (T::Float, Value::Double(x)) => to_float(x).map(Value::Float).ok_or(Value::Double(x))?,
        (T::Ref, Value::Long(n)) if n > 0 => Value::Ref(EntityId(n as u64)),
        (T::FloatArray, Value::Tuple(xs)) => {
            let floats = xs.iter().map(|x| number(x).and_then(to_float)).collect::<Option<Vec<_>>>();
            floats.map(|fs| Value::FloatArray(fs.into())).ok_or(Value::Tuple(xs))?
        }
        (T::DoubleArray, Value::Tuple(xs)) => {
            let doubles = xs.iter().map(number).collect::<Option<Vec<_>>>();
            doubles.map(|fs| Value::DoubleArray(fs.into())).ok_or(Value::Tuple(xs))?
        }
        (_, other) => return Err(other),
    })
}

fn exact_double(n: i64) -> Option<f64> {
    let x = n as f64;
    // The comparison goes through i128: `i64::MAX as f64` rounds up to 2^63, which `as i64` would cut back.
    (x as i128 == i128::from(n)).then_some(x)
}

fn to_float(x: f64) -> Option<f32> {
    let float = x as f32;
    (float.is_finite() || !x.is_finite()).then_some(float)
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Double(x) => Some(*x),
        Value::Float(x) => Some(f64::from(*x)),
        Value::Long(n) => exact_double(*n),
        _ => None,
    }
}

/// A value of an attribute without a type.
fn any(attribute: &Attribute, value: Value) -> Result<Value> {
    let storable = value != Value::Nil && is_member(&value, 0);
    if storable {
        return Ok(value);
    }
    if value == Value::Nil {
        return Err(nil(attribute));
    }
    let message = format!("{}: {} cannot be stored: {value:?}", attribute.ident, kind_name(&value));
    Err(Error::new(ErrorKind::Transact, "transact/schema", message))
}

fn is_member(value: &Value, depth: usize) -> bool {
    match value {
        Value::Char(_) | Value::Set(_) | Value::Map(_) => false,
        Value::Tuple(members) => depth < MAX_NESTING && members.iter().all(|v| is_member(v, depth + 1)),
        _ => true,
    }
}

fn tuple(attribute: &Attribute, shape: &TupleShape, value: Value) -> Result<Value> {
    let members = match value {
        Value::Tuple(members) => members,
        other => return Err(mismatch(attribute, ValueType::Tuple, &other)),
    };
    let member = |(i, (value_type, v)): (usize, (ValueType, &Value))| match v {
        Value::Nil => Ok(Value::Nil),
        v => to_type(value_type, v.clone())
            .map_err(|got| mismatch(attribute, value_type, &got).context(format_args!("member {i} of the tuple"))),
    };
    let wrong = |wanted: String| {
        let message = format!("{}: a tuple of {wanted} was wanted, got {}", attribute.ident, members.len());
        Error::new(ErrorKind::Transact, "transact/schema", message)
    };
    let converted: Vec<Value> = match shape {
        TupleShape::Heterogeneous(types) if types.len() == members.len() => {
            types.iter().copied().zip(members.iter()).enumerate().map(member).collect::<Result<_>>()?
        }
        TupleShape::Heterogeneous(types) => return Err(wrong(format!("{} members", types.len()))),
        TupleShape::Homogeneous(value_type) if (1..=MAX_TUPLE).contains(&members.len()) => {
            members.iter().map(|v| (*value_type, v)).enumerate().map(member).collect::<Result<_>>()?
        }
        TupleShape::Homogeneous(_) => return Err(wrong(format!("1 to {MAX_TUPLE} members"))),
        TupleShape::Composite(_) => {
            let message = format!("{} is a composite tuple: the transactor keeps its value", attribute.ident);
            return Err(Error::new(ErrorKind::Transact, "transact/schema", message));
        }
    };
    Ok(Value::Tuple(converted.into()))
}

fn check_length(attribute: &Attribute, value: &Value) -> Result<()> {
    let bytes = match value {
        Value::Str(s) | Value::Uri(s) => s.len(),
        Value::Bytes(b) => b.len(),
        Value::FloatArray(xs) => xs.len() * 4,
        Value::DoubleArray(xs) => xs.len() * 8,
        _ => return Ok(()),
    };
    let max = attribute.max_length.map(|n| n as usize);
    let length = |bytes: usize| match value {
        Value::Str(s) | Value::Uri(s) => s.chars().count(),
        Value::FloatArray(xs) => xs.len(),
        Value::DoubleArray(xs) => xs.len(),
        _ => bytes,
    };
    let (wanted, got) = match max {
        // A text has at most as many characters as bytes.
        Some(max) if bytes > max && length(bytes) > max => (max, length(bytes)),
        _ if bytes > MAX_BYTES => (MAX_BYTES, bytes),
        _ => return Ok(()),
    };
    let message = format!("{}: a value of length {got} is longer than {wanted}", attribute.ident);
    Err(Error::new(ErrorKind::Transact, "transact/max-length", message))
}

pub(super) fn mismatch(attribute: &Attribute, wanted: ValueType, got: &Value) -> Error {
    if *got == Value::Nil {
        return nil(attribute);
    }
    let message = format!(
        "{}: a value of {} was wanted, got {}: {}",
        attribute.ident,
        wanted.keyword(),
        kind_name(got),
        shorten(got)
    );
    Error::new(ErrorKind::Transact, "transact/schema", message)
}

fn nil(attribute: &Attribute) -> Error {
    let message = format!("{}: nil cannot be a value; leave the attribute out, or retract it", attribute.ident);
    Error::new(ErrorKind::Transact, "transact/nil", message)
}

/// The value as text, cut where it is long.
pub(super) fn shorten(value: &Value) -> String {
    const MOST: usize = 120;
    let text = format!("{value:?}");
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Bool(_) => "a boolean",
        Value::Long(_) => "a long",
        Value::BigInt(_) => "a bigint",
        Value::Float(_) => "a float",
        Value::Double(_) => "a double",
        Value::BigDec(_) => "a bigdec",
        Value::Ref(_) => "a ref",
        Value::Instant(_) => "an instant",
        Value::Keyword(_) => "a keyword",
        Value::Symbol(_) => "a symbol",
        Value::Str(_) => "a string",
        Value::Uri(_) => "a uri",
        Value::Uuid(_) => "a uuid",
        Value::Bytes(_) => "bytes",
        Value::Char(_) => "a character",
        Value::Tuple(_) => "a vector",
        Value::FloatArray(_) => "a float array",
        Value::DoubleArray(_) => "a double array",
        Value::Set(_) => "a set",
        Value::Map(_) => "a map",
    }
}
