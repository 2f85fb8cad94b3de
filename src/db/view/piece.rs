//! A piece of a view: the rows of the current index that are seen, as runs, and among them what is seen of closed rows.

use std::ops::Range;
use std::sync::Arc;

use super::{View, is_whole_group};
use crate::datom::{self, Columns, IntColumn, OPEN, Order, gallop};
use crate::db::Mode;
use crate::index::Chunk;

/// What is seen of a chunk of current rows and the closed rows `due`, which come sorted; `None` where it is the chunk as it is.
pub(super) fn joined(
    view: View,
    order: Order,
    chunk: &Chunk,
    closed: &Arc<Columns>,
    due: Range<usize>,
) -> Option<Arc<Columns>> {
    let seen = view.see_current(chunk);
    match seen.as_slice() {
        [all] if due.is_empty() && *all == chunk.rows() => return None,
        [] if due.len() == closed.len() => return Some(Arc::clone(closed)),
        _ => {}
    }
    let all = patched(order, chunk, &seen, closed, &due);
    let all = all.unwrap_or_else(|| merge(order, &chunk.columns, &seen, closed, due));
    Some(Arc::new(if view.once { once(all) } else { all }))
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

    /// What is seen of closed rows, in their order.
    pub(super) fn see_closed(&self, columns: &Columns, rows: Range<usize>) -> Columns {
        let (lo, hi) = (self.lo, self.hi);
        match self.mode {
            Mode::State => {
                // Without branches: whether a row is seen is hard to guess.
                let mut places: Vec<u32> = vec![0; rows.len()];
                let mut n = 0;
                let mut see = |i: usize, tx: u64, until: u64| {
                    places[n] = i as u32;
                    n += usize::from((lo < tx) & (tx <= hi) & (until > hi));
                };
                match (columns.tx.plain(), columns.until.plain()) {
                    (Some(txs), Some(ends)) => {
                        let pairs = txs[rows.clone()].iter().zip(&ends[rows.clone()]);
                        rows.zip(pairs).for_each(|(i, (tx, until))| see(i, *tx, *until));
                    }
                    _ => rows.for_each(|i| see(i, columns.tx.get(i), columns.until.get(i))),
                }
                places.truncate(n);
                if places.is_empty() {
                    return Columns::default();
                }
                Columns {
                    e: columns.e.gather(&places),
                    a: columns.a.gather(&places),
                    v: columns.v.gather(&places),
                    tx: columns.tx.gather(&places),
                    until: IntColumn::Constant { value: OPEN, len: n },
                }
            }
            Mode::Events => {
                let mut seen = Columns::default();
                let mut places: Vec<u32> = Vec::with_capacity(2 * rows.len());
                for i in rows {
                    let (tx, until) = (columns.tx.get(i), columns.until.get(i));
                    let asserted = lo < tx && tx <= hi;
                    if asserted {
                        places.push(i as u32);
                        seen.tx.push(tx);
                        seen.until.push(OPEN);
                    }
                    if until != OPEN && lo < until && until <= hi && !(asserted && self.once) {
                        places.push(i as u32);
                        seen.tx.push(until);
                        seen.until.push(until);
                    }
                }
                let (e, a, v) = (columns.e.gather(&places), columns.a.gather(&places), columns.v.gather(&places));
                Columns { e, a, v, ..seen }
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

/// The first of neighbouring datoms about one fact.
pub(super) fn once(shown: Columns) -> Columns {
    let is_new = |i: usize| {
        let differs = |column: &IntColumn| column.get(i - 1) != column.get(i);
        let same_value = || datom::compare(&shown.v.get(i - 1), &shown.v.get(i)).is_eq();
        differs(&shown.e) || differs(&shown.a) || !same_value()
    };
    let places: Vec<u32> = (0..shown.len()).filter(|i| *i == 0 || is_new(*i)).map(|i| i as u32).collect();
    if places.len() == shown.len() { shown } else { shown.gather(&places) }
}

/// The order of datoms, retractions before assertions of the same transaction.
fn compare(order: Order, x: &Columns, i: usize, y: &Columns, j: usize) -> std::cmp::Ordering {
    x.compare(i, y, j, order).then_with(|| x.added(i).cmp(&y.added(j)))
}

/// Brings whole groups, which ascend, into the current order.
pub(super) fn in_current_order(order: Order, seen: Columns) -> Columns {
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
    let parts: Vec<(&Columns, Range<usize>)> =
        parts.into_iter().map(|(of_held, part)| (if of_held { held } else { rows }, part)).collect();
    Columns::concat(&parts)
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
    gallop(range, before)
}
