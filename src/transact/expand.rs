//! Expand: operations become facts, entity maps one for each value. Names other than tempids become ids on the way (see
//! [`super::resolve`]), values become what their attribute keeps (see [`super::check`]).

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::datom::{AttrId, EntityId, Value};
use crate::db::EntityRef;
use crate::edn::{Keyword, Symbol};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{
    Attribute, Cardinality, Schema, SchemaFlexibility, TupleShape, Unique, ValueType, builtin, change,
};

use super::check::{convert, mismatch};
use super::declare::Declared;
use super::fact::{Context, Fact, META, TEMP, Temps, What};
use super::input::{EntityMap, Given, Op, Subject, TempId};
use super::place::Part;
use super::predicates::{ENSURE, Ensure};
use super::read::MAX_DEPTH;

/// Attributes whose values name functions.
const NAMING: [AttrId; 3] = [builtin::FN, builtin::ATTR_PREDS, builtin::ENTITY_PREDS];

/// What the stage leaves.
pub(super) struct Expanded {
    pub facts: Vec<Fact>,
    pub temps: Temps,
    /// The largest id that the tx-data names itself, transactions left out; 0 for none.
    pub max_named: u64,
    /// The schema with the attributes that the transaction brings.
    pub schema: Arc<Schema>,
    pub interned: Vec<(Keyword, AttrId)>,
    /// What `:db/ensure` asks for.
    pub ensures: Vec<Ensure>,
}

pub(super) struct Expander<'a> {
    pub context: Context<'a>,
    pub out: Expanded,
    /// Idents that the tx-data asserts, and the places of those it also uses before they are.
    pub idents: HashSet<Keyword>,
    pub named_by_ident: HashMap<Keyword, u64>,
    /// `:db/ensure`, as if it were an attribute.
    ensure: Arc<Attribute>,
    /// The operation at hand.
    pub op: u32,
}

pub(super) fn expand(context: Context<'_>, declared: Declared, meta: EntityMap, ops: Vec<Op>) -> Result<Expanded> {
    let of_op = |op: &Op| if let Op::Entity(entity) = op { entity.attributes.len() } else { 1 };
    let mut facts = Vec::with_capacity(1 + ops.iter().map(of_op).sum::<usize>());
    // The first fact is when the transaction happens; the instant is filled in once all is expanded.
    facts.push(Fact {
        e: context.t,
        a: builtin::TX_INSTANT,
        op: META,
        v: Value::Nil,
        what: What::Add,
        identity: false,
        map: false,
    });
    let Declared { schema, interned, idents } = declared;
    let temps = Temps::with_room(ops.len());
    let out = Expanded { facts, temps, max_named: 0, schema, interned, ensures: Vec::new() };
    let ensure = Arc::new(Attribute {
        value_type: Some(ValueType::Ref),
        cardinality: Cardinality::Many,
        ..Attribute::undeclared(ENSURE, Keyword::new("db/ensure"))
    });
    let mut expander = Expander { context, out, idents, named_by_ident: HashMap::new(), ensure, op: META };
    let t = context.t;
    for (a, given) in meta.attributes {
        expander.assert(t, a, given, META, true, 0).map_err(|error| context.locate(META, error))?;
    }
    for (i, op) in ops.into_iter().enumerate() {
        expander.op = i as u32;
        expander.op(op, i as u32).map_err(|error| context.locate(i as u32, error))?;
    }
    Ok(expander.out)
}

impl Expander<'_> {
    fn op(&mut self, op: Op, n: u32) -> Result<()> {
        match op {
            Op::Entity(entity) => self.entity(entity, n, 0).map(drop),
            Op::Add { e, a, v } => {
                let e = self.subject(&e).map_err(|error| self.point(&Part::Entity, error))?;
                self.assert(e, a, v, n, false, 0)
            }
            // What is taken away need not exist, so naming it moves no counter.
            Op::Retract { .. } | Op::RetractAttribute { .. } | Op::RetractEntity { .. } => {
                let max_named = self.out.max_named;
                self.retraction(op, n)?;
                self.out.max_named = max_named;
                Ok(())
            }
            // Done before: see `purge`.
            Op::Purge { .. } | Op::PurgeAttribute { .. } | Op::PurgeEntity { .. } | Op::PurgeHistoryBefore { .. } => {
                Ok(())
            }
            Op::Cas { e, a, old, new } => {
                let Some(e) = self.existing(&e)? else { return Err(self.point(&Part::Entity, self.missing(&e))) };
                let attribute = self.attribute(a).map_err(|error| self.point(&Part::Attribute(a), error))?;
                if attribute.id == ENSURE {
                    return Err(self.point(&Part::Attribute(a), self.unknown(a)));
                }
                self.refuse_composite(&attribute)?;
                let old = old.map_or(Ok(Value::Nil), |old| self.settled(&attribute, old))?;
                let new = self.settled(&attribute, new)?;
                self.push(e, &attribute, new, n, What::Cas(Box::new(old)));
                Ok(())
            }
            // All calls were made before.
            Op::Call { .. } => Ok(()),
        }
    }

    fn retraction(&mut self, op: Op, n: u32) -> Result<()> {
        match op {
            Op::Retract { e, a, v } => {
                let known = self.known(a).map_err(|error| self.point(&Part::Attribute(a), error))?;
                let (Some(attribute), Some(e)) = (known, self.existing(&e)?) else { return Ok(()) };
                let (v, what) = match v {
                    Some(v) if attribute.is_ref() => match self.existing(&target(&attribute, v)?)? {
                        Some(id) => (Value::Ref(EntityId(id)), What::Retract),
                        None => return Ok(()),
                    },
                    Some(v) => (self.settled(&attribute, v)?, What::Retract),
                    None => (Value::Nil, What::RetractAll),
                };
                self.push(e, &attribute, v, n, what);
                Ok(())
            }
            Op::RetractAttribute { e, a } => {
                let known = self.known(a).map_err(|error| self.point(&Part::Attribute(a), error))?;
                let (Some(attribute), Some(e)) = (known, self.existing(&e)?) else { return Ok(()) };
                self.push(e, &attribute, Value::Nil, n, What::RetractAttribute);
                Ok(())
            }
            Op::RetractEntity { e } => {
                let Some(e) = self.existing(&e)? else { return Ok(()) };
                let (v, what) = (Value::Nil, What::RetractEntity);
                self.out.facts.push(Fact { e, a: AttrId(0), op: n, v, what, identity: false, map: false });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Expands the map of an entity; answers with its id or tempid.
    fn entity(&mut self, entity: EntityMap, n: u32, depth: usize) -> Result<u64> {
        if depth > MAX_DEPTH {
            let message = format!("entity maps are nested deeper than {MAX_DEPTH}");
            return Err(Error::new(ErrorKind::Limit, "transact/depth", message));
        }
        let e = match &entity.id {
            Some(id) => self.subject(id).map_err(|error| self.point(&Part::Entity, error))?,
            None => self.out.temps.anonymous(),
        };
        for (a, given) in entity.attributes {
            self.assert(e, a, given, n, true, depth)?;
        }
        Ok(e)
    }

    /// Asserts what is given for an attribute of `e`. Only maps know reverse attributes and collections of values.
    fn assert(&mut self, e: u64, a: Keyword, given: Given, n: u32, map: bool, depth: usize) -> Result<()> {
        let found = if map { self.attribute_or_reverse(a) } else { self.attribute(a).map(|known| (known, false)) };
        let (attribute, reverse) = found.map_err(|error| self.point(&Part::Attribute(a), error))?;
        if reverse && !attribute.is_ref() {
            let message = format!("{a}: a reverse attribute wants an attribute of :db.type/ref");
            return Err(Error::new(ErrorKind::Transact, "transact/syntax", message));
        }
        if let Some(TupleShape::Composite(_)) = attribute.tuple {
            return self.claim(e, &attribute, given, n, map).map_err(|error| self.point(&Part::Attribute(a), error));
        }
        let takes_many = map && (reverse || attribute.is_many());
        match given {
            Given::Many(all) if takes_many => {
                all.into_iter().try_for_each(|one| self.assert_one(e, &attribute, reverse, one, n, map, depth))
            }
            Given::Value(Value::Tuple(ref all)) if takes_many && self.is_lookup(&attribute, all) => {
                self.assert_one(e, &attribute, reverse, given, n, map, depth)
            }
            Given::Value(Value::Tuple(all) | Value::Set(all)) if takes_many => {
                let mut values = all.iter().cloned().map(Given::Value);
                values.try_for_each(|one| self.assert_one(e, &attribute, reverse, one, n, map, depth))
            }
            one => self.assert_one(e, &attribute, reverse, one, n, map, depth),
        }
    }

    /// A composite tuple may be told where it is what its members come to: it can name the entity.
    fn claim(&mut self, e: u64, attribute: &Attribute, given: Given, n: u32, map: bool) -> Result<()> {
        let Given::Value(Value::Tuple(given)) = given else { return self.refuse_composite(attribute) };
        let v = match self.claimed(attribute, &given) {
            Ok(Some(v)) => v,
            // A part of a tuple names nobody, nor does what is none.
            Ok(None) => return self.refuse_composite(attribute),
            Err(error) if error.kind() == ErrorKind::Transact => {
                let message = error.message().to_owned();
                return Err(Error::new(ErrorKind::Transact, "transact/schema", message).caused_by(error));
            }
            Err(error) => return Err(error),
        };
        let identity = attribute.unique == Some(Unique::Identity) && e & TEMP != 0;
        self.out.facts.push(Fact { e, a: attribute.id, op: n, v, what: What::Add, identity, map });
        Ok(())
    }

    /// The whole tuple of members that name entities where they are refs.
    fn claimed(&mut self, attribute: &Attribute, given: &[Value]) -> Result<Option<Value>> {
        match self.lookup_members(attribute, given, 0)? {
            Some(members) if !members.contains(&Value::Nil) => {
                super::composite::key(&self.out.schema, attribute, &Value::Tuple(members.into())).map(Some)
            }
            _ => Ok(None),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one assertion, private to the stage")]
    fn assert_one(
        &mut self,
        e: u64,
        attribute: &Attribute,
        reverse: bool,
        given: Given,
        n: u32,
        map: bool,
        depth: usize,
    ) -> Result<()> {
        let v = match given {
            Given::Nested(entity) if attribute.is_ref() => {
                // The map comes before the ref to it, so that a report reads as if it had been written first.
                let child = self.entity(entity, n, depth + 1)?;
                Value::Ref(EntityId(child))
            }
            other => self.value(attribute, other)?,
        };
        match v {
            Value::Ref(target) if reverse => {
                let v = Value::Ref(EntityId(e));
                self.push_add(target.0, attribute, v, n, map);
            }
            v => self.push_add(e, attribute, v, n, map),
        }
        Ok(())
    }

    /// Shows in an error a part of the operation at hand.
    fn point(&self, part: &Part<'_>, error: Error) -> Error {
        self.context.source.point(self.op, part, error)
    }

    /// The value that is given, as the attribute keeps it; a tempid stands for its entity.
    fn value(&mut self, attribute: &Attribute, given: Given) -> Result<Value> {
        // Errors of text show the value, which converting takes apart.
        let kept = match &given {
            Given::Value(value) if self.context.source.text.is_some() => Some(value.clone()),
            _ => None,
        };
        let value = self.convert(attribute, given);
        value.map_err(|error| self.point(&Part::Value(attribute.ident, kept.as_ref()), error))
    }

    fn convert(&mut self, attribute: &Attribute, given: Given) -> Result<Value> {
        match given {
            given if attribute.is_ref() => Ok(Value::Ref(EntityId(self.subject(&target(attribute, given)?)?))),
            Given::Value(Value::Tuple(members)) if attribute.has_refs() => {
                let shape = attribute.tuple.as_ref();
                let member = |(i, v): (usize, &Value)| match shape.and_then(|shape| shape.member(i)) {
                    Some(ValueType::Ref) if *v != Value::Nil => target(attribute, Given::Value(v.clone()))
                        .and_then(|subject| Ok(Value::Ref(EntityId(self.subject(&subject)?))))
                        .map_err(|e| e.context(format_args!("member {i} of the tuple"))),
                    _ => Ok(v.clone()),
                };
                let members: Vec<Value> = members.iter().enumerate().map(member).collect::<Result<_>>()?;
                convert(attribute, members.into())
            }
            Given::Value(value) => convert(attribute, function_name(attribute, value)),
            given => Err(misplaced(attribute, &given)),
        }
    }

    /// A value in a place where no tempid may stand.
    fn settled(&mut self, attribute: &Attribute, given: Given) -> Result<Value> {
        if attribute.is_ref() {
            let subject = target(attribute, given)?;
            let id = self.existing(&subject).and_then(|id| id.ok_or_else(|| self.missing(&subject)));
            let id = id.map_err(|error| self.point(&Part::Value(attribute.ident, None), error))?;
            return Ok(Value::Ref(EntityId(id)));
        }
        let value = self.value(attribute, given)?;
        let members = if let Value::Tuple(members) = &value { &members[..] } else { &[] };
        for member in members {
            if let Value::Ref(id) = member
                && id.0 & TEMP != 0
            {
                let error = tempid_misplaced(&self.out.temps.describe(id.0));
                return Err(self.point(&Part::Value(attribute.ident, None), error));
            }
        }
        Ok(value)
    }

    /// The entity of an operation that takes away; `None` where the name means nothing.
    fn existing(&mut self, subject: &Subject) -> Result<Option<u64>> {
        match subject {
            Subject::Temp(TempId::CurrentTx) => Ok(Some(self.context.t)),
            Subject::Entity(entity) => self.lookup(entity, 0),
            Subject::Temp(tempid) => Err(tempid_misplaced(&format!("the tempid {tempid}"))),
        }
    }

    /// Whether a vector in the place of a ref's values is a lookup ref.
    fn is_lookup(&self, attribute: &Attribute, members: &[Value]) -> bool {
        match members {
            [Value::Keyword(head), _] if attribute.is_ref() => {
                self.out.schema.attribute(*head).is_some_and(|a| a.unique.is_some())
            }
            _ => false,
        }
    }

    /// The attribute of that name. Without a declaration it is refused or, where the schema is for reading only, made.
    fn attribute(&mut self, ident: Keyword) -> Result<Arc<Attribute>> {
        if let Some(known) = self.out.schema.attribute(ident) {
            return Ok(Arc::clone(known));
        }
        if ident == self.ensure.ident {
            return Ok(Arc::clone(&self.ensure));
        }
        if self.out.schema.flexibility() == SchemaFlexibility::Write {
            return Err(self.unknown(ident));
        }
        change::check_ident(ident)?;
        let id = Arc::make_mut(&mut self.out.schema).intern(ident);
        self.out.interned.push((ident, id));
        Ok(Arc::new(Attribute::undeclared(id, ident)))
    }

    /// As [`attribute`](Self::attribute), and where the name means nothing itself, the attribute that it reverses.
    fn attribute_or_reverse(&mut self, ident: Keyword) -> Result<(Arc<Attribute>, bool)> {
        if let Some(known) = self.out.schema.attribute(ident) {
            return Ok((Arc::clone(known), false));
        }
        match ident.name().strip_prefix('_') {
            Some(name) if !name.is_empty() => {
                let forward = ident.namespace().map_or_else(|| name.to_owned(), |ns| format!("{ns}/{name}"));
                Ok((self.attribute(Keyword::new(&forward))?, true))
            }
            _ => Ok((self.attribute(ident)?, false)),
        }
    }

    /// The attribute of that name; `None` where facts with it cannot be.
    fn known(&mut self, ident: Keyword) -> Result<Option<Arc<Attribute>>> {
        match self.out.schema.attribute(ident) {
            Some(known) => Ok(Some(Arc::clone(known))),
            None if self.out.schema.flexibility() == SchemaFlexibility::Read => Ok(None),
            None => Err(self.unknown(ident)),
        }
    }

    pub(super) fn unknown(&self, ident: Keyword) -> Error {
        unknown(&self.out.schema, ident)
    }

    fn refuse_composite(&self, attribute: &Attribute) -> Result<()> {
        match attribute.tuple {
            Some(TupleShape::Composite(_)) => {
                let message = format!("{} is a composite tuple: the transactor keeps its value", attribute.ident);
                Err(Error::new(ErrorKind::Transact, "transact/schema", message))
            }
            _ => Ok(()),
        }
    }

    fn missing(&self, subject: &Subject) -> Error {
        match subject {
            Subject::Entity(entity) => super::resolve::missing(entity),
            Subject::Temp(tempid) => tempid_misplaced(&format!("the tempid {tempid}")),
        }
    }

    fn push_add(&mut self, e: u64, attribute: &Attribute, v: Value, n: u32, map: bool) {
        if let (ENSURE, Value::Ref(spec)) = (attribute.id, &v) {
            self.out.ensures.push(Ensure { op: n, e, spec: spec.0 });
            return;
        }
        let identity = attribute.unique == Some(Unique::Identity);
        self.out.facts.push(Fact { e, a: attribute.id, op: n, v, what: What::Add, identity, map });
    }

    fn push(&mut self, e: u64, attribute: &Attribute, v: Value, n: u32, what: What) {
        self.out.facts.push(Fact { e, a: attribute.id, op: n, v, what, identity: false, map: false });
    }
}

/// Functions are named by symbols and, where tx-data has no others, by keywords.
pub(super) fn function_name(attribute: &Attribute, value: Value) -> Value {
    match value {
        Value::Keyword(name) if NAMING.contains(&attribute.id) => Value::Symbol(Symbol::new(name.as_str())),
        other => other,
    }
}

/// The entity that is given as a value of a ref attribute.
fn target(attribute: &Attribute, given: Given) -> Result<Subject> {
    let value = match given {
        Given::Value(value) => value,
        Given::Entity(subject) => return Ok(subject),
        given => return Err(misplaced(attribute, &given)),
    };
    match value {
        Value::Ref(id) => Ok(Subject::from(id)),
        Value::Long(n) => Ok(Subject::from(n)),
        Value::Str(text) => Ok(Subject::Temp(TempId::named(text))),
        Value::Keyword(ident) => Ok(Subject::from(ident)),
        Value::Tuple(ref members) => match &**members {
            [Value::Keyword(a), v] => Ok(Subject::Entity(EntityRef::Lookup(*a, v.clone()))),
            _ => Err(mismatch(attribute, ValueType::Ref, &value)),
        },
        other => Err(mismatch(attribute, ValueType::Ref, &other)),
    }
}

pub(super) fn unknown(schema: &Schema, ident: Keyword) -> Error {
    let hint = schema.nearest(ident).map(|k| format!("; did you mean {k}?")).unwrap_or_default();
    let message = format!("the attribute {ident} is not defined in the schema of the database{hint}");
    Error::new(ErrorKind::Transact, "attribute/unknown", message)
}

/// The error of what cannot be one value of the attribute.
fn misplaced(attribute: &Attribute, given: &Given) -> Error {
    let message = match given {
        Given::Many(_) => format!("{}: one value was wanted, got several", attribute.ident),
        _ if attribute.is_ref() => format!("{}: a map may not stand here, name the entity", attribute.ident),
        _ => format!("{}: an entity is a value of :db.type/ref attributes only", attribute.ident),
    };
    Error::new(ErrorKind::Transact, "transact/schema", message)
}

fn tempid_misplaced(what: &str) -> Error {
    let message = format!("{what} stands where an existing entity was wanted; tempids go in :db/add and entity maps");
    Error::new(ErrorKind::Transact, "transact/syntax", message)
}
