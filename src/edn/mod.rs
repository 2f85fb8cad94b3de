//! EDN, the text notation of queries, tx-data, config maps and results.
//!
//! [`read`] turns text into a [`Form`] that remembers where it stood, [`print()`] turns a form back into text;
//! reading what was printed gives an equal form.

mod keyword;

pub use keyword::{Keyword, Symbol};

use std::sync::Arc;

use bigdecimal::BigDecimal;
use num_bigint::BigInt;
use uuid::Uuid;

/// A range of bytes of the text that a form was read from; empty for forms that were built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

/// A piece of EDN with its place in the text. Equality is of the content; the place does not count.
#[derive(Debug, Clone)]
pub struct Form {
    /// What the form is.
    pub kind: FormKind,
    /// Where it was read.
    pub span: Span,
}

/// The kinds of EDN.
///
/// Maps and sets keep the order in which their members were written; equality of maps and sets does not depend on it.
#[derive(Debug, Clone)]
pub enum FormKind {
    /// `nil`
    Nil,
    /// `true`, `false`
    Bool(bool),
    /// `42`
    Int(i64),
    /// `42N`, or an integer without `N` that does not fit 64 bits
    BigInt(BigInt),
    /// `1.5`, `##NaN`, `##Inf`, `##-Inf`
    Float(f64),
    /// `1.50M`
    Decimal(BigDecimal),
    /// `"text"`
    Str(Arc<str>),
    /// `\a`
    Char(char),
    /// `:ns/name`
    Keyword(Keyword),
    /// `ns/name`
    Symbol(Symbol),
    /// `(a b)`
    List(Vec<Form>),
    /// `[a b]`
    Vector(Vec<Form>),
    /// `{a b}`
    Map(Vec<(Form, Form)>),
    /// `#{a b}`
    Set(Vec<Form>),
    /// `#inst "…"`, milliseconds since 1970-01-01T00:00Z
    Inst(i64),
    /// `#uuid "…"`
    Uuid(Uuid),
    /// `#tag form`
    Tagged(Symbol, Box<Form>),
}

impl From<FormKind> for Form {
    fn from(kind: FormKind) -> Self {
        Form { kind, span: Span::default() }
    }
}

impl PartialEq for Form {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl PartialEq for FormKind {
    fn eq(&self, other: &Self) -> bool {
        use FormKind::{
            BigInt, Bool, Char, Decimal, Float, Inst, Int, Keyword, List, Map, Nil, Set, Str, Symbol, Tagged, Uuid,
            Vector,
        };
        match (self, other) {
            (Nil, Nil) => true,
            (Bool(a), Bool(b)) => a == b,
            (Int(a), Int(b)) => a == b,
            (BigInt(a), BigInt(b)) => a == b,
            (Float(a), Float(b)) => a.to_bits() == b.to_bits(),
            (Decimal(a), Decimal(b)) => a.as_bigint_and_exponent() == b.as_bigint_and_exponent(),
            (Str(a), Str(b)) => a == b,
            (Char(a), Char(b)) => a == b,
            (Keyword(a), Keyword(b)) => a == b,
            (Symbol(a), Symbol(b)) => a == b,
            (List(a), List(b)) | (Vector(a), Vector(b)) => a == b,
            (Map(a), Map(b)) => {
                a.len() == b.len() && a.iter().all(|(k, v)| b.iter().any(|(k2, v2)| k == k2 && v == v2))
            }
            (Set(a), Set(b)) => a.len() == b.len() && a.iter().all(|x| b.contains(x)),
            (Inst(a), Inst(b)) => a == b,
            (Uuid(a), Uuid(b)) => a == b,
            (Tagged(t, a), Tagged(u, b)) => t == u && a == b,
            _ => false,
        }
    }
}
