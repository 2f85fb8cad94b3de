//! The walk over an index: which rows on the left come first, and where the cursor goes for them.

use std::sync::Arc;

use super::{LookupOp, SHARED};
use crate::datom::{Columns, Cut, EntityId, Key, Side, Value, ValueKind, ValueRef, compare};
use crate::edn::Keyword;
use crate::error::Result;
use crate::index::{Chunk, Cursor, Direction};
use crate::query::operator::batch::{BATCH, Column};
use crate::query::operator::{Exec, equal_values};
use crate::query::plan::resolve_entity;

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

    /// Leaves the rows from `end` on.
    fn end_at(&mut self, end: usize) {
        if let Some(chunk) = &mut self.chunk {
            chunk.end = end;
        }
    }

    /// Leaves the rest of the chunk, and what follows up to `cut`.
    fn leap(&mut self, cut: &Cut) -> Result<()> {
        self.chunk = None;
        self.cursor.seek(cut)
    }

    /// Whether an entity after the chunk is to be expected in the next one.
    fn is_near(&self, entity: u64) -> bool {
        self.chunk.as_ref().is_some_and(|chunk| {
            let (first, last) = (chunk.columns.e.get(chunk.start), chunk.columns.e.get(chunk.end - 1));
            entity.saturating_sub(last) <= last.saturating_sub(first) + 1
        })
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

    /// Takes all rows as they stand.
    pub(super) fn rows_in_order(&mut self) {
        let (n, len) = (self.left.len, self.rows.len());
        if !self.in_order {
            self.rows.clear();
            self.rows.extend(0..n as u32);
            self.in_order = true;
        } else if n < len {
            self.rows.truncate(n);
        } else {
            self.rows.extend(len as u32..n as u32);
        }
    }

    /// For each of `rows` the entity.
    pub(super) fn entities(&self, column: usize) -> &[u64] {
        match &self.entities {
            Some(entities) => entities,
            None => self.left.columns[column].cells(),
        }
    }

    /// Takes the rows in the order of entities.
    pub(super) fn sort_by_entity(&mut self, by: usize, cx: &Exec<'_>) -> Result<()> {
        let column = &self.left.columns[by];
        self.entities = None;
        if column.kind() == Some(ValueKind::Ref) {
            if column.is_ascending() || column.cells().is_sorted() {
                self.rows_in_order();
                return Ok(());
            }
            let (entities, rows) = sorted_with_places(column.cells());
            (self.entities, self.rows, self.in_order) = (Some(entities), rows, false);
            return Ok(());
        }
        let named = self.entities_of(column, cx)?;
        let mut pairs: Vec<(u64, u32)> =
            named.into_iter().zip(0..).filter_map(|(entity, row)| Some((entity?, row))).collect();
        if !pairs.is_sorted() {
            pairs.sort_unstable();
        }
        self.take_pairs(&pairs);
        Ok(())
    }

    fn take_pairs(&mut self, pairs: &[(u64, u32)]) {
        self.entities = Some(pairs.iter().map(|(entity, _)| *entity).collect());
        self.rows.clear();
        self.rows.extend(pairs.iter().map(|(_, row)| *row));
        self.in_order = false;
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
        self.in_order = false;
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
                let direction = if self.reverse { Direction::Reverse } else { Direction::Forward };
                let cursor = self.db.cursor(self.order, from.as_ref(), to.as_ref(), direction)?;
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
            let columns = Arc::clone(columns);
            let (start, end) = if self.reverse {
                let start = start.max(end.saturating_sub(piece));
                reader.end_at(start);
                (start, end)
            } else {
                let end = end.min(start + piece);
                reader.at = end;
                (start, end)
            };
            if !self.emit(&columns, start, end, cx) {
                self.end_run();
                return Ok(());
            }
            self.full = self.made >= SHARED && self.made == end - start && self.checks.is_empty() && !self.exists;
        }
        Ok(())
    }

    fn end_run(&mut self) {
        self.next += self.run;
        self.run = 0;
    }

    /// By entity: one pass over the index, leaping over what no row asks for.
    pub(super) fn step_entities(&mut self, column: usize, cx: &mut Exec<'_>) -> Result<()> {
        while self.next < self.rows.len() && !self.is_full() {
            let target = self.entities(column)[self.next];
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
                // The datoms of the last entity may go on in the next chunk, unless there is one only.
                let stop = match (self.single, self.mostly_single) {
                    (true, _) => end,
                    (_, true) if end - start > 1 && strictly_ascends(&columns, start, end) => end - 1,
                    _ => start,
                };
                reader.at = if stop > start {
                    self.sweep_single(column, &columns, start, stop, cx)
                } else {
                    self.sweep(column, &columns, start, end, cx)
                };
                if reader.at == end && self.next < self.rows.len() {
                    let target = self.entities(column)[self.next];
                    if !reader.is_near(target) {
                        reader.leap(&self.entity_cut(target))?;
                    }
                }
                if self.next > before || reader.at != start {
                    self.reader = Some(reader);
                    continue;
                }
                let rest = &self.entities(column)[self.next..];
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

    /// Answers rows from the datoms `start..end` of a chunk, one for each entity. Says where it stopped: at `end` when the
    /// next row asks for what comes after the chunk.
    fn sweep_single(
        &mut self,
        column: usize,
        columns: &Arc<Columns>,
        start: usize,
        end: usize,
        cx: &mut Exec<'_>,
    ) -> usize {
        let last = columns.e.get(end - 1);
        let room = if self.exists { usize::MAX } else { BATCH.saturating_sub(self.made).max(1) };
        let (mut matches, mut picks) = (std::mem::take(&mut self.matches), std::mem::take(&mut self.picks));
        matches.clear();
        picks.clear();
        let rest = &self.entities(column)[self.next..];
        let within = first_above(rest, last);
        let n = within.min(room);
        let mut straight = None;
        // The next batch may ask for more of this chunk.
        let mut stop = if within < rest.len() && within <= room { end } else { start };
        if let Some(first) = columns.e.consecutive_from(start..end) {
            let skipped = rest[..n].partition_point(|entity| *entity < first);
            let asked = &rest[skipped..n];
            let row = self.next + skipped;
            if let (Some(from), Some(to)) = (asked.first(), asked.last())
                && self.checks.is_empty()
                && self.in_order
                && to - from == asked.len() as u64 - 1
                && asked.windows(2).all(|pair| pair[1] == pair[0] + 1)
            {
                straight = Some((start + (from - first) as usize, row, asked.len()));
            } else {
                let shift = (start as u64).wrapping_sub(first);
                matches.extend(asked.iter().map(|entity| entity.wrapping_add(shift) as u32));
                picks.extend(row as u32..(row + asked.len()) as u32);
            }
        } else {
            let mut at = start;
            for (i, entity) in rest[..n].iter().enumerate() {
                at = gallop(columns, at, end, *entity);
                if at == end {
                    break;
                }
                if columns.e.get(at) == *entity {
                    matches.push(at as u32);
                    picks.push((self.next + i) as u32);
                }
            }
            stop = stop.max(at);
        }
        (self.matches, self.picks) = (matches, picks);
        self.next += n;
        match straight {
            Some((datom, row, n)) => {
                self.chosen.push_run(row, n);
                self.put_run(columns, datom, datom + n, cx);
            }
            None => self.put_matches(columns, cx),
        }
        stop
    }

    /// Answers rows from the datoms `start..end` of a chunk, as long as all datoms of an entity lie in it. Says where it
    /// stopped: at `end` when the next row asks for what comes after the chunk.
    fn sweep(&mut self, column: usize, columns: &Arc<Columns>, start: usize, end: usize, cx: &mut Exec<'_>) -> usize {
        let entities = match columns.e.plain() {
            Some(entities) => entities,
            None => &vec![columns.e.get(start); end],
        };
        let (mut matches, mut picks) = (std::mem::take(&mut self.matches), std::mem::take(&mut self.picks));
        let asked = self.entities(column);
        let (at, next) = self.pair(&mut matches, &mut picks, &entities[..end], start, |n| asked[n], |cell| cell);
        (self.next, self.matches, self.picks) = (next, matches, picks);
        self.put_matches(columns, cx);
        at
    }

    /// The same by values that are told, and ordered, by their cells as numbers with a sign.
    fn sweep_values(
        &mut self,
        column: usize,
        columns: &Arc<Columns>,
        start: usize,
        end: usize,
        cx: &mut Exec<'_>,
    ) -> usize {
        let (mut matches, mut picks) = (std::mem::take(&mut self.matches), std::mem::take(&mut self.picks));
        let asked = self.left.columns[column].cells();
        let key = |n: usize| asked[self.rows[n] as usize] ^ SIGN;
        let cells = &columns.v.cells()[..end];
        let (at, next) = self.pair(&mut matches, &mut picks, cells, start, key, |cell| cell ^ SIGN);
        (self.next, self.matches, self.picks) = (next, matches, picks);
        self.put_matches(columns, cx);
        at
    }

    /// Pairs the rows from `next` on with the datoms from `start` on by keys that ascend on both sides. Says which datom
    /// and which row come next.
    #[inline]
    fn pair(
        &self,
        matches: &mut Vec<u32>,
        picks: &mut Vec<u32>,
        cells: &[u64],
        start: usize,
        asked: impl Fn(usize) -> u64,
        key: impl Fn(u64) -> u64,
    ) -> (usize, usize) {
        matches.clear();
        picks.clear();
        let end = cells.len();
        let (mut at, mut next, count) = (start, self.next, self.rows.len());
        // Of the datoms of one key, the first is enough where nothing else is checked.
        let first_only = self.exists && self.checks.is_empty();
        let most = if self.exists { usize::MAX } else { BATCH };
        'rows: while next < count && self.made + matches.len() < most {
            let target = asked(next);
            at = gallop_to(cells, at, target, &key);
            if at == end {
                break;
            }
            if key(cells[at]) != target {
                next += 1;
                continue;
            }
            let mut last = at + 1;
            while last < end && key(cells[last]) == target {
                last += 1;
            }
            if last == end {
                break;
            }
            while next < count && asked(next) == target {
                if self.made + matches.len() >= most {
                    break 'rows;
                }
                let last = if first_only { at + 1 } else { last };
                matches.extend(at as u32..last as u32);
                picks.resize(matches.len(), next as u32);
                next += 1;
            }
            at = last;
        }
        (at, next)
    }

    fn entity_cut(&self, e: u64) -> Cut {
        Cut::before(Key { e: Some(e), a: self.from.key.a, ..Key::default() })
    }

    /// Answers rows by values that are told by their cells. False where the chunk at hand must be read value by value.
    fn step_numbers(&mut self, column: usize, cx: &mut Exec<'_>) -> Result<bool> {
        let Some(number) = number_kind(self.left.columns[column].kind()) else { return Ok(false) };
        let Some(mut reader) = self.reader.take() else {
            match self.value_key(column, cx)? {
                Some(key) => {
                    let (from, to) = (self.value_cut(&key), self.to.clone());
                    self.open(&from, Some(&to))?;
                }
                None => self.next += 1,
            }
            return Ok(true);
        };
        let found = reader.peek()?.map(|(columns, start, end)| (Arc::clone(columns), start, end));
        let Some((columns, start, end)) = found else {
            self.reader = Some(reader);
            self.next = self.rows.len();
            return Ok(true);
        };
        let before = self.next;
        if number_kind(columns.v.kind()) == Some(number) {
            reader.at = self.sweep_values(column, &columns, start, end, cx);
            if reader.at == end && self.next < self.rows.len() {
                let asked = self.left.columns[column].cells()[self.rows[self.next] as usize] ^ SIGN;
                let cells = columns.v.cells();
                let (first, last) = (cells[start] ^ SIGN, cells[end - 1] ^ SIGN);
                let is_near = asked.saturating_sub(last) <= last.saturating_sub(first) + 1;
                match self.value_key(column, cx)? {
                    Some(key) if !is_near => reader.leap(&self.value_cut(&key))?,
                    _ => {}
                }
            }
        }
        let moved = self.next > before || reader.at != start;
        self.reader = Some(reader);
        Ok(moved)
    }

    /// By value: a leap to each different value, forwards as long as they ascend.
    pub(super) fn step_values(&mut self, column: usize, cx: &mut Exec<'_>) -> Result<()> {
        while self.next < self.rows.len() && !self.is_full() {
            if self.run == 0 && self.step_numbers(column, cx)? {
                continue;
            }
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

/// Bits of a number that one pass of a radix sort looks at.
const DIGIT: u32 = 11;

/// Numbers in ascending order with their places; those of equal numbers ascend.
fn sorted_with_places(cells: &[u64]) -> (Vec<u64>, Vec<u32>) {
    let (least, most) = cells.iter().fold((u64::MAX, 0), |(least, most), cell| (least.min(*cell), most.max(*cell)));
    let bits = u64::BITS - most.saturating_sub(least).leading_zeros();
    let mut pairs: Vec<(u64, u32)> = cells.iter().map(|cell| cell - least).zip(0..).collect();
    if cells.len() < 256 || bits > 3 * DIGIT {
        pairs.sort_unstable();
    } else {
        let mut other = pairs.clone();
        for shift in (0..bits).step_by(DIGIT as usize) {
            let digit = |number: u64| (number >> shift) as usize & ((1 << DIGIT) - 1);
            let mut places = vec![0_u32; 1 << DIGIT];
            pairs.iter().for_each(|(number, _)| places[digit(*number)] += 1);
            let mut start = 0;
            places.iter_mut().for_each(|place| start += std::mem::replace(place, start));
            for pair in &pairs {
                let place = &mut places[digit(pair.0)];
                other[*place as usize] = *pair;
                *place += 1;
            }
            std::mem::swap(&mut pairs, &mut other);
        }
    }
    (pairs.iter().map(|(number, _)| number + least).collect(), pairs.iter().map(|(_, row)| *row).collect())
}

/// Whether no entity stands there twice.
fn strictly_ascends(columns: &Columns, start: usize, end: usize) -> bool {
    let Some(entities) = columns.e.plain() else { return end - start == 1 };
    entities[start..end].windows(2).fold(0, |repeats, pair| repeats + u32::from(pair[0] >= pair[1])) == 0
}

/// How many of the sorted entities are not above `last`.
fn first_above(entities: &[u64], last: u64) -> usize {
    if entities.last().is_none_or(|most| *most <= last) {
        return entities.len();
    }
    let (mut low, mut step) = (0, 1);
    while low + step < entities.len() && entities[low + step] <= last {
        low += step;
        step *= 2;
    }
    let high = entities.len().min(low + step);
    low + entities[low..high].partition_point(|entity| *entity <= last)
}

/// The bit that makes numbers with a sign ascend as numbers without.
const SIGN: u64 = 1 << 63;

/// Kinds whose order is that of their cells as numbers; those with one number are equal when their cells are.
fn number_kind(kind: Option<ValueKind>) -> Option<u8> {
    match kind? {
        ValueKind::Long | ValueKind::Ref => Some(0),
        ValueKind::Instant => Some(1),
        _ => None,
    }
}

/// The first place from `start` on whose key is not less than `target`; the end when there is none.
#[inline]
fn gallop_to(cells: &[u64], start: usize, target: u64, key: impl Fn(u64) -> u64) -> usize {
    if start >= cells.len() || key(cells[start]) >= target {
        return start;
    }
    let (mut low, mut step) = (start, 1);
    while low + step < cells.len() && key(cells[low + step]) < target {
        low += step;
        step *= 2;
    }
    let high = cells.len().min(low + step + 1);
    low + cells[low..high].partition_point(|cell| key(*cell) < target)
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

#[cfg(test)]
mod tests {
    use super::sorted_with_places;

    #[test]
    fn numbers_are_sorted_with_their_places() {
        for (n, spread) in [(0_u64, 1), (5, 3), (300, 7), (1000, 1 << 20), (700, 1 << 60)] {
            let cells: Vec<u64> = (0..n).map(|i| 17 + i.wrapping_mul(0x9E37_79B9_7F4A_7C15) % spread).collect();
            let mut expected: Vec<(u64, u32)> = cells.iter().copied().zip(0..).collect();
            expected.sort_unstable();
            let (numbers, places) = sorted_with_places(&cells);
            assert_eq!(numbers.into_iter().zip(places).collect::<Vec<_>>(), expected);
        }
    }
}
