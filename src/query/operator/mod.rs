//! Operators: batches of columns in, batches of columns out.

mod batch;
mod build;
mod call;
mod closure;
mod cyclic;
mod distinct;
mod equal;
mod graph;
mod heap;
mod join;
mod key;
mod lookup;
mod meter;
mod not;
mod or;
mod pipeline;
mod rows;
mod rule;
mod table;
mod vector;

pub(super) use batch::{BATCH, Batch, Column, Rows};
pub(super) use build::{build, build_steps};
pub(super) use distinct::unseen;
pub(super) use heap::{Heap, weigh_wide};
pub(super) use key::{KeyColumn, RowSet, equality_kind, growing_bytes};
pub(super) use lookup::range_of;
pub(super) use meter::{Meter, Tally};
pub(super) use pipeline::Pipeline;
pub(super) use table::Table;

use super::options::Budget;
use super::plan::Lookup;
use super::run::Run;
use crate::datom::{Cut, ValueRef, compare};
use crate::error::Result;

/// What all operators of a run share.
pub(super) struct Exec<'q> {
    pub run: &'q Run<'q>,
    pub heap: Heap,
    pub budget: Budget,
    /// What each step did.
    pub meter: Meter<'q>,
    /// The tables of the components of rules that are being solved, the innermost last.
    pub solving: Vec<Vec<Table>>,
    /// Whether the plan was made for an earlier run, so that its constants are to be resolved again.
    pub again: bool,
    /// The part of a look-up's range that this thread reads.
    pub morsel: Option<Morsel<'q>>,
    /// Whether the error that ended the run came from a function that the query called.
    pub call_failed: bool,
}

/// A part of what a look-up reads.
#[derive(Debug, Clone)]
pub(super) struct Morsel<'q> {
    pub lookup: &'q Lookup,
    pub from: Cut,
    pub to: Cut,
}

/// A running step. It is fed a batch, polled until it has no more to give for it, then fed the next.
pub(super) trait Operator<'q> {
    /// Takes a batch; only when the last [`poll`](Self::poll) gave nothing.
    fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()>;

    /// The next batch, never empty; `None` when another one is to be fed.
    fn poll(&mut self, cx: &mut Exec<'q>) -> Result<Option<Batch>>;

    /// No further batch will be fed; what was held back can be polled now. Afterwards the operator is as new.
    fn finish(&mut self, _cx: &mut Exec<'q>) -> Result<()> {
        Ok(())
    }
}

/// Equality as joins see it: entity ids and longs of one number are equal.
#[inline]
pub(super) fn equal_values(a: &ValueRef<'_>, b: &ValueRef<'_>) -> bool {
    match (a, b) {
        (ValueRef::Ref(id), ValueRef::Long(n)) | (ValueRef::Long(n), ValueRef::Ref(id)) => id.0 as i64 == *n,
        _ => compare(a, b).is_eq(),
    }
}
