//! The answers of all branches to a batch.

use super::batch::Batch;
use super::build::build;
use super::pipeline::Pipeline;
use super::{Exec, Operator};
use crate::error::Result;
use crate::query::logic::Var;
use crate::query::plan::Plan;

pub(super) struct OrOp<'q> {
    branches: Vec<Pipeline<'q>>,
    batch: Batch,
    /// The branch at work, when there is one.
    at: Option<usize>,
}

impl<'q> OrOp<'q> {
    pub fn new(branches: &'q [Plan], _: &[Var], next: &[Var], cx: &mut Exec<'q>) -> Result<OrOp<'q>> {
        let branches = branches.iter().map(|branch| build(branch, Some(next), cx)).collect::<Result<_>>()?;
        Ok(OrOp { branches, batch: Batch::default(), at: None })
    }

    fn begin(&mut self, branch: usize, cx: &mut Exec<'q>) -> Result<()> {
        self.at = Some(branch);
        if let Some(pipeline) = self.branches.get_mut(branch) {
            pipeline.feed(self.batch.clone(), cx)?;
            pipeline.finish();
        }
        Ok(())
    }
}

impl<'q> Operator<'q> for OrOp<'q> {
    fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        self.batch = batch;
        self.begin(0, cx)
    }

    fn poll(&mut self, cx: &mut Exec<'q>) -> Result<Option<Batch>> {
        while let Some(branch) = self.at {
            let Some(pipeline) = self.branches.get_mut(branch) else {
                self.at = None;
                break;
            };
            if let Some(batch) = pipeline.poll(cx)? {
                return Ok(Some(batch));
            }
            self.begin(branch + 1, cx)?;
        }
        Ok(None)
    }
}
