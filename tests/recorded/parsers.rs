//! What is a query, and what is none.

use treering::edn::{Form, FormKind, Keyword, read};
use treering::{Input, Query, Result, prepare, q};

use crate::cases::Case;
use crate::pulls::accepted;

/// A query with one section of its own.
fn query(section: &str, form: Form) -> Form {
    let pair = |key: &str, value: Form| (Form::from(FormKind::Keyword(Keyword::new(key))), value);
    let symbols = |text: &str| read(text).expect("symbols");
    let mut pairs = vec![pair(section, form)];
    pairs.extend((section != "find").then(|| pair("find", symbols("[?found]"))));
    Form::map(pairs)
}

fn vector(form: &Form) -> Form {
    FormKind::Vector(vec![form.clone()]).into()
}

fn outcome(case: &Case, form: &Form) -> Result<()> {
    let parsed = |query: Form| Query::from_form(&query).map(drop);
    match case.op.as_str() {
        "parse-query" => prepare(form).map(drop),
        "parse-find" => parsed(query("find", form.clone())),
        "parse-with" => parsed(query("with", form.clone())),
        "parse-in" => parsed(query("in", form.clone())),
        "parse-binding" => parsed(query("in", vector(form))),
        "parse-clause" => parsed(query("where", vector(form))),
        // Rules are looked at when a query is asked.
        _ => q("[:find ?x :in % ?x]", vec![Input::Form(form.clone()), Input::from(1)]).map(drop),
    }
}

/// # Errors
/// When one accepts what the other refuses.
pub fn ask(case: &Case) -> std::result::Result<(), String> {
    let [form] = case.args() else { return Err("no form".to_owned()) };
    accepted(case, &outcome(case, form))
}
