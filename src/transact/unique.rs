//! Uniqueness: after the transaction no value of a unique attribute belongs to two entities.

use hashbrown::HashSet;

use crate::datom::{AttrId, Key, Order};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Schema, Unique};

use super::apply::Change;
use super::check::shorten;
use super::fact::{Context, Fact};
use super::probe::Probe;

/// `sole` says of facts that nobody else can have their value; it may be empty.
pub(super) fn check(
    context: Context<'_>,
    schema: &Schema,
    facts: &[Fact],
    sole: &[bool],
    changes: &[Change],
) -> Result<()> {
    let is_unique = |a: AttrId| schema.get(a).is_some_and(|attribute| attribute.unique.is_some());
    let added = || changes.iter().filter(|change| change.added);
    let is_sole = |change: &Change| {
        let fact = change.fact as usize;
        sole.get(fact).copied().unwrap_or(false) && facts[fact].a == change.row.a
    };
    let open: HashSet<AttrId> =
        added().filter(|change| !is_sole(change) && is_unique(change.row.a)).map(|change| change.row.a).collect();
    if open.is_empty() {
        return Ok(());
    }
    let mut claims: Vec<&Change> = added().filter(|change| open.contains(&change.row.a)).collect();
    claims.sort_by(|x, y| x.row.a.cmp(&y.row.a).then_with(|| x.row.v.cmp(&y.row.v)));
    let gone: HashSet<(u64, AttrId, &crate::datom::Value)> = changes
        .iter()
        .filter(|change| !change.added && open.contains(&change.row.a))
        .map(|change| (change.row.e, change.row.a, &change.row.v))
        .collect();
    let mut probe = Probe::new(&**context.snapshot.index(Order::Avet));
    for group in claims.chunk_by(|x, y| x.row.a == y.row.a && x.row.v == y.row.v) {
        let [first, rest @ ..] = group else { continue };
        if let Some(second) = rest.first() {
            return Err(clash(context, schema, facts, second, first.row.e));
        }
        let key = Key { a: Some(first.row.a), v: Some(first.row.v.clone()), ..Key::default() };
        let holder = probe.find(key)?.map(|(columns, i)| columns.e.get(i)).filter(|e| *e != first.row.e);
        if let Some(e) = holder.filter(|e| !gone.contains(&(*e, first.row.a, &first.row.v))) {
            return Err(clash(context, schema, facts, first, e));
        }
    }
    Ok(())
}

fn clash(context: Context<'_>, schema: &Schema, facts: &[Fact], change: &Change, holder: u64) -> Error {
    let fact = &facts[change.fact as usize];
    let attribute = schema.get(change.row.a);
    let ident = attribute.map(|attribute| attribute.ident.to_string()).unwrap_or_default();
    let (e, v) = (change.row.e, shorten(&change.row.v));
    // A map with an id and an identity value names its entity twice.
    let is_upsert = fact.map && attribute.is_some_and(|attribute| attribute.unique == Some(Unique::Identity));
    let (code, message) = if is_upsert {
        (
            "transact/upsert",
            format!("conflicting upsert: [{ident} {v}] belongs to entity {holder}, the map is about {e}"),
        )
    } else {
        ("transact/unique", format!("{ident} is unique: entity {e} cannot have {v}, which belongs to entity {holder}"))
    };
    let error = Error::new(ErrorKind::Transact, code, message);
    match attribute {
        Some(attribute) => context.locate_value(fact.op, attribute.ident, &change.row.v, error),
        None => context.locate(fact.op, error),
    }
}
