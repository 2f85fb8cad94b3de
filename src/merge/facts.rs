//! What a database says of one entity.

use std::sync::Arc;

use crate::datom::{Cut, Key, Order, Value};
use crate::db::Db;
use crate::edn::Keyword;
use crate::error::Result;
use crate::index::Direction;
use crate::schema::{Attribute, TupleShape};

/// A fact of an entity.
pub(super) struct Fact {
    pub attribute: Arc<Attribute>,
    pub v: Value,
}

/// The facts of an entity, without what the transactor derives from them.
pub(super) fn facts(db: &Db, e: u64) -> Result<Vec<Fact>> {
    let key = Key { e: Some(e), ..Key::default() };
    let (from, to) = (Cut::before(key.clone()), Cut::after(key));
    let mut cursor = db.cursor(Order::Eavt, Some(&from), Some(&to), Direction::Forward)?;
    let mut found = Vec::new();
    while let Some(chunk) = cursor.next()? {
        for row in chunk.rows().map(|i| chunk.columns.row(i)) {
            if let Some(attribute) = db.schema().get(row.a) {
                found.push(Fact { attribute: Arc::clone(attribute), v: row.v });
            }
        }
    }
    Ok(found)
}

/// The values that an entity has for an attribute of that name.
pub(super) fn values(db: &Db, e: u64, attribute: Keyword) -> Result<Vec<Value>> {
    let Some(attribute) = db.schema().attribute(attribute) else { return Ok(Vec::new()) };
    let key = Key { e: Some(e), a: Some(attribute.id), ..Key::default() };
    let (from, to) = (Cut::before(key.clone()), Cut::after(key));
    let mut cursor = db.cursor(Order::Eavt, Some(&from), Some(&to), Direction::Forward)?;
    let mut found = Vec::new();
    while let Some(chunk) = cursor.next()? {
        found.extend(chunk.rows().map(|i| chunk.columns.row(i).v));
    }
    Ok(found)
}

/// The entity that has a value of a unique attribute.
pub(super) fn holder(db: &Db, attribute: Keyword, v: &Value) -> Result<Option<u64>> {
    let Some(attribute) = db.schema().attribute(attribute).filter(|attribute| attribute.unique.is_some()) else {
        return Ok(None);
    };
    let key = Key { a: Some(attribute.id), v: Some(v.clone()), ..Key::default() };
    Ok(db.first(Order::Avet, key)?.map(|row| row.e))
}

/// Whether the transactor keeps the attribute from others.
pub(super) fn is_derived(attribute: &Attribute) -> bool {
    matches!(attribute.tuple, Some(TupleShape::Composite(_)))
}
