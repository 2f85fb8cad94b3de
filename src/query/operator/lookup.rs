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
use crate::db::{Db, Mode};
use crate::error::{Error, ErrorKind, Result};
use crate::index::Direction;
use crate::query::logic::Var;
use crate::query::plan::{A, E, Lookup, OP, Part, TX, V, cuts, holds, resolve_at};
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

/// Rows of the left side in sequence: first a run of neighbours, of which only the ends are kept.
#[derive(Debug, Default)]
struct Chosen {
    start: usize,
    straight: usize,
    rest: Vec<u32>,
}

impl Chosen {
    #[inline]
    fn push(&mut self, row: u32) {
        if self.rest.is_empty() && self.straight == 0 {
            (self.start, self.straight) = (row as usize, 1);
        } else if self.rest.is_empty() && row as usize == self.start + self.straight {
            self.straight += 1;
        } else {
            self.rest.push(row);
        }
    }

    fn push_run(&mut self, start: usize, n: usize) {
        if self.rest.is_empty() && self.straight == 0 {
            (self.start, self.straight) = (start, n);
        } else if self.rest.is_empty() && start == self.start + self.straight {
            self.straight += n;
        } else {
            self.rest.extend(start as u32..(start + n) as u32);
        }
    }

    fn repeat(&mut self, row: u32, n: usize) {
        if n == 1 {
            self.push(row);
        } else {
            self.rest.resize(self.rest.len() + n, row);
        }
    }

    fn rows(&self) -> Vec<u32> {
        let straight = self.start as u32..(self.start + self.straight) as u32;
        straight.chain(self.rest.iter().copied()).collect()
    }

    fn is_straight(&self) -> bool {
        self.rest.is_empty()
    }

    fn clear(&mut self) {
        (self.start, self.straight) = (0, 0);
        self.rest.clear();
    }
}

/// Fewest rows of a leaf that go out as a batch of their own, without a copy.
const SHARED: usize = 256;

impl LookupOp {
    pub fn new(lookup: &Lookup, layout: &[Var], next: &[Var], cx: &Exec<'_>) -> Result<LookupOp> {
        let db = cx.run.db(lookup.source).cloned().ok_or_else(|| {
            Error::new(ErrorKind::Internal, "query/plan", "an index lookup was planned over a source without indexes")
        })?;
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
        let (from, to) = cuts(key.clone(), &lookup.range);
        let by_one_value = key.v.is_some() && lookup.range.is_all();
        let ascends = by == By::Constants
            && lookup.first.is_none()
            && key.a.is_some()
            && (lookup.order == Order::Aevt || by_one_value);
        let mostly_single = matches!(by, By::Entity(_))
            && key.a.is_some()
            && db.mode() == Mode::State
            && attribute.as_ref().is_some_and(|attribute| !attribute.is_many());
        let single = mostly_single && holds(&db);
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
            bounded: !keyed.is_empty() && (by == By::Constants || keyed.len() > 1),
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

    /// Puts out the datoms `start..end` for the rows of the run. False when the run needs no more (one match is enough).
    fn emit(&mut self, columns: &Arc<Columns>, start: usize, end: usize, cx: &mut Exec<'_>) -> bool {
        if self.exists {
            return self.emit_existing(columns, start, end, cx);
        }
        for n in self.next..self.next + self.run {
            let row = self.rows[n];
            if self.checks.is_empty() {
                self.chosen.repeat(row, end - start);
                self.put_run(columns, start, end, cx);
                continue;
            }
            self.matches.clear();
            self.matches.extend(start as u32..end as u32);
            self.picks.clear();
            self.picks.resize(end - start, n as u32);
            self.put_matches(columns, cx);
        }
        true
    }

    /// Marks rows of the run that have a match. Only those that have none yet stay in it.
    fn emit_existing(&mut self, columns: &Arc<Columns>, start: usize, end: usize, cx: &Exec<'_>) -> bool {
        let mut left = self.next;
        for n in self.next..self.next + self.run {
            let row = self.rows[n];
            if (start..end).any(|at| self.passes(columns, at, row as usize, cx)) {
                self.chosen.push(row);
                self.made += 1;
            } else {
                self.in_order = false;
                self.rows[left] = row;
                left += 1;
            }
        }
        // The answered ones go to the front, where the run begins no more.
        let answered = self.next + self.run - left;
        self.rows.copy_within(self.next..left, self.next + answered);
        self.next += answered;
        self.run -= answered;
        self.run > 0
    }

    /// Appends neighbouring datoms to the new columns.
    fn put_run(&mut self, columns: &Arc<Columns>, start: usize, end: usize, cx: &mut Exec<'_>) {
        let pin = self.pin(columns, cx);
        let share = end - start >= SHARED && self.made == 0;
        for (position, column) in self.news.iter().zip(&mut self.columns) {
            match *position {
                E if share => *column = Column::of_entities(columns, start..end),
                V if share => *column = Column::of_values(columns, start..end, pin),
                _ => extend_part(column, &self.db, columns, *position, start, end, pin),
            }
        }
        self.made += end - start;
    }

    /// Puts out those of `matches` that pass the checks, for the rows that `picks` tells.
    fn put_matches(&mut self, columns: &Arc<Columns>, cx: &mut Exec<'_>) {
        self.check_matches(columns, cx);
        if self.exists {
            self.picks.dedup();
            self.matches.truncate(self.picks.len());
        }
        for pick in &self.picks {
            self.chosen.push(self.rows[*pick as usize]);
        }
        self.made += self.matches.len();
        if self.matches.is_empty() || self.news.is_empty() {
            return;
        }
        let pin = self.pin(columns, cx);
        for (position, column) in self.news.iter().zip(&mut self.columns) {
            match *position {
                E => column.gather_ints(ValueKind::Ref, &columns.e, &self.matches),
                TX => column.gather_ints(ValueKind::Ref, &columns.tx, &self.matches),
                V => column.gather_values(&columns.v, &self.matches, pin),
                position => self.matches.iter().for_each(|datom| {
                    let datom = *datom as usize;
                    extend_part(column, &self.db, columns, position, datom, datom + 1, pin);
                }),
            }
        }
    }

    /// Drops the matches that do not pass a check.
    fn check_matches(&mut self, columns: &Columns, cx: &Exec<'_>) {
        let (mut matches, mut picks) = (std::mem::take(&mut self.matches), std::mem::take(&mut self.picks));
        for check in &self.checks {
            let kind = columns.v.kind();
            match &self.slots[*check] {
                Slot::Const(value, cell) if *check == V && kind == Some(value.kind()) && value.kind().is_inline() => {
                    let cells = columns.v.cells();
                    keep(&mut matches, &mut picks, |datom, _| cells[datom] == *cell);
                }
                Slot::Left(column) if *check == V && self.named.is_empty() => {
                    let column = &self.left.columns[*column];
                    if kind.is_some_and(|kind| kind.is_inline() && column.kind() == Some(kind)) {
                        let (cells, own) = (columns.v.cells(), column.cells());
                        keep(&mut matches, &mut picks, |datom, pick| cells[datom] == own[self.rows[pick] as usize]);
                    } else {
                        let passes =
                            |datom, pick: usize| self.passes_at(*check, columns, datom, self.rows[pick] as usize, cx);
                        keep(&mut matches, &mut picks, passes);
                    }
                }
                _ => {
                    let passes =
                        |datom, pick: usize| self.passes_at(*check, columns, datom, self.rows[pick] as usize, cx);
                    keep(&mut matches, &mut picks, passes);
                }
            }
        }
        (self.matches, self.picks) = (matches, picks);
    }

    /// Whether enough rows are made for a batch.
    fn is_full(&self) -> bool {
        self.full || (!self.exists && self.made >= self.most)
    }

    fn take(&mut self) -> Option<Batch> {
        if self.anti {
            self.turn_round();
        }
        self.full = false;
        if self.made == 0 {
            return None;
        }
        let made = std::mem::take(&mut self.made);
        let chosen = std::mem::take(&mut self.chosen);
        let mut news: Vec<Option<Column>> =
            self.columns.iter_mut().map(|column| Some(std::mem::take(column))).collect();
        let all = chosen.is_straight() && made == self.left.len && chosen.straight == made;
        let done = self.next >= self.rows.len();
        let uses_left = self.out.iter().any(|source| matches!(source, Source::Left(_)));
        let rows = if chosen.is_straight() || !uses_left { Vec::new() } else { chosen.rows() };
        let in_order = self.in_order || self.anti;
        let mut columns = Vec::with_capacity(self.out.len());
        for source in &self.out {
            columns.push(match source {
                Source::Left(column) if all && done => std::mem::take(&mut self.left.columns[*column]),
                Source::Left(column) if all => self.left.columns[*column].clone(),
                Source::Left(column) if chosen.is_straight() => {
                    self.left.columns[*column].slice(chosen.start..chosen.start + chosen.straight)
                }
                Source::Left(column) if in_order => self.left.columns[*column].gather_ascending(&rows),
                Source::Left(column) => self.left.columns[*column].gather(&rows),
                Source::New(n) => {
                    let mut column = news[*n].take().unwrap_or_default();
                    if self.ascends && self.left.len == 1 && self.news[*n] == E {
                        column.set_ascending();
                    }
                    column
                }
            });
        }
        let mut spare = chosen;
        spare.clear();
        self.chosen = spare;
        Some(Batch { len: made, columns })
    }

    /// From the rows that have a match to those that have none, once all are known.
    fn turn_round(&mut self) {
        if self.next < self.rows.len() {
            return;
        }
        let matched = std::mem::take(&mut self.chosen);
        let left = std::mem::replace(&mut self.unanswered, 0);
        if matched.straight == 0 && matched.rest.is_empty() {
            self.chosen.push_run(0, left);
        } else {
            let mut answered = vec![false; left];
            answered[matched.start..matched.start + matched.straight].fill(true);
            matched.rest.iter().for_each(|row| answered[*row as usize] = true);
            let rows = (0..left as u32).filter(|row| !answered[*row as usize]);
            rows.for_each(|row| self.chosen.push(row));
        }
        self.made = self.chosen.straight + self.chosen.rest.len();
    }

    /// Most datoms to be put out at once, so that a batch stays a batch.
    fn piece(&self) -> usize {
        (self.most / self.run.max(1)).max(1)
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

/// Keeps the matches that pass, and their picks, without a branch for each.
#[inline]
fn keep(matches: &mut Vec<u32>, picks: &mut Vec<u32>, passes: impl Fn(usize, usize) -> bool) {
    let mut kept = 0;
    for i in 0..matches.len() {
        let (datom, pick) = (matches[i], picks[i]);
        (matches[kept], picks[kept]) = (datom, pick);
        kept += usize::from(passes(datom as usize, pick as usize));
    }
    matches.truncate(kept);
    picks.truncate(kept);
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
