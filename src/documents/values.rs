//! Values of documents to forms of tx-data.

use std::str::FromStr;

use bigdecimal::BigDecimal;
use num_bigint::BigInt;
use serde_json::Value;
use uuid::Uuid;

use crate::edn::{Form, FormKind, Keyword, Symbol, inst};
use crate::schema::ValueType;

/// The value as a form of the type, or what was wanted and got.
pub(super) fn form_of(value: &Value, value_type: ValueType) -> Result<Form, String> {
    let text = match value {
        Value::String(text) => Some(text.as_str()),
        _ => None,
    };
    let found = match value_type {
        ValueType::Boolean => value.as_bool().or_else(|| text?.parse().ok()).map(Form::from),
        ValueType::Long => value.as_i64().or_else(|| text?.parse().ok()).map(Form::from),
        ValueType::BigInt => big(value, text).map(Form::from),
        ValueType::Double | ValueType::Float => value.as_f64().or_else(|| text?.parse().ok()).map(Form::from),
        ValueType::Number => number(value, text),
        ValueType::BigDec => match value {
            Value::Number(number) => BigDecimal::from_str(&number.to_string()).ok(),
            _ => text.and_then(|text| BigDecimal::from_str(text).ok()),
        }
        .map(Form::from),
        ValueType::String => Some(Form::from(text.map_or_else(|| value.to_string(), str::to_owned))),
        ValueType::Keyword => text.and_then(name_in).map(|name| Form::from(Keyword::new(name))),
        ValueType::Symbol => text.and_then(name_in).map(|name| Form::from(Symbol::new(name))),
        ValueType::Uuid => text.and_then(|text| Uuid::parse_str(text).ok()).map(Form::from),
        ValueType::Instant => {
            let instant = value.as_i64().or_else(|| inst::parse(text?));
            instant.map(|instant| FormKind::Inst(instant).into())
        }
        ValueType::Uri => text.map(|text| tagged("uri", text)),
        ValueType::Bytes => text.map(|text| tagged("bytes", text)),
        ValueType::Ref => value.as_i64().or_else(|| text?.parse().ok()).filter(|id| *id > 0).map(Form::from),
        ValueType::Tuple | ValueType::FloatArray | ValueType::DoubleArray => match value {
            Value::Array(items) => Some(Form::from(items.iter().map(any).collect::<Vec<_>>())),
            _ => None,
        },
    };
    found.ok_or_else(|| {
        let mut shown: String = value.to_string().chars().take(60).collect();
        if shown.len() < value.to_string().len() {
            shown.push('…');
        }
        format!("a value of {} was wanted, got {}: {shown}", value_type.keyword(), kind_name(value))
    })
}

/// What a value is, for messages.
pub fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn big(value: &Value, text: Option<&str>) -> Option<BigInt> {
    let digits = match value {
        Value::Number(number) => number.to_string(),
        _ => text?.to_owned(),
    };
    BigInt::from_str(&digits).ok()
}

fn number(value: &Value, text: Option<&str>) -> Option<Form> {
    let long = value.as_i64().or_else(|| text?.parse().ok()).map(Form::from);
    long.or_else(|| value.as_f64().or_else(|| text?.parse().ok()).map(Form::from))
}

/// The text of a keyword or symbol, if it can be one.
fn name_in(text: &str) -> Option<&str> {
    let name = text.strip_prefix(':').unwrap_or(text);
    let fits = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || "()[]{}\",;@^`~\\".contains(c));
    fits.then_some(name)
}

fn tagged(tag: &str, text: &str) -> Form {
    FormKind::Tagged(Symbol::new(tag), Box::new(Form::from(text))).into()
}

/// A value of which no type is known: what it looks like.
fn any(value: &Value) -> Form {
    match value {
        Value::Null => Form::nil(),
        Value::Bool(b) => Form::from(*b),
        Value::Number(n) => n.as_i64().map_or_else(|| Form::from(n.as_f64().unwrap_or(f64::NAN)), Form::from),
        Value::String(text) => Form::from(text.as_str()),
        Value::Array(items) => Form::from(items.iter().map(any).collect::<Vec<_>>()),
        Value::Object(_) => Form::from(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_types() {
        let shown = |value: Value, value_type| match form_of(&value, value_type) {
            Ok(form) => form.to_string(),
            Err(message) => message,
        };
        assert_eq!(shown(json!("12"), ValueType::Long), "12");
        assert_eq!(shown(json!(12), ValueType::Double), "12.0");
        assert_eq!(shown(json!(u64::MAX), ValueType::BigInt), "18446744073709551615N");
        assert_eq!(shown(json!("1.50"), ValueType::BigDec), "1.50M");
        assert_eq!(shown(json!({"a": [1]}), ValueType::String), "\"{\\\"a\\\":[1]}\"");
        assert_eq!(shown(json!(":a/b"), ValueType::Keyword), ":a/b");
        assert_eq!(shown(json!("1970-01-02"), ValueType::Instant), "#inst \"1970-01-02T00:00:00.000-00:00\"");
        assert_eq!(shown(json!("http://x"), ValueType::Uri), "#uri \"http://x\"");
        assert_eq!(shown(json!([1, "a", null]), ValueType::Tuple), "[1 \"a\" nil]");
        assert_eq!(shown(json!("x"), ValueType::Long), "a value of :db.type/long was wanted, got a string: \"x\"");
        assert_eq!(
            shown(json!("a b"), ValueType::Keyword),
            "a value of :db.type/keyword was wanted, got a string: \"a b\""
        );
        assert_eq!(shown(json!(-4), ValueType::Ref), "a value of :db.type/ref was wanted, got a number: -4");
    }
}
