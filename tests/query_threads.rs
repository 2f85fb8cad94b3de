//! Large queries on several threads: the same answers as on one, in the same sequence, within the same bounds.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use treering::db_testing::empty_db;
use treering::edn::Keyword;
use treering::{
    Db, EntityId, EntityMap, Function, Functions, QueryOptions, SchemaFlexibility, Value, explain_analyze, inputs,
    q_with, with,
};

const PEOPLE: u64 = 120_000;

/// People with a name out of 97, an age, a salary, a share of something, and a friend.
fn people() -> Db {
    let schema = "[
      {:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}
      {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
      {:db/ident :salary :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
      {:db/ident :share :db/valueType :db.type/double :db/cardinality :db.cardinality/one}
      {:db/ident :friend :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}]";
    let person = |id: u64| {
        let mixed = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        EntityMap::new()
            .id(EntityId(id))
            .set(Keyword::new("name"), format!("name {}", mixed % 97))
            .set(Keyword::new("age"), (mixed % 80) as i64)
            .set(Keyword::new("salary"), (mixed % 100_000) as i64)
            .set(Keyword::new("share"), 1.0 / (1 + mixed % 1000) as f64)
            .set(Keyword::new("friend"), Value::Ref(EntityId(1 + mixed % PEOPLE)))
    };
    let empty = with(&empty_db(true, SchemaFlexibility::Write), schema).expect("the schema is right").db_after;
    let ids: Vec<u64> = (1..=PEOPLE).collect();
    ids.chunks(20_000).fold(empty, |db, ids| {
        with(&db, ids.iter().map(|id| person(*id)).collect::<Vec<_>>()).expect("the people are right").db_after
    })
}

fn on(threads: usize) -> QueryOptions {
    QueryOptions { threads: Some(threads), ..QueryOptions::default() }
}

fn rows(query: &str, db: &Db, options: &QueryOptions) -> Vec<Vec<Value>> {
    q_with(query, db, options).unwrap_or_else(|error| panic!("{query}: {error:?}")).rows().collect()
}

#[test]
fn answers_do_not_depend_on_the_number_of_threads() {
    let db = people();
    for query in [
        "[:find ?e ?n ?a ?s :where [?e :name ?n] [?e :age ?a] [?e :salary ?s]]",
        "[:find ?n ?s :where [?e :name ?n] [?e :salary ?s] [(< ?s 50000)]]",
        "[:find ?n ?upper :where [?e :name ?n] [?e :age ?a] [(clojure.string/upper-case ?n) ?upper] [(< ?a 30)]]",
        "[:find ?n (count ?e) (sum ?s) (avg ?a) (min ?s) (max ?s) :where [?e :name ?n] [?e :age ?a] [?e :salary ?s]]",
        "[:find (avg ?s) (variance ?s) (stddev ?s) (median ?s) :with ?e :where [?e :salary ?s] [?e :age ?a]]",
        "[:find ?n (sum ?x) (variance ?x) :with ?e :where [?e :share ?x] [?e :name ?n]]",
        "[:find (count ?e) :where [?e :age ?a] [?e :salary ?s] (not [?e :name \"name 7\"])]",
        "[:find ?e ?f :where [?e :friend ?f] [?f :age ?a] [?e :age ?a]]",
        "[:find ?e1 ?n :where [?e :name \"name 5\"] [?e :age ?a] [?e1 :age ?a] [?e1 :name ?n]]",
    ] {
        let one = rows(query, &db, &on(1));
        for threads in [2, 3, 5] {
            assert_eq!(rows(query, &db, &on(threads)), one, "{query} on {threads} threads");
        }
        // Each row counts once, however many threads there are.
        let told = |threads| {
            let (_, told) = explain_analyze(query, &db, &on(threads)).expect("it ran before");
            let lines = told.to_string();
            lines.lines().filter_map(|line| line.split(" in, ").nth(1)?.split(" out").next()?.parse().ok()).collect()
        };
        let (alone, together): (Vec<u64>, Vec<u64>) = (told(1), told(2));
        assert_eq!(alone, together, "{query}");
    }
}

#[test]
fn bounds_hold_for_all_threads_together() {
    let db = people();
    let query = "[:find ?e ?n ?a ?s :where [?e :name ?n] [?e :age ?a] [?e :salary ?s]]";
    let code = |options: QueryOptions| match q_with(query, &db, &options) {
        Err(error) => error.code().to_owned(),
        Ok(found) => format!("{} rows", found.len()),
    };
    let enough = 3 * PEOPLE;
    assert_eq!(code(QueryOptions { max_rows: Some(enough), ..on(3) }), format!("{PEOPLE} rows"));
    assert_eq!(code(QueryOptions { max_rows: Some(enough - 1), ..on(3) }), "query/limit");
    assert_eq!(code(QueryOptions { max_bytes: Some(1 << 18), ..on(3) }), "query/limit");
    let cancel = Arc::new(AtomicBool::new(true));
    assert_eq!(code(QueryOptions { cancel: Some(cancel), ..on(3) }), "query/cancelled");
    assert_eq!(code(QueryOptions { deadline: Some(Instant::now()), ..on(3) }), "query/deadline");
}

#[test]
fn functions_fail_as_they_do_on_one_thread() {
    let db = people();
    let picky = Function::new("picky", 1..=1, |args| match args {
        [treering::Argument::Value(Value::Long(n))] if *n == 41 => {
            Err(treering::Error::new(treering::ErrorKind::Query, "test/picky", "not that one"))
        }
        _ => Ok(Some(Value::Bool(true))),
    });
    let functions = Functions::standard().with(picky);
    let options = |threads| QueryOptions { functions: Some(functions.clone()), ..on(threads) };
    let fails = "[:find ?e ?s :where [?e :age ?a] [?e :salary ?s] [(picky ?a)]]";
    let passes = "[:find ?e ?s :where [?e :age ?a] [?e :salary ?s] [(picky ?a)] [(< ?a 41)]]";
    for threads in [1, 3] {
        let error = q_with(fails, inputs![&db], &options(threads)).expect_err("41 is an age");
        assert_eq!(error.code(), "test/picky", "{threads}");
        let found = q_with(passes, inputs![&db], &options(threads)).expect("41 is dropped").len();
        assert!(found > 10_000, "{threads}: {found}");
    }
}
