//! Rows for which a body has no answer.

use super::batch::{Batch, Column};
use super::build::{build, place};
use super::pipeline::Pipeline;
use super::{Exec, Operator};
use crate::datom::ValueKind;
use crate::error::Result;
use crate::query::logic::Var;
use crate::query::plan::{Plan, ROW};

pub(super) struct NotOp<'q> {
    body: Pipeline<'q>,
    /// The columns that the body gets, before the number of the row.
    input: Vec<usize>,
    out: Vec<usize>,
    batch: Option<Batch>,
}

impl<'q> NotOp<'q> {
    pub fn new(body: &'q Plan, layout: &[Var], next: &[Var], cx: &mut Exec<'q>) -> Result<NotOp<'q>> {
        let shared = body.input.iter().filter(|var| **var != ROW);
        let input = shared.map(|var| place(layout, *var)).collect::<Result<_>>()?;
        let out = next.iter().map(|var| place(layout, *var)).collect::<Result<_>>()?;
        Ok(NotOp { body: build(body, Some(&[ROW]), cx)?, input, out, batch: None })
    }
}

impl<'q> Operator<'q> for NotOp<'q> {
    fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        let mut columns: Vec<Column> = self.input.iter().map(|column| batch.columns[*column].clone()).collect();
        columns.push(Column::of(ValueKind::Long, (0..batch.len as u64).collect()));
        self.body.feed(Batch { len: batch.len, columns }, cx)?;
        self.body.finish();
        let mut answered = vec![false; batch.len];
        while let Some(found) = self.body.poll(cx)? {
            found.columns[0].cells().iter().for_each(|row| answered[*row as usize] = true);
        }
        let kept: Vec<u32> = (0..batch.len as u32).filter(|row| !answered[*row as usize]).collect();
        let columns = self.out.iter().map(|column| batch.columns[*column].gather(&kept)).collect();
        self.batch = Some(Batch { len: kept.len(), columns });
        Ok(())
    }

    fn poll(&mut self, _: &mut Exec<'q>) -> Result<Option<Batch>> {
        Ok(self.batch.take().filter(|batch| batch.len > 0))
    }
}
