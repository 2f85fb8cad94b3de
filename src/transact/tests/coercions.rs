//! The table of `docs/values.md`: what attributes take, row by row; and how long values may be.

use super::{after, fails, run};
use crate::datom::{EntityId, Order, Value};
use crate::db::testing::empty_db;
use crate::db::{Components, Db};
use crate::edn::{Keyword, read};
use crate::schema::{SchemaFlexibility, ValueCaps, ValueType};

/// What stands in backticks.
fn spans(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// A database with an attribute `:x` as the first cell of a row says, and its type.
fn database(cell: &str) -> (Db, Option<ValueType>) {
    let (types, open) = (spans(cell), cell.contains(":read"));
    let flexibility = if open { SchemaFlexibility::Read } else { SchemaFlexibility::Write };
    let db = after(
        &empty_db(true, flexibility),
        "[{:db/ident :email :db/valueType :db.type/string :db/cardinality :db.cardinality/one
           :db/unique :db.unique/identity} {:db/id 20 :db/ident :green}]",
    );
    let db = after(&db, r#"[{:db/id 20 :email "a"}]"#);
    if open {
        return (db, None);
    }
    let members: Vec<String> = types[1..].iter().map(|member| format!(":db.type/{member}")).collect();
    let members = if members.is_empty() { String::new() } else { format!(":db/tupleTypes [{}]", members.join(" ")) };
    let definition =
        format!("[{{:db/ident :x :db/valueType :db.type/{} {members} :db/cardinality :db.cardinality/one}}]", types[0]);
    let value_type = ValueType::from_keyword(Keyword::new(&format!("db.type/{}", types[0])));
    (after(&db, &definition), Some(value_type.unwrap()))
}

/// What is kept of a value that is given.
fn kept(db: &Db, given: &str) -> Value {
    let db = after(db, &format!("[[:db/add 30 :x {given}]]"));
    let mut datoms = db.datoms(Order::Eavt, &Components::default().e(EntityId(30))).unwrap();
    datoms.next().unwrap().unwrap().v
}

#[test]
fn every_row_of_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/values.md");
    let page = std::fs::read_to_string(path).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| `:db/valueType`")).skip(2);
    let (mut types, mut examples) = (Vec::new(), 0);
    for line in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let [of, same, converted, refused] = cells[..] else { panic!("four cells were wanted: {line}") };
        let (db, value_type) = database(of);
        types.extend(value_type);
        for given in spans(same) {
            let value = Value::from_form(&read(given).unwrap()).unwrap();
            assert_eq!(kept(&db, given), value, "{given} for {of}");
        }
        for pair in spans(converted).chunks(2) {
            let value = kept(&db, pair[0]);
            assert_eq!(value.to_form().to_string(), pair[1], "{} for {of}", pair[0]);
            assert_eq!(Some(value.kind()), value_type.and_then(ValueType::kind), "{} for {of}", pair[0]);
        }
        for given in spans(refused) {
            let text = format!("[\n[:db/add 30 :x {given}]]");
            let code = if given == "nil" { "transact/nil" } else { "transact/schema" };
            let error = fails(&db, &text, code);
            assert!(error.message().contains(":x"), "{error}");
            assert_eq!(error.position(), Some((2, 16)), "the value: {error}");
        }
        examples += spans(same).len() + spans(converted).len() / 2 + spans(refused).len();
    }
    for keyword in ValueType::keywords() {
        assert!(types.iter().any(|known| known.keyword() == keyword), "{keyword} is not in the table");
    }
    assert!(examples > 90, "{examples}");
}

#[test]
fn what_is_asked_for_is_converted_as_what_is_given() {
    let db = after(
        &empty_db(true, SchemaFlexibility::Write),
        "[{:db/ident :x :db/valueType :db.type/double :db/cardinality :db.cardinality/one :db/unique :db.unique/value}]",
    );
    let db = after(&db, "[[:db/add 30 :x 2]]");
    let x = Keyword::new("x");
    assert_eq!(db.datoms(Order::Avet, &Components::default().a(x).v(2)).unwrap().count(), 1);
    assert_eq!(db.entid(&(x, 2).into()).unwrap(), Some(EntityId(30)));
    assert_eq!(db.index_range(x, Some(Value::Long((1 << 53) + 1)), None).unwrap().count(), 0);
}

fn capped(caps: ValueCaps) -> Db {
    let db = empty_db(true, SchemaFlexibility::Write);
    let mut snapshot = (**db.snapshot()).clone();
    snapshot.settings.caps = caps;
    after(
        &Db::new(std::sync::Arc::new(snapshot)),
        "[{:db/ident :s :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
          {:db/ident :short :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/maxLength 2}
          {:db/ident :free :db/valueType :db.type/string :db/cardinality :db.cardinality/many :db/maxLength 0}
          {:db/ident :b :db/valueType :db.type/bytes :db/cardinality :db.cardinality/one}
          {:db/ident :f :db/valueType :db.type/float-array :db/cardinality :db.cardinality/one}
          {:db/ident :d :db/valueType :db.type/double-array :db/cardinality :db.cardinality/one}
          {:db/ident :t :db/valueType :db.type/tuple :db/tupleTypes [:db.type/long :db.type/string]
           :db/cardinality :db.cardinality/one}
          {:db/ident :s+short :db/valueType :db.type/tuple :db/tupleAttrs [:s :short] :db/cardinality :db.cardinality/one}]",
    )
}

#[test]
fn values_are_not_longer_than_allowed() {
    let caps = ValueCaps {
        string: Some(4),
        bytes: Some(3),
        float_array: Some(2),
        double_array: Some(1),
        tuple_string: Some(3),
    };
    let db = capped(caps);
    for fine in [
        r#"{:s "äöüß"}"#,
        r#"{:short "ab"}"#,
        r#"{:free ["abcdefgh" "ijklmnop"]}"#,
        r#"{:b #bytes "010203"}"#,
        "{:f [1 2]}",
        "{:d [1]}",
        r#"{:t [1 "abc"]}"#,
        r#"{:db/doc "of the engine's own attributes"}"#,
    ] {
        after(&db, &format!("[{fine}]"));
    }
    for (long, part) in [
        (r#"{:s "abcde"}"#, ":s: a value of 5 characters is longer than 4, the :max-string-length of the database"),
        (r#"{:short "abc"}"#, ":short: a value of 3 characters is longer than 2, its :db/maxLength"),
        (r#"{:b #bytes "01020304"}"#, "4 bytes is longer than 3"),
        ("{:f [1 2 3]}", "3 floats is longer than 2"),
        ("{:d [1 2]}", "2 doubles is longer than 1"),
        (r#"{:t [1 "abcd"]}"#, ":max-tuple-string-length"),
    ] {
        let error = fails(&db, &format!("[\n{long}]"), "transact/max-length");
        assert!(error.message().contains(part), "{error}");
        let column = long.find(' ').unwrap() as u32 + 2;
        assert_eq!(error.position(), Some((2, column)), "the value: {error}");
    }
    assert!(run(&capped(ValueCaps::default()), format!("[{{:s {:?}}}]", "a".repeat(10_000))).is_ok());
}

#[test]
fn a_value_that_is_longer_than_a_later_bound_can_go() {
    let db = after(&capped(ValueCaps::default()), r#"[{:db/id 30 :s "abcdef"}]"#);
    let db = after(&db, "[{:db/ident :s :db/maxLength 2}]");
    fails(&db, r#"[[:db/add 31 :s "abcdef"]]"#, "transact/max-length");
    assert_eq!(super::does(&db, r#"[[:db/add 30 :s "abcdef"]]"#), [""; 0], "what is there is not asserted anew");
    assert_eq!(super::does(&db, r#"[[:db/retract 30 :s "abcdef"]]"#).len(), 2);
    assert_eq!(super::does(&db, r#"[[:db/cas 30 :s "abcdef" "ab"]]"#).len(), 4);
    fails(
        &db,
        "[{:db/ident :n :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/maxLength 2}]",
        "transact/schema",
    );
}
