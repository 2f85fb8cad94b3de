//! Predicates: what the schema wants of values (`:db.attr/preds`) and of entities (`:db/ensure`), in the words of
//! registered functions.

use crate::datom::{AttrId, EntityId, Key, Order, Row, Value};
use crate::db::{Db, Snapshot};
use crate::edn::{Keyword, Symbol};
use crate::error::{Error, ErrorKind, Result};
use crate::library::Tables;
use crate::query::builtin::Argument;
use crate::schema::{Attribute, Schema, TupleShape, builtin};

use super::apply::Change;
use super::call::{did_you_mean, refused};
use super::check::shorten;
use super::fact::{Context, Fact, What};
use super::probe::Probe;

/// Stands for `:db/ensure`, which is asserted like an attribute and stored nowhere.
pub(super) const ENSURE: AttrId = AttrId(0);

/// That an entity must be as a spec wants it, after the transaction.
#[derive(Debug)]
pub(super) struct Ensure {
    /// The operation that wants it.
    pub op: u32,
    pub e: u64,
    pub spec: u64,
}

/// Checks every value that is asserted. What becomes of composite tuples is for [`check_composites`].
pub(super) fn check_values(context: Context<'_>, schema: &Schema, tables: &Tables, facts: &[Fact]) -> Result<()> {
    if schema.iter().all(|attribute| attribute.preds.is_empty()) {
        return Ok(());
    }
    for fact in facts.iter().filter(|fact| matches!(fact.what, What::Add | What::Cas(_))) {
        if let Some(attribute) = schema.get(fact.a) {
            let checked = check_value(tables, attribute, &fact.v);
            checked.map_err(|error| context.locate_value(fact.op, attribute.ident, &fact.v, error))?;
        }
    }
    Ok(())
}

pub(super) fn check_composites(
    context: Context<'_>,
    schema: &Schema,
    tables: &Tables,
    facts: &[Fact],
    changes: &[Change],
) -> Result<()> {
    let mut composites = schema.iter().filter(|a| matches!(a.tuple, Some(TupleShape::Composite(_))));
    if composites.all(|attribute| attribute.preds.is_empty()) {
        return Ok(());
    }
    for change in changes.iter().filter(|change| change.added) {
        let attribute = schema.get(change.row.a).filter(|a| matches!(a.tuple, Some(TupleShape::Composite(_))));
        if let Some(attribute) = attribute {
            let op = facts[change.fact as usize].op;
            check_value(tables, attribute, &change.row.v).map_err(|error| context.locate(op, error))?;
        }
    }
    Ok(())
}

/// Checks the tuples that fill attributes which the transaction defines.
pub(super) fn check_backfilled(tables: &Tables, after: &Snapshot, tuples: &[Row]) -> Result<()> {
    for row in tuples {
        if let Some(attribute) = after.schema.get(row.a) {
            check_value(tables, attribute, &row.v).map_err(|e| e.context(format_args!("entity {}", row.e)))?;
        }
    }
    Ok(())
}

/// Whether all predicates of the attribute let the value pass.
pub(super) fn check_value(tables: &Tables, attribute: &Attribute, v: &Value) -> Result<()> {
    for name in &attribute.preds {
        let passed = match tables.attribute.get(*name) {
            Some(predicate) => predicate(v),
            None => match tables.functions.get(*name).filter(|function| function.arity.contains(&1)) {
                Some(function) => {
                    let result = function.invoke(&[Argument::Value(v)]);
                    result.map(|result| result == Some(Value::Bool(true)))
                }
                None => return Err(unresolved(tables, attribute, *name)),
            },
        };
        let what = || format!("{}: the predicate {name} refuses the value {}", attribute.ident, shorten(v));
        match passed {
            Ok(true) => {}
            Ok(false) => return Err(Error::new(ErrorKind::Transact, "transact/attr-pred", what())),
            Err(error) => return Err(refused("transact/attr-pred", what(), error)),
        }
    }
    Ok(())
}

fn unresolved(tables: &Tables, attribute: &Attribute, name: Symbol) -> Error {
    let hint = did_you_mean(&tables.attribute, name);
    let message = format!(
        "{}: no attribute predicate is registered as {name}, which its :db.attr/preds wants{hint}",
        attribute.ident
    );
    Error::new(ErrorKind::Transact, "transact/attr-pred-unresolved", message)
}

/// Checks the entities that `:db/ensure` was asserted of.
pub(super) fn ensure(context: Context<'_>, tables: &Tables, after: &Db, ensures: &[Ensure]) -> Result<()> {
    for Ensure { op, e, spec } in ensures {
        meets(tables, after, EntityId(*e), *spec).map_err(|error| context.locate(*op, error))?;
    }
    Ok(())
}

/// Whether the entity is as the spec wants it.
fn meets(tables: &Tables, after: &Db, e: EntityId, spec: u64) -> Result<()> {
    let of_entity = |e: u64, a: AttrId| {
        let key = Key { e: Some(e), a: Some(a), ..Key::default() };
        Probe::new(&**after.snapshot().index(Order::Eavt)).all(key)
    };
    let (attributes, predicates) = (of_entity(spec, builtin::ENTITY_ATTRS)?, of_entity(spec, builtin::ENTITY_PREDS)?);
    let name = match of_entity(spec, builtin::IDENT)?.first().map(|row| &row.v) {
        Some(Value::Keyword(ident)) => ident.to_string(),
        _ => spec.to_string(),
    };
    let refuse = |message: String| Err(Error::new(ErrorKind::Transact, "transact/ensure", message));
    if attributes.is_empty() && predicates.is_empty() {
        return refuse(format!(
            ":db/ensure wants an entity with :db.entity/attrs or :db.entity/preds; {name} has none"
        ));
    }
    let mut missing: Vec<Keyword> = Vec::new();
    for row in &attributes {
        let Value::Keyword(ident) = row.v else { continue };
        let has = match after.schema().attribute(ident) {
            Some(attribute) => !of_entity(e.0, attribute.id)?.is_empty(),
            None => false,
        };
        if !has {
            missing.push(ident);
        }
    }
    if !missing.is_empty() {
        let missing: Vec<String> = missing.iter().map(Keyword::to_string).collect();
        return refuse(format!("entity {e} has no {}, which {name} wants", missing.join(", ")));
    }
    for row in &predicates {
        let Value::Symbol(predicate) = row.v else { continue };
        let Some(function) = tables.entity.get(predicate) else {
            let hint = did_you_mean(&tables.entity, predicate);
            return refuse(format!("no entity predicate is registered as {predicate}, which {name} wants{hint}"));
        };
        let what = || format!("the predicate {predicate} of {name} refuses entity {e}");
        match function(after, e) {
            Ok(true) => {}
            Ok(false) => return refuse(what()),
            Err(error) => return Err(refused("transact/ensure", what(), error)),
        }
    }
    Ok(())
}
