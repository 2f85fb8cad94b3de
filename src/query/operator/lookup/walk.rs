//! The walk over an index: which rows on the left come first, and where the cursor goes for them.

use std::sync::Arc;

use super::{By, LookupOp, extend_part};
use crate::datom::{Columns, Cut, EntityId, Key, Side, Value, ValueKind, ValueRef, compare};
use crate::edn::Keyword;
use crate::error::Result;
use crate::index::{Chunk, Cursor, Direction};
use crate::query::operator::batch::{BATCH, Column};
use crate::query::operator::{Exec, equal_values};
use crate::query::plan::{E, TX, V, resolve_entity};

/// A cursor and the chunk that it stands in.
pub(super) struct Reader {
    cursor: Box<dyn Cursor>,
    chunk: Option<Chunk>,
    at: usize,
}

impl Reader {
    /// The rows at hand, loading the next chunk when there are none.
    #[inline]
    fn peek(&mut self) -> Result<Option<(&Arc<Columns>, usize, usize)>> {
        if self.chunk.as_ref().is_none_or(|chunk| self.at >= chunk.end) {
            self.chunk = self.cursor.next()?;
            self.at = self.chunk.as_ref().map_or(0, |chunk| chunk.start);
        }
        Ok(self.chunk.as_ref().map(|chunk| (&chunk.columns, self.at, chunk.end)))
    }

    /// Leaves the rest of the chunk, and what follows up to `cut`.
    fn leap(&mut self, cut: &Cut) -> Result<()> {
        self.chunk = None;
        self.cursor.seek(cut)
    }
}

impl LookupOp {
    /// The entities that a column names.
    pub(super) fn entities_of(&self, column: &Column, cx: &Exec<'_>) -> Result<Vec<Option<u64>>> {
        let mut out = Vec::with_capacity(column.len());
        for row in 0..column.len() {
            let cell = column.cells()[row];
            out.push(match column.kind_at(row) {
                ValueKind::Ref => Some(cell),
                ValueKind::Long => Some(cell).filter(|cell| *cell <= EntityId::MAX.0),
                ValueKind::Keyword | ValueKind::Tuple => {
                    let value = cx.heap.get(column.kind_at(row), cell).to_value();
                    resolve_entity(&self.db, &value)?.map(|id| id.0)
                }
                _ => None,
            });
        }
        Ok(out)
    }

    /// Takes the rows in the order of entities.
    pub(super) fn sort_by_entity(&mut self, column: usize, cx: &Exec<'_>) -> Result<()> {
        let column = &self.left.columns[column];
        self.rows.clear();
        self.entities.clear();
        if column.kind() == Some(ValueKind::Ref) {
            self.entities.extend_from_slice(column.cells());
            self.rows.extend(0..self.left.len as u32);
        } else {
            let named = self.entities_of(&self.left.columns[by_column(self.by)], cx)?;
            for (row, entity) in named.into_iter().enumerate() {
                if let Some(entity) = entity {
                    self.entities.push(entity);
                    self.rows.push(row as u32);
                }
            }
        }
        if !self.entities.is_sorted() {
            let mut pairs: Vec<(u64, u32)> = self.entities.iter().copied().zip(self.rows.iter().copied()).collect();
            pairs.sort_unstable();
            self.entities.clear();
            self.entities.extend(pairs.iter().map(|(entity, _)| *entity));
            self.rows.clear();
            self.rows.extend(pairs.iter().map(|(_, row)| *row));
        }
        Ok(())
    }

    /// The value by which the index is entered for a row, as the attribute stores it.
    fn value_key(&self, column: usize, cx: &Exec<'_>) -> Result<Option<Value>> {
        let (column, row) = (&self.left.columns[column], self.rows[self.next] as usize);
        let value = cx.heap.get(column.kind_at(row), column.cells()[row]).to_value();
        crate::query::plan::resolve_value(&self.db, self.attribute.as_deref(), &value)
    }

    pub(super) fn sort_by_value(&mut self, column: usize, cx: &Exec<'_>) {
        let column = &self.left.columns[column];
        self.rows.clear();
        self.rows.extend(0..self.left.len as u32);
        let cells = column.cells();
        match column.kind() {
            Some(ValueKind::Long | ValueKind::Instant | ValueKind::Ref) => {
                self.rows.sort_by_key(|row| cells[*row as usize] as i64);
            }
            _ => {
                let value = |row: u32| cx.heap.get(column.kind_at(row as usize), cells[row as usize]);
                self.rows.sort_by(|a, b| compare(&value(*a), &value(*b)));
            }
        }
    }

    fn open(&mut self, from: &Cut, to: Option<&Cut>) -> Result<()> {
        let cursor = self.db.cursor(self.order, Some(from), to, Direction::Forward)?;
        self.reader = Some(Reader { cursor, chunk: None, at: 0 });
        Ok(())
    }

    /// By constants: the whole range for each row.
    pub(super) fn step_scan(&mut self, cx: &mut Exec<'_>) -> Result<()> {
        while self.next < self.rows.len() && !self.is_full() {
            if self.run == 0 {
                let (from, to) = (self.from.clone(), self.to.clone());
                let (from, to) = if self.bounded { (Some(from), Some(to)) } else { (None, None) };
                let cursor = self.db.cursor(self.order, from.as_ref(), to.as_ref(), Direction::Forward)?;
                self.reader = Some(Reader { cursor, chunk: None, at: 0 });
                self.run = 1;
            }
            self.drain_range(cx)?;
        }
        Ok(())
    }

    /// Puts out what the reader still has for the run, until a batch is full.
    fn drain_range(&mut self, cx: &mut Exec<'_>) -> Result<()> {
        while !self.is_full() {
            let piece = self.piece();
            let Some(reader) = &mut self.reader else { break };
            let Some((columns, start, end)) = reader.peek()? else {
                self.end_run();
                return Ok(());
            };
            let end = end.min(start + piece);
            let columns = Arc::clone(columns);
            reader.at = end;
            if !self.emit(&columns, start, end, cx) {
                self.end_run();
                return Ok(());
            }
        }
        Ok(())
    }

    fn end_run(&mut self) {
        self.next += self.run;
        self.run = 0;
    }

    /// By entity: one pass over the index, leaping over what no row asks for.
    pub(super) fn step_entities(&mut self, cx: &mut Exec<'_>) -> Result<()> {
        while self.next < self.rows.len() && !self.is_full() {
            let target = self.entities[self.next];
            let Some(mut reader) = self.reader.take() else {
                let (from, to) = (self.entity_cut(target), self.to.clone());
                let bounded = self.bounded;
                self.open(&from, bounded.then_some(&to))?;
                continue;
            };
            let found = reader.peek()?.map(|(columns, start, end)| (Arc::clone(columns), start, end));
            let Some((columns, start, end)) = found else {
                // Nothing lies after; neither for the rows that follow, which ask for what comes later.
                self.reader = Some(reader);
                self.next = self.rows.len();
                self.run = 0;
                return Ok(());
            };
            if self.run == 0 {
                let before = self.next;
                reader.at = self.sweep(&columns, start, end, cx);
                if reader.at == end && self.next < self.rows.len() {
                    reader.leap(&self.entity_cut(self.entities[self.next]))?;
                }
                if self.next > before || reader.at != start {
                    self.reader = Some(reader);
                    continue;
                }
                let rest = &self.entities[self.next..];
                self.run = rest.iter().take_while(|entity| **entity == target).count();
            }
            // The datoms of one entity reach the end of the chunk, or go on in this one.
            let mut last = start;
            let stop = end.min(start + self.piece());
            while last < stop && columns.e.get(last) == target {
                last += 1;
            }
            // The run goes on when the datoms of the entity may.
            let more = last == end || columns.e.get(last) == target;
            reader.at = last;
            self.reader = Some(reader);
            let wants_more = last == start || self.emit(&columns, start, last, cx);
            if !wants_more || !more {
                self.end_run();
            }
        }
        Ok(())
    }

    /// Answers rows from the datoms `start..end` of a chunk, as long as all datoms of an entity lie in it. Says where it
    /// stopped: at `end` when the next row asks for what comes after the chunk.
    fn sweep(&mut self, columns: &Arc<Columns>, start: usize, end: usize, cx: &mut Exec<'_>) -> usize {
        let mut matches: Vec<u32> = Vec::new();
        let mut at = start;
        let free = self.checks.is_empty();
        'rows: while self.next < self.rows.len() && self.made + matches.len() < BATCH {
            let target = self.entities[self.next];
            at = gallop(columns, at, end, target);
            if at == end {
                break;
            }
            if columns.e.get(at) != target {
                self.next += 1;
                continue;
            }
            let mut last = at + 1;
            while last < end && columns.e.get(last) == target {
                last += 1;
            }
            if last == end {
                break;
            }
            while self.next < self.rows.len() && self.entities[self.next] == target {
                if self.made + matches.len() >= BATCH {
                    break 'rows;
                }
                let row = self.rows[self.next];
                for datom in at..last {
                    if free || self.passes(columns, datom, row as usize, cx) {
                        self.selected.push(row);
                        matches.push(datom as u32);
                        if self.exists {
                            break;
                        }
                    }
                }
                self.next += 1;
            }
            at = last;
        }
        self.made += matches.len();
        if !matches.is_empty() && !self.news.is_empty() {
            let pin = self.pin(columns, cx);
            for (position, column) in self.news.iter().zip(&mut self.columns) {
                match *position {
                    E => column.gather_ints(ValueKind::Ref, &columns.e, &matches),
                    TX => column.gather_ints(ValueKind::Ref, &columns.tx, &matches),
                    V => column.gather_values(&columns.v, &matches, pin),
                    _ => matches.iter().for_each(|datom| {
                        let datom = *datom as usize;
                        extend_part(column, &self.db, columns, *position, datom, datom + 1, pin);
                    }),
                }
            }
        }
        at
    }

    fn entity_cut(&self, e: u64) -> Cut {
        Cut::before(Key { e: Some(e), a: self.from.key.a, ..Key::default() })
    }

    /// By value: a leap to each different value, forwards as long as they ascend.
    pub(super) fn step_values(&mut self, column: usize, cx: &mut Exec<'_>) -> Result<()> {
        while self.next < self.rows.len() && !self.is_full() {
            if self.run == 0 {
                self.run = self.count_run(column, cx);
                let Some(key) = self.value_key(column, cx)? else {
                    self.end_run();
                    continue;
                };
                if self.key.as_ref().is_some_and(|last| key <= *last) {
                    self.reader = None;
                }
                self.key = Some(key);
            }
            let Some(key) = self.key.clone() else { return Ok(()) };
            let Some(mut reader) = self.reader.take() else {
                let (from, to) = (self.value_cut(&key), self.to.clone());
                self.open(&from, Some(&to))?;
                continue;
            };
            let found = reader.peek()?.map(|(columns, start, end)| (Arc::clone(columns), start, end));
            let Some((columns, start, end)) = found else {
                self.reader = Some(reader);
                self.end_run();
                continue;
            };
            let at = columns.v.partition(start..end, &key.as_ref(), Side::Before);
            if at == end {
                reader.leap(&self.value_cut(&key))?;
                self.reader = Some(reader);
                continue;
            }
            let stop = columns.v.partition(at..end, &key.as_ref(), Side::After);
            let last = stop.min(at + self.piece());
            reader.at = last;
            self.reader = Some(reader);
            let wants_more = at == last || self.emit(&columns, at, last, cx);
            if !wants_more || (last == stop && stop < end) {
                self.end_run();
            }
        }
        Ok(())
    }

    fn value_cut(&self, value: &Value) -> Cut {
        Cut::before(Key { a: self.from.key.a, v: Some(value.clone()), ..Key::default() })
    }

    /// How many rows from `next` on have the same key.
    fn count_run(&self, column: usize, cx: &Exec<'_>) -> usize {
        let column = &self.left.columns[column];
        let first = self.rows[self.next] as usize;
        let (kind, cell) = (column.kind_at(first), column.cells()[first]);
        let value = cx.heap.get(kind, cell);
        let same = |other: &&u32| {
            let other = **other as usize;
            let (other_kind, other_cell) = (column.kind_at(other), column.cells()[other]);
            (kind == other_kind && cell == other_cell) || equal_values(&value, &cx.heap.get(other_kind, other_cell))
        };
        self.rows[self.next..].iter().take_while(same).count()
    }

    /// By attribute: the range of each different one.
    pub(super) fn step_attributes(&mut self, column: usize, cx: &mut Exec<'_>) -> Result<()> {
        while self.next < self.rows.len() && !self.is_full() {
            if self.run == 0 {
                self.run = self.count_run(column, cx);
                let left = &self.left.columns[column];
                let row = self.rows[self.next] as usize;
                let schema = self.db.schema();
                let attribute = match cx.heap.get(left.kind_at(row), left.cells()[row]) {
                    ValueRef::Keyword(ident) => schema.attribute(ident),
                    ValueRef::Str(text) => schema.attribute(Keyword::new(text)),
                    ValueRef::Ref(id) if schema.has_attribute_refs() => schema.of_entity(id.0),
                    ValueRef::Long(n) if schema.has_attribute_refs() => {
                        u64::try_from(n).ok().and_then(|id| schema.of_entity(id))
                    }
                    _ => None,
                };
                let Some(attribute) = attribute else {
                    self.end_run();
                    continue;
                };
                let key = Key { a: Some(attribute.id), ..Key::default() };
                self.open(&Cut::before(key.clone()), Some(&Cut::after(key)))?;
            }
            self.drain_range(cx)?;
        }
        Ok(())
    }
}

fn by_column(by: By) -> usize {
    match by {
        By::Constants => 0,
        By::Entity(column) | By::Value(column) | By::Attribute(column) => column,
    }
}

/// The first row from `start` on whose entity is not less than `target`; `end` when there is none.
#[inline]
fn gallop(columns: &Columns, start: usize, end: usize, target: u64) -> usize {
    let Some(entities) = columns.e.plain() else {
        return columns.e.partition(start..end, target, Side::Before);
    };
    if entities[start] >= target {
        return start;
    }
    let mut step = 1;
    let mut low = start;
    while low + step < end && entities[low + step] < target {
        low += step;
        step *= 2;
    }
    let high = end.min(low + step + 1);
    low + entities[low..high].partition_point(|e| *e < target)
}
