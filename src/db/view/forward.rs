//! A view read forwards, a chunk at a time: the rows of the current index that are seen, as runs, and among them what is
//! seen of closed rows.
//!
//! Closed rows stand in an order of their own after the prefix that both indexes share, so they are taken in up to the
//! end of a group, brought into the current order, and held until the current rows before them have gone out.

use std::ops::Range;
use std::sync::Arc;

use super::{View, columns_key, is_whole_group, truncate};
use crate::datom::{Columns, Cut, IntColumn, OPEN, Order, Side};
use crate::db::Mode;
use crate::error::Result;
use crate::index::{Chunk, Cursor};

/// Closed rows that are taken in at least, when no current row is left to say how far.
const CHUNK: usize = 1024;

/// Rows that have gone out of those held, past which they are dropped.
const HELD: usize = 4096;

pub(super) struct ForwardCursor {
    pub view: View,
    pub order: Order,
    pub from: Option<Cut>,
    pub to: Option<Cut>,
    current: Box<dyn Cursor>,
    /// Current rows that were read and have not gone out.
    rows: Option<Chunk>,
    closed: Box<dyn Cursor>,
    /// Closed rows that were read and not taken in.
    next_closed: Option<Chunk>,
    closed_done: bool,
    current_done: bool,
    /// What is seen of closed rows, in the current order; the rows before `held_from` have gone out.
    held: Columns,
    held_from: usize,
}

impl ForwardCursor {
    pub fn new(
        view: View,
        order: Order,
        (from, to): (Option<Cut>, Option<Cut>),
        current: Box<dyn Cursor>,
        closed: Box<dyn Cursor>,
    ) -> ForwardCursor {
        let (rows, next_closed, held, held_from) = (None, None, Columns::default(), 0);
        let (current_done, closed_done) = (false, false);
        ForwardCursor {
            view,
            order,
            from,
            to,
            current,
            rows,
            closed,
            next_closed,
            closed_done,
            current_done,
            held,
            held_from,
        }
    }

    /// Takes in closed rows: those up to the end of the group of `last`, or without it some groups.
    fn take_closed(&mut self, last: Option<(&Columns, usize)>) -> Result<()> {
        let history = self.order.counterpart();
        let stop = last.map(|(columns, i)| {
            let (key, _) = truncate(self.order, &columns_key(columns, i));
            Cut { key, side: Side::After }
        });
        let mut taken = Columns::default();
        while !self.closed_done {
            let chunk = match self.next_closed.take() {
                Some(chunk) => Some(chunk),
                None => self.closed.next()?,
            };
            let Some(chunk) = chunk else {
                self.closed_done = true;
                break;
            };
            let end = match &stop {
                Some(cut) => chunk.columns.position(history, cut).clamp(chunk.start, chunk.end),
                None => chunk.end,
            };
            self.view.see_closed(&chunk.columns, chunk.start..end, &mut taken);
            if end < chunk.end {
                self.next_closed = Some(Chunk { start: end, ..chunk });
                break;
            }
            if stop.is_none() && taken.len() >= CHUNK {
                // The rest of the group, which may go on in the next chunk.
                let (columns, last) = (Arc::clone(&chunk.columns), chunk.end - 1);
                self.hold(taken);
                return self.take_closed(Some((&columns, last)));
            }
        }
        self.hold(taken);
        Ok(())
    }

    /// Puts what is seen of closed rows, whole groups of them, after what is held.
    fn hold(&mut self, seen: Columns) {
        if seen.is_empty() {
            return;
        }
        let sorted = in_current_order(self.order, seen);
        if self.held_from == self.held.len() {
            (self.held, self.held_from) = (Columns::default(), 0);
        }
        if self.held_from > HELD && self.held_from > self.held.len() / 2 {
            let mut rest = Columns::default();
            rest.extend(&self.held, self.held_from..self.held.len());
            (self.held, self.held_from) = (rest, 0);
        }
        if self.held.is_empty() {
            self.held = sorted;
        } else if self.held.compare(self.held.len() - 1, &sorted, 0, self.order).is_le() {
            self.held.extend(&sorted, 0..sorted.len());
        } else {
            // More of a group of which a part is held.
            let mut all = Columns::default();
            all.extend(&self.held, self.held_from..self.held.len());
            all.extend(&sorted, 0..sorted.len());
            (self.held, self.held_from) = (in_current_order(self.order, all), 0);
        }
    }

    /// The held rows that go out now: up to row `last`, and inside the bounds.
    fn due(&mut self, last: Option<(&Columns, usize)>) -> Range<usize> {
        let order = self.order;
        let position = |cut: &Cut| self.held.position(order, cut);
        let start = self.from.as_ref().map_or(0, position).max(self.held_from);
        let bound = self.to.as_ref().map_or(self.held.len(), position);
        let end = match last {
            None => bound,
            Some((columns, i)) => {
                first_not(start.min(bound)..bound, |j| compare(order, &self.held, j, columns, i).is_lt())
            }
        };
        self.held_from = start.max(end);
        start..self.held_from.min(end.max(start))
    }
}

impl Cursor for ForwardCursor {
    fn next(&mut self) -> Result<Option<Chunk>> {
        loop {
            let chunk = match self.rows.take() {
                Some(chunk) if !chunk.is_empty() => Some(chunk),
                _ if self.current_done => None,
                _ => self.current.next()?,
            };
            let Some(chunk) = chunk else {
                self.current_done = true;
                self.take_closed(None)?;
                let due = self.due(None);
                if !due.is_empty() {
                    let held = std::mem::take(&mut self.held);
                    self.held_from = 0;
                    return Ok(Some(Chunk { columns: Arc::new(held), start: due.start, end: due.end }));
                }
                if self.closed_done {
                    return Ok(None);
                }
                continue;
            };
            let last = (chunk.columns.as_ref(), chunk.end - 1);
            if !self.closed_done {
                self.take_closed(Some(last))?;
            }
            let due = self.due(Some(last));
            let seen = self.view.see_current(&chunk);
            if due.is_empty() {
                match seen.as_slice() {
                    [] => continue,
                    [all] => {
                        return Ok(Some(Chunk { start: all.start, end: all.end, ..chunk }));
                    }
                    _ => {}
                }
            }
            let patched = patched(self.order, &chunk, &seen, &self.held, &due);
            let merged = patched.unwrap_or_else(|| merge(self.order, &chunk.columns, &seen, &self.held, due));
            return Ok(Some(Chunk::whole(merged)));
        }
    }

    fn seek(&mut self, cut: &Cut) -> Result<()> {
        if let Some(chunk) = &mut self.rows {
            chunk.start = chunk.columns.position(self.order, cut).clamp(chunk.start, chunk.end);
        }
        if self.rows.as_ref().is_none_or(Chunk::is_empty) {
            self.rows = None;
            self.current.seek(cut)?;
        }
        let (key, whole) = truncate(self.order, &cut.key);
        let outer = Cut { key, side: if whole { cut.side } else { Side::Before } };
        if let Some(chunk) = &mut self.next_closed {
            let history = self.order.counterpart();
            chunk.start = chunk.columns.position(history, &outer).clamp(chunk.start, chunk.end);
        }
        if self.next_closed.as_ref().is_none_or(Chunk::is_empty) {
            self.next_closed = None;
            self.closed.seek(&outer)?;
        }
        // The range never grows: groups are read whole, and what they show outside of it stays out.
        if self.from.as_ref().is_none_or(|from| cut.compare(from, self.order).is_gt()) {
            self.from = Some(cut.clone());
        }
        Ok(())
    }
}

impl View {
    /// The runs of current rows whose assertion is seen.
    fn see_current(&self, chunk: &Chunk) -> Vec<Range<usize>> {
        // Transaction ids lie far below 2^62, so the sign of a difference is an order.
        let (lo, hi) = (self.lo, self.hi.min(1 << 62));
        let sees = |tx: u64| lo < tx && tx <= hi;
        match chunk.columns.tx.plain() {
            None if sees(chunk.columns.tx.get(chunk.start)) => vec![chunk.rows()],
            None => Vec::new(),
            // Counted first, without branches: mostly all are seen, or none.
            Some(txs) => {
                let rows = &txs[chunk.rows()];
                let unseen: u64 =
                    rows.iter().map(|tx| (hi.wrapping_sub(*tx) >> 63) | (tx.wrapping_sub(lo + 1) >> 63)).sum();
                if unseen == 0 {
                    return vec![chunk.rows()];
                }
                if unseen == rows.len() as u64 {
                    return Vec::new();
                }
                runs(chunk.rows(), |i| sees(txs[i]))
            }
        }
    }

    /// Appends what is seen of closed rows.
    fn see_closed(&self, columns: &Columns, rows: Range<usize>, seen: &mut Columns) {
        let (lo, hi) = (self.lo, self.hi);
        match self.mode {
            Mode::State => {
                let runs = match (columns.tx.plain(), columns.until.plain()) {
                    (Some(txs), Some(ends)) => runs(rows, |i| lo < txs[i] && txs[i] <= hi && ends[i] > hi),
                    _ => runs(rows, |i| {
                        let (tx, until) = (columns.tx.get(i), columns.until.get(i));
                        lo < tx && tx <= hi && until > hi
                    }),
                };
                let n: usize = runs.iter().map(|run| run.len()).sum();
                if n == 0 {
                    return;
                }
                runs.into_iter().for_each(|run| {
                    seen.e.extend(&columns.e, run.clone());
                    seen.a.extend(&columns.a, run.clone());
                    seen.v.extend(&columns.v, run.clone());
                    seen.tx.extend(&columns.tx, run);
                });
                seen.until.extend(&IntColumn::Constant { value: OPEN, len: n }, 0..n);
            }
            Mode::Events => {
                let mut places: Vec<u32> = Vec::with_capacity(2 * rows.len());
                for i in rows {
                    let (tx, until) = (columns.tx.get(i), columns.until.get(i));
                    if lo < tx && tx <= hi {
                        places.push(i as u32);
                        seen.tx.push(tx);
                        seen.until.push(OPEN);
                    }
                    if until != OPEN && lo < until && until <= hi {
                        places.push(i as u32);
                        seen.tx.push(until);
                        seen.until.push(until);
                    }
                }
                let n = places.len();
                seen.e.extend(&columns.e.gather(&places), 0..n);
                seen.a.extend(&columns.a.gather(&places), 0..n);
                seen.v.extend(&columns.v.gather(&places), 0..n);
            }
        }
    }
}

/// The runs of the rows that pass.
fn runs(rows: Range<usize>, passes: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for i in rows {
        if !passes(i) {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.end == i => run.end = i + 1,
            _ => runs.push(i..i + 1),
        }
    }
    runs
}

/// The order of datoms, retractions before assertions of the same transaction.
fn compare(order: Order, x: &Columns, i: usize, y: &Columns, j: usize) -> std::cmp::Ordering {
    x.compare(i, y, j, order).then_with(|| x.added(i).cmp(&y.added(j)))
}

/// Brings whole groups, which ascend, into the current order.
fn in_current_order(order: Order, seen: Columns) -> Columns {
    // One value for each entity, as there mostly is.
    if let (Order::Aevt, IntColumn::Constant { .. }, Some(entities)) = (order, &seen.a, seen.e.plain())
        && entities.windows(2).all(|pair| pair[0] < pair[1])
    {
        return seen;
    }
    let is_sorted = (1..seen.len()).all(|i| compare(order, &seen, i - 1, &seen, i).is_le());
    if is_sorted {
        return seen;
    }
    let mut places: Vec<u32> = (0..seen.len() as u32).collect();
    let mut start = 0;
    for i in 1..=seen.len() {
        if i < seen.len() && is_whole_group(order, &seen, start, i) {
            continue;
        }
        if i - start > 1 {
            places[start..i].sort_by(|x, y| compare(order, &seen, *x as usize, &seen, *y as usize));
        }
        start = i;
    }
    seen.gather(&places)
}

/// The rows of a chunk with those that are not seen replaced by held ones of the same entities, if that is how it is: what
/// a state of the past looks like where values of cardinality one were replaced since.
fn patched(order: Order, chunk: &Chunk, seen: &[Range<usize>], held: &Columns, due: &Range<usize>) -> Option<Columns> {
    let rows = chunk.columns.as_ref();
    let entities = rows.e.plain()?;
    let one_attribute = matches!((&rows.a, &held.a), (IntColumn::Constant { value: x, .. }, IntColumn::Constant { value: y, .. }) if x == y);
    let all_open = matches!(held.until, IntColumn::Constant { value: OPEN, .. });
    let unseen = chunk.len() - seen.iter().map(Range::len).sum::<usize>();
    if order != Order::Aevt || !one_attribute || !all_open || unseen != due.len() {
        return None;
    }
    let starts = std::iter::once(chunk.start).chain(seen.iter().map(|run| run.end));
    let ends = seen.iter().map(|run| run.start).chain(std::iter::once(chunk.end));
    let places: Vec<usize> = starts.zip(ends).flat_map(|(start, end)| start..end).collect();
    let fits = |(place, row): (&usize, usize)| {
        let entity = entities[*place];
        let is_alone = (*place == chunk.start || entities[place - 1] != entity)
            && (*place + 1 == chunk.end || entities[place + 1] != entity);
        is_alone && entity == held.e.get(row)
    };
    if !places.iter().zip(due.clone()).all(fits) {
        return None;
    }
    let v = rows.v.patched(chunk.rows(), &places, &held.v, due.clone())?;
    let mut txs: Vec<u64> = chunk.rows().map(|row| rows.tx.get(row)).collect();
    places.iter().zip(due.clone()).for_each(|(place, row)| txs[place - chunk.start] = held.tx.get(row));
    Some(Columns {
        e: IntColumn::Plain(entities[chunk.rows()].to_vec()),
        a: IntColumn::Constant { value: rows.a.get(chunk.start), len: chunk.len() },
        v,
        tx: IntColumn::Plain(txs),
        until: IntColumn::Constant { value: OPEN, len: chunk.len() },
    })
}

/// The seen runs of current rows and the held rows `due`, in order.
fn merge(order: Order, rows: &Columns, seen: &[Range<usize>], held: &Columns, due: Range<usize>) -> Columns {
    let mut parts: Vec<(bool, Range<usize>)> = Vec::with_capacity(seen.len() + 2 * due.len());
    let mut next = due.start;
    for run in seen {
        let mut at = run.start;
        while next < due.end {
            let place = place_of(order, rows, at..run.end, held, next);
            if place == run.end {
                break;
            }
            if at < place {
                parts.push((false, at..place));
                at = place;
            }
            match parts.last_mut() {
                Some((true, held)) if held.end == next => held.end = next + 1,
                _ => parts.push((true, next..next + 1)),
            }
            next += 1;
        }
        if at < run.end {
            parts.push((false, at..run.end));
        }
    }
    if next < due.end {
        parts.push((true, next..due.end));
    }
    let n: usize = parts.iter().map(|(_, part)| part.len()).sum();
    let mut out = Columns::default();
    out.v.reserve(n);
    for (of_held, part) in parts {
        let from = if of_held { held } else { rows };
        out.e.extend(&from.e, part.clone());
        out.a.extend(&from.a, part.clone());
        out.v.extend(&from.v, part.clone());
        out.tx.extend(&from.tx, part.clone());
        match of_held {
            true => out.until.extend(&held.until, part),
            false => out.until.extend(&IntColumn::Constant { value: OPEN, len: part.len() }, 0..part.len()),
        }
    }
    out
}

/// Where among the sorted rows `range` a held row goes.
fn place_of(order: Order, rows: &Columns, range: Range<usize>, held: &Columns, row: usize) -> usize {
    let before = |i: usize| {
        let same_attribute = matches!(order, Order::Aevt) && rows.a.get(i) == held.a.get(row);
        if same_attribute {
            let by_entity = rows.e.get(i).cmp(&held.e.get(row));
            if by_entity.is_ne() {
                return by_entity.is_lt();
            }
        }
        compare(order, rows, i, held, row).is_lt()
    };
    let (mut low, mut step) = (range.start, 1);
    if low >= range.end || !before(low) {
        return low;
    }
    while low + step < range.end && before(low + step) {
        low += step;
        step *= 2;
    }
    first_not(low + 1..range.end.min(low + step), before)
}

/// The first of `range` that is not `before`, where those that are come first; its end if all are.
fn first_not(range: Range<usize>, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
