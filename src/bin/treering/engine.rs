//! Questions and transactions as text, and how long the answers took.

use std::sync::Arc;
use std::time::{Duration, Instant};

use treering::edn::{Form, FormKind, Keyword, read, read_all};
use treering::{Connection, Db, EntityRef, Input, QueryOptions, TxReport, Value};

use crate::failure::Outcome;
use crate::output::Rows;

/// What a query may take.
#[derive(Debug, Default)]
pub struct Limits {
    pub timeout: Option<Duration>,
    pub max_rows: Option<u64>,
}

/// What a query found.
#[derive(Debug)]
pub struct Answer {
    pub rows: Rows,
    /// The whole result as the engine tells it.
    pub form: Form,
    pub took: Duration,
}

/// Answers a query. `given` are its inputs beside the database, which stands where `:in` has a source.
pub fn query(db: &Db, text: &str, given: Vec<Form>, limits: &Limits) -> Outcome<Answer> {
    let inputs = inputs(db, &read(text)?, given);
    let began = Instant::now();
    let deadline = limits.timeout.and_then(|timeout| began.checked_add(timeout));
    let options = QueryOptions { deadline, max_rows: limits.max_rows, ..QueryOptions::default() };
    let output = treering::q_with(text, inputs, &options)?;
    let took = began.elapsed();
    let rows = Rows { columns: output.columns().to_vec(), rows: output.rows().collect() };
    if rows.rows.is_empty() {
        notes(db, text).iter().for_each(|note| eprintln!("note: {note}"));
    }
    Ok(Answer { rows, form: output.to_form(), took })
}

/// The plan of a query.
pub fn explain(db: &Db, text: &str, given: Vec<Form>) -> Outcome<String> {
    let inputs = inputs(db, &read(text)?, given);
    Ok(treering::explain(text, inputs)?.to_string())
}

/// The inputs in the sequence of `:in`.
fn inputs(db: &Db, query: &Form, given: Vec<Form>) -> Vec<Input> {
    let mut inputs: Vec<Input> = given.into_iter().map(Input::Form).collect();
    if let Some(place) = source_place(query) {
        inputs.insert(place.min(inputs.len()), Input::Db(db.clone()));
    }
    inputs
}

/// Where the database stands among the inputs: first without `:in`, at its first source, or nowhere.
fn source_place(query: &Form) -> Option<usize> {
    let clause = Keyword::new("in");
    let elements: Option<Vec<&Form>> = match &query.kind {
        FormKind::Map(_) => query.get(clause).and_then(Form::items).map(|items| items.iter().collect()),
        _ => query.items().and_then(|items| {
            let start = items.iter().position(|item| item.as_keyword() == Some(clause))?;
            Some(items.iter().skip(start + 1).take_while(|item| item.as_keyword().is_none()).collect())
        }),
    };
    match elements {
        None => Some(0),
        Some(elements) => {
            elements.iter().position(|form| form.as_symbol().is_some_and(|symbol| symbol.as_str().starts_with('$')))
        }
    }
}

/// What to tell of a query that found nothing: attributes in its patterns that no schema knows, with the nearest names.
fn notes(db: &Db, text: &str) -> Vec<String> {
    let Ok(query) = read(text) else { return Vec::new() };
    let mut notes = Vec::new();
    let mut waiting = vec![&query];
    while let Some(form) = waiting.pop() {
        let Some(items) = form.items() else {
            waiting.extend(form.pairs().into_iter().flatten().map(|(_, value)| value));
            continue;
        };
        let from = usize::from(items.first().and_then(Form::as_symbol).is_some_and(|s| s.as_str().starts_with('$')));
        let is_pattern =
            matches!(form.kind, FormKind::Vector(_)) && items.get(from).is_some_and(|e| e.as_keyword().is_none());
        if is_pattern
            && let Some(attribute) = items.get(from + 1).and_then(Form::as_keyword)
            && let Err(error) = db.attribute(attribute)
        {
            notes.push(error.message().to_owned());
        }
        waiting.extend(items);
    }
    notes.sort();
    notes.dedup();
    notes
}

/// Pulls an entity.
pub fn pull(db: &Db, pattern: &str, entity: EntityRef) -> Outcome<Value> {
    Ok(treering::pull::pull(db, pattern, entity)?)
}

/// Makes one transaction of a text: a vector of tx-data, or maps and operations one after another.
pub fn transact(conn: &Connection, text: &str) -> Outcome<Arc<TxReport>> {
    let forms = read_all(text)?;
    let whole = matches!(forms.as_slice(), [form] if is_tx_data(form));
    // The text itself knows the places of its forms.
    Ok(if whole { conn.transact(text)? } else { conn.transact(Form::from(forms))? })
}

/// Whether the form is all of a transaction, not one entity or operation of it.
fn is_tx_data(form: &Form) -> bool {
    match &form.kind {
        FormKind::Vector(items) => items.first().is_none_or(|first| first.as_keyword().is_none()),
        FormKind::Map(_) => form.get(Keyword::new("tx-data")).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_stands_where_the_query_wants_it() {
        let place = |text: &str| source_place(&read(text).unwrap());
        assert_eq!(place("[:find ?e :where [?e :a]]"), Some(0));
        assert_eq!(place("[:find ?e :in $ ?x :where [?e :a ?x]]"), Some(0));
        assert_eq!(place("[:find ?e :in ?x $db :where [$db ?e :a ?x]]"), Some(1));
        assert_eq!(place("[:find ?x :in [?x ...] :where [(odd? ?x)]]"), None);
        assert_eq!(place("{:find [?e] :in [% $] :where [(r ?e)]}"), Some(1));
    }

    #[test]
    fn entities_and_operations_make_a_transaction() {
        let whole = |text: &str| is_tx_data(&read(text).unwrap());
        assert!(whole("[{:a 1}]") && whole("[]") && whole("{:tx-data [{:a 1}]}"));
        assert!(!whole("{:a 1}") && !whole("[:db/add 1 :a 2]") && !whole("(f)"));
    }
}
