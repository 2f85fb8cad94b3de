//! The edits that the rows of a transaction are in each order. The rows become columns once; for an order they are only
//! sorted, by numbers that say most of what comparing rows would.

use std::borrow::Cow;

use crate::datom::{AttrId, Columns, IntColumn, OPEN, Order, rank};
use crate::index::{Edit, Edits};

/// The rows of a transaction.
pub(super) struct Changed<'a> {
    rows: Cow<'a, Columns>,
    /// The rows before this one end, the others begin.
    ending: u32,
    /// Every row with its attribute before it, ascending.
    by_attribute: Vec<(AttrId, u32)>,
}

impl<'a> Changed<'a> {
    pub fn new(closed: &'a Columns, opened: &'a Columns) -> Changed<'a> {
        let ending = closed.len() as u32;
        let rows = match (closed.is_empty(), opened.is_empty()) {
            (true, _) => Cow::Borrowed(opened),
            (_, true) => Cow::Borrowed(closed),
            _ => Cow::Owned(Columns::concat(&[(closed, 0..closed.len()), (opened, 0..opened.len())])),
        };
        let mut by_attribute: Vec<_> = (0..rows.len()).map(|i| (AttrId(rows.a.get(i) as u32), i as u32)).collect();
        by_attribute.sort_unstable();
        Changed { rows, ending, by_attribute }
    }

    /// The attributes of the rows, each once.
    pub fn attributes(&self) -> impl Iterator<Item = AttrId> {
        self.by_attribute.chunk_by(|(x, _), (y, _)| x == y).map(|rows| rows[0].0)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The edits of the rows that `wanted` picks by attribute and by whether they end. `ended` is what is done to rows that
    /// end; open ones get the end `until`, where it is given. `of_one_kind` says whether all values of an attribute are of
    /// one kind.
    pub fn edits(
        &self,
        order: Order,
        (ended, until): (Edit, Option<u64>),
        wanted: impl Fn(AttrId, bool) -> bool,
        of_one_kind: impl Fn(AttrId) -> bool,
    ) -> Edits {
        let by_entity = matches!(order, Order::Eavt | Order::HistoryEavt);
        let (mut picked, mut keyed): (Vec<u32>, Vec<SortKey>) = (Vec::new(), Vec::new());
        for of_attribute in self.by_attribute.chunk_by(|(x, _), (y, _)| x == y) {
            let a = of_attribute[0].0;
            let (ending, beginning) = of_attribute.split_at(of_attribute.partition_point(|(_, i)| *i < self.ending));
            for (rows, is_ending) in [(ending, true), (beginning, false)] {
                if rows.is_empty() || !wanted(a, is_ending) {
                    continue;
                }
                let rows = rows.iter().map(|(_, i)| *i);
                match order {
                    _ if by_entity => picked.extend(rows),
                    Order::Aevt | Order::HistoryAevt => keyed.extend(rows.map(|i| (self.rows.e.get(i as usize), 0, i))),
                    _ if of_one_kind(a) => keyed.extend(rows.map(|i| (rank(&self.rows.v.get(i as usize)), 0, i))),
                    _ => keyed.extend(rows.map(|i| (0, 0, i))),
                }
            }
            if !by_entity {
                self.sort(order, &mut keyed, &mut picked);
            }
        }
        if by_entity {
            // Transactions tell of one entity after the other as a rule: in their sequence little is left to sort.
            if picked.len() == self.len() {
                picked = (0..self.len() as u32).collect();
            } else {
                picked.sort_unstable();
            }
            let key = |i: u32| (self.rows.e.get(i as usize), self.rows.a.get(i as usize) as u32, i);
            keyed.extend(picked.drain(..).map(key));
            self.sort(order, &mut keyed, &mut picked);
        }
        let mut rows = self.rows.gather(&picked);
        rows.unify();
        if let Some(until) = until {
            let mut ends = IntColumn::default();
            let end = |i: usize| if rows.until.get(i) == OPEN { until } else { rows.until.get(i) };
            (0..rows.len()).for_each(|i| ends.push(end(i)));
            rows.until = ends;
        }
        let edits = picked.iter().map(|i| if *i < self.ending { ended } else { Edit::Insert }).collect();
        Edits::ascending(order, rows, edits)
    }

    /// Moves rows from `keyed` to the end of `sorted`: by their keys, where these are the same by the order.
    fn sort(&self, order: Order, keyed: &mut Vec<SortKey>, sorted: &mut Vec<u32>) {
        let by_row = |x: u32, y: u32| self.rows.compare(x as usize, &self.rows, y as usize, order);
        keyed.sort_unstable_by(|x, y| (x.0, x.1).cmp(&(y.0, y.1)).then_with(|| by_row(x.2, y.2)));
        sorted.extend(keyed.drain(..).map(|(.., row)| row));
    }
}

/// Two numbers that never descend as rows ascend, and the row.
type SortKey = (u64, u32, u32);
