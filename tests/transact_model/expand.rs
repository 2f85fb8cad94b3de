//! Operations to facts, in the order in which they are written.

use std::collections::BTreeSet;

use treering::edn::{Form, FormKind, Keyword};
use treering::{TX0, TempId, Value};

use super::base::{Attribute, Base, Refused, SCHEMA, Schema, as_ref, kw};
use super::read::{Op, check_ident, declare, is_collection};
use super::values;

/// The entity of a fact, or a value that is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Term {
    Id(u64),
    /// The place in `names`.
    Temp(usize),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Val {
    Is(Value),
    Temp(usize),
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Add(Val),
    Retract(Value),
    RetractAll,
    RetractAttribute,
    RetractEntity,
    Cas(Option<Value>, Value),
}

#[derive(Debug, Clone)]
pub struct Fact {
    pub e: Term,
    pub a: Keyword,
    pub what: What,
    /// Said by `:tx-meta`.
    pub meta: bool,
    /// Said by a map.
    pub map: bool,
}

/// What stands for an entity that is not known yet.
#[derive(Debug, Clone, PartialEq)]
pub enum Name {
    Temp(TempId),
    /// A map without `:db/id`.
    Map,
    /// An ident that the tx-data asserts.
    Ident(Keyword),
}

pub struct Expanded {
    pub facts: Vec<Fact>,
    /// Entities that must be as a spec wants them: both.
    pub ensures: Vec<(Term, Term)>,
    pub names: Vec<Name>,
    /// The largest id that is named and no transaction's.
    pub max_named: u64,
    /// The schema that the transaction works with.
    pub schema: Schema,
    pub used: BTreeSet<Keyword>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// `:db/add` and maps.
    Assert,
    /// Compare-and-set: no tempids.
    Exact,
    /// What is not there is no error.
    TakeBack,
}

struct Expander<'a> {
    base: &'a Base,
    t: u64,
    idents: BTreeSet<Keyword>,
    meta: bool,
    map: bool,
    out: Expanded,
}

fn is_transaction(id: u64) -> bool {
    (TX0..1 << 40).contains(&id)
}

pub fn expand(base: &Base, t: u64, meta: &[(Form, Form)], ops: &[Op<'_>]) -> Result<Expanded, Refused> {
    let (schema, idents) = declare(base, ops)?;
    let out = Expanded {
        facts: Vec::new(),
        ensures: Vec::new(),
        names: Vec::new(),
        max_named: 0,
        schema,
        used: base.used.clone(),
    };
    let mut expander = Expander { base, t, idents, meta: true, map: true, out };
    expander.entries(Term::Id(t), meta)?;
    expander.meta = false;
    for op in ops {
        expander.map = matches!(op, Op::Map(_));
        match op {
            Op::Map(pairs) => drop(expander.map(pairs)?),
            Op::Call(name, arguments) if !name.starts_with("purge") => expander.call(name, arguments)?,
            // They were made before.
            Op::Call(..) | Op::Function(..) | Op::Installed(..) => {}
        }
    }
    Ok(expander.out)
}

impl Expander<'_> {
    fn attribute(&mut self, a: Keyword) -> Result<Attribute, Refused> {
        if !self.out.schema.contains_key(&a) {
            // It is used as a ref of many values, and nothing is stored of it.
            if a == kw("db/ensure") {
                return Ok(Attribute { value_type: Some("ref".to_owned()), many: true, ..Attribute::default() });
            }
            if self.base.write {
                return Err("attribute/unknown");
            }
            check_ident(a)?;
            self.out.used.insert(a);
            self.out.schema.insert(a, Attribute::default());
        }
        Ok(self.out.schema[&a].clone())
    }

    fn name(&mut self, name: Name) -> Term {
        let known = if name == Name::Map { None } else { self.out.names.iter().position(|n| *n == name) };
        Term::Temp(known.unwrap_or_else(|| {
            self.out.names.push(name);
            self.out.names.len() - 1
        }))
    }

    fn id(&mut self, id: u64, mode: Mode) -> Result<Term, Refused> {
        let refused = Err("transact/entity-id");
        if is_transaction(id) {
            return if id > TX0 && id <= self.t { Ok(Term::Id(id)) } else { refused };
        }
        let ordinal = |id: u64| if id < TX0 { id } else { id - ((1 << 40) - TX0) };
        if ordinal(id) > ordinal(self.base.max_eid) + (1 << 32) {
            return refused;
        }
        if mode != Mode::TakeBack {
            self.out.max_named = self.out.max_named.max(id);
        }
        Ok(Term::Id(id))
    }

    /// The entity that a form names; `None` where it finds none.
    fn entity(&mut self, form: &Form, mode: Mode) -> Result<Option<Term>, Refused> {
        let temp = match &form.kind {
            FormKind::Int(n) if *n > 0 => return self.id(*n as u64, mode).map(Some),
            FormKind::Int(n) => TempId::Int(*n),
            FormKind::Str(text) => match TempId::from(&**text) {
                TempId::CurrentTx => return Ok(Some(Term::Id(self.t))),
                temp => temp,
            },
            FormKind::Keyword(k) if k.as_str() == "db/current-tx" => return Ok(Some(Term::Id(self.t))),
            FormKind::Keyword(k) => {
                return match self.base.owner(kw("db/ident"), &Value::Keyword(*k)) {
                    Some(e) => Ok(Some(Term::Id(e))),
                    None if mode == Mode::Assert && self.idents.contains(k) => Ok(Some(self.name(Name::Ident(*k)))),
                    None => Ok(None),
                };
            }
            FormKind::Vector(items) | FormKind::List(items) => return Ok(self.lookup(items)?.map(Term::Id)),
            _ => return Err("entity-id/syntax"),
        };
        if mode == Mode::Assert { Ok(Some(self.name(Name::Temp(temp)))) } else { Err("transact/syntax") }
    }

    fn lookup(&mut self, items: &[Form]) -> Result<Option<u64>, Refused> {
        let [a, v] = items else { return Err("lookup-ref/syntax") };
        let a = a.as_keyword().ok_or("lookup-ref/syntax")?;
        let attribute = self.out.schema.get(&a).cloned().ok_or("attribute/unknown")?;
        if attribute.unique.is_none() {
            return Err("lookup-ref/unique");
        }
        if let (Some(members), Some(given)) = (attribute.members(), v.items())
            && members.len() != given.len()
        {
            return Err("lookup-ref/syntax");
        }
        let v = if let (Some(members), Some(given)) = (attribute.members(), v.items()) {
            let mut found = Vec::new();
            for (a, v) in members.iter().zip(given) {
                let is_ref = self.out.schema.get(a).is_some_and(Attribute::is_ref);
                found.push(match is_ref && !v.is_nil() {
                    true => match self.target(v)? {
                        Some(e) => Value::Long(e as i64),
                        None => return Ok(None),
                    },
                    false if v.is_nil() => Value::Nil,
                    false => values::plain(v)?,
                });
            }
            values::check(&self.out.schema, &attribute, Value::Tuple(found.into()))?
        } else if !attribute.is_ref() {
            let known = |form: &Form| if form.is_nil() { Ok(Value::Nil) } else { values::plain(form) };
            values::check(&self.out.schema, &attribute, known(v)?)?
        } else {
            match self.target(v)? {
                Some(e) => as_ref(e),
                None => return Ok(None),
            }
        };
        Ok(self.base.owner(a, &v))
    }

    /// A composite tuple that is told: whole, and of entities that are there.
    fn tuple(&mut self, members: &[Keyword], form: &Form) -> Result<Value, Refused> {
        let items =
            form.items().filter(|items| matches!(form.kind, FormKind::Vector(_)) && items.len() == members.len());
        let mut values = Vec::new();
        for (a, v) in members.iter().zip(items.ok_or(SCHEMA)?) {
            let of = self.out.schema.get(a).cloned();
            values.push(match of {
                _ if v.is_nil() => return Err(SCHEMA),
                Some(of) if of.is_ref() => as_ref(self.target(v)?.ok_or(SCHEMA)?),
                Some(of) => values::check(&self.out.schema, &of, values::plain(v)?)?,
                None => values::plain(v)?,
            });
        }
        Ok(Value::Tuple(values.into()))
    }

    /// The entity that is the value of a lookup ref.
    fn target(&mut self, form: &Form) -> Result<Option<u64>, Refused> {
        if !matches!(&form.kind, FormKind::Int(1..) | FormKind::Keyword(_) | FormKind::Vector(_)) {
            return Err("lookup-ref/syntax");
        }
        Ok(match self.entity(form, Mode::TakeBack)? {
            Some(Term::Id(e)) => Some(e),
            _ => None,
        })
    }

    fn must(&mut self, form: &Form, mode: Mode) -> Result<Term, Refused> {
        self.entity(form, mode)?.ok_or("entity-id/missing")
    }

    fn push(&mut self, e: Term, a: Keyword, what: What) {
        let (meta, map) = (self.meta, self.map);
        if let (What::Add(spec), true) = (&what, a == kw("db/ensure")) {
            let spec = match spec {
                Val::Is(Value::Ref(id)) => Term::Id(id.0),
                Val::Temp(n) => Term::Temp(*n),
                Val::Is(_) => unreachable!("it is a ref"),
            };
            self.out.ensures.push((e, spec));
            return;
        }
        self.out.facts.push(Fact { e, a, what, meta, map });
    }

    /// A value of an attribute; `None` where it is an entity that is not found.
    fn value(&mut self, a: Keyword, attribute: &Attribute, form: &Form, mode: Mode) -> Result<Option<Val>, Refused> {
        if attribute.members().is_some() {
            return Err(SCHEMA);
        }
        if !attribute.is_ref() || form.is_nil() {
            let v = values::named(a, form)?;
            return values::check(&self.out.schema, attribute, v).map(|v| Some(Val::Is(v)));
        }
        let is_name = matches!(&form.kind, FormKind::Int(_) | FormKind::Str(_) | FormKind::Keyword(_))
            || form
                .items()
                .is_some_and(|items| items.len() == 2 && items[0].as_keyword().is_some() && items[1].pairs().is_none());
        if !is_name {
            return Err(SCHEMA);
        }
        Ok(self.entity(form, mode)?.map(|term| match term {
            Term::Id(e) => Val::Is(as_ref(e)),
            Term::Temp(n) => Val::Temp(n),
        }))
    }

    fn call(&mut self, name: &str, arguments: &[Form]) -> Result<(), Refused> {
        let mode = match name {
            "add" => Mode::Assert,
            "cas" => Mode::Exact,
            _ => Mode::TakeBack,
        };
        let a = arguments.get(1).map(|a| a.as_keyword().expect("it was read"));
        if a == Some(kw("db/ensure")) && mode != Mode::Assert && (mode == Mode::Exact || self.base.write) {
            return Err("attribute/unknown");
        }
        if let (Some(a), Mode::TakeBack) = (a, mode) {
            // What nobody used is nowhere.
            if !self.base.write && !self.out.schema.contains_key(&a) {
                return self.entity(&arguments[0], mode).map(drop);
            }
            self.attribute(a)?;
        }
        let e = match self.entity(&arguments[0], mode)? {
            Some(e) => e,
            None if mode == Mode::TakeBack => return Ok(()),
            None => return Err("entity-id/missing"),
        };
        let Some(a) = a else {
            self.push(e, kw("db/ident"), What::RetractEntity);
            return Ok(());
        };
        let attribute = self.attribute(a)?;
        let known = |value: Option<Val>| match value {
            Some(Val::Is(v)) => Ok(v),
            _ => Err("entity-id/missing"),
        };
        let what = match (name, &arguments[2..]) {
            ("add", [v]) => return self.entry(e, a, &attribute, v, false),
            ("retract", [v]) => match self.value(a, &attribute, v, mode)? {
                Some(Val::Is(v)) => What::Retract(v),
                _ => return Ok(()),
            },
            ("retract", _) => What::RetractAll,
            ("retractAttribute", _) => What::RetractAttribute,
            (_, [old, new]) => {
                if attribute.members().is_some() {
                    return Err(SCHEMA);
                }
                let old = if old.is_nil() { None } else { Some(self.value(a, &attribute, old, mode)?) };
                let old = old.map(known).transpose()?;
                let new = known(self.value(a, &attribute, new, mode)?)?;
                What::Cas(old, new)
            }
            _ => unreachable!("it was read"),
        };
        self.push(e, a, what);
        Ok(())
    }

    fn map(&mut self, pairs: &[(Form, Form)]) -> Result<Term, Refused> {
        let id = pairs.iter().find(|(k, _)| k.as_keyword() == Some(kw("db/id")));
        let e = match id {
            Some((_, id)) => self.must(id, Mode::Assert)?,
            None => self.name(Name::Map),
        };
        self.entries(e, pairs)?;
        Ok(e)
    }

    fn entries(&mut self, e: Term, pairs: &[(Form, Form)]) -> Result<(), Refused> {
        for (k, form) in pairs {
            let k = k.as_keyword().ok_or("transact/syntax")?;
            if k.as_str() == "db/id" {
                continue;
            }
            let forward = k.name().strip_prefix('_').map(|name| match k.namespace() {
                Some(ns) => Keyword::new(&format!("{ns}/{name}")),
                None => Keyword::new(name),
            });
            let a = forward.unwrap_or(k);
            let attribute = self.attribute(a)?;
            if forward.is_some() && !attribute.is_ref() {
                return Err("transact/syntax");
            }
            let several = attribute.many || forward.is_some();
            match is_collection(form) {
                Some(items) if several && !(attribute.is_ref() && self.is_lookup(form)) => {
                    let mut items: Vec<&Form> = items.iter().collect();
                    if matches!(form.kind, FormKind::Set(_)) && items.iter().all(|item| item.pairs().is_none()) {
                        // The members of a set have no order of their own.
                        items.sort_by_cached_key(|item| values::plain(item).unwrap_or(Value::Nil));
                    }
                    for item in items {
                        self.entry(e, a, &attribute, item, forward.is_some())?;
                    }
                }
                _ => self.entry(e, a, &attribute, form, forward.is_some())?,
            }
        }
        Ok(())
    }

    /// A vector of two whose head is a unique attribute, if the other is no map.
    fn is_lookup(&self, form: &Form) -> bool {
        let Some([head, other]) = form.items() else { return false };
        let attribute = head.as_keyword().and_then(|k| self.out.schema.get(&k));
        other.pairs().is_none() && attribute.is_some_and(|attribute| attribute.unique.is_some())
    }

    fn entry(&mut self, e: Term, a: Keyword, of: &Attribute, form: &Form, reverse: bool) -> Result<(), Refused> {
        if let Some(members) = of.members() {
            let v = self.tuple(members, form).map_err(|_| SCHEMA)?;
            self.push(e, a, What::Add(Val::Is(v)));
            return Ok(());
        }
        let value = match form.pairs() {
            Some(pairs) if of.is_ref() => match self.map(pairs)? {
                Term::Id(id) => Val::Is(as_ref(id)),
                Term::Temp(n) => Val::Temp(n),
            },
            _ => self.value(a, of, form, Mode::Assert)?.ok_or("entity-id/missing")?,
        };
        if reverse {
            let (from, to) = (value, e);
            let from = match from {
                Val::Is(Value::Ref(id)) => Term::Id(id.0),
                Val::Temp(n) => Term::Temp(n),
                Val::Is(_) => return Err("transact/syntax"),
            };
            let to = match to {
                Term::Id(id) => Val::Is(as_ref(id)),
                Term::Temp(n) => Val::Temp(n),
            };
            self.push(from, a, What::Add(to));
        } else {
            self.push(e, a, What::Add(value));
        }
        Ok(())
    }
}
