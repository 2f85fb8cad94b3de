//! Names, types and conversions.

use std::sync::Arc;

use bigdecimal::{BigDecimal, FromPrimitive, ToPrimitive};
use num_bigint::BigInt;

use crate::datom::{Value, ValueKind};
use crate::edn::{Keyword, Symbol};
use crate::error::Result;
use crate::schema::ValueType;

use super::Builtin;
use super::args::Args;

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("identity ground untuple", 1, 1, |args| Ok(Some(args.value(0)?.clone()))),
    Builtin::new("name", 1, 1, |args| match args.value(0)? {
        Value::Keyword(k) => Ok(Some(k.name().into())),
        Value::Symbol(s) => Ok(Some(s.name().into())),
        Value::Str(s) => Ok(Some(Value::Str(Arc::clone(s)))),
        _ => Err(args.type_error(0, "a keyword, a symbol or a string")),
    }),
    Builtin::new("namespace", 1, 1, |args| match args.value(0)? {
        Value::Keyword(k) => Ok(k.namespace().map(Value::from)),
        Value::Symbol(s) => Ok(s.namespace().map(Value::from)),
        _ => Err(args.type_error(0, "a keyword or a symbol")),
    }),
    Builtin::new("keyword", 1, 2, |args| match args.value(0)? {
        Value::Keyword(k) if args.len() == 1 => Ok(Some(Value::Keyword(*k))),
        Value::Symbol(s) if args.len() == 1 => Ok(Some(Value::Keyword(Keyword::new(s.as_str())))),
        _ => Ok(Some(Value::Keyword(Keyword::new(&qualified(args)?)))),
    }),
    Builtin::new("symbol", 1, 2, |args| match args.value(0)? {
        Value::Symbol(s) if args.len() == 1 => Ok(Some(Value::Symbol(*s))),
        Value::Keyword(k) if args.len() == 1 => Ok(Some(Value::Symbol(Symbol::new(k.as_str())))),
        _ => Ok(Some(Value::Symbol(Symbol::new(&qualified(args)?)))),
    }),
    Builtin::new("type", 1, 1, |args| Ok(type_of(args.value(0)?.kind()).map(Value::Keyword))),
    Builtin::new("long", 1, 1, long),
    Builtin::new("double", 1, 1, double),
    Builtin::new("bigint", 1, 1, bigint),
    Builtin::new("bigdec", 1, 1, bigdec),
    Builtin::new("inst-ms", 1, 1, |args| Ok(Some(Value::Long(args.instant(0)?)))),
    Builtin::new("parse-long", 1, 1, |args| Ok(args.text(0)?.parse().ok().map(Value::Long))),
    Builtin::new("parse-double", 1, 1, |args| Ok(args.text(0)?.trim().parse().ok().map(Value::Double))),
];

/// Most characters of a name that a query makes: names stay in memory as long as the process.
const MAX_NAME: usize = 1024;

fn qualified(args: &Args<'_>) -> Result<String> {
    let name = match args.len() {
        1 => args.text(0)?.to_owned(),
        _ if matches!(args.value(0)?, Value::Nil) => args.text(1)?.to_owned(),
        _ => format!("{}/{}", args.text(0)?, args.text(1)?),
    };
    if name.is_empty() || name.len() > MAX_NAME {
        let message = format!("a name has 1 to {MAX_NAME} bytes, got {}", name.len());
        return Err(args.argument_error(message));
    }
    Ok(name)
}

/// `:db.type/…` for what a datom can hold, `:char`, `:set` and `:map` for the rest; nil for nil.
fn type_of(kind: ValueKind) -> Option<Keyword> {
    match kind {
        ValueKind::Nil => None,
        ValueKind::Char => Some(Keyword::new("char")),
        ValueKind::Set => Some(Keyword::new("set")),
        ValueKind::Map => Some(Keyword::new("map")),
        _ => ValueType::of_kind(kind).map(ValueType::keyword),
    }
}

fn out_of_range(args: &Args<'_>) -> crate::Error {
    super::math::Failure::Overflow.error(args.name.as_str())
}

/// The whole part of a number, the code point of a character, the milliseconds of an instant.
fn long(args: &Args<'_>) -> Result<Option<Value>> {
    let whole = match args.value(0)? {
        Value::Long(n) | Value::Instant(n) => Some(*n),
        Value::Ref(e) => Some(e.0 as i64),
        Value::Char(c) => Some(i64::from(u32::from(*c))),
        Value::Double(n) => n.trunc().to_i64(),
        Value::Float(n) => n.trunc().to_i64(),
        Value::BigInt(n) => n.to_i64(),
        Value::BigDec(n) => n.to_i64(),
        _ => return Err(args.type_error(0, "a number, a character or an instant")),
    };
    whole.map(|n| Some(Value::Long(n))).ok_or_else(|| out_of_range(args))
}

fn double(args: &Args<'_>) -> Result<Option<Value>> {
    let number = super::math::Number::of(args.value(0)?).ok_or_else(|| args.type_error(0, "a number"))?;
    Ok(Some(Value::Double(number.to_double())))
}

fn bigint(args: &Args<'_>) -> Result<Option<Value>> {
    let whole = match args.value(0)? {
        Value::Long(n) => Some(BigInt::from(*n)),
        Value::Ref(e) => Some(BigInt::from(e.0)),
        Value::BigInt(n) => Some(BigInt::clone(n)),
        Value::Double(n) => BigInt::from_f64(n.trunc()),
        Value::Float(n) => BigInt::from_f32(n.trunc()),
        Value::BigDec(n) if n.fractional_digit_count().unsigned_abs() < 20_000 => {
            Some(n.with_scale(0).into_bigint_and_exponent().0)
        }
        _ => return Err(args.type_error(0, "a number")),
    };
    whole.map(|n| Some(n.into())).ok_or_else(|| out_of_range(args))
}

fn bigdec(args: &Args<'_>) -> Result<Option<Value>> {
    let decimal = match args.value(0)? {
        Value::Long(n) => Some(BigDecimal::from(*n)),
        Value::Ref(e) => Some(BigDecimal::from(e.0)),
        Value::BigInt(n) => Some(BigDecimal::from(BigInt::clone(n))),
        Value::BigDec(n) => Some(BigDecimal::clone(n)),
        Value::Double(n) => BigDecimal::from_f64(*n),
        Value::Float(n) => BigDecimal::from_f32(*n),
        _ => return Err(args.type_error(0, "a number")),
    };
    decimal.map(|n| Some(n.into())).ok_or_else(|| out_of_range(args))
}
