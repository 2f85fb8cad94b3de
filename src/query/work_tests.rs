//! The operators against the same answers found by hand, and plans held to how many rows they may go through.

use std::collections::BTreeSet;

use super::{Input, QueryOptions, prepare, q, q_with};
use crate::datom::{EntityId, Value};
use crate::db::Db;
use crate::db::testing::empty_db;
use crate::edn::Keyword;
use crate::schema::SchemaFlexibility;
use crate::transact::{EntityMap, with};

/// Random numbers: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

fn seed() -> u64 {
    let seed = std::env::var("TREERING_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("TREERING_SEED={seed}");
    seed
}

fn empty(schema: &str) -> Db {
    with(&empty_db(true, SchemaFlexibility::Write), schema).unwrap().db_after
}

const GRAPH: &str = "[{:db/ident :edge :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}
  {:db/ident :link :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}
  {:db/ident :n :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]";

type Edges = BTreeSet<(u64, u64)>;

fn graph(attributes: &[(&str, &Edges)], nodes: u64) -> Db {
    let node = |id: u64| EntityMap::new().id(EntityId(id));
    let all: Vec<EntityMap> = (1..=nodes).map(|id| node(id).set(Keyword::new("n"), id as i64)).collect();
    let mut db = with(&empty(GRAPH), all).unwrap().db_after;
    for (attribute, edges) in attributes {
        let edge = |(a, b): &(u64, u64)| node(*a).set(Keyword::new(attribute), Value::Ref(EntityId(*b)));
        db = with(&db, edges.iter().map(edge).collect::<Vec<_>>()).unwrap().db_after;
    }
    db
}

fn random_edges(r: &mut Random, nodes: u64, n: u64) -> Edges {
    (0..n).map(|_| (1 + r.below(nodes), 1 + r.below(nodes))).collect()
}

fn paths(edges: &Edges) -> Edges {
    let mut all = edges.clone();
    loop {
        let more: Vec<(u64, u64)> = all
            .iter()
            .flat_map(|(a, b)| edges.iter().filter(move |(c, _)| c == b).map(move |(_, d)| (*a, *d)))
            .collect();
        let before = all.len();
        all.extend(more);
        if all.len() == before {
            return all;
        }
    }
}

#[track_caller]
fn ids(query: &str, inputs: Vec<Input>) -> Vec<Vec<u64>> {
    let id = |value: &Value| match value {
        Value::Ref(id) => id.0,
        Value::Long(n) => *n as u64,
        other => panic!("{other:?}"),
    };
    let found = q(query, inputs).unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let mut rows: Vec<Vec<u64>> = found.rows().map(|row| row.iter().map(id).collect()).collect();
    rows.sort_unstable();
    rows
}

const PATH: &str = "[[(path ?x ?y) [?x :edge ?y]] [(path ?x ?y) [?x :edge ?t] (path ?t ?y)]]";

#[test]
fn paths_are_those_of_a_search_by_hand() {
    let mut r = Random(seed());
    for round in 0..12 {
        let nodes = 2 + r.below(20);
        let n = r.below(30);
        let edges = random_edges(&mut r, nodes, n);
        let all = paths(&edges);
        let db = graph(&[("edge", &edges)], nodes);
        let on = |more: Vec<Input>| [vec![Input::from(&db), Input::from(PATH)], more].concat();
        let pairs: Vec<Vec<u64>> = all.iter().map(|(a, b)| vec![*a, *b]).collect();
        assert_eq!(ids("[:find ?x ?y :in $ % :where (path ?x ?y)]", on(vec![])), pairs, "round {round}");
        let circles: Vec<Vec<u64>> = all.iter().filter(|(a, b)| a == b).map(|(a, _)| vec![*a]).collect();
        assert_eq!(ids("[:find ?x :in $ % :where (path ?x ?x)]", on(vec![])), circles);
        let starts: BTreeSet<Vec<u64>> = all.iter().map(|(a, _)| vec![*a]).collect();
        let starts: Vec<Vec<u64>> = starts.into_iter().collect();
        assert_eq!(ids("[:find ?x :in $ % :where (path ?x _)]", on(vec![])), starts);
        for node in 1..=nodes {
            let one = Input::from(EntityId(node));
            let from: Vec<Vec<u64>> = all.iter().filter(|(a, _)| *a == node).map(|(_, b)| vec![*b]).collect();
            assert_eq!(ids("[:find ?y :in $ % ?x :where (path ?x ?y)]", on(vec![one.clone()])), from);
            let to: Vec<Vec<u64>> = all.iter().filter(|(_, b)| *b == node).map(|(a, _)| vec![*a]).collect();
            assert_eq!(ids("[:find ?x :in $ % ?y :where (path ?x ?y)]", on(vec![one.clone()])), to);
            let both = "[:find ?y :in $ % ?x :where [?y :n 1] (path ?x ?y)]";
            let reaches: Vec<Vec<u64>> = if all.contains(&(node, 1)) { vec![vec![1]] } else { vec![] };
            assert_eq!(ids(both, on(vec![one])), reaches);
        }
        let odd = "[:find ?x ?y :in $ % :where [?x :n ?n] [(odd? ?n)] (path ?x ?y)]";
        let from_odd: Vec<Vec<u64>> = all.iter().filter(|(a, _)| a % 2 == 1).map(|(a, b)| vec![*a, *b]).collect();
        assert_eq!(ids(odd, on(vec![])), from_odd);
    }
}

#[test]
fn triangles_are_those_of_a_search_by_hand() {
    let mut r = Random(seed());
    for _ in 0..12 {
        let nodes = 3 + r.below(12);
        let edges = random_edges(&mut r, nodes, 60);
        let links = random_edges(&mut r, nodes, 40);
        let db = graph(&[("edge", &edges), ("link", &links)], nodes);
        let by_hand =
            |one: &dyn Fn(u64, u64) -> bool, two: &dyn Fn(u64, u64) -> bool, three: &dyn Fn(u64, u64) -> bool| {
                let mut rows: Vec<Vec<u64>> = Vec::new();
                for a in 1..=nodes {
                    for b in (1..=nodes).filter(|b| one(a, *b)) {
                        rows.extend((1..=nodes).filter(|c| two(b, *c) && three(a, *c)).map(|c| vec![a, b, c]));
                    }
                }
                rows
            };
        let (edge, link) = (|a, b| edges.contains(&(a, b)), |a, b| links.contains(&(a, b)));
        let straight = "[:find ?a ?b ?c :where [?a :edge ?b] [?b :edge ?c] [?a :edge ?c]]";
        assert_eq!(ids(straight, vec![Input::from(&db)]), by_hand(&edge, &edge, &edge));
        let round = "[:find ?a ?b ?c :where [?c :link ?a] [?a :edge ?b] [?b :edge ?c]]";
        assert_eq!(ids(round, vec![Input::from(&db)]), by_hand(&edge, &edge, &|a, c| link(c, a)));
        let mixed = "[:find ?a ?b ?c :where [?a :edge ?b] [?c :link ?b] [?a :link ?c] [?c :n ?n] [(< ?n 5)]]";
        let few = by_hand(&edge, &|b, c| link(c, b), &link).into_iter().filter(|row| row[2] < 5).collect::<Vec<_>>();
        assert_eq!(ids(mixed, vec![Input::from(&db)]), few);
        let counted = "[:find (count ?c) . :with ?a ?b :where [?a :edge ?b] [?b :edge ?c] [?a :edge ?c]]";
        let count = by_hand(&edge, &edge, &edge).len() as i64;
        let found = q(counted, &db).unwrap().to_value();
        assert_eq!(found, if count == 0 { Value::Nil } else { Value::Long(count) });
    }
}

/// All ways to give nodes to variables such that every tie holds.
fn assignments(nodes: u64, vars: usize, ties: &[(usize, usize, &Edges)]) -> Vec<Vec<u64>> {
    let mut rows: Vec<Vec<u64>> = vec![Vec::new()];
    for var in 0..vars {
        let holds = |row: &[u64]| {
            let known = ties.iter().filter(|(a, b, _)| *a.max(b) == var);
            known.clone().all(|(a, b, edges)| edges.contains(&(row[*a], row[*b])))
        };
        rows = rows
            .iter()
            .flat_map(|row| (1..=nodes).map(|node| [row.as_slice(), &[node]].concat()))
            .filter(|row| holds(row))
            .collect();
    }
    rows
}

/// A query, its variables, and for each pattern the two that it ties and the edges that tie them.
type Ring<'e> = (&'e str, usize, Vec<(usize, usize, &'e Edges)>);

#[test]
fn cyclic_joins_are_those_of_a_search_by_hand() {
    let mut r = Random(seed());
    for round in 0..6 {
        let nodes = 5 + r.below(5);
        let edges = random_edges(&mut r, nodes, 45);
        let links = random_edges(&mut r, nodes, 25);
        let db = graph(&[("edge", &edges), ("link", &links)], nodes);
        let (e, l) = (&edges, &links);
        let shapes: [Ring<'_>; 5] = [
            (
                "[?0 :edge ?1] [?1 :edge ?2] [?2 :edge ?3] [?0 :link ?3]",
                4,
                vec![(0, 1, e), (1, 2, e), (2, 3, e), (0, 3, l)],
            ),
            (
                "[?0 :edge ?1] [?2 :edge ?1] [?2 :link ?3] [?3 :edge ?0]",
                4,
                vec![(0, 1, e), (2, 1, e), (2, 3, l), (3, 0, e)],
            ),
            (
                "[?0 :edge ?1] [?0 :edge ?2] [?0 :edge ?3] [?1 :edge ?2] [?1 :edge ?3] [?2 :edge ?3]",
                4,
                vec![(0, 1, e), (0, 2, e), (0, 3, e), (1, 2, e), (1, 3, e), (2, 3, e)],
            ),
            (
                "[?0 :edge ?1] [?1 :edge ?2] [?0 :edge ?2] [?0 :link ?3] [?3 :edge ?4] [?4 :link ?0]",
                5,
                vec![(0, 1, e), (1, 2, e), (0, 2, e), (0, 3, l), (3, 4, e), (4, 0, l)],
            ),
            (
                "[?0 :edge ?1] [?1 :link ?0] [?1 :edge ?2] [?2 :link ?0]",
                3,
                vec![(0, 1, e), (1, 0, l), (1, 2, e), (2, 0, l)],
            ),
        ];
        for (text, vars, ties) in &shapes {
            let find: Vec<String> = (0..*vars).map(|var| format!("?{var}")).collect();
            let expected = assignments(nodes, *vars, ties);
            let all = format!("[:find {} :where {text}]", find.join(" "));
            assert_eq!(ids(&all, vec![Input::from(&db)]), expected, "round {round}: {text}");
            // With a clause more about one of the variables, and not all of them asked for.
            let some = format!("[:find ?0 ?2 :where {text} [?1 :n ?n] [(< ?n 4)]]");
            let few: BTreeSet<Vec<u64>> =
                expected.iter().filter(|row| row[1] < 4).map(|row| vec![row[0], row[2]]).collect();
            assert_eq!(
                ids(&some, vec![Input::from(&db)]),
                few.into_iter().collect::<Vec<_>>(),
                "round {round}: {some}"
            );
        }
    }
}

#[test]
fn a_circle_goes_through_no_more_rows_than_it_gives() {
    // A hub that everything goes to and comes from: paths of two edges are as many as nodes squared, circles few.
    let spokes = 300;
    let edges: Edges = (2..=spokes).flat_map(|node| [(node, 1), (1, node)]).chain([(2, 3)]).collect();
    let db = graph(&[("edge", &edges)], spokes);
    let few = QueryOptions { max_rows: Some(2_000), ..QueryOptions::default() };
    let query = "[:find ?a ?b ?c :where [?a :edge ?b] [?b :edge ?c] [?c :edge ?a]]";
    assert_eq!(q_with(query, &db, &few).unwrap().len(), 3);
    let shown = super::explain(query, &db).unwrap().to_string();
    assert!(shown.starts_with("cyclic join of "), "{shown}");
}

const PEOPLE: &str = "[
  {:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :pay :db/valueType :db.type/double :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :rank :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :tag :db/valueType :db.type/string :db/cardinality :db.cardinality/many}
  {:db/ident :boss :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}]";

/// People 1 .. n; every third has no age, so that entities are not consecutive everywhere.
fn people(n: u64) -> Db {
    let person = |id: u64| {
        let named = EntityMap::new().id(EntityId(id)).set(Keyword::new("name"), ["Ann", "Bob", "Cid"][id as usize % 3]);
        let ranked = named.set(Keyword::new("rank"), (id * 7919 % n) as i64);
        let paid = ranked.set(Keyword::new("pay"), [-0.0, 0.0, 1.5, f64::NAN, -2.0][id as usize % 5]);
        let tagged =
            paid.set(Keyword::new("tag"), Value::from(vec![Value::from("a"), Value::from(format!("t{}", id % 7))]));
        if id.is_multiple_of(3) { tagged } else { tagged.set(Keyword::new("age"), (id % 50) as i64) }
    };
    let db = with(&empty(PEOPLE), (1..=n).map(person).collect::<Vec<_>>()).unwrap().db_after;
    let led = |id: u64| EntityMap::new().id(EntityId(id)).set(Keyword::new("boss"), Value::Ref(EntityId(1 + id % 10)));
    with(&db, (11..=n).map(led).collect::<Vec<_>>()).unwrap().db_after
}

#[track_caller]
fn count(query: &str, db: &Db) -> usize {
    q(query, db).unwrap_or_else(|error| panic!("{query}: {error:?}")).len()
}

#[test]
fn star_joins_find_every_row() {
    let n = 5000;
    let db = people(n);
    let with_age = |id: &u64| !id.is_multiple_of(3);
    let expected = |passes: &dyn Fn(&u64) -> bool| (1..=n).filter(|id| passes(id)).count();
    let joined = r#"[:find ?e ?a ?r :where [?e :name "Bob"] [?e :age ?a] [?e :rank ?r]]"#;
    assert_eq!(count(joined, &db), expected(&|id| id % 3 == 1 && with_age(id)));
    assert_eq!(count("[:find ?e ?a ?n :where [?e :age ?a] [?e :name ?n]]", &db), expected(&with_age));
    assert_eq!(count("[:find ?e :where [?e :rank ?r] (not [?e :age _])]", &db), expected(&|id| !with_age(id)));
    let not_that = "[:find ?e :where [?e :rank ?r] (not [?e :age 7])]";
    assert_eq!(count(not_that, &db), expected(&|id| !(with_age(id) && id % 50 == 7)));
    let tagged = r#"[:find ?e :where [?e :rank ?r] (not [?e :tag "t3"])]"#;
    assert_eq!(count(tagged, &db), expected(&|id| id % 7 != 3));
    let tags = r#"[:find ?e ?t :where [?e :name "Ann"] [?e :tag ?t]]"#;
    assert_eq!(count(tags, &db), 2 * expected(&|id| id.is_multiple_of(3)));
    let led = r#"[:find ?e ?b :where [?b :name "Ann"] [?e :boss ?b]]"#;
    assert_eq!(count(led, &db), expected(&|id| *id > 10 && (1 + id % 10).is_multiple_of(3)));
    let row = q("[:find ?a ?r :where [4999 :age ?a] [4999 :rank ?r]]", &db).unwrap().rows().next().unwrap();
    assert_eq!(row, [Value::Long(49), Value::Long(4999 * 7919 % 5000)]);
}

#[test]
fn ranges_mean_what_comparisons_mean() {
    let db = people(500);
    // A comparison of what was calculated is no range.
    for comparison in ["(>= ?p 0.0)", "(> ?p -0.0)", "(<= ?p 0)", "(< ?p 1.5)", "(== ?p 0)", "(< 0 ?p)", "(>= -2 ?p)"] {
        let by_range = format!("[:find ?e :where [?e :pay ?p] [{comparison}]]");
        let by_hand = format!("[:find ?e :where [?e :pay ?x] [(+ ?x 0.0) ?p] [{comparison}]]");
        let (found, expected) = (q(&by_range, &db).unwrap().to_value(), q(&by_hand, &db).unwrap().to_value());
        assert!(found == expected && found != Value::set(Vec::new()), "{comparison}: {found:?} {expected:?}");
    }
    assert_eq!(count("[:find ?e :where [?e :rank ?r] [(< 10 ?r)] [(<= ?r 20)] [(!= ?r 15)]]", &db), 9);
}

#[test]
fn the_first_rows_of_an_order_are_read_from_the_end_of_the_index() {
    let db = people(4000);
    let few = QueryOptions { max_rows: Some(300), ..QueryOptions::default() };
    let top = |query: &str| -> Vec<i64> {
        let found = q_with(query, &db, &few).unwrap_or_else(|error| panic!("{query}: {error:?}"));
        found.rows().map(|row| if let Value::Long(n) = row[1] { n } else { -1 }).collect()
    };
    let most = "[:find ?e ?r :order-by [?r :desc] :limit 3 :where [?e :rank ?r]]";
    assert_eq!(top(most), [3999, 3998, 3997]);
    let least = "[:find ?e ?r :order-by [?r :asc] :limit 3 :offset 2 :where [?e :rank ?r]]";
    assert_eq!(top(least), [2, 3, 4]);
    // Equal values at the edge of the limit: the second key decides among all of them.
    let named = r#"[:find ?e ?n :order-by [?n :desc ?e :asc] :limit 2 :where [?e :name ?n]]"#;
    let found: Vec<Value> = q(named, &db).unwrap().rows().map(|row| row[0].clone()).collect();
    assert_eq!(found, [Value::Ref(EntityId(2)), Value::Ref(EntityId(5))]);
}

#[test]
fn a_range_reads_no_more_than_it_gives() {
    let db = people(4000);
    let few = QueryOptions { max_rows: Some(120), ..QueryOptions::default() };
    let query = "[:find ?e ?r :where [?e :rank ?r] [(> ?r 100)] [(<= ?r 200)]]";
    assert_eq!(q_with(query, &db, &few).unwrap().len(), 100);
}

#[test]
fn plans_are_used_again_with_other_constants_and_states() {
    let db = people(300);
    let query = prepare("[:find ?r . :in $ ?e :where [?e :rank ?r]]").unwrap();
    for id in [1_u64, 7, 300, 301, 7] {
        let expected = if id <= 300 { Value::Long((id * 7919 % 300) as i64) } else { Value::Nil };
        assert_eq!(query.run((&db, EntityId(id))).unwrap().to_value(), expected, "{id}");
    }
    let by_name = prepare("[:find (count ?e) . :in $ ?n :where [?e :name ?n] [?e :age _]]").unwrap();
    for (name, expected) in
        [("Bob", Value::Long(100)), ("Ann", Value::Nil), ("Eve", Value::Nil), ("Bob", Value::Long(100))]
    {
        assert_eq!(by_name.run((&db, name)).unwrap().to_value(), expected, "{name}");
    }
    let more = with(&db, vec![EntityMap::new().id(EntityId(1)).set(Keyword::new("rank"), 1_000_000)]).unwrap().db_after;
    assert_eq!(query.run((&more, EntityId(1))).unwrap().to_value(), Value::Long(1_000_000));
    assert_eq!(query.run((&db, EntityId(1))).unwrap().to_value(), Value::Long(7919 % 300));
    let past = more.as_of(db.basis_t()).unwrap();
    assert_eq!(query.run((&past, EntityId(1))).unwrap().to_value(), Value::Long(7919 % 300));
    // A lookup ref names what it names in each state.
    let attribute = prepare("[:find ?v . :in $ ?a :where [5 ?a ?v]]").unwrap();
    assert_eq!(attribute.run((&db, Keyword::new("name"))).unwrap().to_value(), Value::from("Cid"));
    assert_eq!(attribute.run((&db, Keyword::new("rank"))).unwrap().to_value(), Value::Long(5 * 7919 % 300));
    let texts = "[:find ?e . :where [?e :rank 7]]";
    let first = q(texts, &db).unwrap().to_value();
    assert_eq!(q(texts, &db).unwrap().to_value(), first);
}

#[test]
fn views_show_what_was_true() {
    let mut r = Random(seed());
    let mut db = people(400);
    // What each person's age was after each transaction.
    let mut ages: Vec<Vec<Option<i64>>> = Vec::new();
    let age_at = |id: u64| if id.is_multiple_of(3) { None } else { Some((id % 50) as i64) };
    let mut now: Vec<Option<i64>> = (0..=400).map(|id| if id == 0 { None } else { age_at(id) }).collect();
    let first = db.basis_t().0;
    for _ in 0..30 {
        let mut changes = Vec::new();
        for _ in 0..1 + r.below(60) {
            let (id, age) = (1 + r.below(400), r.below(5) as i64);
            now[id as usize] = Some(age);
            changes.retain(|(other, _): &(u64, i64)| *other != id);
            changes.push((id, age));
        }
        let map = |(id, age): &(u64, i64)| EntityMap::new().id(EntityId(*id)).set(Keyword::new("age"), *age);
        db = with(&db, changes.iter().map(map).collect::<Vec<_>>()).unwrap().db_after;
        ages.push(now.clone());
    }
    for (i, expected) in ages.iter().enumerate() {
        let then = db.as_of(EntityId(first + 1 + i as u64)).unwrap();
        let found = ids("[:find ?e ?a :where [?e :age ?a]]", vec![Input::from(&then)]);
        let by_hand: Vec<Vec<u64>> =
            (0_u64..).zip(expected).filter_map(|(id, age)| Some(vec![id, (*age)? as u64])).collect();
        assert_eq!(found, by_hand, "transaction {i}");
        let joined = r#"[:find ?e ?a :where [?e :name "Bob"] [?e :age ?a]]"#;
        let bobs: Vec<Vec<u64>> = by_hand.into_iter().filter(|row| row[0] % 3 == 1).collect();
        assert_eq!(ids(joined, vec![Input::from(&then)]), bobs);
    }
    let events = q("[:find ?e ?a ?t ?o :where [?e :age ?a ?t ?o]]", &db.history().unwrap()).unwrap();
    let retracted = events.rows().filter(|row| row[3] == Value::Bool(false)).count();
    let asserted = events.rows().filter(|row| row[3] == Value::Bool(true)).count();
    let standing = now.iter().flatten().count();
    assert_eq!(asserted - retracted, standing);
}

#[test]
fn what_the_schema_promises_now_is_not_believed_of_a_time_before_it_did() {
    let schema = "[{:db/ident :n :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
      {:db/ident :tag :db/valueType :db.type/long :db/cardinality :db.cardinality/many}
      {:db/ident :code :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}]";
    let mut db = empty(schema);
    let mut times = Vec::new();
    for data in [
        "[{:db/id 1 :n 1 :tag [7 8] :code 5} {:db/id 2 :n 1 :tag 7 :code 5}]",
        "[[:db/retract 1 :tag 8] [:db/add 2 :code 6]]",
        "[{:db/ident :tag :db/cardinality :db.cardinality/one} {:db/ident :code :db/unique :db.unique/value}]",
        "[[:db/add 1 :tag 9]]",
    ] {
        db = with(&db, data).unwrap().db_after;
        times.push(db.basis_t());
    }
    let joined = prepare("[:find ?e ?v :where [?e :n 1] [?e :tag ?v]]").unwrap();
    let tagged = prepare("[:find ?e :where [?e :tag ?v] [?v2 :n 1]]").unwrap();
    let coded = prepare("[:find ?v :where [?e :code ?v]]").unwrap();
    // In both sequences of times, so that plans of one time are met by the other.
    for i in [3, 2, 1, 0, 1, 2, 3] {
        let then = db.as_of(times[i]).unwrap();
        let rows = |query: &super::Prepared| query.run(&then).unwrap().len();
        let expected = if i == 0 { (3, 2, 1) } else { (2, 2, 2) };
        assert_eq!((rows(&joined), rows(&tagged), rows(&coded)), expected, "transaction {i}");
    }
    let promise = |name: &str, t: EntityId| {
        let then = db.as_of(t).unwrap();
        let promise = then.promise(db.schema().attribute(Keyword::new(name)).unwrap()).unwrap();
        (promise.one_value, promise.one_entity)
    };
    assert_eq!((promise("tag", times[1]), promise("tag", times[2])), ((false, false), (true, false)));
    assert_eq!((promise("code", times[1]), promise("code", times[2])), ((true, false), (true, true)));
    let history = db.history().unwrap();
    assert!(!history.promise(db.schema().attribute(Keyword::new("n")).unwrap()).unwrap().one_value);
}
