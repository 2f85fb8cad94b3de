//! What becomes of a value that is given for a type: the table in `docs/values.md`, which a test reads.
//!
//! Only conversions that lose nothing are made, and text is never read as something else; a double for a float is the
//! one that rounds, since EDN has no notation for floats.

use std::sync::Arc;

use bigdecimal::BigDecimal;
use num_bigint::BigInt;
use num_traits::ToPrimitive;

use super::ValueType;
use crate::datom::{EntityId, Value};

/// The value as the type keeps it, or the value back. Members of tuples are left to who knows their types.
pub(crate) fn coerce(value_type: ValueType, value: Value) -> Result<Value, Value> {
    use ValueType as T;
    if value_type.kind() == Some(value.kind()) {
        return Ok(value);
    }
    Ok(match (value_type, value) {
        (
            T::Number,
            v @ (Value::Long(_) | Value::Double(_) | Value::Float(_) | Value::BigInt(_) | Value::BigDec(_)),
        ) => v,
        (T::Long, Value::BigInt(n)) => n.to_i64().map(Value::Long).ok_or(Value::BigInt(n))?,
        (T::BigInt, Value::Long(n)) => Value::BigInt(Arc::new(BigInt::from(n))),
        (T::BigDec, Value::Long(n)) => Value::BigDec(Arc::new(BigDecimal::from(n))),
        (T::BigDec, Value::BigInt(n)) => Value::BigDec(Arc::new(BigDecimal::from(BigInt::clone(&n)))),
        (T::Double, Value::Float(x)) => Value::Double(f64::from(x)),
        (T::Double, v @ (Value::Long(_) | Value::BigInt(_))) => exact_double(&v).map(Value::Double).ok_or(v)?,
        (T::Float, v @ (Value::Long(_) | Value::BigInt(_))) => {
            let exact = exact_double(&v).filter(|x| f64::from(*x as f32) == *x);
            exact.map(|x| Value::Float(x as f32)).ok_or(v)?
        }
        (T::Float, Value::Double(x)) => to_float(x).map(Value::Float).ok_or(Value::Double(x))?,
        (T::String, Value::Char(c)) => Value::from(c.to_string()),
        (T::Ref, Value::Long(n)) if n > 0 => Value::Ref(EntityId(n as u64)),
        (T::FloatArray, Value::Tuple(xs)) => {
            let floats = xs.iter().map(|x| number(x).and_then(to_float)).collect::<Option<Vec<_>>>();
            floats.map(|fs| Value::FloatArray(fs.into())).ok_or(Value::Tuple(xs))?
        }
        (T::FloatArray, Value::DoubleArray(xs)) => {
            let floats = xs.iter().map(|x| to_float(*x)).collect::<Option<Vec<_>>>();
            floats.map(|fs| Value::FloatArray(fs.into())).ok_or(Value::DoubleArray(xs))?
        }
        (T::DoubleArray, Value::Tuple(xs)) => {
            let doubles = xs.iter().map(number).collect::<Option<Vec<_>>>();
            doubles.map(|fs| Value::DoubleArray(fs.into())).ok_or(Value::Tuple(xs))?
        }
        (T::DoubleArray, Value::FloatArray(xs)) => {
            Value::DoubleArray(xs.iter().map(|x| f64::from(*x)).collect::<Vec<_>>().into())
        }
        (_, other) => return Err(other),
    })
}

/// The double that equals an integer, if there is one.
fn exact_double(value: &Value) -> Option<f64> {
    let n = match value {
        Value::Long(n) => *n,
        Value::BigInt(n) => n.to_i64()?,
        _ => return None,
    };
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
        integer => exact_double(integer),
    }
}
