//! Predicates and functions, called for each row.

use std::sync::Arc;

use super::batch::{Batch, Column};
use super::build::{build, place};
use super::pipeline::Pipeline;
use super::vector;
use super::{Exec, Operator, equal_values};
use crate::datom::Value;
use crate::db::Db;
use crate::error::{Error, ErrorKind, Result};
use crate::query::builtin::{Argument, Function, truthy};
use crate::query::logic::{Arg, Bind, Call, Callee, Place, Term, Var};
use crate::query::nested;
use crate::query::plan::Plan;
use crate::query::run::{Source, destructure, function_name};

/// Where an argument comes from.
pub(super) enum Slot {
    Column(usize),
    Const(Value),
    Db(Db),
}

enum Target {
    Function(Function),
    Query,
}

/// Where a column of the output comes from.
enum Out {
    Left(usize),
    Slot(usize),
}

pub(super) struct CallOp<'q> {
    call: &'q Call,
    place: &'q Place,
    target: Target,
    slots: Vec<Slot>,
    /// For each slot of the binding the column that it must be equal to.
    known: Vec<Option<usize>>,
    out: Vec<Out>,
    /// The result of a pure function of constants.
    constant: Option<Option<Value>>,
    /// What rows must pass for which the call fails, before the query does.
    rescue: Option<Pipeline<'q>>,
    /// Rows for which the call failed, with the error.
    failed: Vec<(u32, Error)>,
    batch: Option<Batch>,
}

impl<'q> CallOp<'q> {
    pub fn new(
        call: &'q Arc<Call>,
        rescue: Option<&'q Plan>,
        at: &'q Place,
        layout: &[Var],
        next: &[Var],
        cx: &mut Exec<'q>,
    ) -> Result<CallOp<'q>> {
        let run = cx.run;
        let target = match &call.callee {
            Callee::Known(function) => Target::Function(function.clone()),
            Callee::Query => Target::Query,
            Callee::Named(constant) => {
                let value = &run.constants[*constant];
                let function = function_name(value).and_then(|name| run.functions.get(name)).cloned();
                let function = function.ok_or_else(|| {
                    let message = format!("{} is called, but {value:?} is the name of no function", call.name);
                    at.mark(Error::new(ErrorKind::Query, "query/unknown-function", message))
                })?;
                function.check_arity(call.args.len()).map_err(|error| at.mark(error))?;
                Target::Function(function)
            }
        };
        let mut slots = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            slots.push(match arg {
                Arg::Term(Term::Var(var)) => Slot::Column(place(layout, *var)?),
                Arg::Term(Term::Const(constant)) => Slot::Const(run.constants[*constant].clone()),
                Arg::Term(Term::Any) => Slot::Const(Value::Nil),
                Arg::Source(source) => match &run.sources[*source] {
                    Source::Db(db) => Slot::Db(db.clone()),
                    Source::Relation(_) => Slot::Const(run.source_value(*source)?),
                },
            });
        }
        let known = call.outs.iter().map(|var| layout.iter().position(|other| other == var)).collect();
        let mut out = Vec::with_capacity(next.len());
        for var in next {
            out.push(match layout.iter().position(|other| other == var) {
                Some(column) => Out::Left(column),
                None => Out::Slot(place(&call.outs, *var)?),
            });
        }
        let rescue = rescue.map(|plan| build(plan, Some(&[]), cx)).transpose()?;
        let failed = Vec::new();
        Ok(CallOp { call, place: at, target, slots, known, out, constant: None, rescue, failed, batch: None })
    }

    fn is_constant(&self) -> bool {
        let pure =
            matches!(&self.target, Target::Function(function) if function.pure) || matches!(self.target, Target::Query);
        pure && self.slots.iter().all(|slot| !matches!(slot, Slot::Column(_)))
    }

    /// The function's result for a row; `None` is nil.
    fn invoke(&mut self, batch: &Batch, row: usize, cx: &mut Exec<'q>) -> Result<Option<Value>> {
        if let Some(result) = &self.constant {
            return Ok(result.clone());
        }
        let values: Vec<Value> = self
            .slots
            .iter()
            .map(|slot| match slot {
                Slot::Column(column) => {
                    let column = &batch.columns[*column];
                    cx.heap.get(column.kind_at(row), column.cells()[row]).to_value()
                }
                _ => Value::Nil,
            })
            .collect();
        let args: Vec<Argument<'_>> = self
            .slots
            .iter()
            .zip(&values)
            .map(|(slot, value)| match slot {
                Slot::Column(_) => Argument::Value(value),
                Slot::Const(value) => Argument::Value(value),
                Slot::Db(db) => Argument::Db(db),
            })
            .collect();
        let result = match &self.target {
            Target::Function(function) => (function.call)(&args),
            Target::Query => nested::call(&args, cx.run).map(Some),
        };
        let result = match result {
            Err(error) => {
                self.fail(row, error, cx)?;
                return Ok(None);
            }
            Ok(result) => result,
        };
        let result = result.filter(|value| !matches!(value, Value::Nil));
        if self.is_constant() {
            self.constant = Some(result.clone());
        }
        Ok(result)
    }

    /// Ends the query, or puts the row aside until it is known whether it passes everything else.
    fn fail(&mut self, row: usize, error: Error, cx: &mut Exec<'q>) -> Result<()> {
        let error = self.place.mark(error);
        if self.rescue.is_none() {
            cx.call_failed = true;
            return Err(error);
        }
        self.failed.push((row as u32, error));
        Ok(())
    }

    /// Whether rows pass all that can be asked of them without the call.
    fn passes(&mut self, batch: &Batch, rows: &[u32], cx: &mut Exec<'q>) -> Result<bool> {
        let Some(rescue) = &mut self.rescue else { return Ok(true) };
        rescue.start(batch.gather(rows), cx)?;
        let mut any = false;
        while rescue.poll(cx)?.is_some() {
            any = true;
        }
        Ok(any)
    }

    /// Ends the query if one of the rows put aside passes everything else.
    fn judge_failed(&mut self, batch: &Batch, cx: &mut Exec<'q>) -> Result<()> {
        let failed = std::mem::take(&mut self.failed);
        let rows: Vec<u32> = failed.iter().map(|(row, _)| *row).collect();
        if rows.is_empty() || !self.passes(batch, &rows, cx)? {
            return Ok(());
        }
        for (row, error) in failed {
            if self.passes(batch, &[row], cx)? {
                cx.call_failed = true;
                return Err(error);
            }
        }
        Ok(())
    }

    fn filter(&mut self, batch: &Batch, cx: &mut Exec<'q>) -> Result<Vec<u32>> {
        if let Target::Function(function) = &self.target
            && let Some(kept) = vector::filter(function.name.as_str(), &self.slots, batch, &cx.heap)
        {
            return Ok(kept);
        }
        let mut kept = Vec::new();
        for row in 0..batch.len {
            if truthy(self.invoke(batch, row, cx)?.as_ref()) {
                kept.push(row as u32);
            }
        }
        Ok(kept)
    }

    /// Rows with the slots of the binding, in columns.
    fn bind(&mut self, bind: &Bind, batch: &Batch, cx: &mut Exec<'q>) -> Result<(Vec<u32>, Vec<Column>)> {
        let width = self.call.outs.len();
        if let (Bind::Slot(_), Target::Function(function)) = (bind, &self.target)
            && let Some(column) = vector::compute(function.name.as_str(), &self.slots, batch)
        {
            return Ok(((0..batch.len as u32).collect(), vec![column]));
        }
        let mut rows: Vec<u32> = Vec::with_capacity(batch.len);
        let mut columns: Vec<Column> = vec![Column::default(); width];
        for row in 0..batch.len {
            let Some(value) = self.invoke(batch, row, cx)? else { continue };
            if let Bind::Slot(_) = bind {
                let (kind, cell) = cx.heap.cell(&value.as_ref())?;
                columns[0].push(kind, cell);
                rows.push(row as u32);
                continue;
            }
            let found = match destructure(bind, &value, width) {
                Ok(found) => found,
                Err(error) => {
                    self.fail(row, error, cx)?;
                    continue;
                }
            };
            for tuple in found {
                for (column, value) in columns.iter_mut().zip(&tuple) {
                    let (kind, cell) = cx.heap.cell(&value.as_ref())?;
                    column.push(kind, cell);
                }
                rows.push(row as u32);
            }
        }
        Ok((rows, columns))
    }
}

impl<'q> Operator<'q> for CallOp<'q> {
    fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        if batch.len == 0 {
            return Ok(());
        }
        let call = self.call;
        let (mut rows, mut columns) = match &call.binding {
            None => (self.filter(&batch, cx)?, Vec::new()),
            Some(bind) => self.bind(bind, &batch, cx)?,
        };
        self.judge_failed(&batch, cx)?;
        for (slot, known) in self.known.iter().enumerate() {
            let Some(known) = known else { continue };
            let (left, new) = (&batch.columns[*known], &columns[slot]);
            let same = |i: &u32| {
                let (i, row) = (*i as usize, rows[*i as usize] as usize);
                let left = cx.heap.get(left.kind_at(row), left.cells()[row]);
                equal_values(&left, &cx.heap.get(new.kind_at(i), new.cells()[i]))
            };
            let kept: Vec<u32> = (0..rows.len() as u32).filter(same).collect();
            if kept.len() < rows.len() {
                rows = kept.iter().map(|i| rows[*i as usize]).collect();
                columns = columns.iter().map(|column| column.gather(&kept)).collect();
            }
        }
        let all = rows.len() == batch.len && rows.iter().enumerate().all(|(i, row)| i as u32 == *row);
        let out = self.out.iter().map(|out| match out {
            Out::Left(column) if all => batch.columns[*column].clone(),
            Out::Left(column) => batch.columns[*column].gather(&rows),
            Out::Slot(slot) => columns[*slot].clone(),
        });
        self.batch = Some(Batch { len: rows.len(), columns: out.collect() });
        Ok(())
    }

    fn poll(&mut self, _: &mut Exec<'q>) -> Result<Option<Batch>> {
        Ok(self.batch.take().filter(|batch| batch.len > 0))
    }
}
