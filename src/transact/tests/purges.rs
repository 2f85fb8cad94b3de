//! Purges, as operations; `tests/purge.rs` has what is durable of them.

use super::{after, did, does, fails, people, run};

const PAIR: &str = "[{:db/ident :pair :db/valueType :db.type/tuple :db/tupleAttrs [:age :score]
                      :db/cardinality :db.cardinality/one}]";

#[test]
fn a_purge_of_the_past_leaves_what_holds_again() {
    let mut db = after(&people(), PAIR);
    for age in [1, 2, 1] {
        db = after(&db, &format!("[[:db/add 20 :age {age}]]"));
    }
    let made = run(&db, "[[:db.history.purge/before #inst \"2000\"]]").unwrap();
    assert_eq!(did(&made), [""; 0], "the tuple that holds is that of the value that holds");
    let purged = &made.report.purged;
    assert_eq!(purged.len(), 8, "two ages and two tuples, each with its end: {purged:?}");
    // A value that is purged itself breaks the tuple that holds it.
    let made = run(&db, "[[:db/purge 20 :age 2] [:db/add 20 :score 0.5]]").unwrap();
    assert_eq!(did(&made), ["+ 20 :score 0.5", "- 20 :pair [1, nil]", "+ 20 :pair [1, 0.5]"]);
    let made = run(&db, "[[:db/purge 20 :age 1] [:db/add 20 :score 0.5]]").unwrap();
    assert_eq!(did(&made), ["+ 20 :score 0.5", "+ 20 :pair [nil, 0.5]"]);
}

#[test]
fn what_is_purged_can_be_named_in_every_way() {
    let db = after(&people(), "[{:db/id 20 :email \"a\"} {:db/id 21 :badge 20 :db/ident :its/badge :db/fn f}]");
    let purged = |data: &str| run(&db, data).unwrap_or_else(|e| panic!("{data}: {e}")).report.purged.len();
    assert_eq!(purged("[[:db.purge/entity [:badge [:email \"a\"]]]]"), 3);
    assert_eq!(purged("[[:db/purge [:badge 20] :badge [:email \"a\"]]]"), 1);
    assert_eq!(purged("[[:db/purge :its/badge :badge 20]]"), 1);
    assert_eq!(purged("[[:db/purge 21 :db/fn f] [:db/purge 21 :db/fn :f]]"), 1);
    assert_eq!(does(&db, "[[:db/purge 21 :badge [:email \"a\"]] [:db/add 21 :badge 20]]"), ["+ 21 :badge #20"]);
    for nobody in
        ["536870912", "500", "\"t\"", "-1", ":db/current-tx", ":nobody", "[:badge [:email \"b\"]]", "[:badge \"t\"]"]
    {
        fails(&db, &format!("[[:db.purge/entity {nobody}]]"), "transact/purge");
    }
    fails(&db, "[[:db.purge/entity [:age 1]]]", "lookup-ref/unique");
    fails(&db, "[[:db/purge 20 :agee 1]]", "attribute/unknown");
    fails(&db, "[[:db/purge 20 :age \"1\"]]", "transact/schema");
    fails(&db, "[[:db/purge 20 :email nil]]", "transact/nil");
    fails(&db, "[[:db.purge/entity 536870913]]", "transact/tx-instant");
    fails(&db, "[[:db.history.purge/before 5]]", "transact/syntax");
}
