//! Since when the schema promises what it does: that an entity has one value of an attribute, that a value has one entity.

use std::sync::OnceLock;

use hashbrown::HashMap;

use super::{Db, Mode, Snapshot};
use crate::datom::{AttrId, Cut, Key, Order};
use crate::error::Result;
use crate::index::Direction;
use crate::schema::{Attribute, builtin};

/// What holds of all that a database shows of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promise {
    /// An entity has one value at most.
    pub one_value: bool,
    /// A value has one entity at most.
    pub one_entity: bool,
}

/// The transactions that made the cardinality and the uniqueness of attributes what they are; read once for a schema.
#[derive(Debug, Default)]
pub(crate) struct Promises(OnceLock<Since>);

#[derive(Debug)]
struct Since {
    cardinality: HashMap<u64, u64>,
    unique: HashMap<u64, u64>,
    /// All of them, ascending.
    times: Vec<u64>,
}

impl Promises {
    fn since(&self, snapshot: &Snapshot) -> Result<&Since> {
        if let Some(since) = self.0.get() {
            return Ok(since);
        }
        let (cardinality, unique) = (told(snapshot, builtin::CARDINALITY)?, told(snapshot, builtin::UNIQUE)?);
        let mut times: Vec<u64> = cardinality.values().chain(unique.values()).copied().collect();
        times.sort_unstable();
        Ok(self.0.get_or_init(|| Since { cardinality, unique, times }))
    }
}

/// When each entity got its value of an attribute.
fn told(snapshot: &Snapshot, a: AttrId) -> Result<HashMap<u64, u64>> {
    let key = Key { a: Some(a), ..Key::default() };
    let (from, to) = (Cut::before(key.clone()), Cut::after(key));
    let mut cursor = snapshot.index(Order::Aevt).cursor(Some(&from), Some(&to), Direction::Forward)?;
    let mut told = HashMap::new();
    while let Some(chunk) = cursor.next()? {
        told.extend(chunk.rows().map(|i| (chunk.columns.e.get(i), chunk.columns.tx.get(i))));
    }
    Ok(told)
}

impl Db {
    /// What holds of the datoms of an attribute that this database shows. A state of the past keeps what the schema says
    /// now if the schema said so then; events keep nothing, since they tell of all values that there were.
    ///
    /// # Errors
    /// Those of reading the store.
    pub(crate) fn promise(&self, attribute: &Attribute) -> Result<Promise> {
        let states = self.mode() == Mode::State;
        let (one_value, one_entity) = (states && !attribute.is_many(), states && attribute.unique.is_some());
        let Some(t) = self.as_of_t().filter(|_| one_value || one_entity) else {
            return Ok(Promise { one_value, one_entity });
        };
        let since = self.snapshot().promises.since(self.snapshot())?;
        // What no datom says was never otherwise: the number of an attribute is given once.
        let held = |times: &HashMap<u64, u64>| times.get(&attribute.entity).is_none_or(|since| *since <= t.0);
        Ok(Promise { one_value: one_value && held(&since.cardinality), one_entity: one_entity && held(&since.unique) })
    }

    /// Two views of the past of one schema make the same promises if they agree in this; `None` for the present.
    ///
    /// # Errors
    /// Those of reading the store.
    pub(crate) fn promises_by(&self) -> Result<Option<usize>> {
        let Some(t) = self.as_of_t() else { return Ok(None) };
        let since = self.snapshot().promises.since(self.snapshot())?;
        Ok(Some(since.times.partition_point(|time| *time <= t.0)))
    }
}
