//! Tuples: as identities, with refs, and composite ones over attributes that are in use.

use super::super::Op;
use super::{after, did, does, fails, people, run};
use crate::datom::{Datom, EntityId, TX0, Value};
use crate::db::{Db, EntityRef};
use crate::edn::Keyword;
use crate::schema::builtin;

const TUPLES: &str = "[{:db/ident :a :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :rank :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :b :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
  {:db/ident :a+b :db/valueType :db.type/tuple :db/tupleAttrs [:a :b] :db/cardinality :db.cardinality/one
   :db/unique :db.unique/identity}
  {:db/ident :boss+rank :db/valueType :db.type/tuple :db/tupleAttrs [:boss :rank] :db/cardinality :db.cardinality/one
   :db/unique :db.unique/identity}
  {:db/ident :edge :db/valueType :db.type/tuple :db/tupleTypes [:db.type/ref :db.type/long]
   :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
  {:db/ident :hops :db/valueType :db.type/tuple :db/tupleType :db.type/ref :db/cardinality :db.cardinality/one}]";

fn tuples() -> Db {
    let db = after(&people(), TUPLES);
    after(&db, r#"[{:db/id 40 :a 1 :b "x" :email "e"} {:db/id 41 :boss 40 :rank 2} {:db/id 42 :edge [40 7]}]"#)
}

#[test]
fn a_composite_identity_names_the_entity() {
    let db = tuples();
    assert_eq!(does(&db, r#"[{:a 1 :b "x" :name "n"}]"#), [r#"+ 40 :name "n""#]);
    assert_eq!(
        does(&db, r#"[[:db/add "t" :b "x"] [:db/add "t" :name "n"] [:db/add "t" :a 1]]"#),
        [r#"+ 40 :name "n""#]
    );
    assert_eq!(does(&db, r#"[{:a 1 :name "n"}]"#).len(), 3, "a part of the members names nothing");
    let made = run(&db, r#"[{:db/id "p" :a 3 :b "y"} {:db/id "q" :b "y" :a 3 :name "n"}]"#).unwrap();
    assert_eq!(made.report.resolve("p"), made.report.resolve("q"), "two maps mean one new entity");
    let made = run(&db, r#"[{:db/id 50 :a 3 :b "y"} {:db/id "q" :b "y" :a 3 :name "n"}]"#).unwrap();
    assert_eq!(made.report.resolve("q"), Some(EntityId(50)));
    let made = run(&db, r#"[{:db/id "t" :a 9 :b "x"} [:db/add "t" :a 1]]"#).unwrap();
    assert_eq!(made.report.resolve("t"), Some(EntityId(40)), "the last value of a member counts");
}

#[test]
fn a_composite_identity_is_found_late() {
    let db = tuples();
    assert_eq!(does(&db, r#"[{:boss "b" :rank 2 :name "n"} {:db/id "b" :email "e"}]"#), [r#"+ 41 :name "n""#]);
    let chain = r#"[{:db/id "c" :badge "t" :name "n"} {:db/id "t" :boss "b" :rank 2} {:db/id "b" :a 1 :b "x"}]"#;
    let db = after(&db, "[{:db/id 43 :badge 41}]");
    assert_eq!(does(&db, chain), [r#"+ 43 :name "n""#]);
    let made = run(&db, r#"[{:db/id "x" :boss "n" :rank 5} {:db/id "y" :boss "n" :rank 5}]"#).unwrap();
    assert_eq!(made.report.resolve("x"), made.report.resolve("y"), "two new bosses are one, so are their tuples");
}

#[test]
fn identities_that_disagree_are_refused() {
    let db = after(&tuples(), r#"[{:db/id 44 :email "f"}]"#);
    let error = fails(&db, r#"[{:a 1 :b "x" :email "f"}]"#, "transact/upsert");
    assert!(error.message().contains("[:a+b [1, \"x\"]]"), "{error}");
    fails(&db, r#"[{:email "f" :login "l" :badge 41} {:email "e" :badge 41}]"#, "transact/upsert");
    fails(&db, r#"[{:db/id 44 :a 1 :b "x"}]"#, "transact/upsert");
    fails(&db, r#"[[:db/add 44 :a 1] [:db/add 44 :b "x"]]"#, "transact/unique");
    assert_eq!(does(&db, r#"[{:a 1 :b "x" :email "e" :age 1}]"#), ["+ 40 :age 1"], "several that agree");
}

#[test]
fn lookup_refs_take_tuples() {
    let db = tuples();
    for lookup in ["[:a+b [1 \"x\"]]", "[:boss+rank [40 2]]", "[:boss+rank [[:email \"e\"] 2]]", "[:edge [40 7]]"] {
        assert_eq!(does(&db, &format!("[[:db/add {lookup} :age 1]]")).len(), 1, "{lookup}");
    }
    assert_eq!(
        does(&db, "[[:db/add 50 :boss [:edge [[:a+b [1 \"x\"]] 7]]]]"),
        ["+ 50 :boss #42", "+ 50 :boss+rank [#42, nil]"]
    );
    fails(&db, "[[:db/add [:a+b [1 \"y\"]] :age 1]]", "entity-id/missing");
    fails(&db, "[[:db/add [:a+b [1]] :age 1]]", "lookup-ref/syntax");
    let found = |attribute: &str, members: Vec<Value>| {
        db.entid(&EntityRef::Lookup(Keyword::new(attribute), members.into())).unwrap()
    };
    assert_eq!(found("boss+rank", vec![40.into(), 2.into()]), Some(EntityId(41)));
    assert_eq!(found("edge", vec![40.into(), 7.into()]), Some(EntityId(42)));
    assert_eq!(found("a+b", vec![1.into(), "x".into()]), Some(EntityId(40)));
}

#[test]
fn refs_in_tuples_are_named_as_refs_are() {
    let db = tuples();
    let made =
        run(&db, r#"[{:db/id "t" :name "t"} {:db/id -2 :edge ["t" 1]} {:db/id 50 :hops [-2 "t" :name [:email "e"]]}]"#);
    let made = made.unwrap();
    let (t, two) = (made.report.resolve("t").unwrap(), made.report.resolve(crate::TempId::Int(-2)).unwrap());
    let expected = [
        format!(r#"+ {t} :name "t""#),
        format!("+ {two} :edge [#{t}, 1]"),
        format!("+ 50 :hops [#{two}, #{t}, #1, #40]"),
    ];
    assert_eq!(did(&made), expected);
    assert_eq!(does(&db, r#"[{:edge ["e" 7] :age 1} {:db/id "e" :email "e"}]"#), ["+ 42 :age 1"], "found late");
    assert_eq!(does(&db, "[[:db/add 50 :hops [:db/current-tx \"datomic.tx\"]]]").len(), 1);
    fails(&db, "[[:db/retract 42 :edge [\"new\" 7]]]", "transact/syntax");
    fails(&db, "[[:db/add 50 :edge [1.5 7]]]", "transact/schema");
    assert_eq!(does(&db, "[[:db/retract 42 :edge [[:email \"e\"] 7]]]"), ["- 42 :edge [#40, 7]"]);
}

#[test]
fn a_composite_over_attributes_in_use_is_filled() {
    let name_age = "[{:db/ident :name+age :db/valueType :db.type/tuple :db/tupleAttrs [:name :age]
                      :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}";
    let db = after(&people(), r#"[{:db/id 30 :name "A" :age 1} {:db/id 31 :name "B"} {:db/id 32 :email "e"}]"#);
    let made = does(&db, &format!(r#"{name_age} {{:db/id 31 :age 2}} {{:db/id 33 :name "C"}}]"#));
    let (tuples, others): (Vec<_>, Vec<_>) = made.iter().partition(|line| line.contains(":name+age ["));
    assert_eq!(tuples, [r#"+ 31 :name+age ["B", 2]"#, r#"+ 33 :name+age ["C", nil]"#, r#"+ 30 :name+age ["A", 1]"#]);
    assert_eq!(others.len(), 7);
    let filled = after(&db, &format!("{name_age}]"));
    assert_eq!(does(&filled, r#"[{:name "A" :age 1 :login "l"}]"#), [r#"+ 30 :login "l""#]);
    let twice = after(&db, r#"[{:db/id 34 :name "A" :age 1}]"#);
    let error = fails(&twice, &format!("{name_age}]"), "transact/unique");
    assert!(error.message().contains("[34 :name+age"), "{error}");
    after(&twice, &format!("{name_age} [:db/retract 34 :name]]"));
}

#[test]
fn the_transaction_of_an_operation_is_the_one_at_hand() {
    let db = tuples();
    for tx in [":db/current-tx", "\"datomic.tx\"", "\"datahike.tx\"", "\":db/current-tx\"", "#db/id [:db.part/tx]"] {
        assert_eq!(does(&db, &format!("[[:db/add 40 :age 1 {tx}]]")), ["+ 40 :age 1"]);
        assert_eq!(does(&db, &format!("[[:db/retract 40 :a 1 {tx}]]")).len(), 3);
        assert_eq!(does(&db, &format!("[[:db/add {tx} :db/doc \"d\"] [:db/add 40 :boss {tx}]]")).len(), 3);
        assert_eq!(does(&db, &format!("[{{:db/id {tx} :db/doc \"d\"}}]")).len(), 1);
    }
    fails(&db, &format!("[[:db/add 40 :age 1 {}]]", TX0 + 1), "transact/tx");
    let made =
        run(&db, "[{:db/id #db/id [:db.part/user] :name \"new\"} {:db/id #db/id [:db.part/user -5] :name \"too\"}]");
    assert_eq!(did(&made.unwrap()), ["+ 43 :name \"new\"", "+ 44 :name \"too\""]);
}

#[test]
fn datoms_are_operations() {
    let db = tuples();
    let made = run(&db, r#"[[:db/add 40 :name "n"] [:db/retract 40 :email]]"#).unwrap();
    let users = made.report.tx_data.iter().filter(|datom| datom.a != builtin::TX_INSTANT);
    let ops: Vec<Op> = users.map(|datom: &Datom| Op::datom(&db, datom).unwrap()).collect();
    assert_eq!(did(&run(&db, ops).unwrap()), did(&made));
}
