//! Rows to results: distinct, grouped, pulled, sorted, cut.

mod group;

use std::cmp::Ordering;

use super::ast::FindShape;
use super::logic::{Element, Pattern, Program, Term, Var};
use super::operator::{Batch, Column, Exec, Heap, Pipeline, RowSet, equality_kind, unseen};
use super::output::Output;
use super::plan::resolve_entity;
use crate::datom::{Value, ValueRef, compare};
use crate::edn::{Form, Symbol};
use crate::error::{Error, ErrorKind, Result};
use group::Groups;

/// The variables whose values `:find` and `:with` want, each once.
pub(super) fn wanted(program: &Program) -> Vec<Var> {
    let mut vars = Vec::new();
    let terms = program.find.iter().map(|element| match element {
        Element::Term(term) | Element::Aggregate { of: term, .. } | Element::Pull { of: term, .. } => *term,
    });
    for var in terms.chain(program.with.iter().copied()).filter_map(Term::var) {
        if !vars.contains(&var) {
            vars.push(var);
        }
    }
    vars
}

/// Takes in the rows of a plan, whose columns are `wanted`, and makes the output.
pub(super) fn finish<'q>(
    mut pipeline: Pipeline<'q>,
    wanted: &[Var],
    distinct: bool,
    cx: &mut Exec<'q>,
) -> Result<Output> {
    let program = cx.run.program;
    let aggregates = program.find.iter().any(|element| matches!(element, Element::Aggregate { .. }));
    let enough = enough(program, aggregates);
    let mut seen = RowSet::new(wanted.len());
    let mut all = Batch::empty(wanted.len());
    let mut groups = if aggregates { Some(Groups::new(cx)?) } else { None };
    pipeline.feed(Batch::unit(), cx)?;
    pipeline.finish();
    while all.len < enough {
        let Some(batch) = pipeline.poll(cx)? else { break };
        let batch = if distinct { batch } else { unseen(&mut seen, batch, cx)? };
        if batch.len == 0 {
            continue;
        }
        match &mut groups {
            Some(groups) => groups.add(&batch, wanted, cx)?,
            None if all.len == 0 => all = batch,
            None => all.append(&batch),
        }
        cx.budget.hold(0)?;
    }
    drop(pipeline);
    let rows = match groups {
        Some(groups) => groups.finish(cx)?,
        None => {
            let len = all.len;
            let columns = program.find.iter().map(|element| match element {
                Element::Term(term) | Element::Pull { of: term, .. } | Element::Aggregate { of: term, .. } => {
                    term_column(*term, &all, wanted, cx)
                }
            });
            let columns = columns.collect::<Result<Vec<_>>>()?;
            Batch { len, columns }
        }
    };
    let rows = cut(program, sorted(program, rows, &cx.heap));
    let rows = pulled(rows, cx)?;
    let is_set = !aggregates
        && program.with.is_empty()
        && program.order_by.is_empty()
        && !program.find.iter().any(|element| matches!(element, Element::Pull { .. }));
    let names = program.find.iter().map(|element| name(program, element)).collect();
    let keys = program.keys.clone();
    Ok(Output::new(program.shape, keys, names, is_set, rows, std::mem::take(&mut cx.heap)))
}

/// How many rows are enough.
fn enough(program: &Program, aggregates: bool) -> usize {
    if aggregates || !program.order_by.is_empty() {
        return usize::MAX;
    }
    let limit = program.limit.map_or(usize::MAX, |limit| limit.saturating_add(program.offset));
    match program.shape {
        FindShape::Scalar | FindShape::Tuple => limit.min(1 + program.offset),
        _ => limit,
    }
}

/// The column of a term over the rows of `batch`.
fn term_column(term: Term, batch: &Batch, layout: &[Var], cx: &mut Exec<'_>) -> Result<Column> {
    match term {
        Term::Var(var) => {
            let place = layout.iter().position(|other| *other == var).ok_or_else(|| {
                Error::new(ErrorKind::Internal, "query/plan", "the plan has no column for a variable of :find")
            })?;
            Ok(batch.columns[place].clone())
        }
        Term::Const(constant) => {
            let (kind, cell) = cx.heap.cell(&cx.run.constants[constant].as_ref())?;
            let mut column = Column::default();
            column.extend_same(kind, cell, batch.len);
            Ok(column)
        }
        Term::Any => Err(Error::new(ErrorKind::Internal, "query/plan", "_ stands in :find")),
    }
}

fn name(program: &Program, element: &Element) -> String {
    let term = |term: &Term| match term {
        Term::Var(var) => program.name(*var).to_owned(),
        _ => "_".to_owned(),
    };
    match element {
        Element::Term(t) => term(t),
        Element::Aggregate { place, of, .. } | Element::Pull { place, of, .. } => {
            place.excerpt().map_or_else(|| term(of), str::to_owned)
        }
    }
}

fn value<'h>(column: &Column, row: u32, heap: &'h Heap) -> ValueRef<'h> {
    heap.get(column.kind_at(row as usize), column.cells()[row as usize])
}

/// The rows in the order of `:order-by`; rows that are equal there keep their order.
fn sorted(program: &Program, rows: Batch, heap: &Heap) -> Batch {
    if program.order_by.is_empty() {
        return rows;
    }
    let by_keys = |a: &u32, b: &u32| {
        program.order_by.iter().fold(Ordering::Equal, |so_far, key| {
            so_far.then_with(|| {
                let column = &rows.columns[key.column];
                let same_kind = column.kind().is_some_and(|kind| equality_kind(kind) == crate::datom::ValueKind::Long);
                let order = if same_kind {
                    (column.cells()[*a as usize] as i64).cmp(&(column.cells()[*b as usize] as i64))
                } else {
                    compare(&value(column, *a, heap), &value(column, *b, heap))
                };
                if key.descending { order.reverse() } else { order }
            })
        })
    };
    let mut order: Vec<u32> = (0..rows.len as u32).collect();
    let wanted = program.limit.map_or(rows.len, |limit| limit.saturating_add(program.offset)).min(rows.len);
    let stable = |a: &u32, b: &u32| by_keys(a, b).then(a.cmp(b));
    if wanted < rows.len / 4 && wanted > 0 {
        order.select_nth_unstable_by(wanted - 1, stable);
        order.truncate(wanted);
    }
    order.sort_unstable_by(stable);
    rows.gather(&order)
}

fn cut(program: &Program, rows: Batch) -> Batch {
    let start = program.offset.min(rows.len);
    let end = program.limit.map_or(rows.len, |limit| start.saturating_add(limit)).min(rows.len);
    let end = match program.shape {
        FindShape::Scalar | FindShape::Tuple => end.min(start + 1),
        _ => end,
    };
    if start == 0 && end == rows.len { rows } else { rows.slice(start..end) }
}

/// Replaces entities by what is pulled of them.
fn pulled(mut rows: Batch, cx: &mut Exec<'_>) -> Result<Batch> {
    let run = cx.run;
    for (i, element) in run.program.find.iter().enumerate() {
        let Element::Pull { source, pattern, place, .. } = element else { continue };
        let db = run.db(*source).ok_or_else(|| {
            place.mark(Error::new(ErrorKind::Query, "query/type", "pull wants a database as its source"))
        })?;
        let form: Form = match pattern {
            Pattern::Form(form) => Form::clone(form),
            Pattern::Const(constant) => match &run.constants[*constant] {
                Value::Str(text) => crate::edn::read(text)?,
                other => other.to_form(),
            },
        };
        let mut out = Column::with_capacity(rows.len);
        let pattern = crate::pull::parse(&form, db).map_err(|error| place.mark(error))?;
        for row in 0..rows.len as u32 {
            let entity = resolve_entity(db, &value(&rows.columns[i], row, &cx.heap).to_value())?;
            let found = match entity {
                Some(entity) => crate::pull::pull_pattern(db, &pattern, entity).map_err(|error| place.mark(error))?,
                None => Value::Nil,
            };
            let (kind, cell) = cx.heap.cell(&found.as_ref())?;
            out.push(kind, cell);
        }
        rows.columns[i] = out;
    }
    Ok(rows)
}

/// The name of an aggregate that a constant holds.
fn aggregate_name(value: &Value) -> Option<Symbol> {
    super::run::function_name(value)
}
