//! Queries: text or forms → ast → logic → plan → operators → find. One engine; `docs/query-engine.md` tells how it works.

pub mod aggregate;
mod analyze;
mod ast;
pub mod builtin;
mod find;
mod input;
mod logic;
mod nested;
mod operator;
mod options;
mod output;
mod parse;
mod plan;
mod prepared;
mod run;
#[cfg(test)]
mod tests;

pub use input::{Input, IntoInputs, IntoQuery};
pub use options::QueryOptions;
pub use output::{Output, Shape};
pub use prepared::{Prepared, prepare};

use std::sync::{Arc, OnceLock};

use aggregate::Aggregates;
use analyze::RuleBook;
use ast::{Ast, InElement};
use builtin::Functions;
use hashbrown::HashSet;
use logic::Program;
use operator::{Exec, Heap};
use options::Budget;
use plan::{Plan, Planner, Samples};
use run::Run;

use crate::edn::Form;
use crate::error::{Error, ErrorKind, Result};

/// A parsed query. It knows nothing of any database, so one does for all.
#[derive(Debug, Clone)]
pub struct Query {
    ast: Arc<Ast>,
}

impl Query {
    /// Parses a query in vector or map form.
    ///
    /// # Errors
    /// `Syntax`, with line and column.
    pub fn parse(text: &str) -> Result<Query> {
        let form = crate::edn::read(text)?;
        Ok(Query { ast: Arc::new(parse::parse_query(&form, Some(text.into()))?) })
    }

    /// Parses a query that was read, or made, as a form.
    ///
    /// # Errors
    /// `Syntax`.
    pub fn from_form(form: &Form) -> Result<Query> {
        Ok(Query { ast: Arc::new(parse::parse_query(form, None)?) })
    }
}

/// Answers a query.
///
/// ```
/// use treering::{Value, inputs, q};
/// let pairs = vec![vec![Value::from("Ivan"), Value::Long(15)], vec![Value::from("Petr"), Value::Long(22)]];
/// let found = q("[:find ?n ?a :in [[?n ?a]] ?least :where [(< ?least ?a)]]", inputs![pairs, 20])?;
/// let rows: Vec<(String, i64)> = found.try_into()?;
/// assert_eq!(rows, [("Petr".to_owned(), 22)]);
/// # Ok::<(), treering::Error>(())
/// ```
///
/// # Errors
/// `Syntax` for text that is no query; `Query` for one that cannot be answered; those of reading the store.
pub fn q(query: impl IntoQuery, inputs: impl IntoInputs) -> Result<Output> {
    q_with(query, inputs, &QueryOptions::default())
}

/// Answers a query within the bounds of `options`.
///
/// # Errors
/// As [`q`], and `Limit` past a bound.
pub fn q_with(query: impl IntoQuery, inputs: impl IntoInputs, options: &QueryOptions) -> Result<Output> {
    evaluate(&query.into_query()?, &inputs.into_inputs(), options, 0)
}

/// The tables that a query uses when its options name none.
fn standard() -> &'static (Functions, Aggregates) {
    static STANDARD: OnceLock<(Functions, Aggregates)> = OnceLock::new();
    STANDARD.get_or_init(|| (Functions::standard(), Aggregates::standard()))
}

fn rule_book(ast: &Ast, inputs: &[Input]) -> Result<RuleBook> {
    let Some(at) = ast.inputs.iter().position(|element| matches!(element, InElement::Rules(_))) else {
        return Ok(RuleBook::default());
    };
    let rules = match inputs.get(at) {
        Some(Input::Form(form)) => parse::parse_rules(form, None)?,
        Some(Input::Value(value)) => parse::parse_rules(&value.to_form(), None)?,
        Some(_) => {
            let message = "rules were wanted for the % of :in, as text or as a form";
            return Err(Error::new(ErrorKind::Query, "query/type", message));
        }
        None => return Ok(RuleBook::default()),
    };
    RuleBook::new(rules)
}

fn analyzed(query: &Query, inputs: &[Input], functions: &Functions, aggregates: &Aggregates) -> Result<Program> {
    let rules = rule_book(&query.ast, inputs)?;
    analyze::analyze(&query.ast, &rules, functions, aggregates)
}

fn evaluate(query: &Query, inputs: &[Input], options: &QueryOptions, depth: usize) -> Result<Output> {
    let functions = options.functions.as_ref().unwrap_or(&standard().0);
    let aggregates = options.aggregates.as_ref().unwrap_or(&standard().1);
    let program = analyzed(query, inputs, functions, aggregates)?;
    evaluate_program(&program, inputs, options, depth, None)
}

fn evaluate_program(
    program: &Program,
    inputs: &[Input],
    options: &QueryOptions,
    depth: usize,
    samples: Option<&Samples>,
) -> Result<Output> {
    let span = tracing::debug_span!("q", depth, rows = tracing::field::Empty);
    let _entered = span.enter();
    // A function may fail for a row that another clause would have dropped: then those clauses go first.
    let output = match attempt(program, inputs, options, depth, samples, false) {
        Err((_, true)) => attempt(program, inputs, options, depth, samples, true),
        other => other,
    };
    let output = output.map_err(|(error, _)| error)?;
    span.record("rows", output.len());
    Ok(output)
}

/// One run; an error comes with whether a called function failed.
fn attempt(
    program: &Program,
    inputs: &[Input],
    options: &QueryOptions,
    depth: usize,
    samples: Option<&Samples>,
    late: bool,
) -> Result<Output, (Error, bool)> {
    let functions = options.functions.as_ref().unwrap_or(&standard().0);
    let aggregates = options.aggregates.as_ref().unwrap_or(&standard().1);
    let mut heap = Heap::default();
    let plain = |error| (error, false);
    let run = Run::new(program, inputs, functions, aggregates, options, depth, &mut heap).map_err(plain)?;
    let planner = Planner::new(&run, late, samples);
    let wanted = find::wanted(program);
    let plan = planned(&planner, &wanted).map_err(plain)?;
    let mut cx = Exec { run: &run, heap, budget: Budget::new(options), solving: Vec::new(), call_failed: false };
    let pipeline = operator::build(&plan, Some(&wanted), &mut cx).map_err(plain)?;
    let result = find::finish(pipeline, &wanted, plan.distinct, &mut cx);
    result.map_err(|error| (error, cx.call_failed))
}

fn planned(planner: &Planner<'_>, wanted: &[logic::Var]) -> Result<Plan> {
    let needed: HashSet<logic::Var> = wanted.iter().copied().collect();
    plan::plan_body(planner, &planner.run.program.clauses, &[], 1.0, &needed)
}

/// The plan of a query, as text, with warnings.
pub struct Explanation {
    text: String,
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::fmt::Debug for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The plan that a query would run with these inputs: the steps in their order, the rows expected, and warnings.
///
/// # Errors
/// As [`q`].
pub fn explain(query: impl IntoQuery, inputs: impl IntoInputs) -> Result<Explanation> {
    let (query, inputs) = (query.into_query()?, inputs.into_inputs());
    let options = QueryOptions::default();
    let (functions, aggregates) = standard();
    let program = analyzed(&query, &inputs, functions, aggregates)?;
    let mut heap = Heap::default();
    let run = Run::new(&program, &inputs, functions, aggregates, &options, 0, &mut heap)?;
    let planner = Planner::new(&run, false, None);
    let plan = planned(&planner, &find::wanted(&program))?;
    let mut text = String::new();
    plan::explain_plan(&plan, &program, 0, &mut text);
    text.push_str(if plan.distinct { "rows are distinct\n" } else { "distinct\n" });
    for warning in planner.warnings.borrow().iter() {
        text.push_str(&format!("warning: {warning}\n"));
    }
    Ok(Explanation { text })
}
