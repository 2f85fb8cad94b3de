//! Patterns against a schema: constants become entities, attributes and values.

use super::{A, E, OP, Part, TX, V};
use crate::datom::{EntityId, Value};
use crate::db::{Db, EntityRef, Promise};
use crate::edn::Keyword;
use crate::error::Result;
use crate::query::logic::Term;
use crate::schema::{Attribute, SchemaFlexibility};
use std::sync::Arc;

/// A pattern whose constants are resolved; variables stand as [`Part::Out`].
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub parts: [Part; 5],
    /// The attribute, when it is constant.
    pub attribute: Option<Arc<Attribute>>,
    /// What holds of its datoms.
    pub promise: Option<Promise>,
}

/// Why a pattern matches nothing.
pub(super) type Nothing = String;

/// Resolves the constants of a pattern.
pub(super) fn shape(db: &Db, terms: &[Term], constants: &[Value]) -> Result<Result<Shape, Nothing>> {
    let mut parts = [Part::Any, Part::Any, Part::Any, Part::Any, Part::Any];
    if terms.len() > parts.len() {
        return Ok(Err(format!("a datom has 5 parts, the pattern {}", terms.len())));
    }
    let mut attribute = None;
    // The attribute first: it says how the value is read.
    let position = |i: usize| terms.get(i).copied().unwrap_or(Term::Any);
    if let Term::Const(constant) = position(A) {
        match resolve_attribute(db, &constants[constant])? {
            Ok(found) => {
                parts[A] = Part::Const(Value::Long(i64::from(found.id.0)));
                attribute = Some(found);
            }
            Err(nothing) => return Ok(Err(nothing)),
        }
    }
    for (i, term) in terms.iter().enumerate() {
        parts[i] = match term {
            Term::Any => Part::Any,
            Term::Var(var) => match terms[..i].iter().position(|other| other == term) {
                Some(first) => Part::Same(first),
                None => Part::Out(*var),
            },
            Term::Const(_) if i == A => continue,
            Term::Const(constant) => {
                let value = &constants[*constant];
                match resolve_at(db, attribute.as_deref(), i, value)? {
                    Some(value) => Part::Const(value),
                    None => return Ok(Err(format!("{value:?} names no entity"))),
                }
            }
        };
    }
    let promise = attribute.as_deref().map(|attribute| db.promise(attribute)).transpose()?;
    Ok(Ok(Shape { parts, attribute, promise }))
}

/// What a constant means at a position other than that of the attribute; `None` where it names nothing.
pub(in crate::query) fn resolve_at(
    db: &Db,
    attribute: Option<&Attribute>,
    position: usize,
    value: &Value,
) -> Result<Option<Value>> {
    match position {
        E | TX => Ok(resolve_entity(db, value)?.map(Value::Ref)),
        V => resolve_value(db, attribute, value),
        OP => Ok(Some(value.clone())),
        _ => Ok(None),
    }
}

fn resolve_attribute(db: &Db, value: &Value) -> Result<Result<Arc<Attribute>, Nothing>> {
    let ident = match value {
        Value::Keyword(ident) => Some(*ident),
        Value::Str(text) => Some(Keyword::new(text)),
        _ => None,
    };
    Ok(match attribute_named(db, value) {
        Some(attribute) => Ok(Arc::clone(attribute)),
        None => {
            let hint = ident.and_then(|ident| db.schema().nearest(ident));
            let hint = hint.map(|k| format!("; did you mean {k}?")).unwrap_or_default();
            let advice = match db.schema().flexibility() {
                SchemaFlexibility::Write => hint,
                SchemaFlexibility::Read => String::new(),
            };
            Err(format!("the attribute {value:?} is not in the schema{advice}"))
        }
    })
}

/// The attribute that a value in the place of one names: by its ident, or as the entity that defines it.
pub(in crate::query) fn attribute_named<'d>(db: &'d Db, value: &Value) -> Option<&'d Arc<Attribute>> {
    let schema = db.schema();
    match value {
        Value::Keyword(ident) => schema.attribute(*ident),
        Value::Str(text) => schema.attribute(Keyword::new(text)),
        _ => schema.of_entity(entity_number(value)?),
    }
}

fn entity_number(value: &Value) -> Option<u64> {
    match value {
        Value::Ref(id) => Some(id.0),
        Value::Long(n) => u64::try_from(*n).ok(),
        _ => None,
    }
}

/// The entity that a value names in the place of an entity: a number, an ident or a lookup ref.
pub(in crate::query) fn resolve_entity(db: &Db, value: &Value) -> Result<Option<EntityId>> {
    match value {
        Value::Ref(_) | Value::Long(_) => Ok(entity_number(value).map(EntityId)),
        Value::Keyword(ident) => db.entid(&EntityRef::Ident(*ident)),
        Value::Tuple(members) => match members.as_ref() {
            [Value::Keyword(attribute), value] => {
                let value = match db.schema().attribute(*attribute) {
                    Some(a) if a.is_ref() => match resolve_entity(db, value)? {
                        Some(id) => Value::Ref(id),
                        None => return Ok(None),
                    },
                    _ => value.clone(),
                };
                db.entid(&EntityRef::Lookup(*attribute, value))
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// A value as the attribute would store it: an entity for a ref; a number as it is.
pub(in crate::query) fn resolve_value(db: &Db, attribute: Option<&Attribute>, value: &Value) -> Result<Option<Value>> {
    let Some(attribute) = attribute else {
        return Ok(Some(value.clone()));
    };
    if attribute.is_ref() {
        return Ok(match resolve_entity(db, value) {
            Ok(id) => id.map(Value::Ref),
            Err(error) => return Err(error),
        });
    }
    Ok(Some(match value {
        Value::Ref(id) => Value::Long(id.0 as i64),
        other => other.clone(),
    }))
}
