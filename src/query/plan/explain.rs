//! Plans as text.

use std::fmt::Write;

use super::{Lookup, Op, Part, Plan, RuleArg};
use crate::query::logic::{Program, Var};
use crate::query::plan::lower::ROW;

/// Appends the steps of a plan, one to a line, inner plans indented.
pub(in crate::query) fn explain_plan(plan: &Plan, program: &Program, indent: usize, out: &mut String) {
    let name = |var: &Var| if *var == ROW { "#row" } else { program.name(*var) };
    for step in &plan.steps {
        let pad = "  ".repeat(indent);
        let columns: Vec<&str> = step.layout.iter().map(name).collect();
        let text = step.place.excerpt().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
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
            Op::Call { call } if call.binding.is_some() => format!("call {}", call.name),
            Op::Call { call } => format!("filter {}", call.name),
            Op::Equal { copy, .. } => (if *copy { "copy" } else { "filter equal" }).to_owned(),
            Op::Not { .. } => "not".to_owned(),
            Op::Or { branches } => format!("or, {} branches", branches.len()),
            Op::Rule(call) => {
                let bound = call.args.iter().filter(|arg| matches!(arg, RuleArg::Known(_))).count();
                let rule = &program.rules[call.rule];
                format!("rule {}, {bound} of {} arguments bound", rule.name, call.args.len())
            }
            Op::Table(call) => format!("table {:?}", call.table),
            Op::Distinct => "distinct".to_owned(),
        };
        let _ = writeln!(
            out,
            "{pad}{what}  -> [{}] ~{:.0} rows{}",
            columns.join(" "),
            step.rows.ceil(),
            text.map(|text| format!("   {text}")).unwrap_or_default()
        );
        match &step.op {
            Op::Join { right, .. } => explain_plan(right, program, indent + 1, out),
            Op::Not { body } => explain_plan(body, program, indent + 1, out),
            Op::Or { branches } => {
                for branch in branches {
                    let _ = writeln!(out, "{pad}  branch");
                    explain_plan(branch, program, indent + 2, out);
                }
            }
            Op::Rule(call) => {
                for variant in &call.component.variants {
                    let from = format!("{:?}", variant.from).to_lowercase();
                    let _ = writeln!(out, "{pad}  table {} from new {from}", variant.table);
                    explain_plan(&variant.plan, program, indent + 2, out);
                }
            }
            _ => {}
        }
    }
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
