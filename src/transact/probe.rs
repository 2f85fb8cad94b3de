//! Many look-ups in one index, in ascending order, over one cursor.

use crate::datom::{Columns, Cut, Key, Row, compare};
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
    pub fn first(&mut self, key: Key) -> Result<Option<Row>> {
        Ok(self.find(key)?.map(|(columns, i)| columns.row(i)))
    }

    /// Where the first row that begins with `key` stands.
    pub fn find(&mut self, key: Key) -> Result<Option<(&Columns, usize)>> {
        let cut = Cut::before(key);
        Ok(self.seek(&cut)?.filter(|(columns, i)| begins_with(columns, *i, &cut.key)))
    }

    /// All rows that begin with `key`.
    pub fn all(&mut self, key: Key) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let cut = Cut::before(key);
        let mut found = self.seek(&cut)?;
        while let Some((columns, i)) = found.filter(|(columns, i)| begins_with(columns, *i, &cut.key)) {
            rows.push(columns.row(i));
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
            let (columns, order) = (&chunk.columns, self.index.order());
            // Most of what is sought in a large index lies behind the chunk: its last row tells.
            if columns.position_in(chunk.end - 1..chunk.end, order, cut) < chunk.end {
                chunk.start = columns.position_in(chunk.start..chunk.end - 1, order, cut);
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

/// Whether row `i` has the entity, attribute and value of the key, where the key has them.
fn begins_with(columns: &Columns, i: usize, key: &Key) -> bool {
    key.e.is_none_or(|e| e == columns.e.get(i))
        && key.a.is_none_or(|a| u64::from(a.0) == columns.a.get(i))
        && key.v.as_ref().is_none_or(|v| compare(&columns.v.get(i), &v.as_ref()).is_eq())
}
