//! One attribute.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::datom::{AttrId, ValueKind};
use crate::edn::Keyword;

/// What a database knows of an attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its number inside the database.
    pub id: AttrId,
    /// Its name.
    pub ident: Keyword,
    /// The entity whose datoms define it; 0 for a built-in attribute and for one that nothing defines.
    pub entity: u64,
    /// The type of its values; `None` where any will do (`:schema-flexibility :read`).
    pub value_type: Option<ValueType>,
    /// One value for an entity, or a set of them.
    pub cardinality: Cardinality,
    /// Whether a value belongs to one entity only.
    pub unique: Option<Unique>,
    /// Whether `:db/index` is set.
    pub indexed: bool,
    /// Whether the entities it refers to belong to the one that refers.
    pub component: bool,
    /// Whether replaced and retracted values are forgotten.
    pub no_history: bool,
    /// The members of a tuple.
    pub tuple: Option<TupleShape>,
    /// Most characters, bytes or array elements of a value.
    pub max_length: Option<u32>,
    /// Names of the predicates that every value must pass.
    pub preds: Vec<crate::edn::Symbol>,
}

impl Attribute {
    /// An attribute without any declaration: any type, one value.
    pub fn undeclared(id: AttrId, ident: Keyword) -> Attribute {
        Attribute {
            id,
            ident,
            entity: 0,
            value_type: None,
            cardinality: Cardinality::One,
            unique: None,
            indexed: false,
            component: false,
            no_history: false,
            tuple: None,
            max_length: None,
            preds: Vec::new(),
        }
    }

    /// Whether AVET holds it: indexed, unique and ref attributes are there.
    pub fn in_avet(&self) -> bool {
        self.indexed || self.unique.is_some() || self.is_ref()
    }

    /// Whether its values are entities.
    pub fn is_ref(&self) -> bool {
        self.value_type == Some(ValueType::Ref)
    }

    /// Whether all its values are of one kind of [`Value`](crate::Value).
    pub(crate) fn has_one_kind(&self) -> bool {
        self.value_type.and_then(ValueType::kind).is_some()
    }

    /// Whether its values are tuples that hold entities, by their types.
    pub(crate) fn has_refs(&self) -> bool {
        match &self.tuple {
            Some(TupleShape::Heterogeneous(types)) => types.contains(&ValueType::Ref),
            Some(TupleShape::Homogeneous(value_type)) => *value_type == ValueType::Ref,
            _ => false,
        }
    }

    /// Whether an entity can have several values.
    pub fn is_many(&self) -> bool {
        self.cardinality == Cardinality::Many
    }

    /// Whether it is part of every database.
    pub fn is_builtin(&self) -> bool {
        self.id < super::FIRST_USER_ATTRIBUTE
    }
}

/// `:db/cardinality`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cardinality {
    /// `:db.cardinality/one`
    One,
    /// `:db.cardinality/many`
    Many,
}

/// `:db/unique`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unique {
    /// `:db.unique/identity`: an entity map with a known value means the entity that has it.
    Identity,
    /// `:db.unique/value`: a second entity with the value is an error.
    Value,
}

/// The members of a `:db.type/tuple` attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum TupleShape {
    /// `:db/tupleAttrs`: kept by the transactor from other attributes of the entity.
    Composite(Arc<[Keyword]>),
    /// `:db/tupleTypes`: a fixed number of members, each with its type.
    Heterogeneous(Arc<[ValueType]>),
    /// `:db/tupleType`: up to eight members of one type.
    Homogeneous(ValueType),
}

impl TupleShape {
    /// The type of a member, where the tuple itself says it.
    pub(crate) fn member(&self, i: usize) -> Option<ValueType> {
        match self {
            TupleShape::Heterogeneous(types) => types.get(i).copied(),
            TupleShape::Homogeneous(value_type) => Some(*value_type),
            TupleShape::Composite(_) => None,
        }
    }
}

/// `:db/valueType`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are named as their keywords")]
pub enum ValueType {
    BigDec,
    BigInt,
    Boolean,
    Bytes,
    Double,
    DoubleArray,
    Float,
    FloatArray,
    Instant,
    Keyword,
    Long,
    Number,
    Ref,
    String,
    Symbol,
    Tuple,
    Uri,
    Uuid,
}

const TYPES: [(ValueType, &str, Option<ValueKind>); 18] = [
    (ValueType::BigDec, "db.type/bigdec", Some(ValueKind::BigDec)),
    (ValueType::BigInt, "db.type/bigint", Some(ValueKind::BigInt)),
    (ValueType::Boolean, "db.type/boolean", Some(ValueKind::Bool)),
    (ValueType::Bytes, "db.type/bytes", Some(ValueKind::Bytes)),
    (ValueType::Double, "db.type/double", Some(ValueKind::Double)),
    (ValueType::DoubleArray, "db.type/double-array", Some(ValueKind::DoubleArray)),
    (ValueType::Float, "db.type/float", Some(ValueKind::Float)),
    (ValueType::FloatArray, "db.type/float-array", Some(ValueKind::FloatArray)),
    (ValueType::Instant, "db.type/instant", Some(ValueKind::Instant)),
    (ValueType::Keyword, "db.type/keyword", Some(ValueKind::Keyword)),
    (ValueType::Long, "db.type/long", Some(ValueKind::Long)),
    (ValueType::Number, "db.type/number", None),
    (ValueType::Ref, "db.type/ref", Some(ValueKind::Ref)),
    (ValueType::String, "db.type/string", Some(ValueKind::Str)),
    (ValueType::Symbol, "db.type/symbol", Some(ValueKind::Symbol)),
    (ValueType::Tuple, "db.type/tuple", Some(ValueKind::Tuple)),
    (ValueType::Uri, "db.type/uri", Some(ValueKind::Uri)),
    (ValueType::Uuid, "db.type/uuid", Some(ValueKind::Uuid)),
];

impl ValueType {
    /// The type that `:db/valueType` names with this keyword.
    pub fn from_keyword(keyword: Keyword) -> Option<ValueType> {
        TYPES.iter().find(|(_, name, _)| *name == keyword.as_str()).map(|(t, ..)| *t)
    }

    /// The keyword of the type.
    pub fn keyword(self) -> Keyword {
        let name = TYPES.iter().find(|(t, ..)| *t == self).map_or("", |(_, name, _)| name);
        Keyword::new(name)
    }

    /// The type whose values have that kind; `None` for kinds that no datom holds.
    pub fn of_kind(kind: ValueKind) -> Option<ValueType> {
        TYPES.iter().find(|(.., k)| *k == Some(kind)).map(|(t, ..)| *t)
    }

    /// The keywords of all types.
    pub fn keywords() -> Vec<Keyword> {
        TYPES.iter().map(|(_, name, _)| Keyword::new(name)).collect()
    }

    /// The one kind that stored values of the type have; `None` for `:db.type/number`, which has several.
    pub fn kind(self) -> Option<ValueKind> {
        TYPES.iter().find(|(t, ..)| *t == self).and_then(|(.., kind)| *kind)
    }
}
