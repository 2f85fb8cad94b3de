//! What a query will do, and what it did.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Number, Value as Json};

use super::input::{IntoInputs, IntoQuery};
use super::known::Ready;
use super::operator::Meter;
use super::options::QueryOptions;
use super::output::Output;
use super::plan::{ExplainStep, Plan, explain_plan, form_map};
use super::run::Run;
use super::{Query, evaluate};
use crate::edn::{Form, FormKind};
use crate::error::Result;
use crate::index::Reads;

/// The plan of a query with the rows expected of each step, and warnings; after [`explain_analyze`] also what each step
/// did. `Display` writes a step on each line; [`to_form`](Self::to_form) and [`to_json`](Self::to_json) tell the same.
///
/// The columns after a step stand in brackets, the rows expected after a `~`; after a run the rows that the step took in
/// and put out, the time spent in it, the nodes of indexes that it went to, and their bytes that had to be read from the
/// store, its inner plans included.
#[derive(Debug, Clone)]
pub struct Explanation {
    steps: Vec<ExplainStep>,
    /// Whether rows are known to be distinct without a look.
    distinct: bool,
    warnings: Vec<String>,
    ran: Option<Ran>,
}

/// What a run as a whole came to.
#[derive(Debug, Clone, Copy)]
struct Ran {
    rows: usize,
    planned: Planned,
    running: Duration,
    /// Bytes of leaves and of the query's dictionary that were held in the end.
    held: usize,
}

/// What planning came to: it counts and samples rows in the indexes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    pub time: Duration,
    pub reads: Reads,
}

impl Explanation {
    pub(super) fn of(plan: &Plan, run: &Run<'_>, meter: Option<&Meter<'_>>, warnings: Vec<String>) -> Explanation {
        let steps = explain_plan(plan, run.program, meter);
        Explanation { steps, distinct: plan.distinct, warnings, ran: None }
    }

    /// Adds what the run came to, and warnings of estimates that were far off.
    pub(super) fn ran(&mut self, output: &Output, planned: Planned, running: Duration) {
        self.ran = Some(Ran { rows: output.len(), planned, running, held: output.weight() });
        let warnings = &mut self.warnings;
        // A query that ends early has smaller steps than were expected.
        if !output.was_cut {
            self.steps.iter().for_each(|step| step.misestimates(&mut |warning| warnings.push(warning)));
        }
    }

    /// What is suspicious: attributes that the schema does not know, Cartesian products, patterns that read the whole
    /// database, rules that nothing calls, and, after a run, estimates off by more than ten times.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// As a map: `:plan` with a map for each step (`:step`, `:clause`, `:columns`, `:rows-expected`, and after a run
    /// `:rows-in`, `:rows-out`, `:batches`, `:ms`, `:nodes`, `:bytes-read`; `:inner` plans), `:distinct`, `:warnings`, and
    /// after a run `:rows`, `:planning-ms`, `:planning-nodes`, `:planning-bytes-read`, `:running-ms`, `:bytes-held`.
    pub fn to_form(&self) -> Form {
        let steps = self.steps.iter().map(ExplainStep::to_form).collect();
        let warnings = self.warnings.iter().map(|text| FormKind::Str(text.as_str().into()).into()).collect();
        let mut pairs = vec![
            ("plan", FormKind::Vector(steps).into()),
            ("distinct", FormKind::Bool(self.distinct).into()),
            ("warnings", FormKind::Vector(warnings).into()),
        ];
        if let Some(ran) = self.ran {
            let ms = |time: Duration| FormKind::Float(time.as_secs_f64() * 1e3).into();
            pairs.push(("rows", FormKind::Int(ran.rows as i64).into()));
            pairs.push(("planning-ms", ms(ran.planned.time)));
            pairs.push(("planning-nodes", FormKind::Int(ran.planned.reads.nodes as i64).into()));
            pairs.push(("planning-bytes-read", FormKind::Int(ran.planned.reads.bytes as i64).into()));
            pairs.push(("running-ms", ms(ran.running)));
            pairs.push(("bytes-held", FormKind::Int(ran.held as i64).into()));
        }
        form_map(pairs)
    }

    /// As JSON: the maps of [`to_form`](Self::to_form) with strings as keys.
    pub fn to_json(&self) -> String {
        json(&self.to_form()).to_string()
    }
}

/// The forms that an explanation is made of, as JSON.
fn json(form: &Form) -> Json {
    match &form.kind {
        FormKind::Bool(b) => Json::Bool(*b),
        FormKind::Int(n) => Json::from(*n),
        FormKind::Float(x) => Number::from_f64(*x).map_or(Json::Null, Json::Number),
        FormKind::Str(text) => Json::String(text.to_string()),
        FormKind::Keyword(keyword) => Json::String(keyword.as_str().to_owned()),
        FormKind::Vector(items) => Json::Array(items.iter().map(json).collect()),
        FormKind::Map(pairs) => {
            let pair = |(key, value): &(Form, Form)| {
                (key.as_keyword().map_or_else(|| key.to_string(), |k| k.as_str().to_owned()), json(value))
            };
            Json::Object(pairs.iter().map(pair).collect::<Map<_, _>>())
        }
        _ => Json::String(form.to_string()),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.steps.iter().for_each(|step| step.write(0, &mut text));
        text.push_str(if self.distinct { "rows are distinct\n" } else { "distinct\n" });
        if let Some(ran) = self.ran {
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            let (planning, running) = (ms(ran.planned.time), ms(ran.running));
            let (rows, reads) = (ran.rows, ran.planned.reads);
            text.push_str(&format!("{rows} rows; planned in {planning:.3} ms{reads}, run in {running:.3} ms"));
            text.push_str(&format!(", {} bytes held\n", ran.held));
        }
        for warning in &self.warnings {
            text.push_str(&format!("warning: {warning}\n"));
        }
        f.write_str(&text)
    }
}

/// The plan that a query would run with these inputs: the steps in their order, the rows expected, and warnings.
///
/// # Errors
/// As [`q`](super::q).
pub fn explain(query: impl IntoQuery, inputs: impl IntoInputs) -> Result<Explanation> {
    let query: Query = query.into_query()?;
    evaluate::explain(&query, &inputs.into_inputs(), &QueryOptions::default())
}

/// Runs a query and tells what each step of its plan did. This is what Datahike calls `query-stats`.
///
/// ```
/// use treering::{QueryOptions, explain_analyze, inputs};
/// let query = "[:find ?n :in [?n ...] :where [(even? ?n)]]";
/// let (output, explanation) = explain_analyze(query, inputs![vec![1, 2, 3, 4]], &QueryOptions::default())?;
/// assert_eq!(output.len(), 2);
/// assert!(explanation.to_string().contains("4 in, 2 out"), "{explanation}");
/// # Ok::<(), treering::Error>(())
/// ```
///
/// # Errors
/// As [`q_with`](super::q_with).
pub fn explain_analyze(
    query: impl IntoQuery,
    inputs: impl IntoInputs,
    options: &QueryOptions,
) -> Result<(Output, Explanation)> {
    let query: Query = query.into_query()?;
    let given = inputs.into_inputs();
    let inputs = evaluate::all_inputs(&query, &given)?;
    let options = &*options.for_inputs(&inputs);
    let ready = Ready::new(evaluate::analyzed(&query, Some(&inputs), options)?);
    evaluate::evaluate_told(&ready, &inputs, options, 0)
}
