//! Rows as columns: what leaves, chunks and edits are made of.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::Range;

use super::int_column::IntColumn;
use super::order::{Component, Cut, Order, Side, compare};
use super::value::{Value, ValueRef};
use super::value_column::ValueColumn;
use super::{AttrId, OPEN, Row};

/// Rows in columns, in whatever order their owner keeps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    /// Entities.
    pub e: IntColumn,
    /// Attributes.
    pub a: IntColumn,
    /// Values.
    pub v: ValueColumn,
    /// Transactions that asserted.
    pub tx: IntColumn,
    /// Ends of validity, [`OPEN`] for current rows. In the datoms of an event view (see `Db::history`): `OPEN` for an
    /// assertion, the transaction itself for a retraction.
    pub until: IntColumn,
}

impl<'a> FromIterator<&'a Row> for Columns {
    fn from_iter<I: IntoIterator<Item = &'a Row>>(rows: I) -> Columns {
        let mut columns = Columns::default();
        rows.into_iter().for_each(|row| columns.push_row(row));
        columns
    }
}

impl Columns {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.v.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.v.is_empty()
    }

    /// Makes room for `more` rows.
    pub fn reserve(&mut self, more: usize) {
        self.e.reserve(more);
        self.a.reserve(more);
        self.v.reserve(more);
        self.tx.reserve(more);
        self.until.reserve(more);
    }

    /// Columns without rows and with room for `n` that one transaction began.
    pub(crate) fn with_room(n: usize) -> Columns {
        let plain = || IntColumn::Plain(Vec::with_capacity(n));
        let mut columns = Columns { e: plain(), a: plain(), ..Columns::default() };
        columns.v.reserve(n);
        columns
    }

    /// Columns without rows and with room for `n`, for rows like those of `model`.
    pub(crate) fn with_room_like(model: &Columns, n: usize) -> Columns {
        Columns {
            e: IntColumn::with_room_like(&model.e, n),
            a: IntColumn::with_room_like(&model.a, n),
            v: ValueColumn::with_room_like(&model.v, n),
            tx: IntColumn::with_room_like(&model.tx, n),
            until: IntColumn::with_room_like(&model.until, n),
        }
    }

    /// The rows of `parts`, one part after the other, in the room that they need.
    pub(crate) fn concat<B: Borrow<Columns>>(parts: &[(B, Range<usize>)]) -> Columns {
        let parts = parts.iter().map(|(columns, range)| (columns.borrow(), range.clone()));
        Columns {
            e: IntColumn::concat(parts.clone().map(|(columns, range)| (&columns.e, range))),
            a: IntColumn::concat(parts.clone().map(|(columns, range)| (&columns.a, range))),
            v: ValueColumn::concat(parts.clone().map(|(columns, range)| (&columns.v, range))),
            tx: IntColumn::concat(parts.clone().map(|(columns, range)| (&columns.tx, range))),
            until: IntColumn::concat(parts.map(|(columns, range)| (&columns.until, range))),
        }
    }

    /// Makes constant what is.
    pub(crate) fn unify(&mut self) {
        self.e.unify();
        self.a.unify();
        self.tx.unify();
        self.until.unify();
    }

    /// Row `i`, owned.
    pub fn row(&self, i: usize) -> Row {
        Row {
            e: self.e.get(i),
            a: AttrId(self.a.get(i) as u32),
            v: self.v.get(i).to_value(),
            tx: self.tx.get(i),
            until: self.until.get(i),
        }
    }

    /// Whether row `i` of the datoms of a view is an assertion.
    pub fn added(&self, i: usize) -> bool {
        self.until.get(i) == OPEN
    }

    /// Appends a row.
    pub fn push(&mut self, e: u64, a: AttrId, v: &ValueRef<'_>, tx: u64, until: u64) {
        self.e.push(e);
        self.a.push(u64::from(a.0));
        self.v.push(v);
        self.tx.push(tx);
        self.until.push(until);
    }

    /// Appends a row.
    pub fn push_row(&mut self, row: &Row) {
        self.push(row.e, row.a, &row.v.as_ref(), row.tx, row.until);
    }

    /// Puts row `j` of `other` before row `i`.
    pub fn insert_from(&mut self, i: usize, other: &Columns, j: usize) {
        self.e.insert(i, other.e.get(j));
        self.a.insert(i, other.a.get(j));
        self.v.insert(i, &other.v.get(j));
        self.tx.insert(i, other.tx.get(j));
        self.until.insert(i, other.until.get(j));
    }

    /// Removes row `i`.
    pub fn remove(&mut self, i: usize) {
        self.e.remove(i);
        self.a.remove(i);
        self.v.remove(i);
        self.tx.remove(i);
        self.until.remove(i);
    }

    /// Appends the rows `range` of `other`.
    pub fn extend(&mut self, other: &Columns, range: Range<usize>) {
        self.e.extend(&other.e, range.clone());
        self.a.extend(&other.a, range.clone());
        self.v.extend(&other.v, range.clone());
        self.tx.extend(&other.tx, range.clone());
        self.until.extend(&other.until, range);
    }

    /// The rows `rows`, in that sequence.
    pub(crate) fn gather(&self, rows: &[u32]) -> Columns {
        Columns {
            e: self.e.gather(rows),
            a: self.a.gather(rows),
            v: self.v.gather(rows),
            tx: self.tx.gather(rows),
            until: self.until.gather(rows),
        }
    }

    /// Compares row `i` with row `j` of `other`.
    pub fn compare(&self, i: usize, other: &Columns, j: usize, order: Order) -> Ordering {
        let mut by_each = order.components().iter().map(|component| self.compare_in(*component, i, other, j));
        by_each.find(|by_component| by_component.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// Apart, so that the columns of components that do not matter are not looked at: the first one decides as a rule.
    #[inline(never)]
    fn compare_in(&self, component: Component, i: usize, other: &Columns, j: usize) -> Ordering {
        match component {
            Component::E => self.e.get(i).cmp(&other.e.get(j)),
            Component::A => self.a.get(i).cmp(&other.a.get(j)),
            Component::V => compare(&self.v.get(i), &other.v.get(j)),
            Component::Tx => self.tx.get(i).cmp(&other.tx.get(j)),
            Component::Until => self.until.get(i).cmp(&other.until.get(j)),
        }
    }

    /// Whether every row lies before the next one.
    pub(crate) fn ascends(&self, order: Order) -> bool {
        (1..self.len()).all(|i| self.compare(i - 1, self, i, order) == Ordering::Less)
    }

    /// Where in the rows `range`, which are sorted by `order`, row `j` of `other` stands or would have to, and whether it
    /// is there.
    pub(crate) fn place_of(&self, range: Range<usize>, other: &Columns, j: usize, order: Order) -> (usize, bool) {
        let mut range = range;
        for component in order.components() {
            range = match component {
                Component::E => self.e.equal_range(range, other.e.get(j)),
                Component::A => self.a.equal_range(range, other.a.get(j)),
                Component::V => {
                    let x = &other.v.get(j);
                    let start = self.v.partition(range.clone(), x, Side::Before);
                    let is_equal = |i: usize| compare(&self.v.get(i), x) == Ordering::Equal;
                    // Few rows have the same value as a rule, and often it is only one.
                    match (start..range.end).find(|i| *i == start + 2 || !is_equal(*i)) {
                        Some(end) if end < start + 2 => start..end,
                        _ => start..self.v.partition(start..range.end, x, Side::After),
                    }
                }
                Component::Tx => self.tx.equal_range(range, other.tx.get(j)),
                Component::Until => self.until.equal_range(range, other.until.get(j)),
            };
            if range.is_empty() {
                return (range.start, false);
            }
        }
        (range.start, true)
    }

    /// The number of rows before `cut`; the rows must be sorted by `order`.
    pub fn position(&self, order: Order, cut: &Cut) -> usize {
        self.position_in(0..self.len(), order, cut)
    }

    /// Where in the rows `range` the cut lies: [`position`](Self::position), and no farther out than the range goes.
    pub(crate) fn position_in(&self, mut range: Range<usize>, order: Order, cut: &Cut) -> usize {
        let Cut { key, side } = cut;
        for (n, component) in order.components().iter().enumerate() {
            let narrowed = match component {
                Component::E => key.e.map(|x| self.e.equal_range(range.clone(), x)),
                Component::A => key.a.map(|x| self.a.equal_range(range.clone(), u64::from(x.0))),
                Component::V => match &key.v {
                    // One search does where nothing narrows the rows of the value.
                    Some(x) if !order.components().get(n + 1).is_some_and(|next| key.has(*next)) => {
                        return self.v.partition(range, &x.as_ref(), *side);
                    }
                    v => v.as_ref().map(|x| self.narrow_value(&range, x)),
                },
                Component::Tx => key.tx.map(|x| self.tx.equal_range(range.clone(), x)),
                Component::Until => key.until.map(|x| self.until.equal_range(range.clone(), x)),
            };
            match narrowed {
                Some(narrowed) => range = narrowed,
                None => break,
            }
            if range.is_empty() {
                break;
            }
        }
        match side {
            Side::Before => range.start,
            Side::After => range.end,
        }
    }

    fn narrow_value(&self, range: &Range<usize>, x: &Value) -> Range<usize> {
        let x = x.as_ref();
        let start = self.v.partition(range.clone(), &x, Side::Before);
        start..self.v.partition(start..range.end, &x, Side::After)
    }

    /// Bytes held on the heap.
    pub fn weight(&self) -> usize {
        self.e.weight() + self.a.weight() + self.v.weight() + self.tx.weight() + self.until.weight()
    }
}
