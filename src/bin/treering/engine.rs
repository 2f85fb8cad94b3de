//! Questions and transactions as text, and how long the answers took.

use std::sync::Arc;
use std::time::{Duration, Instant};

use treering::edn::{Form, FormKind, Keyword, pretty, read, read_all};
use treering::{Connection, Db, EntityRef, Input, IntoTxData, QueryOptions, TxData, TxReport, Value};

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
        output.warnings().iter().for_each(|warning| eprintln!("note: {warning}"));
    }
    Ok(Answer { rows, form: output.to_form(), took })
}

/// How a plan is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PlanFormat {
    /// A step on each line
    #[default]
    Text,
    /// One JSON object
    Json,
    /// One EDN map
    Edn,
}

/// The plan of a query; with `analyze` it is run, and the plan says what its steps did.
pub fn explain(db: &Db, text: &str, given: Vec<Form>, analyze: bool, format: PlanFormat) -> Outcome<String> {
    let inputs = inputs(db, &read(text)?, given);
    let plan = match analyze {
        false => treering::explain(text, inputs)?,
        true => treering::explain_analyze(text, inputs, &QueryOptions::default())?.1,
    };
    Ok(match format {
        PlanFormat::Text => plan.to_string().trim_end().to_owned(),
        PlanFormat::Json => plan.to_json(),
        PlanFormat::Edn => pretty(&plan.to_form(), 100),
    })
}

/// The inputs in the sequence of `:in`.
fn inputs(db: &Db, query: &Form, given: Vec<Form>) -> Vec<Input> {
    let mut inputs: Vec<Input> = given.into_iter().map(Input::Form).collect();
    if let Some(place) = source_place(query) {
        inputs.insert(place.min(inputs.len()), Input::Db(db.clone()));
    }
    inputs
}

/// Where the database stands among the inputs: first without `:in`, at its first source, or nowhere; in a call with
/// `:args` it stands for their symbol with `$`.
fn source_place(query: &Form) -> Option<usize> {
    let is_source = |form: &Form| form.as_symbol().is_some_and(|symbol| symbol.as_str().starts_with('$'));
    if let Some(args) = query.get(Keyword::new("args")).and_then(Form::items) {
        return args.iter().any(is_source).then_some(0);
    }
    let query = query.get(Keyword::new("query")).unwrap_or(query);
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
        Some(elements) => elements.iter().position(|form| is_source(form)),
    }
}

/// Pulls an entity.
pub fn pull(db: &Db, pattern: &str, entity: EntityRef) -> Outcome<Value> {
    Ok(treering::pull::pull(db, pattern, entity)?)
}

/// Makes one transaction of a text: a vector of tx-data, or maps and operations one after another.
pub fn transact(conn: &Connection, text: &str) -> Outcome<Arc<TxReport>> {
    Ok(conn.transact(tx_data(text)?)?)
}

/// The tx-data that a text is.
pub fn tx_data(text: &str) -> treering::Result<TxData> {
    let forms = read_all(text)?;
    let whole = matches!(forms.as_slice(), [form] if is_tx_data(form));
    // The text itself knows the places of its forms.
    if whole { text.into_tx_data() } else { Form::from(forms).into_tx_data() }
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
        assert_eq!(place("{:query {:find [?e] :in [% $]}}"), Some(1));
        assert_eq!(place("{:query [:find ?e :in % $] :args [[] $]}"), Some(0));
        assert_eq!(place("{:query [:find ?x :in ?x] :args [1]}"), None);
    }

    #[test]
    fn entities_and_operations_make_a_transaction() {
        let whole = |text: &str| is_tx_data(&read(text).unwrap());
        assert!(whole("[{:a 1}]") && whole("[]") && whole("{:tx-data [{:a 1}]}"));
        assert!(!whole("{:a 1}") && !whole("[:db/add 1 :a 2]") && !whole("(f)"));
    }
}
