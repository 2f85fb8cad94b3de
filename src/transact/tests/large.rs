//! Transactions that are large enough for two threads do what many small ones do.

use std::collections::BTreeSet;

use super::{people, rows, run};
use crate::datom::{AttrId, Order, Value};
use crate::db::Db;
use crate::db::testing::check_indexes;
use crate::edn::Keyword;
use crate::transact::{EntityMap, Op, Subject};

fn email(n: u64) -> String {
    format!("{}@example.org", n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 30)
}

fn attribute(name: &str) -> Keyword {
    Keyword::new(name)
}

fn person(n: u64, round: u64) -> Op {
    let map = EntityMap::new().set(attribute("email"), email(n)).set(attribute("name"), format!("Name {n}/{round}"));
    let map = map.set(attribute("age"), ((n + round) % 90) as i64).set(attribute("note"), format!("{round}"));
    map.add_many(attribute("aka"), [format!("A{}", n % 7), format!("B{round}")]).into()
}

/// New people, then some of them changed and others retracted beside new ones.
fn rounds() -> [Vec<Op>; 3] {
    let gone = |n: u64| {
        let e: Subject = (attribute("email"), email(n)).into();
        match n % 2 {
            0 => Op::RetractEntity { e },
            _ => Op::Retract { e, a: attribute("aka"), v: None },
        }
    };
    let second = (0..1500).filter(|n| n % 3 == 0).chain(1500..2500).map(|n| person(n, 2));
    let third =
        (0..2500).filter(|n| n % 5 == 1).map(gone).chain((0..2500).filter(|n| n % 5 == 2).map(|n| person(n, 3)));
    [(0..1500).map(|n| person(n, 1)).collect(), second.collect(), third.collect()]
}

/// All rows of an order without what a transaction's number tells: whose email it is, attribute, value, and whether it
/// holds.
fn facts(db: &Db, order: Order) -> BTreeSet<(Value, AttrId, Value)> {
    let snapshot = db.snapshot();
    let email = snapshot.schema.attribute(attribute("email")).expect("is defined").id;
    let mut emails = std::collections::BTreeMap::new();
    for row in [Order::HistoryEavt, Order::Eavt].into_iter().flat_map(|order| rows(snapshot, order)) {
        if row.a == email {
            emails.insert(row.e, row.v);
        }
    }
    let known = rows(snapshot, order).into_iter().filter_map(|row| Some((emails.get(&row.e)?.clone(), row.a, row.v)));
    known.collect()
}

#[test]
fn a_large_transaction_does_what_small_ones_do() {
    let (mut together, mut apart) = (people(), people());
    for ops in rounds() {
        together = run(&together, ops.clone()).expect("the round is right").report.db_after;
        for some in ops.chunks(50) {
            apart = run(&apart, some.to_vec()).expect("the part is right").report.db_after;
        }
        check_indexes(&together).expect("the indexes are right");
        for order in Order::ALL {
            assert_eq!(facts(&together, order), facts(&apart, order), "{order:?}");
        }
    }
}

#[test]
fn an_index_that_comes_late_gets_all_rows_of_a_large_attribute() {
    let mut db = people();
    for ops in rounds() {
        db = run(&db, ops).expect("the round is right").report.db_after;
    }
    let age = db.snapshot().schema.attribute(attribute("age")).expect("is defined").id;
    let mut ops = vec![Op::from(EntityMap::new().id(attribute("age")).set(attribute("db/index"), true))];
    ops.extend((0..2500).filter(|n| n % 5 == 3).map(|n| person(n, 4)));
    let after = run(&db, ops).expect("the index is made").report.db_after;
    check_indexes(&after).expect("the indexes are right");
    for (by_value, by_entity) in [(Order::Avet, Order::Aevt), (Order::HistoryAvet, Order::HistoryAevt)] {
        let of_age = |order: Order| {
            let mut rows = rows(after.snapshot(), order);
            rows.retain(|row| row.a == age);
            rows.sort_by(|x, y| by_entity.compare(x, y));
            rows
        };
        assert!(!of_age(by_value).is_empty());
        assert_eq!(of_age(by_value), of_age(by_entity));
    }
}

#[test]
fn two_entities_with_one_value_are_found_among_many() {
    let db = run(&people(), rounds()[0].clone()).expect("the round is right").report.db_after;
    let login = |n: u64, login: u64| {
        Op::from(EntityMap::new().set(attribute("email"), email(n)).set(attribute("login"), format!("{login}")))
    };
    let mut ops: Vec<Op> = (0..1400).map(|n| login(n, n)).collect();
    let db = run(&db, ops.clone()).expect("all are different").report.db_after;
    ops.push(login(1450, 700));
    let error = run(&db, ops).expect_err("entity 700 has it");
    assert_eq!(error.code(), "transact/unique");
}
