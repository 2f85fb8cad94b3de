//! Declare: the schema that a transaction works with and the one that it leaves. An attribute may be used in the
//! transaction that defines it; a definition that changes counts from the next transaction on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::datom::{AttrId, Columns, Cut, Key, Order, Row, Value};
use crate::db::{EntityRef, Snapshot};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Direction;
use crate::schema::change::{self, Demand};
use crate::schema::{Attribute, FIRST_USER_ATTRIBUTE, Schema, SchemaFlexibility, TupleShape, builtin, system};

use super::apply::Change;
use super::check::shorten;
use super::fact::{Context, Fact};
use super::input::{Given, Op, Subject};

/// What the tx-data says to define one entity.
struct Draft<'a> {
    /// `None` for a map without `:db/id`.
    subject: Option<&'a Subject>,
    op: u32,
    datoms: Vec<(AttrId, Value)>,
}

/// What the tx-data defines.
pub(super) struct Declared {
    /// The schema with the new attributes.
    pub schema: Arc<Schema>,
    /// The new attributes and their numbers.
    pub interned: Vec<(Keyword, AttrId)>,
    /// All idents that are asserted.
    pub idents: HashSet<Keyword>,
}

pub(super) fn declare(context: Context<'_>, ops: &[Op]) -> Result<Declared> {
    let mut schema = Arc::clone(&context.snapshot.schema);
    let (mut interned, mut idents) = (Vec::new(), HashSet::new());
    for draft in drafts(&schema, ops) {
        let Some(ident) = change::ident_of(&draft.datoms) else { continue };
        idents.extend(draft.datoms.iter().filter(|(a, _)| *a == builtin::IDENT).filter_map(|(_, v)| match v {
            Value::Keyword(ident) => Some(*ident),
            _ => None,
        }));
        // An attribute that gets another name is known by it from the next transaction on.
        if schema.attribute(ident).is_some() || draft.subject.is_some_and(|subject| is_attribute(&schema, subject)) {
            continue;
        }
        let attribute = change::check_ident(ident)
            .and_then(|()| change::define(schema.next_id(), 0, &draft.datoms, schema.flexibility()))
            .map_err(|error| context.locate(draft.op, error))?;
        if let Some(attribute) = attribute {
            interned.push((ident, attribute.id));
            Arc::make_mut(&mut schema).put(attribute);
        }
    }
    Ok(Declared { schema, interned, idents })
}

/// Whether the subject names an attribute that there is already, which gets another definition.
fn is_attribute(schema: &Schema, subject: &Subject) -> bool {
    match subject {
        Subject::Entity(EntityRef::Id(id)) => schema.of_entity(id.0).is_some(),
        Subject::Entity(EntityRef::Ident(ident)) => schema.attribute(*ident).is_some(),
        Subject::Entity(EntityRef::Lookup(a, Value::Keyword(ident))) => {
            a.as_str() == "db/ident" && schema.attribute(*ident).is_some()
        }
        _ => false,
    }
}

fn drafts<'a>(schema: &Schema, ops: &'a [Op]) -> Vec<Draft<'a>> {
    // Few keywords, compared as integers: this runs over every value of the tx-data.
    let parts: Vec<(Keyword, AttrId)> =
        change::definition_attributes().filter_map(|id| Some((schema.get(id)?.ident, id))).collect();
    let part = |a: Keyword| parts.iter().find(|(ident, _)| *ident == a).map(|(_, id)| *id);
    let mut drafts: Vec<Draft<'a>> = Vec::new();
    for (n, op) in ops.iter().enumerate() {
        let (subject, said): (_, Vec<(AttrId, &Given)>) = match op {
            Op::Entity(entity) => {
                let said = entity.attributes.iter().filter_map(|(a, given)| Some((part(*a)?, given)));
                (entity.id.as_ref(), said.collect())
            }
            Op::Add { e, a, v } => (Some(e), part(*a).map(|a| (a, v)).into_iter().collect()),
            _ => continue,
        };
        if said.is_empty() {
            continue;
        }
        let known = subject.and_then(|subject| drafts.iter().position(|draft| draft.subject == Some(subject)));
        let place = known.unwrap_or_else(|| {
            drafts.push(Draft { subject, op: n as u32, datoms: Vec::new() });
            drafts.len() - 1
        });
        for (a, given) in said {
            match given {
                Given::Value(Value::Tuple(all) | Value::Set(all)) if a == builtin::ATTR_PREDS => {
                    drafts[place].datoms.extend(all.iter().map(|v| (a, v.clone())));
                }
                Given::Many(all) if a == builtin::ATTR_PREDS => {
                    let values = all.iter().filter_map(|one| if let Given::Value(v) = one { Some(v) } else { None });
                    drafts[place].datoms.extend(values.map(|v| (a, v.clone())));
                }
                Given::Value(v) => drafts[place].datoms.push((a, v.clone())),
                _ => {}
            }
        }
    }
    drafts
}

/// The schema that the rows leave, whether it is allowed or not: what both a transaction and its replay come to.
/// `interned` gets the attributes that are new and not yet in it.
pub(super) fn derive(
    before: &Snapshot,
    interned: &mut Vec<(Keyword, AttrId)>,
    opened: &Columns,
    closed: &Columns,
) -> Result<Arc<Schema>> {
    let (opened, closed) = (parts(opened), parts(closed));
    let touched: BTreeSet<u64> = opened.iter().chain(&closed).map(|row| row.e).collect();
    if touched.is_empty() && interned.is_empty() {
        return Ok(Arc::clone(&before.schema));
    }
    let mut schema = Schema::clone(&before.schema);
    for (ident, id) in interned.iter() {
        schema.put(Attribute::undeclared(*id, *ident));
    }
    let mut after: BTreeMap<u64, Vec<(AttrId, Value)>> =
        touched.iter().map(|e| Ok((*e, definition(before, *e)?))).collect::<Result<_>>()?;
    for row in closed {
        if let Some(datoms) = after.get_mut(&row.e) {
            datoms.retain(|(a, v)| *a != row.a || *v != row.v);
        }
    }
    for row in opened {
        after.entry(row.e).or_default().push((row.a, row.v));
    }
    let mut defined = Vec::new();
    for (e, mut datoms) in after {
        datoms.sort();
        let old = before.schema.of_entity(e).cloned();
        if let (Some(old), None) = (&old, change::define(AttrId(0), e, &datoms, schema.flexibility())?) {
            schema.remove(old.id);
            if schema.flexibility() == SchemaFlexibility::Read {
                // What was written with it stays readable.
                schema.put(Attribute::undeclared(old.id, old.ident));
            }
            continue;
        }
        defined.push((e, datoms, old));
    }
    // Names may be exchanged, so all of them are free before any is taken.
    for (_, datoms, old) in &defined {
        if let Some(old) = old
            && change::ident_of(datoms) != Some(old.ident)
        {
            schema.remove(old.id);
        }
    }
    for (e, datoms, old) in defined {
        let ident = change::ident_of(&datoms);
        let known = old.map(|old| old.id).or_else(|| schema.attribute(ident?).map(|attribute| attribute.id));
        let id = known.unwrap_or(schema.next_id());
        let Some(attribute) = change::define(id, e, &datoms, schema.flexibility())? else { continue };
        check_holder(&schema, &attribute)?;
        if known.is_none() {
            interned.push((attribute.ident, id));
        }
        schema.put(attribute);
    }
    Ok(Arc::new(schema))
}

/// The rows that are parts of definitions.
fn parts(rows: &Columns) -> Vec<Row> {
    let is_part = |i: &usize| {
        let a = AttrId(rows.a.get(*i) as u32);
        a < FIRST_USER_ATTRIBUTE && change::is_definition(a)
    };
    (0..rows.len()).filter(is_part).map(|i| rows.row(i)).collect()
}

/// An attribute belongs to the entity that has its ident.
fn check_holder(schema: &Schema, attribute: &Attribute) -> Result<()> {
    match schema.attribute(attribute.ident) {
        Some(other) if other.is_builtin() || other.id != attribute.id => {
            let message = format!("the ident {} is an attribute already", attribute.ident);
            Err(Error::new(ErrorKind::Transact, "transact/schema", message))
        }
        _ => Ok(()),
    }
}

/// What the database before says to define an entity.
fn definition(before: &Snapshot, e: u64) -> Result<Vec<(AttrId, Value)>> {
    let from = Cut::before(Key { e: Some(e), ..Key::default() });
    let to = Cut::before(Key { e: Some(e), a: Some(FIRST_USER_ATTRIBUTE), ..Key::default() });
    let mut cursor = before.index(Order::Eavt).cursor(Some(&from), Some(&to), Direction::Forward)?;
    let mut datoms = Vec::new();
    while let Some(chunk) = cursor.next()? {
        let rows = chunk.rows().map(|i| chunk.columns.row(i)).filter(|row| change::is_definition(row.a));
        datoms.extend(rows.map(|row| (row.a, row.v)));
    }
    Ok(datoms)
}

/// Refuses to change what the engine says of its own attributes.
pub(super) fn spare_system(context: Context<'_>, facts: &[Fact], changes: &[Change]) -> Result<()> {
    if !context.snapshot.settings.attribute_refs {
        return Ok(());
    }
    match changes.iter().find(|change| change.row.e <= system::LAST_SYSTEM_ENTITY) {
        None => Ok(()),
        Some(change) => {
            let (e, last) = (change.row.e, system::LAST_SYSTEM_ENTITY);
            let name = system::ident_of(e).map(|ident| format!(" ({ident})")).unwrap_or_default();
            let message = format!("the entity {e}{name} cannot be changed: the entities 1 to {last} are the engine's");
            let error = Error::new(ErrorKind::Transact, "transact/system-entity", message);
            Err(context.locate(facts[change.fact as usize].op, error))
        }
    }
}

/// The operations that say something of a definition, by its entity: the first of each.
pub(super) fn defining(facts: &[Fact], changes: &[Change]) -> HashMap<u64, u32> {
    let mut operations = HashMap::new();
    for change in changes.iter().filter(|change| change::is_definition(change.row.a)) {
        operations.entry(change.row.e).or_insert(facts[change.fact as usize].op);
    }
    operations
}

/// Refuses a schema that may not follow the one before. `worked` is the schema that the transaction worked with,
/// `defining` says which operations are about definitions.
pub(super) fn check(
    context: Context<'_>,
    worked: &Schema,
    after: &Snapshot,
    opened: &Columns,
    defining: &HashMap<u64, u32>,
) -> Result<()> {
    let before = context.snapshot;
    if defining.is_empty() && Arc::ptr_eq(&before.schema, &after.schema) {
        return Ok(());
    }
    let locate = |entity: u64, error: Error| match defining.get(&entity) {
        Some(op) => context.locate(*op, error),
        None => error,
    };
    for row in parts(opened).iter().filter(|row| row.a == builtin::IDENT) {
        if let Value::Keyword(ident) = row.v {
            change::check_ident(ident).map_err(|error| locate(row.e, error))?;
        }
    }
    for attribute in after.schema.attributes() {
        if before.schema.get(attribute.id).is_none() {
            check_new(attribute, worked, after.schema.flexibility())
                .map_err(|error| locate(attribute.entity, error))?;
        }
    }
    super::composite::check(&after.schema)?;
    for old in before.schema.attributes() {
        let new = after.schema.get(old.id);
        if new != Some(old) {
            let entity = new.map_or(old.entity, |new| new.entity);
            let demands = change::demands(old, new.map(|new| &**new), after.settings.attribute_refs);
            let met = demands.and_then(|demands| demands.into_iter().try_for_each(|demand| meet(after, old, demand)));
            let met = met.and_then(|()| check_rename(&after.schema, old, new));
            met.map_err(|error| locate(entity, error))?;
        }
    }
    Ok(())
}

/// A composite tuple knows its members by their names.
fn check_rename(after: &Schema, old: &Attribute, new: Option<&Arc<Attribute>>) -> Result<()> {
    if new.is_none_or(|new| new.ident == old.ident) {
        return Ok(());
    }
    let names_it = |other: &&Arc<Attribute>| match &other.tuple {
        Some(TupleShape::Composite(members)) => members.contains(&old.ident),
        _ => false,
    };
    match after.iter().find(names_it) {
        None => Ok(()),
        Some(tuple) => {
            let message = format!("{}: it cannot be renamed while {} is made of it", old.ident, tuple.ident);
            Err(Error::new(ErrorKind::Transact, "transact/schema", message))
        }
    }
}

/// Refuses equal tuples of a unique attribute that the transaction defines over members that were there.
pub(super) fn check_backfilled(context: Context<'_>, after: &Snapshot, defining: &HashMap<u64, u32>) -> Result<()> {
    for attribute in after.schema.attributes() {
        let is_composite = matches!(attribute.tuple, Some(TupleShape::Composite(_)));
        if is_composite && attribute.unique.is_some() && context.snapshot.schema.get(attribute.id) != Some(attribute) {
            meet(after, attribute, Demand::DistinctValues).map_err(|error| match defining.get(&attribute.entity) {
                Some(op) => context.locate(*op, error),
                None => error,
            })?;
        }
    }
    Ok(())
}

/// An attribute that the transaction brings was worked with as it is now defined.
fn check_new(attribute: &Attribute, worked: &Schema, flexibility: SchemaFlexibility) -> Result<()> {
    let ident = attribute.ident;
    change::check_max_length(attribute)?;
    let message = if attribute.entity == 0 && flexibility == SchemaFlexibility::Write {
        format!("the definition of {ident} does not last to the end of the transaction")
    } else {
        match worked.attribute(ident) {
            Some(used) if !same_shape(used, attribute) => {
                format!("the definition of {ident} is changed in the transaction that makes it")
            }
            _ => return Ok(()),
        }
    };
    Err(Error::new(ErrorKind::Transact, "transact/schema", message))
}

fn same_shape(x: &Attribute, y: &Attribute) -> bool {
    (x.value_type, x.cardinality, x.unique, &x.tuple) == (y.value_type, y.cardinality, y.unique, &y.tuple)
}

/// Most groups of facts that a message shows.
const MOST_SHOWN: usize = 3;

/// Whether what a change of definition demands is so.
fn meet(after: &Snapshot, old: &Attribute, demand: Demand) -> Result<()> {
    let ident = old.ident;
    let refuse = |code, groups: &Groups, message: String| match groups.count {
        0 => Ok(()),
        _ => Err(Error::new(ErrorKind::Transact, code, format!("{ident}: {message}: {}", groups.show(ident)))),
    };
    match demand {
        Demand::NoFacts(what) => {
            let current = groups(after, Order::Aevt, old.id, None)?;
            let remedy = "retract them, or define another attribute and move the values";
            let message = format!("{what} while there are facts with it ({}; {remedy})", current.count);
            refuse("transact/schema", &current, message)?;
            let past = groups(after, Order::HistoryAevt, old.id, None)?;
            let remedy = "history counts too: purge them, or define another attribute";
            let message = format!("{what} while there were facts with it ({} in history; {remedy})", past.count);
            refuse("transact/schema", &past, message)
        }
        Demand::SingleValues => {
            let several = groups(after, Order::Aevt, old.id, Some(|x, y| x.e == y.e))?;
            let message = format!(
                ":db/cardinality cannot become one while entities have several values ({} have; retract all but one)",
                several.count
            );
            refuse("transact/schema", &several, message)
        }
        Demand::DistinctValues => {
            let shared = groups(after, Order::Avet, old.id, Some(|x, y| x.v == y.v))?;
            let message = format!(
                "it cannot become unique while entities share values ({} shared values; change all but one of each)",
                shared.count
            );
            refuse("transact/unique", &shared, message)
        }
    }
}

/// Facts of an attribute that stand in the way of a change: how many groups of them there are, and two facts of each of
/// the first few.
struct Groups {
    count: u64,
    examples: Vec<Row>,
}

impl Groups {
    fn show(&self, ident: Keyword) -> String {
        let shown = self.examples.iter().map(|row| format!("[{} {ident} {}]", row.e, shorten(&row.v)));
        let more = if self.count > MOST_SHOWN as u64 { " …" } else { "" };
        shown.collect::<Vec<_>>().join(" ") + more
    }
}

/// The runs of neighbouring rows of an attribute that are `alike`; without that, every row.
fn groups(after: &Snapshot, order: Order, a: AttrId, alike: Option<fn(&Row, &Row) -> bool>) -> Result<Groups> {
    let key = Key { a: Some(a), ..Key::default() };
    let (from, to) = (Cut::before(key.clone()), Cut::after(key));
    let mut found = Groups { count: 0, examples: Vec::new() };
    if alike.is_none() {
        found.count = after.index(order).count(Some(&from), Some(&to))?;
    }
    let mut cursor = after.index(order).cursor(Some(&from), Some(&to), Direction::Forward)?;
    let mut last: Option<Row> = None;
    let mut inside = false;
    while let Some(chunk) = cursor.next()? {
        for i in chunk.rows() {
            let row = chunk.columns.row(i);
            let Some(alike) = alike else {
                if found.examples.len() == MOST_SHOWN {
                    return Ok(found);
                }
                found.examples.push(row);
                continue;
            };
            let same = last.as_ref().is_some_and(|last| alike(last, &row));
            if same && !inside {
                if found.count < MOST_SHOWN as u64 {
                    found.examples.extend(last);
                    found.examples.push(row.clone());
                }
                found.count += 1;
            }
            inside = same;
            last = Some(row);
        }
    }
    Ok(found)
}
