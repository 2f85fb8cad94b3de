//! Transactions: from tx-data and a database to the database after it.
//!
//! A transaction goes through stages; each has a file of its own, and `docs/transactions.md` tells them as an
//! algorithm.
//!
//! - `read`: forms become operations.
//! - `call`: transaction functions give operations.
//! - `purge`: what is purged goes first; all other stages work on the database without it.
//! - `declare`: attributes that the tx-data defines are known from the start.
//! - `expand`: operations become facts, entity maps one for each value; `resolve`: idents and lookup refs become ids;
//!   `check`: values become what their attribute keeps.
//! - `upsert`: tempids find the entities that they mean; `allocate`: the others become new ids.
//! - `predicates`: values and entities are as the schema wants them, in the words of registered functions.
//! - `cascade`: retractions of entities become retractions of facts.
//! - `apply`: facts become the rows that begin and end; `composite`: tuples follow their members; `unique` and
//!   `declare` check what all that leads to.
//!
//! Nothing is written and nothing is read but the indexes: [`with`] on a database value is the same thing as what a
//! connection does before it commits.

mod allocate;
mod apply;
mod call;
mod cascade;
mod check;
mod claim;
mod composite;
mod declare;
mod expand;
mod fact;
mod function;
mod input;
mod load;
mod place;
mod predicates;
mod probe;
mod purge;
mod read;
mod record;
mod resolve;
mod unique;
mod upsert;

#[cfg(test)]
mod tests;

pub use function::{Callee, TxFunction};
pub use input::{EntityMap, Given, IntoTxData, Op, Subject, TempId, TxData};
pub use load::{LoadIds, LoadOptions, LoadReport, RawAttribute, RawDatom, load_onto};
pub(crate) use load::{Loader, Transactions};
pub(crate) use record::{Merge, TxRecord};

use std::sync::Arc;

use crate::datom::{AttrId, Columns, Datom, EntityId, Row, Value};
use crate::db::{Changes, Db, Purged};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::builtin;
use fact::{Context, Fact, META, What};

/// What a transaction did.
#[derive(Debug, Clone)]
pub struct TxReport {
    /// The database before.
    pub db_before: Db,
    /// The database after.
    pub db_after: Db,
    /// The facts that were asserted and retracted: first those about the transaction, then as the tx-data has them, a
    /// value that goes before the one that takes its place.
    pub tx_data: Vec<Datom>,
    /// What the tempids came to mean, in the order in which they were first named, `:db/current-tx` last.
    pub tempids: Vec<(TempId, EntityId)>,
    /// What was said of the transaction itself, its `:db/txInstant` included.
    pub tx_meta: Vec<(Keyword, Value)>,
    /// The datoms that were purged: of each fact its assertion, and its retraction if it had ended. They are in no index,
    /// no view and no log any more; `db_before` shows them as long as it is held.
    pub purged: Vec<Datom>,
}

impl TxReport {
    /// The entity that a tempid came to mean.
    pub fn resolve(&self, tempid: impl Into<TempId>) -> Option<EntityId> {
        let tempid = tempid.into();
        self.tempids.iter().find(|(name, _)| *name == tempid).map(|(_, id)| *id)
    }
}

/// A transaction that is made and not yet durable.
#[derive(Debug)]
pub(crate) struct Transacted {
    pub report: TxReport,
    pub changes: Changes,
    /// Attributes that got their numbers in it, defined or, with `:schema-flexibility :read`, only used.
    pub interned: Vec<(Keyword, AttrId)>,
    /// What was purged before all else.
    pub purged: Option<Purged>,
}

impl Transacted {
    /// What the log keeps.
    pub fn record(&self) -> TxRecord {
        TxRecord::of(&self.changes, &self.interned, self.purged.as_ref())
    }
}

/// The report of a transaction that is not made: what `db` would be after it. Nothing is written anywhere.
///
/// # Errors
/// `Syntax` or `Transact` for tx-data that is none or breaks a rule, naming the operation; `Argument` for a database that
/// is seen through a view or a filter; those of reading the store.
pub fn with(db: &Db, data: impl IntoTxData) -> Result<TxReport> {
    Ok(transact(db, data.into_tx_data()?, crate::world::now())?.report)
}

/// Makes a transaction on `db` at the time `now` (milliseconds since 1970-01-01T00:00Z).
///
/// # Errors
/// `Transact` or `Limit` for tx-data that breaks a rule, naming the operation; `Argument` for a database that is seen
/// through a view or a filter; those of reading the store. `db` is as it was.
pub(crate) fn transact(db: &Db, data: TxData, now: i64) -> Result<Transacted> {
    if !db.is_current() {
        let message = "only a database without view and filter can be transacted on";
        return Err(Error::new(ErrorKind::Argument, "transact/view", message));
    }
    let before = &**db.snapshot();
    let t = EntityId(before.basis_t.0 + 1);
    if !t.is_transaction() {
        return Err(Error::new(ErrorKind::Limit, "transact/entity-id", "all ids of transactions are given out"));
    }
    let tables = before.library.tables();
    let TxData { ops, meta, source, .. } = call::call(db, &tables, data)?;
    let context = Context { snapshot: before, source: &source, t: t.0 };
    let purged = purge::purge(context, &ops)?;
    let without = purged.as_ref().map(|purged| purge::without(before, purged)).transpose()?;
    let snapshot = without.as_ref().unwrap_or(before);
    let context = Context { snapshot, ..context };

    let declared = declare::declare(context, &ops)?;
    let expanded = expand::expand(context, declared, meta, ops)?;
    let expand::Expanded { mut facts, temps, max_named, schema: worked, interned, mut ensures } = expanded;
    let bindings = upsert::upsert(context, &worked, &facts, &temps)?;
    let allocated = allocate::allocate(context, &bindings, temps.names.len(), max_named, &mut facts)?;
    for ensure in &mut ensures {
        (ensure.e, ensure.spec) = (allocated.settle(ensure.e), allocated.settle(ensure.spec));
    }
    predicates::check_values(context, &worked, &tables, &facts)?;
    let instant = set_instant(context, &mut facts, now)?;
    let tx_meta = tx_meta(&worked, &facts);
    let mut sole = bindings.sole;
    let claims = claim::take(&worked, &mut facts);
    if !claims.is_empty() {
        // It tells of facts by their places.
        sole.clear();
    }
    if cascade::is_needed(&facts) {
        facts = cascade::cascade(context, &worked, facts)?;
        sole.clear();
    }
    let mut changes = apply::apply(context, &worked, &mut facts)?;
    let broken = purged.as_ref().map_or_else(Vec::new, |purged| purge::broken_composites(&worked, purged));
    composite::follow(context, &worked, &mut changes, &broken)?;
    claim::check(context, &worked, &claims, &changes)?;
    check::lengths(context, &worked, &facts, &changes)?;
    predicates::check_composites(context, &worked, &tables, &facts, &changes)?;
    unique::check(context, &worked, &facts, &sole, &changes)?;

    let named = temps.names.into_iter().zip(allocated.ids);
    let mut tempids: Vec<_> = named.filter_map(|(name, id)| Some((name?, EntityId(id)))).collect();
    tempids.push((TempId::CurrentTx, t));
    let conclusion = Conclusion { t, instant, max_eid: allocated.max_eid, interned, tempids, tx_meta, purged };
    let made = conclude(db, context, &worked, &facts, changes, conclusion)?;
    predicates::ensure(context, &tables, &made.report.db_after, &ensures)?;
    if let Some(predicate) = snapshot.library.tx_predicate() {
        let refused = |error| call::refused("transact/tx-pred", "the transaction predicate refuses".to_owned(), error);
        predicate(&made.report).map_err(refused)?;
    }
    Ok(made)
}

/// What is known of a transaction beside its changes.
struct Conclusion {
    t: EntityId,
    instant: i64,
    max_eid: EntityId,
    interned: Vec<(Keyword, AttrId)>,
    tempids: Vec<(TempId, EntityId)>,
    tx_meta: Vec<(Keyword, Value)>,
    purged: Option<Purged>,
}

/// The last stage: the schema and the database that the changes lead to, both checked.
fn conclude(
    db: &Db,
    context: Context<'_>,
    worked: &crate::schema::Schema,
    facts: &[Fact],
    changes: Vec<apply::Change>,
    conclusion: Conclusion,
) -> Result<Transacted> {
    let snapshot = context.snapshot;
    let Conclusion { t, instant, max_eid, mut interned, tempids, tx_meta, purged } = conclusion;
    declare::spare_system(context, facts, &changes)?;
    let defining = declare::defining(facts, &changes);
    let (mut tx_data, opened, closed) = part(changes, t);
    let schema = declare::derive(snapshot, &mut interned, &opened, &closed)?;
    let mut changes = Changes { t, instant, opened, closed, schema, max_eid };
    let mut after = snapshot.apply(&changes)?;
    // What was purged is no part of the database before here, but of what may be asked of a change.
    let context = Context { snapshot: db.snapshot(), ..context };
    // Before tuples are filled in: where the schema may not follow, they would stand beside values of another kind.
    declare::check(context, worked, &after, &changes.opened, &defining)?;
    let tuples = composite::backfill(&snapshot.schema, &after, t.0)?;
    if !tuples.is_empty() {
        tx_data.extend(tuples.iter().map(Db::datom));
        tuples.iter().for_each(|tuple| changes.opened.push_row(tuple));
        after = snapshot.apply(&changes)?;
        declare::check_backfilled(context, &after, &defining)?;
        predicates::check_backfilled(&snapshot.library.tables(), &after, &tuples)?;
    }
    let db_after = Db::new(Arc::new(after));
    let gone = purged.as_ref().map(purge::datoms).unwrap_or_default();
    let report = TxReport { db_before: db.clone(), db_after, tx_data, tempids, tx_meta, purged: gone };
    Ok(Transacted { report, changes, interned, purged })
}

/// The changes as datoms; the rows that begin, and those that end.
fn part(changes: Vec<apply::Change>, t: EntityId) -> (Vec<Datom>, Columns, Columns) {
    let added = changes.iter().filter(|change| change.added).count();
    let mut datoms = Vec::with_capacity(changes.len());
    let (mut opened, mut closed) = (Columns::with_room(added), Columns::with_room(changes.len() - added));
    for apply::Change { added, row: Row { e, a, v, tx, until }, .. } in changes {
        if added { &mut opened } else { &mut closed }.push(e, a, &v.as_ref(), tx, until);
        datoms.push(Datom { e: EntityId(e), a, v, tx: t, added });
    }
    (datoms, opened, closed)
}

/// The latest `:db/txInstant` that tx-data can ask for: every later transaction needs a later one.
const MAX_INSTANT: i64 = i64::MAX / 2;

/// Fills in when the transaction happens: what the tx-data says, else `now`, but after the transaction before.
fn set_instant(context: Context<'_>, facts: &mut [Fact], now: i64) -> Result<i64> {
    let last = context.snapshot.last_instant;
    let mut said = None;
    for fact in facts.iter().skip(1).filter(|fact| fact.a == builtin::TX_INSTANT) {
        let refuse =
            |message: String| context.locate(fact.op, Error::new(ErrorKind::Transact, "transact/tx-instant", message));
        match (&fact.v, &fact.what) {
            (Value::Instant(instant), What::Add) if fact.e == context.t => {
                if *instant > MAX_INSTANT {
                    return Err(refuse(format!(":db/txInstant is at most {MAX_INSTANT} ms, got {instant} ms")));
                }
                if *instant <= last {
                    let message = format!(
                        ":db/txInstant must lie after that of the last transaction, {}; got {}",
                        crate::edn::inst::format(last),
                        crate::edn::inst::format(*instant)
                    );
                    return Err(refuse(message));
                }
                said = Some(*instant);
            }
            _ => return Err(refuse(":db/txInstant can be asserted of the current transaction only".to_owned())),
        }
    }
    let instant = said.unwrap_or(now.max(last.saturating_add(1)));
    if let Some(first) = facts.first_mut() {
        first.v = Value::Instant(instant);
    }
    Ok(instant)
}

fn tx_meta(schema: &crate::schema::Schema, facts: &[Fact]) -> Vec<(Keyword, Value)> {
    let said = facts.iter().take_while(|fact| fact.op == META);
    said.filter_map(|fact| Some((schema.get(fact.a)?.ident, fact.v.clone()))).collect()
}
