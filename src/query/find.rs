//! Rows to results: distinct, grouped, pulled, sorted, cut.

mod group;
mod having;
mod stream;

use std::cmp::Ordering;
use std::sync::Arc;

use super::ast::FindShape;
use super::logic::{Element, Pattern, Program, Term, Var};
use super::operator::{Batch, Column, Exec, Heap, RowSet, Rows, equality_kind, unseen, weigh_wide};
use super::output::Output;
use super::page::page;
use super::plan::{Op, Plan, resolve_entity};
use crate::datom::{EntityId, Value, ValueRef, compare};
use crate::edn::{Form, Symbol};
use crate::error::{Error, ErrorKind, Result};
pub(super) use group::Groups;
pub(super) use stream::Streamed;

/// What a plan gives next.
pub(super) enum Found {
    Rows(Batch),
    /// The groups of rows that are not given themselves.
    Groups(Groups),
}

/// Takes in the rows of a plan, whose columns are `wanted`, batch by batch, and makes the output.
pub(super) fn finish<'q>(
    next: &mut dyn FnMut(&mut Exec<'q>) -> Result<Option<Found>>,
    wanted: &[Var],
    plan: &Plan,
    cx: &mut Exec<'q>,
) -> Result<Output> {
    let program = cx.run.program;
    let aggregates = has_aggregates(program);
    let enough = enough(program, aggregates);
    let in_order = cx.run.options.after.is_none()
        && matches!(plan.steps.as_slice(), [step] if matches!(&step.op, Op::Lookup(lookup) if lookup.first.is_some()));
    let mut was_enough = false;
    let mut seen = RowSet::new(wanted.len());
    let mut rows = Rows::default();
    let mut groups = if aggregates { Some(Groups::new(cx)?) } else { None };
    while rows.len() < enough {
        let batch = match next(cx)? {
            Some(Found::Rows(batch)) => batch,
            Some(Found::Groups(later)) => {
                if let Some(groups) = &mut groups {
                    groups.merge(later, cx)?;
                }
                continue;
            }
            None => break,
        };
        let batch = if plan.distinct { batch } else { unseen(&mut seen, batch, cx)? };
        if batch.len == 0 {
            continue;
        }
        match &mut groups {
            Some(groups) => groups.add(&batch, wanted, cx)?,
            None => {
                let batch = elements(batch, wanted, cx)?;
                was_enough = in_order && has_first(program, &rows, &batch, &cx.heap);
                if was_enough {
                    break;
                }
                cx.budget.hold(batch.weight())?;
                rows.push(batch);
            }
        }
    }
    if let Some(groups) = groups {
        rows = Rows::of(groups.finish(cx)?);
    }
    let find = program.find.get(..program.visible).unwrap_or_default();
    let has_pulls = find.iter().any(|element| matches!(element, Element::Pull { .. }));
    let as_they_are = program.having.is_empty()
        && cx.run.options.after.is_none()
        && program.order_by.is_empty()
        && program.visible == program.find.len()
        && (program.limit, program.offset) == (None, 0)
        && matches!(program.shape, FindShape::Relation | FindShape::Collection)
        && !has_pulls;
    let (mut cursor, mut was_cut, mut warnings) = (None, was_enough || rows.len() >= enough, Vec::new());
    if !as_they_are {
        // The rows as one batch, and sorted or cut; those before go step by step.
        let number = if program.order_by.is_empty() { 0 } else { size_of::<u32>() };
        cx.budget.hold(rows.len() * (8 * program.find.len() + number))?;
        let mut all = rows.into_one(program.find.len());
        if !program.having.is_empty() {
            all = having::filter(all, cx)?;
        }
        all.columns.truncate(program.visible);
        let found = all.len;
        was_cut |= found >= enough;
        (all, cursor) = match &cx.run.options.after {
            Some(after) => page(program, all, &cx.heap, after, cx.run.bases()),
            None => (cut(program, sorted(program, all, &cx.heap)), None),
        };
        was_cut |= all.len < found;
        (all, warnings) = pulled(all, cx)?;
        rows = Rows::of(all);
    }
    let is_set = !find.iter().any(|element| matches!(element, Element::Pull { .. } | Element::Aggregate { .. }))
        && program.with.is_empty()
        && program.order_by.is_empty();
    Ok(Output {
        find: program.shape,
        keys: program.keys.clone(),
        names: Arc::clone(&program.names),
        is_set,
        rows: Arc::new(rows),
        heap: Arc::new(std::mem::take(&mut cx.heap)),
        cursor,
        was_cut,
        warnings,
    })
}

/// Whether all that are wanted of rows which come in the order of the first sort key are there before a batch: enough
/// rows, none of them equal in that key to the next.
fn has_first(program: &Program, rows: &Rows, batch: &Batch, heap: &Heap) -> bool {
    let wanted = program.limit.map_or(usize::MAX, |limit| limit.saturating_add(program.offset));
    let Some(key) = program.order_by.first().filter(|_| rows.len() >= wanted) else { return false };
    let Some((before, _)) = rows.len().checked_sub(1).and_then(|last| rows.find(last)) else { return false };
    // Rows ascend inside a batch, whichever way the batches come.
    let (last, first) = if key.descending { (0, batch.len - 1) } else { (before.len - 1, 0) };
    let (last, first) =
        (value(&before.columns[key.column], last as u32, heap), value(&batch.columns[key.column], first as u32, heap));
    compare(&last, &first).is_ne()
}

/// The columns of the elements of `:find`.
fn elements(batch: Batch, wanted: &[Var], cx: &mut Exec<'_>) -> Result<Batch> {
    let find = &cx.run.program.find;
    let as_it_is = find.len() == wanted.len()
        && find.iter().zip(wanted).all(|(element, var)| matches!(element, Element::Term(Term::Var(v)) if v == var));
    if as_it_is {
        return Ok(batch);
    }
    let columns = find.iter().map(|element| match element {
        Element::Term(term) | Element::Pull { of: term, .. } | Element::Aggregate { of: term, .. } => {
            term_column(*term, &batch, wanted, cx)
        }
    });
    Ok(Batch { columns: columns.collect::<Result<_>>()?, len: batch.len })
}

/// Whether all rows of the plan are wanted.
pub(super) fn wants_all(program: &Program) -> bool {
    enough(program, has_aggregates(program)) == usize::MAX
}

pub(super) fn has_aggregates(program: &Program) -> bool {
    program.find.iter().any(|element| matches!(element, Element::Aggregate { .. }))
}

/// How many rows are enough.
fn enough(program: &Program, aggregates: bool) -> usize {
    if aggregates || !program.order_by.is_empty() || !program.having.is_empty() {
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

/// Entities that are pulled together, in the order of their ids; budgets are checked in between. Fewer where bytes are
/// counted, for their trees are there before they are.
const PULLED: usize = 4096;
const PULLED_COUNTED: usize = 64;

/// Replaces entities by what is pulled of them; with warnings.
fn pulled(mut rows: Batch, cx: &mut Exec<'_>) -> Result<(Batch, Vec<String>)> {
    let run = cx.run;
    let mut warnings = Vec::new();
    for (i, element) in run.program.find.iter().take(run.program.visible).enumerate() {
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
        let read = crate::pull::parse_with(&form, db, &|name| run.functions.xform(name));
        let pattern = read.map_err(|error| place.mark(error))?;
        match crate::pull::unknown_attribute(db, &pattern) {
            Some(error) if run.options.strict => return Err(place.mark(error)),
            Some(error) => warnings.push(error.message().to_owned()),
            None => {}
        }
        // The entities, those that are known, and the column that takes the place of the one that is there.
        cx.budget.hold(rows.len * (size_of::<Option<EntityId>>() + size_of::<EntityId>() + 8))?;
        let mut entities: Vec<Option<EntityId>> = Vec::with_capacity(rows.len);
        for row in 0..rows.len as u32 {
            entities.push(resolve_entity(db, &value(&rows.columns[i], row, &cx.heap).to_value())?);
        }
        let known: Vec<EntityId> = entities.iter().copied().flatten().collect();
        let together = if run.options.max_bytes.is_some() { PULLED_COUNTED } else { PULLED };
        let mut batches = known.chunks(together);
        let mut found = Vec::new().into_iter();
        let mut out = Column::with_capacity(rows.len);
        for entity in entities {
            if entity.is_some() && found.len() == 0 {
                cx.budget.check(0, cx.heap.most_weight())?;
                let batch = batches.next().unwrap_or_default();
                let trees = crate::pull::pull_many(db, &pattern, batch).map_err(|error| place.mark(error))?;
                let bytes: usize = trees.iter().map(weigh_wide).sum();
                cx.budget.check(0, cx.heap.most_weight() + bytes)?;
                found = trees.into_iter();
            }
            let found = entity.and_then(|_| found.next()).unwrap_or(Value::Nil);
            let (kind, cell) = cx.heap.cell(&found.as_ref())?;
            out.push(kind, cell);
        }
        rows.columns[i] = out;
    }
    Ok((rows, warnings))
}

/// The name of an aggregate that a constant holds.
fn aggregate_name(value: &Value) -> Option<Symbol> {
    super::run::function_name(value)
}

/// Whether rows can be given out as they are found.
pub(super) fn streams(program: &Program) -> bool {
    program.order_by.is_empty()
        && program.having.is_empty()
        && program.after.is_none()
        && !program.find.iter().any(|element| matches!(element, Element::Aggregate { .. }))
}
