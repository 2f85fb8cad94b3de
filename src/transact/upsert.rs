//! Upsert: tempids find the entities that they mean. A tempid with a value of an identity attribute means the entity
//! that has the value in the database before the transaction; else all tempids with that value mean one new entity. A
//! value may be a tempid itself, so this goes on until nothing more is found.

use hashbrown::HashMap;

use crate::datom::{AttrId, Key, Order, Value};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Schema;

use super::check::shorten;
use super::fact::{Context, Fact, TEMP, Temps};
use super::probe::Probe;

/// What each tempid means: an id, or another tempid of the same entity; itself when it means a new entity.
pub(super) struct Bindings {
    parents: Vec<u64>,
    /// For each fact, whether its value is known to belong to no other entity, before the transaction or in it.
    pub sole: Vec<bool>,
}

impl Bindings {
    /// The id, or the tempid that stands for all of the same entity.
    pub fn find(&self, mut slot: u64) -> u64 {
        while slot & TEMP != 0 {
            let parent = self.parents[(slot & !TEMP) as usize];
            if parent == slot {
                break;
            }
            slot = parent;
        }
        slot
    }

    /// Makes two places one entity. Answers whether that is news, or the two entities that they are already.
    fn unify(&mut self, x: u64, y: u64) -> std::result::Result<bool, (u64, u64)> {
        let (x, y) = (self.find(x), self.find(y));
        if x == y {
            return Ok(false);
        }
        // Ids are smaller than tempids, and of two tempids the first stands for both.
        let (low, high) = (x.min(y), x.max(y));
        if high & TEMP == 0 {
            return Err((x, y));
        }
        self.parents[(high & !TEMP) as usize] = low;
        Ok(true)
    }
}

struct Upsert<'a> {
    context: Context<'a>,
    schema: &'a Schema,
    facts: &'a [Fact],
    temps: &'a Temps,
    bindings: Bindings,
}

pub(super) fn upsert(context: Context<'_>, schema: &Schema, facts: &[Fact], temps: &Temps) -> Result<Bindings> {
    let parents = (0..temps.names.len() as u64).map(|n| TEMP | n).collect();
    let bindings = Bindings { parents, sole: Vec::new() };
    let mut claims: Vec<usize> = (0..facts.len()).filter(|i| facts[*i].identity).collect();
    if claims.iter().all(|i| facts[*i].e & TEMP == 0) {
        return Ok(bindings);
    }
    let mut upsert = Upsert { context, schema, facts, temps, bindings };
    upsert.bindings.sole = vec![false; facts.len()];
    let late: Vec<usize> = claims.iter().copied().filter(|i| has_temp_value(&facts[*i])).collect();
    claims.retain(|i| !has_temp_value(&facts[*i]));
    upsert.settle(&mut claims)?;
    if !late.is_empty() {
        upsert.settle_late(&claims, &late)?;
    }
    Ok(upsert.bindings)
}

fn has_temp_value(fact: &Fact) -> bool {
    matches!(fact.v, Value::Ref(id) if id.0 & TEMP != 0)
}

impl Upsert<'_> {
    /// Claims on values that are known.
    fn settle(&mut self, claims: &mut [usize]) -> Result<()> {
        let facts = self.facts;
        claims.sort_by(|i, j| facts[*i].a.cmp(&facts[*j].a).then_with(|| facts[*i].v.cmp(&facts[*j].v)));
        let mut probe = Probe::new(&**self.context.snapshot.index(Order::Avet));
        for group in claims.chunk_by(|i, j| facts[*i].a == facts[*j].a && facts[*i].v == facts[*j].v) {
            let fact = &facts[group[0]];
            let key = Key { a: Some(fact.a), v: Some(fact.v.clone()), ..Key::default() };
            match probe.first(&key)? {
                Some(row) => {
                    for i in group.iter().filter(|i| facts[**i].e & TEMP != 0) {
                        self.unify(*i, row.e, &fact.v)?;
                    }
                }
                None => {
                    let named = group.iter().map(|i| facts[*i].e).filter(|e| e & TEMP == 0);
                    let holder = named.min().unwrap_or(fact.e);
                    for i in group {
                        // Two ids with one value are left to the check of uniqueness.
                        if facts[*i].e & TEMP != 0 {
                            self.unify(*i, holder, &fact.v)?;
                        }
                    }
                    let sole = group.iter().all(|i| facts[*i].e & TEMP != 0 || facts[*i].e == holder);
                    group.iter().for_each(|i| self.bindings.sole[*i] = sole);
                }
            }
        }
        Ok(())
    }

    /// Claims on values that are tempids.
    fn settle_late(&mut self, settled: &[usize], late: &[usize]) -> Result<()> {
        let facts = self.facts;
        let mut changed = true;
        while changed {
            changed = false;
            let mut holders: HashMap<(AttrId, u64), u64> = HashMap::new();
            for i in settled {
                if let Value::Ref(id) = facts[*i].v {
                    holders.insert((facts[*i].a, id.0), facts[*i].e);
                }
            }
            for i in late {
                let Value::Ref(target) = facts[*i].v else { continue };
                let target = self.bindings.find(target.0);
                let v = Value::Ref(crate::datom::EntityId(target));
                if target & TEMP == 0 && facts[*i].e & TEMP != 0 {
                    let key = Key { a: Some(facts[*i].a), v: Some(v.clone()), ..Key::default() };
                    if let Some(id) = super::resolve::holder(self.context.snapshot, key)? {
                        changed |= self.unify(*i, id, &v)?;
                        continue;
                    }
                }
                let holder = *holders.entry((facts[*i].a, target)).or_insert(facts[*i].e);
                if (holder | facts[*i].e) & TEMP != 0 {
                    changed |= self.unify(*i, holder, &v)?;
                }
            }
        }
        Ok(())
    }

    fn unify(&mut self, claim: usize, other: u64, v: &Value) -> Result<bool> {
        let fact = &self.facts[claim];
        self.bindings.unify(fact.e, other).map_err(|(x, y)| {
            let attribute = self.schema.get(fact.a).map_or(Keyword::new("?"), |a| a.ident);
            let message = format!(
                "conflicting upsert: {} means entity {x}, and entity {y} by [{attribute} {}]",
                self.temps.describe(fact.e),
                shorten(v)
            );
            self.context.locate(fact.op, Error::new(ErrorKind::Transact, "transact/upsert", message))
        })
    }
}
