//! Apply: facts in their order become the rows that begin and end. Facts about one entity and attribute see what those
//! before them left; only the net effect of all goes on.

use std::collections::BTreeMap;

use crate::datom::{AttrId, Key, OPEN, Order, Row, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Attribute, Schema, builtin};

use super::check::shorten;
use super::fact::{Context, Fact, What};
use super::probe::Probe;

/// A row that begins or ends.
#[derive(Debug)]
pub(super) struct Change {
    /// The fact that did it.
    pub fact: u32,
    /// Whether the row begins; else it ends.
    pub added: bool,
    pub row: Row,
}

pub(super) fn apply(context: Context<'_>, schema: &Schema, facts: &mut [Fact]) -> Result<Vec<Change>> {
    // Of several instants that are said the first fact has the last.
    let counts = |i: usize, fact: &Fact| {
        context.keeps(fact) && !matches!(fact.what, What::Mean) && (i == 0 || fact.a != builtin::TX_INSTANT)
    };
    let mut places: Vec<(u64, AttrId, u32)> = facts
        .iter()
        .enumerate()
        .filter(|(i, fact)| counts(*i, fact))
        .map(|(i, fact)| (fact.e, fact.a, i as u32))
        .collect();
    places.sort_unstable();
    let stored = Probe::new(&**context.snapshot.index(Order::Eavt));
    let mut apply = Apply { context, stored, changes: Vec::with_capacity(facts.len()) };
    for group in places.chunk_by(|x, y| (x.0, x.1) == (y.0, y.1)) {
        let (e, a, first) = group[0];
        let is_new = context.is_new(e);
        if let ([_], true, What::Add) = (group, is_new, &facts[first as usize].what) {
            let v = std::mem::replace(&mut facts[first as usize].v, Value::Nil);
            apply.open(first, e, a, v);
            continue;
        }
        let attribute = schema.get(a);
        let many = attribute.is_some_and(|attribute| attribute.is_many());
        if many && group.iter().all(|(.., i)| matches!(facts[*i as usize].what, What::Add | What::Retract)) {
            apply.by_value(e, a, is_new, group, facts)?;
        } else {
            apply.whole(e, a, is_new, attribute.map(|attribute| &**attribute), group, facts)?;
        }
    }
    // As the operations were written, a value that goes before the one that takes its place.
    apply.changes.sort_by(|x, y| {
        let by_fact = (x.fact, x.added, x.row.a).cmp(&(y.fact, y.added, y.row.a));
        by_fact.then_with(|| x.row.v.cmp(&y.row.v))
    });
    Ok(apply.changes)
}

struct Apply<'a> {
    context: Context<'a>,
    stored: Probe<'a>,
    changes: Vec<Change>,
}

/// A value that an entity has while facts are gone through.
struct Held {
    /// The row, where it was there before.
    row: Option<Row>,
    /// The fact that asserted it.
    fact: u32,
}

impl Apply<'_> {
    fn open(&mut self, fact: u32, e: u64, a: AttrId, v: Value) {
        let row = Row { e, a, v, tx: self.context.t, until: OPEN };
        self.changes.push(Change { fact, added: true, row });
    }

    fn close(&mut self, fact: u32, row: Row) {
        self.changes.push(Change { fact, added: false, row });
    }

    /// Additions and retractions of values of an attribute that takes many: each value is by itself.
    fn by_value(
        &mut self,
        e: u64,
        a: AttrId,
        is_new: bool,
        group: &[(u64, AttrId, u32)],
        facts: &mut [Fact],
    ) -> Result<()> {
        let mut places: Vec<usize> = group.iter().map(|(.., i)| *i as usize).collect();
        places.sort_by(|i, j| facts[*i].v.cmp(&facts[*j].v));
        let runs: Vec<(usize, usize)> = places
            .chunk_by(|i, j| facts[*i].v == facts[*j].v)
            .map(|run| {
                let last = run[run.len() - 1];
                // The first of the assertions that stand at the end, or of the retractions.
                let same = |i: &&usize| matches!(facts[**i].what, What::Add) == matches!(facts[last].what, What::Add);
                let first = run.iter().rev().take_while(same).last().copied().unwrap_or(last);
                (first, last)
            })
            .collect();
        for (first, last) in runs {
            let added = matches!(facts[last].what, What::Add);
            let v = std::mem::replace(&mut facts[last].v, Value::Nil);
            let key = || Key { e: Some(e), a: Some(a), v: Some(v.clone()), ..Key::default() };
            let row = if is_new { None } else { self.stored.first(key())? };
            match row {
                None if added => self.open(first as u32, e, a, v),
                Some(row) if !added => self.close(first as u32, row),
                _ => {}
            }
        }
        Ok(())
    }

    /// Any facts about one attribute of an entity, against all the values that it has.
    fn whole(
        &mut self,
        e: u64,
        a: AttrId,
        is_new: bool,
        attribute: Option<&Attribute>,
        group: &[(u64, AttrId, u32)],
        facts: &mut [Fact],
    ) -> Result<()> {
        let key = Key { e: Some(e), a: Some(a), ..Key::default() };
        let rows = if is_new { Vec::new() } else { self.stored.all(key)? };
        let mut held: BTreeMap<Value, Held> =
            rows.into_iter().map(|row| (row.v.clone(), Held { row: Some(row), fact: 0 })).collect();
        // Rows that were there before and are gone, and the fact that took them away.
        let mut closed: BTreeMap<Value, (Row, u32)> = BTreeMap::new();
        let many = attribute.is_some_and(Attribute::is_many);
        let end = |v: Value, gone: Held, fact: u32, closed: &mut BTreeMap<Value, (Row, u32)>| {
            if let Some(row) = gone.row {
                closed.insert(v, (row, fact));
            }
        };
        for (.., i) in group {
            let fact = &mut facts[*i as usize];
            let v = std::mem::replace(&mut fact.v, Value::Nil);
            if let What::Cas(old) = &fact.what {
                expect(attribute, &held, old).map_err(|error| match attribute {
                    Some(attribute) => self.context.locate_value(fact.op, attribute.ident, old, error),
                    None => self.context.locate(fact.op, error),
                })?;
            }
            match fact.what {
                What::Add | What::Cas(_) if held.contains_key(&v) => {}
                What::Add | What::Cas(_) => {
                    if !many {
                        std::mem::take(&mut held).into_iter().for_each(|(v, gone)| end(v, gone, *i, &mut closed));
                    }
                    let row = closed.remove(&v).map(|(row, _)| row);
                    held.insert(v, Held { row, fact: *i });
                }
                What::Retract => {
                    if let Some(gone) = held.remove(&v) {
                        end(v, gone, *i, &mut closed);
                    }
                }
                _ => std::mem::take(&mut held).into_iter().for_each(|(v, gone)| end(v, gone, *i, &mut closed)),
            }
        }
        closed.into_values().for_each(|(row, fact)| self.close(fact, row));
        for (v, Held { fact, .. }) in held.into_iter().filter(|(_, held)| held.row.is_none()) {
            self.open(fact, e, a, v);
        }
        Ok(())
    }
}

/// Most values that a message shows.
const MOST_SHOWN: usize = 5;

/// What compare-and-set asks for.
fn expect(attribute: Option<&Attribute>, held: &BTreeMap<Value, Held>, old: &Value) -> Result<()> {
    let as_expected = match old {
        Value::Nil => held.is_empty(),
        old => held.contains_key(old),
    };
    if as_expected {
        return Ok(());
    }
    let mut got: Vec<_> = held.keys().take(MOST_SHOWN).map(shorten).collect();
    if held.len() > MOST_SHOWN {
        got.push(format!("and {} more", held.len() - MOST_SHOWN));
    }
    let got = if got.is_empty() { "no value".to_owned() } else { got.join(", ") };
    let wanted = if *old == Value::Nil { "no value".to_owned() } else { shorten(old) };
    let ident = attribute.map(|attribute| attribute.ident.to_string()).unwrap_or_default();
    let message = format!("compare-and-set of {ident} expected {wanted}, the entity has {got}");
    Err(Error::new(ErrorKind::Transact, "transact/cas", message))
}
