//! The merge itself: change by change.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::diff::diff;
use super::entities::{Entities, Target};
use super::facts::{Fact, facts, holder, is_derived, values};
use super::{Conflict, ConflictKind, Merge, MergeBase};
use crate::datom::{EntityId, Value};
use crate::db::Db;
use crate::edn::Keyword;
use crate::error::Result;
use crate::schema::Attribute;
use crate::transact::{Op, Subject};

/// See [`merge`](super::merge()).
pub(super) fn merge(base: &MergeBase, ours: &Db, theirs: &Db) -> Result<Merge> {
    let mut changes: BTreeMap<u64, Changes> = BTreeMap::new();
    let mut given_up = HashMap::new();
    for datom in diff(&base.db, theirs)? {
        let Some(attribute) = theirs.schema().get(datom.a) else { continue };
        let is_new_transaction = datom.e.is_transaction() && datom.e > base.shared_t;
        if is_new_transaction || is_derived(attribute) {
            continue;
        }
        if !datom.added && attribute.unique.is_some() {
            given_up.insert((attribute.ident, datom.v.clone()), datom.e.0);
        }
        let change = changes.entry(datom.e.0).or_default().entry(attribute.ident).or_default();
        change.attribute.get_or_insert_with(|| Attribute::clone(attribute));
        if datom.added { &mut change.added } else { &mut change.removed }.push(datom.v);
    }
    let entities = Entities::new(base, ours, theirs);
    let mut merging = Merging { base: &base.db, ours, theirs, entities, given_up, merge: Merge::default() };
    for (those, changes) in merging.together(changes)? {
        merging.entity(&those, &changes)?;
    }
    Ok(merging.merge)
}

/// What theirs has changed of an entity, by attribute.
type Changes = BTreeMap<Keyword, Change>;

#[derive(Default)]
struct Change {
    attribute: Option<Attribute>,
    added: Vec<Value>,
    removed: Vec<Value>,
}

struct Merging<'a> {
    base: &'a Db,
    ours: &'a Db,
    theirs: &'a Db,
    entities: Entities<'a>,
    /// The values of unique attributes that theirs has taken from entities.
    given_up: HashMap<(Keyword, Value), u64>,
    merge: Merge,
}

/// One attribute of one entity.
struct Place<'a> {
    e: u64,
    target: Target,
    subject: &'a Subject,
    ident: Keyword,
}

impl Merging<'_> {
    /// The changes by what they change in ours: theirs may have another entity now that has the identity of an earlier one.
    fn together(&mut self, changes: BTreeMap<u64, Changes>) -> Result<Vec<(Vec<u64>, Changes)>> {
        let mut found: BTreeMap<(bool, u64), (Vec<u64>, Changes)> = BTreeMap::new();
        for (e, changes) in changes {
            let key = match self.entities.target(e)? {
                Target::Known(o) => (false, o),
                _ => (true, e),
            };
            let (those, all) = found.entry(key).or_default();
            those.push(e);
            for (ident, Change { attribute, added, removed }) in changes {
                let change = all.entry(ident).or_default();
                change.attribute = change.attribute.take().or(attribute);
                change.added.extend(added);
                change.removed.extend(removed);
            }
        }
        let mut all: Vec<(Vec<u64>, Changes)> = found.into_values().collect();
        for (_, changes) in &mut all {
            changes.retain(|_, change| {
                let both: Vec<Value> = change.added.iter().filter(|v| change.removed.contains(v)).cloned().collect();
                change.added.retain(|v| !both.contains(v));
                change.removed.retain(|v| !both.contains(v));
                !(change.added.is_empty() && change.removed.is_empty())
            });
        }
        Ok(all)
    }

    /// Merges what theirs has changed of entities that are one in ours.
    fn entity(&mut self, those: &[u64], changes: &Changes) -> Result<()> {
        let Some(e) = those.first().copied() else { return Ok(()) };
        let target = self.entities.target(e)?;
        let Some(subject) = self.entities.subject(e)? else {
            let kind = if target == Target::Ambiguous { ConflictKind::Ambiguous } else { ConflictKind::Unidentified };
            self.conflict(kind, target, e, Vec::new());
            return Ok(());
        };
        if let Target::Known(o) = target
            && self.is_retracted(o, those, &subject)?
        {
            return Ok(());
        }
        for (ident, change) in changes {
            let place = Place { e, target, subject: &subject, ident: *ident };
            let is_many = change.attribute.as_ref().is_some_and(Attribute::is_many);
            if is_many { self.many(&place, change)? } else { self.one(&place, change)? }
        }
        Ok(())
    }

    /// Whether one side has retracted the whole entity and the other has changed it, which is a conflict.
    fn is_retracted(&mut self, o: u64, those: &[u64], subject: &Subject) -> Result<bool> {
        let told = |db: &Db, those: &[u64]| -> Result<Vec<Fact>> {
            let mut found = Vec::new();
            for e in those {
                found.extend(facts(db, *e)?.into_iter().filter(|fact| !is_derived(&fact.attribute)));
            }
            Ok(found)
        };
        let e = those.first().copied().unwrap_or(o);
        let before = told(self.base, those)?;
        if before.is_empty() {
            return Ok(false);
        }
        let (ours, theirs) = (told(self.ours, &[o])?, told(self.theirs, those)?);
        if ours.is_empty() && !theirs.is_empty() {
            let mut again = Vec::new();
            for fact in &theirs {
                match self.entities.given(&fact.v)? {
                    Some(v) => again.push(Op::Add { e: subject.clone(), a: fact.attribute.ident, v }),
                    None => self.unidentified(o, e, fact.attribute.ident, &fact.v),
                }
            }
            self.conflict(ConflictKind::RetractedByOurs, Target::Known(o), e, again);
            return Ok(true);
        }
        if theirs.is_empty() && !ours.is_empty() && !self.are_same(&before, &ours)? {
            let retract = vec![Op::RetractEntity { e: subject.clone() }];
            self.conflict(ConflictKind::RetractedByTheirs, Target::Known(o), e, retract);
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether ours says of an entity what the base said.
    fn are_same(&mut self, before: &[Fact], ours: &[Fact]) -> Result<bool> {
        let mut left: Vec<(Keyword, &Value)> = ours.iter().map(|fact| (fact.attribute.ident, &fact.v)).collect();
        for fact in before {
            let v = self.entities.value(&fact.v)?;
            let Some(at) = left.iter().position(|(a, o)| *a == fact.attribute.ident && Some(*o) == v.as_ref()) else {
                return Ok(false);
            };
            left.swap_remove(at);
        }
        Ok(left.is_empty())
    }

    /// An attribute with one value.
    fn one(&mut self, place: &Place<'_>, change: &Change) -> Result<()> {
        let (wanted, before) = (change.added.first(), change.removed.first());
        let now = match place.target {
            Target::Known(o) => values(self.ours, o, place.ident)?.into_iter().next(),
            _ => None,
        };
        let [wanted_here, before_here] = [self.here(wanted)?, self.here(before)?];
        let is_done = match (wanted, &now) {
            (None, now) => now.is_none(),
            (Some(_), now) => wanted_here.is_some() && wanted_here == *now,
        };
        if is_done {
            return Ok(());
        }
        let Some(op) = self.op(place, wanted, now.as_ref())? else { return Ok(()) };
        // What the base has and ours cannot name is not what ours has.
        if now == before_here && before.is_some() == before_here.is_some() {
            let is_taken = match wanted {
                Some(v) => self.unique_is_taken(place, change, v)?,
                None => false,
            };
            if !is_taken {
                self.merge.ops.push(op);
            }
            return Ok(());
        }
        let ours = self.known(place.target);
        self.merge.conflicts.push(Conflict {
            kind: ConflictKind::Value,
            ours,
            theirs: EntityId(place.e),
            attribute: Some(place.ident),
            values: [before.cloned(), now, wanted.cloned()],
            take_theirs: vec![op],
        });
        Ok(())
    }

    /// An attribute with a set of values.
    fn many(&mut self, place: &Place<'_>, change: &Change) -> Result<()> {
        let now = match place.target {
            Target::Known(o) => values(self.ours, o, place.ident)?,
            _ => Vec::new(),
        };
        for v in &change.removed {
            if let Some(here) = self.here(Some(v))?
                && now.contains(&here)
            {
                let v = Some(here.into());
                self.merge.ops.push(Op::Retract { e: place.subject.clone(), a: place.ident, v });
            }
        }
        for v in &change.added {
            let here = self.here(Some(v))?;
            if here.is_some_and(|here| now.contains(&here)) {
                continue;
            }
            if let Some(op) = self.op(place, Some(v), None)?
                && !self.unique_is_taken(place, change, v)?
            {
                self.merge.ops.push(op);
            }
        }
        Ok(())
    }

    fn here(&mut self, v: Option<&Value>) -> Result<Option<Value>> {
        v.map_or(Ok(None), |v| self.entities.value(v))
    }

    /// What gives the entity a value, or takes the one of ours from it; none for a value that cannot be named, which is a
    /// conflict.
    fn op(&mut self, place: &Place<'_>, wanted: Option<&Value>, now: Option<&Value>) -> Result<Option<Op>> {
        let (e, a) = (place.subject.clone(), place.ident);
        let Some(v) = wanted else {
            return Ok(Some(Op::Retract { e, a, v: now.map(|v| v.clone().into()) }));
        };
        if let Some(v) = self.entities.given(v)? {
            return Ok(Some(Op::Add { e, a, v }));
        }
        let ours = self.known(place.target);
        self.unidentified(ours.map_or(0, |id| id.0), place.e, a, v);
        Ok(None)
    }

    /// Whether another entity of ours has the value of a unique attribute, which is a conflict.
    fn unique_is_taken(&mut self, place: &Place<'_>, change: &Change, v: &Value) -> Result<bool> {
        if change.attribute.as_ref().is_none_or(|attribute| attribute.unique.is_none()) {
            return Ok(false);
        }
        let Some(here) = self.here(Some(v))? else { return Ok(false) };
        let Some(holder) = holder(self.ours, place.ident, &here)? else { return Ok(false) };
        if let Some(e) = self.given_up.get(&(place.ident, v.clone())).copied()
            && self.entities.target(e)? == Target::Known(holder)
        {
            return Ok(false);
        }
        self.merge.conflicts.push(Conflict {
            kind: ConflictKind::Unique,
            ours: Some(EntityId(holder)),
            theirs: EntityId(place.e),
            attribute: Some(place.ident),
            values: [None, Some(here), Some(v.clone())],
            take_theirs: Vec::new(),
        });
        Ok(true)
    }

    fn known(&self, target: Target) -> Option<EntityId> {
        match target {
            Target::Known(o) => Some(EntityId(o)),
            _ => None,
        }
    }

    /// A conflict over a whole entity.
    fn conflict(&mut self, kind: ConflictKind, target: Target, e: u64, take_theirs: Vec<Op>) {
        let (ours, theirs) = (self.known(target), EntityId(e));
        let values = [None, None, None];
        self.merge.conflicts.push(Conflict { kind, ours, theirs, attribute: None, values, take_theirs });
    }

    fn unidentified(&mut self, o: u64, e: u64, attribute: Keyword, v: &Value) {
        self.merge.conflicts.push(Conflict {
            kind: ConflictKind::Unidentified,
            ours: (o > 0).then_some(EntityId(o)),
            theirs: EntityId(e),
            attribute: Some(attribute),
            values: [None, None, Some(v.clone())],
            take_theirs: Vec::new(),
        });
    }
}
