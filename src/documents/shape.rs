//! What the values of each key look like.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use crate::edn::inst;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::ValueType;

/// Objects inside objects that are followed.
const MAX_DEPTH: usize = 128;

/// What was seen of documents: their keys in the order of their first appearance, and the values of each.
#[derive(Debug, Default)]
pub struct Shape {
    columns: Vec<Column>,
    places: HashMap<String, usize>,
}

/// One key.
#[derive(Debug, Default)]
pub(super) struct Column {
    pub key: String,
    pub seen: Seen,
    /// The keys of the objects that are its values.
    pub nested: Shape,
}

/// How many values of each sort there were.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub arrays: u64,
    pub objects: u64,
    bools: u64,
    longs: u64,
    bigs: u64,
    doubles: u64,
    texts: u64,
    uuids: u64,
    instants: u64,
    /// Arrays inside arrays.
    lists: u64,
}

impl Shape {
    /// Takes in the keys and values of a document. `from_text`: its values are strings that may tell numbers and
    /// booleans, as those of CSV.
    ///
    /// # Errors
    /// `Limit`, code `:documents/depth`, for objects nested deeper than 128.
    pub fn observe<'a>(
        &mut self,
        fields: impl IntoIterator<Item = (&'a String, &'a Value)>,
        from_text: bool,
    ) -> Result<()> {
        self.observe_at(fields, from_text, 0)
    }

    fn observe_at<'a>(
        &mut self,
        fields: impl IntoIterator<Item = (&'a String, &'a Value)>,
        from_text: bool,
        depth: usize,
    ) -> Result<()> {
        if depth > MAX_DEPTH {
            let message = format!("objects are nested deeper than {MAX_DEPTH}");
            return Err(Error::new(ErrorKind::Limit, "documents/depth", message));
        }
        for (key, value) in fields {
            let place = self.places.get(key).copied().unwrap_or_else(|| {
                self.columns.push(Column { key: key.clone(), ..Column::default() });
                self.places.insert(key.clone(), self.columns.len() - 1);
                self.columns.len() - 1
            });
            if let Some(column) = self.columns.get_mut(place) {
                column.observe(value, from_text, depth)?;
            }
        }
        Ok(())
    }

    /// The keys.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// What was seen of a key.
    pub(super) fn column(&self, key: &str) -> Option<&Column> {
        self.places.get(key).and_then(|place| self.columns.get(*place))
    }
}

impl Column {
    fn observe(&mut self, value: &Value, from_text: bool, depth: usize) -> Result<()> {
        let Value::Array(items) = value else { return self.observe_one(value, from_text, depth) };
        self.seen.arrays += 1;
        for item in items {
            match item {
                Value::Array(_) => self.seen.lists += 1,
                item => self.observe_one(item, from_text, depth)?,
            }
        }
        Ok(())
    }

    fn observe_one(&mut self, value: &Value, from_text: bool, depth: usize) -> Result<()> {
        let seen = &mut self.seen;
        match value {
            Value::Null | Value::Array(_) => {}
            Value::Bool(_) => seen.bools += 1,
            Value::Number(number) if number.is_i64() => seen.longs += 1,
            Value::Number(number) if number.is_u64() => seen.bigs += 1,
            Value::Number(_) => seen.doubles += 1,
            Value::String(text) if from_text => match sort_of(text) {
                Some(ValueType::Boolean) => seen.bools += 1,
                Some(ValueType::Long) => seen.longs += 1,
                Some(ValueType::BigInt) => seen.bigs += 1,
                Some(ValueType::Double) => seen.doubles += 1,
                _ => seen.text(text),
            },
            Value::String(text) => seen.text(text),
            Value::Object(fields) => {
                seen.objects += 1;
                self.nested.observe_at(fields, from_text, depth + 1)?;
            }
        }
        Ok(())
    }
}

impl Seen {
    fn text(&mut self, text: &str) {
        self.texts += 1;
        self.uuids += u64::from(text.len() == 36 && Uuid::parse_str(text).is_ok());
        self.instants += u64::from(is_date(text));
    }

    /// The type that all values fit; `None` where there were none.
    pub fn value_type(&self) -> Option<ValueType> {
        let numbers = self.longs + self.bigs + self.doubles;
        let all = numbers + self.bools + self.texts + self.objects + self.lists;
        Some(match all {
            0 => return None,
            _ if self.objects == all => ValueType::Ref,
            _ if self.bools == all => ValueType::Boolean,
            _ if self.longs == all => ValueType::Long,
            _ if self.longs + self.bigs == all => ValueType::BigInt,
            _ if numbers == all => ValueType::Double,
            _ if self.uuids == all => ValueType::Uuid,
            _ if self.instants == all => ValueType::Instant,
            _ => ValueType::String,
        })
    }

    /// Whether values of several sorts are all written as strings.
    pub fn is_mixed(&self) -> bool {
        let texts_alone = self.objects + self.lists + self.bools + self.longs + self.bigs + self.doubles == 0;
        self.value_type() == Some(ValueType::String) && !texts_alone
    }
}

/// A calendar date, perhaps with a time.
fn is_date(text: &str) -> bool {
    let mut shape = text.bytes().take(10).enumerate();
    let dashed = |(i, byte): (usize, u8)| if matches!(i, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    text.len() >= 10 && shape.all(dashed) && inst::parse(text).is_some()
}

/// What a text tells beyond itself: a boolean or a number. `007` is no number.
fn sort_of(text: &str) -> Option<ValueType> {
    if matches!(text, "true" | "false") {
        return Some(ValueType::Boolean);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let padded =
        digits.len() > 1 && digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if digits.is_empty() || padded || !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(if text.parse::<i64>().is_ok() { ValueType::Long } else { ValueType::BigInt });
    }
    let plain = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    (plain && text.parse::<f64>().is_ok_and(f64::is_finite)).then_some(ValueType::Double)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn type_of(values: &[Value], from_text: bool) -> Option<ValueType> {
        let mut shape = Shape::default();
        for value in values {
            shape.observe([(&"k".to_owned(), value)], from_text).unwrap();
        }
        shape.column("k").and_then(|column| column.seen.value_type())
    }

    #[test]
    fn types_of_json() {
        let of = |values: &[Value]| type_of(values, false);
        assert_eq!(of(&[json!(1), json!(null), json!([2, 3])]), Some(ValueType::Long));
        assert_eq!(of(&[json!(1), json!(2.5)]), Some(ValueType::Double));
        assert_eq!(of(&[json!(1), json!(u64::MAX)]), Some(ValueType::BigInt));
        assert_eq!(of(&[json!(true)]), Some(ValueType::Boolean));
        assert_eq!(of(&[json!("1")]), Some(ValueType::String));
        assert_eq!(of(&[json!(1), json!("x")]), Some(ValueType::String));
        assert_eq!(of(&[json!("2024-01-01"), json!("2024-01-01T10:00:00Z")]), Some(ValueType::Instant));
        assert_eq!(of(&[json!("2024-13-01")]), Some(ValueType::String));
        assert_eq!(of(&[json!("00000000-0000-0000-0000-00000000000a")]), Some(ValueType::Uuid));
        assert_eq!(of(&[json!({"a": 1})]), Some(ValueType::Ref));
        assert_eq!(of(&[json!({"a": 1}), json!(1)]), Some(ValueType::String));
        assert_eq!(of(&[json!([[1]])]), Some(ValueType::String));
        assert_eq!(of(&[json!(null), json!([])]), None);
    }

    #[test]
    fn depth_has_an_end() {
        let deep = (0..200).fold(json!(1), |inner, _| json!({ "k": inner }));
        let error = Shape::default().observe([(&"k".to_owned(), &deep)], false).unwrap_err();
        assert_eq!(error.code(), "documents/depth");
    }

    #[test]
    fn types_of_text() {
        let of = |texts: &[&str]| type_of(&texts.iter().map(|text| json!(text)).collect::<Vec<_>>(), true);
        assert_eq!(of(&["1", "-20", "0"]), Some(ValueType::Long));
        assert_eq!(of(&["1", "2.5", "1e3", "0.5"]), Some(ValueType::Double));
        assert_eq!(of(&["007"]), Some(ValueType::String));
        assert_eq!(of(&["99999999999999999999"]), Some(ValueType::BigInt));
        assert_eq!(of(&["true", "false"]), Some(ValueType::Boolean));
        for text in ["1.2.3", "-", "NaN", "inf", "1e999", "+1", ".5", "1a"] {
            assert_eq!(of(&[text]), Some(ValueType::String), "{text}");
        }
    }
}
