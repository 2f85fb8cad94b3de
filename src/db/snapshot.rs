//! The state that one transaction leaves behind: index roots, schema, counters.

use std::sync::Arc;
use std::sync::atomic::{self, AtomicUsize};

use hashbrown::HashSet;
use serde::{Deserialize, Serialize};

use super::{KeptPieces, Origin, Promises};
use crate::datom::{AttrId, Columns, Cut, EntityId, Key, Order, Row, TX0, Value};
use crate::edn::Form;
use crate::error::Result;
use crate::index::{Direction, Edit, Edits, Index, IndexKind, NodeSource};
use crate::library::Library;
use crate::query::{Answers, KnownQueries};
use crate::schema::builtin::TX_INSTANT;
use crate::schema::{Schema, SchemaFlexibility, ValueCaps, system};

use super::edits::Changed;

/// What is fixed when a database is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Whether replaced and retracted facts are kept.
    pub keep_history: bool,
    /// Whether attributes must be declared.
    pub flexibility: SchemaFlexibility,
    /// Whether users see attributes as entities.
    pub attribute_refs: bool,
    /// How long values may be. The database keeps them with its config.
    #[serde(skip)]
    pub caps: ValueCaps,
}

/// All that a database value refers to.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub settings: Settings,
    pub schema: Arc<Schema>,
    /// The last transaction.
    pub basis_t: EntityId,
    /// The largest id ever allocated to an entity that is not a transaction; 0 for none.
    pub max_eid: EntityId,
    /// `:db/txInstant` of the last transaction; `i64::MIN` for none.
    pub last_instant: i64,
    /// The queries that this database and those before it were asked.
    pub queries: Arc<KnownQueries>,
    /// Since when the schema is as it is.
    pub promises: Arc<Promises>,
    /// Their answers, if they are to be kept.
    pub answers: Option<Answers>,
    /// What views of it and of those that it came of have put together.
    pub pieces: Arc<KeptPieces>,
    /// One for each order, in the sequence of [`Order::ALL`].
    pub indexes: [Arc<dyn Index>; 6],
    /// What transactions and queries can call. Not stored: it is that of the registry.
    pub library: Arc<Library>,
    /// The commit that it is or goes back to; `None` before the first.
    pub origin: Option<Origin>,
}

/// What one transaction does to a snapshot.
#[derive(Debug)]
pub(crate) struct Changes {
    /// The transaction.
    pub t: EntityId,
    /// Its `:db/txInstant`.
    pub instant: i64,
    /// Rows that begin: `tx` is the transaction (or an imported one), `until` open.
    pub opened: Columns,
    /// Rows that end, as they stand in the current indexes.
    pub closed: Columns,
    /// The schema after the transaction.
    pub schema: Arc<Schema>,
    /// The largest entity id after the transaction.
    pub max_eid: EntityId,
}

impl Snapshot {
    /// A database without facts but, where users see attributes as entities, those about the engine's own.
    pub fn empty(
        settings: Settings,
        kind: &dyn IndexKind,
        index_settings: &Form,
        nodes: &Arc<dyn NodeSource>,
    ) -> Result<Snapshot> {
        let empty = |order| kind.empty(order, index_settings, Arc::clone(nodes));
        let [eavt, aevt, avet, history_eavt, history_aevt, history_avet] = Order::ALL;
        let schema = Arc::new(Schema::begun(settings.flexibility, settings.attribute_refs));
        let nothing = Snapshot {
            settings,
            schema: Arc::clone(&schema),
            basis_t: EntityId(TX0),
            max_eid: EntityId(0),
            last_instant: i64::MIN,
            queries: Arc::default(),
            promises: Arc::default(),
            answers: None,
            pieces: Arc::new(KeptPieces::within(KeptPieces::DEFAULT_BYTES, EntityId(TX0))),
            indexes: [
                empty(eavt)?,
                empty(aevt)?,
                empty(avet)?,
                empty(history_eavt)?,
                empty(history_aevt)?,
                empty(history_avet)?,
            ],
            library: Arc::default(),
            origin: None,
        };
        if !settings.attribute_refs {
            return Ok(nothing);
        }
        nothing.apply(&Changes {
            t: EntityId(TX0),
            instant: 0,
            opened: system::rows(&schema).iter().collect(),
            closed: Columns::default(),
            schema,
            max_eid: EntityId(system::LAST_SYSTEM_ENTITY),
        })
    }

    /// The index of an order.
    pub fn index(&self, order: Order) -> &Arc<dyn Index> {
        &self.indexes[order as usize]
    }

    /// The last transaction at or before an instant; [`TX0`] when there is none.
    pub fn transaction_at(&self, instant: i64) -> Result<EntityId> {
        let from = Cut::before(Key { a: Some(TX_INSTANT), ..Key::default() });
        let to = Cut::after(Key { a: Some(TX_INSTANT), v: Some(Value::Instant(instant)), ..Key::default() });
        let mut cursor = self.index(Order::Avet).cursor(Some(&from), Some(&to), Direction::Reverse)?;
        let last = cursor.next()?;
        Ok(last.map_or(EntityId(TX0), |chunk| EntityId(chunk.columns.e.get(chunk.end - 1))))
    }

    /// The snapshot after a transaction. `self` stays as it is.
    pub fn apply(&self, changes: &Changes) -> Result<Snapshot> {
        let mut next = Snapshot {
            schema: Arc::clone(&changes.schema),
            basis_t: changes.t,
            max_eid: changes.max_eid,
            last_instant: changes.instant,
            ..self.clone()
        };
        let rows = Changed::new(&changes.closed, &changes.opened);
        next.touched(self, rows.attributes());
        if !Arc::ptr_eq(&self.schema, &changes.schema) {
            next.promises = Arc::default();
        }
        let newly_in_avet = self.newly_in_avet(&changes.schema);
        next.pieces = if newly_in_avet.is_empty() {
            self.pieces.after(self.basis_t, changes.t)
        } else {
            self.pieces.apart(changes.t)
        };
        let edited = |order: Order| -> Result<Option<Arc<dyn Index>>> {
            let backfill = match order {
                Order::Avet | Order::HistoryAvet => self.backfill(order, &newly_in_avet, changes)?,
                _ => Vec::new(),
            };
            let edits = if backfill.is_empty() {
                self.edits(order, changes, &rows, false)
            } else {
                let mut opened = if order.is_history() { Columns::default() } else { changes.opened.clone() };
                backfill.iter().for_each(|row| opened.push_row(row));
                self.edits(order, changes, &Changed::new(&changes.closed, &opened), true)
            };
            if edits.is_empty() { Ok(None) } else { self.index(order).apply(&edits).map(Some) }
        };
        for (order, index) in of_each_order(rows.len(), edited) {
            if let Some(index) = index? {
                next.indexes[order as usize] = index;
            }
        }
        Ok(next)
    }

    /// Answers that were found in the snapshot `before` are good for no more than what was not touched since.
    pub(super) fn touched(&mut self, before: &Snapshot, attributes: impl Iterator<Item = AttrId>) {
        if let Some(answers) = &mut self.answers {
            *answers = answers.after(attributes, !Arc::ptr_eq(&self.schema, &before.schema));
        }
    }

    /// Takes over what is not stored from an earlier state of the same database.
    pub fn succeed(&mut self, earlier: &Snapshot) {
        self.settings.caps = earlier.settings.caps;
        self.queries = Arc::clone(&earlier.queries);
        self.answers = earlier.answers.as_ref().map(Answers::anew);
        self.pieces = earlier.pieces.apart(self.basis_t);
        self.library = Arc::clone(&earlier.library);
    }

    /// What the rows of a transaction do to the index of an order. `backfilled`: in a history order, those that begin are
    /// rows of before that come into it.
    fn edits(&self, order: Order, changes: &Changes, rows: &Changed, backfilled: bool) -> Edits {
        let (before, after) = (&*self.schema, &*changes.schema);
        // Rows come from before and after a change of the schema, so both must agree on the kind of the values.
        let of_one_kind = |a: AttrId| {
            let is_one = |schema: &Schema| schema.get(a).map(|attribute| attribute.has_one_kind());
            is_one(before).unwrap_or(true) && is_one(after).unwrap_or(false)
        };
        if order.is_history() && changes.closed.is_empty() && !backfilled {
            return Edits::default();
        }
        if order.is_history() {
            let is_kept = |a: AttrId, is_ending: bool| match is_ending {
                true => {
                    let is_in = belongs(order, after, a) && after.get(a).is_none_or(|attribute| !attribute.no_history);
                    self.settings.keep_history && is_in
                }
                false => backfilled,
            };
            return rows.edits(order, (Edit::Insert, Some(changes.t.0)), is_kept, of_one_kind);
        }
        // Rows leave the indexes that they are in, which the schema before tells.
        let stands = |a: AttrId, is_ending: bool| belongs(order, if is_ending { before } else { after }, a);
        rows.edits(order, (Edit::Remove, None), stands, of_one_kind)
    }

    /// The attributes whose facts come into AVET with the new schema.
    fn newly_in_avet(&self, schema: &Arc<Schema>) -> Vec<AttrId> {
        if Arc::ptr_eq(&self.schema, schema) {
            return Vec::new();
        }
        let was_out = |a: AttrId| self.schema.get(a).is_some_and(|old| !old.in_avet());
        schema.attributes().into_iter().filter(|new| new.in_avet() && was_out(new.id)).map(|new| new.id).collect()
    }

    /// The rows of those attributes that were there before the transaction and stay.
    fn backfill(&self, order: Order, attributes: &[AttrId], changes: &Changes) -> Result<Vec<Row>> {
        let source = if order.is_history() { Order::HistoryAevt } else { Order::Aevt };
        let mut rows = Vec::new();
        for a in attributes {
            let key = Key { a: Some(*a), ..Key::default() };
            let (from, to) = (Cut::before(key.clone()), Cut::after(key));
            let mut cursor = self.index(source).cursor(Some(&from), Some(&to), Direction::Forward)?;
            while let Some(chunk) = cursor.next()? {
                rows.extend(chunk.rows().map(|i| chunk.columns.row(i)));
            }
        }
        if !rows.is_empty() && !order.is_history() {
            let closed = (0..changes.closed.len()).map(|i| changes.closed.row(i));
            let closed: HashSet<(u64, AttrId, Value)> = closed.map(|row| (row.e, row.a, row.v)).collect();
            rows.retain(|row| !closed.contains(&(row.e, row.a, row.v.clone())));
        }
        Ok(rows)
    }
}

/// Rows of a transaction from which on its orders are shared out to two threads: the work of some hundred microseconds.
const SHARED_FROM: usize = 1000;

/// What `edited` gives for each order, for a transaction of so many rows.
fn of_each_order<T: Send>(rows: usize, edited: impl Fn(Order) -> T + Sync) -> Vec<(Order, T)> {
    if rows < SHARED_FROM {
        return Order::ALL.into_iter().map(|order| (order, edited(order))).collect();
    }
    // Whoever is free takes the next. AVET first: new facts are scattered over it, but come last in the others.
    let [eavt, aevt, avet, history_eavt, history_aevt, history_avet] = Order::ALL;
    let orders = [avet, aevt, eavt, history_avet, history_aevt, history_eavt];
    let next = AtomicUsize::new(0);
    let take = || {
        let mine = std::iter::from_fn(|| orders.get(next.fetch_add(1, atomic::Ordering::Relaxed)));
        mine.map(|order| (*order, edited(*order))).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(take);
        let mut all = take();
        all.append(&mut other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        all
    })
}

/// The removal of rows that stand in the index of `order`.
pub(super) fn removals<'a>(order: Order, rows: impl Iterator<Item = &'a Row>, schema: &Schema) -> Edits {
    let of_one_kind = |a: AttrId| schema.get(a).is_some_and(|attribute| attribute.has_one_kind());
    Changed::new(&rows.collect(), &Columns::default()).edits(order, (Edit::Remove, None), |_, _| true, of_one_kind)
}

/// Whether rows of the attribute stand in the order: all do in EAVT and AEVT, some in AVET.
pub(super) fn belongs(order: Order, schema: &Schema, a: AttrId) -> bool {
    match order {
        Order::Avet | Order::HistoryAvet => schema.get(a).is_some_and(|attribute| attribute.in_avet()),
        _ => true,
    }
}
