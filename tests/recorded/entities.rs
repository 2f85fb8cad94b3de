//! Entities as maps.

use treering::edn::{Form, Keyword};
use treering::{Attr, Entity, EntityRef, Result, Value};

use crate::cases::Case;
use crate::databases::database;
use crate::oracle::canon;

pub fn ask(case: &Case) -> std::result::Result<(), String> {
    let [_, name, rest @ ..] = case.args() else {
        // There is no entity that is nil here.
        return case.judge(Ok(Value::Nil), same);
    };
    let recorded = database(case.database().ok_or("no database")?).map_err(|error| format!("the database: {error}"))?;
    let find = || -> Result<Option<Entity>> {
        if name.is_nil() {
            return Ok(None);
        }
        recorded.db.entity(EntityRef::from_form(name)?)
    };
    let attribute = rest.first().and_then(|form| form.as_keyword().or_else(|| form.as_str().map(Keyword::new)));
    let read = |entity: Entity| match attribute {
        Some(attribute) => entity.get(attribute).map(|found| found.map_or(Value::Nil, |found| shown(&found))),
        None => entity.touch(),
    };
    case.judge(find().and_then(|entity| entity.map_or(Ok(Value::Nil), read)), same)
}

fn only_id(entity: &Entity) -> Value {
    let id = Value::Keyword(Keyword::new("db/id"));
    Value::Map([(id, Value::Ref(entity.id()))].into())
}

/// As it was recorded: entities as maps of their id.
fn shown(found: &Attr) -> Value {
    match found {
        Attr::Entity(entity) => only_id(entity),
        Attr::Entities(entities) => Value::set(entities.iter().map(only_id).collect()),
        other => other.to_value(),
    }
}

fn same(recorded: &Form, found: &Value) -> std::result::Result<(), String> {
    let recorded = canon(&Value::from_form(recorded).ok_or("a result that is no value")?);
    let found = canon(found);
    // There an id without datoms is no entity, here one of which nothing is known.
    let is_bare = matches!(&found, Value::Map(pairs) if pairs.len() == 1);
    if recorded == found || (recorded == Value::Nil && is_bare) {
        Ok(())
    } else {
        Err(format!("recorded {recorded:?}, found {found:?}"))
    }
}
