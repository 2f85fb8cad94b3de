//! Facts: ids, values, the orders that indexes keep, and columns of rows.

pub(crate) mod codec;
mod columns;
mod convert;
mod id;
mod int_column;
mod order;
mod search;
mod value;
mod value_column;
pub(crate) mod wide;

pub use columns::Columns;
pub use id::{AttrId, EntityId, TX0};
pub use int_column::IntColumn;
pub use order::{Component, Cut, Key, Order, Side};
pub(crate) use order::{class, compare, compare_numbers, rank};
pub(crate) use search::{gallop, partition};
pub use value::{Value, ValueKind, ValueRef};
pub use value_column::ValueColumn;

use std::fmt;

/// The `until` of a row that no transaction has closed.
pub const OPEN: u64 = u64::MAX;

/// A fact as readers see it: entity, attribute, value, the transaction that said so, and whether it asserted or
/// retracted.
///
/// Equality counts all five parts. The attribute is interned in the database; `Db::ident` names it,
/// `Db::shown_attribute` gives what users see: the name, or the entity with `:attribute-refs?`.
#[derive(Clone, PartialEq)]
pub struct Datom {
    /// The entity the fact is about.
    pub e: EntityId,
    /// The attribute.
    pub a: AttrId,
    /// The value.
    pub v: Value,
    /// The transaction, an entity itself.
    pub tx: EntityId,
    /// True for an assertion, false for a retraction.
    pub added: bool,
}

impl fmt::Debug for Datom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} {:?} {:?} {} {}]", self.e.0, self.a, self.v, self.tx.0, self.added)
    }
}

/// A fact as indexes keep it: valid from transaction `tx` (inclusive) to transaction `until` (exclusive), which is
/// [`OPEN`] in the current indexes.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The entity.
    pub e: u64,
    /// The attribute.
    pub a: AttrId,
    /// The value.
    pub v: Value,
    /// The transaction that asserted the fact.
    pub tx: u64,
    /// The transaction that retracted or replaced it, or [`OPEN`].
    pub until: u64,
}
