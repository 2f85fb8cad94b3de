//! Claims: composite tuples that the tx-data tells. They help to find the entity that is meant; the tuples themselves
//! follow from their members, see [`super::composite`].

use super::apply::Change;
use super::check::shorten;
use super::fact::{Context, Fact, What};
use crate::datom::{AttrId, Key, Order, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Attribute, Schema, TupleShape};

use super::probe::Probe;

fn members(attribute: &Attribute) -> Option<&[crate::edn::Keyword]> {
    match &attribute.tuple {
        Some(TupleShape::Composite(members)) => Some(members),
        _ => None,
    }
}

/// What the tx-data says that a composite tuple is.
pub(super) struct Claim {
    e: u64,
    a: AttrId,
    v: Value,
    op: u32,
    /// It names the entity.
    names: bool,
}

/// Takes the facts about composite tuples out of `facts`.
pub(super) fn take(schema: &Schema, facts: &mut Vec<Fact>) -> Vec<Claim> {
    let is_claim = |fact: &Fact| {
        matches!(fact.what, What::Add) && schema.get(fact.a).is_some_and(|attribute| members(attribute).is_some())
    };
    if schema.iter().all(|attribute| members(attribute).is_none()) || !facts.iter().any(is_claim) {
        return Vec::new();
    }
    let (claims, rest): (Vec<Fact>, Vec<Fact>) = std::mem::take(facts).into_iter().partition(is_claim);
    *facts = rest;
    claims
        .into_iter()
        .map(|fact| Claim { e: fact.e, a: fact.a, v: fact.v, op: fact.op, names: fact.identity })
        .collect()
}

/// The tuples must be what their members come to; one that names the entity, or what they were before.
pub(super) fn check(context: Context<'_>, schema: &Schema, claims: &[Claim], changes: &[Change]) -> Result<()> {
    for claim in claims {
        let key = Key { e: Some(claim.e), a: Some(claim.a), ..Key::default() };
        let before = Probe::new(&**context.snapshot.index(Order::Eavt)).first(key)?.map(|row| row.v);
        let said = changes.iter().rev().find(|change| (change.row.e, change.row.a) == (claim.e, claim.a));
        let now = match said {
            Some(change) if change.added => Some(change.row.v.clone()),
            Some(_) => None,
            None => before.clone(),
        };
        let named = claim.names && before.as_ref() == Some(&claim.v);
        if now.as_ref() != Some(&claim.v) && !named {
            let ident = schema.get(claim.a).map(|attribute| attribute.ident.to_string()).unwrap_or_default();
            let now = now.map_or("nothing".to_owned(), |v| shorten(&v));
            let message = format!(
                "{ident} is a composite tuple, which the transactor keeps: its members come to {now}, got {}",
                shorten(&claim.v)
            );
            return Err(context.locate(claim.op, Error::new(ErrorKind::Transact, "transact/schema", message)));
        }
    }
    Ok(())
}
