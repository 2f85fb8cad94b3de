//! Upsert: tempids find the entities that they mean. A tempid with a value of an identity attribute means the entity
//! that has the value in the database before the transaction; else all tempids with that value mean one new entity. The
//! value of a composite tuple counts where all its members are asserted. A value may be a tempid itself or have one as a
//! member, so this goes on until nothing more is found.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use crate::datom::{AttrId, EntityId, Key, Order, Value, rank};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Schema, TupleShape, Unique};

use super::check::shorten;
use super::fact::{Context, Fact, TEMP, Temps, What, has_temp};
use super::probe::Probe;
use super::resolve::holder;

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

    /// The value with what is known of the tempids in it.
    fn bind(&self, v: &Value) -> Value {
        match v {
            Value::Ref(id) => Value::Ref(EntityId(self.find(id.0))),
            Value::Tuple(members) if has_temp(v) => Value::Tuple(members.iter().map(|v| self.bind(v)).collect()),
            v => v.clone(),
        }
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

/// That an entity has a value of an identity attribute.
struct Claim {
    /// The fact that says so; where there are several, one about a tempid if there is one.
    fact: usize,
    a: AttrId,
    v: Value,
}

pub(super) fn upsert(context: Context<'_>, schema: &Schema, facts: &[Fact], temps: &Temps) -> Result<Bindings> {
    let parents = (0..temps.names.len() as u64).map(|n| TEMP | n).collect();
    let bindings = Bindings { parents, sole: Vec::new() };
    let mut claims: Vec<usize> = (0..facts.len()).filter(|i| facts[*i].identity).collect();
    let composites = Composites::of(schema, facts);
    if composites.facts.is_empty() && claims.iter().all(|i| facts[*i].e & TEMP == 0) {
        return Ok(bindings);
    }
    let mut upsert = Upsert { context, schema, facts, temps, bindings };
    upsert.bindings.sole = vec![false; facts.len()];
    let late: Vec<usize> = claims.iter().copied().filter(|i| has_temp(&facts[*i].v)).collect();
    claims.retain(|i| !has_temp(&facts[*i].v));
    upsert.settle(&mut claims)?;
    if !late.is_empty() || !composites.facts.is_empty() {
        upsert.settle_late(&claims, &late, &composites)?;
    }
    Ok(upsert.bindings)
}

/// The composite tuples that are identities, and the facts about their members.
struct Composites {
    /// Each with its members.
    tuples: Vec<(AttrId, Vec<AttrId>)>,
    /// Empty where no member is asserted of a tempid.
    facts: Vec<usize>,
}

impl Composites {
    fn of(schema: &Schema, facts: &[Fact]) -> Composites {
        let mut tuples: Vec<(AttrId, Vec<AttrId>)> = Vec::new();
        for attribute in schema.iter().filter(|attribute| attribute.unique == Some(Unique::Identity)) {
            let Some(TupleShape::Composite(idents)) = &attribute.tuple else { continue };
            let members: Option<Vec<AttrId>> = idents.iter().map(|ident| Some(schema.attribute(*ident)?.id)).collect();
            tuples.extend(members.map(|members| (attribute.id, members)));
        }
        tuples.sort_unstable();
        let members: BTreeSet<AttrId> = tuples.iter().flat_map(|(_, members)| members).copied().collect();
        let is_member = |i: &usize| matches!(facts[*i].what, What::Add) && members.contains(&facts[*i].a);
        let mut of_members: Vec<usize> = if members.is_empty() { Vec::new() } else { (0..facts.len()).collect() };
        of_members.retain(is_member);
        if of_members.iter().all(|i| facts[*i].e & TEMP == 0) {
            of_members.clear();
        }
        Composites { tuples, facts: of_members }
    }

    /// The values of tuples whose members are all asserted, the last of each, as far as tempids are known.
    fn claims(&self, facts: &[Fact], bindings: &Bindings) -> Vec<Claim> {
        let mut said: BTreeMap<u64, BTreeMap<AttrId, usize>> = BTreeMap::new();
        for i in &self.facts {
            said.entry(bindings.find(facts[*i].e)).or_default().insert(facts[*i].a, *i);
        }
        let mut claims = Vec::new();
        for of_entity in said.values() {
            for (a, members) in &self.tuples {
                let places: Option<Vec<usize>> = members.iter().map(|member| of_entity.get(member).copied()).collect();
                let Some(places) = places else { continue };
                let fact = places.iter().copied().find(|i| facts[*i].e & TEMP != 0).unwrap_or(places[0]);
                let v = Value::Tuple(places.iter().map(|i| bindings.bind(&facts[*i].v)).collect());
                claims.push(Claim { fact, a: *a, v });
            }
        }
        claims
    }
}

/// Values from which on the look-ups are shared out to two threads: the work of some hundred microseconds.
const SHARED_FROM: usize = 1000;

/// Sorts facts by attribute and value.
fn sort(schema: &Schema, facts: &[Fact], places: &mut [usize]) {
    let rank = |fact: &Fact| match schema.get(fact.a) {
        Some(attribute) if attribute.has_one_kind() => rank(&fact.v.as_ref()),
        _ => 0,
    };
    let mut keyed: Vec<(AttrId, u64, usize)> = places.iter().map(|i| (facts[*i].a, rank(&facts[*i]), *i)).collect();
    keyed.sort_unstable_by(|(a, x, i), (b, y, j)| {
        let by_value = || facts[*i].v.cmp(&facts[*j].v).then(i.cmp(j));
        (a, x).cmp(&(b, y)).then_with(by_value)
    });
    places.iter_mut().zip(keyed).for_each(|(place, (.., i))| *place = i);
}

impl Upsert<'_> {
    /// Claims on values that are known.
    fn settle(&mut self, claims: &mut [usize]) -> Result<()> {
        let facts = self.facts;
        sort(self.schema, facts, claims);
        let is_same = |i: &usize, j: &usize| facts[*i].a == facts[*j].a && facts[*i].v == facts[*j].v;
        let groups: Vec<&[usize]> = claims.chunk_by(is_same).collect();
        let holders = self.holders(&groups)?;
        for (group, stored) in groups.into_iter().zip(holders) {
            let fact = &facts[group[0]];
            match stored {
                Some(stored) => {
                    for i in group.iter().filter(|i| facts[**i].e & TEMP != 0) {
                        self.unify(*i, stored, fact.a, &fact.v)?;
                    }
                }
                None => {
                    let named = group.iter().map(|i| facts[*i].e).filter(|e| e & TEMP == 0);
                    let holder = named.min().unwrap_or(fact.e);
                    for i in group {
                        // Two ids with one value are left to the check of uniqueness.
                        if facts[*i].e & TEMP != 0 {
                            self.unify(*i, holder, fact.a, &fact.v)?;
                        }
                    }
                    let sole = group.iter().all(|i| facts[*i].e & TEMP != 0 || facts[*i].e == holder);
                    group.iter().for_each(|i| self.bindings.sole[*i] = sole);
                }
            }
        }
        Ok(())
    }

    /// For each group of claims on one value, which ascend, the entity that has the value before the transaction.
    fn holders(&self, groups: &[&[usize]]) -> Result<Vec<Option<u64>>> {
        let (index, facts) = (&**self.context.snapshot.index(Order::Avet), self.facts);
        let find = |groups: &[&[usize]]| -> Result<Vec<Option<u64>>> {
            let mut probe = Probe::new(index);
            let holder = |group: &&[usize]| {
                let fact = &facts[group[0]];
                let key = Key { a: Some(fact.a), v: Some(fact.v.clone()), ..Key::default() };
                Ok(probe.find(key)?.map(|(columns, i)| columns.e.get(i)))
            };
            groups.iter().map(holder).collect()
        };
        if groups.len() < SHARED_FROM || index.is_empty() {
            return find(groups);
        }
        let (low, high) = groups.split_at(groups.len() / 2);
        std::thread::scope(|scope| {
            let high = scope.spawn(|| find(high));
            let low = find(low);
            let high = high.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let mut all = low?;
            all.append(&mut high?);
            Ok(all)
        })
    }

    /// Claims on values that are tempids or have them, and on composite tuples.
    fn settle_late(&mut self, settled: &[usize], late: &[usize], composites: &Composites) -> Result<()> {
        let facts = self.facts;
        let mut changed = true;
        while changed {
            changed = false;
            let mut holders: HashMap<(AttrId, Value), u64> = HashMap::new();
            for fact in settled.iter().map(|i| &facts[*i]) {
                if matches!(fact.v, Value::Ref(_) | Value::Tuple(_)) {
                    holders.insert((fact.a, fact.v.clone()), fact.e);
                }
            }
            let bindings = &self.bindings;
            let claim = |i: &usize| Claim { fact: *i, a: facts[*i].a, v: bindings.bind(&facts[*i].v) };
            let mut claims: Vec<Claim> = late.iter().map(claim).collect();
            claims.extend(composites.claims(facts, bindings));
            for Claim { fact, a, v } in claims {
                let e = facts[fact].e;
                if !has_temp(&v) && e & TEMP != 0 {
                    let key = Key { a: Some(a), v: Some(v.clone()), ..Key::default() };
                    if let Some(id) = holder(self.context.snapshot, key)? {
                        changed |= self.unify(fact, id, a, &v)?;
                        continue;
                    }
                }
                let holder = *holders.entry((a, v.clone())).or_insert(e);
                if (holder | e) & TEMP != 0 {
                    changed |= self.unify(fact, holder, a, &v)?;
                }
            }
        }
        Ok(())
    }

    fn unify(&mut self, claim: usize, other: u64, a: AttrId, v: &Value) -> Result<bool> {
        let fact = &self.facts[claim];
        self.bindings.unify(fact.e, other).map_err(|(x, y)| {
            let attribute = self.schema.get(a).map_or(Keyword::new("?"), |a| a.ident);
            let message = format!(
                "conflicting upsert: {} means entity {x}, and entity {y} by [{attribute} {}]",
                self.temps.describe(fact.e),
                shorten(v)
            );
            let error = Error::new(ErrorKind::Transact, "transact/upsert", message);
            self.context.locate_value(fact.op, attribute, v, error)
        })
    }
}
