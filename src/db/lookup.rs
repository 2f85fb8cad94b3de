//! From what users call an entity to its id.

use crate::datom::{EntityId, Key, Order, Value};
use crate::edn::{Form, FormKind, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Attribute, TupleShape, ValueType, builtin, coerce};

use super::Db;

/// The ways to name an entity.
#[derive(Debug, Clone, PartialEq)]
pub enum EntityRef {
    /// By its id.
    Id(EntityId),
    /// By its `:db/ident`.
    Ident(Keyword),
    /// By a lookup ref: a unique attribute and its value.
    Lookup(Keyword, Value),
}

impl From<EntityId> for EntityRef {
    fn from(id: EntityId) -> Self {
        EntityRef::Id(id)
    }
}

impl From<Keyword> for EntityRef {
    fn from(ident: Keyword) -> Self {
        EntityRef::Ident(ident)
    }
}

impl<V: Into<Value>> From<(Keyword, V)> for EntityRef {
    fn from((attribute, value): (Keyword, V)) -> Self {
        EntityRef::Lookup(attribute, value.into())
    }
}

impl EntityRef {
    /// Reads an id, an ident or a lookup ref.
    ///
    /// # Errors
    /// `Argument`: `:entity-id/syntax` for another form, `:lookup-ref/syntax` for a vector that is no lookup ref.
    pub fn from_form(form: &Form) -> Result<EntityRef> {
        match &form.kind {
            FormKind::Int(n) if *n >= 0 => Ok(EntityRef::Id(EntityId(*n as u64))),
            FormKind::Keyword(ident) => Ok(EntityRef::Ident(*ident)),
            FormKind::Vector(items) | FormKind::List(items) => match items.as_slice() {
                [Form { kind: FormKind::Keyword(attribute), .. }, value] => {
                    let value = Value::from_form(value).ok_or_else(|| syntax("lookup-ref/syntax", form))?;
                    Ok(EntityRef::Lookup(*attribute, value))
                }
                _ => Err(syntax("lookup-ref/syntax", form)),
            },
            _ => Err(syntax("entity-id/syntax", form)),
        }
    }
}

/// Deepest nesting of lookup refs in lookup refs.
const MAX_LOOKUPS: usize = 8;

fn syntax(code: &'static str, form: &Form) -> Error {
    let message = format!("an entity id, an ident or a lookup ref [attribute value] was wanted, got {form:?}");
    Error::new(ErrorKind::Argument, code, message)
}

impl Db {
    /// The id of an entity, or `None` where an ident or a lookup ref names none. An id is taken as it is.
    ///
    /// # Errors
    /// `Argument`: `:lookup-ref/unique` for a lookup ref with an attribute that is not unique, `:attribute/unknown`.
    pub fn entid(&self, entity: &EntityRef) -> Result<Option<EntityId>> {
        self.entid_below(entity, 0)
    }

    fn entid_below(&self, entity: &EntityRef, depth: usize) -> Result<Option<EntityId>> {
        let (a, v) = match entity {
            EntityRef::Id(id) => return Ok(Some(*id)),
            EntityRef::Ident(ident) => (builtin::IDENT, Value::Keyword(*ident)),
            EntityRef::Lookup(ident, value) => {
                let attribute = self.attribute(*ident)?;
                if attribute.unique.is_none() {
                    let message = format!(
                        "a lookup ref wants an attribute that is :db/unique; {ident} is not: [{ident} {value:?}]"
                    );
                    return Err(Error::new(ErrorKind::Argument, "lookup-ref/unique", message));
                }
                let Some(value) = self.named(attribute, value, depth)? else { return Ok(None) };
                (attribute.id, self.lookup_value(attribute, &value))
            }
        };
        let row = self.first(Order::Avet, Key { a: Some(a), v: Some(v), ..Key::default() })?;
        Ok(row.map(|row| EntityId(row.e)))
    }

    /// The value of a lookup ref with those entities of a composite tuple as refs that are named; `None` where a name
    /// means nothing.
    fn named(&self, attribute: &Attribute, value: &Value, depth: usize) -> Result<Option<Value>> {
        let (Some(TupleShape::Composite(idents)), Value::Tuple(given)) = (&attribute.tuple, value) else {
            return Ok(Some(value.clone()));
        };
        let mut members = given.to_vec();
        for (member, ident) in members.iter_mut().zip(idents.iter()) {
            if !self.schema().attribute(*ident).is_some_and(|attribute| attribute.is_ref()) {
                continue;
            }
            let entity = match member {
                Value::Keyword(ident) => EntityRef::Ident(*ident),
                Value::Tuple(inner) if depth < MAX_LOOKUPS => match &**inner {
                    [Value::Keyword(a), v] => EntityRef::Lookup(*a, v.clone()),
                    _ => continue,
                },
                _ => continue,
            };
            let Some(id) = self.entid_below(&entity, depth + 1)? else { return Ok(None) };
            *member = Value::Ref(id);
        }
        Ok(Some(Value::Tuple(members.into())))
    }

    /// The value of a lookup ref as its attribute keeps it, members of tuples too.
    fn lookup_value(&self, attribute: &Attribute, value: &Value) -> Value {
        let coerced = |value_type: Option<ValueType>, v: &Value| match value_type {
            Some(value_type) => coerce(value_type, v.clone()).unwrap_or_else(|v| v),
            None => v.clone(),
        };
        match (value, &attribute.tuple) {
            (Value::Tuple(members), Some(shape)) => {
                let member = |i: usize| match shape {
                    TupleShape::Composite(idents) => self.schema().attribute(*idents.get(i)?)?.value_type,
                    shape => shape.member(i),
                };
                Value::Tuple(members.iter().enumerate().map(|(i, v)| coerced(member(i), v)).collect())
            }
            (value, _) => coerced(attribute.value_type, value),
        }
    }

    /// The id of an entity that must exist.
    ///
    /// # Errors
    /// Those of [`entid`](Self::entid), and `:entity-id/missing`.
    pub fn entid_strict(&self, entity: &EntityRef) -> Result<EntityId> {
        self.entid(entity)?.ok_or_else(|| {
            let name = match entity {
                EntityRef::Id(id) => id.to_string(),
                EntityRef::Ident(ident) => ident.to_string(),
                EntityRef::Lookup(attribute, value) => format!("[{attribute} {value:?}]"),
            };
            Error::new(ErrorKind::Argument, "entity-id/missing", format!("nothing found for the entity {name}"))
        })
    }
}
