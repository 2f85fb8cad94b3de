//! What can be handed to a query: databases, values, relations, rules.

use crate::datom::{EntityId, Value};
use crate::db::Db;
use crate::edn::{Form, Keyword, Symbol};
use crate::error::Result;

use super::Query;

/// One input of a query, for one element of `:in`.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub enum Input {
    /// A database.
    Db(Db),
    /// A value: a scalar; a tuple, set or map where `:in` wants a tuple, a collection or a relation.
    Value(Value),
    /// Rows, for `[[?x ?y]]` or as a source.
    Relation(Vec<Vec<Value>>),
    /// Anything written as EDN: rules, a pull pattern, a value.
    Form(Form),
}

impl From<Db> for Input {
    fn from(db: Db) -> Input {
        Input::Db(db)
    }
}

impl From<&Db> for Input {
    fn from(db: &Db) -> Input {
        Input::Db(db.clone())
    }
}

impl From<Form> for Input {
    fn from(form: Form) -> Input {
        Input::Form(form)
    }
}

impl From<&Form> for Input {
    fn from(form: &Form) -> Input {
        Input::Form(form.clone())
    }
}

impl From<Vec<Vec<Value>>> for Input {
    fn from(rows: Vec<Vec<Value>>) -> Input {
        Input::Relation(rows)
    }
}

macro_rules! from_value {
    ($($type:ty),*) => {$(
        impl From<$type> for Input {
            fn from(value: $type) -> Input {
                Input::Value(value.into())
            }
        }
    )*};
}

from_value!(Value, bool, i64, i32, u32, f64, f32, &str, String, Keyword, Symbol, EntityId, uuid::Uuid, Vec<Value>);

/// A collection of values, for `[?x ...]`, or a tuple, for `[?x ?y]`.
macro_rules! from_values {
    ($($type:ty),*) => {$(
        impl From<&[$type]> for Input {
            fn from(values: &[$type]) -> Input {
                Input::Value(values.iter().cloned().map(Value::from).collect::<Vec<Value>>().into())
            }
        }

        impl From<&Vec<$type>> for Input {
            fn from(values: &Vec<$type>) -> Input {
                values.as_slice().into()
            }
        }

        impl From<Vec<$type>> for Input {
            fn from(values: Vec<$type>) -> Input {
                values.as_slice().into()
            }
        }

        impl<const N: usize> From<[$type; N]> for Input {
            fn from(values: [$type; N]) -> Input {
                values.as_slice().into()
            }
        }
    )*};
}

from_values!(bool, i64, i32, u32, f64, f32, &str, String, Keyword, Symbol, EntityId, uuid::Uuid);

/// What [`q`](crate::q) takes as inputs: a database, a tuple of up to eight inputs, or a vector of them.
pub trait IntoInputs {
    /// The inputs in the sequence of `:in`.
    fn into_inputs(self) -> Vec<Input>;
}

impl IntoInputs for &Db {
    fn into_inputs(self) -> Vec<Input> {
        vec![self.into()]
    }
}

impl IntoInputs for () {
    fn into_inputs(self) -> Vec<Input> {
        Vec::new()
    }
}

impl IntoInputs for Vec<Input> {
    fn into_inputs(self) -> Vec<Input> {
        self
    }
}

impl IntoInputs for &[Input] {
    fn into_inputs(self) -> Vec<Input> {
        self.to_vec()
    }
}

macro_rules! tuples {
    ($($name:ident),*) => {
        impl<$($name: Into<Input>),*> IntoInputs for ($($name,)*) {
            #[expect(non_snake_case, reason = "the type parameters name the members")]
            fn into_inputs(self) -> Vec<Input> {
                let ($($name,)*) = self;
                vec![$($name.into()),*]
            }
        }
    };
}

tuples!(A);
tuples!(A, B);
tuples!(A, B, C);
tuples!(A, B, C, D);
tuples!(A, B, C, D, E);
tuples!(A, B, C, D, E, F);
tuples!(A, B, C, D, E, F, G);
tuples!(A, B, C, D, E, F, G, H);

/// The inputs of a query, however many: `inputs![&db, 5, "Ivan"]`.
#[macro_export]
macro_rules! inputs {
    ($($input:expr),* $(,)?) => {
        ::std::vec![$($crate::Input::from($input)),*]
    };
}

/// What [`q`](crate::q) takes as a query: text, a form, or a parsed [`Query`].
pub trait IntoQuery {
    /// The parsed query.
    ///
    /// # Errors
    /// `Syntax`, with line and column for a text.
    fn into_query(self) -> Result<Query>;

    /// The text, where the query is one: a database remembers the texts that it was asked.
    fn text(&self) -> Option<&str> {
        None
    }
}

impl IntoQuery for &str {
    fn into_query(self) -> Result<Query> {
        Query::parse(self)
    }

    fn text(&self) -> Option<&str> {
        Some(self)
    }
}

impl IntoQuery for &String {
    fn into_query(self) -> Result<Query> {
        Query::parse(self)
    }

    fn text(&self) -> Option<&str> {
        Some(self)
    }
}

impl IntoQuery for &Form {
    fn into_query(self) -> Result<Query> {
        Query::from_form(self)
    }
}

impl IntoQuery for &Query {
    fn into_query(self) -> Result<Query> {
        Ok(self.clone())
    }
}

impl IntoQuery for Query {
    fn into_query(self) -> Result<Query> {
        Ok(self)
    }
}
