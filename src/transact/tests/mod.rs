//! Tests of transactions. Every transaction that is made here is also replayed from its record.

mod anything;
mod changes;
mod claims;
mod coercions;
mod errors;
mod forms;
mod functions;
mod large;
mod model;
mod purges;
mod schema;
mod tuples;

use super::{IntoTxData, TempId, Transacted, TxRecord, transact};
use crate::datom::{EntityId, Key, OPEN, Order, Row, TX0};
use crate::db::testing::empty_db;
use crate::db::{Db, Snapshot};
use crate::edn::Keyword;
use crate::error::{Error, Result};
use crate::index::Direction;
use crate::schema::{SchemaFlexibility, builtin};

const SCHEMA: &str = "[
  {:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
  {:db/ident :email :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
  {:db/ident :login :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/unique :db.unique/value}
  {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :score :db/valueType :db.type/double :db/cardinality :db.cardinality/one}
  {:db/ident :aka :db/valueType :db.type/string :db/cardinality :db.cardinality/many}
  {:db/ident :friend :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}
  {:db/ident :boss :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}
  {:db/ident :part :db/valueType :db.type/ref :db/cardinality :db.cardinality/many :db/isComponent true}
  {:db/ident :badge :db/valueType :db.type/ref :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
  {:db/ident :code :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/maxLength 3}
  {:db/ident :note :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/noHistory true}
  {:db/ident :point :db/valueType :db.type/tuple :db/tupleTypes [:db.type/long :db.type/double]
   :db/cardinality :db.cardinality/one}
  {:db/ident :path :db/valueType :db.type/tuple :db/tupleType :db.type/keyword :db/cardinality :db.cardinality/one}]";

/// The first entity after those of the schema.
const FIRST: u64 = 15;

fn run(db: &Db, data: impl IntoTxData) -> Result<Transacted> {
    let made = transact(db, data.into_tx_data()?, 1000)?;
    let before = db.snapshot();
    let record = TxRecord::decode(&made.record().encode()?)?;
    assert_eq!(record, made.record());
    assert_same(&record.replay(before).unwrap(), made.report.db_after.snapshot());
    Ok(made)
}

fn rows(snapshot: &Snapshot, order: Order) -> Vec<Row> {
    let mut cursor = snapshot.index(order).cursor(None, None, Direction::Forward).unwrap();
    let mut rows = Vec::new();
    while let Some(chunk) = cursor.next().unwrap() {
        rows.extend(chunk.rows().map(|i| chunk.columns.row(i)));
    }
    rows
}

fn assert_same(x: &Snapshot, y: &Snapshot) {
    for order in Order::ALL {
        assert_eq!(rows(x, order), rows(y, order), "{order:?}");
    }
    assert_eq!((x.basis_t, x.max_eid, x.last_instant), (y.basis_t, y.max_eid, y.last_instant));
    assert_eq!(x.schema.attributes(), y.schema.attributes());
    assert_eq!(x.schema.next_id(), y.schema.next_id());
}

fn people() -> Db {
    run(&empty_db(true, SchemaFlexibility::Write), SCHEMA).unwrap().report.db_after
}

fn after(db: &Db, data: &str) -> Db {
    run(db, data).unwrap_or_else(|error| panic!("{data}: {error:?}")).report.db_after
}

/// What a transaction did, `:db/txInstant` left out.
fn did(made: &Transacted) -> Vec<String> {
    let db = &made.report.db_after;
    let shown = made.report.tx_data.iter().filter(|d| d.a != builtin::TX_INSTANT);
    shown
        .map(|d| {
            let sign = if d.added { '+' } else { '-' };
            format!("{sign} {} {} {:?}", d.e, db.ident(d.a).unwrap(), d.v)
        })
        .collect()
}

fn does(db: &Db, data: &str) -> Vec<String> {
    did(&run(db, data).unwrap_or_else(|error| panic!("{data}: {error:?}")))
}

/// The current facts of users' entities that are no attributes.
fn facts(db: &Db) -> Vec<String> {
    let user = |row: &Row| row.e >= FIRST && row.e < TX0;
    let show = |row: Row| format!("{} {} {:?}", row.e, db.ident(row.a).unwrap(), row.v);
    rows(db.snapshot(), Order::Eavt).into_iter().filter(user).map(show).collect()
}

fn fails(db: &Db, data: &str, code: &str) -> Error {
    let error = run(db, data).map(|made| did(&made)).expect_err(data);
    assert_eq!(error.code(), code, "{data}: {error:?}");
    error
}

#[test]
fn schema_and_first_facts() {
    let empty = empty_db(true, SchemaFlexibility::Write);
    let made = run(&empty, SCHEMA).unwrap();
    let db = made.report.db_after;
    assert_eq!(db.basis_t(), EntityId(TX0 + 1));
    assert_eq!(db.max_eid(), EntityId(FIRST - 1));
    let email = db.attribute(Keyword::new("email")).unwrap();
    assert!(email.in_avet() && email.entity == 2);
    assert_eq!(made.interned.len(), 14);
    assert_eq!(db.snapshot().last_instant, 1000);
    let made = run(&db, r#"[{:name "Alice" :age 30} {:db/id "b" :name "Bob"} [:db/add "b" :friend "c"]]"#).unwrap();
    assert_eq!(did(&made), [r#"+ 15 :name "Alice""#, "+ 15 :age 30", r#"+ 16 :name "Bob""#, "+ 16 :friend #17"]);
    let report = &made.report;
    assert_eq!(report.resolve("b"), Some(EntityId(16)));
    assert_eq!(report.resolve(":db/current-tx"), Some(EntityId(TX0 + 2)));
    assert_eq!(report.db_after.snapshot().last_instant, 1001, "an instant lies after the last");
}

#[test]
fn attributes_are_used_where_they_are_defined() {
    let db = empty_db(true, SchemaFlexibility::Write);
    let made = run(
        &db,
        r#"[{:x 1} [:db/add "a" :db/ident :x] [:db/add "a" :db/valueType :db.type/long]
            [:db/add "a" :db/cardinality :db.cardinality/many] {:db/id 7 :x [2 3]}]"#,
    );
    assert_eq!(made.unwrap().report.db_after.max_eid(), EntityId(9));
    fails(&db, "[{:db/ident :x :db/valueType :db.type/long}]", "transact/schema");
    fails(&db, "[{:db/ident :db.x/y :db/valueType :db.type/long}]", "transact/schema");
    fails(&db, "[{:db/ident :db/y}]", "transact/schema");
    fails(&db, "[{:db/ident :y} {:y 1}]", "attribute/unknown");
}

#[test]
fn replacing_and_repeating() {
    let db = after(&people(), r#"[{:db/id 20 :name "A" :aka ["x" "y"]}]"#);
    assert_eq!(does(&db, r#"[{:db/id 20 :name "A" :aka "x"}]"#), [""; 0]);
    assert_eq!(does(&db, r#"[[:db/add 20 :name "B"]]"#), [r#"- 20 :name "A""#, r#"+ 20 :name "B""#]);
    assert_eq!(does(&db, r#"[[:db/add 20 :name "B"] [:db/add 20 :name "A"]]"#), [""; 0]);
    assert_eq!(does(&db, r#"[[:db/retract 20 :name] [:db/add 20 :name "A"]]"#), [""; 0]);
    assert_eq!(
        does(&db, r#"[[:db/retract 20 :aka "x"] [:db/add 20 :aka "z"]]"#),
        [r#"- 20 :aka "x""#, r#"+ 20 :aka "z""#]
    );
    assert_eq!(does(&db, "[[:db/retract 20 :aka]]"), [r#"- 20 :aka "x""#, r#"- 20 :aka "y""#]);
    assert_eq!(does(&db, r#"[[:db/retract 20 :name "C"] [:db/retract 99 :name]  nil]"#), [""; 0]);
    let row = db.first(Order::Eavt, Key { e: Some(20), ..Key::default() }).unwrap().unwrap();
    assert_eq!((row.tx, row.until), (TX0 + 2, OPEN));
}

#[test]
fn tempids_find_entities() {
    let db = after(&people(), r#"[{:email "a" :name "A"} {:email "b" :name "B"}]"#);
    let made =
        run(&db, r#"[{:db/id -1 :email "a" :age 3} [:db/add "n" :friend -1] [:db/add "n" :email "b"]]"#).unwrap();
    assert_eq!(did(&made), ["+ 15 :age 3", "+ 16 :friend #15"]);
    assert_eq!(made.report.tempids[0], (TempId::Int(-1), EntityId(15)));
    assert_eq!(does(&db, r#"[{:email "c" :name "C"} {:email "c" :age 1}]"#).len(), 3, "two maps mean one new entity");
    fails(&db, r#"[{:db/id -1 :email "a"} [:db/add -1 :email "b"]]"#, "transact/upsert");
    fails(&db, r#"[{:db/id 15 :email "b"}]"#, "transact/upsert");
    fails(&db, r#"[[:db/add 15 :email "b"]]"#, "transact/unique");
    fails(&db, r#"[{:db/id 33 :email "q"} {:db/id 34 :email "q"}]"#, "transact/upsert");
    fails(&db, r#"[{:login "q"} {:login "q"}]"#, "transact/unique");
    assert_eq!(does(&db, r#"[[:db/retract 16 :email "b"] [:db/add 15 :email "b"]]"#).len(), 3, "the value moves");
}

#[test]
fn tempids_find_entities_late() {
    let db = after(&people(), r#"[{:db/id 20 :email "a"} {:db/id 21 :badge 20 :name "badge"}]"#);
    assert_eq!(does(&db, r#"[{:db/id "b" :badge "a" :age 1} {:db/id "a" :email "a"}]"#), ["+ 21 :age 1"]);
    assert_eq!(
        does(&db, r#"[{:db/id "x" :badge "n" :age 1} {:db/id "y" :badge "n" :name "y"}]"#),
        ["+ 22 :badge #23", "+ 22 :age 1", r#"+ 22 :name "y""#]
    );
}
