//! For each row on the left the datoms of a range of an index: scan, star join and index join in one.
//!
//! The rows of a batch are taken in the order of the index, so that one cursor passes over the index once for each batch,
//! and over all of it once when the batches ascend too, as they do in a star join.

use std::sync::Arc;

use super::batch::{BATCH, Batch, Column};
use super::build::place;
use super::{Exec, Operator, equal_values};
use crate::datom::{AttrId, Columns, Cut, EntityId, Key, Order, Side, Value, ValueKind, ValueRef, compare};
use crate::db::Db;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Chunk, Cursor, Direction};
use crate::query::logic::Var;
use crate::query::plan::{A, E, Lookup, OP, Part, TX, V, cuts, resolve_entity};
use crate::schema::Attribute;

/// A position, compiled.
#[derive(Debug)]
enum Slot {
    Free,
    Const(Value, u64),
    /// A column on the left.
    Left(usize),
    Same(usize),
}

/// By what the index is entered.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    /// By constants alone.
    Constants,
    Entity(usize),
    Value(usize),
    Attribute(usize),
}

/// Where a column of the output comes from.
#[derive(Debug)]
enum Source {
    Left(usize),
    New(usize),
}

pub(super) struct LookupOp {
    db: Db,
    order: Order,
    slots: [Slot; 5],
    by: By,
    /// Positions that are checked for each datom.
    checks: Vec<usize>,
    attribute: Option<Arc<Attribute>>,
    from: Cut,
    to: Cut,
    bounded: bool,
    exists: bool,
    out: Vec<Source>,
    /// Positions of new columns.
    news: Vec<usize>,
    uses_left: bool,
    left: Batch,
    /// Rows of `left` in the order in which the index is entered, those that name nothing left out.
    rows: Vec<u32>,
    /// By entity: for each of `rows`, the entity.
    entities: Vec<u64>,
    next: usize,
    /// The rows at `next` that are being answered: so many of `rows`.
    run: usize,
    reader: Option<Reader>,
    /// By value: the last value that the reader was brought to.
    key: Option<Value>,
    selected: Vec<u32>,
    columns: Vec<Column>,
    made: usize,
}

/// A cursor and the chunk that it stands in.
struct Reader {
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
    pub fn new(lookup: &Lookup, layout: &[Var], next: &[Var], cx: &Exec<'_>) -> Result<LookupOp> {
        let db = cx.run.db(lookup.source).cloned().ok_or_else(|| {
            Error::new(ErrorKind::Internal, "query/plan", "an index lookup was planned over a source without indexes")
        })?;
        let mut slots = [const { Slot::Free }; 5];
        let mut new_vars: Vec<(Var, usize)> = Vec::new();
        for (i, part) in lookup.parts.iter().enumerate() {
            slots[i] = match part {
                Part::Any => Slot::Free,
                Part::Const(value) => Slot::Const(value.clone(), value.as_ref().cell().unwrap_or(0)),
                Part::Bound(var) => Slot::Left(place(layout, *var)?),
                Part::Same(first) => Slot::Same(*first),
                Part::Out(var) => {
                    new_vars.push((*var, i));
                    Slot::Free
                }
            };
        }
        let mut out = Vec::with_capacity(next.len());
        let mut news = Vec::new();
        for var in next {
            if let Some(at) = layout.iter().position(|other| other == var) {
                out.push(Source::Left(at));
            } else {
                let found = new_vars.iter().find(|(other, _)| other == var);
                let position = found.map(|(_, position)| *position).ok_or_else(|| {
                    Error::new(ErrorKind::Internal, "query/plan", "a lookup was planned without one of its columns")
                })?;
                out.push(Source::New(news.len()));
                news.push(position);
            }
        }
        let attribute = match &slots[A] {
            Slot::Const(_, a) => db.schema().get(AttrId(*a as u32)).cloned(),
            _ => None,
        };
        let sequence: [usize; 3] = match lookup.order {
            Order::Aevt | Order::HistoryAevt => [A, E, V],
            Order::Avet | Order::HistoryAvet => [A, V, E],
            Order::Eavt | Order::HistoryEavt => [E, A, V],
        };
        let mut key = Key::default();
        let mut by = By::Constants;
        let mut keyed: Vec<usize> = Vec::new();
        for i in sequence {
            match (&slots[i], i) {
                (Slot::Const(_, cell), E) => key.e = Some(*cell),
                (Slot::Const(_, cell), A) => key.a = Some(AttrId(*cell as u32)),
                (Slot::Const(value, _), _) => key.v = Some(value.clone()),
                (Slot::Left(column), E) => by = By::Entity(*column),
                (Slot::Left(column), A) => by = By::Attribute(*column),
                (Slot::Left(column), _) => by = By::Value(*column),
                _ => break,
            }
            keyed.push(i);
            if by != By::Constants {
                break;
            }
        }
        let checks = (0..slots.len()).filter(|i| !keyed.contains(i) && !matches!(slots[*i], Slot::Free)).collect();
        let (from, to) = cuts(key.clone(), &lookup.range);
        let uses_left = out.iter().any(|source| matches!(source, Source::Left(_)));
        let columns = news.iter().map(|_| Column::default()).collect();
        Ok(LookupOp {
            db,
            order: lookup.order,
            slots,
            by,
            checks,
            attribute,
            from,
            to,
            bounded: !keyed.is_empty() && (by == By::Constants || keyed.len() > 1),
            exists: lookup.exists,
            out,
            news,
            uses_left,
            left: Batch::default(),
            rows: Vec::new(),
            entities: Vec::new(),
            next: 0,
            run: 0,
            reader: None,
            key: None,
            selected: Vec::new(),
            columns,
            made: 0,
        })
    }

    /// The entities that a column names.
    fn entities_of(&self, column: &Column, cx: &Exec<'_>) -> Result<Vec<Option<u64>>> {
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
    fn sort_by_entity(&mut self, column: usize, cx: &Exec<'_>) -> Result<()> {
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

    fn sort_by_value(&mut self, column: usize, cx: &Exec<'_>) {
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

    /// Whether a datom passes what the key does not say. `row` is the row on the left.
    #[inline]
    fn passes(&self, columns: &Columns, at: usize, row: usize, cx: &Exec<'_>) -> bool {
        self.checks.iter().all(|i| self.passes_at(*i, columns, at, row, cx))
    }

    fn passes_at(&self, i: usize, columns: &Columns, at: usize, row: usize, cx: &Exec<'_>) -> bool {
        match &self.slots[i] {
            Slot::Free => true,
            Slot::Const(value, cell) => match i {
                E => columns.e.get(at) == *cell,
                A => columns.a.get(at) == *cell,
                TX => columns.tx.get(at) == *cell,
                OP => *value == Value::Bool(columns.added(at)),
                _ => {
                    let kind = columns.v.kind_at(at);
                    if kind.is_inline() && kind == value.kind() {
                        columns.v.cells()[at] == *cell
                    } else {
                        equal_values(&columns.v.get(at), &value.as_ref())
                    }
                }
            },
            Slot::Left(column) => {
                let column = &self.left.columns[*column];
                let (kind, cell) = (column.kind_at(row), column.cells()[row]);
                if i == V && kind == columns.v.kind_at(at) && kind.is_inline() {
                    return columns.v.cells()[at] == cell;
                }
                equal_values(&self.part(columns, at, i), &cx.heap.get(kind, cell))
            }
            Slot::Same(first) => equal_values(&self.part(columns, at, *first), &self.part(columns, at, i)),
        }
    }

    fn part<'c>(&self, columns: &'c Columns, at: usize, i: usize) -> ValueRef<'c> {
        match i {
            E => ValueRef::Ref(EntityId(columns.e.get(at))),
            A => match self.db.ident(AttrId(columns.a.get(at) as u32)) {
                Some(ident) => ValueRef::Keyword(ident),
                None => ValueRef::Nil,
            },
            V => columns.v.get(at),
            TX => ValueRef::Ref(EntityId(columns.tx.get(at))),
            _ => ValueRef::Bool(columns.added(at)),
        }
    }

    /// Puts out the datoms `start..end` for the rows of the run. False when the run needs no more (one match is enough).
    fn emit(&mut self, columns: &Arc<Columns>, start: usize, end: usize, cx: &mut Exec<'_>) -> bool {
        let pin = self.pin(columns, cx);
        if self.checks.is_empty() && self.run == 1 && !self.exists {
            let row = self.rows[self.next];
            self.selected.resize(self.selected.len() + (end - start), row);
            for (position, column) in self.news.iter().zip(&mut self.columns) {
                extend_part(column, &self.db, columns, *position, start, end, pin);
            }
            self.made += end - start;
            return true;
        }
        if self.exists {
            // Only rows of the run that have no match yet stay in it.
            let mut left = self.next;
            for n in self.next..self.next + self.run {
                let row = self.rows[n];
                if (start..end).any(|at| self.passes(columns, at, row as usize, cx)) {
                    self.selected.push(row);
                    self.made += 1;
                } else {
                    self.rows[left] = row;
                    left += 1;
                }
            }
            // The answered ones go to the front, where the run begins no more.
            let answered = self.next + self.run - left;
            self.rows.copy_within(self.next..left, self.next + answered);
            self.next += answered;
            self.run -= answered;
            return self.run > 0;
        }
        for n in self.next..self.next + self.run {
            let row = self.rows[n];
            for at in start..end {
                if self.passes(columns, at, row as usize, cx) {
                    self.selected.push(row);
                    self.made += 1;
                    for (position, column) in self.news.iter().zip(&mut self.columns) {
                        extend_part(column, &self.db, columns, *position, at, at + 1, pin);
                    }
                }
            }
        }
        true
    }

    /// Whether enough rows are made for a batch.
    fn is_full(&self) -> bool {
        self.made >= BATCH
    }

    fn take(&mut self) -> Option<Batch> {
        if self.made == 0 {
            return None;
        }
        let made = std::mem::take(&mut self.made);
        let mut news: Vec<Option<Column>> =
            self.columns.iter_mut().map(|column| Some(std::mem::take(column))).collect();
        let all = self.uses_left
            && made == self.left.len
            && self.selected.iter().enumerate().all(|(i, row)| i as u32 == *row);
        let columns = self.out.iter().map(|source| match source {
            Source::Left(column) if all => self.left.columns[*column].clone(),
            Source::Left(column) => self.left.columns[*column].gather(&self.selected),
            Source::New(n) => news[*n].take().unwrap_or_default(),
        });
        let batch = Batch { len: made, columns: columns.collect() };
        self.selected.clear();
        Some(batch)
    }

    /// Most datoms to be put out at once, so that a batch stays a batch.
    fn piece(&self) -> usize {
        (BATCH / self.run.max(1)).max(1)
    }

    /// By constants: the whole range for each row.
    fn step_scan(&mut self, cx: &mut Exec<'_>) -> Result<()> {
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
    fn step_entities(&mut self, cx: &mut Exec<'_>) -> Result<()> {
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

    /// The number of the leaf in the heap, where its values go out and do not fit a cell.
    fn pin(&self, columns: &Arc<Columns>, cx: &mut Exec<'_>) -> u32 {
        let far = self.news.contains(&V) && columns.v.kind().is_none_or(|kind| !kind.is_inline());
        if far { cx.heap.pin(columns) } else { 0 }
    }

    fn entity_cut(&self, e: u64) -> Cut {
        Cut::before(Key { e: Some(e), a: self.from.key.a, ..Key::default() })
    }

    /// By value: a leap to each different value, forwards as long as they ascend.
    fn step_values(&mut self, column: usize, cx: &mut Exec<'_>) -> Result<()> {
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
    fn step_attributes(&mut self, column: usize, cx: &mut Exec<'_>) -> Result<()> {
        while self.next < self.rows.len() && !self.is_full() {
            if self.run == 0 {
                self.run = self.count_run(column, cx);
                let left = &self.left.columns[column];
                let row = self.rows[self.next] as usize;
                let ident = match cx.heap.get(left.kind_at(row), left.cells()[row]) {
                    ValueRef::Keyword(ident) => Some(ident),
                    ValueRef::Str(text) => Some(Keyword::new(text)),
                    _ => None,
                };
                let Some(attribute) = ident.and_then(|ident| self.db.schema().attribute(ident)) else {
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

/// Appends a position of datoms to a column.
fn extend_part(column: &mut Column, db: &Db, columns: &Columns, position: usize, start: usize, end: usize, pin: u32) {
    match position {
        E => column.extend_ints(ValueKind::Ref, &columns.e, start..end),
        V if end == start + 1 => column.push_value(&columns.v, start, pin),
        V => column.extend_values(&columns.v, start..end, pin),
        TX => column.extend_ints(ValueKind::Ref, &columns.tx, start..end),
        A => {
            for at in start..end {
                match db.ident(AttrId(columns.a.get(at) as u32)) {
                    Some(ident) => column.push(ValueKind::Keyword, u64::from(ident.id())),
                    None => column.push(ValueKind::Nil, 0),
                }
            }
        }
        _ => (start..end).for_each(|at| column.push(ValueKind::Bool, u64::from(columns.added(at)))),
    }
}

impl<'q> Operator<'q> for LookupOp {
    fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        self.left = batch;
        self.next = 0;
        self.run = 0;
        let last = self.entities.last().copied();
        match self.by {
            By::Constants => {
                self.rows.clear();
                self.rows.extend(0..self.left.len as u32);
                self.reader = None;
            }
            By::Entity(column) => {
                self.sort_by_entity(column, cx)?;
                // The cursor goes on where it stands when this batch begins after the last one.
                if self.entities.first().copied() <= last {
                    self.reader = None;
                }
            }
            By::Value(column) | By::Attribute(column) => {
                self.sort_by_value(column, cx);
                self.reader = None;
                self.key = None;
            }
        }
        Ok(())
    }

    fn poll(&mut self, cx: &mut Exec<'q>) -> Result<Option<Batch>> {
        match self.by {
            By::Constants => self.step_scan(cx)?,
            By::Entity(_) => self.step_entities(cx)?,
            By::Value(column) => self.step_values(column, cx)?,
            By::Attribute(column) => self.step_attributes(column, cx)?,
        }
        Ok(self.take())
    }

    fn finish(&mut self, _: &mut Exec<'q>) -> Result<()> {
        self.reader = None;
        self.entities.clear();
        Ok(())
    }
}
