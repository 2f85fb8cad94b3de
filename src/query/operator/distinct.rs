//! One of equal rows.

use super::batch::{Batch, Column};
use super::key::{KeyColumn, RowSet};
use super::{Exec, Operator};
use crate::error::Result;

pub(super) struct DistinctOp {
    width: usize,
    seen: RowSet,
    batch: Option<Batch>,
}

impl DistinctOp {
    pub fn new(width: usize) -> DistinctOp {
        DistinctOp { width, seen: RowSet::new(width), batch: None }
    }
}

/// The rows of a batch that a set has not seen.
pub(in crate::query) fn unseen(seen: &mut RowSet, batch: Batch, cx: &mut Exec<'_>) -> Result<Batch> {
    let columns: Vec<&Column> = batch.columns.iter().collect();
    let keys = KeyColumn::of_all(&columns, &mut cx.heap)?;
    let before = seen.bytes();
    let fresh = seen.fresh(&keys, batch.len);
    cx.budget.hold(seen.bytes().saturating_sub(before))?;
    Ok(if fresh.len() == batch.len { batch } else { batch.gather(&fresh) })
}

impl<'q> Operator<'q> for DistinctOp {
    fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        self.batch = Some(unseen(&mut self.seen, batch, cx)?);
        Ok(())
    }

    fn poll(&mut self, _: &mut Exec<'q>) -> Result<Option<Batch>> {
        Ok(self.batch.take().filter(|batch| batch.len > 0))
    }

    fn finish(&mut self, _: &mut Exec<'q>) -> Result<()> {
        self.seen = RowSet::new(self.width);
        Ok(())
    }
}
