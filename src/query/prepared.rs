//! Queries that are run again and again.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Query;
use super::answers::answer;
use super::ast::InElement;
use super::evaluate::{all_inputs, analyzed, evaluate, evaluate_program};
use super::input::{Input, IntoInputs, IntoQuery};
use super::known::{Ready, Rules};
use super::options::QueryOptions;
use super::output::Output;
use crate::error::Result;

/// A query that is parsed and analyzed once and for all; where it takes rules, once for each of a few sets of rules. A
/// plan is used again as long as the schemas are the same and the numbers of datoms have not doubled or halved. It can be
/// shared between threads.
#[derive(Debug, Clone)]
pub struct Prepared {
    query: Query,
    /// `None` where the rules of a run have a say.
    ready: Option<Arc<Ready>>,
    /// The element of `:in` that is `%`.
    rules: Option<usize>,
    by_rules: Arc<Mutex<ByRules>>,
    /// What it was prepared to call.
    options: QueryOptions,
}

/// What analysis made of a query for each set of rules.
type ByRules = Vec<(Rules, Arc<Ready>)>;

/// Most sets of rules that are remembered for one query.
const MOST_RULES: usize = 8;

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
    let rules = query.ast.inputs.iter().position(|element| matches!(element, InElement::Rules));
    // What is told of a run is made anew for each.
    let ready = match rules.is_some() || query.ast.stats {
        true => None,
        false => Some(Arc::new(Ready::new(analyzed(&query, None, options)?))),
    };
    Ok(Prepared { query, ready, rules, by_rules: Arc::default(), options: options.clone() })
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
        self.answer(&inputs.into_inputs(), options)
    }

    /// Whether the names of the query mean what they mean with these options.
    pub(super) fn is_for(&self, options: &QueryOptions) -> bool {
        self.options.calls_the_same(options)
    }

    pub(super) fn answer(&self, given: &[Input], options: &QueryOptions) -> Result<Output> {
        let inputs = all_inputs(&self.query, given)?;
        let options = &*options.for_inputs(&inputs);
        if let Some(ready) = &self.ready {
            return answer(ready, &inputs, options, || evaluate_program(ready, &inputs, options, 0));
        }
        let rules = self.rules.and_then(|at| inputs.get(at));
        if self.query.ast.stats || !self.is_for(options) {
            return evaluate(&self.query, given, options, 0);
        }
        let known = self.by_rules.lock().iter().find(|(known, _)| known.are(rules)).map(|(_, ready)| Arc::clone(ready));
        let ready = match known {
            Some(ready) => ready,
            None => {
                let Some(rules) = Rules::of(rules) else { return evaluate(&self.query, given, options, 0) };
                let ready = Arc::new(Ready::new(analyzed(&self.query, Some(&inputs), options)?));
                let mut by_rules = self.by_rules.lock();
                if by_rules.len() >= MOST_RULES {
                    by_rules.remove(0);
                }
                by_rules.push((rules, Arc::clone(&ready)));
                ready
            }
        };
        answer(&ready, &inputs, options, || evaluate_program(&ready, &inputs, options, 0))
    }
}
