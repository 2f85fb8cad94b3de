//! Vectors, sets and maps.

use std::sync::Arc;

use crate::datom::Value;
use crate::error::{Error, ErrorKind, Result};

use super::args::Args;
use super::compare::{bool, same};
use super::{Builtin, MANY};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("vector list tuple", 0, MANY, |args| {
        Ok(Some(args.values(0)?.into_iter().cloned().collect::<Vec<_>>().into()))
    }),
    Builtin::new("vec", 1, 1, |args| Ok(Some(Value::Tuple(members(args, 0)?.into())))),
    Builtin::new("set", 1, 1, |args| Ok(Some(Value::set(members(args, 0)?)))),
    Builtin::new("hash-map array-map", 0, MANY, map),
    Builtin::new("count", 1, 1, |args| Ok(Some(Value::Long(count(args)? as i64)))),
    Builtin::new("empty?", 1, 1, |args| bool(count(args)? == 0)),
    Builtin::new("not-empty", 1, 1, |args| Ok((count(args)? > 0).then_some(args.value(0)?.clone()))),
    Builtin::new("contains?", 2, 2, contains),
    Builtin::new("get", 2, 3, get),
    Builtin::new("first", 1, 1, |args| Ok(members(args, 0)?.into_iter().next())),
    Builtin::new("second", 1, 1, |args| Ok(members(args, 0)?.into_iter().nth(1))),
    Builtin::new("last", 1, 1, |args| Ok(members(args, 0)?.pop())),
    Builtin::new("nth", 2, 3, nth),
    Builtin::new("keys", 1, 1, |args| {
        Ok(Some(entries(args)?.iter().map(|(k, _)| k.clone()).collect::<Vec<_>>().into()))
    }),
    Builtin::new("vals", 1, 1, |args| {
        Ok(Some(entries(args)?.iter().map(|(_, v)| v.clone()).collect::<Vec<_>>().into()))
    }),
    Builtin::new("range", 1, 3, range),
];

/// Most members that `range` makes.
const MAX_RANGE: i128 = 1_000_000;

fn entries<'a>(args: &Args<'a>) -> Result<&'a Arc<[(Value, Value)]>> {
    match args.value(0)? {
        Value::Map(entries) => Ok(entries),
        _ => Err(args.type_error(0, "a map")),
    }
}

/// The members of a collection, in order; the entries of a map as pairs, the characters of a string, none of nil.
fn members(args: &Args<'_>, i: usize) -> Result<Vec<Value>> {
    Ok(match args.value(i)? {
        Value::Nil => Vec::new(),
        Value::Tuple(xs) | Value::Set(xs) => xs.to_vec(),
        Value::Map(entries) => entries.iter().map(|(k, v)| vec![k.clone(), v.clone()].into()).collect(),
        Value::Str(s) => s.chars().map(Value::Char).collect(),
        Value::FloatArray(xs) => xs.iter().map(|x| Value::Float(*x)).collect(),
        Value::DoubleArray(xs) => xs.iter().map(|x| Value::Double(*x)).collect(),
        Value::Bytes(xs) => xs.iter().map(|x| Value::Long(i64::from(*x))).collect(),
        _ => return Err(args.type_error(i, "a collection")),
    })
}

fn count(args: &Args<'_>) -> Result<usize> {
    Ok(match args.value(0)? {
        Value::Nil => 0,
        Value::Tuple(xs) | Value::Set(xs) => xs.len(),
        Value::Map(entries) => entries.len(),
        Value::Str(s) => s.chars().count(),
        Value::FloatArray(xs) => xs.len(),
        Value::DoubleArray(xs) => xs.len(),
        Value::Bytes(xs) => xs.len(),
        _ => return Err(args.type_error(0, "a collection or a string")),
    })
}

/// A map of alternating keys and values; a later value of a key takes the place of an earlier one.
fn map(args: &Args<'_>) -> Result<Option<Value>> {
    let values = args.values(0)?;
    if values.len() % 2 == 1 {
        return Err(args.argument_error(format_args!("wants keys and values in pairs, got {} arguments", values.len())));
    }
    let mut entries: Vec<(Value, Value)> = Vec::new();
    let mut places = hashbrown::HashMap::new();
    for pair in values.chunks_exact(2) {
        let [key, value] = pair else { continue };
        match places.get(*key).and_then(|i: &usize| entries.get_mut(*i)) {
            Some(entry) => entry.1 = Value::clone(value),
            None => {
                places.insert(*key, entries.len());
                entries.push((Value::clone(key), Value::clone(value)));
            }
        }
    }
    Ok(Some(Value::Map(entries.into())))
}

/// The place in a collection of `len` members that an argument tells, if it is one.
fn index(value: &Value, len: usize) -> Option<usize> {
    match value {
        Value::Long(n) => usize::try_from(*n).ok().filter(|i| *i < len),
        _ => None,
    }
}

fn contains(args: &Args<'_>) -> Result<Option<Value>> {
    let key = args.value(1)?;
    bool(match args.value(0)? {
        Value::Nil => false,
        Value::Set(xs) => xs.iter().any(|x| same(x, key)),
        Value::Map(entries) => entries.iter().any(|(k, _)| same(k, key)),
        Value::Tuple(xs) => index(key, xs.len()).is_some(),
        Value::Str(s) => index(key, s.chars().count()).is_some(),
        _ => return Err(args.type_error(0, "a set, a map, a vector (by position) or a string (by position)")),
    })
}

/// The value of a key, or the third argument.
fn get(args: &Args<'_>) -> Result<Option<Value>> {
    let key = args.value(1)?;
    let found = match args.value(0)? {
        Value::Set(xs) => xs.iter().find(|x| same(x, key)).cloned(),
        Value::Map(entries) => entries.iter().find(|(k, _)| same(k, key)).map(|(_, v)| v.clone()),
        Value::Tuple(xs) => index(key, xs.len()).and_then(|i| xs.get(i)).cloned(),
        Value::Str(s) => index(key, s.len()).and_then(|i| s.chars().nth(i)).map(Value::Char),
        _ => None,
    };
    match found {
        None if args.len() == 3 => Ok(Some(args.value(2)?.clone())),
        found => Ok(found),
    }
}

fn nth(args: &Args<'_>) -> Result<Option<Value>> {
    let (mut members, n) = (members(args, 0)?, args.int(1)?);
    match usize::try_from(n).ok().filter(|i| *i < members.len()) {
        Some(i) => Ok(Some(members.swap_remove(i))),
        None if args.len() == 3 => Ok(Some(args.value(2)?.clone())),
        None => Err(args.argument_error(format_args!("member {n} of a collection of {}", members.len()))),
    }
}

/// `(range end)`, `(range start end)`, `(range start end step)` over integers.
fn range(args: &Args<'_>) -> Result<Option<Value>> {
    let (start, end) = match args.len() {
        1 => (0, args.int(0)?),
        _ => (args.int(0)?, args.int(1)?),
    };
    let step = if args.len() == 3 { args.int(2)? } else { 1 };
    if step == 0 {
        return Err(args.argument_error("a step of 0 would never end"));
    }
    let (start, end, step) = (i128::from(start), i128::from(end), i128::from(step));
    let distance = if step > 0 { end - start } else { start - end };
    let steps = if distance <= 0 { 0 } else { (distance - 1) / step.abs() + 1 };
    if steps > MAX_RANGE {
        let message = format!("range: {steps} members; {MAX_RANGE} are allowed");
        return Err(Error::new(ErrorKind::Limit, "query/range-limit", message));
    }
    // Every member lies between start and end, both of 64 bits.
    Ok(Some((0..steps).map(|i| Value::Long((start + i * step) as i64)).collect::<Vec<_>>().into()))
}
