//! The state that one transaction leaves behind: index roots, schema, counters.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};

use crate::datom::{AttrId, Columns, Cut, EntityId, Key, OPEN, Order, Row, TX0, Value};
use crate::edn::Form;
use crate::error::Result;
use crate::index::{Direction, Edit, Edits, Index, IndexKind, NodeSource};
use crate::library::Library;
use crate::query::{Answers, KnownQueries};
use crate::schema::builtin::TX_INSTANT;
use crate::schema::{Attribute, Schema, SchemaFlexibility, ValueCaps, ValueType, system};

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
    /// Their answers, if they are to be kept.
    pub answers: Option<Answers>,
    /// One for each order, in the sequence of [`Order::ALL`].
    pub indexes: [Arc<dyn Index>; 6],
    /// What transactions and queries can call. Not stored: it is that of the registry.
    pub library: Arc<Library>,
}

/// What one transaction does to a snapshot.
#[derive(Debug)]
pub(crate) struct Changes {
    /// The transaction.
    pub t: EntityId,
    /// Its `:db/txInstant`.
    pub instant: i64,
    /// Rows that begin: `tx` is the transaction (or an imported one), `until` open.
    pub opened: Vec<Row>,
    /// Rows that end, as they stand in the current indexes.
    pub closed: Vec<Row>,
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
            answers: None,
            indexes: [
                empty(eavt)?,
                empty(aevt)?,
                empty(avet)?,
                empty(history_eavt)?,
                empty(history_aevt)?,
                empty(history_avet)?,
            ],
            library: Arc::default(),
        };
        if !settings.attribute_refs {
            return Ok(nothing);
        }
        nothing.apply(&Changes {
            t: EntityId(TX0),
            instant: 0,
            opened: system::rows(&schema),
            closed: Vec::new(),
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
        let touched = changes.opened.iter().chain(&changes.closed).map(|row| row.a);
        next.touched(self, touched);
        let newly_in_avet = self.newly_in_avet(&changes.schema);
        for order in Order::ALL {
            let backfill = match order {
                Order::Avet | Order::HistoryAvet => self.backfill(order, &newly_in_avet, changes)?,
                _ => Vec::new(),
            };
            let mut edits = self.edits(order, changes);
            edits.extend(backfill.iter().map(|row| (row, Edit::Insert)));
            if !edits.is_empty() {
                let until = if order.is_history() { Some(changes.t.0) } else { None };
                next.indexes[order as usize] =
                    self.index(order).apply(&sorted(order, until, edits, [&self.schema, &changes.schema]))?;
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
        self.library = Arc::clone(&earlier.library);
    }

    /// What the rows of a transaction do to the index of an order.
    fn edits<'a>(&self, order: Order, changes: &'a Changes) -> Vec<(&'a Row, Edit)> {
        if order.is_history() {
            if !self.settings.keep_history {
                return Vec::new();
            }
            let mut kept = Membership::new(|a| {
                belongs(order, &changes.schema, a)
                    && changes.schema.get(a).is_none_or(|attribute| !attribute.no_history)
            });
            return changes.closed.iter().filter(|row| kept.has(row.a)).map(|row| (row, Edit::Insert)).collect();
        }
        let mut edits = Vec::with_capacity(changes.opened.len() + changes.closed.len());
        // Rows leave the indexes that they are in, which the schema before tells.
        let mut was_in = Membership::new(|a| belongs(order, &self.schema, a));
        edits.extend(changes.closed.iter().filter(|row| was_in.has(row.a)).map(|row| (row, Edit::Remove)));
        let mut is_in = Membership::new(|a| belongs(order, &changes.schema, a));
        edits.extend(changes.opened.iter().filter(|row| is_in.has(row.a)).map(|row| (row, Edit::Insert)));
        edits
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
            let closed: HashSet<(u64, AttrId, &Value)> = changes.closed.iter().map(|r| (r.e, r.a, &r.v)).collect();
            rows.retain(|row| !closed.contains(&(row.e, row.a, &row.v)));
        }
        Ok(rows)
    }
}

/// Whether rows of an attribute stand in an order, remembered for runs of rows of few attributes.
struct Membership<F> {
    decide: F,
    known: HashMap<AttrId, bool>,
}

impl<F: Fn(AttrId) -> bool> Membership<F> {
    fn new(decide: F) -> Self {
        Membership { decide, known: HashMap::new() }
    }

    fn has(&mut self, a: AttrId) -> bool {
        *self.known.entry(a).or_insert_with(|| (self.decide)(a))
    }
}

/// Edits sorted by `order`. Open rows get the end `until`, where it is given. Rows come from before and after a change of
/// the schema, so both must agree that the values of an attribute are of one kind.
fn sorted(order: Order, until: Option<u64>, edits: Vec<(&Row, Edit)>, schemas: [&Schema; 2]) -> Edits {
    let [before, after] = schemas;
    let mut of_one_kind = Membership::new(|a| {
        let is_one = |schema: &Schema| schema.get(a).map(|attribute| has_one_kind(attribute));
        is_one(before).unwrap_or(true) && is_one(after).unwrap_or(false)
    });
    // The first two components as integers, so that few comparisons have to look at the rows.
    let mut keyed: Vec<((u64, u64), &Row, Edit)> = Vec::with_capacity(edits.len());
    keyed.extend(edits.into_iter().map(|(row, edit)| {
        let a = u64::from(row.a.0);
        let key = match order {
            Order::Eavt | Order::HistoryEavt => (row.e, a),
            Order::Aevt | Order::HistoryAevt => (a, row.e),
            Order::Avet | Order::HistoryAvet if of_one_kind.has(row.a) => (a, rank(&row.v)),
            Order::Avet | Order::HistoryAvet => (a, 0),
        };
        (key, row, edit)
    }));
    keyed.sort_unstable_by(|(x, row_x, _), (y, row_y, _)| x.cmp(y).then_with(|| order.compare(row_x, row_y)));
    let mut columns = Columns::default();
    for (_, row, _) in &keyed {
        let end = if row.until == OPEN { until.unwrap_or(OPEN) } else { row.until };
        columns.push(row.e, row.a, &row.v.as_ref(), row.tx, end);
    }
    Edits::ascending(order, columns, keyed.into_iter().map(|(.., edit)| edit).collect())
}

/// The removal of rows that stand in the index of `order`.
pub(super) fn removals<'a>(order: Order, rows: impl Iterator<Item = &'a Row>, schema: &Schema) -> Edits {
    sorted(order, None, rows.map(|row| (row, Edit::Remove)).collect(), [schema, schema])
}

fn has_one_kind(attribute: &Attribute) -> bool {
    attribute.value_type.and_then(ValueType::kind).is_some()
}

/// A number that never descends as values of one kind ascend.
fn rank(v: &Value) -> u64 {
    match v {
        Value::Long(n) | Value::Instant(n) => (*n as u64) ^ (1 << 63),
        Value::Ref(id) => id.0,
        Value::Str(text) | Value::Uri(text) => {
            let mut first = [0; 8];
            first.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
            u64::from_be_bytes(first)
        }
        _ => 0,
    }
}

/// Whether rows of the attribute stand in the order: all do in EAVT and AEVT, some in AVET.
pub(super) fn belongs(order: Order, schema: &Schema, a: AttrId) -> bool {
    match order {
        Order::Avet | Order::HistoryAvet => schema.get(a).is_some_and(|attribute| attribute.in_avet()),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{Value, rank};
    use crate::datom::EntityId;
    use proptest::prelude::any;
    use proptest::{prop_assert, proptest};

    proptest! {
        #[test]
        fn ranks_ascend_with_values(x in any::<i64>(), y in any::<i64>(), s in "[a-b\0é]{0,10}", t in "[a-b\0é]{0,10}") {
            for (x, y) in [
                (Value::Long(x), Value::Long(y)),
                (Value::Instant(x), Value::Instant(y)),
                (Value::Ref(EntityId(x as u64 >> 1)), Value::Ref(EntityId(y as u64 >> 1))),
                (Value::from(s.clone()), Value::from(t.clone())),
                (Value::Uri(s.into()), Value::Uri(t.into())),
            ] {
                let (low, high) = if x <= y { (x, y) } else { (y, x) };
                prop_assert!(rank(&low) <= rank(&high), "{low:?} {high:?}");
            }
        }
    }
}
