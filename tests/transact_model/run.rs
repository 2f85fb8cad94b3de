//! A transaction, stage by stage.

use std::collections::{BTreeMap, BTreeSet};

use treering::edn::{Form, Keyword};
use treering::{TX0, TempId, Value};

use super::base::{Attribute, Base, Facts, LAST_OWN, Refused, Row, Schema, as_ref, is_built_in, kw};
use super::change::{check_change, derive};
use super::expand::{Expanded, Name, Term, Val, What, expand};
use super::functions::{self, Readable};
use super::purge::{Purged, purge};
use super::read::{call, parts, read};
use super::unify::{Groups, unify};
use super::values;

type Datom = (u64, Keyword, Value, bool);

#[derive(Debug)]
pub struct Report {
    pub after: Base,
    /// Each datom with the place that the tx-data gives it; those of one place are in no order.
    pub datoms: BTreeMap<Datom, usize>,
    pub tempids: Vec<(TempId, u64)>,
    pub purged: BTreeSet<Row>,
    /// What the tx-data says of the instant; the clock tells it otherwise.
    pub instant: Option<i64>,
}

impl Report {
    /// The database after the transaction, which happened at the instant.
    pub fn after_at(&self, instant: i64) -> Base {
        let mut after = self.after.clone();
        after.instant = instant;
        if after.keep_history {
            let v = Value::Instant(instant);
            after.rows.push(Row { e: after.basis, a: kw("db/txInstant"), v, tx: after.basis, until: None });
        }
        after
    }
}

pub fn transact(base: &Base, data: &Form) -> Result<Report, Refused> {
    let (items, meta) = parts(data)?;
    items.iter().try_for_each(|item| read(item).map(drop))?;
    let (mut forms, mut meta) = (Vec::new(), meta.to_vec());
    items.iter().try_for_each(|item| call(base, item, 0, &mut forms, &mut meta))?;
    let ops = forms.iter().filter_map(|form| read(form).transpose()).collect::<Result<Vec<_>, _>>()?;
    let t = base.basis + 1;
    let original = base;
    let Purged { rows: purged, base, broken, undefined } = purge(base, &ops)?;
    let base = &base;
    let expanded = expand(base, t, &meta, &ops)?;
    let groups = unify(base, &expanded)?;
    let (ids, max_eid) = allocate(base, &expanded, &groups);
    let instant = instant(base, &expanded, &ids, t)?;
    check_values(&expanded)?;
    let before = base.facts();
    let mut live = Live { facts: before.clone(), places: BTreeMap::new() };
    live.apply(base.keep_history, &expanded, &ids, t)?;
    follow(&expanded.schema, &before, &broken, &mut live);
    told(&expanded, &before, &live, &ids)?;
    let facts = std::mem::take(&mut live.facts);
    let too_long = |f: &&(u64, Keyword, Value)| expanded.schema.get(&f.1).is_some_and(|a| values::is_too_long(a, &f.2));
    if facts.difference(&before).any(|f| too_long(&f)) {
        return Err("transact/max-length");
    }
    check_tuples(&expanded.schema, facts.difference(&before))?;
    unique(&expanded, &ids, &facts)?;
    let began: Vec<_> = facts.difference(&before).cloned().collect();
    let ended: BTreeSet<_> = before.difference(&facts).cloned().collect();
    if base.refs && began.iter().chain(&ended).any(|f| f.0 <= LAST_OWN) {
        return Err("transact/system-entity");
    }
    let schema = derive(base, &expanded, &facts)?;
    let names = renames(base, &schema);
    let name = |a: Keyword| names.get(&a).copied().unwrap_or(a);
    let mut after = base.clone();
    for row in after.rows.iter_mut().filter(|row| row.until.is_none()) {
        if ended.contains(&(row.e, row.a, row.v.clone())) {
            row.until = Some(t);
        }
    }
    let forgets = |a: Keyword| !base.keep_history || schema.get(&name(a)).is_some_and(|a| a.no_history);
    after.rows.retain(|row| row.until != Some(t) || !forgets(row.a));
    let begun = |(e, a, v)| Row { e, a, v, tx: t, until: None };
    after.rows.extend(began.iter().cloned().map(begun));
    check_change(original, &undefined, &schema, &facts, &after.rows)?;
    after.rows.iter_mut().for_each(|row| row.a = name(row.a));
    let followed: Facts = facts.into_iter().map(|(e, a, v)| (e, name(a), v)).collect();
    let mut facts = followed.clone();
    fill(base, &schema, &mut facts)?;
    check_tuples(&schema, facts.difference(&followed))?;
    // What fills a tuple that is defined over members in use comes last.
    let filled: Vec<_> = facts.difference(&followed).cloned().collect();
    let place = |fact: &(u64, Keyword, Value)| live.places.get(fact).copied().unwrap_or(usize::MAX);
    let datoms = ended.iter().map(|f| ((f.0, f.1, f.2.clone(), false), place(f)));
    let datoms = datoms.chain(began.iter().map(|f| ((f.0, name(f.1), f.2.clone(), true), place(f))));
    let datoms = datoms.chain(filled.iter().map(|f| ((f.0, f.1, f.2.clone(), true), usize::MAX))).collect();
    after.rows.extend(filled.into_iter().map(begun));
    let nobody_defines = |name: &Keyword, of: &Attribute| of.entity == 0 && !is_built_in(*name);
    after.used = schema.iter().filter(|(name, of)| nobody_defines(name, of)).map(|(name, _)| *name).collect();
    (after.schema, after.basis, after.max_eid) = (schema, t, max_eid);

    let names = expanded.names.iter().zip(&ids);
    let mut tempids: Vec<_> =
        names.filter_map(|(name, id)| if let Name::Temp(t) = name { Some((t.clone(), *id)) } else { None }).collect();
    tempids.push((TempId::CurrentTx, t));
    ensure(&after, &expanded, &ids)?;
    let datoms: BTreeMap<Datom, usize> = datoms;
    if base.most_datoms.is_some_and(|most| datoms.len() + usize::from(base.keep_history) > most) {
        return Err("transact/tx-pred");
    }
    Ok(Report { after, datoms, tempids, purged, instant })
}

/// The attributes that get another name. Facts keep their attribute where attributes are entities; elsewhere there are
/// none.
fn renames(base: &Base, after: &Schema) -> BTreeMap<Keyword, Keyword> {
    let is_same = |old: &Attribute, new: &Attribute| base.refs && old.entity != 0 && old.entity == new.entity;
    let new_name = |old: &Attribute| after.iter().find(|(_, new)| is_same(old, new)).map(|(name, _)| *name);
    base.schema.iter().filter_map(|(name, old)| Some((*name, new_name(old)?))).collect()
}

/// Every value that is asserted passes the predicates of its attribute. For those here all entities are the same.
fn check_values(expanded: &Expanded) -> Result<(), Refused> {
    expanded.facts.iter().try_for_each(|fact| match &fact.what {
        What::Add(Val::Is(v)) | What::Cas(_, v) => functions::check(&expanded.schema[&fact.a].preds, v),
        What::Add(Val::Temp(_)) => functions::check(&expanded.schema[&fact.a].preds, &as_ref(1)),
        _ => Ok(()),
    })
}

/// The composite tuples that begin pass the predicates of theirs.
fn check_tuples<'a>(
    schema: &Schema,
    mut began: impl Iterator<Item = &'a (u64, Keyword, Value)>,
) -> Result<(), Refused> {
    began.try_for_each(|(_, a, v)| match schema.get(a).filter(|of| of.members().is_some()) {
        Some(of) => functions::check(&of.preds, v),
        None => Ok(()),
    })
}

/// The entities of `:db/ensure` are as their specs want them.
fn ensure(after: &Base, expanded: &Expanded, ids: &[u64]) -> Result<(), Refused> {
    for (e, spec) in &expanded.ensures {
        let (e, spec) = (entity(*e, ids), entity(*spec, ids));
        let (attributes, predicates) =
            (after.values(spec, kw("db.entity/attrs")), after.values(spec, kw("db.entity/preds")));
        let has = |a: &Value| matches!(a, Value::Keyword(a) if !after.values(e, *a).is_empty());
        let holds = |name: &Value| match name {
            Value::Symbol(name) => matches!(functions::holds(after, name.as_str(), e), Some(Ok(true))),
            _ => false,
        };
        if attributes.len() + predicates.len() == 0 || !attributes.iter().all(has) || !predicates.iter().all(holds) {
            return Err("transact/ensure");
        }
    }
    Ok(())
}

/// The entity of each name, and the largest id.
fn allocate(base: &Base, expanded: &Expanded, groups: &Groups) -> (Vec<u64>, u64) {
    let mut known = groups.id.clone();
    let mut largest = base.max_eid.max(expanded.max_named);
    let mut ids = Vec::new();
    for root in &groups.root {
        ids.push(*known.entry(*root).or_insert_with(|| {
            largest = if largest + 1 == TX0 { 1 << 40 } else { largest + 1 };
            largest
        }));
    }
    (ids, largest)
}

fn entity(term: Term, ids: &[u64]) -> u64 {
    match term {
        Term::Id(id) => id,
        Term::Temp(n) => ids[n],
    }
}

/// The instant that the tx-data says.
fn instant(base: &Base, expanded: &Expanded, ids: &[u64], t: u64) -> Result<Option<i64>, Refused> {
    let mut said = None;
    for fact in expanded.facts.iter().filter(|fact| fact.a == kw("db/txInstant")) {
        match &fact.what {
            What::Add(Val::Is(Value::Instant(at))) if entity(fact.e, ids) == t && *at > base.instant => {
                said = Some(*at)
            }
            _ => return Err("transact/tx-instant"),
        }
    }
    Ok(said)
}

/// What holds while the operations are gone through.
struct Live {
    facts: Facts,
    /// Where each fact was last added or taken away.
    places: BTreeMap<(u64, Keyword, Value), usize>,
}

impl Live {
    fn of(&self, e: u64, a: Keyword) -> Vec<Value> {
        self.facts.iter().filter(|f| f.0 == e && f.1 == a).map(|f| f.2.clone()).collect()
    }

    fn remove(&mut self, fact: (u64, Keyword, Value), place: usize) {
        if self.facts.remove(&fact) {
            self.places.insert(fact, place);
        }
    }

    fn add(&mut self, e: u64, a: Keyword, v: Value, attribute: &Attribute, place: usize) {
        let fact = (e, a, v);
        if self.facts.contains(&fact) {
            return;
        }
        if !attribute.many {
            for old in self.of(e, a) {
                self.remove((e, a, old), place);
            }
        }
        self.places.insert(fact.clone(), place);
        self.facts.insert(fact);
    }

    fn apply(&mut self, keep_history: bool, expanded: &Expanded, ids: &[u64], t: u64) -> Result<(), Refused> {
        let schema = &expanded.schema;
        for (place, fact) in expanded.facts.iter().enumerate() {
            let (e, a, attribute) = (entity(fact.e, ids), fact.a, &schema[&fact.a]);
            // Without history `:tx-meta` is not kept.
            if a == kw("db/txInstant") || (fact.meta && !keep_history) {
                continue;
            }
            match &fact.what {
                _ if attribute.members().is_some() => {}
                What::Add(Val::Is(v)) => self.add(e, a, v.clone(), attribute, place),
                What::Add(Val::Temp(n)) => self.add(e, a, as_ref(ids[*n]), attribute, place),
                What::Retract(v) => self.remove((e, a, v.clone()), place),
                What::RetractAll => self.of(e, a).into_iter().for_each(|v| self.remove((e, a, v), place)),
                What::Cas(old, new) => {
                    let held = self.of(e, a);
                    if old.as_ref().map_or(!held.is_empty(), |old| !held.contains(old)) {
                        return Err("transact/cas");
                    }
                    self.add(e, a, new.clone(), attribute, place);
                }
                What::RetractAttribute => {
                    for v in self.of(e, a) {
                        if let (Value::Ref(part), true) = (&v, attribute.component) {
                            self.retract_entity(schema, part.0, place, t)?;
                        }
                        self.remove((e, a, v), place);
                    }
                }
                What::RetractEntity => self.retract_entity(schema, e, place, t)?,
            }
        }
        Ok(())
    }

    fn retract_entity(&mut self, schema: &Schema, first: u64, place: usize, t: u64) -> Result<(), Refused> {
        let (mut gone, mut pending) = (BTreeSet::new(), vec![first]);
        while let Some(e) = pending.pop() {
            if gone.insert(e) {
                let parts = self.facts.iter().filter(|f| f.0 == e && schema.get(&f.1).is_some_and(|a| a.component));
                pending.extend(parts.filter_map(|f| if let Value::Ref(to) = f.2 { Some(to.0) } else { None }));
            }
        }
        if gone.contains(&t) {
            return Err("transact/tx-instant");
        }
        let goes = |f: &(u64, Keyword, Value)| {
            let to = if let Value::Ref(to) = f.2 { gone.contains(&to.0) } else { false };
            gone.contains(&f.0) || (to && schema.get(&f.1).is_some_and(Attribute::is_ref))
        };
        for fact in self.facts.clone().into_iter().filter(goes) {
            if fact.1 == kw("db/txInstant") {
                return Err("transact/tx-instant");
            }
            if schema.get(&fact.1).is_none_or(|a| a.members().is_none()) {
                self.remove(fact, place);
            }
        }
        Ok(())
    }
}

/// Composite tuples of the entities whose members changed.
/// Those in `broken` were purged, and their members may still be there.
fn follow(schema: &Schema, before: &Facts, broken: &[(u64, Keyword)], live: &mut Live) {
    let changed: BTreeSet<(u64, Keyword)> = before.symmetric_difference(&live.facts).map(|f| (f.0, f.1)).collect();
    for (name, attribute) in schema {
        let Some(members) = attribute.members() else { continue };
        let of_member = changed.iter().filter(|(_, a)| members.contains(a));
        let entities: BTreeSet<u64> =
            of_member.chain(broken.iter().filter(|(_, a)| a == name)).map(|(e, _)| *e).collect();
        for e in entities {
            let values: Vec<Value> =
                members.iter().map(|a| live.of(e, *a).first().cloned().unwrap_or(Value::Nil)).collect();
            // The tuple stands with the last change of a member, first if none changed.
            let of_member = |f: &&(u64, Keyword, Value)| f.0 == e && members.contains(&f.1);
            let place =
                before.symmetric_difference(&live.facts).filter(of_member).filter_map(|f| live.places.get(f)).max();
            let place = place.copied().unwrap_or(0);
            for old in live.of(e, *name) {
                live.facts.remove(&(e, *name, old.clone()));
                live.places.insert((e, *name, old), place);
            }
            if values.iter().any(|v| *v != Value::Nil) {
                let fact = (e, *name, Value::Tuple(values.into()));
                live.places.insert(fact.clone(), place);
                live.facts.insert(fact);
            }
        }
    }
}

/// A composite tuple that is told is what its members come to; where it names the entity, or what it was before.
fn told(expanded: &Expanded, before: &Facts, live: &Live, ids: &[u64]) -> Result<(), Refused> {
    for fact in &expanded.facts {
        let attribute = &expanded.schema[&fact.a];
        let (What::Add(Val::Is(v)), Some(_)) = (&fact.what, attribute.members()) else { continue };
        let said = (entity(fact.e, ids), fact.a, v.clone());
        let names = matches!(fact.e, Term::Temp(_)) && attribute.unique.as_deref() == Some("identity");
        let was_or_is = live.facts.contains(&said) || (names && before.contains(&said));
        if !was_or_is {
            return Err("transact/schema");
        }
    }
    Ok(())
}

/// The tuples of entities that have members of an attribute which becomes a composite tuple.
fn fill(base: &Base, schema: &Schema, facts: &mut Facts) -> Result<(), Refused> {
    for (name, attribute) in schema {
        let Some(members) = attribute.members() else { continue };
        if base.schema.get(name).is_some_and(|old| old.tuple == attribute.tuple) {
            continue;
        }
        let have = |e: u64, a: Keyword| facts.iter().find(|f| f.0 == e && f.1 == a).map(|f| f.2.clone());
        let entities: BTreeSet<u64> = facts.iter().filter(|f| members.contains(&f.1)).map(|f| f.0).collect();
        let entities = entities.into_iter().filter(|e| have(*e, *name).is_none());
        let tuple = |e: u64| members.iter().map(|a| have(e, *a).unwrap_or(Value::Nil)).collect();
        let made: Vec<_> = entities.map(|e| (e, *name, Value::Tuple(tuple(e)))).collect();
        facts.extend(made);
        let held: Vec<&Value> = facts.iter().filter(|f| f.1 == *name).map(|f| &f.2).collect();
        if attribute.unique.is_some() && held.iter().collect::<BTreeSet<_>>().len() < held.len() {
            return Err("transact/unique");
        }
    }
    Ok(())
}

/// A value of a unique attribute belongs to one entity. What a map says of an identity names an entity.
fn unique(expanded: &Expanded, ids: &[u64], facts: &Facts) -> Result<(), Refused> {
    // For each fact that says a value of two entities, whether it is an identity that a map says.
    let mut named = BTreeSet::new();
    for (e, a, v) in facts {
        let attribute = &expanded.schema.get(a);
        let Some(kind) = attribute.and_then(|a| a.unique.as_deref()) else { continue };
        if !facts.iter().any(|f| f.1 == *a && f.2 == *v && f.0 != *e) {
            continue;
        }
        named.extend((kind == "value").then_some(false));
        let members = attribute.and_then(|a| a.members()).unwrap_or(std::slice::from_ref(a));
        for fact in expanded.facts.iter().filter(|f| matches!(f.what, What::Add(_) | What::Cas(..))) {
            if kind == "identity" && members.contains(&fact.a) && entity(fact.e, ids) == *e {
                named.insert(fact.map);
            }
        }
    }
    match (named.contains(&true), named.contains(&false)) {
        (false, false) => Ok(()),
        (true, false) => Err("transact/upsert"),
        (false, true) => Err("transact/unique"),
        (true, true) => Err("transact/unique|transact/upsert"),
    }
}
