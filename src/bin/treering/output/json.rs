//! Values as JSON.

use serde_json::{Map, Number, Value as Json};
use treering::Value;
use treering::edn::inst;

/// The value as JSON: what JSON has not becomes a string, keywords with their colon, instants as RFC 3339.
pub fn json_of(value: &Value) -> Json {
    let list = |items: &[Value]| Json::Array(items.iter().map(json_of).collect());
    let float = |x: f64| Number::from_f64(x).map_or_else(|| Json::String(x.to_string()), Json::Number);
    match value {
        Value::Nil => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Long(n) => Json::from(*n),
        Value::Ref(id) => Json::from(id.0),
        Value::Float(x) => float(f64::from(*x)),
        Value::Double(x) => float(*x),
        Value::BigInt(n) => Json::String(n.to_string()),
        Value::BigDec(n) => Json::String(n.to_string()),
        Value::Instant(ms) => Json::String(inst::format(*ms)),
        Value::Str(text) | Value::Uri(text) => Json::String(text.to_string()),
        Value::Tuple(items) | Value::Set(items) => list(items),
        Value::FloatArray(items) => Json::Array(items.iter().map(|x| float(f64::from(*x))).collect()),
        Value::DoubleArray(items) => Json::Array(items.iter().map(|x| float(*x)).collect()),
        Value::Map(entries) => {
            let entry = |(key, value): &(Value, Value)| {
                let key = match key {
                    Value::Keyword(keyword) => keyword.as_str().to_owned(),
                    Value::Str(text) => text.to_string(),
                    other => other.to_form().to_string(),
                };
                (key, json_of(value))
            };
            Json::Object(entries.iter().map(entry).collect::<Map<_, _>>())
        }
        Value::Bytes(bytes) => Json::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        Value::Keyword(keyword) => Json::String(keyword.to_string()),
        Value::Symbol(symbol) => Json::String(symbol.to_string()),
        Value::Uuid(id) => Json::String(id.to_string()),
        Value::Char(c) => Json::String(c.to_string()),
        other => Json::String(other.to_form().to_string()),
    }
}
