//! Pull patterns of the simple sort: attributes with options, reverse attributes, `*`, nested maps.

use std::collections::BTreeMap;

use treering::Value;
use treering::edn::{Form, FormKind, Keyword};

use super::{Refusal, Result, Source};

/// The ids below are those of entities of the schema, which an oracle does not see.
const FIRST_ENTITY: i64 = 1000;

/// The map of an entity; nil when nothing is found.
pub fn pull(source: &Source, pattern: &Form, e: &Value) -> Result<Value> {
    // What cannot name an entity has nothing to pull, not even defaults.
    let Ok(e @ Value::Long(0..)) = source.entity(e) else { return Ok(Value::Nil) };
    let mut out: BTreeMap<Value, Value> = BTreeMap::new();
    let Some(specs) = super::ast::items(pattern) else { return super::ast::bad("pull pattern", pattern) };
    for spec in specs {
        match &spec.kind {
            FormKind::Keyword(a) => attribute(source, &e, *a, None, &mut out)?,
            FormKind::Vector(parts) => options(source, &e, parts, &mut out)?,
            FormKind::Symbol(s) if s.as_str() == "*" => {
                let named: Vec<Keyword> = specs.iter().flat_map(names).collect();
                wildcard(source, &e, &named, &mut out)?;
            }
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

/// The attributes that a part of a pattern names.
fn names(spec: &Form) -> Vec<Keyword> {
    match &spec.kind {
        FormKind::Keyword(a) => vec![*a],
        FormKind::Vector(parts) => parts.first().and_then(Form::as_keyword).into_iter().collect(),
        FormKind::Map(entries) => entries.iter().flat_map(|(a, _)| names(a)).collect(),
        _ => Vec::new(),
    }
}

/// `[:attribute :as key :default value :limit n]`
fn options(source: &Source, e: &Value, parts: &[Form], out: &mut BTreeMap<Value, Value>) -> Result<()> {
    let Some(a) = parts.first().and_then(Form::as_keyword) else {
        return Err(Refusal::new("oracle/pull", "an attribute with options was wanted"));
    };
    let option = |name: &str| {
        let given = parts[1..].chunks_exact(2).find(|pair| pair[0].as_keyword().is_some_and(|k| k.as_str() == name));
        given.map(|pair| &pair[1])
    };
    let mut found = BTreeMap::new();
    attribute(source, e, a, None, &mut found)?;
    let mut value = found.into_values().next();
    if let (Some(Value::Tuple(all)), Some(limit)) = (&value, option("limit").and_then(Form::as_int)) {
        value = Some(Value::Tuple(all.iter().take(limit as usize).cloned().collect()));
    }
    let value = match (value, option("default")) {
        (None, Some(default)) => Some(super::value(default)?),
        (value, _) => value,
    };
    let key = match option("as") {
        Some(key) => super::value(key)?,
        None => Value::Keyword(a),
    };
    out.extend(value.map(|value| (key, value)));
    Ok(())
}

fn wildcard(source: &Source, e: &Value, named: &[Keyword], out: &mut BTreeMap<Value, Value>) -> Result<()> {
    attribute(source, e, Keyword::new("db/id"), None, out)?;
    for row in source.rows().iter().filter(|r| r[0] == *e) {
        let Value::Keyword(a) = row[1] else { continue };
        // What a pattern names stands as the pattern says.
        if named.contains(&a) {
            continue;
        }
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
        } else if matches!(e, Value::Long(1..FIRST_ENTITY)) {
            // It may be one that defines an attribute.
            return Err(Refusal::new("oracle/schema", format!("the oracle does not see whether the schema has {e:?}")));
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
