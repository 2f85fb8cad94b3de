//! Views in time: what as-of, since and history let through.
//!
//! A row is valid from `tx` (inclusive) to `until` (exclusive). A view is `(lo, hi, mode)`:
//! - states: the rows with lo < tx ≤ hi and until > hi;
//! - events: of each row the assertion if lo < tx ≤ hi, the retraction if lo < until ≤ hi.
//!
//! Current rows and closed rows stand in different orders after their shared prefix (entity and attribute, or attribute
//! and value). A view is read piece by piece: the rows of a leaf of the current index that are seen, and among them what is
//! seen of closed rows of the same groups, sorted. Pieces are kept for the next reader.

mod closed;
mod cursor;
mod kept;
mod piece;

use std::sync::Arc;

use super::shared_prefix;
use super::snapshot::Snapshot;
use crate::datom::{Columns, Component, Cut, EntityId, Key, Order, Side};
use crate::error::Result;
use crate::index::{Chunk, Cursor, Direction, Visibility};
use closed::Closed;
use cursor::ViewCursor;
pub(crate) use kept::KeptPieces;

/// Stretches of time of which each is sampled by itself.
const STRETCHES: u64 = 4;

/// What a database shows of its facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The facts that hold.
    State,
    /// The assertions and retractions that were made.
    Events,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct View {
    /// Transactions up to this one are not seen.
    pub lo: u64,
    /// Transactions after this one are not seen.
    pub hi: u64,
    pub mode: Mode,
    /// Of the events of one fact only one, for who does not look at transactions.
    pub once: bool,
}

impl View {
    pub const ALL: View = View { lo: 0, hi: u64::MAX - 1, mode: Mode::State, once: false };

    /// Whether the view shows the current rows and nothing else.
    pub fn sees_all(&self, basis_t: EntityId) -> bool {
        self.mode == Mode::State && self.lo == 0 && self.hi >= basis_t.0
    }

    pub fn cursor(
        &self,
        snapshot: &Snapshot,
        order: Order,
        from: Option<&Cut>,
        to: Option<&Cut>,
        direction: Direction,
    ) -> Result<Box<dyn Cursor>> {
        // Nothing lies after the last transaction.
        let view = View { hi: self.hi.min(snapshot.basis_t.0), ..*self };
        let (index, history) = (snapshot.index(order), Arc::clone(snapshot.index(order.counterpart())));
        let closed_range = view.closed_range(order, from, to);
        // Leaves of which nothing is seen say where pieces end. They are passed over where there are few closed rows among
        // many current ones, as in a database that mostly grows.
        let is_of_one = from.zip(to).is_some_and(|(Cut { key: x, .. }, Cut { key: y, .. })| {
            order != Order::Avet && x.e.is_some() && x.e == y.e && (order == Order::Eavt || x.a == y.a)
        });
        let is_sparse = is_of_one || history.is_empty() || {
            let closed = history.count(closed_range.0.as_ref(), closed_range.1.as_ref())?;
            closed == 0 || closed * 4 < index.count(from, to)?
        };
        let current = match is_sparse {
            true => index.cursor_within(from, to, direction, view.visibility())?,
            false => index.cursor(from, to, direction)?,
        };
        let closed = Closed::new(view, order, direction, history, closed_range);
        let range = (from.cloned(), to.cloned());
        let current = (Arc::clone(index), current);
        Ok(Box::new(ViewCursor::new((view, order, direction), range, current, closed, Arc::clone(&snapshot.pieces))))
    }

    fn visibility(&self) -> Visibility {
        Visibility { low: self.lo, high: self.hi, events: self.mode == Mode::Events }
    }

    /// How many closed rows a range has at most.
    pub fn bound_closed(&self, snapshot: &Snapshot, order: Order, from: Option<&Cut>, to: Option<&Cut>) -> Result<u64> {
        let (from, to) = self.closed_range(order, from, to);
        snapshot.index(order.counterpart()).count(from.as_ref(), to.as_ref())
    }

    /// How many rows of a range a state shows, going by some of each index.
    pub fn expected(&self, snapshot: &Snapshot, order: Order, from: Option<&Cut>, to: Option<&Cut>) -> Result<f64> {
        let view = View { hi: self.hi.min(snapshot.basis_t.0), ..*self };
        let visibility = view.visibility();
        let seen_of = |order: Order, from: Option<&Cut>, to: Option<&Cut>| -> Result<f64> {
            let index = snapshot.index(order);
            let Some(Chunk { columns, start, end }) = index.cursor(from, to, Direction::Forward)?.next()? else {
                return Ok(0.0);
            };
            let shown = (start..end).filter(|i| visibility.shows(columns.tx.get(*i), columns.until.get(*i))).count();
            Ok(index.count(from, to)? as f64 * (shown as f64).max(0.5) / (end - start) as f64)
        };
        let current = seen_of(order, from, to)?;
        let (from, to) = view.closed_range(order, from, to);
        let history = order.counterpart();
        let Some((Cut { key, .. }, until)) = from.as_ref().and_then(|from| Some((from, from.key.until?))) else {
            return Ok(current + seen_of(history, from.as_ref(), to.as_ref())?);
        };
        // Closed rows of one group stand by their ends, and the sooner one ended the likelier it is seen.
        let step = snapshot.basis_t.0.saturating_sub(until) / STRETCHES + 1;
        let cut = |i: u64| Cut::before(Key { until: Some(until + i * step), ..key.clone() });
        let stretch = |i: u64| {
            seen_of(history, Some(&cut(i)), if i + 1 == STRETCHES { to.clone() } else { Some(cut(i + 1)) }.as_ref())
        };
        (0..STRETCHES).try_fold(current, |sum, i| Ok(sum + stretch(i)?))
    }

    /// The range of the history order that holds every closed row of a range of the current order, and few others.
    fn closed_range(&self, order: Order, from: Option<&Cut>, to: Option<&Cut>) -> (Option<Cut>, Option<Cut>) {
        // A cut inside a group takes in the group; a cut between groups stays.
        let mut from = from.map(|cut| outer(order, cut, Direction::Forward));
        // A state has no use for rows that were closed by its end: skip them where one group is asked for.
        if let Some(Cut { key, side: Side::Before }) = &mut from
            && self.mode == Mode::State
            && to.is_some_and(|to| is_one_group(order, &to.key, key))
        {
            key.until = Some(self.hi + 1);
        }
        (from, to.map(|cut| outer(order, cut, Direction::Reverse)))
    }
}

fn is_given(key: &Key, component: Component) -> bool {
    match component {
        Component::E => key.e.is_some(),
        Component::A => key.a.is_some(),
        Component::V => key.v.is_some(),
        Component::Tx => key.tx.is_some(),
        Component::Until => key.until.is_some(),
    }
}

/// The part of a key inside the shared prefix, and whether that is all of the key.
fn truncate(order: Order, key: &Key) -> (Key, bool) {
    let mut cut = Key::default();
    let mut given = 0;
    for component in shared_prefix(order).iter().take_while(|c| is_given(key, **c)) {
        given += 1;
        match component {
            Component::E => cut.e = key.e,
            Component::A => cut.a = key.a,
            Component::V => cut.v = key.v.clone(),
            Component::Tx | Component::Until => {}
        }
    }
    let whole = order.components().get(given).is_none_or(|next| !is_given(key, *next));
    (cut, whole)
}

/// Whether two keys name the same group, and no more than one.
fn is_one_group(order: Order, x: &Key, y: &Key) -> bool {
    shared_prefix(order).iter().all(|component| is_given(x, *component)) && same_group(order, x, y)
}

fn same_group(order: Order, x: &Key, y: &Key) -> bool {
    shared_prefix(order).iter().all(|component| match component {
        Component::E => x.e == y.e,
        Component::A => x.a == y.a,
        Component::V => x.v == y.v,
        Component::Tx | Component::Until => true,
    })
}

/// The place in the history order before which lie no closed rows of the groups that begin at `near` or beyond.
fn outer(order: Order, near: &Cut, direction: Direction) -> Cut {
    let (key, whole) = truncate(order, &near.key);
    let side = if direction == Direction::Forward { Side::Before } else { Side::After };
    Cut { key, side: if whole { near.side } else { side } }
}

/// Whether two rows stand in one group.
fn is_whole_group(order: Order, columns: &Columns, i: usize, j: usize) -> bool {
    shared_prefix(order).iter().all(|component| match component {
        Component::E => columns.e.get(i) == columns.e.get(j),
        Component::A => columns.a.get(i) == columns.a.get(j),
        Component::V => crate::datom::compare(&columns.v.get(i), &columns.v.get(j)).is_eq(),
        Component::Tx | Component::Until => true,
    })
}

fn columns_key(columns: &Columns, i: usize) -> Key {
    Key::of(&columns.row(i))
}
