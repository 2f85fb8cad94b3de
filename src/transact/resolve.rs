//! Resolve: ids, idents, lookup refs and tempids become ids, or places of ids to be found. Idents and lookup refs mean
//! what they mean in the database before the transaction.

use crate::datom::{Cut, EntityId, Key, Order, TX0, Value};
use crate::db::{EntityRef, Snapshot};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Direction;
use crate::schema::{Attribute, TupleShape, ValueType, builtin};

use super::check::shorten;
use super::composite;
use super::expand::Expander;
use super::fact::{Context, Fact, What};
use super::input::{Subject, TempId};

/// How far an id may lie above every id before: what is skipped is never given out.
const MAX_JUMP: u64 = 1 << 32;

/// Deepest nesting of lookup refs in lookup refs.
pub(super) const MAX_LOOKUPS: usize = 8;

impl Expander<'_> {
    /// The id of an entity that must be, or the place of a tempid.
    pub(super) fn subject(&mut self, subject: &Subject) -> Result<u64> {
        match subject {
            Subject::Temp(TempId::CurrentTx) => Ok(self.context.t),
            Subject::Temp(tempid) => Ok(self.out.temps.named(tempid)),
            Subject::Entity(entity) => match (self.lookup(entity, 0)?, entity) {
                (Some(id), _) => Ok(id),
                (None, EntityRef::Ident(ident)) if self.idents.contains(ident) => Ok(self.new_ident(*ident)),
                (None, _) => Err(missing(entity)),
            },
        }
    }

    /// The place of the entity that gets the ident in this transaction: a tempid with the ident, which is an identity.
    fn new_ident(&mut self, ident: Keyword) -> u64 {
        if let Some(place) = self.named_by_ident.get(&ident) {
            return *place;
        }
        let e = self.out.temps.anonymous();
        let v = Value::Keyword(ident);
        let fact = Fact { e, a: builtin::IDENT, op: self.op, v, what: What::Mean, identity: true, map: true };
        self.out.facts.push(fact);
        self.named_by_ident.insert(ident, e);
        e
    }

    /// The id of an entity, or `None` where an ident or a lookup ref names none.
    pub(super) fn lookup(&mut self, entity: &EntityRef, depth: usize) -> Result<Option<u64>> {
        let (a, v) = match entity {
            EntityRef::Id(id) => {
                check_id(self.context, *id)?;
                if !id.is_transaction() {
                    self.out.max_named = self.out.max_named.max(id.0);
                }
                return Ok(Some(id.0));
            }
            EntityRef::Ident(ident) if ident.as_str() == "db/current-tx" => return Ok(Some(self.context.t)),
            EntityRef::Ident(ident) => (builtin::IDENT, Value::Keyword(*ident)),
            EntityRef::Lookup(ident, value) => {
                let Some(attribute) = self.out.schema.attribute(*ident) else { return Err(self.unknown(*ident)) };
                if attribute.unique.is_none() {
                    let message = format!(
                        "a lookup ref wants an attribute that is :db/unique; {ident} is not: [{ident} {}]",
                        shorten(value)
                    );
                    return Err(Error::new(ErrorKind::Transact, "lookup-ref/unique", message));
                }
                let attribute = std::sync::Arc::clone(attribute);
                let value = match (attribute.is_ref(), value) {
                    (false, Value::Tuple(members)) => {
                        let Some(members) = self.lookup_members(&attribute, members, depth)? else { return Ok(None) };
                        composite::key(&self.out.schema, &attribute, &Value::Tuple(members.into()))?
                    }
                    (false, value) => composite::key(&self.out.schema, &attribute, value)?,
                    (true, value) => match self.lookup_target(value, depth)? {
                        Some(id) => Value::Ref(EntityId(id)),
                        None => return Ok(None),
                    },
                };
                (attribute.id, value)
            }
        };
        let key = Key { a: Some(a), v: Some(v), ..Key::default() };
        holder(self.context.snapshot, key)
    }

    /// The members of a tuple that is the value of a lookup ref, entities as refs; `None` where one names nothing.
    pub(super) fn lookup_members(
        &mut self,
        attribute: &Attribute,
        members: &[Value],
        depth: usize,
    ) -> Result<Option<Vec<Value>>> {
        let mut found = Vec::with_capacity(members.len());
        for (i, member) in members.iter().enumerate() {
            let is_ref = match &attribute.tuple {
                Some(TupleShape::Composite(idents)) => {
                    let member = idents.get(i).and_then(|ident| self.out.schema.attribute(*ident));
                    member.is_some_and(|member| member.is_ref())
                }
                Some(shape) => shape.member(i) == Some(ValueType::Ref),
                None => false,
            };
            if !is_ref || *member == Value::Nil {
                found.push(member.clone());
                continue;
            }
            match self.lookup_target(member, depth)? {
                Some(id) => found.push(Value::Ref(EntityId(id))),
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    /// The entity that is the value of a lookup ref.
    fn lookup_target(&mut self, value: &Value, depth: usize) -> Result<Option<u64>> {
        let entity = match value {
            Value::Ref(id) => EntityRef::Id(*id),
            Value::Long(n @ 1..) => EntityRef::Id(EntityId(*n as u64)),
            Value::Keyword(ident) => EntityRef::Ident(*ident),
            Value::Tuple(members) if depth < MAX_LOOKUPS => match &**members {
                [Value::Keyword(a), v] => EntityRef::Lookup(*a, v.clone()),
                _ => return Err(bad_lookup(value)),
            },
            _ => return Err(bad_lookup(value)),
        };
        self.lookup(&entity, depth + 1)
    }
}

/// The entity of the first current fact with that attribute and value.
pub(super) fn holder(snapshot: &Snapshot, key: Key) -> Result<Option<u64>> {
    let (from, to) = (Cut::before(key.clone()), Cut::after(key));
    let mut cursor = snapshot.index(Order::Avet).cursor(Some(&from), Some(&to), Direction::Forward)?;
    Ok(cursor.next()?.map(|chunk| chunk.columns.e.get(chunk.start)))
}

fn check_id(context: Context<'_>, id: EntityId) -> Result<()> {
    let max = context.snapshot.max_eid;
    let message = if id.0 == 0 || id > EntityId::MAX {
        format!("an entity id lies between 1 and {}, got {id}", EntityId::MAX)
    } else if id.is_transaction() && (id.0 == TX0 || id.0 > context.t) {
        format!("{id} lies among the ids of transactions, and there is no such transaction")
    } else if !id.is_transaction() && id.ordinal() > max.ordinal().saturating_add(MAX_JUMP) {
        format!("the entity id {id} lies more than {MAX_JUMP} above the largest so far, {max}")
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Transact, "transact/entity-id", message))
}

pub(super) fn missing(entity: &EntityRef) -> Error {
    let name = match entity {
        EntityRef::Id(id) => id.to_string(),
        EntityRef::Ident(ident) => ident.to_string(),
        EntityRef::Lookup(attribute, value) => format!("[{attribute} {}]", shorten(value)),
    };
    Error::new(ErrorKind::Transact, "entity-id/missing", format!("nothing found for the entity {name}"))
}

fn bad_lookup(value: &Value) -> Error {
    let message = format!("an entity was wanted as the value of a lookup ref, got {}", shorten(value));
    Error::new(ErrorKind::Transact, "lookup-ref/syntax", message)
}
