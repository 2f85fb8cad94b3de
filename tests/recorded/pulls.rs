//! Pulls.

use treering::edn::{Form, FormKind, Symbol};
use treering::pull::{Pattern, Xform, parse_with, pull_many, pull_pattern};
use treering::{Db, EntityRef, Function, Functions, Result, Value};

use crate::cases::{Case, get};
use crate::databases::database;
use crate::oracle::{canon, replay::same};

/// The functions that the recorded patterns name, one of which is not Clojure's.
fn xform(name: Symbol) -> Option<Xform> {
    let is_datom = Function::new("datascript.db/datom?", 1..=1, |_| Ok(Some(Value::Bool(false))));
    Functions::standard().with(is_datom).xform(name)
}

/// The pattern with functions by their names, where they were recorded as objects.
fn named(form: &Form) -> Form {
    let all = |items: &[Form]| items.iter().map(named).collect();
    let kind = match &form.kind {
        FormKind::Map(_) if get(form, "fn").is_some() => {
            return get(form, "fn").cloned().unwrap_or_else(Form::nil);
        }
        FormKind::Map(pairs) => FormKind::Map(pairs.iter().map(|(k, v)| (named(k), named(v))).collect()),
        FormKind::Vector(items) => FormKind::Vector(all(items)),
        FormKind::List(items) => FormKind::List(all(items)),
        other => other.clone(),
    };
    Form { kind, span: form.span }
}

fn entity(db: &Db, form: &Form) -> Result<Option<treering::EntityId>> {
    db.entid(&EntityRef::from_form(form)?)
}

fn pulled(case: &Case, db: &Db, pattern: &Pattern, of: &Form) -> Result<Value> {
    if case.op == "pull" {
        return entity(db, of)?.map_or(Ok(Value::Nil), |e| pull_pattern(db, pattern, e));
    }
    // An entity that is not there is nil.
    let mut found = Vec::new();
    for of in of.items().unwrap_or(&[]) {
        found.push(match entity(db, of)? {
            Some(e) => pull_many(db, pattern, &[e])?.pop().unwrap_or(Value::Nil),
            None => Value::Nil,
        });
    }
    Ok(Value::from(found))
}

/// # Errors
/// When the answer is another one.
pub fn ask(case: &Case) -> std::result::Result<(), String> {
    let [_, pattern, rest @ ..] = case.args() else { return Err("no pattern".to_owned()) };
    let db = database(case.database().ok_or("no database")?).map_err(|error| error.to_string())?.db;
    let pattern = parse_with(&named(pattern), &db, &xform);
    let outcome = match (case.op.as_str(), rest) {
        ("parse-pattern", _) => pattern.map(|_| Value::Nil),
        (_, [of]) => pattern.and_then(|pattern| pulled(case, &db, &pattern, of)),
        _ => return Err("no entity".to_owned()),
    };
    if case.op == "parse-pattern" {
        return accepted(case, &outcome);
    }
    case.judge(outcome, |recorded, found| {
        let recorded = canon(&Value::from_form(recorded).unwrap_or(Value::Nil));
        if same(&recorded, &canon(found)) { Ok(()) } else { Err(format!("recorded {recorded:?}, pulled {found:?}")) }
    })
}

/// Compares whether a text was accepted.
pub fn accepted<T>(case: &Case, outcome: &Result<T>) -> std::result::Result<(), String> {
    match (case.error(), outcome) {
        (None, Ok(_)) | (Some(_), Err(_)) => Ok(()),
        (None, Err(error)) => Err(format!("accepted there, refused here: {error}")),
        (Some(code), Ok(_)) => Err(format!("refused there ({code}), accepted here")),
    }
}
