//! Functions that look into a database.

use crate::datom::{EntityId, Key, Order, Value};
use crate::db::{Db, EntityRef};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};

use super::args::Args;
use super::compare::bool;
use super::{Builtin, MANY};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("get-else", 4, 4, |args| {
        let default = args.value(3)?;
        if matches!(default, Value::Nil) {
            let message = "get-else: the default cannot be nil; use get-some or missing?";
            return Err(Error::new(ErrorKind::Query, "query/nil-default", message));
        }
        let e = entity(args, 1)?;
        let found = e.map_or(Ok(None), |e| first_value(args.db(0)?, e, attribute(args, 2)?))?;
        Ok(Some(found.unwrap_or_else(|| default.clone())))
    }),
    Builtin::new("get-some", 3, MANY, |args| {
        let db = args.db(0)?;
        let Some(e) = entity(args, 1)? else { return Ok(None) };
        for i in 2..args.len() {
            let attribute = attribute(args, i)?;
            if let Some(value) = first_value(db, e, attribute)? {
                let shown = db.schema().attribute(attribute).and_then(|known| db.schema().shown(known.id));
                return Ok(Some(vec![shown.unwrap_or(Value::Keyword(attribute)), value].into()));
            }
        }
        Ok(None)
    }),
    Builtin::new("missing?", 3, 3, |args| {
        let e = entity(args, 1)?;
        bool(e.map_or(Ok(None), |e| first_value(args.db(0)?, e, attribute(args, 2)?))?.is_none())
    }),
];

/// The attribute that an argument names: by its ident or, where attributes are entities, as one.
fn attribute(args: &Args<'_>, i: usize) -> Result<Keyword> {
    let schema = args.db(0)?.schema();
    let entity = match args.value(i)? {
        Value::Ref(id) if schema.has_attribute_refs() => id.0,
        Value::Long(n) if schema.has_attribute_refs() => u64::try_from(*n).unwrap_or(0),
        _ => return args.keyword(i),
    };
    let attribute = schema.of_entity(entity).ok_or_else(|| args.type_error(i, "an attribute"))?;
    Ok(attribute.ident)
}

/// The entity that an argument names by id, ident or lookup ref; `None` where it names none.
fn entity(args: &Args<'_>, i: usize) -> Result<Option<EntityId>> {
    let entity = match args.value(i)? {
        Value::Ref(e) => EntityRef::Id(*e),
        Value::Long(n) if *n >= 0 => EntityRef::Id(EntityId(*n as u64)),
        Value::Keyword(ident) => EntityRef::Ident(*ident),
        Value::Tuple(parts) => match parts.as_ref() {
            [Value::Keyword(attribute), value] => EntityRef::Lookup(*attribute, value.clone()),
            _ => return Err(args.type_error(i, "an entity id, an ident or a lookup ref")),
        },
        Value::Nil => return Ok(None),
        _ => return Err(args.type_error(i, "an entity id, an ident or a lookup ref")),
    };
    args.db(0)?.entid(&entity)
}

/// A value of an attribute of an entity; of `:ns/_name` an entity that refers to this one. An attribute that the
/// database does not know has no values.
fn first_value(db: &Db, e: EntityId, attribute: Keyword) -> Result<Option<Value>> {
    if attribute.as_str() == "db/id" {
        return Ok(Some(Value::Ref(e)));
    }
    if let Some(attribute) = db.schema().attribute(attribute) {
        return Ok(db
            .first(Order::Eavt, Key { e: Some(e.0), a: Some(attribute.id), ..Key::default() })?
            .map(|row| row.v));
    }
    match db.schema().reversed(attribute) {
        Some(forward) => {
            let key = Key { a: Some(forward.id), v: Some(Value::Ref(e)), ..Key::default() };
            Ok(db.first(Order::Avet, key)?.map(|row| Value::Ref(EntityId(row.e))))
        }
        None => Ok(None),
    }
}
