use std::cmp::Ordering;
use std::sync::Arc;

use treering::edn::{Form, Keyword};
use treering::index::{Address, Chunk, Cursor, Direction, Edit, Edits, Index, IndexKind, NodeSink, NodeSource};
use treering::{Columns, Cut, Error, ErrorKind, Order, Result};

/// One sorted run of rows, found by bisection; every batch of edits copies it.
#[derive(Debug, Clone, Copy)]
pub struct Bisected;

#[derive(Debug)]
struct Run {
    order: Order,
    rows: Arc<Columns>,
}

fn not_durable<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Config, "index/not-durable", "a bisected index lives in memory only"))
}

impl IndexKind for Bisected {
    fn keyword(&self) -> Keyword {
        Keyword::new("example.index/bisected")
    }

    fn check_settings(&self, settings: &Form) -> Result<()> {
        if settings.is_nil() {
            return Ok(());
        }
        let what = format!("a bisected index has no settings, got {settings}");
        Err(Error::new(ErrorKind::Config, "config/index-config", what))
    }

    fn empty(&self, order: Order, settings: &Form, _: Arc<dyn NodeSource>) -> Result<Arc<dyn Index>> {
        self.check_settings(settings)?;
        Ok(Arc::new(Run { order, rows: Arc::default() }))
    }

    fn open(&self, _: Order, _: &[u8], _: &Form, _: Arc<dyn NodeSource>) -> Result<Arc<dyn Index>> {
        not_durable()
    }
}

impl Index for Run {
    fn order(&self) -> Order {
        self.order
    }

    fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    fn apply(&self, edits: &Edits) -> Result<Arc<dyn Index>> {
        let (old, new) = (&self.rows, edits.rows());
        let mut merged = Columns::default();
        let mut i = 0;
        for j in 0..edits.len() {
            let start = i;
            while i < old.len() && old.compare(i, new, j, self.order) == Ordering::Less {
                i += 1;
            }
            merged.extend(old, start..i);
            match edits.edit(j) {
                Edit::Insert => merged.extend(new, j..j + 1),
                Edit::Remove => i += 1,
            }
        }
        merged.extend(old, i..old.len());
        Ok(Arc::new(Run { order: self.order, rows: Arc::new(merged) }))
    }

    fn cursor(&self, from: Option<&Cut>, to: Option<&Cut>, direction: Direction) -> Result<Box<dyn Cursor>> {
        let start = from.map_or(0, |cut| self.rows.position(self.order, cut));
        let end = to.map_or(self.rows.len(), |cut| self.rows.position(self.order, cut)).max(start);
        let chunk = Chunk { columns: Arc::clone(&self.rows), start, end };
        Ok(Box::new(RunCursor { chunk, order: self.order, direction }))
    }

    fn rank(&self, cut: &Cut) -> Result<u64> {
        Ok(self.rows.position(self.order, cut) as u64)
    }

    fn flush(&self, _: &mut dyn NodeSink) -> Result<(Arc<dyn Index>, Vec<u8>)> {
        not_durable()
    }

    fn novelty(&self) -> usize {
        self.rows.weight()
    }

    fn walk(&self, _: &mut dyn FnMut(Address) -> Result<bool>) -> Result<()> {
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let rows = &self.rows;
        let ascends = |i: usize| rows.compare(i - 1, rows, i, self.order) == Ordering::Less;
        if (1..rows.len()).all(ascends) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Corrupt, "index/broken", "the rows do not ascend"))
    }
}

/// What is left to read is one chunk.
struct RunCursor {
    chunk: Chunk,
    order: Order,
    direction: Direction,
}

impl Cursor for RunCursor {
    fn next(&mut self) -> Result<Option<Chunk>> {
        let rest = self.chunk.clone();
        self.chunk.start = self.chunk.end;
        Ok((!rest.is_empty()).then_some(rest))
    }

    fn seek(&mut self, cut: &Cut) -> Result<()> {
        let Chunk { columns, start, end } = &mut self.chunk;
        let place = columns.position(self.order, cut).clamp(*start, *end);
        match self.direction {
            Direction::Forward => *start = place,
            Direction::Reverse => *end = place,
        }
        Ok(())
    }
}
