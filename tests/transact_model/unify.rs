//! Upsert: which names mean one entity, and which one.

use std::collections::BTreeMap;

use treering::Value;
use treering::edn::Keyword;

use super::base::{Base, Refused, as_ref, kw};
use super::expand::{Expanded, Name, Term, Val, What};

/// Names that mean one entity, and the entity where it is known.
pub struct Groups {
    pub root: Vec<usize>,
    pub id: BTreeMap<usize, u64>,
}

impl Groups {
    fn union(&mut self, x: usize, y: usize) -> Result<bool, Refused> {
        let (x, y) = (self.root[x], self.root[y]);
        if x == y {
            return Ok(false);
        }
        let moved = self.id.remove(&y);
        self.root.iter_mut().filter(|root| **root == y).for_each(|root| *root = x);
        moved.map_or(Ok(true), |id| self.bind(x, id).map(|_| true))
    }

    fn bind(&mut self, x: usize, id: u64) -> Result<bool, Refused> {
        match self.id.insert(self.root[x], id) {
            None => Ok(true),
            Some(known) if known == id => Ok(false),
            Some(_) => Err("transact/upsert"),
        }
    }

    fn same(&mut self, x: Term, y: Term) -> Result<bool, Refused> {
        match (x, y) {
            (Term::Temp(x), Term::Temp(y)) => self.union(x, y),
            (Term::Temp(x), Term::Id(id)) | (Term::Id(id), Term::Temp(x)) => self.bind(x, id),
            (Term::Id(_), Term::Id(_)) => Ok(false),
        }
    }

    fn term(&self, e: Term) -> Term {
        match e {
            Term::Temp(n) => self.id.get(&self.root[n]).map_or(Term::Temp(self.root[n]), |id| Term::Id(*id)),
            id => id,
        }
    }

    fn values(&self, values: &[Val]) -> Vec<Val> {
        values.iter().map(|v| self.value(v)).collect()
    }

    fn value(&self, v: &Val) -> Val {
        match v {
            Val::Temp(n) => self.id.get(&self.root[*n]).map_or(Val::Temp(self.root[*n]), |id| Val::Is(as_ref(*id))),
            Val::Is(v) => Val::Is(v.clone()),
        }
    }
}

/// That an entity has a value of an identity attribute; a composite tuple has one value for each member.
type Claim = (Term, Keyword, Vec<Val>);

/// The composite tuples that are identities of which all members are asserted of an entity, the last value of each.
fn composites(expanded: &Expanded, groups: &Groups) -> Vec<Claim> {
    let mut said: BTreeMap<Term, BTreeMap<Keyword, Val>> = BTreeMap::new();
    for fact in &expanded.facts {
        if let What::Add(v) = &fact.what {
            said.entry(groups.term(fact.e)).or_default().insert(fact.a, v.clone());
        }
    }
    let mut claims = Vec::new();
    for (name, attribute) in expanded.schema.iter().filter(|(_, a)| a.unique.as_deref() == Some("identity")) {
        let Some(members) = attribute.members() else { continue };
        for (e, values) in &said {
            let values: Option<Vec<Val>> = members.iter().map(|member| values.get(member).cloned()).collect();
            claims.extend(values.map(|values| (*e, *name, values)));
        }
    }
    claims
}

pub fn unify(base: &Base, expanded: &Expanded) -> Result<Groups, Refused> {
    let mut groups = Groups { root: (0..expanded.names.len()).collect(), id: BTreeMap::new() };
    let ident = kw("db/ident");
    let mut said: Vec<Claim> = Vec::new();
    for (n, name) in expanded.names.iter().enumerate() {
        if let Name::Ident(k) = name {
            said.push((Term::Temp(n), ident, vec![Val::Is(Value::Keyword(*k))]));
        }
    }
    for fact in &expanded.facts {
        if let (What::Add(v), Some("identity")) = (&fact.what, expanded.schema[&fact.a].unique.as_deref()) {
            let values = match v {
                Val::Is(Value::Tuple(members)) if expanded.schema[&fact.a].members().is_some() => {
                    members.iter().cloned().map(Val::Is).collect()
                }
                v => vec![v.clone()],
            };
            said.push((fact.e, fact.a, values));
        }
    }
    loop {
        let mut found = false;
        let claims: Vec<Claim> = said.iter().cloned().chain(composites(expanded, &groups)).collect();
        for (e, a, values) in claims.iter().filter(|(e, ..)| matches!(e, Term::Temp(_))) {
            let values = groups.values(values);
            if let Some(owner) = owner(base, expanded, *a, &values) {
                found |= groups.same(*e, Term::Id(owner))?;
                continue;
            }
            let same = claims.iter().filter(|(_, b, others)| a == b && values == groups.values(others));
            let (temps, ids): (Vec<Term>, Vec<Term>) = same.map(|(e, ..)| *e).partition(|e| matches!(e, Term::Temp(_)));
            // Of several ids the least; that they have one value is for uniqueness to refuse.
            for other in temps.into_iter().chain(ids.into_iter().min()) {
                found |= groups.same(*e, other)?;
            }
        }
        if !found {
            return Ok(groups);
        }
    }
}

/// Who has the value in the database before.
fn owner(base: &Base, expanded: &Expanded, a: Keyword, values: &[Val]) -> Option<u64> {
    let known = |v: &Val| if let Val::Is(v) = v { Some(v.clone()) } else { None };
    let mut known: Vec<Value> = values.iter().map(known).collect::<Option<_>>()?;
    let is_composite = expanded.schema[&a].members().is_some();
    base.owner(a, &if is_composite { Value::Tuple(known.into()) } else { known.remove(0) })
}
