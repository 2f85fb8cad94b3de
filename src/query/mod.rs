//! Queries: text or forms → ast → logic → plan → operators → find. One engine; `docs/query-engine.md` tells how it works.

pub mod aggregate;
mod analyze;
mod answers;
mod ast;
pub mod builtin;
mod evaluate;
mod explain;
mod find;
mod input;
mod known;
mod logic;
mod nested;
mod operator;
mod options;
mod output;
mod page;
mod parallel;
mod parse;
mod plan;
mod prepared;
mod reads;
mod run;
mod stream;
mod strict;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod work_tests;

pub(crate) use answers::Answers;
pub use explain::{Explanation, explain, explain_analyze};
pub use input::{Input, IntoInputs, IntoQuery};
pub(crate) use known::KnownQueries;
pub use options::QueryOptions;
pub use output::{Output, Shape};
pub use page::Cursor;
pub use prepared::{Prepared, prepare, prepare_with};
pub use stream::{QueryRows, q_iter};

use std::sync::Arc;

use ast::Ast;
use evaluate::evaluate;

use crate::edn::Form;
use crate::error::Result;

/// A parsed query. It knows nothing of any database, so one does for all.
#[derive(Debug, Clone)]
pub struct Query {
    ast: Arc<Ast>,
}

impl Query {
    /// Parses a query in vector or map form, or a call in map form: `{:query … :args [$ 5] :limit 10}`.
    ///
    /// # Errors
    /// `Syntax`, with line and column.
    pub fn parse(text: &str) -> Result<Query> {
        let form = crate::edn::read(text)?;
        Ok(Query { ast: Arc::new(parse::parse_query(&form, Some(text.into()))?) })
    }

    /// Parses a query that was read, or made, as a form.
    ///
    /// # Errors
    /// `Syntax`.
    pub fn from_form(form: &Form) -> Result<Query> {
        Ok(Query { ast: Arc::new(parse::parse_query(form, None)?) })
    }
}

/// Answers a query.
///
/// ```
/// use treering::{Value, inputs, q};
/// let pairs = vec![vec![Value::from("Ivan"), Value::Long(15)], vec![Value::from("Petr"), Value::Long(22)]];
/// let found = q("[:find ?n ?a :in [[?n ?a]] ?least :where [(< ?least ?a)]]", inputs![pairs, 20])?;
/// let rows: Vec<(String, i64)> = found.try_into()?;
/// assert_eq!(rows, [("Petr".to_owned(), 22)]);
/// # Ok::<(), treering::Error>(())
/// ```
///
/// # Errors
/// `Syntax` for text that is no query; `Query` for one that cannot be answered; those of reading the store.
pub fn q(query: impl IntoQuery, inputs: impl IntoInputs) -> Result<Output> {
    q_with(query, inputs, &QueryOptions::default())
}

/// Answers a query within the bounds of `options`.
///
/// # Errors
/// As [`q`], and `Limit` past a bound.
pub fn q_with(query: impl IntoQuery, inputs: impl IntoInputs, options: &QueryOptions) -> Result<Output> {
    let inputs = inputs.into_inputs();
    let db = inputs.iter().find_map(|input| match input {
        Input::Db(db) => Some(db),
        _ => None,
    });
    // A database remembers what it was asked.
    match (query.text(), db) {
        (Some(text), Some(db)) if options.functions.is_none() && options.aggregates.is_none() => {
            let options_here = QueryOptions::of(db);
            let known = &db.snapshot().queries;
            if let Some(query) = known.get(text, &options_here) {
                return query.answer(&inputs, options);
            }
            let prepared = prepare_with(text, &options_here)?;
            known.put(text, &prepared);
            prepared.answer(&inputs, options)
        }
        _ => evaluate(&query.into_query()?, &inputs, options, 0),
    }
}
