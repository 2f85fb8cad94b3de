//! Plans as a tree of steps, for people and for programs.

use super::{Lookup, Op, Part, Plan, RuleArg, reduces_early};
use crate::edn::{Form, FormKind, Keyword, Symbol};
use crate::query::logic::{Program, Var};
use crate::query::operator::{Meter, Tally};
use crate::query::plan::lower::ROW;

/// One step of a plan.
#[derive(Debug, Clone)]
pub(in crate::query) struct ExplainStep {
    what: String,
    /// The columns after the step.
    columns: Vec<&'static str>,
    /// The rows expected after the step.
    expected: u64,
    /// The text of the clause, on one line.
    clause: Option<String>,
    /// What the step did, where the query was run.
    did: Option<Tally>,
    /// Plans inside the step, each with what it is to the step.
    inner: Vec<(String, Vec<ExplainStep>)>,
}

/// The steps of a plan; with `meter` what each of them did.
pub(in crate::query) fn explain_plan(plan: &Plan, program: &Program, meter: Option<&Meter<'_>>) -> Vec<ExplainStep> {
    let name = |var: &Var| if *var == ROW { "#row" } else { program.name(*var) };
    let tallies = meter.map(|meter| meter.tallies(plan));
    let inside = |plan: &Plan| explain_plan(plan, program, meter);
    let step = |(i, step): (usize, &super::Step)| {
        let what = match &step.op {
            Op::Nothing(reason) => format!("nothing: {reason}"),
            Op::Lookup(lookup) => describe_lookup(lookup),
            Op::Join { keys, exists, build_left, .. } => {
                let keys: Vec<&str> = keys.iter().map(name).collect();
                let kind = match (keys.is_empty(), exists) {
                    (true, _) => "cross join",
                    (false, true) => "hash semi-join",
                    (false, false) => "hash join",
                };
                let side = if *build_left { ", hash on the left" } else { "" };
                format!("{kind} on [{}]{side}", keys.join(" "))
            }
            Op::Rows(rows) => format!("rows of input {}", rows.relation),
            Op::Call { call, .. } if call.binding.is_some() => format!("call {}", call.name),
            Op::Call { call, .. } => format!("filter {}", call.name),
            Op::Equal { copy, .. } => (if *copy { "copy" } else { "filter equal" }).to_owned(),
            Op::Not { .. } => "not".to_owned(),
            Op::Or { branches } => format!("or, {} branches", branches.len()),
            Op::Rule(call) => {
                let bound = call.args.iter().filter(|arg| matches!(arg, RuleArg::Known(_))).count();
                let rule = &program.rules[call.rule];
                format!("rule {}, {bound} of {} arguments bound", rule.name, call.args.len())
            }
            Op::Closure(closure) => {
                let known = |arg: &RuleArg| matches!(arg, RuleArg::Known(_));
                let asked = match (known(&closure.near), known(&closure.far)) {
                    (true, true) => "between known ends",
                    (true, false) => "from one end",
                    _ => "all",
                };
                format!("paths over {}, {asked}", closure.attribute.ident)
            }
            Op::Cyclic(cyclic) => {
                let ties = cyclic.ties.iter().map(|tie| {
                    let (e, v) = if tie.along { (tie.from, tie.to) } else { (tie.to, tie.from) };
                    format!("{} {} {}", name(&cyclic.vars[e]), tie.attribute.ident, name(&cyclic.vars[v]))
                });
                format!("cyclic join of {}", ties.collect::<Vec<_>>().join(", "))
            }
            Op::Table(call) => format!("table {:?}", call.table),
            Op::Distinct => "distinct".to_owned(),
        };
        let inner = match &step.op {
            Op::Join { right, keys, build_left, .. } => {
                let side = match build_left {
                    true if reduces_early(right, keys) => "streamed side, reduced by the keys after its first step",
                    true => "streamed side",
                    false => "hashed side",
                };
                vec![(side.to_owned(), inside(right))]
            }
            Op::Not { body } => vec![("body".to_owned(), inside(body))],
            Op::Call { rescue: Some(rescue), .. } if !rescue.steps.is_empty() => {
                vec![("where it fails".to_owned(), inside(rescue))]
            }
            Op::Or { branches } => branches.iter().map(|branch| ("branch".to_owned(), inside(branch))).collect(),
            Op::Rule(call) => {
                let variants = call.component.variants.iter();
                let label = |from| format!("{from:?}").to_lowercase();
                variants.map(|v| (format!("table {} from new {}", v.table, label(v.from)), inside(&v.plan))).collect()
            }
            _ => Vec::new(),
        };
        ExplainStep {
            what,
            columns: step.layout.iter().map(name).collect(),
            expected: step.rows.ceil() as u64,
            clause: step.place.excerpt().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")),
            did: tallies.as_ref().and_then(|tallies| tallies.get(i)).copied(),
            inner,
        }
    };
    plan.steps.iter().enumerate().map(step).collect()
}

fn describe_lookup(lookup: &Lookup) -> String {
    let bound = lookup.parts.iter().any(|part| matches!(part, Part::Bound(_)));
    let verb = match (bound, lookup.exists) {
        (false, _) => "scan",
        (true, true) => "check",
        (true, false) => "seek",
    };
    let range = if lookup.range.is_all() { "" } else { ", range of values" };
    format!("{verb} {}{range}", format!("{:?}", lookup.order).to_uppercase())
}

/// Rows below which a wrong estimate does no harm.
const FEW_ROWS: u64 = 100;

impl ExplainStep {
    /// Appends lines: one for each step, inner plans indented.
    pub fn write(&self, indent: usize, out: &mut String) {
        let pad = "  ".repeat(indent);
        let clause = self.clause.as_ref().map(|text| format!("   {text}")).unwrap_or_default();
        let did = self.did.map(|did| {
            let ms = did.time.as_secs_f64() * 1e3;
            format!(", {} in, {} out, {ms:.3} ms{}", did.rows_in, did.rows_out, did.reads)
        });
        out.push_str(&format!(
            "{pad}{}  -> [{}] ~{} rows{}{clause}\n",
            self.what,
            self.columns.join(" "),
            self.expected,
            did.unwrap_or_default()
        ));
        for (label, steps) in &self.inner {
            out.push_str(&format!("{pad}  {label}\n"));
            steps.iter().for_each(|step| step.write(indent + 2, out));
        }
    }

    /// A map of keywords to what is known of the step.
    pub fn to_form(&self) -> Form {
        let text = |text: &str| Form::from(FormKind::Str(text.into()));
        let number = |n: u64| Form::from(FormKind::Int(i64::try_from(n).unwrap_or(i64::MAX)));
        let columns = self.columns.iter().map(|name| FormKind::Symbol(Symbol::new(name)).into()).collect();
        let mut pairs = vec![
            ("step", text(&self.what)),
            ("columns", FormKind::Vector(columns).into()),
            ("rows-expected", number(self.expected)),
        ];
        pairs.extend(self.clause.as_ref().map(|clause| ("clause", text(clause))));
        if let Some(did) = self.did {
            pairs.push(("rows-in", number(did.rows_in)));
            pairs.push(("rows-out", number(did.rows_out)));
            pairs.push(("batches", number(did.batches)));
            pairs.push(("ms", FormKind::Float(did.time.as_secs_f64() * 1e3).into()));
            pairs.push(("nodes", number(did.reads.nodes)));
            pairs.push(("bytes-read", number(did.reads.bytes)));
        }
        if !self.inner.is_empty() {
            let inner = self.inner.iter().map(|(label, steps)| {
                let steps = steps.iter().map(ExplainStep::to_form).collect();
                form_map(vec![("label", text(label)), ("steps", FormKind::Vector(steps).into())])
            });
            pairs.push(("inner", FormKind::Vector(inner.collect()).into()));
        }
        form_map(pairs)
    }

    /// Calls `f` with what is to be said of estimates that were off by more than ten times.
    pub fn misestimates(&self, f: &mut dyn FnMut(String)) {
        if let Some(did) = self.did.filter(|did| did.rows_in > 0) {
            let (low, high) = (self.expected.min(did.rows_out), self.expected.max(did.rows_out));
            if high >= FEW_ROWS && high / 10 > low {
                let clause = self.clause.as_deref().unwrap_or(&self.what);
                f(format!("about {} rows were expected from {clause}, {} came out", self.expected, did.rows_out));
            }
        }
        self.inner.iter().flat_map(|(_, steps)| steps).for_each(|step| step.misestimates(f));
    }
}

/// A map with keywords as keys.
pub(in crate::query) fn form_map(pairs: Vec<(&str, Form)>) -> Form {
    let pair = |(key, value)| (FormKind::Keyword(Keyword::new(key)).into(), value);
    FormKind::Map(pairs.into_iter().map(pair).collect()).into()
}
