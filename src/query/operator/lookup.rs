//! For each row on the left the datoms of a range of an index: scan, star join and index join in one.
//!
//! The rows of a batch are taken in the order of the index, so that one cursor passes over the index once for each batch,
//! and over all of it once when the batches ascend too, as they do in a star join.

mod walk;

use std::sync::Arc;

use super::batch::{BATCH, Batch, Column};
use super::build::place;
use super::{Exec, Operator, equal_values};
use crate::datom::{AttrId, Columns, Cut, EntityId, Key, Order, Value, ValueKind, ValueRef};
use crate::db::Db;
use crate::error::{Error, ErrorKind, Result};
use crate::query::logic::Var;
use crate::query::plan::{A, E, Lookup, OP, Part, TX, V, cuts};
use crate::schema::Attribute;
use walk::Reader;

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
    /// Positions of entities that are checked against a column of idents or lookup refs: what each row names.
    named: Vec<(usize, Vec<Option<u64>>)>,
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
            named: Vec::new(),
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
                if let Some((_, named)) = self.named.iter().find(|(position, _)| *position == i) {
                    let entity = match self.part(columns, at, i) {
                        ValueRef::Ref(id) => Some(id.0),
                        _ => None,
                    };
                    return entity.is_some() && named[row] == entity;
                }
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

    /// Looks up what the rows on the left name, where the index is not entered by it.
    fn resolve_checks(&mut self, cx: &Exec<'_>) -> Result<()> {
        self.named.clear();
        for i in &self.checks {
            let is_entity = match *i {
                E | TX => true,
                A => self.db.schema().has_attribute_refs(),
                V => self.attribute.as_ref().is_some_and(|a| a.is_ref()),
                _ => false,
            };
            let Slot::Left(column) = &self.slots[*i] else { continue };
            let column = &self.left.columns[*column];
            let names = |row: usize| matches!(column.kind_at(row), ValueKind::Keyword | ValueKind::Tuple);
            let may_name = matches!(column.kind(), None | Some(ValueKind::Keyword | ValueKind::Tuple));
            if is_entity && may_name && (0..column.len()).any(names) {
                self.named.push((*i, self.entities_of(column, cx)?));
            }
        }
        Ok(())
    }

    fn part<'c>(&self, columns: &'c Columns, at: usize, i: usize) -> ValueRef<'c> {
        match i {
            E => ValueRef::Ref(EntityId(columns.e.get(at))),
            A => match self.db.schema().shown(AttrId(columns.a.get(at) as u32)) {
                Some(Value::Keyword(ident)) => ValueRef::Keyword(ident),
                Some(Value::Ref(entity)) => ValueRef::Ref(entity),
                _ => ValueRef::Nil,
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

    /// The number of the leaf in the heap, where its values go out and do not fit a cell.
    fn pin(&self, columns: &Arc<Columns>, cx: &mut Exec<'_>) -> u32 {
        let far = self.news.contains(&V) && columns.v.kind().is_none_or(|kind| !kind.is_inline());
        if far { cx.heap.pin(columns) } else { 0 }
    }
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
                match db.schema().shown(AttrId(columns.a.get(at) as u32)) {
                    Some(Value::Keyword(ident)) => column.push(ValueKind::Keyword, u64::from(ident.id())),
                    Some(Value::Ref(entity)) => column.push(ValueKind::Ref, entity.0),
                    _ => column.push(ValueKind::Nil, 0),
                }
            }
        }
        _ => (start..end).for_each(|at| column.push(ValueKind::Bool, u64::from(columns.added(at)))),
    }
}

impl<'q> Operator<'q> for LookupOp {
    fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        self.left = batch;
        self.resolve_checks(cx)?;
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
