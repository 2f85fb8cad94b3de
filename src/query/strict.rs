//! Strict mode: attributes that the schema does not know are errors.

use super::logic::{Arg, Call, Callee, Clause, Kind, Term};
use super::run::Run;
use crate::datom::Value;
use crate::db::Db;
use crate::edn::Keyword;
use crate::error::Result;
use crate::schema::SchemaFlexibility;

/// Refuses patterns and calls of a query that name an unknown attribute of a database.
pub(super) fn check(run: &Run<'_>) -> Result<()> {
    let mut bodies: Vec<&[Clause]> = vec![&run.program.clauses];
    bodies.extend(run.program.rules.iter().flat_map(|rule| &rule.branches).map(|branch| branch.body.as_slice()));
    while let Some(body) = bodies.pop() {
        for clause in body {
            let checked = match &clause.kind {
                Kind::Pattern { source, terms } => match (run.db(*source), terms.get(1)) {
                    (Some(db), Some(Term::Const(constant))) => known(db, &run.constants[*constant]),
                    _ => Ok(()),
                },
                Kind::Call(call) => check_call(run, call),
                Kind::Not { body, .. } => {
                    bodies.push(body);
                    Ok(())
                }
                Kind::Or { branches, .. } => {
                    bodies.extend(branches.iter().map(Vec::as_slice));
                    Ok(())
                }
                _ => Ok(()),
            };
            checked.map_err(|error| clause.place.mark(error))?;
        }
    }
    Ok(())
}

/// `get-else`, `get-some` and `missing?` name attributes after a database and an entity.
fn check_call(run: &Run<'_>, call: &Call) -> Result<()> {
    let Callee::Known(function) = &call.callee else { return Ok(()) };
    let names_attributes = matches!(function.name.as_str(), "get-else" | "get-some" | "missing?");
    let Some(Arg::Source(source)) = call.args.first().filter(|_| names_attributes) else { return Ok(()) };
    let Some(db) = run.db(*source) else { return Ok(()) };
    let attributes = match function.name.as_str() {
        "get-some" => call.args.get(2..),
        _ => call.args.get(2..3),
    };
    attributes.unwrap_or_default().iter().try_for_each(|arg| match arg {
        Arg::Term(Term::Const(constant)) => known(db, &run.constants[*constant]),
        _ => Ok(()),
    })
}

fn known(db: &Db, value: &Value) -> Result<()> {
    let name = match value {
        Value::Keyword(name) => *name,
        Value::Str(text) => Keyword::new(text),
        _ => return Ok(()),
    };
    let schema = db.schema();
    let any = schema.flexibility() == SchemaFlexibility::Read || name.as_str() == "db/id";
    if any || schema.reversed(name).is_some() { Ok(()) } else { db.attribute(name).map(drop) }
}
