//! Values from and to JSON.
//!
//! JSON has fewer types: keywords, symbols, URIs and uuids become strings, instants RFC 3339 strings, bytes
//! hexadecimal, sets arrays. Bigints beyond 64 bits and bigdecs become strings, so that no digit is lost; so do `NaN`,
//! `Infinity` and `-Infinity`.

use bigdecimal::ToPrimitive;
use num_bigint::BigInt;
use serde_json::{Map, Number, Value as Json};

use super::MAX_DEPTH;
use super::failure::Failure;
use crate::datom::Value;
use crate::edn::{Keyword, inst};
use crate::error::Result;

/// The JSON of a value. Keys of maps become strings: keywords without their colon, other keys as EDN.
///
/// # Errors
/// `Limit`, code `:typed/depth`.
///
/// ```
/// use treering::{Value, edn, typed::json};
/// let value = Value::from_form(&edn::read("{:person/name \"Ann\" :tags #{:a}}")?).unwrap();
/// assert_eq!(json::to_value(&value)?.to_string(), r#"{"person/name":"Ann","tags":["a"]}"#);
/// # Ok::<(), treering::Error>(())
/// ```
pub fn to_value(value: &Value) -> Result<Json> {
    json(value, 0).map_err(Failure::into_error)
}

/// The value of JSON: integers as longs (bigints beyond 64 bits signed), other numbers as doubles, arrays as tuples,
/// objects as maps with keyword keys, for which a leading colon may be written.
///
/// # Errors
/// `Limit`, code `:typed/depth`.
pub fn from_value(json: &Json) -> Result<Value> {
    value(json, 0).map_err(Failure::into_error)
}

fn float(x: f64) -> Json {
    let name = match x {
        _ if x.is_nan() => "NaN",
        f64::INFINITY => "Infinity",
        _ => "-Infinity",
    };
    Number::from_f64(x).map_or_else(|| Json::from(name), Json::Number)
}

fn json(value: &Value, depth: usize) -> Result<Json, Failure> {
    if depth > MAX_DEPTH {
        return Err(Failure::too_deep());
    }
    let array = |xs: &[Value]| xs.iter().map(|x| json(x, depth + 1)).collect::<Result<Vec<_>, _>>().map(Json::Array);
    Ok(match value {
        Value::Nil => Json::Null,
        Value::Bool(x) => Json::Bool(*x),
        Value::Long(n) => Json::from(*n),
        Value::Ref(e) => Json::from(e.0),
        Value::BigInt(n) => n.to_i64().map_or_else(|| Json::from(n.to_string()), Json::from),
        Value::BigDec(n) => Json::from(n.to_string()),
        // The shortest text of the float: 0.1, not 0.10000000149.
        Value::Float(x) => float(x.to_string().parse().unwrap_or(f64::from(*x))),
        Value::Double(x) => float(*x),
        Value::Instant(ms) => Json::from(inst::format(*ms).replace("-00:00", "Z")),
        Value::Keyword(k) => Json::from(k.as_str()),
        Value::Symbol(s) => Json::from(s.as_str()),
        Value::Str(s) | Value::Uri(s) => Json::from(s.as_ref()),
        Value::Uuid(u) => Json::from(u.to_string()),
        Value::Bytes(bytes) => Json::from(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()),
        Value::Char(c) => Json::from(c.to_string()),
        Value::Tuple(xs) | Value::Set(xs) => array(xs)?,
        Value::FloatArray(xs) => Json::Array(xs.iter().map(|x| float(f64::from(*x))).collect()),
        Value::DoubleArray(xs) => Json::Array(xs.iter().map(|x| float(*x)).collect()),
        Value::Map(entries) => {
            let mut object = Map::new();
            for (key, value) in entries.iter() {
                let key = match key {
                    Value::Keyword(k) => k.as_str().to_owned(),
                    Value::Symbol(s) => s.as_str().to_owned(),
                    Value::Str(s) => s.as_ref().to_owned(),
                    other => other.to_form().to_string(),
                };
                object.insert(key, json(value, depth + 1)?);
            }
            Json::Object(object)
        }
    })
}

fn value(json: &Json, depth: usize) -> Result<Value, Failure> {
    if depth > MAX_DEPTH {
        return Err(Failure::too_deep());
    }
    Ok(match json {
        Json::Null => Value::Nil,
        Json::Bool(x) => Value::Bool(*x),
        Json::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(n), ..) => Value::Long(n),
            (_, Some(n), _) => BigInt::from(n).into(),
            (_, _, x) => Value::Double(x.unwrap_or(f64::NAN)),
        },
        Json::String(s) => s.as_str().into(),
        Json::Array(xs) => xs.iter().map(|x| value(x, depth + 1)).collect::<Result<Vec<_>, _>>()?.into(),
        Json::Object(object) => {
            let entry = |(key, x): (&String, &Json)| {
                let key = Keyword::new(key.strip_prefix(':').unwrap_or(key));
                Ok((Value::Keyword(key), value(x, depth + 1)?))
            };
            Value::Map(object.iter().map(entry).collect::<Result<Vec<_>, Failure>>()?.into())
        }
    })
}
