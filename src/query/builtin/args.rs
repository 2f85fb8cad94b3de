//! The arguments of one call, read as the types that a function wants.

use crate::datom::{Value, ValueKind};
use crate::db::Db;
use crate::edn::{Keyword, Symbol};
use crate::error::{Error, ErrorKind, Result};

use super::Argument;

/// The arguments of a call of the function `name`. Positions count from 0 here and from 1 in messages.
pub(super) struct Args<'a> {
    pub name: Symbol,
    args: &'a [Argument<'a>],
}

impl<'a> Args<'a> {
    pub fn new(name: Symbol, args: &'a [Argument<'a>]) -> Args<'a> {
        Args { name, args }
    }

    pub fn len(&self) -> usize {
        self.args.len()
    }

    /// The argument at a position, which must be a value.
    pub fn value(&self, i: usize) -> Result<&'a Value> {
        match self.args.get(i) {
            Some(Argument::Value(value)) => Ok(value),
            Some(Argument::Db(_)) => Err(self.type_error(i, "a value")),
            None => Err(Error::new(ErrorKind::Query, "query/arity", format!("{} lacks argument {}", self.name, i + 1))),
        }
    }

    /// All arguments from a position on.
    pub fn values(&self, from: usize) -> Result<Vec<&'a Value>> {
        (from..self.len()).map(|i| self.value(i)).collect()
    }

    pub fn db(&self, i: usize) -> Result<&'a Db> {
        match self.args.get(i) {
            Some(Argument::Db(db)) => Ok(db),
            _ => Err(self.type_error(i, "a database such as $")),
        }
    }

    pub fn text(&self, i: usize) -> Result<&'a str> {
        match self.value(i)? {
            Value::Str(s) | Value::Uri(s) => Ok(s),
            _ => Err(self.type_error(i, "a string")),
        }
    }

    pub fn keyword(&self, i: usize) -> Result<Keyword> {
        match self.value(i)? {
            Value::Keyword(k) => Ok(*k),
            _ => Err(self.type_error(i, "a keyword")),
        }
    }

    pub fn int(&self, i: usize) -> Result<i64> {
        match self.value(i)? {
            Value::Long(n) => Ok(*n),
            Value::Ref(e) => Ok(e.0 as i64),
            _ => Err(self.type_error(i, "an integer")),
        }
    }

    pub fn instant(&self, i: usize) -> Result<i64> {
        match self.value(i)? {
            Value::Instant(ms) => Ok(*ms),
            _ => Err(self.type_error(i, "an instant")),
        }
    }

    /// `:query/type`: what was wanted at a position, and what was got.
    pub fn type_error(&self, i: usize, wanted: &str) -> Error {
        let got = match self.args.get(i) {
            Some(Argument::Value(value)) => shown(value),
            Some(Argument::Db(_)) => "a database".to_owned(),
            None => "nothing".to_owned(),
        };
        let message = format!("{}: argument {} should be {wanted}, got {got}", self.name, i + 1);
        Error::new(ErrorKind::Query, "query/type", message)
    }

    /// An error about the content of an argument that has the right type.
    pub fn argument_error(&self, what: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Query, "query/argument", format!("{}: {what}", self.name))
    }
}

/// Most characters of a value in a message.
const SHOWN: usize = 60;

/// A value and what it is, for messages.
pub(crate) fn shown(value: &Value) -> String {
    if matches!(value, Value::Nil) {
        return "nil".to_owned();
    }
    let text = value.to_form().to_string();
    let cut: String = text.chars().take(SHOWN).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{} {cut}{dots}", kind_name(value.kind()))
}

/// What a kind of value is called in messages.
pub(crate) fn kind_name(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Nil => "nil",
        ValueKind::Bool => "the boolean",
        ValueKind::Long => "the long",
        ValueKind::BigInt => "the bigint",
        ValueKind::Float => "the float",
        ValueKind::Double => "the double",
        ValueKind::BigDec => "the bigdec",
        ValueKind::Ref => "the entity",
        ValueKind::Instant => "the instant",
        ValueKind::Keyword => "the keyword",
        ValueKind::Symbol => "the symbol",
        ValueKind::Str => "the string",
        ValueKind::Uri => "the URI",
        ValueKind::Uuid => "the uuid",
        ValueKind::Bytes => "the bytes",
        ValueKind::Char => "the character",
        ValueKind::Tuple => "the vector",
        ValueKind::FloatArray => "the float array",
        ValueKind::DoubleArray => "the double array",
        ValueKind::Set => "the set",
        ValueKind::Map => "the map",
    }
}
