//! Calls of recursive rules: asks, fills the tables until nothing is new, joins with the answers.

use super::batch::{BATCH, Batch, Column};
use super::build::build;
use super::key::{KeyColumn, same_row};
use super::pipeline::Pipeline;
use super::table::{Relation, Table, TableOp};
use super::{Exec, Operator};
use crate::error::Result;
use crate::query::logic::{TableRef, Var};
use crate::query::plan::{Operand, Plan, RuleArg, RuleCall, TableCall, Variant};

pub(super) struct RuleOp<'q> {
    call: &'q RuleCall,
    variants: Vec<(&'q Variant, Pipeline<'q>)>,
    /// The tables, while they are not being worked on.
    tables: Option<Vec<Table>>,
    layout: Vec<Var>,
    next: Vec<Var>,
    waiting: Option<Batch>,
    ready: Vec<Batch>,
}

impl<'q> RuleOp<'q> {
    pub fn new(call: &'q RuleCall, layout: &[Var], next: &[Var], cx: &mut Exec<'q>) -> Result<RuleOp<'q>> {
        let table = |plan: &crate::query::plan::TablePlan| Table {
            demand: Relation::new(plan.known.iter().filter(|known| **known).count()),
            answers: Relation::new(plan.known.len()),
        };
        // The operators of the variants find their tables by how deep they are nested.
        cx.solving.push(Vec::new());
        let variants = call.component.variants.iter().map(|variant| {
            let plan: &'q Plan = &variant.plan;
            Ok((variant, build(plan, Some(&variant.head), cx)?))
        });
        let variants = variants.collect::<Result<Vec<_>>>();
        cx.solving.pop();
        Ok(RuleOp {
            call,
            variants: variants?,
            tables: Some(call.component.tables.iter().map(table).collect()),
            layout: layout.to_vec(),
            next: next.to_vec(),
            waiting: None,
            ready: Vec::new(),
        })
    }

    /// Runs the variants over what is new until nothing is.
    fn solve(&mut self, cx: &mut Exec<'q>) -> Result<()> {
        let level = cx.solving.len() - 1;
        loop {
            let mut quiet = true;
            for from in (0..self.call.component.tables.len()).flat_map(|t| [TableRef::Demand(t), TableRef::Answers(t)])
            {
                let (TableRef::Demand(table) | TableRef::Answers(table)) = from;
                let relation = match from {
                    TableRef::Demand(_) => &mut cx.solving[level][table].demand,
                    TableRef::Answers(_) => &mut cx.solving[level][table].answers,
                };
                let (start, end) = (relation.passed, relation.len());
                if start == end {
                    continue;
                }
                quiet = false;
                relation.passed = end;
                for first in (start..end).step_by(4 * BATCH) {
                    let relation = match from {
                        TableRef::Demand(_) => &cx.solving[level][table].demand,
                        TableRef::Answers(_) => &cx.solving[level][table].answers,
                    };
                    let new = relation.slice(first..end.min(first + 4 * BATCH));
                    for (variant, pipeline) in self.variants.iter_mut().filter(|(variant, _)| variant.from == from) {
                        let input = enter(variant, &new, cx)?;
                        if input.len == 0 {
                            continue;
                        }
                        pipeline.feed(input, cx)?;
                        pipeline.finish();
                        while let Some(found) = pipeline.poll(cx)? {
                            let answers = &mut cx.solving[level][variant.table].answers;
                            answers.add(&found, &mut cx.heap, &mut cx.budget)?;
                        }
                    }
                }
            }
            if quiet {
                return Ok(());
            }
        }
    }

    fn answer(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        let known = self.call.component.tables[0].known.clone();
        let table = TableCall { table: TableRef::Answers(0), args: self.call.args.clone(), required: known };
        let level = cx.solving.len() - 1;
        let mut join = TableOp::at_level(&table, &self.layout, &self.next, level)?;
        // Asking puts the known arguments into the demand; the answers are there after solving.
        join.take(batch.clone(), cx)?;
        self.solve(cx)?;
        join.take(batch, cx)?;
        while let Some(found) = join.pull(cx)? {
            self.ready.push(found);
        }
        self.ready.reverse();
        Ok(())
    }
}

/// The rows of a table as the input of a variant: constants and repeated variables checked, the rest brought into columns.
fn enter(variant: &Variant, new: &Batch, cx: &mut Exec<'_>) -> Result<Batch> {
    let columns: Vec<&Column> = new.columns.iter().collect();
    let mut first: Vec<(Var, usize)> = Vec::new();
    let mut keep: Option<Vec<u32>> = None;
    let mut keys: Option<Vec<KeyColumn>> = None;
    for (column, arg) in variant.args.iter().enumerate() {
        let other = match arg {
            RuleArg::Out(var) => match first.iter().find(|(known, _)| known == var) {
                None => {
                    first.push((*var, column));
                    continue;
                }
                Some((_, other)) => Some(*other),
            },
            RuleArg::Known(_) => None,
            RuleArg::Any => continue,
        };
        if keys.is_none() {
            keys = Some(KeyColumn::of_all(&columns, &mut cx.heap)?);
        }
        let Some(keys) = &keys else { continue };
        let own = &keys[column..=column];
        let rows = keep.take().unwrap_or_else(|| (0..new.len as u32).collect());
        keep = Some(match (other, arg) {
            (Some(other), _) => {
                let other = &keys[other..=other];
                rows.into_iter().filter(|row| same_row(own, *row as usize, other, *row as usize)).collect()
            }
            (None, RuleArg::Known(Operand::Const(value))) => {
                let (kind, cell) = cx.heap.cell(&value.as_ref())?;
                let mut constant = Column::default();
                constant.push(kind, cell);
                let constant = [KeyColumn::of(&constant, &mut cx.heap)?];
                rows.into_iter().filter(|row| same_row(own, *row as usize, &constant, 0)).collect()
            }
            _ => rows,
        });
    }
    let pick =
        |rows: &Batch| Batch { len: rows.len, columns: first.iter().map(|(_, c)| rows.columns[*c].clone()).collect() };
    Ok(match keep {
        Some(rows) => pick(&new.gather(&rows)),
        None => pick(new),
    })
}

impl<'q> Operator<'q> for RuleOp<'q> {
    fn feed(&mut self, batch: Batch, _: &mut Exec<'q>) -> Result<()> {
        self.waiting = Some(batch);
        Ok(())
    }

    fn poll(&mut self, cx: &mut Exec<'q>) -> Result<Option<Batch>> {
        if let Some(batch) = self.waiting.take() {
            cx.solving.push(self.tables.take().unwrap_or_default());
            let result = self.answer(batch, cx);
            self.tables = cx.solving.pop();
            result?;
        }
        Ok(self.ready.pop())
    }
}
