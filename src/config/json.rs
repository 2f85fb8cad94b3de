//! JSON config to forms.

use serde_json::Value;

use crate::edn::{Form, FormKind, Keyword, Span};
use crate::error::{Error, ErrorKind, Result};

/// Reads one JSON value as a form: keys become keywords, and so do strings that begin with a colon.
pub(super) fn read(text: &str) -> Result<Form> {
    let value: Value = serde_json::from_str(text).map_err(|cause| {
        let at = offset(text, cause.line(), cause.column());
        let error = Error::new(ErrorKind::Syntax, "config/json", format!("the config is no JSON: {cause}"));
        error.at(Span { start: at, end: at }, text).caused_by(cause)
    })?;
    Ok(form(&value))
}

/// The offset of a line and column, both from 1.
fn offset(text: &str, line: usize, column: usize) -> u32 {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let wanted = (before + column.saturating_sub(1)).min(text.len());
    let at = (0..=wanted).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// serde_json bounds the depth of the value.
fn form(value: &Value) -> Form {
    Form::from(match value {
        Value::Null => FormKind::Nil,
        Value::Bool(b) => FormKind::Bool(*b),
        Value::Number(n) => match n.as_i64() {
            Some(i) => FormKind::Int(i),
            None => FormKind::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(s) => match (s.strip_prefix(':'), s.strip_prefix("\\:")) {
            (Some(name), _) if !name.is_empty() => FormKind::Keyword(Keyword::new(name)),
            (_, Some(rest)) => FormKind::Str(format!(":{rest}").into()),
            _ => FormKind::Str(s.as_str().into()),
        },
        Value::Array(items) => FormKind::Vector(items.iter().map(form).collect()),
        Value::Object(entries) => {
            let pair =
                |(k, v): (&String, &Value)| (Form::from(Keyword::new(k.strip_prefix(':').unwrap_or(k))), form(v));
            FormKind::Map(entries.iter().map(pair).collect())
        }
    })
}
