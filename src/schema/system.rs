//! The entities of the engine itself, which databases with `:attribute-refs? true` begin with: built-in attributes, and
//! what names types, cardinalities and kinds of uniqueness.
//!
//! Ids are stored; append only. Datahike's ids are kept where it has the same entity. What it gives 12 to 14, 19, 28, 30
//! and 31 (partitions and types of its own schema) is not here, and those ids are of what it gives none; 39 to 52 are
//! kept free for valid time, secondary indexes and store refs.

use super::{Attribute, Cardinality, Schema, Unique, ValueType, bootstrap, builtin};
use crate::datom::{AttrId, EntityId, OPEN, Row, TX0, Value};
use crate::edn::Keyword;

/// The last id of the engine's entities; users' begin after it.
pub(crate) const LAST_SYSTEM_ENTITY: u64 = 54;

const ENTITIES: [(u64, &str); 40] = [
    (1, "db/ident"),
    (2, "db/valueType"),
    (3, "db/cardinality"),
    (4, "db/doc"),
    (5, "db/index"),
    (6, "db/unique"),
    (7, "db/noHistory"),
    (8, "db.install/attribute"),
    (9, "db/txInstant"),
    (10, "db.cardinality/many"),
    (11, "db.cardinality/one"),
    (12, "db.entity/attrs"),
    (13, "db.entity/preds"),
    (14, "db/fn"),
    (15, "db.type/bigdec"),
    (16, "db.type/bigint"),
    (17, "db.type/boolean"),
    (18, "db.type/double"),
    (19, "db.type/double-array"),
    (20, "db.type/float"),
    (21, "db.type/number"),
    (22, "db.type/instant"),
    (23, "db.type/keyword"),
    (24, "db.type/long"),
    (25, "db.type/ref"),
    (26, "db.type/string"),
    (27, "db.type/symbol"),
    (28, "db.type/float-array"),
    (29, "db.type/uuid"),
    (30, "db.type/bytes"),
    (31, "db.type/uri"),
    (32, "db.unique/identity"),
    (33, "db.unique/value"),
    (34, "db/isComponent"),
    (35, "db/tupleType"),
    (36, "db/tupleTypes"),
    (37, "db/tupleAttrs"),
    (38, "db.type/tuple"),
    (53, "db/maxLength"),
    (54, "db.attr/preds"),
];

/// The attributes whose values are entities where attributes are.
const ENUMERATED: [AttrId; 4] = [builtin::VALUE_TYPE, builtin::CARDINALITY, builtin::UNIQUE, builtin::TUPLE_TYPE];

/// The name of one of the engine's entities.
pub(crate) fn ident_of(entity: u64) -> Option<Keyword> {
    ENTITIES.iter().find(|(id, _)| *id == entity).map(|(_, ident)| Keyword::new(ident))
}

/// The entity of the engine with that name.
pub(crate) fn entity_of(ident: Keyword) -> Option<EntityId> {
    ENTITIES.iter().find(|(_, name)| *name == ident.as_str()).map(|(id, _)| EntityId(*id))
}

/// Whether the values of a built-in attribute are entities where attributes are.
pub(crate) fn is_enumerated(a: AttrId) -> bool {
    ENUMERATED.contains(&a)
}

/// The built-in attributes as entities.
pub(super) fn attributes() -> Vec<Attribute> {
    let as_entity = |attribute: Attribute| Attribute {
        entity: entity_of(attribute.ident).map_or(0, |entity| entity.0),
        value_type: if is_enumerated(attribute.id) { Some(ValueType::Ref) } else { attribute.value_type },
        ..attribute
    };
    bootstrap::attributes().into_iter().map(as_entity).collect()
}

/// The facts that a database begins with: the engine's entities, and when it all began.
pub(crate) fn rows(schema: &Schema) -> Vec<Row> {
    let row = |e, a, v| Row { e, a, v, tx: TX0, until: OPEN };
    let named = |name: &str| Value::Ref(entity_of(Keyword::new(name)).unwrap_or(EntityId(0)));
    let mut rows = vec![row(TX0, builtin::TX_INSTANT, Value::Instant(0))];
    for (id, ident) in ENTITIES {
        rows.push(row(id, builtin::IDENT, Value::Keyword(Keyword::new(ident))));
        let Some(attribute) = schema.of_entity(id) else { continue };
        let value_type = attribute.value_type.unwrap_or(ValueType::Keyword).keyword();
        rows.push(row(id, builtin::VALUE_TYPE, named(value_type.as_str())));
        let cardinality = match attribute.cardinality {
            Cardinality::One => "db.cardinality/one",
            Cardinality::Many => "db.cardinality/many",
        };
        rows.push(row(id, builtin::CARDINALITY, named(cardinality)));
        if attribute.unique == Some(Unique::Identity) {
            rows.push(row(id, builtin::UNIQUE, named("db.unique/identity")));
        }
        if attribute.indexed {
            rows.push(row(id, builtin::INDEX, Value::Bool(true)));
        }
        if attribute.no_history {
            rows.push(row(id, builtin::NO_HISTORY, Value::Bool(true)));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_of_the_engine_is_an_entity() {
        assert!(ENTITIES.is_sorted_by(|x, y| x.0 < y.0));
        assert!(ENTITIES.iter().all(|(id, _)| (1..=LAST_SYSTEM_ENTITY).contains(id)));
        let attributes = attributes();
        assert!(attributes.iter().all(|attribute| attribute.entity > 0), "{attributes:?}");
        for keyword in ValueType::keywords() {
            assert!(entity_of(keyword).is_some(), "{keyword}");
        }
        let named = attributes.len() + ValueType::keywords().len() + 4;
        assert_eq!(ENTITIES.len(), named, "attributes, types, cardinalities and kinds of uniqueness");
    }
}
