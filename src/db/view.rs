//! Views in time: what as-of, since and history let through.
//!
//! A row is valid from `tx` (inclusive) to `until` (exclusive). A view is `(lo, hi, mode)`:
//! - states: the rows with lo < tx ≤ hi and until > hi;
//! - events: of each row the assertion if lo < tx ≤ hi, the retraction if lo < until ≤ hi.
//!
//! Current rows and closed rows stand in different orders after their shared prefix (entity and attribute, or attribute
//! and value), so the rows of one such group are gathered from both indexes and sorted before they go out.

mod forward;

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::shared_prefix;
use super::snapshot::Snapshot;
use crate::datom::{Columns, Component, Cut, EntityId, Key, OPEN, Order, Side};
use crate::error::Result;
use crate::index::{Chunk, Cursor, Direction, Visibility};
use forward::ForwardCursor;

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
}

impl View {
    pub const ALL: View = View { lo: 0, hi: u64::MAX - 1, mode: Mode::State };

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
        let visibility = Visibility { low: self.lo, high: self.hi, events: self.mode == Mode::Events };
        let current = snapshot.index(order).cursor_within(from, to, direction, visibility)?;
        let (closed_from, closed_to) = self.closed_range(order, from, to);
        let history = snapshot.index(order.counterpart());
        let closed = history.cursor_within(closed_from.as_ref(), closed_to.as_ref(), direction, visibility)?;
        if direction == Direction::Forward {
            let range = (from.cloned(), to.cloned());
            return Ok(Box::new(ForwardCursor::new(*self, order, range, current, closed)));
        }
        Ok(Box::new(ViewCursor {
            view: *self,
            order,
            direction,
            from: from.cloned(),
            to: to.cloned(),
            current: Reader::new(current, direction),
            closed: Reader::new(closed, direction),
        }))
    }

    /// How many closed rows a range has at most.
    pub fn bound_closed(&self, snapshot: &Snapshot, order: Order, from: Option<&Cut>, to: Option<&Cut>) -> Result<u64> {
        let (from, to) = self.closed_range(order, from, to);
        snapshot.index(order.counterpart()).count(from.as_ref(), to.as_ref())
    }

    /// The range of the history order that holds every closed row of a range of the current order, and few others.
    fn closed_range(&self, order: Order, from: Option<&Cut>, to: Option<&Cut>) -> (Option<Cut>, Option<Cut>) {
        let outer = |cut: &Cut, side: Side| {
            let (key, whole) = truncate(order, &cut.key);
            // A cut inside a group takes in the group; a cut between groups stays.
            Cut { key, side: if whole { cut.side } else { side } }
        };
        let mut from = from.map(|cut| outer(cut, Side::Before));
        // A state has no use for rows that were closed by its end: skip them where one group is asked for.
        if let Some(Cut { key, side: Side::Before }) = &mut from
            && self.mode == Mode::State
            && shared_prefix(order).iter().all(|component| is_given(key, *component))
            && to.is_some_and(|to| same_group(order, &to.key, key))
        {
            key.until = Some(self.hi + 1);
        }
        (from, to.map(|cut| outer(cut, Side::After)))
    }

    /// Appends what the view shows of row `i`, which is sorted into its group later.
    fn show(&self, columns: &Columns, i: usize, shown: &mut Columns) {
        let (tx, until) = (columns.tx.get(i), columns.until.get(i));
        let (e, a, v) = (columns.e.get(i), crate::datom::AttrId(columns.a.get(i) as u32), columns.v.get(i));
        let asserted = self.lo < tx && tx <= self.hi;
        match self.mode {
            Mode::State if asserted && until > self.hi => shown.push(e, a, &v, tx, OPEN),
            Mode::State => {}
            Mode::Events => {
                if asserted {
                    shown.push(e, a, &v, tx, OPEN);
                }
                if until != OPEN && self.lo < until && until <= self.hi {
                    shown.push(e, a, &v, until, until);
                }
            }
        }
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

fn same_group(order: Order, x: &Key, y: &Key) -> bool {
    shared_prefix(order).iter().all(|component| match component {
        Component::E => x.e == y.e,
        Component::A => x.a == y.a,
        Component::V => x.v == y.v,
        Component::Tx | Component::Until => true,
    })
}

/// Rows one by one, in the direction of the cursor.
struct Reader {
    cursor: Box<dyn Cursor>,
    direction: Direction,
    chunk: Option<Chunk>,
}

impl Reader {
    fn new(cursor: Box<dyn Cursor>, direction: Direction) -> Reader {
        Reader { cursor, direction, chunk: None }
    }

    /// The row that comes next.
    fn peek(&mut self) -> Result<Option<(&Columns, usize)>> {
        if self.chunk.as_ref().is_none_or(Chunk::is_empty) {
            self.chunk = self.cursor.next()?;
        }
        let direction = self.direction;
        Ok(self.chunk.as_ref().map(|chunk| {
            let i = if direction == Direction::Forward { chunk.start } else { chunk.end - 1 };
            (chunk.columns.as_ref(), i)
        }))
    }

    fn advance(&mut self) {
        if let Some(chunk) = &mut self.chunk {
            match self.direction {
                Direction::Forward => chunk.start += 1,
                Direction::Reverse => chunk.end -= 1,
            }
        }
    }

    fn seek(&mut self, order: Order, cut: &Cut) -> Result<()> {
        if let Some(chunk) = &mut self.chunk {
            let position = chunk.columns.position(order, cut);
            match self.direction {
                Direction::Forward => chunk.start = chunk.start.max(position).min(chunk.end),
                Direction::Reverse => chunk.end = chunk.end.min(position).max(chunk.start),
            }
            if !chunk.is_empty() {
                return Ok(());
            }
        }
        self.chunk = None;
        self.cursor.seek(cut)
    }
}

struct ViewCursor {
    view: View,
    order: Order,
    direction: Direction,
    from: Option<Cut>,
    to: Option<Cut>,
    current: Reader,
    closed: Reader,
}

/// Rows that are put together before a chunk goes out; a group is never parted.
const CHUNK: usize = 512;

impl Cursor for ViewCursor {
    fn next(&mut self) -> Result<Option<Chunk>> {
        let mut groups = VecDeque::new();
        let mut rows = 0;
        while rows < CHUNK {
            let Some(group) = self.next_group()? else { break };
            rows += group.len();
            match self.direction {
                Direction::Forward => groups.push_back(group),
                Direction::Reverse => groups.push_front(group),
            }
        }
        let mut out = Columns::default();
        groups.iter().for_each(|group| out.extend(&group.columns, group.rows()));
        Ok((!out.is_empty()).then(|| Chunk::whole(out)))
    }

    fn seek(&mut self, cut: &Cut) -> Result<()> {
        self.current.seek(self.order, cut)?;
        let (key, whole) = truncate(self.order, &cut.key);
        let outer = if self.direction == Direction::Forward { Side::Before } else { Side::After };
        let closed = Cut { key, side: if whole { cut.side } else { outer } };
        self.closed.seek(self.order.counterpart(), &closed)?;
        // The range never grows: groups are read whole, and what they show outside of it stays out.
        let (bound, narrower) = match self.direction {
            Direction::Forward => (&mut self.from, Ordering::Greater),
            Direction::Reverse => (&mut self.to, Ordering::Less),
        };
        if bound.as_ref().is_none_or(|bound| cut.compare(bound, self.order) == narrower) {
            *bound = Some(cut.clone());
        }
        Ok(())
    }
}

impl ViewCursor {
    /// The rows of the next group that show anything; `None` at the end.
    fn next_group(&mut self) -> Result<Option<Chunk>> {
        loop {
            let mut shown = Columns::default();
            let Some(key) = self.next_key()? else { return Ok(None) };
            let (view, order) = (self.view, self.order);
            for reader in [&mut self.current, &mut self.closed] {
                while let Some((columns, i)) = reader.peek()? {
                    if compare_groups(order, &columns_key(columns, i), &key) != Ordering::Equal {
                        break;
                    }
                    view.show(columns, i, &mut shown);
                    reader.advance();
                }
            }
            let sorted = Chunk::whole(sort_group(order, shown));
            let start = self.from.as_ref().map_or(0, |cut| sorted.columns.position(order, cut));
            let end = self.to.as_ref().map_or(sorted.end, |cut| sorted.columns.position(order, cut));
            if start < end {
                return Ok(Some(Chunk { start, end, ..sorted }));
            }
        }
    }

    /// The group that comes next in either index.
    fn next_key(&mut self) -> Result<Option<Key>> {
        let current = self.current.peek()?.map(|(columns, i)| columns_key(columns, i));
        let closed = self.closed.peek()?.map(|(columns, i)| columns_key(columns, i));
        Ok(match (current, closed) {
            (Some(x), Some(y)) => {
                let first = match self.direction {
                    Direction::Forward => Ordering::Less,
                    Direction::Reverse => Ordering::Greater,
                };
                Some(if compare_groups(self.order, &y, &x) == first { y } else { x })
            }
            (x, y) => x.or(y),
        })
    }
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

fn compare_groups(order: Order, x: &Key, y: &Key) -> Ordering {
    shared_prefix(order).iter().fold(Ordering::Equal, |so_far, component| {
        so_far.then_with(|| match component {
            Component::E => x.e.cmp(&y.e),
            Component::A => x.a.cmp(&y.a),
            Component::V => x.v.cmp(&y.v),
            Component::Tx | Component::Until => Ordering::Equal,
        })
    })
}

/// Sorts datoms by the order, retractions before assertions of the same transaction.
fn sort_group(order: Order, shown: Columns) -> Columns {
    if shown.len() < 2 {
        return shown;
    }
    let mut places: Vec<usize> = (0..shown.len()).collect();
    places.sort_by(|i, j| shown.compare(*i, &shown, *j, order).then_with(|| shown.added(*i).cmp(&shown.added(*j))));
    let mut sorted = Columns::default();
    places.into_iter().for_each(|i| sorted.extend(&shown, i..i + 1));
    sorted
}
