//! Rows of a find that needs no look at all of them, batch by batch.

use super::{enough, pulled, term_column, value};
use crate::datom::Value;
use crate::error::Result;
use crate::query::logic::{Element, Var};
use crate::query::operator::{Batch, Exec, Pipeline, RowSet, unseen};

pub(in crate::query) struct Streamed<'q> {
    pipeline: Pipeline<'q>,
    wanted: Vec<Var>,
    /// Rows given out so far, where they may repeat.
    seen: Option<RowSet>,
    /// Rows to pass over, and rows to give out after them.
    offset: usize,
    left: usize,
    batch: Batch,
    at: u32,
}

impl<'q> Streamed<'q> {
    pub fn new(mut pipeline: Pipeline<'q>, wanted: &[Var], distinct: bool, cx: &mut Exec<'q>) -> Result<Streamed<'q>> {
        let program = cx.run.program;
        pipeline.start(Batch::unit(), cx)?;
        Ok(Streamed {
            pipeline,
            wanted: wanted.to_vec(),
            seen: (!distinct).then(|| RowSet::new(wanted.len())),
            offset: program.offset,
            left: enough(program, false).saturating_sub(program.offset),
            batch: Batch::default(),
            at: 0,
        })
    }

    /// The next row.
    pub fn row(&mut self, cx: &mut Exec<'q>) -> Result<Option<Vec<Value>>> {
        while self.left > 0 {
            if (self.at as usize) < self.batch.len {
                let row = self.batch.columns.iter().map(|column| value(column, self.at, &cx.heap).to_value()).collect();
                self.at += 1;
                self.left -= 1;
                return Ok(Some(row));
            }
            let Some(batch) = self.next_batch(cx).map_err(|error| cx.meter.blame(error))? else { break };
            (self.batch, self.at) = (batch, 0);
        }
        Ok(None)
    }

    /// The next batch in the columns of `:find`, perhaps empty.
    fn next_batch(&mut self, cx: &mut Exec<'q>) -> Result<Option<Batch>> {
        let Some(mut batch) = self.pipeline.poll(cx)? else { return Ok(None) };
        if let Some(seen) = &mut self.seen {
            batch = unseen(seen, batch, cx)?;
        }
        let passed = self.offset.min(batch.len);
        self.offset -= passed;
        let end = batch.len.min(passed.saturating_add(self.left));
        let batch = batch.slice(passed..end);
        let program = cx.run.program;
        let columns = program.find.iter().map(|element| match element {
            Element::Term(term) | Element::Pull { of: term, .. } | Element::Aggregate { of: term, .. } => {
                term_column(*term, &batch, &self.wanted, cx)
            }
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(Some(pulled(Batch { len: batch.len, columns }, cx)?.0))
    }
}
