//! EDN, the text notation of queries, tx-data, config maps and results.
//!
//! [`read()`] turns text into a [`Form`] that remembers where it stood; `Display` and [`pretty`] turn a form back into
//! text, and reading what was printed gives an equal form.

mod access;
mod equal;
pub mod inst;
mod keyword;
mod number;
mod print;
mod read;
mod text;
mod token;

#[cfg(test)]
mod tests;

pub use keyword::{Keyword, Symbol};
pub use print::pretty;
pub use read::{Limits, Reader, read, read_all};

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
