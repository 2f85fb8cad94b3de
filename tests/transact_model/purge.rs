//! What is purged, before all else.

use std::collections::BTreeSet;

use treering::edn::{Form, FormKind, Keyword};
use treering::{TX0, Value};

use super::base::{Attribute, Base, LAST_OWN, Refused, Row, as_ref, kw, schema_of};
use super::read::Op;
use super::values;

const PURGE: Refused = "transact/purge";

pub struct Purged {
    pub rows: BTreeSet<Row>,
    /// The database without them, on which the rest of the transaction is made.
    pub base: Base,
    /// The composite tuples that held.
    pub broken: Vec<(u64, Keyword)>,
    /// The attributes whose definitions are gone.
    pub undefined: BTreeSet<Keyword>,
}

struct Purging<'a> {
    base: &'a Base,
    rows: BTreeSet<Row>,
    /// Entities of which everything is purged.
    whole: BTreeSet<u64>,
}

pub fn purge(base: &Base, ops: &[Op<'_>]) -> Result<Purged, Refused> {
    let is_purge = |op: &Op<'_>| matches!(op, Op::Call(name, _) if name.starts_with("purge"));
    if !ops.iter().any(is_purge) {
        let (rows, broken, undefined) = Default::default();
        return Ok(Purged { rows, base: base.clone(), broken, undefined });
    }
    let mut purging = Purging { base, rows: BTreeSet::new(), whole: BTreeSet::new() };
    let mut before = None;
    for op in ops {
        match op {
            Op::Call(name, arguments) if name.starts_with("purge") => match (name, &arguments[0].kind) {
                _ if !base.keep_history => return Err(PURGE),
                (&"purgeBefore", FormKind::Inst(at)) => before = before.max(Some(*at)),
                _ => purging.call(name, arguments)?,
            },
            _ => {}
        }
    }
    purging.tuples();
    if let Some(at) = before {
        let is_before = |row: &&Row| row.a == kw("db/txInstant") && row.v < Value::Instant(at);
        let last = base.rows.iter().filter(is_before).map(|row| row.tx).max().unwrap_or(TX0);
        purging.rows.extend(base.rows.iter().filter(|row| row.until.is_some_and(|until| until <= last)).cloned());
    }
    let rows = purging.rows;
    let mut without = base.clone();
    without.rows.retain(|row| !rows.contains(row));
    let defined = schema_of(&without.facts(), &BTreeSet::new(), base.write)?;
    let is_gone = |(name, of): &(&Keyword, &Attribute)| of.entity != 0 && !defined.contains_key(name);
    let undefined: BTreeSet<Keyword> = base.schema.iter().filter(is_gone).map(|(name, _)| *name).collect();
    if !base.write {
        without.used.extend(&undefined);
    }
    without.schema = schema_of(&without.facts(), &without.used, base.write)?;
    let is_tuple = |row: &&Row| row.until.is_none() && base.schema.get(&row.a).is_some_and(|a| a.members().is_some());
    let broken = rows.iter().filter(is_tuple).map(|row| (row.e, row.a)).collect();
    Ok(Purged { rows, broken, undefined, base: without })
}

impl Purging<'_> {
    fn call(&mut self, name: &str, arguments: &[Form]) -> Result<(), Refused> {
        let e = self.entity(&arguments[0])?;
        let Some(a) = arguments.get(1).and_then(Form::as_keyword) else { return self.entities(vec![e]) };
        let attribute = self.base.schema.get(&a).ok_or("attribute/unknown")?;
        let is_map = |form: &Form| form.pairs().is_some();
        let has_map = |form: &&Form| is_map(form) || form.items().is_some_and(|items| items.iter().any(is_map));
        if !attribute.is_ref() && arguments.get(2).as_ref().is_some_and(has_map) {
            return Err(PURGE);
        }
        let v = arguments.get(2).map(|v| self.value(a, attribute, v)).transpose()?;
        let is_meant = |row: &&Row| row.e == e && row.a == a && v.as_ref().is_none_or(|v| row.v == *v);
        let rows: Vec<Row> = self.base.rows.iter().filter(is_meant).cloned().collect();
        let parts = if name == "purgeAttribute" { self.components(&rows) } else { Vec::new() };
        self.add(e, rows)?;
        self.entities(parts)
    }

    fn add(&mut self, e: u64, rows: Vec<Row>) -> Result<(), Refused> {
        if self.base.refs && e <= LAST_OWN {
            return Err("transact/system-entity");
        }
        if rows.iter().any(|row| row.a == kw("db/txInstant")) {
            return Err("transact/tx-instant");
        }
        self.rows.extend(rows);
        Ok(())
    }

    fn components(&self, rows: &[Row]) -> Vec<u64> {
        let is_component = |row: &&Row| self.base.schema.get(&row.a).is_some_and(|a| a.component);
        let to = |row: &Row| if let Value::Ref(to) = row.v { Some(to.0) } else { None };
        rows.iter().filter(is_component).filter_map(to).collect()
    }

    fn entities(&mut self, mut pending: Vec<u64>) -> Result<(), Refused> {
        while let Some(e) = pending.pop() {
            if !self.whole.insert(e) {
                continue;
            }
            let rows: Vec<Row> = self.base.rows.iter().filter(|row| row.e == e).cloned().collect();
            pending.extend(self.components(&rows));
            self.add(e, rows)?;
            let refers = |row: &&Row| row.v == as_ref(e) && self.base.schema.get(&row.a).is_some_and(Attribute::is_ref);
            self.rows.extend(self.base.rows.iter().filter(refers).cloned());
        }
        Ok(())
    }

    /// Composite tuples that hold a purged value.
    fn tuples(&mut self) {
        let holds = |row: &&Row| {
            let (Some(members), Value::Tuple(held)) =
                (self.base.schema.get(&row.a).and_then(Attribute::members), &row.v)
            else {
                return false;
            };
            let is_gone = |(a, v): (&Keyword, &Value)| self.rows.iter().any(|x| x.e == row.e && x.a == *a && x.v == *v);
            members.iter().zip(held.iter()).any(is_gone)
        };
        let tuples: Vec<Row> = self.base.rows.iter().filter(holds).cloned().collect();
        self.rows.extend(tuples);
    }

    /// The entity that a form names, now or else in the past.
    fn entity(&self, form: &Form) -> Result<u64, Refused> {
        let (a, v) = match &form.kind {
            FormKind::Int(n @ 1..) => {
                let id = *n as u64;
                let was_given_out = if (TX0..1 << 40).contains(&id) {
                    (id > TX0 || self.base.refs) && id <= self.base.basis
                } else {
                    id <= self.base.max_eid
                };
                return if was_given_out { Ok(id) } else { Err(PURGE) };
            }
            FormKind::Keyword(k) if k.as_str() != "db/current-tx" => (kw("db/ident"), Value::Keyword(*k)),
            FormKind::Vector(items) | FormKind::List(items) => {
                let [a, v] = &items[..] else { return Err(PURGE) };
                let a = a.as_keyword().ok_or(PURGE)?;
                let attribute = self.base.schema.get(&a).ok_or("attribute/unknown")?;
                if attribute.unique.is_none() {
                    return Err("lookup-ref/unique");
                }
                (a, self.value(a, attribute, v)?)
            }
            // Tempids name nothing that is there.
            _ => return Err(PURGE),
        };
        let named = |is_current: bool| {
            let named = self.base.rows.iter().filter(|row| row.a == a && row.v == v);
            named.filter(|row| row.until.is_none() == is_current).map(|row| row.e).collect::<BTreeSet<u64>>()
        };
        match named(true).first() {
            Some(e) => Ok(*e),
            None if named(false).len() == 1 => Ok(named(false).pop_first().expect("there is one")),
            None => Err(PURGE),
        }
    }

    fn value(&self, a: Keyword, attribute: &Attribute, form: &Form) -> Result<Value, Refused> {
        if attribute.is_ref() {
            return self.entity(form).map(as_ref);
        }
        let v = if form.is_nil() { Value::Nil } else { values::named(a, form)? };
        if let (Some(members), Value::Tuple(given)) = (attribute.members(), &v)
            && members.len() != given.len()
        {
            return Err("lookup-ref/syntax|transact/schema");
        }
        values::check(&self.base.schema, attribute, v)
    }
}
