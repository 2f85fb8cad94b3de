//! Steps in a row, driven with a stack of its own.

use super::{Batch, Exec, Operator};
use crate::error::Result;

/// Operators from first to last; an operator itself to whoever feeds it.
pub(in crate::query) struct Pipeline<'q> {
    operators: Vec<Box<dyn Operator<'q> + 'q>>,
    /// How many of the operators may have more to give.
    level: usize,
    /// What came in, when there are no operators.
    passed: Option<Batch>,
    /// How many operators were told that nothing will come any more, while finishing.
    finished: Option<usize>,
}

impl<'q> Pipeline<'q> {
    pub fn new(operators: Vec<Box<dyn Operator<'q> + 'q>>) -> Pipeline<'q> {
        Pipeline { operators, level: 0, passed: None, finished: None }
    }

    pub fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        match self.operators.first_mut() {
            Some(first) => {
                first.feed(batch, cx)?;
                self.level = 1;
            }
            None => self.passed = Some(batch),
        }
        Ok(())
    }

    pub fn finish(&mut self) {
        self.finished = Some(0);
    }

    pub fn poll(&mut self, cx: &mut Exec<'q>) -> Result<Option<Batch>> {
        if let Some(batch) = self.passed.take().filter(|batch| batch.len > 0) {
            return Ok(Some(batch));
        }
        loop {
            if self.level == 0 {
                // Tell the next operator that nothing comes any more, and drain what that sets free.
                match self.finished {
                    Some(n) if n < self.operators.len() => {
                        self.operators[n].finish(cx)?;
                        self.finished = Some(n + 1);
                        self.level = n + 1;
                    }
                    _ => {
                        self.finished = None;
                        return Ok(None);
                    }
                }
            }
            let at = self.level - 1;
            match self.operators[at].poll(cx)? {
                Some(batch) => {
                    cx.budget.check(batch.len, cx.heap.weight())?;
                    if self.level == self.operators.len() {
                        return Ok(Some(batch));
                    }
                    self.operators[self.level].feed(batch, cx)?;
                    self.level += 1;
                }
                None => {
                    self.level -= 1;
                    // Operators before one that was told to finish have nothing any more.
                    if self.finished.is_some_and(|n| self.level < n) {
                        self.level = 0;
                    }
                }
            }
        }
    }

    /// Feeds one batch, and gathers all that comes out.
    pub fn run(&mut self, batch: Batch, width: usize, cx: &mut Exec<'q>) -> Result<Batch> {
        let mut all = Batch::empty(width);
        self.feed(batch, cx)?;
        self.finish();
        while let Some(batch) = self.poll(cx)? {
            cx.budget.hold(batch.weight())?;
            if all.len == 0 {
                all = batch;
            } else {
                all.append(&batch);
            }
        }
        Ok(all)
    }
}
