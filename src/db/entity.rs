//! Entities as lazy maps.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{Db, EntityRef};
use crate::datom::{AttrId, Cut, EntityId, Key, Order, Value};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Direction;
use crate::schema::Attribute;

/// An entity of a database: a map from attributes to values that is read as it is asked.
///
/// Two entities are equal when they have the same id in the same database value. An entity can be made of any id,
/// with or without datoms.
///
/// ```
/// # fn show(db: &treering::Db) -> treering::Result<()> {
/// use treering::{Attr, EntityId, edn::Keyword};
/// let Some(person) = db.entity(EntityId(7))? else { return Ok(()) };
/// if let Some(Attr::Entity(boss)) = person.get(Keyword::new("person/boss"))? {
///     println!("{:?}", boss.get(Keyword::new("person/name"))?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Entity {
    db: Db,
    id: EntityId,
}

/// What an entity has under an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attr {
    /// The value of an attribute of cardinality one.
    Value(Value),
    /// The values of an attribute of cardinality many, ascending.
    Values(Vec<Value>),
    /// The entity that a ref attribute of cardinality one leads to, or the one that has this one as a component.
    Entity(Entity),
    /// The entities of a ref attribute of cardinality many, or those that refer to this one; by id.
    Entities(Vec<Entity>),
}

impl Attr {
    /// The value of an attribute of cardinality one that is no ref.
    pub fn as_value(&self) -> Option<&Value> {
        match self {
            Attr::Value(value) => Some(value),
            _ => None,
        }
    }

    /// As one value: refs as ids, several values as a set.
    pub fn to_value(&self) -> Value {
        match self {
            Attr::Value(value) => value.clone(),
            Attr::Values(values) => Value::set(values.clone()),
            Attr::Entity(entity) => Value::Ref(entity.id),
            Attr::Entities(entities) => Value::set(entities.iter().map(|entity| Value::Ref(entity.id)).collect()),
        }
    }
}

impl Db {
    /// The entity of that name; `None` where an ident or a lookup ref names none. An id always gives an entity.
    ///
    /// # Errors
    /// Those of [`Db::entid`]; `Argument`, code `:entity/history`, for a history database.
    pub fn entity(&self, entity: impl Into<EntityRef>) -> Result<Option<Entity>> {
        if self.mode() == super::Mode::Events {
            let message = "an entity is a state; a history database has none: take an as-of database";
            return Err(Error::new(ErrorKind::Argument, "entity/history", message));
        }
        Ok(self.entid(&entity.into())?.map(|id| Entity { db: self.clone(), id }))
    }

    /// Whether two values are the same database: the same transaction of the same connection, seen through the same
    /// view and filters.
    pub fn is_same(&self, other: &Db) -> bool {
        Arc::ptr_eq(&self.snapshot, &other.snapshot) && self.view == other.view && self.filters.is_same(&other.filters)
    }
}

/// Most components inside components that [`Entity::touch`] follows.
const MAX_DEPTH: usize = 256;

impl Entity {
    /// The id.
    pub fn id(&self) -> EntityId {
        self.id
    }

    /// The database that the entity is read from.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// What the entity has under an attribute. `:db/id` is the id as a ref; `:ns/_name` are the entities that refer to
    /// this one by `:ns/name`. `None` where there is nothing, and for an attribute that the database does not know.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn get(&self, attribute: Keyword) -> Result<Option<Attr>> {
        if attribute.as_str() == "db/id" {
            return Ok(Some(Attr::Value(Value::Ref(self.id))));
        }
        let schema = self.db.schema();
        if let Some(attribute) = schema.attribute(attribute) {
            let key = Key { e: Some(self.id.0), a: Some(attribute.id), ..Key::default() };
            let values = self.values(Order::Eavt, key)?;
            return Ok(self.attr(attribute, values.into_iter().map(|(_, v)| v).collect()));
        }
        let Some(forward) = schema.reversed(attribute) else { return Ok(None) };
        let key = Key { a: Some(forward.id), v: Some(Value::Ref(self.id)), ..Key::default() };
        let mut referring = self.values(Order::Avet, key)?.into_iter().map(|(e, _)| self.other(e));
        if forward.component {
            return Ok(referring.next().map(Attr::Entity));
        }
        let referring: Vec<Entity> = referring.collect();
        Ok((!referring.is_empty()).then_some(Attr::Entities(referring)))
    }

    /// Whether the entity has anything under an attribute.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn contains(&self, attribute: Keyword) -> Result<bool> {
        Ok(self.get(attribute)?.is_some())
    }

    /// The attributes of the entity, by name.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn keys(&self) -> Result<Vec<Keyword>> {
        let mut keys = Vec::new();
        let end = Cut::after(Key { e: Some(self.id.0), ..Key::default() });
        let mut from = Cut::before(Key { e: Some(self.id.0), ..Key::default() });
        let mut cursor = self.db.cursor(Order::Eavt, Some(&from), Some(&end), Direction::Forward)?;
        while let Some(chunk) = cursor.next()? {
            let mut i = chunk.start;
            while i < chunk.end {
                let a = AttrId(chunk.columns.a.get(i) as u32);
                keys.extend(self.db.ident(a));
                from = Cut::after(Key { e: Some(self.id.0), a: Some(a), ..Key::default() });
                i = chunk.columns.position(Order::Eavt, &from).max(i + 1);
            }
            cursor.seek(&from)?;
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// All of the entity as a map: `:db/id`, then the attributes by name; several values as sets; refs as
    /// `{:db/id n}`, components as maps of their own. A component that contains itself is `{:db/id n}` inside.
    ///
    /// # Errors
    /// `Limit`, code `:entity/depth`, for more than 256 components inside each other; those of reading the store.
    pub fn touch(&self) -> Result<Value> {
        self.touch_below(&mut Vec::new())
    }

    fn touch_below(&self, above: &mut Vec<EntityId>) -> Result<Value> {
        let id = Value::Keyword(Keyword::new("db/id"));
        let mut map = vec![(id, Value::Ref(self.id))];
        if above.len() > MAX_DEPTH {
            let message = format!("entity {}: more than {MAX_DEPTH} components inside each other", self.id);
            return Err(Error::new(ErrorKind::Limit, "entity/depth", message));
        }
        above.push(self.id);
        for key in self.keys()? {
            let component = self.db.schema().attribute(key).is_some_and(|attribute| attribute.component);
            let mut inner = |entity: Entity| {
                if component && !above.contains(&entity.id) { entity.touch_below(above) } else { Ok(entity.only_id()) }
            };
            let value = match self.get(key)? {
                None => continue,
                Some(Attr::Entity(entity)) => inner(entity)?,
                Some(Attr::Entities(entities)) => {
                    Value::set(entities.into_iter().map(inner).collect::<Result<Vec<_>>>()?)
                }
                Some(other) => other.to_value(),
            };
            map.push((Value::Keyword(key), value));
        }
        above.pop();
        Ok(Value::Map(map.into()))
    }

    fn only_id(&self) -> Value {
        Value::Map([(Value::Keyword(Keyword::new("db/id")), Value::Ref(self.id))].into())
    }

    fn other(&self, id: EntityId) -> Entity {
        Entity { db: self.db.clone(), id }
    }

    fn attr(&self, attribute: &Attribute, values: Vec<Value>) -> Option<Attr> {
        if values.is_empty() {
            return None;
        }
        let mut entities = Vec::new();
        for value in &values {
            match value {
                Value::Ref(e) if attribute.is_ref() => entities.push(self.other(*e)),
                _ => {}
            }
        }
        match (attribute.is_ref(), attribute.is_many()) {
            (true, true) => Some(Attr::Entities(entities)),
            (true, false) => entities.into_iter().next().map(Attr::Entity),
            (false, true) => Some(Attr::Values(values)),
            (false, false) => values.into_iter().next().map(Attr::Value),
        }
    }

    /// Entity and value of the datoms that begin with a key.
    fn values(&self, order: Order, key: Key) -> Result<Vec<(EntityId, Value)>> {
        let (from, to) = (Cut::before(key.clone()), Cut::after(key));
        let mut cursor = self.db.cursor(order, Some(&from), Some(&to), Direction::Forward)?;
        let mut values = Vec::new();
        while let Some(chunk) = cursor.next()? {
            let columns = &chunk.columns;
            values.extend(chunk.rows().map(|i| (EntityId(columns.e.get(i)), columns.v.get(i).to_value())));
        }
        Ok(values)
    }
}

impl PartialEq for Entity {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.db.is_same(&other.db)
    }
}

impl Eq for Entity {}

impl Hash for Entity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{:db/id {}}}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Attr, Entity};
    use crate::datom::{EntityId, TX0, Value};
    use crate::db::Db;
    use crate::db::testing::{Saying, db_of};
    use crate::edn::{Keyword, read};

    const SCHEMA: [&str; 5] =
        ["z/name string identity", "aka string many", "friend ref many", "boss ref", "part ref many component"];

    fn refer(e: u64) -> Value {
        Value::Ref(EntityId(e))
    }

    fn db() -> Db {
        db_of(
            &SCHEMA,
            &[
                &[
                    (1, "z/name", "Ann".into(), true),
                    (1, "aka", "b".into(), true),
                    (1, "aka", "a".into(), true),
                    (1, "friend", refer(2), true),
                    (1, "friend", refer(3), true),
                    (1, "boss", refer(2), true),
                    (1, "part", refer(4), true),
                    (4, "part", refer(5), true),
                    (5, "z/name", "leaf".into(), true),
                ],
                &[(1, "z/name", "Anna".into(), true)],
            ],
        )
    }

    fn entity(db: &Db, e: u64) -> Entity {
        db.entity(EntityId(e)).unwrap().unwrap()
    }

    fn get(entity: &Entity, attribute: &str) -> Option<Attr> {
        entity.get(Keyword::new(attribute)).unwrap()
    }

    #[test]
    fn attributes_are_read_as_they_are_asked() {
        let db = db();
        let ann = entity(&db, 1);
        assert_eq!(get(&ann, "z/name"), Some(Attr::Value("Anna".into())));
        assert_eq!(get(&ann, "aka"), Some(Attr::Values(vec!["a".into(), "b".into()])));
        assert_eq!(get(&ann, "boss"), Some(Attr::Entity(entity(&db, 2))));
        assert_eq!(get(&ann, "friend"), Some(Attr::Entities(vec![entity(&db, 2), entity(&db, 3)])));
        assert_eq!(get(&ann, "db/id"), Some(Attr::Value(refer(1))));
        assert_eq!(get(&ann, "_friend"), None);
        assert_eq!(get(&ann, "unknown"), None);
        assert_eq!(get(&entity(&db, 2), "_friend"), Some(Attr::Entities(vec![entity(&db, 1)])));
        assert_eq!(get(&entity(&db, 4), "_part"), Some(Attr::Entity(entity(&db, 1))));
        assert_eq!(ann.keys().unwrap(), ["aka", "boss", "friend", "part", "z/name"].map(Keyword::new));
        assert!(ann.contains(Keyword::new("aka")).unwrap());
        let past = db.as_of(EntityId(TX0 + 1)).unwrap();
        assert_eq!(get(&entity(&past, 1), "z/name"), Some(Attr::Value("Ann".into())));
        assert_eq!(db.history().unwrap().entity(EntityId(1)).unwrap_err().code(), "entity/history");
    }

    #[test]
    fn names_that_mean_nothing_give_no_entity() {
        let db = db();
        let name = Keyword::new("z/name");
        assert_eq!(db.entity((name, "Anna")).unwrap().map(|e| e.id()), Some(EntityId(1)));
        assert!(db.entity((name, "Zoe")).unwrap().is_none());
        assert!(db.entity(Keyword::new("nobody")).unwrap().is_none());
        assert!(entity(&db, 99).keys().unwrap().is_empty());
    }

    #[test]
    fn equality_is_of_database_and_id() {
        let db = db();
        assert_eq!(entity(&db, 1), entity(&db.clone(), 1));
        assert_ne!(entity(&db, 1), entity(&db, 2));
        assert_ne!(entity(&db, 1), entity(&db.as_of(EntityId(TX0 + 1)).unwrap(), 1));
        assert_ne!(entity(&db, 1), entity(&db.filter(|_, _| true), 1));
        assert_ne!(entity(&db, 1), entity(&super::tests::db(), 1));
        let filtered = db.filter(|_, _| true);
        assert_eq!(entity(&filtered, 1), entity(&filtered.clone(), 1));
        assert_eq!([entity(&db, 1), entity(&db, 1)].into_iter().collect::<HashSet<_>>().len(), 1);
    }

    #[test]
    fn touching_reads_all_and_the_components() {
        let db = db();
        let wanted = r#"{:db/id 1 :aka #{"a" "b"} :boss {:db/id 2} :friend #{{:db/id 2} {:db/id 3}}
            :part #{{:db/id 4 :part #{{:db/id 5 :z/name "leaf"}}}} :z/name "Anna"}"#;
        assert_eq!(entity(&db, 1).touch().unwrap().to_form(), read(wanted).unwrap());
        let ring = db_of(&SCHEMA, &[&[(1, "part", refer(2), true), (2, "part", refer(1), true)]]);
        let wanted = "{:db/id 1 :part #{{:db/id 2 :part #{{:db/id 1}}}}}";
        assert_eq!(entity(&ring, 1).touch().unwrap().to_form(), read(wanted).unwrap());
        let sayings: Vec<Saying<'_>> = (1..1000).map(|n| (n, "part", refer(n + 1), true)).collect();
        assert_eq!(entity(&db_of(&SCHEMA, &[&sayings]), 1).touch().unwrap_err().code(), "entity/depth");
    }
}
