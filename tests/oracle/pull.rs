//! Pull patterns of the simple sort: attributes, reverse attributes, `*`, nested maps.

use std::collections::BTreeMap;

use treering::Value;
use treering::edn::{Form, FormKind, Keyword};

use super::{Refusal, Result, Source};

/// The map of an entity; nil when nothing is found.
pub fn pull(source: &Source, pattern: &Form, e: &Value) -> Result<Value> {
    let Ok(e) = source.entity(e) else { return Ok(Value::Nil) };
    let mut out: BTreeMap<Value, Value> = BTreeMap::new();
    let Some(specs) = super::ast::items(pattern) else { return super::ast::bad("pull pattern", pattern) };
    for spec in specs {
        match &spec.kind {
            FormKind::Keyword(a) => attribute(source, &e, *a, None, &mut out)?,
            FormKind::Symbol(s) if s.as_str() == "*" => wildcard(source, &e, &mut out)?,
            FormKind::Map(entries) => {
                for (a, sub) in entries {
                    let FormKind::Keyword(a) = a.kind else { return super::ast::bad("pull pattern", spec) };
                    attribute(source, &e, a, Some(sub), &mut out)?;
                }
            }
            _ => return Err(Refusal::new("oracle/pull", format!("the oracle does not pull {spec:?}"))),
        }
    }
    Ok(if out.is_empty() { Value::Nil } else { Value::Map(out.into_iter().collect()) })
}

fn wildcard(source: &Source, e: &Value, out: &mut BTreeMap<Value, Value>) -> Result<()> {
    attribute(source, e, Keyword::new("db/id"), None, out)?;
    for row in source.rows().iter().filter(|r| r[0] == *e) {
        let Value::Keyword(a) = row[1] else { continue };
        if source.schema().is_some_and(|s| s.components.contains(&a)) {
            return Err(Refusal::new("oracle/pull", "the oracle does not expand components"));
        }
        attribute(source, e, a, None, out)?;
    }
    Ok(())
}

fn attribute(
    source: &Source,
    e: &Value,
    a: Keyword,
    sub: Option<&Form>,
    out: &mut BTreeMap<Value, Value>,
) -> Result<()> {
    let rows = source.rows();
    if a.as_str() == "db/id" {
        if rows.iter().any(|r| r[0] == *e) {
            out.insert(Value::Keyword(a), e.clone());
        }
        return Ok(());
    }
    let Some(schema) = source.schema() else { return Err(Refusal::new("query/pull", "pull needs a database")) };
    let (forward, reverse) = match a.name().strip_prefix('_') {
        Some(name) => (Keyword::new(&a.namespace().map_or(name.to_owned(), |ns| format!("{ns}/{name}"))), true),
        None => (a, false),
    };
    let (from, to) = if reverse { (2, 0) } else { (0, 2) };
    let is = |r: &&Vec<Value>| r[1] == Value::Keyword(forward) && r[from] == *e;
    let mut found: Vec<Value> = rows.iter().filter(is).map(|r| r[to].clone()).collect();
    found.sort();
    let is_ref = reverse || schema.refs.contains(&forward);
    let mut values = Vec::new();
    for v in found {
        match (is_ref, sub) {
            (true, Some(sub)) => values.extend(Some(pull(source, sub, &v)?).filter(|v| *v != Value::Nil)),
            (true, None) => values.push(Value::Map(vec![(Value::Keyword(Keyword::new("db/id")), v)].into())),
            (false, _) => values.push(v),
        }
    }
    let many = if reverse { !schema.components.contains(&forward) } else { schema.many.contains(&forward) };
    if many && !values.is_empty() {
        out.insert(Value::Keyword(a), Value::Tuple(values.into()));
    } else if let Some(v) = values.into_iter().next() {
        out.insert(Value::Keyword(a), v);
    }
    Ok(())
}
