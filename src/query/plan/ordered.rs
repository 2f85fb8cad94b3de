//! Results in the order of values, of which only the first are wanted: read from the end of an index where they stand.

use super::{A, E, Lookup, Op, Part, Plan, V};
use crate::datom::{AttrId, Order, Value};
use crate::index::Direction;
use crate::query::logic::{Element, Program, Term};
use crate::query::run::Run;

/// Makes a plan of one scan read the index of values in the order that the query sorts by, where it wants a few rows of
/// many.
pub(in crate::query) fn read_in_order(plan: &mut Plan, run: &Run<'_>) {
    let Some((direction, most)) = wanted(run.program) else { return };
    let Some(sorted_by) = sort_variable(run.program) else { return };
    let [step] = plan.steps.as_mut_slice() else { return };
    let Op::Lookup(lookup) = &mut step.op else { return };
    if plan.distinct && can_read(lookup, run) && matches!(lookup.parts[V], Part::Out(var) if var == sorted_by) {
        lookup.order = Order::Avet;
        lookup.first = Some((direction, most));
    }
}

fn wanted(program: &Program) -> Option<(Direction, usize)> {
    let first = program.order_by.first()?;
    let most = program.limit?.saturating_add(program.offset);
    let direction = if first.descending { Direction::Reverse } else { Direction::Forward };
    let plain = program.find.iter().all(|element| !matches!(element, Element::Aggregate { .. }));
    (plain && program.having.is_empty()).then_some((direction, most))
}

fn sort_variable(program: &Program) -> Option<u32> {
    match program.find.get(program.order_by.first()?.column)? {
        Element::Term(Term::Var(var)) => Some(*var),
        _ => None,
    }
}

fn can_read(lookup: &Lookup, run: &Run<'_>) -> bool {
    let Part::Const(Value::Long(a)) = &lookup.parts[A] else { return false };
    let attribute = run.db(lookup.source).and_then(|db| db.schema().get(AttrId(*a as u32)));
    attribute.is_some_and(|attribute| attribute.in_avet())
        && matches!(lookup.order, Order::Aevt | Order::Avet)
        && matches!(lookup.parts[E], Part::Any | Part::Out(_))
        && !lookup.exists
}
