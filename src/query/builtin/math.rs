//! Arithmetic over longs, doubles, big integers and decimals.
//!
//! The result has the widest type of its operands: long, bigint, bigdec, double in that order; a float counts as a
//! double, an entity id as a long. A long that does not fit is an error, never another number.

use bigdecimal::{BigDecimal, RoundingMode, ToPrimitive, Zero};
use num_bigint::BigInt;
use num_traits::Signed;
use std::num::NonZeroU64;
use std::sync::Arc;

use crate::datom::Value;
use crate::error::{Error, ErrorKind, Result};

use super::args::{Args, shown};
use super::compare::bool;
use super::{Builtin, MANY};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("+", 0, MANY, |args| fold(args, Operation::Add, 0)),
    Builtin::new("*", 0, MANY, |args| fold(args, Operation::Multiply, 1)),
    Builtin::new("-", 1, MANY, |args| reduce(args, Operation::Subtract, 0)),
    Builtin::new("/", 1, MANY, |args| reduce(args, Operation::Divide, 1)),
    Builtin::new("quot", 2, 2, |args| reduce(args, Operation::Quotient, 0)),
    Builtin::new("rem", 2, 2, |args| reduce(args, Operation::Remainder, 0)),
    Builtin::new("mod", 2, 2, |args| reduce(args, Operation::Modulo, 0)),
    Builtin::new("inc", 1, 1, |args| calculate(args, Operation::Add, number(args, 0)?, Number::Long(1))),
    Builtin::new("dec", 1, 1, |args| calculate(args, Operation::Subtract, number(args, 0)?, Number::Long(1))),
    Builtin::new("abs", 1, 1, abs),
    Builtin::new("zero?", 1, 1, |args| bool(number(args, 0)?.sign() == Some(0))),
    Builtin::new("pos?", 1, 1, |args| bool(number(args, 0)?.sign() == Some(1))),
    Builtin::new("neg?", 1, 1, |args| bool(number(args, 0)?.sign() == Some(-1))),
    Builtin::new("even?", 1, 1, |args| bool(!is_odd(args)?)),
    Builtin::new("odd?", 1, 1, |args| bool(is_odd(args)?)),
    Builtin { pure: false, ..Builtin::new("rand", 0, 1, rand) },
    Builtin { pure: false, ..Builtin::new("rand-int", 1, 1, rand_int) },
];

/// Most bits of a big integer and of the digits of a decimal that a calculation may give.
const MAX_BITS: u64 = 1 << 20;
/// Largest power of ten, up or down, of a decimal that takes part in a calculation.
const MAX_SCALE: u64 = 20_000;
/// Significant digits of a quotient of decimals, as in IEEE decimal128.
const QUOTIENT_DIGITS: NonZeroU64 = NonZeroU64::new(34).expect("is not zero");

/// A number, ready for arithmetic.
#[derive(Debug, Clone)]
pub(crate) enum Number {
    Long(i64),
    BigInt(Arc<BigInt>),
    BigDec(Arc<BigDecimal>),
    Double(f64),
}

/// Two numbers, widened to one type.
enum Pair {
    Long(i64, i64),
    BigInt(Arc<BigInt>, Arc<BigInt>),
    BigDec(Arc<BigDecimal>, Arc<BigDecimal>),
    Double(f64, f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Quotient,
    Remainder,
    Modulo,
}

/// Why a calculation has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    Overflow,
    DivisionByZero,
    TooLarge,
}

impl Number {
    /// The number that a value is, if it is one.
    pub fn of(value: &Value) -> Option<Number> {
        Some(match value {
            Value::Long(n) => Number::Long(*n),
            Value::Ref(e) => Number::Long(e.0 as i64),
            Value::BigInt(n) => Number::BigInt(Arc::clone(n)),
            Value::BigDec(n) => Number::BigDec(Arc::clone(n)),
            Value::Double(n) => Number::Double(*n),
            Value::Float(n) => Number::Double(f64::from(*n)),
            _ => return None,
        })
    }

    pub fn into_value(self) -> Value {
        match self {
            Number::Long(n) => Value::Long(n),
            Number::BigInt(n) => Value::BigInt(n),
            Number::BigDec(n) => Value::BigDec(n),
            Number::Double(n) => Value::Double(n),
        }
    }

    /// -1, 0 or 1; `None` for NaN.
    fn sign(&self) -> Option<i8> {
        Some(match self {
            Number::Long(n) => n.signum() as i8,
            Number::BigInt(n) => i8::from(n.is_positive()) - i8::from(n.is_negative()),
            Number::BigDec(n) => i8::from(n.is_positive()) - i8::from(n.is_negative()),
            Number::Double(n) if n.is_nan() => return None,
            Number::Double(n) => i8::from(*n > 0.0) - i8::from(*n < 0.0),
        })
    }

    pub fn to_double(&self) -> f64 {
        match self {
            Number::Long(n) => *n as f64,
            Number::BigInt(n) => n.to_f64().unwrap_or(f64::NAN),
            Number::BigDec(n) => n.to_f64().unwrap_or(f64::NAN),
            Number::Double(n) => *n,
        }
    }

    fn to_bigint(&self) -> Arc<BigInt> {
        match self {
            Number::BigInt(n) => Arc::clone(n),
            Number::Long(n) => Arc::new(BigInt::from(*n)),
            Number::BigDec(_) | Number::Double(_) => Arc::new(BigInt::zero()),
        }
    }

    fn to_decimal(&self) -> Arc<BigDecimal> {
        match self {
            Number::BigDec(n) => Arc::clone(n),
            Number::Long(n) => Arc::new(BigDecimal::from(*n)),
            Number::BigInt(n) => Arc::new(BigDecimal::from(BigInt::clone(n))),
            Number::Double(_) => Arc::new(BigDecimal::zero()),
        }
    }

    /// Whether it is small enough to calculate with: a decimal with a huge exponent is short to write and long to add.
    fn is_bounded(&self) -> bool {
        match self {
            Number::Long(_) | Number::Double(_) => true,
            Number::BigInt(n) => n.bits() <= MAX_BITS,
            Number::BigDec(n) => {
                let (digits, scale) = n.as_bigint_and_scale();
                digits.bits() <= MAX_BITS && scale.unsigned_abs() <= MAX_SCALE
            }
        }
    }
}

impl Pair {
    fn widen(x: Number, y: Number) -> Pair {
        match (x, y) {
            (Number::Long(x), Number::Long(y)) => Pair::Long(x, y),
            (x @ Number::Double(_), y) | (x, y @ Number::Double(_)) => Pair::Double(x.to_double(), y.to_double()),
            (x @ Number::BigDec(_), y) | (x, y @ Number::BigDec(_)) => Pair::BigDec(x.to_decimal(), y.to_decimal()),
            (x, y) => Pair::BigInt(x.to_bigint(), y.to_bigint()),
        }
    }
}

/// One calculation.
pub(crate) fn apply(operation: Operation, x: Number, y: Number) -> Result<Number, Failure> {
    if !x.is_bounded() || !y.is_bounded() {
        return Err(Failure::TooLarge);
    }
    let divides = !matches!(operation, Operation::Add | Operation::Subtract | Operation::Multiply);
    if divides && y.sign() == Some(0) {
        return Err(Failure::DivisionByZero);
    }
    let result = match Pair::widen(x, y) {
        Pair::Long(x, y) => longs(operation, x, y).ok_or(Failure::Overflow)?,
        Pair::Double(x, y) => Number::Double(doubles(operation, x, y)),
        Pair::BigInt(x, y) => bigints(operation, &x, &y),
        Pair::BigDec(x, y) => Number::BigDec(Arc::new(decimals(operation, &x, &y)?)),
    };
    if result.is_bounded() { Ok(result) } else { Err(Failure::TooLarge) }
}

fn longs(operation: Operation, x: i64, y: i64) -> Option<Number> {
    Some(Number::Long(match operation {
        Operation::Add => x.checked_add(y)?,
        Operation::Subtract => x.checked_sub(y)?,
        Operation::Multiply => x.checked_mul(y)?,
        Operation::Quotient => x.checked_div(y)?,
        Operation::Remainder => x.wrapping_rem(y),
        Operation::Modulo => {
            let rem = x.wrapping_rem(y);
            if rem != 0 && (rem < 0) != (y < 0) { rem + y } else { rem }
        }
        Operation::Divide if x.wrapping_rem(y) == 0 => x.checked_div(y)?,
        Operation::Divide => return Some(Number::Double(x as f64 / y as f64)),
    }))
}

fn doubles(operation: Operation, x: f64, y: f64) -> f64 {
    match operation {
        Operation::Add => x + y,
        Operation::Subtract => x - y,
        Operation::Multiply => x * y,
        Operation::Divide => x / y,
        Operation::Quotient => (x / y).trunc(),
        Operation::Remainder => x % y,
        Operation::Modulo => {
            let rem = x % y;
            if rem != 0.0 && (rem < 0.0) != (y < 0.0) { rem + y } else { rem }
        }
    }
}

fn bigints(operation: Operation, x: &BigInt, y: &BigInt) -> Number {
    Number::BigInt(Arc::new(match operation {
        Operation::Add => x + y,
        Operation::Subtract => x - y,
        Operation::Multiply => x * y,
        Operation::Quotient => x / y,
        Operation::Remainder => x % y,
        Operation::Modulo => {
            let rem = x % y;
            if !rem.is_zero() && rem.is_negative() != y.is_negative() { rem + y } else { rem }
        }
        Operation::Divide if (x % y).is_zero() => x / y,
        Operation::Divide => {
            let (x, y) = (Number::BigInt(Arc::new(x.clone())), Number::BigInt(Arc::new(y.clone())));
            return Number::Double(x.to_double() / y.to_double());
        }
    }))
}

fn decimals(operation: Operation, x: &BigDecimal, y: &BigDecimal) -> Result<BigDecimal, Failure> {
    Ok(match operation {
        Operation::Add => x + y,
        Operation::Subtract => x - y,
        Operation::Multiply => x * y,
        Operation::Divide => (x / y).with_precision_round(QUOTIENT_DIGITS, RoundingMode::HalfEven).normalized(),
        Operation::Quotient => whole_quotient(x, y)?,
        Operation::Remainder => x - y * whole_quotient(x, y)?,
        Operation::Modulo => {
            let rem = x - y * whole_quotient(x, y)?;
            if !rem.is_zero() && rem.is_negative() != y.is_negative() { rem + y } else { rem }
        }
    })
}

/// The quotient without its fraction, exactly: both digits are brought to one scale and divided as integers.
fn whole_quotient(x: &BigDecimal, y: &BigDecimal) -> Result<BigDecimal, Failure> {
    let scale = x.fractional_digit_count().max(y.fractional_digit_count());
    let (x, _) = x.with_scale(scale).into_bigint_and_exponent();
    let (y, _) = y.with_scale(scale).into_bigint_and_exponent();
    if y.is_zero() { Err(Failure::DivisionByZero) } else { Ok(BigDecimal::from(x / y)) }
}

fn number(args: &Args<'_>, i: usize) -> Result<Number> {
    Number::of(args.value(i)?).ok_or_else(|| args.type_error(i, "a number"))
}

fn calculate(args: &Args<'_>, operation: Operation, x: Number, y: Number) -> Result<Option<Value>> {
    Ok(Some(calculated(args, operation, x, y)?.into_value()))
}

fn calculated(args: &Args<'_>, operation: Operation, x: Number, y: Number) -> Result<Number> {
    apply(operation, x.clone(), y.clone()).map_err(|failure| {
        let place = format!("({} {} {})", args.name, plain(&x), plain(&y));
        failure.error(&place)
    })
}

fn plain(number: &Number) -> String {
    if !number.is_bounded() {
        return "a huge number".to_owned();
    }
    let text = shown(&number.clone().into_value());
    text.rsplit(' ').next().unwrap_or_default().to_owned()
}

impl Failure {
    pub fn error(&self, place: &str) -> Error {
        let (kind, code, what) = match self {
            Failure::Overflow => {
                let what = "the result does not fit a long (64 bits); use bigint operands, such as 1N";
                (ErrorKind::Query, "query/overflow", what)
            }
            Failure::DivisionByZero => (ErrorKind::Query, "query/division-by-zero", "division by zero"),
            Failure::TooLarge => {
                (ErrorKind::Limit, "query/number-limit", "the number has more digits than calculations allow")
            }
        };
        Error::new(kind, code, format!("{place}: {what}"))
    }
}

fn fold(args: &Args<'_>, operation: Operation, unit: i64) -> Result<Option<Value>> {
    if args.len() == 0 {
        return Ok(Some(Value::Long(unit)));
    }
    let mut total = number(args, 0)?;
    for i in 1..args.len() {
        total = calculated(args, operation, total, number(args, i)?)?;
    }
    Ok(Some(total.into_value()))
}

/// From the left; one argument is taken from or divides `unit`.
fn reduce(args: &Args<'_>, operation: Operation, unit: i64) -> Result<Option<Value>> {
    let first = number(args, 0)?;
    if args.len() == 1 {
        return match first {
            // 0 - 0.0 would lose the sign.
            Number::Double(x) if operation == Operation::Subtract => Ok(Some(Value::Double(-x))),
            first => calculate(args, operation, Number::Long(unit), first),
        };
    }
    fold(args, operation, unit)
}

fn abs(args: &Args<'_>) -> Result<Option<Value>> {
    let x = number(args, 0)?;
    match x {
        Number::Double(x) => Ok(Some(Value::Double(x.abs()))),
        x if x.sign() == Some(-1) => calculate(args, Operation::Subtract, Number::Long(0), x),
        x => Ok(Some(x.into_value())),
    }
}

fn is_odd(args: &Args<'_>) -> Result<bool> {
    match number(args, 0)? {
        Number::Long(n) => Ok(n & 1 == 1),
        Number::BigInt(n) => Ok(n.bit(0)),
        Number::BigDec(_) | Number::Double(_) => Err(args.type_error(0, "an integer")),
    }
}

fn rand(args: &Args<'_>) -> Result<Option<Value>> {
    let most = if args.len() == 0 { 1.0 } else { number(args, 0)?.to_double() };
    Ok(Some(Value::Double(Random::seeded().unit() * most)))
}

fn rand_int(args: &Args<'_>) -> Result<Option<Value>> {
    let most = args.int(0)?;
    if most <= 0 {
        return Err(args.argument_error(format_args!("wants a positive bound, got {most}")));
    }
    Ok(Some(Value::Long(Random::seeded().below(most as u64) as i64)))
}

/// Random numbers that are good enough for samples: SplitMix64 from a seed of the operating system.
pub(crate) struct Random(u64);

impl Random {
    pub fn seeded() -> Random {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Random(high.rotate_left(32) ^ low)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// At least 0 and below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// At least 0 and below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
