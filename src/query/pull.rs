//! The seam to pull.

use crate::datom::{EntityId, Value};
use crate::db::Db;
use crate::edn::Form;
use crate::error::{Error, ErrorKind, Result};

pub(super) fn parse(form: &Form, _: &Db) -> Result<Form> {
    Err(Error::new(ErrorKind::Query, "query/pull", format!("pull in :find: {form}")))
}

pub(super) fn pull(_: &Db, _: &Form, _: EntityId) -> Result<Value> {
    Ok(Value::Nil)
}
