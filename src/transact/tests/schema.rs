//! Definitions and their changes.

use super::{after, does, fails, people, rows, run};
use crate::datom::Order;
use crate::db::testing::empty_db;
use crate::edn::Keyword;
use crate::schema::{Cardinality, SchemaFlexibility};

#[test]
fn definitions_must_be_whole_and_make_sense() {
    let db = empty_db(true, SchemaFlexibility::Write);
    for wrong in [
        "[{:db/ident :x :db/cardinality :db.cardinality/one}]",
        "[{:db/ident :x :db/valueType :db.type/long}]",
        "[{:db/valueType :db.type/long :db/cardinality :db.cardinality/one}]",
        "[{:db/ident :x :db/valueType :db.type/lang :db/cardinality :db.cardinality/one}]",
        "[{:db/ident :x :db/valueType :db.type/long :db/cardinality :db.cardinality/two}]",
        "[{:db/ident :x :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/unique :yes}]",
        "[{:db/ident :x :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/isComponent true}]",
        "[{:db/ident :x :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/maxLength -1}]",
        "[{:db/ident :x :db/valueType :db.type/tuple :db/cardinality :db.cardinality/one}]",
        "[{:db/ident :x :db/valueType :db.type/tuple :db/tupleTypes [] :db/cardinality :db.cardinality/one}]",
        "[{:db/ident :x :db/valueType :db.type/tuple :db/tupleAttrs [:y] :db/tupleType :db.type/long
           :db/cardinality :db.cardinality/one}]",
        "[{:db/ident :x :db/valueType :db.type/tuple :db/tupleAttrs [1] :db/cardinality :db.cardinality/one}]",
        "[{:db/ident :x/_y :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]",
        "[{:db/id 5 :db/ident :x :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
          [:db/retract 5 :db/valueType :db.type/long]]",
        "[{:db/id 5 :db/ident :x :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
          [:db/retractEntity 5]]",
    ] {
        fails(&db, wrong, "transact/schema");
    }
    let error = fails(&db, "[{:db/ident :x :db/unique :db.unique/value}]", "transact/schema");
    assert!(error.message().contains(":db/valueType and :db/cardinality missing"), "{error}");
}

#[test]
fn what_may_change() {
    let db = after(&people(), r#"[{:db/id 20 :name "A" :aka ["x" "y"] :email "e"} {:db/id 21 :name "A" :code "abc"}]"#);
    for fine in [
        "[{:db/ident :name :db/doc \"d\" :db/noHistory true :db/maxLength 1}]",
        "[{:db/ident :friend :db/isComponent true} [:db/retract :part :db/isComponent true]]",
        "[{:db/ident :email :db/unique :db.unique/value}]",
        "[{:db/ident :login :db/unique :db.unique/identity}]",
        "[{:db/ident :name :db/cardinality :db.cardinality/many}]",
        "[{:db/ident :friend :db/cardinality :db.cardinality/one}]",
        "[{:db/ident :age :db/valueType :db.type/string}]",
        "[{:db/ident :code :db/unique :db.unique/value}]",
        "[[:db/retractEntity :age]]",
        "[{:db/id :age :db/ident :years}]",
        "[{:db/id :age :db/ident :years :db/valueType :db.type/string :db/cardinality :db.cardinality/many}]",
        "[{:db/id 4 :db/ident :years :db/valueType :db.type/string :db/cardinality :db.cardinality/many}]",
    ] {
        after(&db, fine);
    }
    for wrong in [
        "[{:db/ident :name :db/valueType :db.type/symbol}]",
        "[{:db/ident :aka :db/cardinality :db.cardinality/one}]",
        "[{:db/ident :email :db/cardinality :db.cardinality/many}]",
        "[[:db/retract :email :db/unique]]",
        "[[:db/retractEntity :name]]",
        "[{:db/id :name :db/ident :full-name}]",
        "[{:db/id :name :db/ident :age}]",
    ] {
        let error = run(&db, wrong).map(|_| ()).expect_err(wrong);
        assert!(matches!(error.code(), "transact/schema" | "transact/upsert"), "{wrong}: {error:?}");
    }
    fails(&db, "[{:db/ident :name :db/unique :db.unique/value}]", "transact/unique");
    let indexed = after(&db, "[{:db/ident :name :db/index true}]");
    fails(&indexed, "[{:db/ident :name :db/index false}]", "transact/schema");
    fails(&indexed, "[[:db/retract :name :db/index true]]", "transact/schema");
}

/// A refused change says which facts stand in its way, how many there are, and where it was asked for.
#[test]
fn a_refused_change_names_what_stands_in_its_way() {
    let facts: Vec<String> =
        (20..26).map(|e| format!("{{:db/id {e} :name \"n{}\" :aka [\"x{e}\" \"y\"]}}", e % 2)).collect();
    let db = after(&people(), &format!("[{}]", facts.join(" ")));
    for (change, code, parts) in [
        (
            "{:db/ident :name :db/valueType :db.type/symbol}",
            "transact/schema",
            [":db/valueType cannot change", "(6; retract them", r#"[20 :name "n0"] [21 :name "n1"] [22 :name "n0"] …"#],
        ),
        (
            "[:db/add :aka :db/cardinality :db.cardinality/one]",
            "transact/schema",
            ["(6 have; retract all but one)", r#"[20 :aka "x20"] [20 :aka "y"] [21 :aka "x21"]"#, "…"],
        ),
        (
            "{:db/ident :name :db/unique :db.unique/value}",
            "transact/unique",
            ["(2 shared values;", r#": [20 :name "n0"] [22 :name "n0"] [21 :name "n1"] [23 :name "n1"]"#, ":name"],
        ),
    ] {
        let error = fails(&db, &format!("[\n{change}]"), code);
        parts.iter().for_each(|part| assert!(error.message().contains(part), "{error}"));
        assert_eq!(error.position(), Some((2, 1)), "{error}");
    }
    let db = after(&db, &format!("[{}]", (20..26).map(|e| format!("[:db/retract {e} :name]")).collect::<String>()));
    let error = fails(&db, "[{:db/ident :name :db/valueType :db.type/symbol}]", "transact/schema");
    assert!(error.message().contains("(6 in history; history counts too: purge them"), "{error}");
}

#[test]
fn an_index_that_comes_later_holds_all() {
    let db = after(&people(), r#"[{:db/id 20 :name "A"} {:db/id 21 :name "B"} {:db/id 22 :name "C"}]"#);
    let db = after(&db, r#"[{:db/id 20 :name "D"}]"#);
    let early = after(&after(&db, "[{:db/ident :name :db/index true}]"), r#"[[:db/retract 22 :name]]"#);
    let at_once = after(&db, r#"[[:db/retract 22 :name] {:db/ident :name :db/index true} {:db/id 23 :name "E"}]"#);
    let name = early.attribute(Keyword::new("name")).unwrap().id;
    let held = |db: &crate::Db, order| {
        let mut held: Vec<_> = rows(db.snapshot(), order).into_iter().filter(|row| row.a == name).collect();
        held.sort_by_key(|row| (row.e, row.tx));
        held
    };
    for db in [&early, &at_once] {
        assert_eq!(held(db, Order::Avet), held(db, Order::Aevt));
        assert_eq!(held(db, Order::HistoryAvet), held(db, Order::HistoryAevt));
        assert_eq!(held(db, Order::HistoryAvet).len(), 2);
    }
}

#[test]
fn what_needs_no_history_leaves_none() {
    let db = after(&people(), r#"[{:db/id 20 :note "a" :name "a"}]"#);
    let db = after(&db, r#"[{:db/id 20 :note "b" :name "b"}]"#);
    assert_eq!(rows(db.snapshot(), Order::HistoryEavt).len(), 1);
}

#[test]
fn undeclared_attributes_get_declared() {
    let db = after(&empty_db(true, SchemaFlexibility::Read), "[{:tag 1}]");
    let id = db.attribute(Keyword::new("tag")).unwrap().id;
    let db = after(&db, "[{:db/ident :tag :db/cardinality :db.cardinality/many :db/index true}]");
    let tag = db.attribute(Keyword::new("tag")).unwrap();
    assert_eq!((tag.id, tag.cardinality), (id, Cardinality::Many));
    assert_eq!(does(&db, "[{:db/id 1 :tag [1 2]}]"), ["+ 1 :tag 2"]);
    fails(&db, "[{:db/ident :tag :db/valueType :db.type/string}]", "transact/schema");
    fails(&db, "[{:db/fancy 1}]", "transact/schema");
}

#[test]
fn composite_tuples_follow_their_members() {
    let db = after(
        &people(),
        "[{:db/ident :age+code :db/valueType :db.type/tuple :db/tupleAttrs [:age :code] :db/unique :db.unique/identity
           :db/cardinality :db.cardinality/one}]",
    );
    let db = after(&db, r#"[{:db/id 20 :age 1 :code "a"} {:db/id 21 :age 1 :name "n"}]"#);
    assert_eq!(does(&db, r#"[[:db/add [:age+code [1 "a"]] :name "x"]]"#), [r#"+ 20 :name "x""#]);
    assert_eq!(does(&db, r#"[[:db/add [:age+code [1 nil]] :name "x"]]"#).len(), 2);
    let changed = [r#"- 20 :age 1"#, "+ 20 :age 2", r#"- 20 :age+code [1, "a"]"#, r#"+ 20 :age+code [2, "a"]"#];
    assert_eq!(does(&db, "[[:db/add 20 :age 2]]"), changed);
    assert_eq!(does(&db, "[[:db/retract 21 :age]]"), ["- 21 :age 1", "- 21 :age+code [1, nil]"]);
    fails(&db, r#"[[:db/add 21 :code "a"]]"#, "transact/unique");
    fails(&db, r#"[[:db/add 21 :age+code [3 "b"]]]"#, "transact/schema");
    fails(
        &db,
        "[{:db/ident :x :db/valueType :db.type/tuple :db/tupleAttrs [:aka] :db/cardinality :db.cardinality/one}]",
        "transact/schema",
    );
}

#[test]
fn a_composite_tuple_stays_where_its_members_come_back() {
    let db = after(
        &people(),
        "[{:db/ident :age+code :db/valueType :db.type/tuple :db/tupleAttrs [:age :code] :db/cardinality :db.cardinality/one}]",
    );
    let db = after(&db, r#"[{:db/id 20 :age 1 :code "a"}]"#);
    assert_eq!(does(&db, r#"[[:db/retractEntity 20] {:db/id 20 :age 1 :code "a"}]"#), [""; 0]);
    let half = [r#"- 20 :code "a""#, r#"- 20 :age+code [1, "a"]"#, "+ 20 :age+code [1, nil]"];
    assert_eq!(does(&db, "[[:db/retractEntity 20] {:db/id 20 :age 1}]"), half);
    let all = ["- 20 :age 1", r#"- 20 :code "a""#, r#"- 20 :age+code [1, "a"]"#];
    assert_eq!(does(&db, "[[:db/retractEntity 20]]"), all);
    assert_eq!(does(&db, "[[:db/retract 20 :age+code]]"), [""; 0], "the transactor keeps its value");
}

#[test]
fn a_refused_change_of_type_over_mixed_values_is_an_error() {
    let db = after(&empty_db(true, SchemaFlexibility::Read), r#"[{:db/ident :x :db/index true} {:x 5} {:x "a"}]"#);
    fails(
        &db,
        r#"[{:db/ident :x :db/valueType :db.type/long} {:db/id 20 :x "b"} {:db/id 21 :x 7} {:db/id 22 :x -7}]"#,
        "transact/schema",
    );
    let forgetful = after(
        &empty_db(false, SchemaFlexibility::Read),
        r#"[{:db/ident :x :db/index true} {:db/id 20 :x 5} {:db/id 21 :x "a"}]"#,
    );
    let db = after(
        &forgetful,
        "[[:db/retract 20 :x] [:db/retract 21 :x] {:db/ident :x :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]",
    );
    let x = db.attribute(Keyword::new("x")).unwrap().id;
    assert!(rows(db.snapshot(), Order::Avet).iter().all(|row| row.a != x));
}

/// Tuples are filled in only where the schema may follow: else they would stand beside values of another kind.
#[test]
fn an_attribute_in_use_does_not_become_a_composite_tuple() {
    let db = after(&people(), "[{:db/id 20 :boss 21 :email \"a\"}]");
    fails(
        &db,
        "[{:db/ident :email :db/valueType :db.type/tuple :db/tupleAttrs [:boss]} {:email \"x\"}]",
        "transact/schema",
    );
}

#[test]
fn a_name_that_is_defined_anew_is_not_given_to_another_attribute() {
    let db = after(
        &empty_db(true, SchemaFlexibility::Write),
        "[{:db/ident :g :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}]",
    );
    let defined = "{:db/ident :a :db/valueType :db.type/double :db/cardinality :db.cardinality/many}";
    fails(&db, &format!("[[:db/add :g :db/ident :a] {defined}]"), "transact/schema");
    let renamed = after(&db, "[[:db/add :g :db/ident :a]]");
    assert_eq!(after(&renamed, &format!("[{defined}]")).attribute(Keyword::new("a")).unwrap().entity, 1);
}
