//! The state that one transaction leaves behind: index roots, schema, counters.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::datom::{EntityId, OPEN, Order, Row, TX0};
use crate::edn::Form;
use crate::error::Result;
use crate::index::{Edit, Edits, Index, IndexKind, NodeSource};
use crate::schema::{Schema, SchemaFlexibility};

/// What is fixed when a database is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Whether replaced and retracted facts are kept.
    pub keep_history: bool,
    /// Whether attributes must be declared.
    pub flexibility: SchemaFlexibility,
    /// Whether users see attributes as entities.
    pub attribute_refs: bool,
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
    /// One for each order, in the sequence of [`Order::ALL`].
    pub indexes: [Arc<dyn Index>; 6],
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
    /// A database without facts.
    pub fn empty(
        settings: Settings,
        kind: &dyn IndexKind,
        index_settings: &Form,
        nodes: &Arc<dyn NodeSource>,
    ) -> Result<Snapshot> {
        let empty = |order| kind.empty(order, index_settings, Arc::clone(nodes));
        let [eavt, aevt, avet, history_eavt, history_aevt, history_avet] = Order::ALL;
        Ok(Snapshot {
            settings,
            schema: Arc::new(Schema::new(settings.flexibility)),
            basis_t: EntityId(TX0),
            max_eid: EntityId(0),
            last_instant: i64::MIN,
            indexes: [
                empty(eavt)?,
                empty(aevt)?,
                empty(avet)?,
                empty(history_eavt)?,
                empty(history_aevt)?,
                empty(history_avet)?,
            ],
        })
    }

    /// The index of an order.
    pub fn index(&self, order: Order) -> &Arc<dyn Index> {
        &self.indexes[order as usize]
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
        for order in Order::ALL {
            let edits =
                if order.is_history() { self.history_edits(order, changes) } else { current_edits(order, changes) };
            if !edits.is_empty() {
                next.indexes[order as usize] = self.index(order).apply(&Edits::sorted(order, edits))?;
            }
        }
        Ok(next)
    }

    fn history_edits(&self, order: Order, changes: &Changes) -> Vec<(Row, Edit)> {
        if !self.settings.keep_history {
            return Vec::new();
        }
        let kept = |row: &&Row| changes.schema.get(row.a).is_none_or(|a| !a.no_history);
        let closed = changes.closed.iter().filter(|row| belongs(order, changes, row)).filter(kept);
        closed.map(|row| (Row { until: changes.t.0, ..row.clone() }, Edit::Insert)).collect()
    }
}

fn current_edits(order: Order, changes: &Changes) -> Vec<(Row, Edit)> {
    let rows = |rows: &'_ [Row], edit| {
        let mine = rows.iter().filter(|row| belongs(order, changes, row));
        mine.map(|row| (Row { until: OPEN, ..row.clone() }, edit)).collect::<Vec<_>>()
    };
    let mut edits = rows(&changes.closed, Edit::Remove);
    edits.extend(rows(&changes.opened, Edit::Insert));
    edits
}

/// Whether rows of the attribute stand in the order: all do in EAVT and AEVT, some in AVET.
fn belongs(order: Order, changes: &Changes, row: &Row) -> bool {
    match order {
        Order::Avet | Order::HistoryAvet => changes.schema.get(row.a).is_some_and(|a| a.in_avet()),
        _ => true,
    }
}
