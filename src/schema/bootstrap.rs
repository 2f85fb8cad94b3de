//! The attributes that every database has, with the same numbers everywhere and for ever.

use super::{Attribute, Cardinality, Unique, ValueType};
use crate::datom::AttrId;
use crate::edn::Keyword;

/// The number of the first attribute that is not built in.
pub const FIRST_USER_ATTRIBUTE: AttrId = AttrId(256);

/// Numbers of the built-in attributes that the engine itself looks for. Stored; append only.
pub mod builtin {
    use crate::datom::AttrId;

    /// `:db/ident`
    pub const IDENT: AttrId = AttrId(1);
    /// `:db/valueType`
    pub const VALUE_TYPE: AttrId = AttrId(2);
    /// `:db/cardinality`
    pub const CARDINALITY: AttrId = AttrId(3);
    /// `:db/doc`
    pub const DOC: AttrId = AttrId(4);
    /// `:db/index`
    pub const INDEX: AttrId = AttrId(5);
    /// `:db/unique`
    pub const UNIQUE: AttrId = AttrId(6);
    /// `:db/noHistory`
    pub const NO_HISTORY: AttrId = AttrId(7);
    /// `:db.install/attribute`
    pub const INSTALL_ATTRIBUTE: AttrId = AttrId(8);
    /// `:db/txInstant`
    pub const TX_INSTANT: AttrId = AttrId(9);
    /// `:db/isComponent`
    pub const IS_COMPONENT: AttrId = AttrId(10);
    /// `:db/tupleType`
    pub const TUPLE_TYPE: AttrId = AttrId(11);
    /// `:db/tupleTypes`
    pub const TUPLE_TYPES: AttrId = AttrId(12);
    /// `:db/tupleAttrs`
    pub const TUPLE_ATTRS: AttrId = AttrId(13);
    /// `:db/maxLength`
    pub const MAX_LENGTH: AttrId = AttrId(14);
    /// `:db.attr/preds`
    pub const ATTR_PREDS: AttrId = AttrId(15);
    /// `:db.entity/attrs`
    pub const ENTITY_ATTRS: AttrId = AttrId(16);
    /// `:db.entity/preds`
    pub const ENTITY_PREDS: AttrId = AttrId(17);
    /// `:db/fn`, the registered name of an installed transaction function
    pub const FN: AttrId = AttrId(18);
}

pub(super) fn attributes() -> Vec<Attribute> {
    use Cardinality::{Many, One};
    use ValueType::{Boolean, Instant, Keyword as Kw, Long, Ref, String, Symbol, Tuple};
    let declared = [
        (builtin::IDENT, "db/ident", Kw, One),
        (builtin::VALUE_TYPE, "db/valueType", Kw, One),
        (builtin::CARDINALITY, "db/cardinality", Kw, One),
        (builtin::DOC, "db/doc", String, One),
        (builtin::INDEX, "db/index", Boolean, One),
        (builtin::UNIQUE, "db/unique", Kw, One),
        (builtin::NO_HISTORY, "db/noHistory", Boolean, One),
        (builtin::INSTALL_ATTRIBUTE, "db.install/attribute", Ref, Many),
        (builtin::TX_INSTANT, "db/txInstant", Instant, One),
        (builtin::IS_COMPONENT, "db/isComponent", Boolean, One),
        (builtin::TUPLE_TYPE, "db/tupleType", Kw, One),
        (builtin::TUPLE_TYPES, "db/tupleTypes", Tuple, One),
        (builtin::TUPLE_ATTRS, "db/tupleAttrs", Tuple, One),
        (builtin::MAX_LENGTH, "db/maxLength", Long, One),
        (builtin::ATTR_PREDS, "db.attr/preds", Symbol, Many),
        (builtin::ENTITY_ATTRS, "db.entity/attrs", Kw, Many),
        (builtin::ENTITY_PREDS, "db.entity/preds", Symbol, Many),
        (builtin::FN, "db/fn", Symbol, One),
    ];
    let attribute = |(id, ident, value_type, cardinality)| Attribute {
        value_type: Some(value_type),
        cardinality,
        unique: (id == builtin::IDENT).then_some(Unique::Identity),
        // Dates are resolved to transactions through AVET.
        indexed: id == builtin::TX_INSTANT,
        no_history: id == builtin::TX_INSTANT,
        ..Attribute::undeclared(id, Keyword::new(ident))
    };
    declared.into_iter().map(attribute).collect()
}
