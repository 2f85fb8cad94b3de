//! What the dump says of the names of its entities.

use hashbrown::HashMap;

use super::raw::{RawAttribute, RawDatom};
use crate::datom::{EntityId, Value};
use crate::db::Snapshot;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::change;

#[derive(Debug)]
pub(super) struct Idents {
    ident: Keyword,
    known: HashMap<u64, Keyword>,
}

impl Idents {
    pub fn new() -> Idents {
        Idents { ident: Keyword::new("db/ident"), known: HashMap::new() }
    }

    /// Notes the idents that a transaction asserts.
    pub fn learn(&mut self, datoms: &[RawDatom]) {
        // The attribute `:db/ident` may be an id itself, which is then the entity that has this ident.
        let own = |datom: &RawDatom| datom.a == RawAttribute::Id(datom.e) && datom.v == Value::Keyword(self.ident);
        if let Some(datom) = datoms.iter().find(|datom| own(datom)) {
            self.known.insert(datom.e.0, self.ident);
        }
        for datom in datoms.iter().filter(|datom| datom.added) {
            if let (Value::Keyword(ident), true) = (&datom.v, self.name(datom.a) == Some(self.ident)) {
                self.known.insert(datom.e.0, *ident);
            }
        }
    }

    fn name(&self, a: RawAttribute) -> Option<Keyword> {
        match a {
            RawAttribute::Ident(ident) => Some(ident),
            RawAttribute::Id(id) => self.of(id),
        }
    }

    /// The ident of an entity of the dump.
    pub fn of(&self, e: EntityId) -> Option<Keyword> {
        self.known.get(&e.0).copied()
    }

    /// Whether the entity is one of the engine's own.
    pub fn is_reserved(&self, e: EntityId) -> bool {
        self.of(e).is_some_and(change::is_reserved)
    }

    /// The name of an attribute: as the dump has it, or the database that is loaded into.
    pub fn attribute(&self, snapshot: &Snapshot, a: RawAttribute) -> Result<Keyword> {
        let in_database = || match a {
            RawAttribute::Id(id) => snapshot.schema.of_entity(id.0).map(|attribute| attribute.ident),
            RawAttribute::Ident(_) => None,
        };
        self.name(a).or_else(in_database).ok_or_else(|| {
            let message = format!(
                "the attribute {a:?} is given by its id, and no :db/ident of it came before; write attributes as \
                 keywords, or put their :db/ident datoms into the load"
            );
            Error::new(ErrorKind::Transact, "attribute/unknown", message)
        })
    }
}
