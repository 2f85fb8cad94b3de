//! What a pattern asks for, resolved against a schema.

use std::fmt;
use std::sync::Arc;

use crate::datom::{AttrId, Value};
use crate::edn::Keyword;
use crate::error::Result;

/// A function that a pattern applies to what it found (`:xform`); nil for nothing.
pub type Xform = Arc<dyn Fn(&Value) -> Result<Value> + Send + Sync>;

/// A pull pattern that was read for a database.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// In the order of the pattern; no attribute twice.
    pub(super) specs: Vec<Spec>,
    /// Whether `*` was given: all attributes that no spec names are pulled too.
    pub(super) wildcard: bool,
}

/// One attribute of a pattern.
#[derive(Clone)]
pub(super) struct Spec {
    pub what: What,
    /// The attribute as it was written.
    pub name: Keyword,
    /// The key in the result.
    pub key: Value,
    /// Most values that are pulled; `None` for all.
    pub limit: Option<usize>,
    pub default: Option<Value>,
    pub xform: Option<Xform>,
    pub sub: Sub,
}

/// What a spec names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// `:db/id`
    Id,
    /// An attribute that the database does not know; it has no values.
    Unknown,
    /// The values of an attribute.
    Forward(Field),
    /// The entities that refer by an attribute: `:ns/_name`.
    Reverse(Field),
}

/// What is to be known of an attribute while pulling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub id: AttrId,
    pub is_ref: bool,
    pub component: bool,
    /// Whether the result is a vector.
    pub many: bool,
}

/// What becomes of the entities that a ref attribute leads to.
#[derive(Debug, Clone)]
pub(super) enum Sub {
    /// `{:db/id n}`, or all of it for a component.
    Plain,
    /// A pattern of their own.
    Pattern(Arc<Pattern>),
    /// The pattern that the spec stands in, this many times over; `None` without end.
    Recursion(Option<usize>),
}

/// Values of one attribute that are pulled when the pattern does not tell.
pub(super) const DEFAULT_LIMIT: usize = 1000;

impl Pattern {
    /// The attributes that the database does not know, of patterns inside this one too.
    pub fn unknown(&self) -> Vec<Keyword> {
        let mut found = Vec::new();
        let mut patterns = vec![self];
        while let Some(pattern) = patterns.pop() {
            for spec in &pattern.specs {
                if spec.what == What::Unknown && !found.contains(&spec.name) {
                    found.push(spec.name);
                }
                if let Sub::Pattern(inner) = &spec.sub {
                    patterns.push(inner);
                }
            }
        }
        found
    }

    /// `[*]`
    pub fn wildcard() -> Pattern {
        Pattern { specs: Vec::new(), wildcard: true }
    }

    /// Adds a spec; one for the same attribute gives way.
    pub(super) fn put(&mut self, spec: Spec) {
        match self.specs.iter_mut().find(|old| old.name == spec.name) {
            Some(old) => *old = spec,
            None => self.specs.push(spec),
        }
    }
}

impl Spec {
    pub fn new(what: What, name: Keyword) -> Spec {
        let limit = Some(DEFAULT_LIMIT);
        Spec { what, name, key: Value::Keyword(name), limit, default: None, xform: None, sub: Sub::Plain }
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec")
            .field("name", &self.name)
            .field("key", &self.key)
            .field("limit", &self.limit)
            .field("default", &self.default)
            .field("xform", &self.xform.is_some())
            .field("sub", &self.sub)
            .finish()
    }
}
