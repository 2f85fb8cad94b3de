//! The walk over a view, piece by piece in either direction.

use std::sync::{Arc, Weak};

use super::closed::Closed;
use super::kept::{Edge, Kept, KeptPieces, Place};
use super::piece::joined;
use super::{View, columns_key, is_whole_group};
use crate::datom::{Columns, Cut, Order, Side};
use crate::error::Result;
use crate::index::{Chunk, Cursor, Direction, Index};

/// Rows of a piece that is put together for who may want few, right after a leap. It grows from one piece to the next.
const FIRST: usize = 32;

/// Fewest rows that are kept though they are asked for for the first time.
const WORTH: usize = 64;

pub(super) struct ViewCursor {
    view: View,
    order: Order,
    direction: Direction,
    index: Arc<dyn Index>,
    current: Box<dyn Cursor>,
    /// Current rows that were read and have not gone out, the next ones last, and whether they are of a leaf.
    rows: Vec<(Chunk, bool)>,
    closed: Closed,
    kept: Arc<KeptPieces>,
    near: Near,
    /// Where the range ends.
    far: Option<Cut>,
    /// Most rows of a piece that is not kept.
    most: usize,
    ended: bool,
}

/// Up to where everything has gone out.
enum Near {
    /// The begin of the range.
    Range(Option<Cut>),
    /// Where a reader leapt to.
    Cut(Cut),
    /// Right before the next row, which is the first of a leaf.
    Edge(Cut),
    /// The last row of a leaf, or another row.
    Leaf(Arc<Columns>),
    Row(Arc<Columns>, usize),
}

/// Current rows, and how they lie in their leaf.
struct Rows {
    chunk: Chunk,
    /// Whether it is of a leaf that the index has, and not made for the cursor.
    is_leaf: bool,
    /// Whether they begin where the leaf does, in the direction of the cursor.
    at_near: bool,
    /// Whether they end where the leaf does.
    at_far: bool,
    /// Whether the range ends with them, inside the leaf.
    are_last: bool,
}

/// What some rows became.
#[derive(PartialEq, Eq)]
enum Made {
    /// The rows as they are.
    Leaf,
    /// Other columns.
    Piece,
    /// What comes before them.
    Part,
}

impl ViewCursor {
    pub fn new(
        (view, order, direction): (View, Order, Direction),
        (from, to): (Option<Cut>, Option<Cut>),
        (index, current): (Arc<dyn Index>, Box<dyn Cursor>),
        closed: Closed,
        kept: Arc<KeptPieces>,
    ) -> ViewCursor {
        let (near, far) = if direction == Direction::Forward { (from, to) } else { (to, from) };
        let (rows, near) = (Vec::new(), Near::Range(near));
        ViewCursor { view, order, direction, index, current, rows, closed, kept, near, far, most: FIRST, ended: false }
    }

    fn is_forward(&self) -> bool {
        self.direction == Direction::Forward
    }

    /// The cut beyond a row, in the direction of the cursor.
    fn beyond(&self, columns: &Columns, i: usize) -> Cut {
        Cut { key: columns_key(columns, i), side: if self.is_forward() { Side::After } else { Side::Before } }
    }

    fn near_cut(&self) -> Option<Cut> {
        match &self.near {
            Near::Range(cut) => cut.clone(),
            Near::Cut(cut) | Near::Edge(cut) => Some(cut.clone()),
            Near::Leaf(leaf) => Some(self.beyond(leaf, if self.is_forward() { leaf.len() - 1 } else { 0 })),
            Near::Row(columns, i) => Some(self.beyond(columns, *i)),
        }
    }

    /// The next current rows.
    fn next_rows(&mut self) -> Result<Option<Rows>> {
        let next = self.rows.pop().map_or_else(|| self.next_chunk(), |next| Ok(Some(next)))?;
        let Some((chunk, is_leaf)) = next else { return Ok(None) };
        let (at_start, at_end) = (chunk.start == 0, chunk.end == chunk.columns.len());
        let (at_near, at_far) = if self.is_forward() { (at_start, at_end) } else { (at_end, at_start) };
        let mut are_last = false;
        if !at_far && self.rows.is_empty() {
            let more = self.next_chunk()?;
            are_last = more.is_none();
            self.rows.extend(more);
        }
        Ok(Some(Rows { chunk, is_leaf, at_near, at_far, are_last }))
    }

    fn next_chunk(&mut self) -> Result<Option<(Chunk, bool)>> {
        let chunk = self.current.next()?;
        // What nobody else holds was made for this cursor.
        let is_leaf = chunk.as_ref().is_some_and(|chunk| Arc::strong_count(&chunk.columns) > 1);
        Ok(chunk.map(|chunk| (chunk, is_leaf)))
    }

    /// The name of the piece for some current rows, if it may be kept.
    fn place(&self, rows: &Rows) -> Option<Place> {
        let Rows { chunk, is_leaf, at_near, at_far, are_last } = rows;
        let leaf = &chunk.columns;
        if !is_leaf || !(*at_far || *are_last) {
            return None;
        }
        let near = match &self.near {
            Near::Leaf(last) if *at_near => Edge::After(Arc::as_ptr(last) as usize),
            Near::Edge(_) => Edge::Inside,
            _ if !at_near && self.can_be_whole(leaf) => Edge::Inside,
            Near::Range(cut) => Edge::Cut(cut.clone().map(Box::new)),
            _ => return None,
        };
        let far = if *at_far || near == Edge::Inside { None } else { self.far.clone().map(Box::new) };
        Some(self.kept.place((self.view, self.order, self.direction), Arc::as_ptr(leaf) as usize, near, far))
    }

    /// Whether all that a view shows from the first row of a leaf to the last may be read at once. The groups at its ends are
    /// read whole, and those of AVET can be of any size.
    fn can_be_whole(&self, leaf: &Columns) -> bool {
        self.order != Order::Avet && !is_whole_group(self.order, leaf, 0, leaf.len() - 1)
    }

    /// The piece for some current rows.
    fn piece(&mut self, mut rows: Rows) -> Result<Chunk> {
        if matches!(self.near, Near::Cut(_)) && rows.is_leaf && rows.at_near && self.can_be_whole(&rows.chunk.columns) {
            return self.before_leaf(rows);
        }
        let Some(place) = self.place(&rows) else {
            if !rows.at_near {
                self.part(&mut rows);
            }
            return Ok(self.put_together(rows)?.0);
        };
        let is_inside = place.near == Edge::Inside;
        if let Some(kept) = self.kept.get(&place) {
            return Ok(self.give(rows, &kept, is_inside));
        }
        // Who asks for one place and never again should neither wait for a whole leaf nor push out what others read.
        let is_worth = match place.near {
            Edge::After(_) => true,
            Edge::Inside => self.kept.was_asked(&place),
            Edge::Cut(_) => rows.chunk.len() >= WORTH || self.kept.was_asked(&place),
        };
        if is_inside {
            let whole = if is_worth { self.put_together_inside(&rows.chunk.columns)? } else { None };
            if let Some(whole) = whole {
                let kept = self.kept.put(place, whole);
                return Ok(self.give(rows, &kept, true));
            }
            self.part(&mut rows);
        }
        if !is_worth || is_inside {
            return Ok(self.put_together(rows)?.0);
        }
        let last = match &self.near {
            Near::Leaf(last) => Arc::downgrade(last),
            _ => Weak::new(),
        };
        let leaf = Arc::clone(&rows.chunk.columns);
        let (piece, made) = self.put_together(rows)?;
        let rows = (made == Made::Piece).then(|| Arc::clone(&piece.columns));
        if made != Made::Part {
            self.kept.put(place, Kept { rows, _leaves: [Arc::downgrade(&leaf), last] });
        }
        Ok(piece)
    }

    /// Leaves the rows beyond the first ones for later.
    fn part(&mut self, rows: &mut Rows) {
        let most = self.most;
        self.most = most * 4;
        let chunk = &mut rows.chunk;
        if chunk.len() <= most {
            return;
        }
        let mut rest = chunk.clone();
        if self.direction == Direction::Forward {
            chunk.end = chunk.start + most;
            rest.start = chunk.end;
        } else {
            chunk.start = chunk.end - most;
            rest.end = chunk.start;
        }
        self.rows.push((rest, rows.is_leaf));
        (rows.at_far, rows.are_last) = (false, false);
    }

    /// Goes on beyond some rows, whose piece goes out.
    fn leave(&mut self, rows: &Rows) {
        let Rows { chunk, is_leaf, at_far, are_last, .. } = rows;
        self.ended = *are_last;
        let i = if self.is_forward() { chunk.end - 1 } else { chunk.start };
        self.near = match *at_far && *is_leaf {
            true => Near::Leaf(Arc::clone(&chunk.columns)),
            false => Near::Row(Arc::clone(&chunk.columns), i),
        };
    }

    /// A piece that was kept. `is_whole`: it is that of a leaf, which may be more than was asked for.
    fn give(&mut self, rows: Rows, kept: &Kept, is_whole: bool) -> Chunk {
        self.closed.pass();
        let piece = match &kept.rows {
            None => rows.chunk.clone(),
            Some(shown) => {
                let mut piece = Chunk { start: 0, end: shown.len(), columns: Arc::clone(shown) };
                if is_whole {
                    self.cut_off(&mut piece, rows.are_last);
                }
                piece
            }
        };
        self.leave(&rows);
        piece
    }

    /// Leaves out what has gone out before, and what lies behind the end of the range.
    fn cut_off(&self, piece: &mut Chunk, is_last: bool) {
        let (near, far) = (self.near_cut(), self.far.as_ref().filter(|_| is_last));
        let (low, high) = if self.is_forward() { (near.as_ref(), far) } else { (far, near.as_ref()) };
        let position = |cut: &Cut| piece.columns.position(self.order, cut);
        let start = low.map_or(0, position);
        let end = high.map_or(piece.end, position);
        (piece.start, piece.end) = (start, end.max(start));
    }

    /// Puts together the piece for some rows; says whether it is kept for what it is. Where very many closed rows lie before
    /// them, some of those come first.
    fn put_together(&mut self, rows: Rows) -> Result<(Chunk, Made)> {
        let near = self.near_cut();
        let i = if self.is_forward() { rows.chunk.end - 1 } else { rows.chunk.start };
        let far = match rows.are_last {
            true => self.far.clone(),
            false => Some(self.beyond(&rows.chunk.columns, i)),
        };
        let (closed, is_part) = self.closed.take(near.as_ref(), far.as_ref())?;
        if is_part {
            self.rows.push((rows.chunk, rows.is_leaf));
            return Ok((self.closed_alone(closed), Made::Part));
        }
        let (low, high) = if self.is_forward() { (near, far) } else { (far, near) };
        let position = |cut: &Cut| closed.position(self.order, cut);
        let start = low.as_ref().map_or(0, position);
        let end = high.as_ref().map_or(closed.len(), position);
        let piece = joined(self.view, self.order, &rows.chunk, &closed, start..end.max(start));
        self.leave(&rows);
        Ok(match piece {
            None => (rows.chunk, Made::Leaf),
            Some(columns) => (Chunk { start: 0, end: columns.len(), columns }, Made::Piece),
        })
    }

    /// What lies between the place that a reader leapt to and the first row of the next leaf.
    fn before_leaf(&mut self, rows: Rows) -> Result<Chunk> {
        let Chunk { columns, start, end } = &rows.chunk;
        let far = match self.direction {
            Direction::Forward => Cut::before(columns_key(columns, *start)),
            Direction::Reverse => Cut::after(columns_key(columns, *end - 1)),
        };
        let (closed, is_part) = self.closed.take(self.near_cut().as_ref(), Some(&far))?;
        self.rows.push((rows.chunk, rows.is_leaf));
        if is_part {
            return Ok(self.closed_alone(closed));
        }
        let mut piece = Chunk { start: 0, end: closed.len(), columns: closed };
        let end = piece.columns.position(self.order, &far);
        self.cut_off(&mut piece, true);
        match self.direction {
            Direction::Forward => piece.end = piece.end.min(end).max(piece.start),
            Direction::Reverse => piece.start = piece.start.max(end).min(piece.end),
        }
        self.near = Near::Edge(far);
        Ok(piece)
    }

    /// Closed rows up to the end of a group, with no current rows among them.
    fn closed_alone(&mut self, closed: Arc<Columns>) -> Chunk {
        let mut piece = Chunk { start: 0, end: closed.len(), columns: closed };
        self.cut_off(&mut piece, true);
        if let Some(group) = self.closed.last_group() {
            let side = if self.is_forward() { Side::After } else { Side::Before };
            self.near = Near::Cut(Cut { key: group.clone(), side });
        }
        piece
    }

    /// What the view shows from the first row of a leaf to the last; `None` where that is too much or the leaf not up to date.
    fn put_together_inside(&self, leaf: &Arc<Columns>) -> Result<Option<Kept>> {
        let (first, last) = (Cut::before(columns_key(leaf, 0)), Cut::after(columns_key(leaf, leaf.len() - 1)));
        // An index may have edits that are yet to be made to other rows of the leaf than those that were read.
        let mut current = self.index.cursor(Some(&first), Some(&last), Direction::Forward)?;
        if !current.next()?.is_some_and(|all| Arc::ptr_eq(&all.columns, leaf) && all.len() == leaf.len()) {
            return Ok(None);
        }
        let range = self.view.closed_range(self.order, Some(&first), Some(&last));
        let mut closed = self.closed.anew(Direction::Forward, range);
        let (closed, is_part) = closed.take(Some(&first), Some(&last))?;
        if is_part {
            return Ok(None);
        }
        let due = closed.position(self.order, &first)..closed.position(self.order, &last);
        let chunk = Chunk { start: 0, end: leaf.len(), columns: Arc::clone(leaf) };
        let rows = joined(self.view, self.order, &chunk, &closed, due);
        Ok(Some(Kept { rows, _leaves: [Arc::downgrade(leaf), Weak::new()] }))
    }

    /// Some of what lies beyond the last current row.
    fn rest(&mut self) -> Result<Chunk> {
        let place = match &self.near {
            Near::Leaf(last) => {
                let (after, far) = (Edge::After(Arc::as_ptr(last) as usize), self.far.clone().map(Box::new));
                let place = self.kept.place((self.view, self.order, self.direction), 0, after, far);
                Some((place, Arc::downgrade(last)))
            }
            _ => None,
        };
        if place.as_ref().is_some_and(|(place, _)| self.kept.get(place).is_some()) {
            self.ended = true;
            return Ok(Chunk::whole(Columns::default()));
        }
        let (closed, is_part) = self.closed.take(self.near_cut().as_ref(), None)?;
        if is_part {
            return Ok(self.closed_alone(closed));
        }
        let mut piece = Chunk { start: 0, end: closed.len(), columns: closed };
        self.cut_off(&mut piece, true);
        self.ended = true;
        if let Some((place, last)) = place
            && piece.is_empty()
        {
            // Nothing lies there.
            self.kept.put(place, Kept { rows: None, _leaves: [Weak::new(), last] });
        }
        Ok(piece)
    }
}

impl Cursor for ViewCursor {
    fn next(&mut self) -> Result<Option<Chunk>> {
        while !self.ended {
            let piece = match self.next_rows()? {
                Some(rows) => self.piece(rows)?,
                None => self.rest()?,
            };
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    fn seek(&mut self, cut: &Cut) -> Result<()> {
        let is_passed = self.near_cut().is_some_and(|near| match self.direction {
            Direction::Forward => near.compare(cut, self.order).is_ge(),
            Direction::Reverse => near.compare(cut, self.order).is_le(),
        });
        if is_passed || self.ended {
            return Ok(());
        }
        let order = self.order;
        for (chunk, _) in &mut self.rows {
            let place = chunk.columns.position(order, cut).clamp(chunk.start, chunk.end);
            match self.direction {
                Direction::Forward => chunk.start = place,
                Direction::Reverse => chunk.end = place,
            }
        }
        self.rows.retain(|(chunk, _)| !chunk.is_empty());
        if self.rows.is_empty() {
            self.current.seek(cut)?;
        }
        self.near = Near::Cut(cut.clone());
        self.closed.pass();
        self.most = FIRST;
        Ok(())
    }
}
