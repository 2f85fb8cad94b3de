//! Edits on their way to the leaves: put on top of one another, and made to rows.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::node::Branch;
use crate::datom::{Columns, Cut, Order, gallop, partition};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Edit, Edits, Visibility};

/// Some neighbours among sorted edits.
#[derive(Debug, Clone)]
pub(super) struct Part<'a> {
    pub edits: &'a Edits,
    pub range: Range<usize>,
}

impl<'a> Part<'a> {
    pub fn whole(edits: &'a Edits) -> Part<'a> {
        Part { edits, range: 0..edits.len() }
    }

    /// Those of the edits that are in `range`.
    pub fn only(&self, range: Range<usize>) -> Part<'a> {
        Part { edits: self.edits, range }
    }

    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Bytes of the values of the rows that do not fit a cell.
    pub fn heap_len(&self) -> usize {
        self.edits.rows().v.heap_len_of(self.range.clone())
    }

    pub fn to_edits(&self) -> Edits {
        let mut edits = Edits::default();
        edits.extend(self.edits, self.range.clone());
        edits
    }
}

/// The edits that do what `older` and then `newer` do. An insert and a removal of one row undo each other: edits are
/// effective, so the row was absent, or present, before both.
pub(super) fn compose(order: Order, older: &Part<'_>, newer: &Part<'_>) -> Result<Edits> {
    let (old, new) = (older.edits.rows(), newer.edits.rows());
    let (old_end, new_end) = (older.range.end, newer.range.end);
    let mut both = Edits::with_room_like(older.edits, older.len() + newer.len());
    let (mut i, mut j) = (older.range.start, newer.range.start);
    while j < new_end {
        let place = gallop(i..old_end, |i| old.compare(i, new, j, order) == Ordering::Less);
        both.extend(older.edits, i..place);
        i = place;
        if i < old_end && old.compare(i, new, j, order) == Ordering::Equal {
            if older.edits.edit(i) == newer.edits.edit(j) {
                return Err(ineffective(newer.edits.edit(j)));
            }
            i += 1;
            j += 1;
        } else {
            let before_next = |j: usize| i == old_end || new.compare(j, old, i, order) == Ordering::Less;
            let end = gallop(j + 1..new_end, before_next);
            both.extend(newer.edits, j..end);
            j = end;
        }
    }
    both.extend(older.edits, i..old_end);
    Ok(both)
}

/// Rows for each edit up to which doubling steps find the place of an edit sooner than halving does.
const NEAR: usize = 8;

/// Makes edits to the rows `range` of a leaf. The rows that result are given to `take`, run by run, none of them empty.
pub(super) fn merge<'a>(
    order: Order,
    leaf: &'a Columns,
    range: Range<usize>,
    part: &Part<'a>,
    mut take: impl FnMut(&'a Columns, Range<usize>),
) -> Result<()> {
    let (edits, rows) = (part.edits, part.edits.rows());
    let (mut place, mut edit) = (range.start, part.range.start);
    while edit < part.range.end {
        let start = place;
        let is_before = |i: usize| leaf.compare(i, rows, edit, order) == Ordering::Less;
        let present;
        // Where many edits are left for the rows, the place of the next one is near.
        if (part.range.end - edit) * NEAR >= range.end - start {
            place = gallop(start..range.end, is_before);
            present = place < range.end && leaf.compare(place, rows, edit, order) == Ordering::Equal;
        } else {
            (place, present) = leaf.place_of(start..range.end, rows, edit, order);
        }
        if place > start {
            take(leaf, start..place);
        }
        match (edits.edit(edit), present) {
            (Edit::Insert, false) => {
                let goes_here = |j: usize| {
                    edits.edit(j) == Edit::Insert
                        && (place == range.end || rows.compare(j, leaf, place, order) == Ordering::Less)
                };
                let end = if place == range.end && edits.only_inserts() {
                    part.range.end
                } else {
                    (edit + 1..part.range.end).find(|j| !goes_here(*j)).unwrap_or(part.range.end)
                };
                take(rows, edit..end);
                edit = end;
            }
            (Edit::Remove, true) => {
                place += 1;
                edit += 1;
            }
            (what, _) => return Err(ineffective(what)),
        }
    }
    if place < range.end {
        take(leaf, place..range.end);
    }
    Ok(())
}

/// Edits that a reader has yet to make to the rows below.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    edits: Option<Arc<Edits>>,
    range: Range<usize>,
}

impl Pending {
    /// Those in the buffer of a branch.
    pub fn of(branch: &Branch) -> Pending {
        let edits = branch.buffer().cloned();
        Pending { range: 0..edits.as_ref().map_or(0, |edits| edits.len()), edits }
    }

    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// How many rows more they lead to.
    pub fn gain(&self) -> i64 {
        self.part().map_or(0, |part| part.edits.gain(part.range))
    }

    pub fn part(&self) -> Option<Part<'_>> {
        let edits = self.edits.as_deref().filter(|_| !self.is_empty())?;
        Some(Part { edits, range: self.range.clone() })
    }

    /// Those between two cuts.
    pub fn between(mut self, order: Order, low: Option<&Cut>, high: Option<&Cut>) -> Pending {
        let Some(edits) = &self.edits else { return self };
        let Range { start, end } = &mut self.range;
        if let Some(cut) = low {
            *start = edits.rows().position(order, cut).clamp(*start, *end);
        }
        if let Some(cut) = high {
            *end = edits.rows().position(order, cut).clamp(*start, *end);
        }
        self
    }

    /// Those for child `i` of `branch`.
    pub fn share(&self, order: Order, branch: &Branch, i: usize) -> Pending {
        let Some(Part { edits, range }) = self.part() else { return Pending::default() };
        let separators = &branch.run().separators;
        let first_of = |child: usize| match child {
            0 => range.start,
            child if child == branch.len() => range.end,
            child => partition(range.clone(), |j| edits.rows().compare(j, separators, child, order) == Ordering::Less),
        };
        let start = first_of(i);
        Pending { edits: self.edits.clone(), range: start..first_of(i + 1).max(start) }
    }

    /// These and then `newer` ones.
    pub fn and(self, order: Order, newer: Pending) -> Result<Pending> {
        match (self.part(), newer.part()) {
            (_, None) => Ok(self),
            (None, _) => Ok(newer),
            (Some(older), Some(newer)) => {
                let edits = compose(order, &older, &newer).map_err(broken)?;
                Ok(Pending { range: 0..edits.len(), edits: Some(Arc::new(edits)) })
            }
        }
    }

    /// The rows `range` of a leaf with these edits made.
    pub fn made_to(&self, order: Order, leaf: &Columns, range: Range<usize>) -> Result<Columns> {
        let Some(part) = self.part() else {
            let mut rows = Columns::default();
            rows.extend(leaf, range);
            return Ok(rows);
        };
        let mut rows = Columns::with_room_like(leaf, range.len() + part.len());
        merge(order, leaf, range, &part, |columns, range| rows.extend(columns, range)).map_err(broken)?;
        Ok(rows)
    }

    /// Whether they put in a row that can be seen.
    pub fn may_show(&self, visibility: &Visibility) -> bool {
        self.part().is_some_and(|Part { edits, mut range }| {
            let rows = edits.rows();
            range.any(|i| edits.edit(i) == Edit::Insert && visibility.shows(rows.tx.get(i), rows.until.get(i)))
        })
    }
}

/// An edit that has no effect, found when it is made.
pub(super) fn ineffective(edit: Edit) -> Error {
    let what = match edit {
        Edit::Insert => "an edit inserts a row that is present",
        Edit::Remove => "an edit removes a row that is absent",
    };
    Error::new(ErrorKind::Internal, "index/ineffective-edit", what)
}

/// An edit that has no effect, found in a buffer by a reader.
fn broken(cause: Error) -> Error {
    Error::new(ErrorKind::Corrupt, "index/broken", format!("a buffer of an index is wrong: {}", cause.message()))
}
