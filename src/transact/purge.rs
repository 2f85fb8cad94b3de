//! Purge: which rows the tx-data wants gone from the indexes, history and the log included.
//!
//! Purges come before all else in the transaction, wherever they stand in it: they see the database before, and the
//! other operations see it without what was purged.

use hashbrown::{HashMap, HashSet};

use crate::datom::{AttrId, Columns, Cut, Datom, EntityId, Key, OPEN, Order, Row, TX0, Value};
use crate::db::{EntityRef, Purged, Snapshot};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Direction;
use crate::schema::{Attribute, Schema, TupleShape, builtin, system};

use super::check::convert;
use super::composite;
use super::fact::Context;
use super::input::{Given, Op, Subject};
use super::resolve::MAX_LOOKUPS;
use super::{declare, expand};

/// What the operations purge; `None` if none does.
pub(super) fn purge(context: Context<'_>, ops: &[Op]) -> Result<Option<Purged>> {
    if !ops.iter().any(is_purge) {
        return Ok(None);
    }
    let mut purging = Purging {
        snapshot: context.snapshot,
        t: context.t,
        purged: Purged::default(),
        whole: HashSet::new(),
        before: None,
    };
    for (n, op) in ops.iter().enumerate() {
        purging.op(op).map_err(|error| context.locate(n as u32, error))?;
    }
    purging.composites()?;
    purging.history()?;
    let mut purged = purging.purged;
    purged.rows.sort_unstable_by(|x, y| Order::HistoryEavt.compare(x, y));
    purged.rows.dedup_by(|x, y| Order::HistoryEavt.compare(x, y).is_eq());
    purged.entities.extend(purged.rows.iter().map(|row| row.e));
    purged.entities.sort_unstable();
    purged.entities.dedup();
    purged.quiet.sort_unstable();
    purged.quiet.dedup();
    Ok(Some(purged))
}

/// The snapshot that the rest of the transaction is made on.
pub(super) fn without(snapshot: &Snapshot, purged: &Purged) -> Result<Snapshot> {
    let schema = declare::derive(snapshot, &mut Vec::new(), &Columns::default(), &purged.current().iter().collect())?;
    snapshot.purge(purged, schema)
}

/// The datoms that vanish: an assertion for each row, and a retraction for each that had ended.
pub(super) fn datoms(purged: &Purged) -> Vec<Datom> {
    let mut datoms = Vec::with_capacity(purged.rows.len());
    for row in &purged.rows {
        let asserted = Datom { e: EntityId(row.e), a: row.a, v: row.v.clone(), tx: EntityId(row.tx), added: true };
        let ended = (row.until != OPEN).then(|| Datom { tx: EntityId(row.until), added: false, ..asserted.clone() });
        datoms.push(asserted);
        datoms.extend(ended);
    }
    datoms
}

/// The composite tuples that held until the purge: they may have to be put together again.
pub(super) fn broken_composites(schema: &Schema, purged: &Purged) -> Vec<(u64, AttrId)> {
    let is_composite =
        |a| schema.get(a).is_some_and(|attribute| matches!(attribute.tuple, Some(TupleShape::Composite(_))));
    let broken = purged.rows.iter().filter(|row| row.until == OPEN && is_composite(row.a));
    broken.map(|row| (row.e, row.a)).collect()
}

fn is_purge(op: &Op) -> bool {
    matches!(op, Op::Purge { .. } | Op::PurgeAttribute { .. } | Op::PurgeEntity { .. } | Op::PurgeHistoryBefore { .. })
}

struct Purging<'a> {
    snapshot: &'a Snapshot,
    /// The id of the transaction.
    t: u64,
    purged: Purged,
    /// Entities of which everything is purged.
    whole: HashSet<u64>,
    /// The date before which all that had ended is purged.
    before: Option<i64>,
}

impl Purging<'_> {
    fn op(&mut self, op: &Op) -> Result<()> {
        if is_purge(op) && !self.snapshot.settings.keep_history {
            return Err(refused(
                "a purge wants a database with history; this one has :keep-history? false: retract, flush and collect \
                 garbage instead"
                    .to_owned(),
            ));
        }
        match op {
            Op::Purge { e, a, v } => {
                let e = self.entity(e, 0)?;
                let attribute = self.attribute(*a)?;
                let v = self.value(&attribute, v, 0)?;
                self.quiet(&attribute);
                let mut rows = self.of(e, Some(attribute.id))?;
                rows.retain(|row| row.v == v);
                self.add(e, rows)
            }
            Op::PurgeAttribute { e, a } => {
                let e = self.entity(e, 0)?;
                let attribute = self.attribute(*a)?;
                self.quiet(&attribute);
                let rows = self.of(e, Some(attribute.id))?;
                let components = self.components(&rows);
                self.add(e, rows)?;
                self.entities(components)
            }
            Op::PurgeEntity { e } => {
                let e = self.entity(e, 0)?;
                self.entities(vec![e])
            }
            Op::PurgeHistoryBefore { instant } => {
                self.before = self.before.max(Some(*instant));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What had ended before the date. A value that ended may hold again, so this breaks no composite tuple: those made
    /// of what ended had ended too.
    fn history(&mut self) -> Result<()> {
        let Some(instant) = self.before else { return Ok(()) };
        let last = self.snapshot.transaction_at(instant.saturating_sub(1))?;
        let mut cursor = self.snapshot.index(Order::HistoryEavt).cursor(None, None, Direction::Forward)?;
        while let Some(chunk) = cursor.next()? {
            let ended = chunk.rows().filter(|i| chunk.columns.until.get(*i) <= last.0);
            self.purged.rows.extend(ended.map(|i| chunk.columns.row(i)));
        }
        Ok(())
    }

    /// Purges entities with all refs to them, and their components, those of the past included.
    fn entities(&mut self, mut pending: Vec<u64>) -> Result<()> {
        let schema = &self.snapshot.schema;
        let refs: Vec<AttrId> = schema.iter().filter(|a| a.is_ref()).map(|a| a.id).collect();
        while let Some(e) = pending.pop() {
            if !self.whole.insert(e) {
                continue;
            }
            let rows = self.of(e, None)?;
            pending.extend(self.components(&rows));
            self.add(e, rows)?;
            for a in &refs {
                let key = Key { a: Some(*a), v: Some(Value::Ref(EntityId(e))), ..Key::default() };
                for order in [Order::Avet, Order::HistoryAvet] {
                    self.purged.rows.extend(scan(self.snapshot, order, &key)?);
                }
            }
        }
        let quiet = self.snapshot.schema.iter().filter(|a| a.no_history).map(|a| a.id);
        self.purged.quiet.extend(quiet);
        Ok(())
    }

    fn components(&self, rows: &[Row]) -> Vec<u64> {
        let is_component = |a: AttrId| self.snapshot.schema.get(a).is_some_and(|attribute| attribute.component);
        let targets = rows.iter().filter(|row| is_component(row.a));
        targets.filter_map(|row| if let Value::Ref(id) = row.v { Some(id.0) } else { None }).collect()
    }

    fn add(&mut self, e: u64, rows: Vec<Row>) -> Result<()> {
        if self.snapshot.settings.attribute_refs && e <= system::LAST_SYSTEM_ENTITY {
            let message = format!("{e} is an entity of the engine's own and cannot be purged");
            return Err(Error::new(ErrorKind::Transact, "transact/system-entity", message));
        }
        if rows.iter().any(|row| row.a == builtin::TX_INSTANT) {
            let message = format!("{e} is a transaction: its :db/txInstant cannot be purged");
            return Err(Error::new(ErrorKind::Transact, "transact/tx-instant", message));
        }
        self.purged.entities.push(e);
        self.purged.rows.extend(rows);
        Ok(())
    }

    fn quiet(&mut self, attribute: &Attribute) {
        self.purged.quiet.extend(attribute.no_history.then_some(attribute.id));
    }

    /// The rows of an entity, or of one attribute of it: current and closed.
    fn of(&self, e: u64, a: Option<AttrId>) -> Result<Vec<Row>> {
        let key = Key { e: Some(e), a, ..Key::default() };
        let mut rows = scan(self.snapshot, Order::Eavt, &key)?;
        rows.append(&mut scan(self.snapshot, Order::HistoryEavt, &key)?);
        Ok(rows)
    }

    /// A composite tuple holds what its members are, so tuples with a purged member are purged.
    fn composites(&mut self) -> Result<()> {
        let schema = &self.snapshot.schema;
        let mut by_member: HashMap<AttrId, Vec<(AttrId, usize)>> = HashMap::new();
        for composite in schema.iter() {
            let Some(TupleShape::Composite(members)) = &composite.tuple else { continue };
            for (place, ident) in members.iter().enumerate() {
                let member = schema.attribute(*ident).map(|member| member.id);
                member.into_iter().for_each(|a| by_member.entry(a).or_default().push((composite.id, place)));
            }
        }
        if by_member.is_empty() {
            return Ok(());
        }
        let mut gone: HashMap<(u64, AttrId), Vec<(usize, Value)>> = HashMap::new();
        for row in self.purged.rows.iter().filter(|row| !self.whole.contains(&row.e)) {
            for (composite, place) in by_member.get(&row.a).into_iter().flatten() {
                gone.entry((row.e, *composite)).or_default().push((*place, row.v.clone()));
            }
        }
        for ((e, composite), members) in gone {
            let mut rows = self.of(e, Some(composite))?;
            rows.retain(|row| match &row.v {
                Value::Tuple(held) => members.iter().any(|(place, v)| held.get(*place) == Some(v)),
                _ => false,
            });
            self.purged.rows.append(&mut rows);
        }
        Ok(())
    }

    /// The entity that is meant, which may be one of the past. `depth` counts lookup refs in lookup refs.
    fn entity(&self, subject: &Subject, depth: usize) -> Result<u64> {
        let entity = match subject {
            Subject::Entity(entity) => entity,
            Subject::Temp(tempid) => {
                return Err(refused(format!("a purge names an entity that exists; {tempid} is a tempid")));
            }
        };
        let (a, v) = match entity {
            EntityRef::Id(id) => {
                let max = if id.is_transaction() { self.t - 1 } else { self.snapshot.max_eid.0 };
                let began = id.0 == TX0 && !self.snapshot.settings.attribute_refs;
                if id.0 == 0 || id.0 > max || began {
                    return Err(refused(format!("cannot find the entity {id} to purge: there never was one")));
                }
                return Ok(id.0);
            }
            EntityRef::Ident(ident) => (builtin::IDENT, Value::Keyword(*ident)),
            EntityRef::Lookup(ident, value) => {
                let attribute = self.attribute(*ident)?;
                if attribute.unique.is_none() {
                    let message = format!("a lookup ref wants an attribute that is :db/unique; {ident} is not");
                    return Err(Error::new(ErrorKind::Transact, "lookup-ref/unique", message));
                }
                if depth > MAX_LOOKUPS {
                    return Err(refused(format!("lookup refs are nested deeper than {MAX_LOOKUPS}")));
                }
                (attribute.id, self.value(&attribute, &Given::Value(value.clone()), depth + 1)?)
            }
        };
        let key = Key { a: Some(a), v: Some(v), ..Key::default() };
        if let Some(row) = scan(self.snapshot, Order::Avet, &key)?.first() {
            return Ok(row.e);
        }
        let mut past: Vec<u64> = scan(self.snapshot, Order::HistoryAvet, &key)?.iter().map(|row| row.e).collect();
        past.sort_unstable();
        past.dedup();
        match past.as_slice() {
            [e] => Ok(*e),
            [] => Err(refused(format!("cannot find the entity {entity:?} to purge, in history neither"))),
            several => {
                let message =
                    format!("{entity:?} was several entities in the past: purge one of them by id: {several:?}");
                Err(refused(message))
            }
        }
    }

    fn attribute(&self, ident: Keyword) -> Result<std::sync::Arc<Attribute>> {
        self.snapshot.schema.attribute(ident).cloned().ok_or_else(|| expand::unknown(&self.snapshot.schema, ident))
    }

    fn value(&self, attribute: &Attribute, given: &Given, depth: usize) -> Result<Value> {
        let subject = match given {
            Given::Value(value) if !attribute.is_ref() => {
                return match &attribute.tuple {
                    Some(TupleShape::Composite(_)) => composite::key(&self.snapshot.schema, attribute, value),
                    _ => convert(attribute, expand::function_name(attribute, value.clone())),
                };
            }
            Given::Entity(subject) if attribute.is_ref() => subject.clone(),
            Given::Value(value) => match value {
                Value::Ref(id) => Subject::from(*id),
                Value::Long(n) => Subject::from(*n),
                Value::Keyword(ident) => Subject::from(*ident),
                Value::Tuple(members) => match &**members {
                    [Value::Keyword(a), v] => Subject::Entity(EntityRef::Lookup(*a, v.clone())),
                    _ => return Err(refused(format!("{}: an entity was wanted as value", attribute.ident))),
                },
                _ => return Err(refused(format!("{}: an entity was wanted as value", attribute.ident))),
            },
            _ => return Err(refused(format!("{}: one value was wanted", attribute.ident))),
        };
        Ok(Value::Ref(EntityId(self.entity(&subject, depth)?)))
    }
}

fn scan(snapshot: &Snapshot, order: Order, key: &Key) -> Result<Vec<Row>> {
    let (from, to) = (Cut::before(key.clone()), Cut::after(key.clone()));
    let mut cursor = snapshot.index(order).cursor(Some(&from), Some(&to), Direction::Forward)?;
    let mut rows = Vec::new();
    while let Some(chunk) = cursor.next()? {
        rows.extend(chunk.rows().map(|i| chunk.columns.row(i)));
    }
    Ok(rows)
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::Transact, "transact/purge", message)
}
