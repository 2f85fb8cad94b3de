//! Functions and predicates.

use std::cmp::Ordering;

use treering::Value;
use treering::edn::{Keyword, Symbol};

use super::numbers::{Op, arithmetic, equal, is_number, order};
use super::{Source, canon};

pub fn truthy(v: &Value) -> bool {
    !matches!(v, Value::Nil | Value::Bool(false))
}

/// The result of `name` on `args`; `None` for a function that the oracle does not know.
pub fn call(name: Symbol, args: &[Value], source: Option<&Source>) -> Option<Result<Value, String>> {
    let plain = name.as_str().strip_prefix("clojure.core/").unwrap_or(name.as_str());
    Some(match plain {
        "=" | "==" => chain(args, equal),
        "not=" | "!=" => chain(args, equal).map(|v| Value::Bool(!truthy(&v))),
        "<" => chain(args, |a, b| order(a, b).is_lt()),
        ">" => chain(args, |a, b| order(a, b).is_gt()),
        "<=" => chain(args, |a, b| order(a, b).is_le()),
        ">=" => chain(args, |a, b| order(a, b).is_ge()),
        "+" => fold(Op::Add, Some(0), args),
        "*" => fold(Op::Mul, Some(1), args),
        "-" if args.len() == 1 => one(args).and_then(|v| arithmetic(Op::Sub, &Value::Long(0), v)),
        "-" => fold(Op::Sub, None, args),
        "/" if args.len() == 1 => one(args).and_then(|v| arithmetic(Op::Div, &Value::Long(1), v)),
        "/" => fold(Op::Div, None, args),
        "quot" => two(args).and_then(|(a, b)| arithmetic(Op::Quot, a, b)),
        "rem" => two(args).and_then(|(a, b)| arithmetic(Op::Rem, a, b)),
        "mod" => two(args).and_then(|(a, b)| arithmetic(Op::Mod, a, b)),
        "inc" => one(args).and_then(|v| arithmetic(Op::Add, v, &Value::Long(1))),
        "dec" => one(args).and_then(|v| arithmetic(Op::Sub, v, &Value::Long(1))),
        "max" => extreme(args, Ordering::Greater),
        "min" => extreme(args, Ordering::Less),
        "even?" => long(args).map(|x| Value::Bool(x % 2 == 0)),
        "odd?" => long(args).map(|x| Value::Bool(x % 2 != 0)),
        "zero?" => sign(args).map(|o| Value::Bool(o.is_eq())),
        "pos?" => sign(args).map(|o| Value::Bool(o.is_gt())),
        "neg?" => sign(args).map(|o| Value::Bool(o.is_lt())),
        "true?" => one(args).map(|v| Value::Bool(*v == Value::Bool(true))),
        "false?" => one(args).map(|v| Value::Bool(*v == Value::Bool(false))),
        "nil?" => one(args).map(|v| Value::Bool(*v == Value::Nil)),
        "some?" => one(args).map(|v| Value::Bool(*v != Value::Nil)),
        "not" => one(args).map(|v| Value::Bool(!truthy(v))),
        "identity" | "ground" => one(args).cloned(),
        "vector" | "tuple" => Ok(Value::Tuple(args.into())),
        "untuple" => one(args).cloned(),
        "hash-map" => Ok(canon(&Value::Map(args.chunks_exact(2).map(|p| (p[0].clone(), p[1].clone())).collect()))),
        "str" => strings(args),
        "count" => one(args).and_then(count).map(Value::Long),
        "subs" => subs(args),
        "contains?" => two(args).and_then(|(c, k)| contains(c, k)),
        "get" => two(args).map(|(c, k)| get(c, k)),
        "first" => one(args).map(|v| super::eval::members(v).and_then(|m| m.first().cloned()).unwrap_or(Value::Nil)),
        "second" => one(args).map(|v| super::eval::members(v).and_then(|m| m.get(1).cloned()).unwrap_or(Value::Nil)),
        "range" => two(args).and_then(|(a, b)| match (a, b) {
            (Value::Long(a), Value::Long(b)) => Ok(Value::Tuple((*a..*b).map(Value::Long).collect())),
            _ => Err("range of longs".into()),
        }),
        "get-else" => get_else(args, source?),
        "get-some" => get_some(args, source?),
        "missing?" => missing(args, source?),
        _ => return None,
    })
}

fn one(args: &[Value]) -> Result<&Value, String> {
    if let [v] = args { Ok(v) } else { Err(format!("one argument wanted, {} got", args.len())) }
}

fn two(args: &[Value]) -> Result<(&Value, &Value), String> {
    if let [a, b] = args { Ok((a, b)) } else { Err(format!("two arguments wanted, {} got", args.len())) }
}

/// Whether `holds` for each argument and the next.
fn chain(args: &[Value], holds: impl Fn(&Value, &Value) -> bool) -> Result<Value, String> {
    if args.is_empty() {
        return Err("no argument".into());
    }
    Ok(Value::Bool(args.windows(2).all(|w| holds(&w[0], &w[1]))))
}

fn fold(op: Op, neutral: Option<i64>, args: &[Value]) -> Result<Value, String> {
    let Some((first, rest)) = args.split_first() else {
        return neutral.map(Value::Long).ok_or_else(|| "no argument".into());
    };
    if !is_number(first) {
        return Err(format!("{first:?} is not a number"));
    }
    rest.iter().try_fold(first.clone(), |sum, v| arithmetic(op, &sum, v))
}

fn extreme(args: &[Value], wanted: Ordering) -> Result<Value, String> {
    let mut best = args.first().ok_or("no argument")?.clone();
    for v in &args[1..] {
        if v.cmp(&best) == wanted {
            best = v.clone();
        }
    }
    Ok(best)
}

fn long(args: &[Value]) -> Result<i64, String> {
    match one(args)? {
        Value::Long(x) => Ok(*x),
        other => Err(format!("{other:?} is not an integer")),
    }
}

fn sign(args: &[Value]) -> Result<Ordering, String> {
    let v = one(args)?;
    if is_number(v) { Ok(super::numbers::compare(v, &Value::Long(0))) } else { Err(format!("{v:?} is not a number")) }
}

fn strings(args: &[Value]) -> Result<Value, String> {
    let mut text = String::new();
    for arg in args {
        match arg {
            Value::Nil => {}
            Value::Str(s) => text.push_str(s),
            Value::Char(c) => text.push(*c),
            Value::Long(x) => text.push_str(&x.to_string()),
            Value::Bool(x) => text.push_str(&x.to_string()),
            Value::Keyword(k) => text.push_str(&k.to_string()),
            other => return Err(format!("the oracle does not write {other:?}")),
        }
    }
    Ok(Value::from(text))
}

fn count(v: &Value) -> Result<i64, String> {
    match v {
        Value::Nil => Ok(0),
        Value::Str(s) => Ok(s.chars().count() as i64),
        other => super::eval::members(other).map(|m| m.len() as i64).ok_or_else(|| format!("{v:?} cannot be counted")),
    }
}

fn subs(args: &[Value]) -> Result<Value, String> {
    let (text, from, to) = match args {
        [Value::Str(s), Value::Long(from)] => (s, *from, s.chars().count() as i64),
        [Value::Str(s), Value::Long(from), Value::Long(to)] => (s, *from, *to),
        _ => return Err("subs of a string".into()),
    };
    if from < 0 || to < from || to > text.chars().count() as i64 {
        return Err(format!("{from}..{to} is outside of {text:?}"));
    }
    Ok(Value::from(text.chars().skip(from as usize).take((to - from) as usize).collect::<String>()))
}

fn contains(collection: &Value, key: &Value) -> Result<Value, String> {
    Ok(Value::Bool(match (collection, key) {
        (Value::Set(xs), k) => xs.contains(k),
        (Value::Map(xs), k) => xs.iter().any(|(key, _)| key == k),
        (Value::Tuple(xs), Value::Long(i)) => usize::try_from(*i).is_ok_and(|i| i < xs.len()),
        (Value::Nil, _) | (Value::Tuple(_), _) => false,
        _ => return Err(format!("{collection:?} is not a collection")),
    }))
}

fn get(collection: &Value, key: &Value) -> Value {
    let found = match (collection, key) {
        (Value::Map(xs), k) => xs.iter().find(|(key, _)| key == k).map(|(_, v)| v.clone()),
        (Value::Set(xs), k) => xs.contains(k).then(|| k.clone()),
        (Value::Tuple(xs), Value::Long(i)) => usize::try_from(*i).ok().and_then(|i| xs.get(i).cloned()),
        _ => None,
    };
    found.unwrap_or(Value::Nil)
}

/// The values of one attribute of an entity, least first; of a reverse attribute, the entities that refer to it.
fn attribute(source: &Source, e: &Value, a: &Value) -> Result<Vec<Value>, String> {
    if !matches!(e, Value::Long(_) | Value::Keyword(_) | Value::Tuple(_) | Value::Nil) {
        return Err(format!("{e:?} can name no entity"));
    }
    let Value::Keyword(a) = a else { return Err(format!("{a:?} is not an attribute")) };
    let Ok(e) = source.entity(e) else { return Ok(Vec::new()) };
    let mut found: Vec<Value> = match a.name().strip_prefix('_') {
        Some(name) => {
            let forward = a.namespace().map_or(name.to_owned(), |ns| format!("{ns}/{name}"));
            let forward = Value::Keyword(Keyword::new(&forward));
            source.rows().iter().filter(|r| r[1] == forward && r[2] == e).map(|r| r[0].clone()).collect()
        }
        None => {
            let a = Value::Keyword(*a);
            source.rows().iter().filter(|r| r[0] == e && r[1] == a).map(|r| r[2].clone()).collect()
        }
    };
    found.sort();
    Ok(found)
}

fn get_else(args: &[Value], source: &Source) -> Result<Value, String> {
    let [e, a, default] = args else { return Err("get-else takes an entity, an attribute and a default".into()) };
    if *default == Value::Nil {
        return Err("the default must not be nil".into());
    }
    Ok(attribute(source, e, a)?.into_iter().next().unwrap_or_else(|| default.clone()))
}

fn get_some(args: &[Value], source: &Source) -> Result<Value, String> {
    let Some((e, attributes)) = args.split_first() else {
        return Err("get-some takes an entity and attributes".into());
    };
    for a in attributes {
        if let Some(v) = attribute(source, e, a)?.into_iter().next() {
            return Ok(Value::Tuple(vec![a.clone(), v].into()));
        }
    }
    Ok(Value::Nil)
}

fn missing(args: &[Value], source: &Source) -> Result<Value, String> {
    let (e, a) = two(args)?;
    Ok(Value::Bool(attribute(source, e, a)?.is_empty()))
}
