//! Numbers by what they amount to, and arithmetic.

use std::cmp::Ordering;

use bigdecimal::{BigDecimal, FromPrimitive, ToPrimitive};
use num_bigint::BigInt;
use treering::Value;

pub fn is_number(v: &Value) -> bool {
    matches!(
        v,
        Value::Long(_) | Value::BigInt(_) | Value::Float(_) | Value::Double(_) | Value::BigDec(_) | Value::Ref(_)
    )
}

fn exact(v: &Value) -> Option<BigDecimal> {
    match v {
        Value::Long(x) => Some(BigDecimal::from(*x)),
        Value::Ref(x) => Some(BigDecimal::from(x.0)),
        Value::BigInt(x) => Some(BigDecimal::from(BigInt::clone(x))),
        Value::BigDec(x) => Some(BigDecimal::clone(x)),
        Value::Float(x) => BigDecimal::from_f32(*x),
        Value::Double(x) => BigDecimal::from_f64(*x),
        _ => None,
    }
}

pub fn double(v: &Value) -> Option<f64> {
    match v {
        Value::Float(x) => Some(f64::from(*x)),
        Value::Double(x) => Some(*x),
        _ => exact(v)?.to_f64(),
    }
}

/// How two numbers compare by amount; NaN is equal to itself and above every other number.
pub fn compare(a: &Value, b: &Value) -> Ordering {
    match (exact(a), exact(b)) {
        (Some(x), Some(y)) => x.cmp(&y),
        _ => {
            let (x, y) = (double(a).unwrap_or(f64::NAN), double(b).unwrap_or(f64::NAN));
            x.partial_cmp(&y).unwrap_or_else(|| x.is_nan().cmp(&y.is_nan()))
        }
    }
}

/// `=` and `==`: numbers by amount, collections member by member, everything else by identity.
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        _ if is_number(a) && is_number(b) => compare(a, b) == Ordering::Equal,
        (Value::Tuple(x), Value::Tuple(y)) => x.len() == y.len() && x.iter().zip(y.iter()).all(|(x, y)| equal(x, y)),
        _ => a == b,
    }
}

/// `<` and its kin: numbers by amount, everything else by the total order.
pub fn order(a: &Value, b: &Value) -> Ordering {
    if is_number(a) && is_number(b) { compare(a, b) } else { a.cmp(b) }
}

#[derive(Clone, Copy, PartialEq)]
pub enum Op {
    Add,
    Sub,
    Mul,
    Div,
    Quot,
    Rem,
    Mod,
}

/// One step of arithmetic. The wider kind of the two is the kind of the result: double over float over bigdec over
/// bigint over long.
pub fn arithmetic(op: Op, a: &Value, b: &Value) -> Result<Value, String> {
    let wrong = |v: &Value| format!("{v:?} is not a number");
    if !is_number(a) {
        return Err(wrong(a));
    }
    if !is_number(b) {
        return Err(wrong(b));
    }
    if matches!(a, Value::Double(_) | Value::Float(_)) || matches!(b, Value::Double(_) | Value::Float(_)) {
        let (x, y) = (double(a).unwrap_or(f64::NAN), double(b).unwrap_or(f64::NAN));
        if y == 0.0 && matches!(op, Op::Div | Op::Quot | Op::Rem | Op::Mod) {
            return Err("division by zero".into());
        }
        return Ok(Value::Double(match op {
            Op::Add => x + y,
            Op::Sub => x - y,
            Op::Mul => x * y,
            Op::Div => x / y,
            Op::Quot => (x / y).trunc(),
            Op::Rem => x % y,
            Op::Mod => {
                let rest = x % y;
                if rest != 0.0 && (rest < 0.0) != (y < 0.0) { rest + y } else { rest }
            }
        }));
    }
    let (Value::Long(x), Value::Long(y)) = (super::canon(a), super::canon(b)) else {
        return Err("the oracle computes with longs and doubles only".into());
    };
    if y == 0 && !matches!(op, Op::Add | Op::Sub | Op::Mul) {
        return Err("division by zero".into());
    }
    let exact = match op {
        Op::Add => x.checked_add(y),
        Op::Sub => x.checked_sub(y),
        Op::Mul => x.checked_mul(y),
        Op::Div if x.checked_rem(y) == Some(0) => x.checked_div(y),
        Op::Div if y != -1 => return Ok(Value::Double(x as f64 / y as f64)),
        Op::Div | Op::Quot => x.checked_div(y),
        Op::Rem => Some(x.wrapping_rem(y)),
        Op::Mod => Some(((i128::from(x) % i128::from(y) + i128::from(y)) % i128::from(y)) as i64),
    };
    exact.map(Value::Long).ok_or_else(|| "integer overflow".into())
}
