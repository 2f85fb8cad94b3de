//! The questions as of a time, beside the same questions now, with a tenth, as many and ten times as many closed rows as
//! current ones; events; and one value among many versions of it.

use std::hint::black_box;
use std::time::Instant;

use treering::edn::Keyword;
use treering::{Db, EntityId, EntityMap, Value, prepare, pull, q, with};

use super::{Report, best, data};

/// What is asked.
const SHAPES: [(&str, &str); 17] = [
    ("point", "[:find ?a ?v :in $ ?id :where [?id ?a ?v]]"),
    ("value", "[:find ?s . :in $ ?id :where [?id :salary ?s]]"),
    ("q1", r#"[:find ?e :where [?e :name "Ivan"]]"#),
    ("q2", r#"[:find ?e ?a :where [?e :name "Ivan"] [?e :age ?a]]"#),
    ("q4", r#"[:find ?e ?l ?a :where [?e :name "Ivan"] [?e :last-name ?l] [?e :age ?a] [?e :sex :male]]"#),
    ("q5", r#"[:find ?e1 ?l ?a :where [?e :name "Ivan"] [?e :age ?a] [?e1 :age ?a] [?e1 :last-name ?l]]"#),
    ("scan", "[:find ?e ?a :where [?e :age ?a]]"),
    ("range", "[:find ?e ?s :where [?e :salary ?s] [(> ?s 50000)] [(< ?s 80000)]]"),
    ("or", r#"[:find ?e :where (or [?e :name "Ivan"] [?e :last-name "Ivanov"])]"#),
    ("not", r#"[:find ?e :where [?e :name "Ivan"] (not [?e :sex :male])]"#),
    (
        "merge5",
        "[:find ?e ?n ?l ?x ?a ?s
      :where [?e :name ?n] [?e :last-name ?l] [?e :sex ?x] [?e :age ?a] [?e :salary ?s]]",
    ),
    ("refjoin", r#"[:find ?e ?a :where [?e :follows ?f] [?f :name "Ivan"] [?e :age ?a]]"#),
    ("agg-avg", "[:find (avg ?s) :with ?e :where [?e :salary ?s]]"),
    ("agg-sex", "[:find ?x (avg ?s) (count ?e) :where [?e :sex ?x] [?e :salary ?s]]"),
    ("topk", "[:find ?e ?s :order-by [?s :desc ?e :asc] :limit 10 :where [?e :salary ?s]]"),
    ("tx", "[:find ?e ?tx :where [?e :age _ ?tx]]"),
    ("reach", "[:find (count ?y) :in $ % ?x :where (path ?x ?y)]"),
];

const RULES: &str = "[[(path ?x ?y) [?x :follows ?y]] [(path ?x ?y) [?x :follows ?t] (path ?t ?y)]]";

/// Every shape now, as of the last transaction but one, and as of the middle of the changes.
pub fn views(report: &mut Report, db: &Db, people: &[data::Person]) {
    let n = people.len() as u64;
    let rounds = [("10%", n / 100, 1.5), ("100%", n / 10, 2.0), ("1000%", n, 3.0)];
    for (name, round, bound) in rounds {
        let wanted = |shape: &str| report.wants(&format!("as-of-{shape}-{name}"));
        if n > 100_000 && name == "1000%"
            || !SHAPES.iter().any(|(shape, _)| wanted(shape)) && !report.wants_some_of("history")
        {
            continue;
        }
        let (now, middle) = data::changed(db.clone(), people, round);
        let then = [("recent", EntityId(now.basis_t().0 - 1)), ("old", middle)];
        let then = then.map(|(when, t)| (when, now.as_of(t).expect("a past")));
        for (shape, query) in SHAPES {
            if !report.wants(&format!("as-of-{shape}-{name}")) {
                continue;
            }
            let (current, _) = time(shape, query, &now, n);
            for (when, past) in &then {
                let (took, rows) = time(shape, query, past, n);
                report.against(&format!("as-of-{shape}-{name}-{when}"), rows, took, current, bound);
            }
            // Times that nobody has looked at.
            let others =
                (1..4).flat_map(|i| [middle.0 - i, middle.0 + i]).map(|t| now.as_of(EntityId(t)).expect("a past"));
            let first = others.map(|past| run(shape, query, n)(&past).0).fold(f64::MAX, f64::min);
            println!("as-of-{shape}-{name}-first {first:12.2} us  {:8.2}x", first / current);
        }
        history(report, &now, name);
    }
}

/// Microseconds and rows of a shape, the best of many runs.
fn time(shape: &str, query: &str, db: &Db, n: u64) -> (f64, usize) {
    let run = run(shape, query, n);
    let (mut least, mut rows) = (f64::MAX, 0);
    best(|| {
        let (took, found) = run(db);
        (least, rows) = (least.min(took), found);
    });
    (least, rows)
}

/// Runs a shape once, or what takes no time once for each of many entities: microseconds and rows.
fn run(shape: &str, query: &str, n: u64) -> impl Fn(&Db) -> (f64, usize) {
    let prepared = prepare(query).expect("the query is right");
    let mut r = data::Random(5);
    let ids: Vec<EntityId> = (0..100).map(|_| EntityId(1 + r.below(n))).collect();
    let (points, reach) = (matches!(shape, "point" | "value"), shape == "reach");
    move |db| {
        let started = Instant::now();
        let mut rows = 0;
        for id in &ids[..if points { ids.len() } else { 1 }] {
            let found = match (points, reach) {
                (true, _) => prepared.run((db, *id)),
                (_, true) => prepared.run((db, RULES, *id)),
                _ => prepared.run(db),
            };
            rows = black_box(found.expect("the query is right")).len();
        }
        (started.elapsed().as_nanos() as f64 / 1000.0 / if points { ids.len() as f64 } else { 1.0 }, rows)
    }
}

/// Events: all of an attribute, retractions alone, a join.
fn history(report: &mut Report, now: &Db, name: &str) {
    let shapes = [
        ("events", "[:find ?e ?a ?tx ?op :where [?e :age ?a ?tx ?op]]"),
        ("q1", "[:find ?e :where [?e :name]]"),
        ("q2", "[:find ?e ?a ?tx :where [?e :age ?a ?tx]]"),
        ("q3", "[:find ?e ?x ?a :where [?e :sex ?x] [?e :age ?a]]"),
        ("retract", "[:find ?e ?a :where [?e :age ?a _ false]]"),
    ];
    let history = now.history().expect("a history");
    for (shape, query) in shapes {
        let name = format!("history-{shape}-{name}");
        if !report.wants(&name) {
            continue;
        }
        let rows = q(query, &history).expect("the query is right").len();
        let took = best(|| {
            black_box(q(query, &history).expect("the query is right"));
        });
        println!("{name:24} {rows:9} rows {took:12.2} us {:8.1} ns a row", 1000.0 * took / rows as f64);
    }
}

/// One value as of a time in the middle of many versions of it.
pub fn versions(report: &mut Report) {
    if !report.wants("version") {
        return;
    }
    let mut db = data::people_db(&data::people(100));
    let age = |v: i64| vec![EntityMap::new().id(EntityId(7)).set(Keyword::new("age"), v)];
    for v in 1000..101_000 {
        db = with(&db, age(v)).expect("the age is right").db_after;
    }
    let then = db.as_of(EntityId(db.basis_t().0 - 50_000)).expect("a past");
    let query = prepare("[:find ?a . :where [7 :age ?a]]").expect("the query is right");
    let on = |db: &Db, value: i64| {
        assert_eq!(query.run(db).expect("the query is right").to_value(), Value::Long(value));
        best(|| {
            black_box(query.run(db).expect("the query is right"));
        })
    };
    let current = on(&db, 100_999);
    report.line("version", 1, on(&then, 50_999), current);
    let pulled = |db: &Db| {
        best(|| {
            black_box(pull(db, "[:age]", EntityId(7)).expect("the pattern is right"));
        })
    };
    report.line("version-pull", 1, pulled(&then), pulled(&db));
}
