//! Equality, order and truth.
//!
//! `=` and the order predicates take numbers for what they amount to, whatever their types: 1, 1.0 and 1.00M are equal
//! here. NaN is equal to itself and greater than every other number, and values of different classes have the order of
//! their classes, as in the indexes: a predicate says the same whether it is called or read as a range of an index.
//! `identical?` tells types apart.

use std::cmp::Ordering;

use crate::datom::{Value, ValueKind, class, compare as compare_values, compare_numbers};
use crate::error::Result;

use super::args::Args;
use super::{Builtin, MANY, truthy};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("= ==", 1, MANY, |args| all_pairs(args, |x, y| Ok(same(x, y)))),
    Builtin::new("not= !=", 1, MANY, |args| negated(all_pairs(args, |x, y| Ok(same(x, y))))),
    Builtin::new("<", 1, MANY, |args| ordered(args, Ordering::is_lt)),
    Builtin::new(">", 1, MANY, |args| ordered(args, Ordering::is_gt)),
    Builtin::new("<=", 1, MANY, |args| ordered(args, Ordering::is_le)),
    Builtin::new(">=", 1, MANY, |args| ordered(args, Ordering::is_ge)),
    Builtin::new("compare", 2, 2, |args| Ok(Some(Value::Long(order_of_any(args.value(0)?, args.value(1)?) as i64)))),
    Builtin::new("identical?", 2, 2, |args| bool(args.value(0)? == args.value(1)?)),
    Builtin::new("-differ?", 0, MANY, differ),
    Builtin::new("before?", 2, 2, |args| bool(args.instant(0)? < args.instant(1)?)),
    Builtin::new("after?", 2, 2, |args| bool(args.instant(0)? > args.instant(1)?)),
    Builtin::new("max", 1, MANY, |args| extreme(args, Ordering::is_ge)),
    Builtin::new("min", 1, MANY, |args| extreme(args, Ordering::is_le)),
    Builtin::new("true?", 1, 1, |args| bool(matches!(args.value(0)?, Value::Bool(true)))),
    Builtin::new("false?", 1, 1, |args| bool(matches!(args.value(0)?, Value::Bool(false)))),
    Builtin::new("nil?", 1, 1, |args| bool(matches!(args.value(0)?, Value::Nil))),
    Builtin::new("some?", 1, 1, |args| bool(!matches!(args.value(0)?, Value::Nil))),
    Builtin::new("not", 1, 1, |args| bool(!truthy(Some(args.value(0)?)))),
    Builtin::new("and", 0, MANY, |args| {
        let values = args.values(0)?;
        let decisive = values.iter().find(|v| !truthy(Some(v))).or(values.last());
        Ok(Some(decisive.map_or(Value::Bool(true), |v| Value::clone(v))))
    }),
    Builtin::new("or", 0, MANY, |args| {
        let values = args.values(0)?;
        let decisive = values.iter().find(|v| truthy(Some(v))).or(values.last());
        Ok(decisive.map(|v| Value::clone(v)))
    }),
];

pub(super) fn bool(x: bool) -> Result<Option<Value>> {
    Ok(Some(Value::Bool(x)))
}

fn negated(result: Result<Option<Value>>) -> Result<Option<Value>> {
    Ok(result?.map(|v| Value::Bool(!truthy(Some(&v)))))
}

fn is_number(value: &Value) -> bool {
    class(value.kind()) == class(ValueKind::Long)
}

/// Whether two values are equal: numbers by what they amount to, collections member by member.
pub(crate) fn same(x: &Value, y: &Value) -> bool {
    match (x, y) {
        (Value::Tuple(xs), Value::Tuple(ys)) => {
            xs.len() == ys.len() && xs.iter().zip(ys.iter()).all(|(x, y)| same(x, y))
        }
        _ if is_number(x) && is_number(y) => compare_numbers(&x.as_ref(), &y.as_ref()).is_eq(),
        _ => x == y,
    }
}

/// The order of two values of any classes: that of the indexes, but numbers that amount to the same are equal.
fn order_of_any(x: &Value, y: &Value) -> Ordering {
    if is_number(x) && is_number(y) {
        compare_numbers(&x.as_ref(), &y.as_ref())
    } else {
        compare_values(&x.as_ref(), &y.as_ref())
    }
}

/// Whether every two neighbouring arguments pass.
fn all_pairs(args: &Args<'_>, passes: impl Fn(&Value, &Value) -> Result<bool>) -> Result<Option<Value>> {
    let mut all = true;
    args.value(0)?;
    for i in 1..args.len() {
        all = all && passes(args.value(i - 1)?, args.value(i)?)?;
    }
    bool(all)
}

fn ordered(args: &Args<'_>, passes: fn(Ordering) -> bool) -> Result<Option<Value>> {
    all_pairs(args, |x, y| Ok(passes(order_of_any(x, y))))
}

/// The greatest or least argument; of equal ones the last, as in Clojure.
fn extreme(args: &Args<'_>, wins: fn(Ordering) -> bool) -> Result<Option<Value>> {
    let mut best = args.value(0)?;
    for i in 1..args.len() {
        let next = args.value(i)?;
        if wins(order_of_any(next, best)) {
            best = next;
        }
    }
    Ok(Some(best.clone()))
}

/// Whether the first half of the arguments differs from the second half.
fn differ(args: &Args<'_>) -> Result<Option<Value>> {
    let values = args.values(0)?;
    let (first, second) = values.split_at(values.len().div_ceil(2));
    let equal = first.len() == second.len() && first.iter().zip(second).all(|(x, y)| same(x, y));
    bool(!equal)
}
