//! The rows of an input, or of a source that is a collection of tuples.

use super::batch::Batch;
use super::{Exec, Operator, equal_values};
use crate::error::{Error, ErrorKind, Result};
use crate::query::logic::Var;
use crate::query::plan::{Part, Rows};

pub(super) struct RowsOp<'q> {
    rows: &'q Rows,
    /// For each column of the output its place in the relation.
    columns: Vec<usize>,
    batch: Option<Batch>,
}

impl<'q> RowsOp<'q> {
    pub fn new(rows: &'q Rows, next: &[Var], _: &Exec<'q>) -> Result<RowsOp<'q>> {
        let find = |var: &Var| rows.parts.iter().position(|part| matches!(part, Part::Out(other) if other == var));
        let columns = next.iter().map(|var| {
            find(var).ok_or_else(|| {
                Error::new(ErrorKind::Internal, "query/plan", "a relation was planned without one of its columns")
            })
        });
        Ok(RowsOp { rows, columns: columns.collect::<Result<_>>()?, batch: None })
    }
}

impl<'q> Operator<'q> for RowsOp<'q> {
    fn feed(&mut self, unit: Batch, cx: &mut Exec<'q>) -> Result<()> {
        let relation = &cx.run.relations[self.rows.relation];
        // A tuple that is shorter than the pattern has nothing to match the rest with.
        if unit.len == 0 || self.rows.parts.len() > relation.columns.len() {
            return Ok(());
        }
        let value = |column: usize, row: usize| {
            let column = &relation.columns[column];
            cx.heap.get(column.kind_at(row), column.cells()[row])
        };
        let keeps = |row: &u32| {
            let row = *row as usize;
            self.rows.parts.iter().enumerate().all(|(i, part)| match part {
                Part::Const(constant) => equal_values(&value(i, row), &constant.as_ref()),
                Part::Same(first) => equal_values(&value(i, row), &value(*first, row)),
                _ => true,
            })
        };
        let kept: Vec<u32> = (0..relation.len as u32).filter(keeps).collect();
        let columns = self.columns.iter().map(|column| {
            let column = &relation.columns[*column];
            if kept.len() == relation.len { column.clone() } else { column.gather(&kept) }
        });
        self.batch = Some(Batch { len: kept.len(), columns: columns.collect() });
        Ok(())
    }

    fn poll(&mut self, _: &mut Exec<'q>) -> Result<Option<Batch>> {
        Ok(self.batch.take().filter(|batch| batch.len > 0))
    }
}
