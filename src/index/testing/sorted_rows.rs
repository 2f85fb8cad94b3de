//! An index of one sorted run: every edit copies it. The yardstick of what is right, and a model to write a kind from.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::datom::{Columns, Cut, Order};
use crate::edn::{Form, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Address, Chunk, Cursor, Direction, Edit, Edits, Index, IndexKind, NodeSink, NodeSource};

/// A kind of index whose indexes are one sorted run of rows, in memory only.
#[derive(Debug, Clone, Copy)]
pub struct SortedRows;

#[derive(Debug)]
struct SortedIndex {
    order: Order,
    rows: Arc<Columns>,
}

impl IndexKind for SortedRows {
    fn keyword(&self) -> Keyword {
        Keyword::new("treering.index/sorted-rows")
    }

    fn check_settings(&self, _: &Form) -> Result<()> {
        Ok(())
    }

    fn empty(&self, order: Order, _: &Form, _: Arc<dyn NodeSource>) -> Result<Arc<dyn Index>> {
        Ok(Arc::new(SortedIndex { order, rows: Arc::default() }))
    }

    fn open(&self, _: Order, _: &[u8], _: &Form, _: Arc<dyn NodeSource>) -> Result<Arc<dyn Index>> {
        Err(Error::new(ErrorKind::Config, "index/not-durable", "an index of sorted rows lives in memory only"))
    }
}

impl Index for SortedIndex {
    fn order(&self) -> Order {
        self.order
    }

    fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    fn apply(&self, edits: &Edits) -> Result<Arc<dyn Index>> {
        let mut merged = Columns::default();
        let mut i = 0;
        for j in 0..edits.len() {
            let start = i;
            while i < self.rows.len() && self.rows.compare(i, edits.rows(), j, self.order) == Ordering::Less {
                i += 1;
            }
            merged.extend(&self.rows, start..i);
            match edits.edit(j) {
                Edit::Insert => merged.extend(edits.rows(), j..j + 1),
                Edit::Remove => i += 1,
            }
        }
        merged.extend(&self.rows, i..self.rows.len());
        Ok(Arc::new(SortedIndex { order: self.order, rows: Arc::new(merged) }))
    }

    fn cursor(&self, from: Option<&Cut>, to: Option<&Cut>, direction: Direction) -> Result<Box<dyn Cursor>> {
        let start = from.map_or(0, |cut| self.rows.position(self.order, cut));
        let end = to.map_or(self.rows.len(), |cut| self.rows.position(self.order, cut)).max(start);
        Ok(Box::new(SortedCursor { rows: Arc::clone(&self.rows), order: self.order, start, end, direction }))
    }

    fn rank(&self, cut: &Cut) -> Result<u64> {
        Ok(self.rows.position(self.order, cut) as u64)
    }

    fn flush(&self, _: &mut dyn NodeSink) -> Result<(Arc<dyn Index>, Vec<u8>)> {
        Err(Error::new(ErrorKind::Config, "index/not-durable", "an index of sorted rows lives in memory only"))
    }

    fn novelty(&self) -> usize {
        self.rows.weight()
    }

    fn walk(&self, _: &mut dyn FnMut(Address) -> Result<bool>) -> Result<()> {
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let sorted =
            (1..self.rows.len()).all(|i| self.rows.compare(i - 1, &self.rows, i, self.order) == Ordering::Less);
        if sorted {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Corrupt, "index/unsorted", "rows are not in ascending order"))
        }
    }
}

/// Small chunks, so that whoever reads meets chunk borders.
const CHUNK: usize = 64;

struct SortedCursor {
    rows: Arc<Columns>,
    order: Order,
    start: usize,
    end: usize,
    direction: Direction,
}

impl Cursor for SortedCursor {
    fn next(&mut self) -> Result<Option<Chunk>> {
        if self.start >= self.end {
            return Ok(None);
        }
        let (start, end) = match self.direction {
            Direction::Forward => (self.start, self.end.min(self.start + CHUNK)),
            Direction::Reverse => (self.start.max(self.end.saturating_sub(CHUNK)), self.end),
        };
        match self.direction {
            Direction::Forward => self.start = end,
            Direction::Reverse => self.end = start,
        }
        Ok(Some(Chunk { columns: Arc::clone(&self.rows), start, end }))
    }

    fn seek(&mut self, cut: &Cut) -> Result<()> {
        let position = self.rows.position(self.order, cut);
        match self.direction {
            Direction::Forward => self.start = self.start.max(position),
            Direction::Reverse => self.end = self.end.min(position),
        }
        Ok(())
    }
}
