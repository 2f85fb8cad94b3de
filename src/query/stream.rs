//! Rows one after another, as they are found.

use super::evaluate::{all_inputs, analyzed, executing, planned, said, started, warnings};
use super::find::{self, Streamed};
use super::input::{IntoInputs, IntoQuery};
use super::logic::Kind;
use super::operator::{self, Heap};
use super::options::QueryOptions;
use super::plan::Planner;
use crate::datom::Value;
use crate::error::Result;

/// The rows of a query while it runs; see [`q_iter`].
pub struct QueryRows<'r> {
    next: &'r mut dyn FnMut() -> Result<Option<Vec<Value>>>,
    done: bool,
}

impl Iterator for QueryRows<'_> {
    type Item = Result<Vec<Value>>;

    fn next(&mut self) -> Option<Result<Vec<Value>>> {
        if self.done {
            return None;
        }
        let row = (self.next)().transpose();
        self.done = !matches!(row, Some(Ok(_)));
        row
    }
}

impl std::fmt::Debug for QueryRows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryRows").field("done", &self.done).finish()
    }
}

/// Hands the rows of a query to `take` one after another, as they are found: the result is never held as a whole, and
/// what `take` does not ask for is not looked for. Rows are distinct as those of [`q`](super::q) are; where the plan
/// cannot prove that, those given out are remembered. Queries with aggregates, `:having`, `:order-by` or `:after` find
/// all their rows before the first.
///
/// ```
/// use treering::{QueryOptions, inputs, q_iter};
/// let query = "[:find ?x ?y :in [?x ...] [?y ...] :where [(< ?x ?y)]]";
/// let numbers: Vec<i64> = (0..1000).collect();
/// let inputs = inputs![numbers.clone(), numbers];
/// let first = q_iter(query, inputs, &QueryOptions::default(), |rows| rows.take(3).collect::<Result<Vec<_>, _>>())?;
/// assert_eq!(first.len(), 3);
/// # Ok::<(), treering::Error>(())
/// ```
///
/// # Errors
/// As [`q_with`](super::q_with), before the first row or in the place of a row, and those of `take`.
pub fn q_iter<T>(
    query: impl IntoQuery,
    inputs: impl IntoInputs,
    options: &QueryOptions,
    take: impl FnOnce(&mut QueryRows<'_>) -> Result<T>,
) -> Result<T> {
    let query = query.into_query()?;
    let given = inputs.into_inputs();
    let inputs = all_inputs(&query, &given)?;
    let options = &*options.for_inputs(&inputs);
    let program = analyzed(&query, Some(&inputs), options)?;
    if !find::streams(&program) || query.ast.stats {
        let output = super::evaluate::evaluate(&query, &given, options, 0)?;
        let mut rows = output.rows();
        return take(&mut QueryRows { next: &mut || Ok(rows.next()), done: false });
    }
    let options = said(&program, options);
    let mut heap = Heap::default();
    let run = started(&program, &inputs, &options, 0, &mut heap)?;
    // What was given out cannot be taken back when a function fails, so functions wait from the start.
    let late = program.clauses.iter().any(|clause| !matches!(clause.kind, Kind::Pattern { .. } | Kind::Input { .. }));
    let planner = Planner::new(&run, late, None);
    let wanted = program.wanted.as_slice();
    let plan = planned(&planner, wanted)?;
    warnings(&planner);
    let mut cx = executing(&run, heap, false);
    let pipeline = operator::build(&plan, Some(wanted), &mut cx)?;
    let mut found = Streamed::new(pipeline, wanted, plan.distinct, &mut cx)?;
    take(&mut QueryRows { next: &mut || found.row(&mut cx), done: false })
}
