//! Equality of two columns, or of a column and a constant; or a copy of one under another name.

use super::batch::{Batch, Column};
use super::build::place;
use super::{Exec, Operator, equal_values};
use crate::datom::{Value, ValueRef};
use crate::error::Result;
use crate::query::logic::Var;
use crate::query::plan::Operand;

pub(super) struct EqualOp {
    a: Side,
    b: Option<Side>,
    /// For each column of the output its place on the left; `None` for the copy.
    out: Vec<Option<usize>>,
    batch: Option<Batch>,
}

enum Side {
    Column(usize),
    Const(Value),
}

impl EqualOp {
    pub fn new(a: &Operand, b: &Operand, copy: bool, layout: &[Var], next: &[Var], _: &Exec<'_>) -> Result<EqualOp> {
        let side = |operand: &Operand| {
            Ok(match operand {
                Operand::Var(var) => Side::Column(place(layout, *var)?),
                Operand::Const(value) => Side::Const(value.clone()),
            })
        };
        let b = if copy { None } else { Some(side(b)?) };
        let out = super::build::places(layout, next);
        Ok(EqualOp { a: side(a)?, b, out, batch: None })
    }
}

impl<'q> Operator<'q> for EqualOp {
    fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        fn value<'v>(side: &'v Side, batch: &Batch, row: usize, cx: &'v Exec<'_>) -> ValueRef<'v> {
            match side {
                Side::Column(column) => {
                    let column = &batch.columns[*column];
                    cx.heap.get(column.kind_at(row), column.cells()[row])
                }
                Side::Const(value) => value.as_ref(),
            }
        }
        let rows: Vec<u32> = match &self.b {
            None => (0..batch.len as u32).collect(),
            Some(b) => {
                let same = |row: &u32| {
                    let row = *row as usize;
                    equal_values(&value(&self.a, &batch, row, cx), &value(b, &batch, row, cx))
                };
                (0..batch.len as u32).filter(same).collect()
            }
        };
        let mut columns = Vec::with_capacity(self.out.len());
        for place in &self.out {
            columns.push(match (place, &self.a) {
                (Some(column), _) | (None, Side::Column(column)) => batch.columns[*column].gather(&rows),
                (None, Side::Const(value)) => {
                    let (kind, cell) = cx.heap.cell(&value.as_ref())?;
                    let mut column = Column::default();
                    column.extend_same(kind, cell, rows.len());
                    column
                }
            });
        }
        self.batch = Some(Batch { len: rows.len(), columns });
        Ok(())
    }

    fn poll(&mut self, _: &mut Exec<'q>) -> Result<Option<Batch>> {
        Ok(self.batch.take().filter(|batch| batch.len > 0))
    }
}
