//! Queries that are run again and again.

use std::sync::Arc;

use super::Query;
use super::ast::InElement;
use super::evaluate::{all_inputs, analyzed, evaluate, evaluate_program};
use super::input::{IntoInputs, IntoQuery};
use super::logic::Program;
use super::options::QueryOptions;
use super::output::Output;
use super::plan::Samples;
use crate::error::Result;

/// A query that is parsed, and analyzed once and for all unless it takes rules. The order of its clauses is chosen at
/// each run, for the inputs of that run; what that takes to know of an attribute's values is looked up again only when the
/// number of its datoms has doubled or halved. It can be shared between threads.
#[derive(Debug, Clone)]
pub struct Prepared {
    query: Query,
    /// `None` where the rules of a run have a say.
    program: Option<Arc<Program>>,
    samples: Arc<Samples>,
}

/// Prepares a query of built-in functions; [`prepare_with`] knows others.
///
/// ```
/// use treering::{prepare, Value};
/// let longer = prepare("[:find [?n ...] :in [?n ...] ?least :where [(count ?n) ?len] [(< ?least ?len)]]")?;
/// let names = Value::from(vec![Value::from("Ivan"), Value::from("Bo")]);
/// assert_eq!(longer.run((names, 3))?.to_value(), Value::from(vec![Value::from("Ivan")]));
/// # Ok::<(), treering::Error>(())
/// ```
///
/// # Errors
/// `Syntax` for text that is no query; `Query` for one that cannot be answered.
pub fn prepare(query: impl IntoQuery) -> Result<Prepared> {
    prepare_with(query, &QueryOptions::default())
}

/// Prepares a query that calls functions and aggregates of `options`; with [`QueryOptions::of`] those that are registered
/// where a database was opened.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_with(query: impl IntoQuery, options: &QueryOptions) -> Result<Prepared> {
    let query = query.into_query()?;
    let takes_rules = query.ast.inputs.iter().any(|element| matches!(element, InElement::Rules));
    // What is told of a run is made anew for each.
    let program = if takes_rules || query.ast.stats { None } else { Some(Arc::new(analyzed(&query, None, options)?)) };
    Ok(Prepared { query, program, samples: Arc::default() })
}

impl Prepared {
    /// Answers the query for these inputs.
    ///
    /// # Errors
    /// As [`q`](super::q).
    pub fn run(&self, inputs: impl IntoInputs) -> Result<Output> {
        self.run_with(inputs, &QueryOptions::default())
    }

    /// Answers the query for these inputs, within the bounds of `options`. Functions of the options do not count where
    /// the query was analyzed before.
    ///
    /// # Errors
    /// As [`q_with`](super::q_with).
    pub fn run_with(&self, inputs: impl IntoInputs, options: &QueryOptions) -> Result<Output> {
        let inputs = inputs.into_inputs();
        match &self.program {
            Some(program) => {
                let inputs = all_inputs(&self.query, &inputs)?;
                let options = &*options.for_inputs(&inputs);
                evaluate_program(program, &inputs, options, 0, Some(&self.samples))
            }
            None => evaluate(&self.query, &inputs, options, 0),
        }
    }
}
