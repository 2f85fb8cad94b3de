//! The rows of a commit whose nodes are damaged: what one order cannot give, another may.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::datom::{Columns, Cut, Key, Order, Row};
use crate::db::Snapshot;
use crate::error::{Error, Result};
use crate::index::{Cursor, Index};
use crate::schema::Schema;

/// Where rows of an index are lost: somewhere between two places.
#[derive(Debug, Clone)]
struct Gap {
    from: Option<Cut>,
    to: Option<Cut>,
}

/// What an order has lost, and what of it was found elsewhere.
#[derive(Debug, Default)]
pub(super) struct Holes {
    gaps: Vec<Gap>,
    /// Rows in them.
    pub rows: u64,
    /// Why, once for each.
    pub reasons: Vec<String>,
    /// Rows that belong into the gaps, ascending.
    found: Vec<Row>,
}

impl Holes {
    /// Rows that are lost for good.
    pub fn missing(&self) -> u64 {
        self.rows.saturating_sub(self.found.len() as u64)
    }

    pub fn is_empty(&self) -> bool {
        self.gaps.is_empty()
    }

    fn has(&self, order: Order, row: &Row) -> bool {
        let place = Cut::before(Key::of(row));
        let ends_before = |gap: &Gap| gap.to.as_ref().is_some_and(|to| to.compare(&place, order).is_le());
        let gap = self.gaps.get(self.gaps.partition_point(ends_before));
        gap.is_some_and(|gap| gap.from.as_ref().is_none_or(|from| from.compare(&place, order).is_le()))
    }

    fn settle(&mut self, order: Order) {
        self.found.sort_unstable_by(|x, y| order.compare(x, y));
        self.found.dedup_by(|x, y| order.compare(x, y).is_eq());
    }
}

/// The six orders of a commit with what each has lost.
pub(super) struct Salvage {
    pub snapshot: Snapshot,
    pub holes: [Holes; 6],
}

impl Salvage {
    /// Reads all nodes, and looks in the other orders for what cannot be read.
    pub fn of(snapshot: Snapshot) -> Result<Salvage> {
        let mut salvage = Salvage { snapshot, holes: Default::default() };
        for order in Order::ALL {
            salvage.holes[order as usize] = holes(salvage.snapshot.index(order))?;
        }
        if salvage.is_whole() {
            return Ok(salvage);
        }
        for order in Order::ALL {
            let mut rows = Salvaged::of(salvage.snapshot.index(order))?;
            while let Some((columns, range)) = rows.next()? {
                for i in range {
                    salvage.offer(&columns.row(i), |other| other != order && other.is_history() == order.is_history());
                }
            }
        }
        salvage.settle();
        Ok(salvage)
    }

    /// Whether every node can be read.
    fn is_whole(&self) -> bool {
        self.holes.iter().all(Holes::is_empty)
    }

    /// Rows that are in none of the orders.
    pub fn missing(&self) -> u64 {
        // All rows stand in EAVT; what AVET misses is among them.
        self.holes.iter().map(Holes::missing).max().unwrap_or(0)
    }

    /// Whether a row lies where rows were lost.
    pub fn is_wanted(&self, order: Order, row: &Row) -> bool {
        self.holes[order as usize].has(order, row)
    }

    /// Gives a row to those of the `orders` that may have lost it.
    pub fn offer(&mut self, row: &Row, orders: impl Fn(Order) -> bool) {
        for order in Order::ALL.into_iter().filter(|order| orders(*order)) {
            let holes = &mut self.holes[order as usize];
            if !holes.is_empty() && belongs(&self.snapshot.schema, order, row) && holes.has(order, row) {
                holes.found.push(row.clone());
            }
        }
    }

    /// Sorts what was offered.
    pub fn settle(&mut self) {
        for order in Order::ALL {
            self.holes[order as usize].settle(order);
        }
    }

    /// All rows of an order that there are, ascending.
    pub fn rows(&self, order: Order) -> Result<Rows<'_>> {
        let found = self.holes[order as usize].found.as_slice();
        Ok(Rows { order, salvaged: Salvaged::of(self.snapshot.index(order))?, found, waiting: None })
    }
}

fn belongs(schema: &Schema, order: Order, row: &Row) -> bool {
    !matches!(order, Order::Avet | Order::HistoryAvet) || schema.get(row.a).is_some_and(|attribute| attribute.in_avet())
}

/// The rows of an index, without those that were lost.
struct Salvaged {
    cursor: Box<dyn Cursor>,
    lost: Arc<Mutex<Vec<(u64, Error)>>>,
}

impl Salvaged {
    fn of(index: &Arc<dyn Index>) -> Result<Salvaged> {
        let lost: Arc<Mutex<Vec<(u64, Error)>>> = Arc::default();
        let told = Arc::clone(&lost);
        let cursor = index.salvage(Box::new(move |rows, error| told.lock().push((rows, error))))?;
        Ok(Salvaged { cursor, lost })
    }

    fn next(&mut self) -> Result<Option<(Arc<Columns>, std::ops::Range<usize>)>> {
        Ok(self.cursor.next()?.map(|chunk| (Arc::clone(&chunk.columns), chunk.rows())))
    }
}

/// Finds where an index has lost rows.
fn holes(index: &Arc<dyn Index>) -> Result<Holes> {
    let mut holes = Holes::default();
    let mut rows = Salvaged::of(index)?;
    let mut last: Option<Row> = None;
    loop {
        let next = rows.next()?;
        let lost = std::mem::take(&mut *rows.lost.lock());
        if !lost.is_empty() {
            let first = next.as_ref().map(|(columns, range)| columns.row(range.start));
            let from = last.as_ref().map(|row| Cut::after(Key::of(row)));
            holes.gaps.push(Gap { from, to: first.as_ref().map(|row| Cut::before(Key::of(row))) });
        }
        for (rows, error) in lost {
            holes.rows += rows;
            let reason = error.to_string();
            if !holes.reasons.contains(&reason) {
                holes.reasons.push(reason);
            }
        }
        let Some((columns, range)) = next else { return Ok(holes) };
        last = range.last().map(|i| columns.row(i));
    }
}

/// The rows of an order with what was found of the lost ones in their places.
pub(super) struct Rows<'a> {
    order: Order,
    salvaged: Salvaged,
    found: &'a [Row],
    waiting: Option<Columns>,
}

impl Rows<'_> {
    fn advance(&mut self) -> Result<Option<Columns>> {
        if let Some(columns) = self.waiting.take() {
            return Ok(Some(columns));
        }
        let next = self.salvaged.next()?.map(|(columns, range)| {
            let mut rows = Columns::default();
            rows.extend(&columns, range);
            rows
        });
        let before = match &next {
            Some(columns) => {
                let first = columns.row(0);
                self.found.partition_point(|row| self.order.compare(row, &first).is_lt())
            }
            None => self.found.len(),
        };
        if before == 0 {
            return Ok(next);
        }
        let (found, rest) = self.found.split_at(before);
        self.found = rest;
        self.waiting = next;
        let mut columns = Columns::default();
        found.iter().for_each(|row| columns.push_row(row));
        Ok(Some(columns))
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Columns>;

    fn next(&mut self) -> Option<Result<Columns>> {
        self.advance().transpose()
    }
}
