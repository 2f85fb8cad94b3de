//! Queries inside queries: `[(q [:find …] $ ?x) ?result]`.

use super::Query;
use super::builtin::Argument;
use super::evaluate::evaluate;
use super::input::Input;
use super::options::{Budget, QueryOptions};
use super::run::Run;
use crate::datom::Value;
use crate::error::{Error, ErrorKind, Result};

/// Deepest nesting of queries: each is a plan of its own on the stack.
const MAX_DEPTH: usize = 8;

/// Runs the query that the first argument is, with the others as inputs.
pub(super) fn call(args: &[Argument<'_>], run: &Run<'_>) -> Result<Value> {
    let Some((Argument::Value(query), inputs)) = args.split_first() else {
        return Err(Error::new(ErrorKind::Query, "query/arity", "q wants a query and its inputs"));
    };
    if run.depth >= MAX_DEPTH {
        let message = format!("queries are nested deeper than {MAX_DEPTH}");
        return Err(Error::new(ErrorKind::Limit, "query/limit", message));
    }
    let query = match query {
        Value::Str(text) => Query::parse(text)?,
        other => Query::from_form(&other.to_form())?,
    };
    let inputs: Vec<Input> = inputs
        .iter()
        .map(|arg| match arg {
            Argument::Value(value) => Input::Value(Value::clone(value)),
            Argument::Db(db) => Input::Db((*db).clone()),
        })
        .collect();
    // Where pages end is a matter of the query around.
    let options = QueryOptions { after: None, ..run.options.clone() };
    let output = evaluate(&query, &inputs, &options, run.depth + 1)?;
    Budget::new(&options).hold(output.bytes_as_values())?;
    Ok(output.into_value())
}
