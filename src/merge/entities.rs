//! What the entities of theirs are in ours.

use hashbrown::HashMap;

use super::MergeBase;
use super::facts::{facts, holder};
use crate::datom::{EntityId, Value};
use crate::db::Db;
use crate::error::Result;
use crate::schema::Unique;
use crate::transact::{Given, Subject, TempId};

/// What an entity of theirs is in ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// An entity of ours.
    Known(u64),
    /// It has to be made there.
    New,
    /// Nobody can say.
    Unidentified,
    /// Its identities belong to several.
    Ambiguous,
}

/// The entities of theirs that were asked for.
pub(super) struct Entities<'a> {
    base: &'a MergeBase,
    ours: &'a Db,
    theirs: &'a Db,
    /// `None` while it is being found out.
    known: HashMap<u64, Option<Target>>,
}

impl<'a> Entities<'a> {
    pub fn new(base: &'a MergeBase, ours: &'a Db, theirs: &'a Db) -> Entities<'a> {
        Entities { base, ours, theirs, known: HashMap::new() }
    }

    /// What an entity of theirs, or of the base, is in ours.
    pub fn target(&mut self, e: u64) -> Result<Target> {
        let id = EntityId(e);
        let shared = if id.is_transaction() { self.base.shared_t } else { self.base.shared };
        if id <= shared {
            return Ok(Target::Known(e));
        }
        if id.is_transaction() {
            return Ok(Target::Unidentified);
        }
        match self.known.get(&e) {
            Some(Some(target)) => return Ok(*target),
            // Its identity is made of itself: that is no way to find it.
            Some(None) => return Ok(Target::New),
            None => {}
        }
        self.known.insert(e, None);
        let target = self.find(e)?;
        self.known.insert(e, Some(target));
        Ok(target)
    }

    fn find(&mut self, e: u64) -> Result<Target> {
        let before = facts(&self.base.db, e)?;
        let was_there = !before.is_empty();
        let (mut found, mut has_identity) = (None, false);
        // Ours knows what was merged before by the identity that it had then.
        for fact in before.into_iter().chain(facts(self.theirs, e)?) {
            if fact.attribute.unique != Some(Unique::Identity) {
                continue;
            }
            has_identity = true;
            let ident = fact.attribute.ident;
            let is_identity = |a: &crate::schema::Attribute| a.unique == Some(Unique::Identity);
            if !self.ours.schema().attribute(ident).is_some_and(|a| is_identity(a)) {
                continue;
            }
            let Some(v) = self.value(&fact.v)? else { continue };
            match (found, holder(self.ours, ident, &v)?) {
                (Some(one), Some(other)) if one != other => return Ok(Target::Ambiguous),
                (None, Some(holder)) => found = Some(holder),
                _ => {}
            }
        }
        Ok(match found {
            Some(o) => Target::Known(o),
            None if was_there || (self.base.mutual && !has_identity) => Target::Unidentified,
            None => Target::New,
        })
    }

    /// A value of theirs as ours would have it; `None` where it names an entity that ours has not.
    pub fn value(&mut self, v: &Value) -> Result<Option<Value>> {
        Ok(match v {
            Value::Ref(r) => match self.target(r.0)? {
                Target::Known(o) => Some(Value::Ref(EntityId(o))),
                _ => None,
            },
            Value::Tuple(members) => {
                let mut translated = Vec::with_capacity(members.len());
                for member in members.iter() {
                    let Some(member) = self.value(member)? else { return Ok(None) };
                    translated.push(member);
                }
                Some(Value::Tuple(translated.into()))
            }
            other => Some(other.clone()),
        })
    }

    /// A value of theirs as it can be asserted in ours, entities that are to be made by their tempids; `None` where it
    /// names one of which nobody knows what it is.
    pub fn given(&mut self, v: &Value) -> Result<Option<Given>> {
        Ok(match v {
            Value::Ref(r) => self.subject(r.0)?.map(Given::Entity),
            Value::Tuple(members) => {
                let mut translated = Vec::with_capacity(members.len());
                for member in members.iter() {
                    let member = match member {
                        Value::Ref(r) => match self.target(r.0)? {
                            Target::Known(o) => Value::Ref(EntityId(o)),
                            Target::New => Value::Str(name(r.0).into()),
                            _ => return Ok(None),
                        },
                        other => other.clone(),
                    };
                    translated.push(member);
                }
                Some(Given::Value(Value::Tuple(translated.into())))
            }
            other => Some(Given::Value(other.clone())),
        })
    }

    /// How an entity of theirs is named in tx-data for ours.
    pub fn subject(&mut self, e: u64) -> Result<Option<Subject>> {
        Ok(match self.target(e)? {
            Target::Known(o) => Some(EntityId(o).into()),
            Target::New => Some(TempId::from(name(e).as_str()).into()),
            Target::Unidentified | Target::Ambiguous => None,
        })
    }
}

fn name(e: u64) -> String {
    format!("theirs-{e}")
}
