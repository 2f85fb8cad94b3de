//! Many look-ups in one index, in ascending order, over one cursor.

use crate::datom::{Columns, Cut, Key, Row};
use crate::error::Result;
use crate::index::{Chunk, Cursor, Direction, Index};

/// Looks up keys that never descend.
pub(super) struct Probe<'a> {
    index: &'a dyn Index,
    cursor: Option<Box<dyn Cursor>>,
    chunk: Option<Chunk>,
    /// Nothing is left in the index after the last look-up.
    exhausted: bool,
}

impl<'a> Probe<'a> {
    pub fn new(index: &'a dyn Index) -> Probe<'a> {
        Probe { index, cursor: None, chunk: None, exhausted: index.is_empty() }
    }

    /// The first row that begins with `key`.
    pub fn first(&mut self, key: &Key) -> Result<Option<Row>> {
        let found = self.seek(&Cut::before(key.clone()))?;
        Ok(found.map(|(columns, i)| columns.row(i)).filter(|row| begins_with(row, key)))
    }

    /// All rows that begin with `key`.
    pub fn all(&mut self, key: &Key) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut found = self.seek(&Cut::before(key.clone()))?;
        while let Some((columns, i)) = found {
            let row = columns.row(i);
            if !begins_with(&row, key) {
                break;
            }
            rows.push(row);
            found = self.advance()?;
        }
        Ok(rows)
    }

    /// The first row after `cut`.
    fn seek(&mut self, cut: &Cut) -> Result<Option<(&Columns, usize)>> {
        if self.exhausted {
            return Ok(None);
        }
        if let Some(chunk) = &mut self.chunk {
            chunk.start = chunk.columns.position(self.index.order(), cut).max(chunk.start);
            if chunk.start < chunk.end {
                return Ok(self.here());
            }
        }
        match &mut self.cursor {
            Some(cursor) => cursor.seek(cut)?,
            None => self.cursor = Some(self.index.cursor(Some(cut), None, Direction::Forward)?),
        }
        self.load()
    }

    fn advance(&mut self) -> Result<Option<(&Columns, usize)>> {
        if let Some(chunk) = &mut self.chunk {
            chunk.start += 1;
            if chunk.start < chunk.end {
                return Ok(self.here());
            }
        }
        self.load()
    }

    fn load(&mut self) -> Result<Option<(&Columns, usize)>> {
        self.chunk = match &mut self.cursor {
            Some(cursor) => cursor.next()?,
            None => None,
        };
        self.exhausted = self.chunk.is_none();
        Ok(self.here())
    }

    fn here(&self) -> Option<(&Columns, usize)> {
        self.chunk.as_ref().map(|chunk| (&*chunk.columns, chunk.start))
    }
}

/// Whether the row has the entity, attribute and value of the key, where the key has them.
fn begins_with(row: &Row, key: &Key) -> bool {
    key.e.is_none_or(|e| e == row.e) && key.a.is_none_or(|a| a == row.a) && key.v.as_ref().is_none_or(|v| *v == row.v)
}
