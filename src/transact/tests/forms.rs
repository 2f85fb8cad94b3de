//! Each form of tx-data and what it does.

use super::super::{EntityMap, Op, Subject, TempId, with};
use super::{FIRST, after, did, does, facts, fails, people, run};
use crate::datom::{EntityId, TX0, Value};
use crate::db::testing::empty_db;
use crate::edn::{self, Keyword};
use crate::schema::SchemaFlexibility;

fn kw(text: &str) -> Keyword {
    Keyword::new(text)
}

#[test]
fn nested_maps_and_collections_become_entities() {
    let db = people();
    let nested = r#"[{:name "A" :friend [{:name "B" :boss {:name "C"}} {:name "D"}] :boss {:name "E"}}]"#;
    assert_eq!(
        facts(&after(&db, nested)),
        [
            r#"15 :name "A""#,
            "15 :friend #16",
            "15 :friend #18",
            "15 :boss #19",
            r#"16 :name "B""#,
            "16 :boss #17",
            r#"17 :name "C""#,
            r#"18 :name "D""#,
            r#"19 :name "E""#
        ]
    );
    assert_eq!(facts(&after(&db, r#"[{:aka #{"x"} :friend ["n" -1]} {:db/id "n" :aka "y"}]"#)).len(), 4);
}

#[test]
fn reverse_attributes_turn_refs_round() {
    let db = after(&people(), r#"[{:db/id 20 :email "a"}]"#);
    assert_eq!(does(&db, r#"[{:name "B" :_friend 20}]"#), [r#"+ 21 :name "B""#, "+ 20 :friend #21"]);
    assert_eq!(does(&db, r#"[{:db/id 30 :_boss [{:name "C"} [:email "a"]]}]"#).len(), 3);
    let one = r#"[{:db/id 30 :_boss [:email "a"]}]"#;
    assert_eq!(does(&db, one), ["+ 20 :boss #30"]);
}

#[test]
fn entities_have_many_names() {
    let db = after(&people(), r#"[{:db/id 20 :email "a" :db/ident :alice} {:db/id 21 :badge :alice}]"#);
    for subject in ["20", ":alice", r#"[:email "a"]"#, "[:db/ident :alice]"] {
        assert_eq!(does(&db, &format!("[[:db/add {subject} :age 1]]")), ["+ 20 :age 1"]);
        assert_eq!(does(&db, &format!("[{{:db/id {subject} :age 1}}]")), ["+ 20 :age 1"]);
        assert_eq!(does(&db, &format!("[[:db/add 20 :boss {subject}]]")), ["+ 20 :boss #20"]);
        assert_eq!(does(&db, &format!("[{{:db/id 20 :boss {subject} :friend [{subject}]}}]")).len(), 2);
        assert_eq!(does(&db, &format!("[[:db/add [:badge {subject}] :age 1]]")), ["+ 21 :age 1"]);
    }
    for tx in [":db/current-tx", r#"":db/current-tx""#, r#""datomic.tx""#, r#""datahike.tx""#] {
        let t = TX0 + 3;
        assert_eq!(does(&db, &format!(r#"[[:db/add {tx} :name "t"]]"#)), [format!(r#"+ {t} :name "t""#)]);
        assert_eq!(does(&db, &format!("[{{:db/id {tx} :age 1}}]")), [format!("+ {t} :age 1")]);
        assert_eq!(does(&db, &format!("[[:db/add 20 :boss {tx}]]")), [format!("+ 20 :boss #{t}")]);
    }
    assert_eq!(does(&db, &format!("[[:db/add {} :age 1]]", TX0 + 1)), [format!("+ {} :age 1", TX0 + 1)]);
    assert_eq!(does(&db, r#"[[:db/add #db/id [:db.part/user -1] :name "x"]]"#), [r#"+ 22 :name "x""#]);
}

#[test]
fn idents_are_used_where_they_are_given() {
    let db = people();
    let both = r#"[{:name "A" :boss :chief} {:db/id 30 :db/ident :chief} [:db/add :chief :age 1]]"#;
    let expected = ["30 :db/ident :chief", "30 :age 1", r#"31 :name "A""#, "31 :boss #30"];
    assert_eq!(facts(&after(&db, both)), expected);
}

/// The name of an ident asserts nothing by itself, wherever it stands.
#[test]
fn an_ident_is_where_the_tx_data_leaves_it() {
    let db = people();
    let moved = "[{:db/id 30 :db/ident :k1} [:db/add 30 :db/ident :k2] [:db/add 31 :boss :k1] [:db/add 32 :boss :k2]]";
    assert_eq!(facts(&after(&db, moved)), ["30 :db/ident :k2", "31 :boss #30", "32 :boss #30"]);
    assert_eq!(
        does(&db, "[[:db/add 31 :boss :k1] [:db/add 31 :age 1] {:db/id 30 :db/ident :k1}]"),
        ["+ 31 :boss #30", "+ 31 :age 1", "+ 30 :db/ident :k1"]
    );
    fails(&db, "[{:db/id 30 :db/ident :k1} [:db/cas 31 :boss nil :k1]]", "entity-id/missing");
}

#[test]
fn what_is_taken_back_may_name_nobody() {
    let db = after(&people(), "[{:db/id 20 :boss 21 :friend [21]}]");
    for nothing in [
        "[[:db/retract 20 :boss [:email \"nobody\"]]]",
        "[[:db/retract 20 :friend :nobody]]",
        "[[:db/retract [:email \"nobody\"] :boss]]",
        "[[:db/retract 20 :boss :k1] {:db/id 40 :db/ident :k1} [:db/retractEntity 40]]",
    ] {
        assert_eq!(does(&db, nothing), [""; 0], "{nothing}");
    }
    fails(&db, "[[:db/retract [:email \"nobody\"] :boos]]", "attribute/unknown");
    fails(&db, "[[:db/retractAttribute :nobody :boos]]", "attribute/unknown");
    fails(&db, "[[:db/retract 20 :boss \"x\"]]", "transact/syntax");
}

#[test]
fn what_is_longer_than_the_limit_can_be_found_and_taken_back() {
    let db = after(&people(), "[{:db/id 20 :login \"abcd\" :name \"abcd\"}]");
    let db = after(&db, "[{:db/ident :login :db/maxLength 2} {:db/ident :name :db/maxLength 2}]");
    assert_eq!(does(&db, "[[:db/add [:login \"abcd\"] :age 1]]"), ["+ 20 :age 1"]);
    assert_eq!(does(&db, "[[:db/retract 20 :login \"abcd\"]]"), ["- 20 :login \"abcd\""]);
    assert_eq!(does(&db, "[[:db/cas 20 :name \"abcd\" \"x\"]]").len(), 2);
    fails(&db, "[[:db/cas 20 :name \"abcd\" \"xyz\"]]", "transact/max-length");
}

#[test]
fn a_set_is_no_lookup_ref() {
    let db = after(&people(), "[{:db/id 20 :email \"a\" :db/ident :alice}]");
    assert_eq!(does(&db, "[{:db/id 30 :friend #{:email :alice}}]"), ["+ 30 :friend #20", "+ 30 :friend #2"]);
    assert_eq!(does(&db, "[{:db/id 30 :friend [:email \"a\"]}]"), ["+ 30 :friend #20"]);
}

#[test]
fn a_string_is_a_tempid_where_a_ref_is_wanted() {
    let db = people();
    assert_eq!(does(&db, r#"[{:name "x" :boss "x"}]"#), [r#"+ 15 :name "x""#, "+ 15 :boss #16"]);
}

#[test]
fn metadata_is_said_of_the_transaction() {
    let db = people();
    let made = run(&db, r#"{:tx-data [{:name "A"}] :tx-meta {:note "why" :age 7}}"#).unwrap();
    let t = TX0 + 2;
    assert_eq!(did(&made), [format!(r#"+ {t} :note "why""#), format!("+ {t} :age 7"), r#"+ 15 :name "A""#.to_owned()]);
    let keys: Vec<_> = made.report.tx_meta.iter().map(|(k, _)| k.to_string()).collect();
    assert_eq!(keys, [":db/txInstant", ":note", ":age"]);
    let dated = run(&db, r#"{:tx-data [] :tx-meta {:db/txInstant #inst "2030-01-01"}}"#).unwrap();
    assert_eq!(dated.changes.instant, 1_893_456_000_000);
    let dated = run(&db, r#"[[:db/add "datomic.tx" :db/txInstant #inst "2030-01-01"]]"#).unwrap();
    assert_eq!((dated.changes.instant, dated.report.tx_data.len()), (1_893_456_000_000, 1));
    let twice = run(
        &db,
        r#"[{:db/id 20 :age 1} [:db/add "datomic.tx" :db/txInstant #inst "2030-01-01"]
            [:db/add "datomic.tx" :db/txInstant #inst "2031-01-01"]]"#,
    )
    .unwrap();
    assert_eq!((twice.changes.instant, twice.report.tx_data.len()), (1_924_992_000_000, 2));
    assert_eq!(twice.report.tx_data[0].v, Value::Instant(1_924_992_000_000));
}

#[test]
fn without_history_nothing_is_said_of_transactions() {
    let db = after(&empty_db(false, SchemaFlexibility::Write), super::SCHEMA);
    let made = run(&db, r#"{:tx-data [{:name "A"}] :tx-meta {:note "why"}}"#).unwrap();
    assert_eq!(made.report.tx_data.len(), 1);
    assert_eq!(made.report.db_after.snapshot().last_instant, 1001);
    // What operations say of the transaction is written, whatever `:tx-meta` says.
    let t = TX0 + 2;
    let both = "{:tx-data [[:db/add :db/current-tx :age 8]] :tx-meta {:age 8}}";
    assert_eq!(does(&db, both), [format!("+ {t} :age 8")]);
    let unsaid = "{:tx-data [[:db/retractEntity 20]] :tx-meta {:_part 20}}";
    assert_eq!(does(&db, unsaid), [""; 0]);
    let named = "{:tx-data [{:db/id 30 :db/ident :k}] :tx-meta {:boss :k}}";
    assert_eq!(does(&db, named), ["+ 30 :db/ident :k"]);
}

#[test]
fn compare_and_set() {
    let db = after(&people(), r#"[{:db/id 20 :age 1 :aka ["x"] :boss 20}]"#);
    assert_eq!(does(&db, "[[:db/cas 20 :age 1 2]]"), ["- 20 :age 1", "+ 20 :age 2"]);
    assert_eq!(does(&db, "[[:db.fn/cas 20 :age 1 2] [:db/cas 20 :age 2 3]]"), ["- 20 :age 1", "+ 20 :age 3"]);
    assert_eq!(does(&db, "[[:db/cas 21 :age nil 3]]"), ["+ 21 :age 3"]);
    assert_eq!(does(&db, r#"[[:db/cas 20 :aka "x" "y"]]"#), [r#"+ 20 :aka "y""#]);
    assert_eq!(does(&db, "[[:db/cas 20 :boss 20 21]]"), ["- 20 :boss #20", "+ 20 :boss #21"]);
}

#[test]
fn entities_go_with_their_components_and_the_refs_to_them() {
    let db = after(
        &people(),
        r#"[{:db/id 20 :name "A" :part [{:db/id 21 :name "p" :part {:db/id 22 :name "q"}} 24]}
            {:db/id 23 :friend [20 21] :boss 20} {:db/id 24 :name "r"}]"#,
    );
    for op in [":db/retractEntity", ":db.fn/retractEntity"] {
        assert_eq!(facts(&after(&db, &format!("[[{op} 20]]"))), [""; 0]);
    }
    assert_eq!(
        facts(&after(&db, "[[:db/retract 20 :part 21] [:db/retractEntity 20]]")),
        [r#"21 :name "p""#, "21 :part #22", r#"22 :name "q""#, "23 :friend #21"],
        "what was a component before stays"
    );
    let with_more = r#"[[:db/add 25 :boss 20] [:db/add 20 :aka "z"] [:db/retractEntity 20] [:db/add 20 :age 1]]"#;
    assert_eq!(facts(&after(&db, with_more)), ["20 :age 1"], "what is said before goes, what is said after stays");
    for op in [":db.fn/retractAttribute", ":db/retractAttribute"] {
        assert_eq!(
            facts(&after(&db, &format!("[[{op} 20 :part]]"))),
            [r#"20 :name "A""#, "23 :friend #20", "23 :boss #20"]
        );
    }
    assert_eq!(does(&db, r#"[[:db/retractEntity [:email "nobody"]] [:db/retractEntity 99]]"#), [""; 0]);
    let circle = after(&people(), "[{:db/id 20 :part 21} {:db/id 21 :part 20}]");
    assert_eq!(facts(&after(&circle, "[[:db/retractEntity 20]]")), [""; 0]);
}

#[test]
fn values_are_converted_where_nothing_is_lost() {
    let db = people();
    let given = "[{:db/id 20 :score 3 :boss 21 :age 4N :point [1 2] :path [:a :b]}]";
    let kept = ["20 :age 4", "20 :score 3.0", "20 :boss #21", "20 :point [1, 2.0]", "20 :path [:a, :b]"];
    assert_eq!(facts(&after(&db, given)), kept);
}

#[test]
fn without_declarations_every_attribute_is_known() {
    let db = empty_db(true, SchemaFlexibility::Read);
    let made = run(&db, r#"[{:a 1 :b ["x" :y]} [:db/add 9 :a "text"] [:db/retract 9 :never 1]]"#).unwrap();
    assert_eq!(made.interned.len(), 2);
    assert_eq!(did(&made), ["+ 10 :a 1", r#"+ 10 :b ["x", :y]"#, r#"+ 9 :a "text""#]);
    let db = after(&made.report.db_after, "[{:db/ident :c :db/unique :db.unique/identity} {:c 5 :a 2}]");
    assert_eq!(does(&db, "[{:c 5 :a 3}]"), ["- 12 :a 2", "+ 12 :a 3"]);
}

#[test]
fn ids_go_on_above_all_that_were_named() {
    let db = people();
    let made = run(&db, r#"[{:name "A"} {:db/id 100 :name "B"} {:name "C" :boss 200}]"#).unwrap();
    assert_eq!(did(&made)[0], r#"+ 201 :name "A""#);
    assert_eq!(made.report.db_after.max_eid(), EntityId(202));
    let made = run(&made.report.db_after, r#"[[:db/retractEntity 202] {:name "D"}]"#).unwrap();
    assert_eq!(made.report.db_after.max_eid(), EntityId(203), "ids are not given twice");
}

#[test]
fn typed_data_is_as_good_as_text() {
    let db = people();
    let entities = vec![
        EntityMap::new().tempid("a").set(kw("name"), "A").add_many(kw("aka"), ["x", "y"]),
        EntityMap::new().set(kw("name"), "B").set(kw("friend"), TempId::from("a")).set(kw("boss"), EntityMap::new()),
    ];
    let text = r#"[{:db/id "a" :name "A" :aka ["x" "y"]} {:name "B" :friend "a" :boss {}}]"#;
    assert_eq!(did(&run(&db, entities).unwrap()), did(&run(&db, text).unwrap()));
    let ops = vec![
        Op::Add { e: "t".into(), a: kw("name"), v: "C".into() },
        Op::Cas { e: 20.into(), a: kw("age"), old: None, new: 1.into() },
        Op::Retract { e: Subject::from((kw("email"), "none")), a: kw("name"), v: None },
    ];
    let text = r#"[[:db/add "t" :name "C"] [:db/cas 20 :age nil 1] [:db/retract [:email "none"] :name]]"#;
    assert_eq!(did(&run(&db, ops).unwrap()), did(&run(&db, edn::read(text).unwrap()).unwrap()));
    let report = with(&db, EntityMap::new().id(EntityId(FIRST)).set(kw("age"), Value::Long(1))).unwrap();
    assert_eq!(report.tx_data.len(), 2);
}
