//! Purging: rows leave the current and the closed indexes as if they had never been.

use std::sync::Arc;

use crate::datom::{AttrId, Cut, Key, OPEN, Order, Row};
use crate::error::Result;
use crate::index::Address;
use crate::schema::Schema;

use super::snapshot::{Snapshot, belongs, removals};

/// What a transaction purges.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Purged {
    /// The rows as they stand in the indexes, each once; those of the current indexes are open.
    pub rows: Vec<Row>,
    /// The entities of which the log is to keep no more than the indexes do; ascending.
    pub entities: Vec<u64>,
    /// The attributes without history among those that are purged: no index knows what else they had as values.
    pub quiet: Vec<AttrId>,
}

impl Purged {
    /// The rows that held until the purge.
    pub fn current(&self) -> Vec<Row> {
        self.rows.iter().filter(|row| row.until == OPEN).cloned().collect()
    }
}

impl Snapshot {
    /// The snapshot without the purged rows and without anything that was derived from them. `schema` is what the rows
    /// that stay define.
    pub fn purge(&self, purged: &Purged, schema: Arc<Schema>) -> Result<Snapshot> {
        let mut next =
            Snapshot { schema, promises: Arc::default(), pieces: self.pieces.apart(self.basis_t), ..self.clone() };
        next.touched(self, purged.rows.iter().map(|row| row.a));
        for order in Order::ALL {
            let stands = |row: &&Row| (row.until == OPEN) != order.is_history() && belongs(order, &self.schema, row.a);
            let edits = removals(order, purged.rows.iter().filter(stands), &self.schema);
            let index = &mut next.indexes[order as usize];
            if !edits.is_empty() {
                *index = index.apply(&edits)?;
            }
            let ranges = self.ranges(order, purged);
            if !ranges.is_empty() {
                *index = index.forget(&ranges)?;
            }
        }
        Ok(next)
    }

    /// The same snapshot, in which the nodes at the addresses that `moved` names have none.
    pub fn detach(&self, moved: &dyn Fn(Address) -> bool) -> Result<Snapshot> {
        let mut next = self.clone();
        for index in &mut next.indexes {
            *index = index.detach(moved)?;
        }
        Ok(next)
    }

    /// The same database, which lets go of the nodes that a flush has stored meanwhile.
    pub fn settled(&self) -> Result<Snapshot> {
        let mut next = self.clone();
        for index in &mut next.indexes {
            *index = index.settled()?;
        }
        Ok(next)
    }

    /// Where an index may hold more than rows of what is purged. A closed row was a current one once.
    fn ranges(&self, order: Order, purged: &Purged) -> Vec<(Cut, Cut)> {
        let range = |key: Key| (Cut::before(key.clone()), Cut::after(key));
        let known = |row: &&Row| belongs(order, &self.schema, row.a) && (!order.is_history() || row.until != OPEN);
        let of_row = |row: &Row| match order.is_history() {
            true => Key::of(row),
            false => Key { e: Some(row.e), a: Some(row.a), v: Some(row.v.clone()), ..Key::default() },
        };
        let mut ranges: Vec<_> = purged.rows.iter().filter(known).map(|row| range(of_row(row))).collect();
        for a in &purged.quiet {
            match order {
                Order::Eavt | Order::Aevt => {
                    let of = |e: &u64| range(Key { e: Some(*e), a: Some(*a), ..Key::default() });
                    ranges.extend(purged.entities.iter().map(of));
                }
                Order::Avet if belongs(order, &self.schema, *a) => {
                    ranges.push(range(Key { a: Some(*a), ..Key::default() }));
                }
                _ => {}
            }
        }
        ranges
    }
}
