//! The schema that a transaction leaves, and whether it may follow the one before.

use std::collections::BTreeSet;

use treering::Value;
use treering::edn::Keyword;

use super::base::{Attribute, Base, Facts, Refused, Row, SCHEMA, Schema, kw, schema_of};
use super::expand::Expanded;
use super::read::check_ident;

/// Whether a bound of the length is for an attribute whose values have one.
fn has_length(attribute: &Attribute) -> bool {
    const TYPES: [&str; 6] = ["string", "uri", "bytes", "float-array", "double-array", "tuple"];
    attribute.max_length.is_none() || attribute.value_type.as_deref().is_none_or(|name| TYPES.contains(&name))
}

/// The schema that the facts at the end define, and that makes sense by itself.
pub fn derive(base: &Base, expanded: &Expanded, facts: &Facts) -> Result<Schema, Refused> {
    let defined = schema_of(facts, &BTreeSet::new(), base.write)?;
    let renamed: BTreeSet<Keyword> = base
        .schema
        .iter()
        .filter(|(name, old)| old.entity != 0 && defined.iter().any(|(new, a)| a.entity == old.entity && new != *name))
        .map(|(name, _)| *name)
        .collect();
    // With `:read`, what was used or defined stays known by its name.
    let mut used = expanded.used.clone();
    if !base.write {
        used.extend(
            base.schema.iter().filter(|(name, a)| a.entity != 0 && !renamed.contains(name)).map(|(name, _)| *name),
        );
        used.extend(expanded.schema.keys().filter(|name| !base.schema.contains_key(name)));
    }
    // A name that is known already cannot be given to another attribute.
    let takes = |(name, new): (&Keyword, &Attribute)| {
        used.contains(name)
            && base.schema.iter().any(|(was, old)| was != name && old.entity != 0 && old.entity == new.entity)
    };
    if defined.iter().any(takes) {
        return Err(SCHEMA);
    }
    let after = schema_of(facts, &used, base.write)?;
    let (before, ident) = (base.facts(), kw("db/ident"));
    for (_, _, v) in facts.iter().filter(|f| f.1 == ident && !before.contains(*f)) {
        if let Value::Keyword(ident) = v {
            check_ident(*ident)?;
        }
    }
    let is_new = |(name, made): &(&Keyword, &Attribute)| match base.schema.get(name) {
        None => true,
        Some(old) => base.refs && old.entity != made.entity,
    };
    for (name, made) in after.iter().filter(is_new) {
        let renames = base.schema.values().any(|old| old.entity != 0 && old.entity == made.entity);
        // What the tx-data defines anew is a new attribute.
        if renames && !base.schema.contains_key(name) && expanded.schema.contains_key(name) {
            return Err(SCHEMA);
        }
        if !renames && !has_length(made) {
            return Err(SCHEMA);
        }
        if !renames && expanded.schema.get(name).is_some_and(|worked| worked.shape() != made.shape()) {
            return Err(SCHEMA);
        }
    }
    if base.write && expanded.schema.keys().any(|name| !base.schema.contains_key(name) && !after.contains_key(name)) {
        return Err(SCHEMA);
    }
    for attribute in after.values() {
        for member in attribute.members().unwrap_or_default() {
            if after.get(member).is_some_and(|m| m.many || m.is("tuple")) {
                return Err(SCHEMA);
            }
        }
    }
    Ok(after)
}

/// Whether the schema may follow the one before. What defined the attributes in `undefined` was purged: what is said
/// after that defines others.
pub fn check_change(
    base: &Base,
    undefined: &BTreeSet<Keyword>,
    after: &Schema,
    facts: &Facts,
    rows: &[Row],
) -> Result<(), Refused> {
    let is_used = |a: Keyword| rows.iter().any(|row| row.a == a);
    for (name, old) in &base.schema {
        if base.write && undefined.contains(name) {
            if rows.iter().any(|row| row.a == *name && row.tx <= base.basis) {
                return Err(SCHEMA);
            }
            continue;
        }
        let is_same = |new: &Attribute| old.entity != 0 && new.entity == old.entity && !undefined.contains(name);
        let by_entity = after.iter().find(|(_, new)| is_same(new));
        let by_name = || after.get_key_value(name).filter(|_| old.entity == 0 || !base.write);
        let Some((new_name, new)) = by_entity.or_else(by_name) else {
            if is_used(*name) {
                return Err(SCHEMA);
            }
            continue;
        };
        if old.max_length != new.max_length && !has_length(new) {
            return Err(SCHEMA);
        }
        let of_it = |of: &Attribute| of.members().is_some_and(|members| members.contains(name));
        if new_name != name && after.values().any(of_it) {
            return Err(SCHEMA);
        }
        let reshaped = (new_name != name && !base.refs) || old.value_type != new.value_type || old.tuple != new.tuple;
        if reshaped && (is_used(*name) || (!base.refs && is_used(*new_name))) {
            return Err(SCHEMA);
        }
        if (!old.many && new.many && new.unique.is_some() && old.entity != 0)
            || (old.index && !new.index)
            || (old.unique.is_some() && new.unique.is_none())
        {
            return Err(SCHEMA);
        }
        let held: Vec<_> = facts.iter().filter(|f| f.1 == if base.refs { *name } else { *new_name }).collect();
        if old.many && !new.many && held.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(SCHEMA);
        }
        let values: BTreeSet<_> = held.iter().map(|f| &f.2).collect();
        if old.unique.is_none() && new.unique.is_some() && values.len() < held.len() {
            return Err("transact/unique");
        }
    }
    Ok(())
}
