//! Attributes: what a database knows of its own facts.

mod attribute;
mod bootstrap;
mod caps;
pub(crate) mod change;
mod coerce;
mod describe;
mod suggest;
pub(crate) mod system;

pub use attribute::{Attribute, Cardinality, TupleShape, Unique, ValueType};
pub use bootstrap::{FIRST_USER_ATTRIBUTE, builtin};
pub use caps::ValueCaps;
pub(crate) use coerce::coerce;
pub(crate) use suggest::did_you_mean;

use std::sync::Arc;

use hashbrown::HashMap;

use crate::datom::{AttrId, EntityId, Value};
use crate::edn::Keyword;

/// Whether attributes must be declared before they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum SchemaFlexibility {
    /// Any attribute is accepted on read; a declaration is needed only for unique, ref, many or indexed attributes.
    Read,
    /// Attributes are declared before they are written.
    Write,
}

/// The attributes of a database, by name and by number. An immutable value, cheap to clone.
#[derive(Debug, Clone)]
pub struct Schema {
    flexibility: SchemaFlexibility,
    /// Whether users see attributes as entities.
    attribute_refs: bool,
    by_id: HashMap<AttrId, Arc<Attribute>>,
    by_ident: HashMap<Keyword, AttrId>,
    by_entity: HashMap<u64, AttrId>,
    next: AttrId,
}

impl Schema {
    /// The schema of a new database: the built-in attributes.
    pub fn new(flexibility: SchemaFlexibility) -> Schema {
        Schema::begun(flexibility, false)
    }

    /// The schema of a new database, in which users see attributes as entities or not.
    pub(crate) fn begun(flexibility: SchemaFlexibility, attribute_refs: bool) -> Schema {
        let mut schema = Schema {
            flexibility,
            attribute_refs,
            by_id: HashMap::new(),
            by_ident: HashMap::new(),
            by_entity: HashMap::new(),
            next: FIRST_USER_ATTRIBUTE,
        };
        let attributes = if attribute_refs { system::attributes() } else { bootstrap::attributes() };
        attributes.into_iter().for_each(|attribute| schema.put(attribute));
        schema
    }

    /// Whether attributes must be declared.
    pub fn flexibility(&self) -> SchemaFlexibility {
        self.flexibility
    }

    /// Whether users see attributes as entities (`:attribute-refs?`).
    pub fn has_attribute_refs(&self) -> bool {
        self.attribute_refs
    }

    /// The attribute with that name.
    pub fn attribute(&self, ident: Keyword) -> Option<&Arc<Attribute>> {
        self.by_ident.get(&ident).and_then(|id| self.by_id.get(id))
    }

    /// The attribute with that number.
    pub fn get(&self, id: AttrId) -> Option<&Arc<Attribute>> {
        self.by_id.get(&id)
    }

    /// The attribute that an entity defines.
    pub fn of_entity(&self, entity: u64) -> Option<&Arc<Attribute>> {
        self.by_entity.get(&entity).and_then(|id| self.by_id.get(id))
    }

    /// What users see as an attribute: its name or, with `:attribute-refs?`, its entity.
    pub fn shown(&self, id: AttrId) -> Option<Value> {
        let attribute = self.get(id)?;
        Some(if self.attribute_refs { Value::Ref(EntityId(attribute.entity)) } else { attribute.ident.into() })
    }

    /// The name of an entity that is an attribute or one of the engine's, such as `:db.type/long`; only with
    /// `:attribute-refs?`.
    pub fn ident_of_entity(&self, entity: u64) -> Option<Keyword> {
        if !self.attribute_refs {
            return None;
        }
        self.of_entity(entity).map(|attribute| attribute.ident).or_else(|| system::ident_of(entity))
    }

    /// The ref attribute that a reverse name such as `:person/_friend` means: `:person/friend`.
    pub fn reversed(&self, ident: Keyword) -> Option<&Arc<Attribute>> {
        self.attribute(self.forward_name(ident)?).filter(|attribute| attribute.is_ref())
    }

    /// `:person/friend` for `:person/_friend`; `None` for a name that does not begin with an underscore, and for one
    /// that is an attribute as it stands.
    pub fn forward_name(&self, ident: Keyword) -> Option<Keyword> {
        let name = ident.name().strip_prefix('_').filter(|_| self.attribute(ident).is_none())?;
        Some(match ident.namespace() {
            Some(namespace) => Keyword::new(&format!("{namespace}/{name}")),
            None => Keyword::new(name),
        })
    }

    /// All attributes, built-in ones included, by name.
    pub fn attributes(&self) -> Vec<&Arc<Attribute>> {
        let mut all: Vec<_> = self.by_id.values().collect();
        all.sort_unstable_by_key(|attribute| attribute.ident);
        all
    }

    /// The schema of a stored database: the built-in attributes and those that were stored with it.
    pub(crate) fn restored(flexibility: SchemaFlexibility, attribute_refs: bool, attributes: Vec<Attribute>) -> Schema {
        let mut schema = Schema::begun(flexibility, attribute_refs);
        attributes.into_iter().for_each(|attribute| schema.put(attribute));
        schema
    }

    /// The number that the next new attribute gets.
    pub fn next_id(&self) -> AttrId {
        self.next
    }

    /// Adds or replaces an attribute, by its number.
    pub(crate) fn put(&mut self, attribute: Attribute) {
        self.remove(attribute.id);
        self.next = self.next.max(AttrId(attribute.id.0 + 1));
        self.by_ident.insert(attribute.ident, attribute.id);
        if attribute.entity != 0 {
            self.by_entity.insert(attribute.entity, attribute.id);
        }
        self.by_id.insert(attribute.id, Arc::new(attribute));
    }

    /// The known attribute whose name is nearest to `ident`, for "did you mean".
    pub fn nearest(&self, ident: Keyword) -> Option<Keyword> {
        let wanted = ident.as_str();
        let limit = 1 + wanted.chars().count() / 4;
        let candidates = self.by_ident.keys().map(|k| (distance(wanted, k.as_str(), limit), *k));
        candidates.filter(|(d, _)| *d <= limit).min().map(|(_, k)| k)
    }
}

/// How many characters must be changed, added or dropped to come from `a` to `b`; anything above `limit` when more.
pub(crate) fn distance(a: &str, b: &str, limit: usize) -> usize {
    let b: Vec<char> = b.chars().collect();
    if a.chars().count().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
