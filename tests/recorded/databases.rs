//! Recorded databases: the schema, which no datom tells, and the datoms, which are loaded.

use std::collections::BTreeSet;

use treering::edn::{Form, Keyword};
use treering::{
    AttrId, Attribute, Cardinality, Datom, Db, EntityId, FIRST_USER_ATTRIBUTE, LoadOptions, RawAttribute, RawDatom,
    Result, SchemaFlexibility, TX0, TupleShape, Unique, Value, ValueType, db_testing, load_onto,
};

use crate::cases::get;
use crate::oracle::canon;

/// A recorded database.
#[derive(Debug)]
pub struct Recorded {
    pub db: Db,
    /// The ids of transactions are greater here by so much: there a database can hold datoms of the transaction before
    /// the first.
    pub shift: u64,
}

/// A datom as it was recorded: entity, attribute, value, transaction, assertion.
pub type Fact = (u64, String, Value, u64, bool);

pub fn fact(form: &Form) -> Option<Fact> {
    let [e, a, v, tx, added] = form.items()? else { return None };
    let a = a.as_keyword().map(|a| a.as_str().to_owned()).or_else(|| a.as_str().map(str::to_owned))?;
    Some((e.as_int()? as u64, a, canon(&Value::from_form(v)?), tx.as_int()? as u64, added.as_bool()?))
}

pub fn facts(form: Option<&Form>) -> Vec<Fact> {
    crate::cases::members(form).iter().map(|form| fact(form).unwrap_or_else(|| panic!("no datom: {form}"))).collect()
}

impl Recorded {
    pub fn fact(&self, datom: &Datom) -> Fact {
        let a = self.db.ident(datom.a).map_or(String::new(), |a| a.as_str().to_owned());
        let e = if datom.e.is_transaction() { datom.e.0 - self.shift } else { datom.e.0 };
        (e, a, canon(&datom.v), datom.tx.0 - self.shift, datom.added)
    }
}

/// The facts of a database after `recorded`, in the order of entities.
pub fn all(recorded: &Recorded, db: &Db) -> Vec<Fact> {
    let after = Recorded { db: db.clone(), shift: recorded.shift };
    let datoms = db.datoms(treering::Order::Eavt, &treering::Components::default()).expect("datoms");
    datoms.map(|datom| after.fact(&datom.expect("a datom"))).collect()
}

fn attributes(schema: Option<&Form>) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    for (n, (name, facts)) in schema.and_then(Form::pairs).unwrap_or(&[]).iter().enumerate() {
        let Some(ident) = name.as_keyword().filter(|ident| ident.as_str() != "db/ident") else { continue };
        let mut attribute = Attribute::undeclared(AttrId(FIRST_USER_ATTRIBUTE.0 + n as u32), ident);
        let word = |key: &str| get(facts, key).and_then(Form::as_keyword).map(|k| k.as_str().to_owned());
        // Other types mean nothing there.
        if word("db/valueType").as_deref() == Some("db.type/ref") {
            attribute.value_type = Some(ValueType::Ref);
        }
        if word("db/cardinality").as_deref() == Some("db.cardinality/many") {
            attribute.cardinality = Cardinality::Many;
        }
        attribute.unique = match word("db/unique").as_deref() {
            Some("db.unique/identity") => Some(Unique::Identity),
            Some("db.unique/value") => Some(Unique::Value),
            _ => None,
        };
        attribute.indexed = get(facts, "db/index").and_then(Form::as_bool).unwrap_or(false);
        attribute.component = get(facts, "db/isComponent").and_then(Form::as_bool).unwrap_or(false);
        if let Some(members) = get(facts, "db/tupleAttrs").and_then(Form::items) {
            attribute.value_type = Some(ValueType::Tuple);
            attribute.tuple = Some(TupleShape::Composite(members.iter().filter_map(Form::as_keyword).collect()));
            attribute.indexed = true;
        }
        attributes.push(attribute);
    }
    attributes
}

/// For each composite tuple that is of a later transaction than its members: its entity, a member that it lacks, and the
/// transactions in which that member went and in which the last of the others came.
fn members_taken_away(attributes: &[Attribute], facts: &[Fact]) -> BTreeSet<(u64, String, u64, u64)> {
    let mut gone = BTreeSet::new();
    for attribute in attributes {
        let Some(TupleShape::Composite(members)) = &attribute.tuple else { continue };
        for (e, _, v, tx, _) in facts.iter().filter(|(_, a, ..)| a == attribute.ident.as_str()) {
            let Value::Tuple(values) = v else { continue };
            let of_member = |a: &Keyword| facts.iter().find(|(f, b, ..)| f == e && b == a.as_str()).map(|f| f.3);
            let last = members.iter().filter_map(of_member).max();
            let lacks = members.iter().zip(values.iter()).find(|(_, v)| **v == Value::Nil);
            if let (Some(last), Some((a, _))) = (last.filter(|last| last < tx), lacks) {
                gone.insert((*e, a.as_str().to_owned(), *tx, last));
            }
        }
    }
    gone
}

/// The database that a record describes.
pub fn database(form: &Form) -> Result<Recorded> {
    database_for(form, &Form::nil())
}

/// The database that a record describes, for tx-data that may speak of the transaction before the first.
pub fn database_for(form: &Form, data: &Form) -> Result<Recorded> {
    let recorded = facts(get(form, "datoms"));
    let filtered = get(form, "filtered").is_some();
    let number = |key: &str| get(form, key).and_then(Form::as_int).map_or(0, |n| n as u64);
    let is_spoken_of = |op: &Form| op.items().is_some_and(|op| op.get(1).and_then(Form::as_int) == Some(TX0 as i64));
    let shifted = data.items().unwrap_or(&[]).iter().any(is_spoken_of);
    let made = load_shifted(get(form, "schema"), recorded, number("max-eid"), number("max-tx"), shifted)?;
    let db = if filtered { made.db.filter(|_, _| true) } else { made.db };
    Ok(Recorded { db, ..made })
}

/// Loads datoms into a database with a schema.
pub fn load(schema: Option<&Form>, facts: Vec<Fact>, max_eid: u64, max_tx: u64) -> Result<Recorded> {
    load_shifted(schema, facts, max_eid, max_tx, false)
}

/// What was there before a state, which only the state tells of: an id that was given out, a transaction that left
/// nothing, and the member of a composite tuple that is of a later transaction than the members that it still has.
fn load_shifted(
    schema: Option<&Form>,
    mut facts: Vec<Fact>,
    max_eid: u64,
    max_tx: u64,
    shifted: bool,
) -> Result<Recorded> {
    let shift = u64::from(shifted || facts.iter().any(|(e, _, _, tx, _)| *tx == TX0 || *e == TX0));
    let db = db_testing::empty_db(false, SchemaFlexibility::Read);
    let attributes = attributes(schema);
    for (e, a, tx, last) in members_taken_away(&attributes, &facts) {
        let was = Value::from("was there");
        facts.push((e, a.clone(), was.clone(), last, true));
        facts.push((e, a, was, tx, false));
    }
    let db = db_testing::with_attributes(&db, attributes);
    let has_first = facts.iter().any(|(.., tx, _)| *tx == TX0);
    let mut datoms: Vec<RawDatom> = facts
        .into_iter()
        .map(|(e, a, v, tx, added)| {
            let a = RawAttribute::Ident(Keyword::new(&a));
            let e = if EntityId(e).is_transaction() { e + shift } else { e };
            RawDatom { e: EntityId(e), a, v, tx: EntityId(tx + shift), added }
        })
        .collect();
    let word = |name: &str| RawAttribute::Ident(Keyword::new(name));
    if shift == 1 && !has_first && max_tx > TX0 {
        let (e, v) = (EntityId(TX0 + 1), Value::Instant(0));
        datoms.push(RawDatom { e, a: word("db/txInstant"), v, tx: e, added: true });
    }
    let last = EntityId(max_tx + shift);
    if last.0 > TX0 {
        let instant = (last.0 - TX0) as i64;
        datoms.push(RawDatom { e: last, a: word("db/txInstant"), v: Value::Instant(instant), tx: last, added: true });
        if max_eid > 0 {
            let v = Value::from("was there");
            datoms.push(RawDatom { e: EntityId(max_eid), a: word("db/doc"), v, tx: last, added: false });
        }
    }
    let (db, _) = load_onto(&db, datoms.into_iter().map(Ok), &LoadOptions::default())?;
    Ok(Recorded { db, shift })
}
