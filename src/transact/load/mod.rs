//! Load: datoms of another database, with their transactions and retractions, become transactions of this one.
//!
//! The transactions of the source are made again one after the other, from facts that are known instead of tx-data, by
//! the same last stages (`apply`, `composite`, `unique`, `declare`). So everything that holds of a database holds after a
//! load, in the past too: intervals of a fact are disjoint, attributes of one value have one at any time, unique values
//! are unique, and the planner may build on it.

mod idents;
mod ids;
mod order;
mod raw;

pub(crate) use order::{Said, Transactions};
pub use raw::{RawAttribute, RawDatom};

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fact::{Context, Fact, META, What};
use super::input::TempId;
use super::place::Source;
use super::{Conclusion, MAX_INSTANT, Transacted, apply, check, composite, conclude, resolve, tx_meta, unique};
use crate::datom::{AttrId, EntityId, Key, TX0, Value};
use crate::db::{Db, Snapshot};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Attribute, Schema, SchemaFlexibility, TupleShape, ValueType, builtin, change, system};
use idents::Idents;
use ids::Ids;

/// How datoms are loaded.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// What becomes of ids.
    pub ids: LoadIds,
    /// The datoms come in the order of their transactions, so that they need not be gathered and sorted: a load of any
    /// size takes the memory of one batch.
    pub in_order: bool,
}

/// What a load does with the ids of entities and transactions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoadIds {
    /// They stay as they are. Transactions must come after those of the database.
    #[default]
    Keep,
    /// Entities and transactions get ids of the database, in the order in which they are first spoken of; refs follow.
    /// An entity whose `:db/ident` the database has is that entity.
    Map,
}

/// What a load did.
#[derive(Debug)]
pub struct LoadReport {
    /// Transactions that were made.
    pub transactions: u64,
    /// Facts that began, without the `:db/txInstant` of transactions.
    pub asserted: u64,
    /// Facts that ended.
    pub retracted: u64,
    /// Of those, facts that the next value of an attribute of cardinality one ended, without a retraction in the source.
    pub replaced: u64,
    /// Assertions of what held already, left out.
    pub repeated: u64,
    /// Retractions of what did not hold, left out.
    pub orphans: u64,
    /// Values of composite tuples, which follow from their members instead.
    pub derived: u64,
    /// Datoms about the engine's own entities (idents in the namespaces `db` and `db.*`), left out.
    pub reserved: u64,
    /// Transactions whose `:db/txInstant` was missing or not later than the one before, and was set a millisecond after it.
    pub instants: u64,
    ids: Ids,
}

impl LoadReport {
    /// What an entity or transaction of the source is here; `None` for one that no datom speaks of.
    pub fn resolve(&self, source: EntityId) -> Option<EntityId> {
        self.ids.find(source)
    }
}

/// What `db` would be after a load: see [`Connection::load`](crate::Connection::load). Nothing is written anywhere.
///
/// # Errors
/// As there.
pub fn load_onto(
    db: &Db,
    datoms: impl IntoIterator<Item = Result<RawDatom>>,
    options: &LoadOptions,
) -> Result<(Db, LoadReport)> {
    let mut loader = Loader::new(options);
    let mut db = db.clone();
    for said in Transactions::new(datoms.into_iter(), options)? {
        if let Some(made) = loader.make(&db, said?)? {
            db = made.report.db_after;
        }
    }
    Ok((db, loader.report()))
}

/// Makes the transactions of a source.
#[derive(Debug)]
pub(crate) struct Loader {
    idents: Idents,
    report: LoadReport,
}

/// The schema that a transaction works with, and the attributes that it brings.
type Declared = (Arc<Schema>, Vec<(Keyword, AttrId)>);

/// A datom whose attribute is known by name.
struct Named {
    e: EntityId,
    a: Keyword,
    v: Value,
    added: bool,
}

impl Loader {
    pub fn new(options: &LoadOptions) -> Loader {
        let report = LoadReport {
            transactions: 0,
            asserted: 0,
            retracted: 0,
            replaced: 0,
            repeated: 0,
            orphans: 0,
            derived: 0,
            reserved: 0,
            instants: 0,
            ids: Ids::new(options.ids),
        };
        Loader { idents: Idents::new(), report }
    }

    pub fn report(self) -> LoadReport {
        self.report
    }

    /// Makes one transaction on `db`; `None` where the source says nothing in it but of the engine's own entities.
    ///
    /// # Errors
    /// `Transact` or `Limit` for a transaction that breaks a rule, naming it; `Argument` for a database that is seen
    /// through a view or a filter; those of reading the store.
    pub fn make(&mut self, db: &Db, (source, datoms): Said) -> Result<Option<Transacted>> {
        if !db.is_current() {
            let message = "only a database without view and filter can be loaded into";
            return Err(Error::new(ErrorKind::Argument, "transact/view", message));
        }
        self.fold(db, source, datoms).map_err(|error| error.context(format_args!("transaction {source} of the load")))
    }

    fn fold(&mut self, db: &Db, source: u64, datoms: Vec<RawDatom>) -> Result<Option<Transacted>> {
        let snapshot = &**db.snapshot();
        self.idents.learn(&datoms);
        let mut named = self.named(snapshot, datoms)?;
        // A database with attribute refs begins with its engine's entities, and with when that was.
        if named.iter().all(|datom| datom.e.0 == TX0) {
            return Ok(None);
        }
        let t = self.report.ids.begin(snapshot, source)?;
        self.claim(snapshot, &named)?;
        let instant = self.instant(snapshot, source, &mut named)?;
        // What is said of the transaction itself comes first; what goes comes before what takes its place.
        named.sort_by_key(|datom| (datom.e.0 != source, datom.added));

        let (mut worked, mut interned) = self.declare(snapshot, &named)?;
        let mut facts = vec![Fact::known(t.0, builtin::TX_INSTANT, META, Value::Instant(instant), What::Add)];
        for (n, datom) in named.into_iter().enumerate() {
            let attribute = known(&mut worked, &mut interned, datom.a)?;
            if matches!(attribute.tuple, Some(TupleShape::Composite(_))) {
                self.report.derived += 1;
                continue;
            }
            let e = self.report.ids.entity(datom.e)?.0;
            // Without history the instant is forgotten with the transactions, and not what else is a fact of the source.
            let op = if e == t.0 && snapshot.settings.keep_history { META } else { n as u32 };
            let what = if datom.added { What::Add } else { What::Retract };
            let v =
                self.value(&attribute, datom.v).map_err(|error| error.context(format_args!("entity {}", datom.e)))?;
            facts.push(Fact::known(e, attribute.id, op, v, what));
        }

        let context = Context { snapshot, source: &Source::default(), t: t.0 };
        let tx_meta = tx_meta(&worked, &facts);
        let mut changes = apply::apply(context, &worked, &mut facts)?;
        self.count(&facts, &changes);
        composite::follow(context, &worked, &mut changes, &[])?;
        check::lengths(context, &worked, &facts, &changes)?;
        if !snapshot.settings.keep_history {
            changes.retain(|change| facts[change.fact as usize].op != META);
        }
        unique::check(context, &worked, &facts, &[], &changes)?;
        let (max_eid, tempids) = (self.report.ids.max_eid(), vec![(TempId::CurrentTx, t)]);
        conclude(
            db,
            context,
            &worked,
            &facts,
            changes,
            Conclusion { t, instant, max_eid, interned, tempids, tx_meta, purged: None },
        )
        .map(Some)
    }

    /// The datoms with the names of their attributes, without those about the engine's own entities.
    fn named(&mut self, snapshot: &Snapshot, datoms: Vec<RawDatom>) -> Result<Vec<Named>> {
        let mut named = Vec::with_capacity(datoms.len());
        for datom in datoms {
            if self.idents.is_reserved(datom.e) {
                self.report.reserved += 1;
                continue;
            }
            let a = self.idents.attribute(snapshot, datom.a)?;
            named.push(Named { e: datom.e, a, v: datom.v, added: datom.added });
        }
        Ok(named)
    }

    /// Entities with an ident that the database has are those of the database.
    fn claim(&mut self, snapshot: &Snapshot, named: &[Named]) -> Result<()> {
        for datom in named.iter().filter(|datom| datom.added && datom.a.as_str() == "db/ident") {
            let key = Key { a: Some(builtin::IDENT), v: Some(datom.v.clone()), ..Key::default() };
            if let Some(holder) = resolve::holder(snapshot, key)? {
                self.report.ids.claim(datom.e, holder);
            }
        }
        Ok(())
    }

    /// When the transaction happened: what the source says, but after the one before. A source that does not say has
    /// its transactions a millisecond apart, from the beginning of 1970 in a new database.
    fn instant(&mut self, snapshot: &Snapshot, source: u64, named: &mut Vec<Named>) -> Result<i64> {
        let mut said = None;
        let mut wrong = None;
        named.retain(|datom| {
            if datom.a.as_str() != "db/txInstant" {
                return true;
            }
            match (&datom.v, datom.added) {
                (Value::Instant(instant), true) if datom.e.0 == source || datom.e.0 == TX0 => said = Some(*instant),
                _ => wrong = Some(datom.e),
            }
            false
        });
        if let Some(e) = wrong {
            let message =
                format!(":db/txInstant is an instant asserted of its own transaction; entity {e} has another");
            return Err(Error::new(ErrorKind::Transact, "transact/tx-instant", message));
        }
        let first =
            if snapshot.last_instant == i64::MIN { None } else { Some(snapshot.last_instant.saturating_add(1)) };
        let instant = match (said, first) {
            (Some(said), first) if first.is_none_or(|first| first <= said) => said,
            (_, first) => {
                self.report.instants += 1;
                first.unwrap_or(0)
            }
        };
        if instant > MAX_INSTANT {
            let message = format!(":db/txInstant is at most {MAX_INSTANT} ms, got {instant} ms");
            return Err(Error::new(ErrorKind::Transact, "transact/tx-instant", message));
        }
        Ok(instant)
    }

    /// The schema that the transaction works with: attributes that it defines are known from the start.
    fn declare(&self, snapshot: &Snapshot, named: &[Named]) -> Result<Declared> {
        let mut schema = Arc::clone(&snapshot.schema);
        let mut drafts: BTreeMap<u64, Vec<(AttrId, Value)>> = BTreeMap::new();
        for datom in named.iter().filter(|datom| datom.added && change::is_reserved(datom.a)) {
            if let Some(part) = schema.attribute(datom.a).filter(|part| change::is_definition(part.id)) {
                let v = self.by_name(part, datom.v.clone());
                drafts.entry(datom.e.0).or_default().push((part.id, v));
            }
        }
        let mut interned = Vec::new();
        for (_, datoms) in drafts {
            let Some(ident) = change::ident_of(&datoms).filter(|ident| schema.attribute(*ident).is_none()) else {
                continue;
            };
            if let Some(attribute) = change::define(schema.next_id(), 0, &datoms, schema.flexibility())? {
                interned.push((ident, attribute.id));
                Arc::make_mut(&mut schema).put(attribute);
            }
        }
        Ok((schema, interned))
    }

    /// The value as the attribute keeps it, with the ids of this database.
    fn value(&mut self, attribute: &Attribute, v: Value) -> Result<Value> {
        let v = self.by_name(attribute, v);
        if let (true, Value::Keyword(word)) = (attribute.is_ref(), &v) {
            // Only a word of a definition is named so.
            let entity = system::entity_of(*word);
            return entity.map(Value::Ref).ok_or_else(|| check::mismatch(attribute, ValueType::Ref, &v));
        }
        let v = check::convert(attribute, v)?;
        match v {
            Value::Ref(id) => self.report.ids.entity(id).map(Value::Ref),
            Value::Tuple(members) if members.iter().any(|member| matches!(member, Value::Ref(_))) => {
                let member = |member: &Value| match member {
                    Value::Ref(id) => self.report.ids.entity(*id).map(Value::Ref),
                    other => Ok(other.clone()),
                };
                Ok(Value::Tuple(members.iter().map(member).collect::<Result<Vec<_>>>()?.into()))
            }
            other => Ok(other),
        }
    }

    /// Where attributes are entities, so are the words of a definition: they go from database to database by name.
    fn by_name(&self, attribute: &Attribute, v: Value) -> Value {
        let id = match v {
            Value::Long(n) => u64::try_from(n).ok(),
            Value::Ref(id) => Some(id.0),
            _ => None,
        };
        let is_word = attribute.is_builtin()
            && (attribute.value_type == Some(ValueType::Keyword) || system::is_enumerated(attribute.id));
        let word = id.filter(|_| is_word).and_then(|id| self.idents.of(EntityId(id)));
        word.map_or(v, Value::Keyword)
    }

    fn count(&mut self, facts: &[Fact], changes: &[apply::Change]) {
        let asserts = |fact: &Fact| matches!(fact.what, What::Add);
        let (mut opened, mut closed, mut replaced) = (0, 0, 0);
        for change in changes.iter().filter(|change| change.fact > 0) {
            match (change.added, asserts(&facts[change.fact as usize])) {
                (true, _) => opened += 1,
                (false, true) => replaced += 1,
                (false, false) => closed += 1,
            }
        }
        let assertions = facts.iter().skip(1).filter(|fact| asserts(fact)).count() as u64;
        let retractions = facts.len() as u64 - 1 - assertions;
        let report = &mut self.report;
        report.transactions += 1;
        report.asserted += opened;
        report.retracted += closed + replaced;
        report.replaced += replaced;
        report.repeated += assertions.saturating_sub(opened);
        report.orphans += retractions.saturating_sub(closed);
    }
}

/// The attribute of that name; where attributes need not be declared it gets its number.
fn known(schema: &mut Arc<Schema>, interned: &mut Vec<(Keyword, AttrId)>, ident: Keyword) -> Result<Arc<Attribute>> {
    if schema.attribute(ident).is_none() && schema.flexibility() == SchemaFlexibility::Read {
        interned.push((ident, Arc::make_mut(schema).intern(ident)));
    }
    schema.attribute(ident).cloned().ok_or_else(|| {
        let hint = schema.nearest(ident).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let message = format!(
            "the attribute {ident} is not defined by what was loaded before, nor by the database; transact its \
             definition first{hint}"
        );
        Error::new(ErrorKind::Transact, "attribute/unknown", message)
    })
}
