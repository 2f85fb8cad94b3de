//! Groups and their aggregates.

use std::sync::Arc;

use super::{aggregate_name, term_column};
use crate::datom::{Value, ValueKind};
use crate::error::{Error, ErrorKind, Result};
use crate::query::aggregate::{Aggregate, State};
use crate::query::logic::{AggregateName, Element, Place, Term, Var};
use crate::query::operator::{Batch, Column, Exec, KeyColumn, RowSet, growing_bytes};

/// One aggregate of `:find`.
struct Fold {
    aggregate: Arc<dyn Aggregate>,
    args: Vec<Value>,
    of: Term,
    place: Arc<Place>,
    /// One for each group.
    states: Vec<Box<dyn State>>,
}

/// The rows of a batch, those of each group together.
struct Parted {
    /// Where the rows of each group begin, and the end of all.
    starts: Vec<usize>,
    rows: Vec<u32>,
}

impl Parted {
    fn new(groups: &[u32], count: usize) -> Parted {
        let mut starts = vec![0_usize; count + 1];
        groups.iter().for_each(|group| starts[*group as usize + 1] += 1);
        (1..starts.len()).for_each(|group| starts[group] += starts[group - 1]);
        let mut places = starts.clone();
        let mut rows = vec![0; groups.len()];
        for (row, group) in groups.iter().enumerate() {
            let place = &mut places[*group as usize];
            rows[*place] = row as u32;
            *place += 1;
        }
        Parted { starts, rows }
    }
}

impl Fold {
    /// Takes in a column, the cells of each group together.
    fn add_cells(&mut self, kind: ValueKind, cells: &[u64], groups: &[u32], parted: &mut Option<Parted>) -> Result<()> {
        if let [only] = self.states.as_mut_slice() {
            return only.add_cells(kind, cells);
        }
        if self.states.len() > cells.len() {
            for (cell, group) in cells.iter().zip(groups) {
                self.states[*group as usize].add_cells(kind, std::slice::from_ref(cell))?;
            }
            return Ok(());
        }
        let count = self.states.len();
        let Parted { starts, rows } = parted.get_or_insert_with(|| Parted::new(groups, count));
        let sorted: Vec<u64> = rows.iter().map(|row| cells[*row as usize]).collect();
        for (group, state) in self.states.iter_mut().enumerate() {
            let own = &sorted[starts[group]..starts[group + 1]];
            if !own.is_empty() {
                state.add_cells(kind, own)?;
            }
        }
        Ok(())
    }
}

/// The most bytes that the place of a state takes in a growing list, and what the allocator keeps beside the state.
const STATE: usize = 3 * size_of::<Box<dyn State>>() + 16;

/// The groups seen so far: those that agree in all elements of `:find` that are no aggregates.
pub(in crate::query) struct Groups {
    keys: Vec<Term>,
    seen: RowSet,
    /// The values of the keys, one row for each group.
    groups: Batch,
    folds: Vec<Fold>,
    /// The bytes that the budget knows of, and the rows that came since it was told.
    held: usize,
    untold: usize,
}

impl Groups {
    pub fn new(cx: &Exec<'_>) -> Result<Groups> {
        let run = cx.run;
        let aggregates = run.aggregates;
        let mut keys = Vec::new();
        let mut folds = Vec::new();
        for element in &run.program.find {
            match element {
                Element::Term(term) | Element::Pull { of: term, .. } => keys.push(*term),
                Element::Aggregate { name, args, of, place } => {
                    let name = match name {
                        AggregateName::Known(name) => Some(*name),
                        AggregateName::Named(constant) => aggregate_name(&run.constants[*constant]),
                    };
                    let aggregate = name.and_then(|name| aggregates.get(name)).cloned().ok_or_else(|| {
                        let hint = name.and_then(|name| aggregates.nearest(name));
                        let hint = hint.map(|name| format!(", did you mean {name}?")).unwrap_or_default();
                        let message = format!("the input names no aggregate{hint}; docs/functions.md lists them all");
                        place.mark(Error::new(ErrorKind::Query, "query/unknown-function", message))
                    })?;
                    let args = args.iter().map(|term| match term {
                        Term::Const(constant) => run.constants[*constant].clone(),
                        _ => Value::Nil,
                    });
                    let (args, place) = (args.collect(), Arc::clone(place));
                    folds.push(Fold { aggregate, args, of: *of, place, states: Vec::new() });
                }
            }
        }
        let width = keys.len();
        Ok(Groups { keys, seen: RowSet::new(width), groups: Batch::empty(width), folds, held: 0, untold: 0 })
    }

    pub fn add(&mut self, batch: &Batch, layout: &[Var], cx: &mut Exec<'_>) -> Result<()> {
        let columns =
            self.keys.iter().map(|term| term_column(*term, batch, layout, cx)).collect::<Result<Vec<Column>>>()?;
        let keys = KeyColumn::of_all(&columns.iter().collect::<Vec<_>>(), &mut cx.heap)?;
        let mut groups: Vec<u32> = Vec::with_capacity(batch.len);
        let mut fresh: Vec<u32> = Vec::new();
        if keys.is_empty() {
            groups.resize(batch.len, 0);
            if self.groups.len == 0 {
                fresh.push(0);
            }
        } else {
            self.seen.insert_all(&keys, batch.len, |row, group, is_new| {
                if is_new {
                    fresh.push(row as u32);
                }
                groups.push(group);
            });
        }
        let fresh_rows = Batch { len: batch.len, columns }.gather(&fresh);
        self.groups.append(&fresh_rows);
        let mut parted = None;
        for fold in &mut self.folds {
            for _ in 0..fresh.len() {
                fold.states.push(fold.aggregate.state(&fold.args).map_err(|error| fold.place.mark(error))?);
            }
            let column = term_column(fold.of, batch, layout, cx)?;
            match column.kind().filter(|kind| kind.is_inline()) {
                Some(kind) => {
                    let place = Arc::clone(&fold.place);
                    fold.add_cells(kind, column.cells(), &groups, &mut parted).map_err(|error| place.mark(error))?;
                }
                None => {
                    for (row, group) in groups.iter().enumerate() {
                        let value = cx.heap.get(column.kind_at(row), column.cells()[row]);
                        fold.states[*group as usize].add(&value).map_err(|error| fold.place.mark(error))?;
                    }
                }
            }
        }
        self.hold(batch.len, cx)
    }

    /// Tells the budget of the most bytes that the groups take while they grow to their number. The states are asked when
    /// as many rows came as there are groups, so that this takes no more time than the rows did.
    fn hold(&mut self, rows: usize, cx: &mut Exec<'_>) -> Result<()> {
        self.untold += rows;
        if self.untold < self.groups.len {
            return Ok(());
        }
        self.untold = 0;
        let states = self.folds.iter().flat_map(|fold| &fold.states);
        let states: usize = states.map(|state| STATE + size_of_val(&**state) + state.weight()).sum();
        let keys = self.seen.bytes() + growing_bytes(self.groups.len, self.keys.len());
        let bytes = states + keys;
        cx.budget.hold(bytes.saturating_sub(std::mem::replace(&mut self.held, bytes)))
    }

    /// Whether groups of the rows of a batch can be merged into others with exactly the result of adding the rows there.
    pub fn merges_after(&mut self, batch: &Batch, layout: &[Var], cx: &mut Exec<'_>) -> Result<bool> {
        for fold in &self.folds {
            let kind = term_column(fold.of, batch, layout, cx)?.kind();
            let fresh = fold.aggregate.state(&fold.args).map_err(|error| fold.place.mark(error))?;
            if !kind.is_some_and(|kind| fresh.merges(kind)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The keys, to be made fit for another thread.
    pub fn keys_mut(&mut self) -> &mut Batch {
        &mut self.groups
    }

    /// Takes in the groups of rows that come after those so far.
    pub fn merge(&mut self, later: Groups, cx: &mut Exec<'_>) -> Result<()> {
        let (mut groups, mut fresh): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        if self.keys.is_empty() {
            groups.resize(later.groups.len, 0);
            fresh.extend((0..later.groups.len as u32).filter(|_| self.groups.len == 0));
        } else {
            let keys = KeyColumn::of_all(&later.groups.columns.iter().collect::<Vec<_>>(), &mut cx.heap)?;
            self.seen.insert_all(&keys, later.groups.len, |row, group, is_new| {
                if is_new {
                    fresh.push(row as u32);
                }
                groups.push(group);
            });
        }
        self.groups.append(&later.groups.gather(&fresh));
        for (fold, later) in self.folds.iter_mut().zip(later.folds) {
            for (state, group) in later.states.into_iter().zip(&groups) {
                match fold.states.get_mut(*group as usize) {
                    Some(known) => known.merge(state).map_err(|error| fold.place.mark(error))?,
                    // New groups come in the sequence of their numbers.
                    None => fold.states.push(state),
                }
            }
        }
        Ok(())
    }

    pub fn finish(self, cx: &mut Exec<'_>) -> Result<Batch> {
        let len = self.groups.len;
        let mut keys = self.groups.columns.into_iter();
        let mut folds = self.folds.into_iter();
        let mut columns = Vec::with_capacity(cx.run.program.find.len());
        for element in &cx.run.program.find {
            columns.push(match element {
                Element::Term(_) | Element::Pull { .. } => keys.next().unwrap_or_default(),
                Element::Aggregate { place, .. } => {
                    let mut column = Column::with_capacity(len);
                    for state in folds.next().map(|fold| fold.states).unwrap_or_default() {
                        let value = state.finish().map_err(|error| place.mark(error))?;
                        let (kind, cell) = cx.heap.cell(&value.as_ref())?;
                        column.push(kind, cell);
                    }
                    column
                }
            });
        }
        Ok(Batch { len, columns })
    }
}
