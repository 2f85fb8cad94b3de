//! From a parsed query to its answer.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::Instant;

use hashbrown::HashSet;

use super::aggregate::Aggregates;
use super::analyze::{self, RuleBook};
use super::ast::{Ast, InElement};
use super::builtin::Functions;
use super::explain::{Explanation, Planned};
use super::find::Found;
use super::input::Input;
use super::known::Ready;
use super::logic::{Program, Var};
use super::operator::{self, Batch, Exec, Heap, Meter};
use super::options::{Budget, QueryOptions};
use super::output::Output;
use super::plan::{self, Plan, Planner};
use super::run::Run;
use super::{Query, find, parallel, parse};
use crate::datom::Value;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Reads;

/// The tables of a query without a database, when its options name none.
fn standard() -> &'static (Functions, Aggregates) {
    static STANDARD: OnceLock<(Functions, Aggregates)> = OnceLock::new();
    STANDARD.get_or_init(|| (Functions::standard(), Aggregates::standard()))
}

fn functions(options: &QueryOptions) -> &Functions {
    options.functions.as_ref().unwrap_or(&standard().0)
}

fn aggregates(options: &QueryOptions) -> &Aggregates {
    options.aggregates.as_ref().unwrap_or(&standard().1)
}

fn rule_book(ast: &Ast, inputs: &[Input]) -> Result<RuleBook> {
    let Some(at) = ast.inputs.iter().position(|element| matches!(element, InElement::Rules)) else {
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

/// The query with its names resolved; `inputs` give the rules, where they are known already.
pub(super) fn analyzed(query: &Query, inputs: Option<&[Input]>, options: &QueryOptions) -> Result<Program> {
    let rules = rule_book(&query.ast, inputs.unwrap_or_default())?;
    let analyze = |ast: &Ast| analyze::analyze(ast, &rules, functions(options), aggregates(options));
    if query.ast.no_in && inputs.is_some_and(<[Input]>::is_empty) {
        match analyze(&Ast { inputs: Vec::new(), ..Ast::clone(&query.ast) }) {
            Err(error) if error.code() == "query/unknown-source" => {}
            other => return other,
        }
    }
    analyze(&query.ast)
}

/// The inputs of a query: those that are given, laid into its `:args`, if it has them, for the symbols with `$`.
pub(super) fn all_inputs<'i>(query: &Query, given: &'i [Input]) -> Result<Cow<'i, [Input]>> {
    let Some(args) = &query.ast.args else { return Ok(Cow::Borrowed(given)) };
    let mut given = given.iter();
    let mut inputs = Vec::with_capacity(args.len());
    for arg in args {
        let is_given = arg.as_symbol().is_some_and(|symbol| symbol.as_str().starts_with('$'));
        inputs.push(match is_given {
            false => Input::Form(arg.clone()),
            true => given.next().cloned().ok_or_else(|| {
                let message = format!(":args has {arg} for an input that is handed over, but there is none left");
                Error::new(ErrorKind::Query, "query/arity", message)
            })?,
        });
    }
    if given.next().is_some() {
        let message = "more inputs are handed over than :args has symbols such as $ for";
        return Err(Error::new(ErrorKind::Query, "query/arity", message));
    }
    Ok(Cow::Owned(inputs))
}

/// Answers a query that is nested in `depth` others.
pub(super) fn evaluate(query: &Query, given: &[Input], options: &QueryOptions, depth: usize) -> Result<Output> {
    let inputs = all_inputs(query, given)?;
    let options = &*options.for_inputs(&inputs);
    let ready = Ready::new(analyzed(query, Some(&inputs), options)?);
    if !query.ast.stats {
        return evaluate_program(&ready, &inputs, options, depth);
    }
    let (output, explanation) = evaluate_told(&ready, &inputs, options, depth)?;
    let key = |name| Value::Keyword(Keyword::new(name));
    let stats = Value::from_form(&explanation.to_form()).unwrap_or(Value::Nil);
    let query = query.ast.text.as_deref().map_or(Value::Nil, Value::from);
    Output::scalar(
        "stats",
        &Value::Map([(key("ret"), output.to_value()), (key("query"), query), (key("stats"), stats)].into()),
    )
}

pub(super) fn evaluate_program(
    ready: &Ready,
    inputs: &[Input],
    options: &QueryOptions,
    depth: usize,
) -> Result<Output> {
    evaluate_as(ready, inputs, options, depth, false).map(|(output, _)| output)
}

/// As [`evaluate_program`], with what the steps of the plan did.
pub(super) fn evaluate_told(
    ready: &Ready,
    inputs: &[Input],
    options: &QueryOptions,
    depth: usize,
) -> Result<(Output, Explanation)> {
    let (output, explanation) = evaluate_as(ready, inputs, options, depth, true)?;
    let nothing = || Error::new(ErrorKind::Internal, "query/plan", "a timed run told nothing");
    Ok((output, explanation.ok_or_else(nothing)?))
}

fn evaluate_as(
    ready: &Ready,
    inputs: &[Input],
    options: &QueryOptions,
    depth: usize,
    timed: bool,
) -> Result<(Output, Option<Explanation>)> {
    let span = tracing::debug_span!("q", depth, rows = tracing::field::Empty);
    let _entered = span.enter();
    let options = said(&ready.program, options);
    let job = Job { ready, inputs, options: &options, depth, timed };
    // A function may fail for a row that another clause would have dropped: then those clauses go first.
    let answer = match job.attempt(false) {
        Err((_, true)) => job.attempt(true),
        other => other,
    };
    let answer = answer.map_err(|(error, _)| error)?;
    span.record("rows", answer.0.len());
    Ok(answer)
}

/// The options with what the query says of its own.
pub(super) fn said<'o>(program: &Program, options: &'o QueryOptions) -> Cow<'o, QueryOptions> {
    if program.timeout.is_none() && program.after.is_none() {
        return Cow::Borrowed(options);
    }
    Cow::Owned(options.with_said(program.timeout, program.after.as_ref()))
}

struct Job<'a> {
    ready: &'a Ready,
    inputs: &'a [Input],
    options: &'a QueryOptions,
    depth: usize,
    timed: bool,
}

impl Job<'_> {
    /// One run; an error comes with whether a called function failed.
    fn attempt(&self, late: bool) -> Result<(Output, Option<Explanation>), (Error, bool)> {
        let plain = |error| (error, false);
        let began = self.timed.then(|| (Instant::now(), Reads::so_far()));
        let mut heap = Heap::default();
        let program = &self.ready.program;
        let run = started(program, self.inputs, self.options, self.depth, &mut heap).map_err(plain)?;
        let wanted = program.wanted.as_slice();
        let known = if late { None } else { self.ready.plan(&run).map_err(plain)? };
        let again = known.is_some();
        let known = match known {
            Some(known) => known,
            None => {
                let planner = Planner::new(&run, late, Some(&self.ready.samples));
                let plan = planned(&planner, wanted).map_err(plain)?;
                self.ready.remember(plan, warnings(&planner), &run, &planner).map_err(plain)?
            }
        };
        let plan = &known.plan;
        let planned = began.map(|(began, reads)| Planned { time: began.elapsed(), reads: reads.since() });
        let mut cx = executing(&run, heap, self.timed);
        cx.again = again;
        let found = match parallel::split(plan, &mut cx).map_err(plain)? {
            Some(split) => split.run(wanted, &mut cx),
            None => {
                let mut pipeline = operator::build(plan, Some(wanted), &mut cx).map_err(plain)?;
                pipeline.start(Batch::unit(), &mut cx).and_then(|()| {
                    find::finish(&mut |cx| Ok(pipeline.poll(cx)?.map(Found::Rows)), wanted, plan, &mut cx)
                })
            }
        };
        let mut output = match found {
            Ok(output) => output,
            Err(error) if cx.call_failed => return Err((error, true)),
            Err(error) => return Err((cx.meter.blame(error), false)),
        };
        output.warnings.splice(0..0, known.warnings.iter().cloned());
        let explanation = began.zip(planned).map(|((began, _), planned)| {
            let mut told = Explanation::of(plan, &run, Some(&cx.meter), output.warnings.clone());
            told.ran(&output, planned, began.elapsed().saturating_sub(planned.time));
            told
        });
        Ok((output, explanation))
    }
}

/// The run of a query over these inputs.
pub(super) fn started<'a>(
    program: &'a Program,
    inputs: &'a [Input],
    options: &'a QueryOptions,
    depth: usize,
    heap: &mut Heap,
) -> Result<Run<'a>> {
    Run::new(program, inputs, functions(options), aggregates(options), options, depth, heap)
}

/// What the operators of a run share.
pub(super) fn executing<'q>(run: &'q Run<'q>, heap: Heap, timed: bool) -> Exec<'q> {
    let (budget, meter) = (Budget::new(run.options), Meter::new(timed));
    Exec { run, heap, budget, meter, solving: Vec::new(), again: false, morsel: None, call_failed: false }
}

pub(super) fn planned(planner: &Planner<'_>, wanted: &[Var]) -> Result<Plan> {
    let needed: HashSet<Var> = wanted.iter().copied().collect();
    let mut plan = plan::plan_body(planner, &planner.run.program.clauses, &[], 1.0, &needed)?;
    plan::read_in_order(&mut plan, planner.run);
    Ok(plan)
}

/// What analysis and planning found suspicious; logged.
pub(super) fn warnings(planner: &Planner<'_>) -> Vec<String> {
    let mut warnings = planner.run.program.warnings.clone();
    warnings.append(&mut planner.warnings.borrow_mut());
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    warnings
}

/// The plan of a query, which is not run.
pub(super) fn explain(query: &Query, given: &[Input], options: &QueryOptions) -> Result<Explanation> {
    let inputs = all_inputs(query, given)?;
    let options = &*options.for_inputs(&inputs);
    let program = analyzed(query, Some(&inputs), options)?;
    let options = said(&program, options);
    let mut heap = Heap::default();
    let run = started(&program, &inputs, &options, 0, &mut heap)?;
    let planner = Planner::new(&run, false, None);
    let plan = planned(&planner, &program.wanted)?;
    let warnings = warnings(&planner);
    Ok(Explanation::of(&plan, &run, None, warnings))
}
