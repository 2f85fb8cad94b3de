//! Ids of entities, transactions and attributes.

use std::fmt;

/// The id of an entity, which may be a transaction. Never 0, always within `i64`.
///
/// Users' entities take 1 .. 2^29, then go on at 2^40; transactions lie between (see [`TX0`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId(pub u64);

/// The id of the transaction before the first one; transaction number n of a database is entity `TX0 + n`.
pub const TX0: u64 = 1 << 29;

/// The first id after those of transactions.
const TX_END: u64 = 1 << 40;

impl EntityId {
    /// The largest id.
    pub const MAX: EntityId = EntityId(i64::MAX as u64);

    /// Whether this is the id of a transaction (of any database, existing or not).
    pub fn is_transaction(self) -> bool {
        (TX0..TX_END).contains(&self.0)
    }

    /// The id that is allocated after this one, for an id that is not a transaction's; `None` when all are taken.
    pub fn next(self) -> Option<EntityId> {
        let next = EntityId(self.0 + 1);
        let next = if next.is_transaction() { EntityId(TX_END) } else { next };
        (next <= EntityId::MAX).then_some(next)
    }

    /// The place of this id among those that are not transactions', counted from 0.
    pub(crate) fn ordinal(self) -> u64 {
        if self.0 < TX_END { self.0 } else { self.0 - (TX_END - TX0) }
    }
}

impl fmt::Debug for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number that an attribute has inside one database; its name is in the schema.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct AttrId(pub u32);

impl fmt::Debug for AttrId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{EntityId, TX_END, TX0};

    #[test]
    fn ids_go_on_after_those_of_transactions() {
        let last = EntityId(TX0 - 1);
        let next = last.next().unwrap();
        assert_eq!(next, EntityId(TX_END));
        assert_eq!(next.ordinal(), last.ordinal() + 1);
        assert_eq!(EntityId::MAX.next(), None);
    }
}
