//! Cascade: retractions of whole entities and of components become retractions of facts. They see what the operations
//! before them leave.

use hashbrown::{HashMap, HashSet};

use crate::datom::{AttrId, EntityId, Key, Order, Row, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Schema, builtin};

use super::fact::{Context, Fact, What};
use super::probe::Probe;

/// Whether there is anything to do: else the facts stay as they are, at the same places.
pub(super) fn is_needed(facts: &[Fact]) -> bool {
    facts.iter().any(|fact| matches!(fact.what, What::RetractEntity | What::RetractAttribute))
}

pub(super) fn cascade(context: Context<'_>, schema: &Schema, facts: Vec<Fact>) -> Result<Vec<Fact>> {
    let mut refs: Vec<AttrId> = schema.iter().filter(|a| a.is_ref()).map(|a| a.id).collect();
    refs.sort_unstable();
    let out = Vec::with_capacity(facts.len());
    let mut cascade = Cascade { context, schema, refs, out, of_entity: HashMap::new(), to_entity: HashMap::new() };
    for fact in facts {
        match fact.what {
            What::RetractEntity => cascade.retract_entities(vec![fact.e], fact.op)?,
            What::RetractAttribute => {
                let components = cascade.components(fact.e, |a| a == fact.a)?;
                let op = fact.op;
                cascade.push(Fact { what: What::RetractAll, ..fact });
                cascade.retract_entities(components, op)?;
            }
            _ => cascade.push(fact),
        }
    }
    Ok(cascade.out)
}

struct Cascade<'a> {
    context: Context<'a>,
    schema: &'a Schema,
    /// All ref attributes.
    refs: Vec<AttrId>,
    out: Vec<Fact>,
    /// Places in `out` of the facts of an entity.
    of_entity: HashMap<u64, Vec<usize>>,
    /// Places in `out` of the assertions that refer to an entity.
    to_entity: HashMap<u64, Vec<usize>>,
}

impl Cascade<'_> {
    fn push(&mut self, fact: Fact) {
        let place = self.out.len();
        if self.context.keeps(&fact) {
            self.of_entity.entry(fact.e).or_default().push(place);
            if let (Value::Ref(target), What::Add | What::Cas(_)) = (&fact.v, &fact.what) {
                self.to_entity.entry(target.0).or_default().push(place);
            }
        }
        self.out.push(fact);
    }

    fn retract(&mut self, e: u64, a: AttrId, target: Option<u64>, op: u32) {
        let (v, what) = match target {
            Some(id) => (Value::Ref(EntityId(id)), What::Retract),
            None => (Value::Nil, What::RetractAll),
        };
        self.push(Fact { e, a, op, v, what, identity: false, map: false });
    }

    /// Retracts all facts of the entities and of their components, and the refs to them.
    fn retract_entities(&mut self, mut entities: Vec<u64>, op: u32) -> Result<()> {
        let mut seen = HashSet::new();
        entities.reverse();
        while let Some(e) = entities.pop() {
            if !seen.insert(e) {
                continue;
            }
            let schema = self.schema;
            let mut components = self.components(e, |a| schema.get(a).is_some_and(|attribute| attribute.component))?;
            components.reverse();
            let attributes = self.attributes(e)?;
            if e == self.context.t || attributes.contains(&builtin::TX_INSTANT) {
                let message = format!("{e} is a transaction: its :db/txInstant cannot be retracted");
                let error = Error::new(ErrorKind::Transact, "transact/tx-instant", message);
                return Err(self.context.locate(op, error));
            }
            attributes.into_iter().for_each(|a| self.retract(e, a, None, op));
            for (from, a) in self.referrers(e)? {
                self.retract(from, a, Some(e), op);
            }
            entities.append(&mut components);
        }
        Ok(())
    }

    /// The attributes that an entity has now, and perhaps some that it had.
    fn attributes(&self, e: u64) -> Result<Vec<AttrId>> {
        let mut attributes: Vec<AttrId> = self.stored(e)?.into_iter().map(|row| row.a).collect();
        attributes.extend(self.said(e).map(|fact| fact.a));
        attributes.sort_unstable();
        attributes.dedup();
        Ok(attributes)
    }

    /// Entities that refer to `e`, and with which attribute.
    fn referrers(&self, e: u64) -> Result<Vec<(u64, AttrId)>> {
        let mut found = Vec::new();
        if !self.context.is_new(e) {
            let mut probe = Probe::new(&**self.context.snapshot.index(Order::Avet));
            for a in &self.refs {
                let key = Key { a: Some(*a), v: Some(Value::Ref(EntityId(e))), ..Key::default() };
                found.extend(probe.all(key)?.into_iter().map(|row| (row.e, row.a)));
            }
        }
        let said = self.to_entity.get(&e).into_iter().flatten().map(|i| (self.out[*i].e, self.out[*i].a));
        found.extend(said);
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The entities that `e` has now as components, by attributes that `wanted` picks.
    fn components(&self, e: u64, wanted: impl Fn(AttrId) -> bool) -> Result<Vec<u64>> {
        let is_component = |a: AttrId| wanted(a) && self.schema.get(a).is_some_and(|attribute| attribute.component);
        let mut held: Vec<(AttrId, u64)> = Vec::new();
        let target = |v: &Value| if let Value::Ref(id) = v { Some(id.0) } else { None };
        for row in self.stored(e)?.iter().filter(|row| is_component(row.a)) {
            held.extend(target(&row.v).map(|id| (row.a, id)));
        }
        for fact in self.said(e).filter(|fact| is_component(fact.a)) {
            match &fact.what {
                What::Add | What::Cas(_) => {
                    let many = self.schema.get(fact.a).is_some_and(|attribute| attribute.is_many());
                    held.retain(|(a, id)| *a != fact.a || (many && Some(*id) != target(&fact.v)));
                    held.extend(target(&fact.v).map(|id| (fact.a, id)));
                }
                What::Retract => held.retain(|(a, id)| *a != fact.a || Some(*id) != target(&fact.v)),
                _ => held.retain(|(a, _)| *a != fact.a),
            }
        }
        Ok(held.into_iter().map(|(_, id)| id).collect())
    }

    fn said(&self, e: u64) -> impl Iterator<Item = &Fact> {
        self.of_entity.get(&e).into_iter().flatten().map(|i| &self.out[*i])
    }

    fn stored(&self, e: u64) -> Result<Vec<Row>> {
        if self.context.is_new(e) {
            return Ok(Vec::new());
        }
        Probe::new(&**self.context.snapshot.index(Order::Eavt)).all(Key { e: Some(e), ..Key::default() })
    }
}
