//! Allocate: tempids that mean new entities get ids, in the order in which they were first named, above every id that
//! was ever given or is named in the tx-data.

use crate::datom::{EntityId, Value};
use crate::error::{Error, ErrorKind, Result};

use super::fact::{Context, Fact, TEMP, has_temp};
use super::upsert::Bindings;

pub(super) struct Allocated {
    /// For each tempid.
    pub ids: Vec<u64>,
    /// The largest id after the transaction.
    pub max_eid: EntityId,
}

pub(super) fn allocate(
    context: Context<'_>,
    bindings: &Bindings,
    temps: usize,
    max_named: u64,
    facts: &mut [Fact],
) -> Result<Allocated> {
    let mut max_eid = EntityId(context.snapshot.max_eid.0.max(max_named));
    let mut ids: Vec<u64> = Vec::with_capacity(temps);
    for slot in (0..temps as u64).map(|n| TEMP | n) {
        let root = bindings.find(slot);
        let id = if root == slot {
            let next = max_eid.next().ok_or_else(|| {
                Error::new(ErrorKind::Limit, "transact/entity-id", "all ids of entities are given out")
            })?;
            max_eid = next;
            next.0
        } else if root & TEMP != 0 {
            // The tempid that stands for others comes before them.
            ids[(root & !TEMP) as usize]
        } else {
            root
        };
        ids.push(id);
    }
    let allocated = Allocated { ids, max_eid };
    if temps > 0 {
        for fact in facts {
            fact.e = allocated.settle(fact.e);
            if has_temp(&fact.v) {
                fact.v = allocated.settle_value(&fact.v);
            }
        }
    }
    Ok(allocated)
}

impl Allocated {
    /// The id of a tempid; an id is itself.
    pub fn settle(&self, place: u64) -> u64 {
        if place & TEMP == 0 { place } else { self.ids[(place & !TEMP) as usize] }
    }

    fn settle_value(&self, v: &Value) -> Value {
        match v {
            Value::Ref(target) => Value::Ref(EntityId(self.settle(target.0))),
            Value::Tuple(members) => Value::Tuple(members.iter().map(|v| self.settle_value(v)).collect()),
            v => v.clone(),
        }
    }
}
