//! Ids: those of the source as they are, or ids of the database's own in their place.

use hashbrown::HashMap;

use super::LoadIds;
use crate::datom::{EntityId, TX0};
use crate::db::Snapshot;
use crate::error::{Error, ErrorKind, Result};

#[derive(Debug)]
pub(super) struct Ids {
    /// What ids of the source have become; `None` where they are kept.
    map: Option<HashMap<u64, u64>>,
    /// The transaction that is being made.
    t: u64,
    /// The largest id so far of an entity that is no transaction.
    max_eid: EntityId,
}

impl Ids {
    pub fn new(ids: LoadIds) -> Ids {
        let map = (ids == LoadIds::Map).then(HashMap::new);
        Ids { map, t: 0, max_eid: EntityId(0) }
    }

    /// The id of the next transaction, which is `source` in the dump.
    pub fn begin(&mut self, snapshot: &Snapshot, source: u64) -> Result<EntityId> {
        self.max_eid = snapshot.max_eid;
        let last = snapshot.basis_t;
        let t = match &mut self.map {
            Some(map) => {
                let t = last.0 + 1;
                if map.insert(source, t).is_some() {
                    let message = format!("{source} is a transaction, and earlier ones speak of it as an entity");
                    return Err(Error::new(ErrorKind::Transact, "load/order", message));
                }
                EntityId(t)
            }
            None if source <= last.0 => {
                let message = format!(
                    "the transaction {source} does not come after the last of the database, {last}; load into a new \
                     database, leave out what it has, or map the ids"
                );
                return Err(Error::new(ErrorKind::Transact, "load/transaction-id", message));
            }
            None => EntityId(source),
        };
        if !t.is_transaction() || t.0 == TX0 {
            let message =
                format!("{t} cannot be the id of a transaction, which lie above {TX0} and below 2^40; map the ids");
            return Err(Error::new(ErrorKind::Transact, "load/transaction-id", message));
        }
        self.t = t.0;
        Ok(t)
    }

    /// Says that an entity of the source is one that the database has, unless it has become another already.
    pub fn claim(&mut self, source: EntityId, id: u64) {
        if let Some(map) = &mut self.map {
            map.entry(source.0).or_insert(id);
        }
    }

    /// What an entity of the source is here.
    pub fn entity(&mut self, source: EntityId) -> Result<EntityId> {
        let Some(map) = &mut self.map else { return self.kept(source) };
        if let Some(id) = map.get(&source.0) {
            return Ok(EntityId(*id));
        }
        let next = self
            .max_eid
            .next()
            .ok_or_else(|| Error::new(ErrorKind::Limit, "transact/entity-id", "all ids of entities are given out"))?;
        self.max_eid = next;
        map.insert(source.0, next.0);
        Ok(next)
    }

    fn kept(&mut self, id: EntityId) -> Result<EntityId> {
        // What was there before the first transaction is put into the first, see `order`.
        let id = if id.0 == TX0 { EntityId(TX0 + 1) } else { id };
        if id.0 == 0 || id > EntityId::MAX || (id.is_transaction() && id.0 > self.t) {
            let message = if id.is_transaction() {
                format!("{id} lies among the ids of transactions, and there is no such transaction yet")
            } else {
                format!("an entity id lies between 1 and {}, got {id}", EntityId::MAX)
            };
            return Err(Error::new(ErrorKind::Transact, "transact/entity-id", message));
        }
        if !id.is_transaction() {
            self.max_eid = self.max_eid.max(id);
        }
        Ok(id)
    }

    /// The largest id after the transaction of an entity that is no transaction.
    pub fn max_eid(&self) -> EntityId {
        self.max_eid
    }

    /// What an entity of the source has become; `None` for one that was never spoken of.
    pub fn find(&self, source: EntityId) -> Option<EntityId> {
        match &self.map {
            Some(map) => map.get(&source.0).copied().map(EntityId),
            None => Some(source),
        }
    }
}
