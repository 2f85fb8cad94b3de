//! What a form is as a value, and what an attribute keeps of a value.

use treering::edn::{Form, FormKind, Keyword, Symbol};
use treering::{Value, edn};

use super::base::{Attribute, Refused, SCHEMA, Schema, Tuple};

/// The value that a form is by itself.
pub fn plain(form: &Form) -> Result<Value, Refused> {
    Ok(match &form.kind {
        FormKind::Nil => return Err("transact/nil"),
        FormKind::Bool(x) => Value::Bool(*x),
        FormKind::Int(x) => Value::Long(*x),
        FormKind::BigInt(x) => Value::BigInt(x.clone().into()),
        FormKind::Float(x) => Value::Double(*x),
        FormKind::Decimal(x) => Value::BigDec(x.clone().into()),
        FormKind::Str(x) => Value::Str(x.clone()),
        FormKind::Keyword(x) => Value::Keyword(*x),
        FormKind::Symbol(x) => Value::Symbol(*x),
        FormKind::Inst(x) => Value::Instant(*x),
        FormKind::Uuid(x) => Value::Uuid(*x),
        FormKind::Tagged(tag, inner) => match (tag.as_str(), inner.as_str()) {
            ("uri", Some(text)) => Value::Uri(text.into()),
            ("bytes", Some(text)) => {
                let byte = |i: usize| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| SCHEMA);
                Value::Bytes((0..text.len() / 2).map(byte).collect::<Result<_, _>>()?)
            }
            _ => return Err(SCHEMA),
        },
        FormKind::Vector(items) | FormKind::List(items) => {
            let member = |form: &Form| if form.is_nil() { Ok(Value::Nil) } else { plain(form) };
            Value::Tuple(items.iter().map(member).collect::<Result<_, _>>()?)
        }
        _ => return Err(SCHEMA),
    })
}

/// The value that a form is for an attribute: where it names a function, a keyword means the symbol of the same name.
pub fn named(a: Keyword, form: &Form) -> Result<Value, Refused> {
    Ok(match plain(form)? {
        Value::Keyword(name) if ["db/fn", "db.attr/preds", "db.entity/preds"].contains(&a.as_str()) => {
            Value::Symbol(Symbol::new(name.as_str()))
        }
        v => v,
    })
}

/// A value as the type keeps it. Numbers go through their text: it says what they amount to.
fn keep(value_type: &str, v: Value) -> Result<Value, Refused> {
    let text = match &v {
        Value::Long(n) => Some(n.to_string()),
        Value::BigInt(n) => Some(n.to_string()),
        _ => None,
    };
    let again = |suffix: &str| edn::read(&format!("{}{suffix}", text.as_deref().unwrap_or(""))).map_err(|_| SCHEMA);
    Ok(match (value_type, v) {
        ("boolean", v @ Value::Bool(_))
        | ("string", v @ Value::Str(_))
        | ("keyword", v @ Value::Keyword(_))
        | ("symbol", v @ Value::Symbol(_))
        | ("instant", v @ Value::Instant(_))
        | ("uuid", v @ Value::Uuid(_))
        | ("long", v @ Value::Long(_))
        | ("bigint", v @ Value::BigInt(_))
        | ("bigdec", v @ Value::BigDec(_))
        | ("double", v @ Value::Double(_))
        | ("number", v @ (Value::Long(_) | Value::BigInt(_) | Value::BigDec(_) | Value::Double(_))) => v,
        ("uri", v @ Value::Uri(_)) | ("bytes", v @ Value::Bytes(_)) => v,
        ("double-array", Value::Tuple(members)) => {
            let double = |v: &Value| match keep("double", v.clone())? {
                Value::Double(x) => Ok(x),
                _ => Err(SCHEMA),
            };
            Value::DoubleArray(members.iter().map(double).collect::<Result<_, _>>()?)
        }
        ("float-array", Value::Tuple(members)) => {
            let float = |v: &Value| match keep("float", v.clone())? {
                Value::Float(x) => Ok(x),
                _ => Err(SCHEMA),
            };
            Value::FloatArray(members.iter().map(float).collect::<Result<_, _>>()?)
        }
        ("float", Value::Double(x)) => Value::Float(x as f32),
        ("long", Value::BigInt(_)) => plain(&again("")?)
            .and_then(|v| keep("long", if let Value::Long(_) = v { v } else { return Err(SCHEMA) }))?,
        ("bigint", Value::Long(_)) => plain(&again("N")?)?,
        ("bigdec", Value::Long(_) | Value::BigInt(_)) => plain(&again("M")?)?,
        ("double" | "float", Value::Long(_) | Value::BigInt(_)) => {
            let text = text.unwrap_or_default();
            let x: f64 = text.parse().map_err(|_| SCHEMA)?;
            let x = if value_type == "double" { Value::Double(x) } else { Value::Float(x as f32) };
            let is_exact = match x {
                Value::Float(x) => format!("{x:.0}") == text,
                Value::Double(x) => format!("{x:.0}") == text,
                _ => false,
            };
            if is_exact { x } else { return Err(SCHEMA) }
        }
        ("keywords", Value::Tuple(members)) => Value::Tuple(members),
        _ => return Err(SCHEMA),
    })
}

/// Whether the value is longer than its attribute allows. Strings in a tuple are bounded one by one.
pub fn is_too_long(attribute: &Attribute, v: &Value) -> bool {
    let length = match v {
        Value::Str(text) | Value::Uri(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::FloatArray(members) => members.len(),
        Value::DoubleArray(members) => members.len(),
        Value::Tuple(_) if attribute.members().is_some() => 0,
        Value::Tuple(members) => {
            return members.iter().any(|v| matches!(v, Value::Str(_)) && is_too_long(attribute, v));
        }
        _ => 0,
    };
    attribute.max_length.is_some_and(|most| most > 0 && length as i64 > most)
}

/// A value as an attribute that is no ref keeps it.
pub fn check(schema: &Schema, attribute: &Attribute, v: Value) -> Result<Value, Refused> {
    let v = match (&attribute.tuple, &attribute.value_type, v) {
        (_, _, Value::Nil) => return Err("transact/nil"),
        (None, None, v) => v,
        (None, Some(value_type), v) => keep(value_type, v)?,
        (Some(shape), _, Value::Tuple(members)) => {
            let member = |(i, v): (usize, &Value)| match shape {
                _ if *v == Value::Nil => Ok(Value::Nil),
                Tuple::Types(types) => keep(&types[i], v.clone()),
                Tuple::Type(one) => keep(one, v.clone()),
                Tuple::Composite(names) => match schema.get(&names[i]) {
                    Some(of) if of.is_ref() => match v {
                        Value::Long(n) => Ok(super::base::as_ref(*n as u64)),
                        _ => Err(SCHEMA),
                    },
                    Some(of) => check(schema, of, v.clone()),
                    None => Ok(v.clone()),
                },
            };
            let fits = match shape {
                Tuple::Types(types) => members.len() == types.len(),
                Tuple::Type(_) => (1..=8).contains(&members.len()),
                Tuple::Composite(names) => members.len() == names.len(),
            };
            if !fits {
                return Err(SCHEMA);
            }
            Value::Tuple(members.iter().enumerate().map(member).collect::<Result<_, _>>()?)
        }
        _ => return Err(SCHEMA),
    };
    Ok(v)
}
