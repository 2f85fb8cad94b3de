//! Plans to operators.

use std::ops::Range;

use super::call::CallOp;
use super::closure::ClosureOp;
use super::cyclic::CyclicOp;
use super::distinct::DistinctOp;
use super::equal::EqualOp;
use super::join::JoinOp;
use super::lookup::LookupOp;
use super::not::NotOp;
use super::or::OrOp;
use super::pipeline::Pipeline;
use super::rows::RowsOp;
use super::rule::RuleOp;
use super::table::TableOp;
use super::{Batch, Column, Exec, Operator};
use crate::error::{Error, ErrorKind, Result};
use crate::query::logic::Var;
use crate::query::plan::{Op, Plan};

/// Where the columns of one layout stand in another.
pub(super) fn places(from: &[Var], to: &[Var]) -> Vec<Option<usize>> {
    to.iter().map(|var| from.iter().position(|other| other == var)).collect()
}

/// The place of a column that the planner put there.
pub(super) fn place(layout: &[Var], var: Var) -> Result<usize> {
    layout.iter().position(|other| *other == var).ok_or_else(|| {
        Error::new(ErrorKind::Internal, "query/plan", format!("the plan has no column for the variable {var} here"))
    })
}

/// The operators of a plan; with `out`, a last one that brings the columns into that sequence.
pub(in crate::query) fn build<'q>(plan: &'q Plan, out: Option<&[Var]>, cx: &mut Exec<'q>) -> Result<Pipeline<'q>> {
    build_steps(plan, 0..plan.steps.len(), out, cx)
}

/// The operators of some steps of a plan.
pub(in crate::query) fn build_steps<'q>(
    plan: &'q Plan,
    steps: Range<usize>,
    out: Option<&[Var]>,
    cx: &mut Exec<'q>,
) -> Result<Pipeline<'q>> {
    let mut operators: Vec<Box<dyn Operator<'q> + 'q>> = Vec::with_capacity(steps.len() + 1);
    let mut layout: &[Var] = plan.layout_before(steps.start);
    for step in &plan.steps[steps.clone()] {
        let next: &[Var] = &step.layout;
        operators.push(match &step.op {
            Op::Nothing(_) => Box::new(NothingOp),
            Op::Lookup(lookup) => Box::new(LookupOp::new(lookup, layout, next, cx)?),
            Op::Join { right, keys, exists, build_left } => {
                Box::new(JoinOp::new(right, keys, *exists, *build_left, layout, next, cx)?)
            }
            Op::Rows(rows) => Box::new(RowsOp::new(rows, next, cx)?),
            Op::Call { call, rescue } => Box::new(CallOp::new(call, rescue.as_ref(), &step.place, layout, next, cx)?),
            Op::Equal { a, b, copy } => Box::new(EqualOp::new(a, b, *copy, layout, next, cx)?),
            Op::Not { body } => Box::new(NotOp::new(body, layout, next, cx)?),
            Op::Or { branches } => Box::new(OrOp::new(branches, layout, next, cx)?),
            Op::Rule(call) => Box::new(RuleOp::new(call, layout, next, cx)?),
            Op::Closure(closure) => Box::new(ClosureOp::new(closure, layout, next, cx)?),
            Op::Cyclic(cyclic) => Box::new(CyclicOp::new(cyclic, next)?),
            Op::Table(call) => Box::new(TableOp::new(call, layout, next, cx)?),
            Op::Distinct => Box::new(DistinctOp::new(next.len())),
        });
        layout = next;
    }
    if let Some(out) = out
        && out != layout
    {
        let places = out.iter().map(|var| place(layout, *var)).collect::<Result<Vec<_>>>()?;
        operators.push(Box::new(ProjectOp { places, batch: None }));
    }
    let base = cx.meter.open(plan, plan.steps.len().max(steps.start + operators.len()));
    Ok(Pipeline::new(operators, base + steps.start))
}

struct NothingOp;

impl<'q> Operator<'q> for NothingOp {
    fn feed(&mut self, _: Batch, _: &mut Exec<'q>) -> Result<()> {
        Ok(())
    }

    fn poll(&mut self, _: &mut Exec<'q>) -> Result<Option<Batch>> {
        Ok(None)
    }
}

/// Columns in another sequence.
struct ProjectOp {
    places: Vec<usize>,
    batch: Option<Batch>,
}

impl<'q> Operator<'q> for ProjectOp {
    fn feed(&mut self, batch: Batch, _: &mut Exec<'q>) -> Result<()> {
        let mut columns: Vec<Option<Column>> = batch.columns.into_iter().map(Some).collect();
        let mut out: Vec<Column> = Vec::with_capacity(self.places.len());
        for (i, place) in self.places.iter().enumerate() {
            let earlier = self.places[..i].iter().position(|other| other == place);
            out.push(match earlier {
                Some(earlier) => out[earlier].clone(),
                None => columns[*place].take().unwrap_or_default(),
            });
        }
        self.batch = Some(Batch { len: batch.len, columns: out });
        Ok(())
    }

    fn poll(&mut self, _: &mut Exec<'q>) -> Result<Option<Batch>> {
        Ok(self.batch.take())
    }
}
