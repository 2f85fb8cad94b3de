//! Closed rows as a view shows them, group by group.
//!
//! Closed rows stand in an order of their own after the prefix that both indexes share. So those of whole groups are taken
//! and brought into the order of the current index. What the last group has is held: the next piece may be about it, too.

use std::sync::Arc;

use super::piece::{in_current_order, once};
use super::{View, columns_key, outer, same_group, truncate};
use crate::datom::{Columns, Cut, Key, Order};
use crate::error::Result;
use crate::index::{Chunk, Cursor, Direction, Index};

/// Rows, and the rest of their last group, that are taken at once at most.
const MOST: usize = 1 << 14;

pub(super) struct Closed {
    view: View,
    order: Order,
    direction: Direction,
    history: Arc<dyn Index>,
    range: (Option<Cut>, Option<Cut>),
    cursor: Option<Box<dyn Cursor>>,
    /// Rows that were read and not taken.
    chunk: Option<Chunk>,
    /// Whether all were read.
    done: bool,
    /// Whether there may be groups between the last one and the next that is wanted.
    behind: bool,
    /// The last group, and what is seen of it.
    last: Option<(Key, Arc<Columns>)>,
}

impl Closed {
    /// Those in a range of the history order, whose ends are ends of groups.
    pub fn new(
        view: View,
        order: Order,
        direction: Direction,
        history: Arc<dyn Index>,
        range: (Option<Cut>, Option<Cut>),
    ) -> Closed {
        let done = history.is_empty();
        let (cursor, chunk, behind, last) = (None, None, false, None);
        Closed { view, order, direction, history, range, cursor, chunk, done, behind, last }
    }

    /// Those in another range, from its begin on.
    pub fn anew(&self, direction: Direction, range: (Option<Cut>, Option<Cut>)) -> Closed {
        Closed::new(self.view, self.order, direction, Arc::clone(&self.history), range)
    }

    /// What comes next is not wanted.
    pub fn pass(&mut self) {
        self.behind = true;
    }

    /// The group that was taken last.
    pub fn last_group(&self) -> Option<&Key> {
        self.last.as_ref().map(|(group, _)| group)
    }

    /// What is seen of the groups from that in which `near` lies to that of `far`, without `far` to the end, in the current
    /// order; and whether it ends before that, with a group, because it is as much as is wanted at once.
    pub fn take(&mut self, near: Option<&Cut>, far: Option<&Cut>) -> Result<(Arc<Columns>, bool)> {
        let held = match (&self.last, near) {
            (Some((group, held)), Some(near)) if same_group(self.order, group, &truncate(self.order, &near.key).0) => {
                Some(Arc::clone(held))
            }
            _ => None,
        };
        if std::mem::take(&mut self.behind)
            && let Some(near) = near
        {
            self.seek(near)?;
        }
        let group_of = |cut: &Cut| truncate(self.order, &cut.key).0;
        let mut group = far.map(group_of);
        let mut is_part = false;
        let mut parts: Vec<Columns> = Vec::new();
        let mut taken = 0;
        while let Some(chunk) = self.next()? {
            let rows = match &group {
                Some(group) => self.up_to(&chunk, group),
                None => chunk.rows(),
            };
            let is_all = rows.len() == chunk.len();
            let seen = self.view.see_closed(&chunk.columns, rows.clone());
            taken += seen.len();
            parts.extend(Some(seen).filter(|seen| !seen.is_empty()));
            if !is_all {
                self.chunk = Some(match self.direction {
                    Direction::Forward => Chunk { start: rows.end, ..chunk },
                    Direction::Reverse => Chunk { end: rows.start, ..chunk },
                });
                break;
            }
            if taken >= MOST && !is_part {
                let i = if self.direction == Direction::Forward { chunk.end - 1 } else { chunk.start };
                let last = truncate(self.order, &columns_key(&chunk.columns, i)).0;
                is_part = group.as_ref().is_none_or(|far| !same_group(self.order, far, &last));
                group = Some(last);
            }
        }
        let seen = self.put_together(held, parts);
        if let Some(group) = group {
            let all_of = |side: fn(Key) -> Cut| seen.position(self.order, &side(group.clone()));
            let (start, end) = match self.direction {
                Direction::Forward => (all_of(Cut::before), seen.len()),
                Direction::Reverse => (0, all_of(Cut::after)),
            };
            let mut of_group = Arc::clone(&seen);
            if end - start < seen.len() {
                of_group = Arc::new(Columns::concat(&[(&*seen, start..end.max(start))]));
            }
            self.last = Some((group, of_group));
        }
        Ok((seen, is_part))
    }

    /// What was held, and what comes after it.
    fn put_together(&self, held: Option<Arc<Columns>>, mut parts: Vec<Columns>) -> Arc<Columns> {
        if self.direction == Direction::Reverse {
            parts.reverse();
        }
        let new = match parts.len() {
            0 => return held.unwrap_or_default(),
            1 => parts.swap_remove(0),
            _ => Columns::concat(&parts.iter().map(|part| (part, 0..part.len())).collect::<Vec<_>>()),
        };
        let new = in_current_order(self.order, new);
        let new = if self.view.once { once(new) } else { new };
        match held.filter(|held| !held.is_empty()) {
            None => Arc::new(new),
            Some(held) => {
                let mut both = [(&*held, 0..held.len()), (&new, 0..new.len())];
                if self.direction == Direction::Reverse {
                    both.reverse();
                }
                Arc::new(Columns::concat(&both))
            }
        }
    }

    /// The rows of a chunk that come before the end of a group.
    fn up_to(&self, chunk: &Chunk, group: &Key) -> std::ops::Range<usize> {
        let place = |cut: Cut| chunk.columns.position(self.order.counterpart(), &cut).clamp(chunk.start, chunk.end);
        match self.direction {
            Direction::Forward => chunk.start..place(Cut::after(group.clone())),
            Direction::Reverse => place(Cut::before(group.clone()))..chunk.end,
        }
    }

    fn next(&mut self) -> Result<Option<Chunk>> {
        if let Some(chunk) = self.chunk.take() {
            return Ok(Some(chunk));
        }
        if self.done {
            return Ok(None);
        }
        let chunk = self.cursor()?.next()?;
        self.done = chunk.is_none();
        Ok(chunk)
    }

    /// Passes over the groups before that of `near`.
    fn seek(&mut self, near: &Cut) -> Result<()> {
        let cut = outer(self.order, near, self.direction);
        if let Some(chunk) = &mut self.chunk {
            let place = chunk.columns.position(self.order.counterpart(), &cut).clamp(chunk.start, chunk.end);
            match self.direction {
                Direction::Forward => chunk.start = place,
                Direction::Reverse => chunk.end = place,
            }
            if !chunk.is_empty() {
                return Ok(());
            }
        }
        self.chunk = None;
        if self.done { Ok(()) } else { self.cursor()?.seek(&cut) }
    }

    fn cursor(&mut self) -> Result<&mut Box<dyn Cursor>> {
        let cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => {
                let (from, to) = (self.range.0.as_ref(), self.range.1.as_ref());
                self.history.cursor_within(from, to, self.direction, self.view.visibility())?
            }
        };
        Ok(self.cursor.insert(cursor))
    }
}
