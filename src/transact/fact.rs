//! What the stages pass on: facts to assert or retract, about ids or tempids.

use hashbrown::HashMap;

use crate::datom::{AttrId, EntityId, Value};
use crate::db::Snapshot;
use crate::edn::Keyword;
use crate::error::Error;

use super::input::TempId;
use super::place::{Part, Source};

/// Set in the place of an id that is not known yet: the rest is the number of a tempid in [`Temps`]. Ids fit in `i64`,
/// so no id has it. Stands in `e`, in the value of a ref
/// attribute, and in tuples of refs.
pub(super) const TEMP: u64 = 1 << 63;

/// Whether the value is a tempid, or a tuple that has one.
pub(super) fn has_temp(v: &Value) -> bool {
    match v {
        Value::Ref(id) => id.0 & TEMP != 0,
        Value::Tuple(members) => members.iter().any(|v| matches!(v, Value::Ref(id) if id.0 & TEMP != 0)),
        _ => false,
    }
}

/// The operation number of what the transaction says of itself.
pub(super) const META: u32 = u32::MAX;

/// One thing to do to the facts of an entity.
#[derive(Debug)]
pub(super) struct Fact {
    pub e: u64,
    pub a: AttrId,
    /// The operation that wants it: its place in [`super::TxData`], or [`META`].
    pub op: u32,
    pub v: Value,
    pub what: What,
    /// The attribute is `:db.unique/identity` and the fact is asserted or meant.
    pub identity: bool,
    /// Said by an entity map.
    pub map: bool,
}

impl Fact {
    /// A fact about an entity whose id is known.
    pub fn known(e: u64, a: AttrId, op: u32, v: Value, what: What) -> Fact {
        Fact { e, a, op, v, what, identity: false, map: false }
    }
}

#[derive(Debug)]
pub(super) enum What {
    Add,
    /// Says of a tempid that it means the entity which gets the ident `v`; asserts nothing.
    Mean,
    Retract,
    /// All values of the attribute.
    RetractAll,
    /// Assert `v` where the value is this one; where there is none for nil.
    Cas(Box<Value>),
    /// All values of the attribute, and the components they are.
    RetractAttribute,
    /// All facts of the entity, refs to it, and its components; the attribute means nothing.
    RetractEntity,
}

/// The tempids of a transaction, numbered as they come.
#[derive(Debug, Default)]
pub(super) struct Temps {
    numbers: HashMap<TempId, u32>,
    /// `None` for an entity that the user gave no name.
    pub names: Vec<Option<TempId>>,
}

impl Temps {
    pub fn with_room(n: usize) -> Temps {
        Temps { names: Vec::with_capacity(n), ..Temps::default() }
    }

    pub fn named(&mut self, name: &TempId) -> u64 {
        if let Some(number) = self.numbers.get(name) {
            return TEMP | u64::from(*number);
        }
        let number = self.names.len() as u32;
        self.numbers.insert(name.clone(), number);
        self.names.push(Some(name.clone()));
        TEMP | u64::from(number)
    }

    pub fn anonymous(&mut self) -> u64 {
        self.names.push(None);
        TEMP | (self.names.len() as u64 - 1)
    }

    /// What to call a tempid in a message.
    pub fn describe(&self, slot: u64) -> String {
        match self.names.get((slot & !TEMP) as usize) {
            Some(Some(name)) => format!("the tempid {name}"),
            _ => "an entity map without :db/id".to_owned(),
        }
    }
}

/// What every stage may look at.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub snapshot: &'a Snapshot,
    pub source: &'a Source,
    /// The id of the transaction.
    pub t: u64,
}

impl Context<'_> {
    /// Says in an error which operation it is about.
    pub fn locate(&self, op: u32, error: Error) -> Error {
        if op == META {
            return error.context(":tx-meta");
        }
        self.source.locate(op, error)
    }

    /// As [`locate`](Self::locate), pointing at a value.
    pub fn locate_value(&self, op: u32, attribute: Keyword, v: &Value, error: Error) -> Error {
        self.locate(op, self.source.point(op, &Part::Value(attribute, Some(v)), error))
    }

    /// Whether the fact comes to anything: a database without history keeps neither instants nor `:tx-meta`.
    pub fn keeps(&self, fact: &Fact) -> bool {
        fact.op != META || self.snapshot.settings.keep_history
    }

    /// Whether the entity has no facts before the transaction.
    pub fn is_new(&self, e: u64) -> bool {
        e == self.t || (e > self.snapshot.max_eid.0 && !EntityId(e).is_transaction())
    }
}
