//! Looking into forms and making them.

use std::str::FromStr;
use std::sync::Arc;

use bigdecimal::BigDecimal;
use num_bigint::BigInt;
use uuid::Uuid;

use super::{Form, FormKind, Keyword, Symbol};
use crate::Error;

impl Form {
    /// `nil`.
    pub fn nil() -> Form {
        FormKind::Nil.into()
    }

    /// A list; `From<Vec<Form>>` makes a vector.
    pub fn list(items: Vec<Form>) -> Form {
        FormKind::List(items).into()
    }

    /// A map. It is for the caller to see that no key comes twice.
    pub fn map(pairs: Vec<(Form, Form)>) -> Form {
        FormKind::Map(pairs).into()
    }

    /// A set. It is for the caller to see that no member comes twice.
    pub fn set(items: Vec<Form>) -> Form {
        FormKind::Set(items).into()
    }

    /// Whether it is `nil`.
    pub fn is_nil(&self) -> bool {
        matches!(self.kind, FormKind::Nil)
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.kind {
            FormKind::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// The integer, if it is one of 64 bits.
    pub fn as_int(&self) -> Option<i64> {
        match self.kind {
            FormKind::Int(i) => Some(i),
            _ => None,
        }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            FormKind::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The keyword, if it is one.
    pub fn as_keyword(&self) -> Option<Keyword> {
        match self.kind {
            FormKind::Keyword(k) => Some(k),
            _ => None,
        }
    }

    /// The symbol, if it is one.
    pub fn as_symbol(&self) -> Option<Symbol> {
        match self.kind {
            FormKind::Symbol(s) => Some(s),
            _ => None,
        }
    }

    /// The items, if it is a list or a vector.
    pub fn items(&self) -> Option<&[Form]> {
        match &self.kind {
            FormKind::List(items) | FormKind::Vector(items) => Some(items),
            _ => None,
        }
    }

    /// The keys and values in the order in which they were written, if it is a map.
    pub fn pairs(&self) -> Option<&[(Form, Form)]> {
        match &self.kind {
            FormKind::Map(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The value of `key`, if it is a map that has the key. Takes time in the size of the map.
    ///
    /// ```
    /// use treering::edn::{Keyword, read};
    /// let form = read("{:a 1, :b 2}")?;
    /// assert_eq!(form.get(Keyword::new("b")).and_then(|f| f.as_int()), Some(2));
    /// # Ok::<(), treering::Error>(())
    /// ```
    pub fn get(&self, key: Keyword) -> Option<&Form> {
        self.pairs()?.iter().find(|(k, _)| k.as_keyword() == Some(key)).map(|(_, v)| v)
    }

    /// What it is, with an article, for messages: "a vector", "an integer".
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            FormKind::Nil => "nil",
            FormKind::Bool(_) => "a boolean",
            FormKind::Int(_) => "an integer",
            FormKind::BigInt(_) => "a big integer",
            FormKind::Float(_) => "a float",
            FormKind::Decimal(_) => "a decimal",
            FormKind::Str(_) => "a string",
            FormKind::Char(_) => "a character",
            FormKind::Keyword(_) => "a keyword",
            FormKind::Symbol(_) => "a symbol",
            FormKind::List(_) => "a list",
            FormKind::Vector(_) => "a vector",
            FormKind::Map(_) => "a map",
            FormKind::Set(_) => "a set",
            FormKind::Inst(_) => "an instant",
            FormKind::Uuid(_) => "a UUID",
            FormKind::Tagged(..) => "a tagged element",
        }
    }
}

/// Reads exactly one form, as [`read`](super::read()).
impl FromStr for Form {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        super::read(text)
    }
}

macro_rules! from {
    ($($type:ty, $name:ident => $kind:expr;)*) => {$(
        impl From<$type> for Form {
            fn from($name: $type) -> Self {
                Form::from($kind)
            }
        }
    )*};
}

from! {
    bool, b => FormKind::Bool(b);
    i32, i => FormKind::Int(i64::from(i));
    i64, i => FormKind::Int(i);
    BigInt, i => FormKind::BigInt(i);
    f64, f => FormKind::Float(f);
    BigDecimal, d => FormKind::Decimal(d);
    &str, s => FormKind::Str(s.into());
    String, s => FormKind::Str(s.into());
    Arc<str>, s => FormKind::Str(s);
    char, c => FormKind::Char(c);
    Keyword, k => FormKind::Keyword(k);
    Symbol, s => FormKind::Symbol(s);
    Uuid, u => FormKind::Uuid(u);
    Vec<Form>, items => FormKind::Vector(items);
}
