//! Queries in memory over generated people: scans, star joins, joins over values, aggregates, rules; and prepared point
//! queries over a stored database. Run with `cargo bench --bench query`; the number of people is the first argument.

use std::hint::black_box;
use std::time::{Duration, Instant};

use treering::db_testing::empty_db;
use treering::edn::Keyword;
use treering::{
    Config, Db, EntityId, EntityMap, Input, SchemaFlexibility, Value, connect, create_database, inputs, prepare, q,
    with,
};

const SCHEMA: &str = "[
  {:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :last-name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
  {:db/ident :sex :db/valueType :db.type/keyword :db/cardinality :db.cardinality/one}
  {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :salary :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :follows :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}]";

const NAMES: [&str; 8] = ["Ivan", "Petr", "Sergei", "Oleg", "Yuri", "Dmitry", "Fedor", "Denis"];
const LAST_NAMES: [&str; 4] = ["Ivanov", "Petrov", "Sidorov", "Kovalev"];

fn people(n: u64) -> Db {
    let keyword = Keyword::new;
    let mut state = 42_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    let mut db = with(&empty_db(true, SchemaFlexibility::Write), SCHEMA).expect("the schema is right").db_after;
    let mut id = 1;
    while id <= n {
        let mut maps = Vec::new();
        for e in id..(id + 10_000).min(n + 1) {
            let mut person = EntityMap::new()
                .id(EntityId(e))
                .set(keyword("name"), NAMES[random(8) as usize])
                .set(keyword("last-name"), LAST_NAMES[random(4) as usize])
                .set(keyword("sex"), keyword(if random(2) == 0 { "male" } else { "female" }))
                .set(keyword("age"), random(100) as i64)
                .set(keyword("salary"), random(100_000) as i64);
            if random(2) == 0 && e > 1 {
                person = person.set(keyword("follows"), Value::Ref(EntityId(1 + random(e - 1))));
            }
            maps.push(person);
        }
        id += 10_000;
        db = with(&db, maps).expect("the people are right").db_after;
    }
    db
}

/// Entities of the stored database.
const PACKAGES: u64 = 60_000;

/// A point query by a unique attribute, prepared once, on a stored database whose nodes are in the cache.
fn prepared_points() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = Config::file(dir.path().join("db"));
    create_database(&config).expect("a new database");
    let conn = connect(&config).expect("a connection");
    let schema = "[{:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
        {:db/ident :version :db/valueType :db.type/string :db/cardinality :db.cardinality/one}]";
    conn.transact(schema).expect("the schema is right");
    for first in (0..PACKAGES).step_by(10_000) {
        let entity = |i: u64| {
            let version = Value::from(format!("1.{}", i % 17));
            EntityMap::new().set(Keyword::new("name"), format!("package-{i}")).set(Keyword::new("version"), version)
        };
        conn.transact((first..first + 10_000).map(entity).collect::<Vec<_>>()).expect("the packages are right");
    }
    conn.flush().expect("flushed");
    let db = conn.db();
    let text = "[:find ?v . :in $ ?n :where [?e :name ?n] [?e :version ?v]]";
    let query = prepare(text).expect("the query is right");
    let name = |i: u64| format!("package-{}", i * 7919 % PACKAGES);
    let runs = 20_000;
    for round in ["first pass", "warm"] {
        let start = Instant::now();
        for i in 0..runs {
            let found = query.run((&db, name(i))).expect("the query is right");
            assert_eq!(black_box(found).len(), 1);
        }
        let each = start.elapsed().as_nanos() as f64 / runs as f64 / 1000.0;
        println!("prepared point, {round}: {each:.1} us");
    }
    let start = Instant::now();
    for i in 0..2_000 {
        black_box(q(text, (&db, name(i))).expect("the query is right"));
    }
    println!("the same, not prepared: {:.1} us", start.elapsed().as_nanos() as f64 / 2_000.0 / 1000.0);
    drop(db);
    conn.release().expect("released");
}

fn main() {
    if std::env::args().any(|arg| arg == "points") {
        return prepared_points();
    }
    let n = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(20_000);
    let db = people(n);
    println!("{n} people");
    let path = "[[(path ?x ?y) [?x :follows ?y]] [(path ?x ?y) [?x :follows ?t] (path ?t ?y)]]";
    let none: Vec<Input> = Vec::new();
    let rules = vec![Input::from(path)];
    let shapes: [(&str, &str, &[Input]); 18] = [
        ("q1", r#"[:find ?e :where [?e :name "Ivan"]]"#, &none),
        ("q2", r#"[:find ?e ?a :where [?e :name "Ivan"] [?e :age ?a]]"#, &none),
        ("q2 switched", r#"[:find ?e ?a :where [?e :age ?a] [?e :name "Ivan"]]"#, &none),
        ("q3", r#"[:find ?e ?a :where [?e :name "Ivan"] [?e :age ?a] [?e :sex :male]]"#, &none),
        ("q4", r#"[:find ?e ?l ?a :where [?e :name "Ivan"] [?e :last-name ?l] [?e :age ?a] [?e :sex :male]]"#, &none),
        ("q5", r#"[:find ?e1 ?l ?a :where [?e :name "Ivan"] [?e :age ?a] [?e1 :age ?a] [?e1 :last-name ?l]]"#, &none),
        (
            "merge5",
            "[:find ?e ?n ?l ?a ?s :where [?e :name ?n] [?e :last-name ?l] [?e :age ?a] [?e :salary ?s] [?e :sex :male]]",
            &none,
        ),
        ("predicate", "[:find ?e ?s :where [?e :salary ?s] [(> ?s 50000)]]", &none),
        ("or", r#"[:find ?e :where (or [?e :name "Ivan"] [?e :name "Petr"])]"#, &none),
        ("not", "[:find ?e ?a :where [?e :age ?a] (not [?e :sex :male])]", &none),
        ("chain3", r#"[:find ?n :where [?a :name "Ivan"] [?a :follows ?b] [?b :follows ?c] [?c :name ?n]]"#, &none),
        ("avg", "[:find (avg ?s) . :with ?e :where [?e :salary ?s]]", &none),
        ("group", "[:find ?x (avg ?s) (count ?e) :where [?e :sex ?x] [?e :salary ?s]]", &none),
        ("top 10", "[:find ?e ?s :order-by [?s :desc] :limit 10 :where [?e :salary ?s]]", &none),
        ("ages", "[:find ?a :where [_ :age ?a]]", &none),
        ("point", "[:find ?n . :where [77 :name ?n]]", &none),
        ("path from", "[:find ?y :in $ % :where (path 77 ?y)]", &rules),
        ("path to", "[:find ?x :in $ % :where (path ?x 7)]", &rules),
    ];
    for (name, query, more) in shapes {
        let mut all = inputs![&db];
        all.extend(more.iter().cloned());
        let mut rows = 0;
        let mut times: Vec<Duration> = Vec::new();
        let started = Instant::now();
        while times.len() < 5 || (times.len() < 200 && started.elapsed() < Duration::from_millis(300)) {
            let start = Instant::now();
            let found = q(query, all.clone()).expect("the query is right");
            times.push(start.elapsed());
            rows = black_box(found).len();
        }
        times.sort_unstable();
        println!("{name:12} {rows:8} rows {:10.1} us", times[times.len() / 2].as_nanos() as f64 / 1000.0);
    }
    prepared_points();
}
