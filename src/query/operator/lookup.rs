//! For each row on the left the datoms of a range of an index: scan, star join and index join in one.
//!
//! The rows of a batch are taken in the order of the index, so that one cursor passes over the index once for each batch,
//! and over all of it once when the batches ascend too, as they do in a star join.

mod emit;
mod walk;

use std::sync::Arc;

use super::batch::{BATCH, Batch, Column};
use super::build::place;
use super::{Exec, Operator, equal_values};
use crate::datom::{AttrId, Columns, Cut, EntityId, Key, Order, Value, ValueKind, ValueRef};
use crate::db::{Db, Mode};
use crate::error::{Error, ErrorKind, Result};
use crate::index::Direction;
use crate::query::logic::Var;
use crate::query::plan::{A, E, Lookup, OP, Part, TX, V, asks_for_facts, cuts, resolve_at};
use crate::schema::Attribute;
use emit::Chosen;
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
    /// Whether a constant names nothing, so that nothing matches.
    nothing: bool,
    from: Cut,
    to: Cut,
    bounded: bool,
    exists: bool,
    /// With `anti`, the rows of the batch that are still to be told apart.
    unanswered: usize,
    /// Whether the rows without a match are wanted, instead of those with one.
    anti: bool,
    /// Whether each entity has one datom at most in what is read.
    single: bool,
    /// Whether it has one as a rule, so that it is worth a look.
    mostly_single: bool,
    /// Whether a scan goes from the end to the start.
    reverse: bool,
    /// Most rows that a scan puts out at once.
    most: usize,
    /// Whether the entities of a scan ascend.
    ascends: bool,
    out: Vec<Source>,
    /// Positions of new columns.
    news: Vec<usize>,
    left: Batch,
    /// Positions of entities that are checked against a column of idents or lookup refs: what each row names.
    named: Vec<(usize, Vec<Option<u64>>)>,
    /// Rows of `left` in the order in which the index is entered, those that name nothing left out.
    rows: Vec<u32>,
    /// Whether `rows` are the rows of `left` as they stand.
    in_order: bool,
    /// By entity: for each of `rows` the entity, where the column on the left does not say so itself.
    entities: Option<Vec<u64>>,
    /// The last entity that was asked for.
    last: Option<u64>,
    next: usize,
    /// The rows at `next` that are being answered: so many of `rows`.
    run: usize,
    reader: Option<Reader>,
    /// By value: the last value that the reader was brought to.
    key: Option<Value>,
    chosen: Chosen,
    columns: Vec<Column>,
    made: usize,
    /// Whether what is made goes out as it is, because it shares the columns of a leaf.
    full: bool,
    /// Datoms of a chunk, and the places in `rows` that they answer.
    matches: Vec<u32>,
    picks: Vec<u32>,
}

/// The range that a look-up by constants reads, in which entities ascend; `None` for other look-ups.
pub(in crate::query) fn range_of(lookup: &Lookup, cx: &Exec<'_>) -> Result<Option<(Cut, Cut)>> {
    let op = LookupOp::new(lookup, &[], &[], cx)?;
    Ok((op.ascends && op.bounded && !op.nothing).then_some((op.from, op.to)))
}

/// Fewest rows of a leaf that go out as a batch of their own, without a copy.
const SHARED: usize = 256;

impl LookupOp {
    pub fn new(lookup: &Lookup, layout: &[Var], next: &[Var], cx: &Exec<'_>) -> Result<LookupOp> {
        let db = cx.run.db(lookup.source).cloned().ok_or_else(|| {
            Error::new(ErrorKind::Internal, "query/plan", "an index lookup was planned over a source without indexes")
        })?;
        let db = db.facts().filter(|_| asks_for_facts(&lookup.parts)).unwrap_or(db);
        let mut slots = [const { Slot::Free }; 5];
        let attribute = match &lookup.parts[A] {
            Part::Const(Value::Long(a)) => db.schema().get(AttrId(*a as u32)).cloned(),
            _ => None,
        };
        // A constant that names no entity in this state.
        let mut nothing = false;
        let mut new_vars: Vec<(Var, usize)> = Vec::new();
        for (i, part) in lookup.parts.iter().enumerate() {
            slots[i] = match part {
                Part::Any => Slot::Free,
                Part::Const(value) => {
                    let resolved = match lookup.given[i].filter(|_| cx.again) {
                        Some(constant) => resolve_at(&db, attribute.as_deref(), i, &cx.run.constants[constant])?,
                        None => Some(value.clone()),
                    };
                    nothing |= resolved.is_none();
                    let value = resolved.unwrap_or(Value::Nil);
                    let cell = value.as_ref().cell().unwrap_or(0);
                    Slot::Const(value, cell)
                }
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
        let (mut from, mut to) = cuts(key.clone(), &lookup.range);
        let morsel = cx.morsel.as_ref().filter(|morsel| std::ptr::eq(morsel.lookup, lookup));
        if let Some(morsel) = morsel {
            (from, to) = (morsel.from.clone(), morsel.to.clone());
        }
        let by_one_value = key.v.is_some() && lookup.range.is_all();
        let ascends = by == By::Constants
            && lookup.first.is_none()
            && key.a.is_some()
            && (lookup.order == Order::Aevt || by_one_value);
        let mostly_single = matches!(by, By::Entity(_))
            && key.a.is_some()
            && db.mode() == Mode::State
            && attribute.as_ref().is_some_and(|attribute| !attribute.is_many());
        let single = mostly_single && attribute.as_ref().map_or(Ok(false), |a| Ok(db.promise(a)?.one_value))?;
        let columns = news.iter().map(|_| Column::default()).collect();
        Ok(LookupOp {
            db,
            order: lookup.order,
            slots,
            by,
            checks,
            attribute,
            nothing,
            from,
            to,
            bounded: morsel.is_some() || !keyed.is_empty() && (by == By::Constants || keyed.len() > 1),
            exists: lookup.exists,
            anti: lookup.anti,
            unanswered: 0,
            single,
            mostly_single,
            reverse: matches!(lookup.first, Some((Direction::Reverse, _))),
            most: lookup.first.map_or(BATCH, |(_, most)| most.clamp(16, BATCH)),
            ascends,
            out,
            news,
            left: Batch::default(),
            named: Vec::new(),
            rows: Vec::new(),
            in_order: false,
            entities: None,
            last: None,
            next: 0,
            run: 0,
            reader: None,
            key: None,
            chosen: Chosen::default(),
            columns,
            made: 0,
            full: false,
            matches: Vec::new(),
            picks: Vec::new(),
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
}

impl<'q> Operator<'q> for LookupOp {
    fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        self.next = 0;
        self.run = 0;
        self.unanswered = batch.len;
        self.left = batch;
        if self.nothing {
            self.rows.clear();
            return Ok(());
        }
        self.resolve_checks(cx)?;
        match self.by {
            By::Constants => {
                self.rows_in_order();
                self.reader = None;
            }
            By::Entity(column) => {
                self.sort_by_entity(column, cx)?;
                let (first, last) = {
                    let entities = self.entities(column);
                    (entities.first().copied(), entities.last().copied())
                };
                // The cursor goes on where it stands when this batch begins after the last one.
                if first <= self.last {
                    self.reader = None;
                }
                self.last = last;
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
            By::Entity(column) => self.step_entities(column, cx)?,
            By::Value(column) => self.step_values(column, cx)?,
            By::Attribute(column) => self.step_attributes(column, cx)?,
        }
        Ok(self.take())
    }

    fn finish(&mut self, _: &mut Exec<'q>) -> Result<()> {
        self.reader = None;
        self.last = None;
        Ok(())
    }
}
