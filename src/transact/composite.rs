//! Composite tuples: attributes with `:db/tupleAttrs` follow the attributes that they are made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::datom::{AttrId, EntityId, Key, OPEN, Order, Row, Value};
use crate::db::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Attribute, Schema, TupleShape};

use super::apply::Change;
use super::check::{convert, shorten};
use super::fact::Context;
use super::probe::Probe;

/// Composite attributes by each of their members.
fn by_member(schema: &Schema) -> HashMap<AttrId, Vec<Arc<Attribute>>> {
    let mut composites: HashMap<AttrId, Vec<Arc<Attribute>>> = HashMap::new();
    for attribute in schema.iter() {
        if let Some(TupleShape::Composite(members)) = &attribute.tuple {
            for member in members.iter().filter_map(|ident| schema.attribute(*ident)) {
                composites.entry(member.id).or_default().push(Arc::clone(attribute));
            }
        }
    }
    composites
}

/// Adds to `changes` what becomes of composite tuples, each right after the last change of a member. `broken` are those
/// that were purged and whose members may still be there.
pub(super) fn follow(
    context: Context<'_>,
    schema: &Schema,
    changes: &mut Vec<Change>,
    broken: &[(u64, AttrId)],
) -> Result<()> {
    let composites = by_member(schema);
    if composites.is_empty() {
        return Ok(());
    }
    // Entity and composite attribute, and the last fact that changed a member.
    let mut touched: BTreeMap<(u64, AttrId), (u32, Arc<Attribute>)> = BTreeMap::new();
    for (e, a) in broken {
        touched.extend(schema.get(*a).map(|composite| ((*e, *a), (0, Arc::clone(composite)))));
    }
    // A retracted entity loses its tuple with all else, and members may come back after that: what becomes of the
    // tuple is what its members come to.
    changes.retain(|change| {
        let composite = schema.get(change.row.a).filter(|a| matches!(a.tuple, Some(TupleShape::Composite(_))));
        if let Some(composite) = composite {
            touched.insert((change.row.e, composite.id), (0, Arc::clone(composite)));
        }
        composite.is_none()
    });
    for change in changes.iter() {
        for composite in composites.get(&change.row.a).into_iter().flatten() {
            let (last, _) =
                touched.entry((change.row.e, composite.id)).or_insert_with(|| (change.fact, Arc::clone(composite)));
            *last = change.fact.max(*last);
        }
    }
    let members_of = |composite: &Attribute| match &composite.tuple {
        Some(TupleShape::Composite(members)) => Arc::clone(members),
        _ => Arc::default(),
    };
    let mut said: HashMap<(u64, AttrId), Option<Value>> = HashMap::new();
    for change in changes.iter().filter(|change| composites.contains_key(&change.row.a)) {
        // A value that goes comes before the one that takes its place.
        said.insert((change.row.e, change.row.a), change.added.then(|| change.row.v.clone()));
    }
    let mut follows = Vec::new();
    for ((e, a), (fact, composite)) in touched {
        let stored = |a: AttrId| -> Result<Option<Row>> {
            if context.is_new(e) {
                return Ok(None);
            }
            let key = Key { e: Some(e), a: Some(a), ..Key::default() };
            Probe::new(&**context.snapshot.index(Order::Eavt)).first(key)
        };
        let mut values = Vec::new();
        for ident in members_of(&composite).iter() {
            let value = match schema.attribute(*ident) {
                None => None,
                Some(member) => match said.get(&(e, member.id)) {
                    Some(value) => value.clone(),
                    None => stored(member.id)?.map(|row| row.v),
                },
            };
            values.push(value.unwrap_or(Value::Nil));
        }
        let new = if values.iter().all(|v| *v == Value::Nil) { None } else { Some(Value::Tuple(values.into())) };
        let old = stored(a)?;
        if old.as_ref().map(|row| &row.v) == new.as_ref() {
            continue;
        }
        follows.extend(old.map(|row| Change { fact, added: false, row }));
        follows.extend(new.map(|v| Change { fact, added: true, row: Row { e, a, v, tx: context.t, until: OPEN } }));
    }
    changes.append(&mut follows);
    changes.sort_by_key(|change| change.fact);
    Ok(())
}

/// The tuples of entities that had their members before the attribute was defined. `after` is the database after the
/// transaction without them.
pub(super) fn backfill(before: &Schema, after: &Snapshot, t: u64) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    if std::ptr::eq(before, &*after.schema) {
        return Ok(rows);
    }
    for attribute in after.schema.attributes() {
        let Some(TupleShape::Composite(members)) = &attribute.tuple else { continue };
        if before.get(attribute.id).is_some_and(|old| old.tuple == attribute.tuple) {
            continue;
        }
        let of_attribute = |a: AttrId| {
            let key = Key { a: Some(a), ..Key::default() };
            Probe::new(&**after.index(Order::Aevt)).all(key)
        };
        let mut tuples: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
        for (i, ident) in members.iter().enumerate() {
            let Some(member) = after.schema.attribute(*ident) else { continue };
            for row in of_attribute(member.id)? {
                tuples.entry(row.e).or_insert_with(|| vec![Value::Nil; members.len()])[i] = row.v;
            }
        }
        for row in of_attribute(attribute.id)? {
            tuples.remove(&row.e);
        }
        let row = |(e, values): (u64, Vec<Value>)| Row { e, a: attribute.id, v: values.into(), tx: t, until: OPEN };
        rows.extend(tuples.into_iter().map(row));
    }
    Ok(rows)
}

/// The value that a lookup ref with a composite tuple asks for.
pub(super) fn key(schema: &Schema, attribute: &Attribute, value: &Value) -> Result<Value> {
    let (Some(TupleShape::Composite(idents)), Value::Tuple(given)) = (&attribute.tuple, value) else {
        return convert(attribute, value.clone());
    };
    if idents.len() != given.len() {
        let message =
            format!("{} has {} members, got {}: {}", attribute.ident, idents.len(), given.len(), shorten(value));
        return Err(Error::new(ErrorKind::Transact, "lookup-ref/syntax", message));
    }
    let member = |(ident, v): (&crate::edn::Keyword, &Value)| match (schema.attribute(*ident), v) {
        (_, Value::Nil) | (None, _) => Ok(v.clone()),
        (Some(member), Value::Long(n @ 1..)) if member.is_ref() => Ok(Value::Ref(EntityId(*n as u64))),
        (Some(member), v) => convert(member, v.clone()),
    };
    Ok(Value::Tuple(idents.iter().zip(given.iter()).map(member).collect::<Result<Vec<_>>>()?.into()))
}

/// Refuses composite tuples of attributes that take many values or are tuples themselves.
pub(super) fn check(schema: &Schema) -> Result<()> {
    for attribute in schema.iter() {
        let Some(TupleShape::Composite(members)) = &attribute.tuple else { continue };
        for member in members.iter().filter_map(|ident| schema.attribute(*ident)) {
            if member.is_many() || member.tuple.is_some() {
                let message = format!(
                    "{}: a member of a composite tuple has one value and is no tuple; {} is not so",
                    attribute.ident, member.ident
                );
                return Err(Error::new(ErrorKind::Transact, "transact/schema", message));
            }
        }
    }
    Ok(())
}
