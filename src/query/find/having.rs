//! `:having`: rows that pass predicates over what was found.

use super::value;
use crate::datom::Value;
use crate::error::{Error, ErrorKind, Result};
use crate::query::builtin::{Argument, Function, truthy};
use crate::query::logic::{Callee, Having, HavingArg};
use crate::query::operator::{Batch, Exec};
use crate::query::run::function_name;

/// The rows that pass all predicates.
pub(super) fn filter(rows: Batch, cx: &mut Exec<'_>) -> Result<Batch> {
    let run = cx.run;
    let mut rows = rows;
    for having in &run.program.having {
        let function = callee(having, cx)?;
        let mut kept: Vec<u32> = Vec::new();
        for row in 0..rows.len as u32 {
            let values: Vec<Value> = having
                .args
                .iter()
                .map(|arg| match arg {
                    HavingArg::Column(column) => value(&rows.columns[*column], row, &cx.heap).to_value(),
                    HavingArg::Const(constant) => run.constants[*constant].clone(),
                })
                .collect();
            let args: Vec<Argument<'_>> = values.iter().map(Argument::Value).collect();
            let result = function.invoke(&args).map_err(|error| having.place.mark(error))?;
            if truthy(result.as_ref()) {
                kept.push(row);
            }
        }
        if kept.len() < rows.len {
            rows = rows.gather(&kept);
        }
    }
    Ok(rows)
}

fn callee(having: &Having, cx: &Exec<'_>) -> Result<Function> {
    let unknown = || {
        let message = format!("{} is called in :having, but it is the name of no function", having.name);
        having.place.mark(Error::new(ErrorKind::Query, "query/unknown-function", message))
    };
    match &having.callee {
        Callee::Known(function) => Ok(function.clone()),
        Callee::Named(constant) => {
            let name = function_name(&cx.run.constants[*constant]);
            name.and_then(|name| cx.run.functions.get(name)).cloned().ok_or_else(unknown)
        }
        Callee::Query => Err(unknown()),
    }
}
