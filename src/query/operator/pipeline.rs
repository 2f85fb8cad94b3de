//! Steps in a row, driven with a stack of its own.

use super::key::growing_bytes;
use super::{Batch, Exec, Operator};
use crate::error::Result;

/// Operators from first to last; an operator itself to whoever feeds it.
pub(in crate::query) struct Pipeline<'q> {
    operators: Vec<Box<dyn Operator<'q> + 'q>>,
    /// The place of the first operator in the meter.
    base: usize,
    /// How many of the operators may have more to give.
    level: usize,
    /// What came in, when there are no operators.
    passed: Option<Batch>,
    /// How many operators were told that nothing will come any more, while finishing.
    finished: Option<usize>,
}

impl<'q> Pipeline<'q> {
    pub fn new(operators: Vec<Box<dyn Operator<'q> + 'q>>, base: usize) -> Pipeline<'q> {
        Pipeline { operators, base, level: 0, passed: None, finished: None }
    }

    fn feed_at(&mut self, at: usize, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        let (began, rows) = (cx.meter.mark(), batch.len);
        let fed = self.operators[at].feed(batch, cx);
        cx.meter.took_in(self.base + at, rows, began);
        fed
    }

    fn poll_at(&mut self, at: usize, cx: &mut Exec<'q>) -> Result<Option<Batch>> {
        let began = cx.meter.mark();
        let polled = self.operators[at].poll(cx)?;
        cx.meter.put_out(self.base + at, polled.as_ref().map_or(0, |batch| batch.len), began);
        Ok(polled)
    }

    pub fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        if self.operators.is_empty() {
            self.passed = Some(batch);
        } else {
            self.feed_at(0, batch, cx)?;
            self.level = 1;
        }
        Ok(())
    }

    /// Feeds the only batch there is.
    pub fn start(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        self.feed(batch, cx)?;
        self.finish();
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
            match self.poll_at(at, cx)? {
                Some(batch) => {
                    cx.budget.check(batch.len, cx.heap.most_weight())?;
                    if self.level == self.operators.len() {
                        return Ok(Some(batch));
                    }
                    self.feed_at(self.level, batch, cx)?;
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
        self.start(batch, cx)?;
        while let Some(batch) = self.poll(cx)? {
            cx.budget.hold(growing_bytes(batch.len, batch.columns.len()))?;
            if all.len == 0 {
                all = batch;
            } else {
                all.append(&batch);
            }
        }
        Ok(all)
    }
}
