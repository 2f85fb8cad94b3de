//! What a definition says, and which definitions may follow which.
//!
//! An attribute is defined by ordinary datoms of an entity. [`define`] folds them; [`demands`] says what must hold of
//! the stored facts before one definition can take the place of another.

use std::sync::Arc;

use super::{Attribute, Cardinality, Schema, SchemaFlexibility, TupleShape, Unique, ValueType, builtin, system};
use crate::datom::{AttrId, Value};
use crate::edn::{Keyword, Symbol};
use crate::error::{Error, ErrorKind, Result};

/// The attributes that make an entity with an ident an attribute itself.
const MAKERS: [AttrId; 9] = [
    builtin::VALUE_TYPE,
    builtin::CARDINALITY,
    builtin::INDEX,
    builtin::UNIQUE,
    builtin::NO_HISTORY,
    builtin::IS_COMPONENT,
    builtin::TUPLE_TYPE,
    builtin::TUPLE_TYPES,
    builtin::TUPLE_ATTRS,
];

/// The attributes that can be part of a definition.
pub(crate) fn definition_attributes() -> impl Iterator<Item = AttrId> {
    MAKERS.into_iter().chain([builtin::IDENT, builtin::MAX_LENGTH, builtin::ATTR_PREDS])
}

/// Whether a datom with the attribute can be part of a definition.
pub(crate) fn is_definition(a: AttrId) -> bool {
    definition_attributes().any(|part| part == a)
}

fn makes_attribute(a: AttrId) -> bool {
    MAKERS.contains(&a)
}

/// The ident among the datoms of an entity.
pub(crate) fn ident_of(datoms: &[(AttrId, Value)]) -> Option<Keyword> {
    datoms.iter().find_map(|(a, v)| match v {
        Value::Keyword(ident) if *a == builtin::IDENT => Some(*ident),
        _ => None,
    })
}

/// The attribute that the datoms of an entity define; `None` when the entity is no attribute.
///
/// # Errors
/// `Transact`, `:transact/schema`: a value that means nothing, or a definition with parts missing or at odds.
pub(crate) fn define(
    id: AttrId,
    entity: u64,
    datoms: &[(AttrId, Value)],
    flexibility: SchemaFlexibility,
) -> Result<Option<Attribute>> {
    if !datoms.iter().any(|(a, _)| makes_attribute(*a)) {
        return Ok(None);
    }
    let Some(ident) = ident_of(datoms) else {
        let message = "an entity that defines an attribute needs a :db/ident";
        return Err(refuse(message.to_owned()));
    };
    let mut attribute = Attribute { entity, ..Attribute::undeclared(id, ident) };
    let mut has_cardinality = false;
    for (a, v) in datoms {
        match (*a, v) {
            (builtin::VALUE_TYPE, v) => attribute.value_type = Some(value_type(ident, "db/valueType", v)?),
            (builtin::CARDINALITY, v) => {
                has_cardinality = true;
                attribute.cardinality = match keyword_of(v).map(Keyword::as_str) {
                    Some("db.cardinality/one") => Cardinality::One,
                    Some("db.cardinality/many") => Cardinality::Many,
                    _ => return Err(unknown(ident, "db/cardinality", v, ":db.cardinality/one or /many")),
                };
            }
            (builtin::UNIQUE, v) => {
                attribute.unique = Some(match keyword_of(v).map(Keyword::as_str) {
                    Some("db.unique/identity") => Unique::Identity,
                    Some("db.unique/value") => Unique::Value,
                    _ => return Err(unknown(ident, "db/unique", v, ":db.unique/identity or /value")),
                });
            }
            (builtin::INDEX, Value::Bool(b)) => attribute.indexed = *b,
            (builtin::NO_HISTORY, Value::Bool(b)) => attribute.no_history = *b,
            (builtin::IS_COMPONENT, Value::Bool(b)) => attribute.component = *b,
            (builtin::MAX_LENGTH, Value::Long(n)) => attribute.max_length = Some(max_length(ident, *n)?),
            (builtin::ATTR_PREDS, Value::Symbol(s)) => attribute.preds.push(*s),
            (builtin::ATTR_PREDS, Value::Keyword(k)) => attribute.preds.push(Symbol::new(k.as_str())),
            (builtin::TUPLE_TYPE, v) => {
                attribute.tuple = Some(TupleShape::Homogeneous(value_type(ident, "db/tupleType", v)?));
            }
            (builtin::TUPLE_TYPES, Value::Tuple(members)) => {
                let types = keywords(ident, "db/tupleTypes", members)?.into_iter();
                let types = types.map(|k| value_type(ident, "db/tupleTypes", &k.into()));
                attribute.tuple = Some(TupleShape::Heterogeneous(types.collect::<Result<Arc<[_]>>>()?));
            }
            (builtin::TUPLE_ATTRS, Value::Tuple(members)) => {
                attribute.tuple = Some(TupleShape::Composite(keywords(ident, "db/tupleAttrs", members)?.into()));
            }
            _ => {}
        }
    }
    if flexibility == SchemaFlexibility::Write {
        let missing: Vec<_> =
            [(attribute.value_type.is_none(), ":db/valueType"), (!has_cardinality, ":db/cardinality")]
                .into_iter()
                .filter_map(|(absent, key)| absent.then_some(key))
                .collect();
        if !missing.is_empty() {
            return Err(refuse(format!("the definition of {ident} is incomplete: {} missing", missing.join(" and "))));
        }
    }
    let shapes = [builtin::TUPLE_TYPE, builtin::TUPLE_TYPES, builtin::TUPLE_ATTRS];
    if shapes.iter().filter(|shape| datoms.iter().any(|(a, _)| a == *shape)).count() > 1 {
        return Err(refuse(format!(
            "{ident}: only one of :db/tupleAttrs, :db/tupleTypes and :db/tupleType can be said"
        )));
    }
    check_parts(&attribute)?;
    Ok(Some(attribute))
}

/// The parts of a definition must agree.
fn check_parts(attribute: &Attribute) -> Result<()> {
    let ident = attribute.ident;
    if attribute.component && !attribute.is_ref() {
        return Err(refuse(format!("{ident}: :db/isComponent wants :db/valueType :db.type/ref")));
    }
    let is_tuple = attribute.value_type == Some(ValueType::Tuple);
    if is_tuple != attribute.tuple.is_some() {
        let message = ":db.type/tuple and one of :db/tupleAttrs, :db/tupleTypes, :db/tupleType go together";
        return Err(refuse(format!("{ident}: {message}")));
    }
    let holds_tuples = match &attribute.tuple {
        Some(TupleShape::Heterogeneous(types)) => types.contains(&ValueType::Tuple),
        Some(TupleShape::Homogeneous(value_type)) => *value_type == ValueType::Tuple,
        _ => false,
    };
    if holds_tuples {
        return Err(refuse(format!("{ident}: a tuple cannot be the member of a tuple")));
    }
    if matches!(attribute.tuple, Some(TupleShape::Composite(_))) && attribute.is_many() {
        return Err(refuse(format!("{ident}: a composite tuple (:db/tupleAttrs) has :db.cardinality/one")));
    }
    Ok(())
}

/// The keyword that a value is, or that names the entity of the engine that it is.
fn keyword_of(value: &Value) -> Option<Keyword> {
    match value {
        Value::Keyword(keyword) => Some(*keyword),
        Value::Ref(id) => system::ident_of(id.0),
        Value::Long(n) => system::ident_of(u64::try_from(*n).ok()?),
        _ => None,
    }
}

fn value_type(ident: Keyword, key: &str, value: &Value) -> Result<ValueType> {
    keyword_of(value).and_then(ValueType::from_keyword).ok_or_else(|| {
        let known: Vec<_> = ValueType::keywords().iter().map(Keyword::to_string).collect();
        unknown(ident, key, value, &format!("one of {}", known.join(" ")))
    })
}

fn max_length(ident: Keyword, n: i64) -> Result<u32> {
    u32::try_from(n).map_err(|_| refuse(format!("{ident}: :db/maxLength wants 0 to {}, got {n}", u32::MAX)))
}

fn keywords(ident: Keyword, key: &str, members: &[Value]) -> Result<Vec<Keyword>> {
    let keyword = |v: &Value| match v {
        Value::Keyword(k) => Ok(*k),
        other => Err(refuse(format!("{ident}: :{key} wants a vector of keywords, got the member {other:?}"))),
    };
    if members.is_empty() {
        return Err(refuse(format!("{ident}: :{key} wants at least one member")));
    }
    members.iter().map(keyword).collect()
}

fn unknown(ident: Keyword, key: &str, got: &Value, wanted: &str) -> Error {
    refuse(format!("{ident}: :{key} wants {wanted}, got {got:?}"))
}

fn refuse(message: String) -> Error {
    Error::new(ErrorKind::Transact, "transact/schema", message)
}

/// Whether the ident is the engine's: one in the namespaces `db` and `db.*`.
pub(crate) fn is_reserved(ident: Keyword) -> bool {
    ident.namespace().is_some_and(|ns| ns == "db" || ns.starts_with("db."))
}

/// Refuses idents that users cannot have.
///
/// # Errors
/// `Transact`, `:transact/schema`: namespaces `db` and `db.*` are the engine's, a leading underscore means a reverse
/// attribute.
pub(crate) fn check_ident(ident: Keyword) -> Result<()> {
    if is_reserved(ident) {
        return Err(refuse(format!("the ident {ident} is refused: the namespaces db and db.* are reserved")));
    }
    if ident.name().starts_with('_') {
        return Err(refuse(format!("the ident {ident} is refused: a leading underscore means a reverse attribute")));
    }
    Ok(())
}

/// Refuses a bound for the length of values that have none.
///
/// # Errors
/// `Transact`, `:transact/schema`.
pub(crate) fn check_max_length(attribute: &Attribute) -> Result<()> {
    use ValueType as T;
    let has_length = match attribute.value_type {
        None => true,
        Some(t) => matches!(t, T::String | T::Uri | T::Bytes | T::FloatArray | T::DoubleArray | T::Tuple),
    };
    if has_length || attribute.max_length.is_none() {
        return Ok(());
    }
    let ident = attribute.ident;
    let message = ":db/maxLength is for strings, uris, bytes, arrays and tuples, whose values have a length";
    Err(refuse(format!("{ident}: {message}")))
}

/// What must hold of the facts of an attribute, after the transaction, for its definition to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// There are none, in history neither. Carries what is changed.
    NoFacts(&'static str),
    /// No entity has more than one value.
    SingleValues,
    /// No two entities have the same value.
    DistinctValues,
}

/// What a change of definition demands. `new` is `None` when the definition goes.
///
/// # Errors
/// `Transact`, `:transact/schema`, for what is never allowed.
pub(crate) fn demands(old: &Attribute, new: Option<&Attribute>, attribute_refs: bool) -> Result<Vec<Demand>> {
    let Some(new) = new else { return Ok(vec![Demand::NoFacts("its definition cannot be retracted")]) };
    let ident = new.ident;
    let mut demands = Vec::new();
    if old.ident != new.ident && !attribute_refs {
        demands.push(Demand::NoFacts("it cannot be renamed"));
    }
    if old.value_type != new.value_type {
        demands.push(Demand::NoFacts(":db/valueType cannot change"));
    }
    if old.tuple != new.tuple {
        demands.push(Demand::NoFacts("the members of the tuple cannot change"));
    }
    if old.max_length != new.max_length {
        check_max_length(new)?;
    }
    match (old.cardinality, new.cardinality) {
        (Cardinality::One, Cardinality::Many) if new.unique.is_some() && old.entity != 0 => {
            let message = format!(
                "{ident}: :db/cardinality of a unique attribute cannot become many; define another attribute for that"
            );
            return Err(refuse(message));
        }
        (Cardinality::Many, Cardinality::One) => demands.push(Demand::SingleValues),
        _ => {}
    }
    if old.indexed && !new.indexed {
        return Err(refuse(format!("{ident}: :db/index cannot be switched off; queries may count on it")));
    }
    if old.unique.is_some() && new.unique.is_none() {
        let message = ":db/unique cannot be taken back, only changed between :db.unique/identity and /value";
        return Err(refuse(format!("{ident}: {message}")));
    }
    if old.unique.is_none() && new.unique.is_some() {
        demands.push(Demand::DistinctValues);
    }
    Ok(demands)
}

impl Schema {
    /// All attributes, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Attribute>> {
        self.by_id.values()
    }

    /// Takes out an attribute. Its number is not given again.
    pub(crate) fn remove(&mut self, id: AttrId) {
        if let Some(old) = self.by_id.remove(&id) {
            self.by_ident.remove(&old.ident);
            self.by_entity.remove(&old.entity);
        }
    }

    /// Gives an undeclared attribute its number.
    pub(crate) fn intern(&mut self, ident: Keyword) -> AttrId {
        let id = self.next;
        self.put(Attribute::undeclared(id, ident));
        id
    }
}
