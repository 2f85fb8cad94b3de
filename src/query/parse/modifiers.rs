//! `:order-by`, `:limit`, `:offset`, `:after`, `:timeout`.

use std::time::Duration;

use super::sections::{Section, Sections};
use super::{Parser, is_variable};
use crate::edn::{Form, FormKind, Keyword};
use crate::error::Result;
use crate::query::ast::{FindElement, FindShape, OrderKey};
use crate::query::page::Cursor;

/// A number of rows; nil and negative numbers are no bound.
pub(super) fn bound(parser: &Parser<'_>, sections: &Sections<'_>, name: &str) -> Result<Option<usize>> {
    let Some(form) = sections.single(parser, name)? else { return Ok(None) };
    match &form.kind {
        FormKind::Nil => Ok(None),
        FormKind::Int(n) => Ok(usize::try_from(*n).ok()),
        _ => Err(parser.wanted(&format!("a number after :{name}"), form)),
    }
}

/// Milliseconds.
pub(super) fn timeout(parser: &Parser<'_>, sections: &Sections<'_>) -> Result<Option<Duration>> {
    let Some(form) = sections.single(parser, "timeout")? else { return Ok(None) };
    match &form.kind {
        FormKind::Nil => Ok(None),
        FormKind::Int(n) if *n >= 0 => Ok(Some(Duration::from_millis(*n as u64))),
        _ => Err(parser.wanted("a number of milliseconds after :timeout", form)),
    }
}

pub(super) fn flag(parser: &Parser<'_>, sections: &Sections<'_>, name: &str) -> Result<bool> {
    match sections.single(parser, name)?.map(|form| (form, &form.kind)) {
        None | Some((_, FormKind::Nil | FormKind::Bool(false))) => Ok(false),
        Some((_, FormKind::Bool(true))) => Ok(true),
        Some((form, _)) => Err(parser.wanted(&format!("true or false after :{name}"), form)),
    }
}

/// The text of a cursor, or nil for the first page.
pub(super) fn after(parser: &Parser<'_>, sections: &Sections<'_>) -> Result<Option<Cursor>> {
    let Some(form) = sections.single(parser, "after")? else { return Ok(None) };
    match &form.kind {
        FormKind::Nil => Ok(Some(Cursor::start())),
        FormKind::Str(text) => text.parse().map(Some),
        _ => Err(parser.wanted("nil or the text of a cursor after :after", form)),
    }
}

/// Whether a form is a sequence of keys, not one key: `[?x :desc]`, but not `(sum ?x)`.
fn keys(form: &Form) -> Option<&[Form]> {
    let items = form.items()?;
    let is_call = items.first().and_then(Form::as_symbol).is_some_and(|head| !is_variable(head));
    (!is_call).then_some(items)
}

pub(super) fn order_by(
    parser: &Parser<'_>,
    sections: &Sections<'_>,
    find: &[FindElement],
    shape: FindShape,
) -> Result<Vec<OrderKey>> {
    let forms: &[Form] = match sections.get("order-by") {
        None => return Ok(Vec::new()),
        // [… :order-by [?x :desc]] and [… :order-by ?x :desc]
        Some((_, Section::Whole(form))) => keys(form).unwrap_or(std::slice::from_ref(form)),
        Some((_, Section::Forms([form]))) => keys(form).unwrap_or(std::slice::from_ref(form)),
        Some((_, Section::Forms(forms))) => forms,
    };
    let mut found: Vec<OrderKey> = Vec::new();
    for form in forms {
        match (&form.kind, keys(form)) {
            (FormKind::Keyword(k), _) if matches!(k.as_str(), "asc" | "desc") => match found.last_mut() {
                Some(key) => key.descending = k.as_str() == "desc",
                None => return Err(parser.wanted("a variable or a column number before :asc or :desc", form)),
            },
            // [[?x :desc] [?y :asc]]
            (_, Some(pair)) => {
                let [column, direction] = pair else {
                    return Err(parser.wanted("[column :asc] or [column :desc]", form));
                };
                let descending = match direction.as_keyword().map(Keyword::as_str) {
                    Some("asc") => false,
                    Some("desc") => true,
                    _ => return Err(parser.wanted(":asc or :desc", direction)),
                };
                found.push(OrderKey { column: column_of(parser, column, find)?, descending });
            }
            _ => found.push(OrderKey { column: column_of(parser, form, find)?, descending: false }),
        }
    }
    if shape != FindShape::Relation && !found.is_empty() {
        let span = sections.get("order-by").map(|(span, _)| span).unwrap_or_default();
        return Err(parser.error("query/syntax", span, ":order-by goes with a relation in :find"));
    }
    Ok(found)
}

/// The column that a number, a variable or an aggregate of `:find` names.
fn column_of(parser: &Parser<'_>, form: &Form, find: &[FindElement]) -> Result<usize> {
    match &form.kind {
        FormKind::Int(i) => usize::try_from(*i).ok().filter(|i| *i < find.len()).ok_or_else(|| {
            let message = format!(":order-by names column {i}; :find has columns 0 to {}", find.len() - 1);
            parser.error("query/syntax", form.span, message)
        }),
        _ => {
            let wanted = parser.find_element(form)?;
            find.iter().position(|element| element.is_same(&wanted)).ok_or_else(|| {
                let message = format!(":order-by names {form}, which is no variable or aggregate of :find");
                parser.error("query/unbound", form.span, message)
            })
        }
    }
}
