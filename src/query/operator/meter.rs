//! What each step of a plan did. Rows are always counted, once for each batch; time is taken, and reads are counted, only
//! where that is asked for.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::index::Reads;
use crate::query::plan::Plan;

/// What one step did so far.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::query) struct Tally {
    pub rows_in: u64,
    pub rows_out: u64,
    /// Batches put out.
    pub batches: u64,
    /// Time inside the step, plans inside of it included.
    pub time: Duration,
    /// Nodes of indexes that the step went to, and bytes of them that came from the store; as the time.
    pub reads: Reads,
}

impl Tally {
    fn add_since(&mut self, began: Option<Mark>) {
        if let Some(Mark { at, reads }) = began {
            self.time += at.elapsed();
            self.reads += reads.since();
        }
    }
}

/// A moment from which on a step is measured.
#[derive(Debug, Clone, Copy)]
pub(in crate::query) struct Mark {
    at: Instant,
    reads: Reads,
}

/// The tallies of all steps of all plans of a run.
#[derive(Default)]
pub(in crate::query) struct Meter<'q> {
    timed: bool,
    tallies: Vec<Tally>,
    /// Each plan with the place of its first step in `tallies`.
    plans: Vec<(&'q Plan, usize)>,
}

impl<'q> Meter<'q> {
    pub fn new(timed: bool) -> Meter<'q> {
        Meter { timed, ..Meter::default() }
    }

    /// Makes room for a plan of so many operators; the place of the first one.
    pub fn open(&mut self, plan: &'q Plan, operators: usize) -> usize {
        let base = self.tallies.len();
        self.plans.push((plan, base));
        self.tallies.resize(base + operators, Tally::default());
        base
    }

    /// A meter for another thread, to be taken in afterwards.
    pub fn apart(&self) -> Meter<'q> {
        Meter::new(self.timed)
    }

    /// Takes in what another thread did.
    pub fn add(&mut self, other: Meter<'q>) {
        let base = self.tallies.len();
        self.plans.extend(other.plans.into_iter().map(|(plan, at)| (plan, base + at)));
        self.tallies.extend(other.tallies);
    }

    /// The moment, where steps are measured.
    #[inline]
    pub fn mark(&self) -> Option<Mark> {
        if self.timed { Some(Mark { at: Instant::now(), reads: Reads::so_far() }) } else { None }
    }

    /// A step took in so many rows, which began at `began`.
    #[inline]
    pub fn took_in(&mut self, step: usize, rows: usize, began: Option<Mark>) {
        if let Some(tally) = self.tallies.get_mut(step) {
            tally.rows_in += rows as u64;
            tally.add_since(began);
        }
    }

    /// A step put out so many rows, which began at `began`.
    #[inline]
    pub fn put_out(&mut self, step: usize, rows: usize, began: Option<Mark>) {
        if let Some(tally) = self.tallies.get_mut(step) {
            tally.rows_out += rows as u64;
            tally.batches += u64::from(rows > 0);
            tally.add_since(began);
        }
    }

    /// What the steps of a plan did, however often it was built.
    pub fn tallies(&self, plan: &Plan) -> Vec<Tally> {
        let mut sums = vec![Tally::default(); plan.steps.len()];
        for (_, base) in self.plans.iter().filter(|(known, _)| std::ptr::eq(*known, plan)) {
            for (sum, tally) in sums.iter_mut().zip(self.tallies.get(*base..).unwrap_or_default()) {
                sum.rows_in += tally.rows_in;
                sum.rows_out += tally.rows_out;
                sum.batches += tally.batches;
                sum.time += tally.time;
                sum.reads += tally.reads;
            }
        }
        sums
    }

    /// An error of a budget, with the clause that most rows came out of.
    pub fn blame(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Limit {
            return error;
        }
        let steps = self
            .plans
            .iter()
            .flat_map(|(plan, base)| plan.steps.iter().zip(self.tallies.get(*base..).unwrap_or_default()));
        let Some((step, tally)) = steps.max_by_key(|(_, tally)| tally.rows_out).filter(|(_, t)| t.rows_out > 0) else {
            return error;
        };
        let clause = step.place.excerpt().map_or_else(|| "an input".to_owned(), |text| format!("the clause {text}"));
        step.place.mark(error.context_after(format_args!("most rows, {}, came out of {clause}", tally.rows_out)))
    }
}
