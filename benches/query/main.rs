//! Queries in memory over generated data, each beside a floor: the same answer by code written by hand for it. Run with
//! `cargo bench --bench query [-- name…]`, where names choose shapes by how they begin. `TREERING_PEOPLE` is the number of
//! people, 20,000 if it is not set. A line shows the rows, the engine's best time and the floor's in microseconds, how
//! often the floor goes into it, and the bound that the shape is held to: 10 us and four times the floor.

mod data;
mod floors;
mod views;

use std::hint::black_box;
use std::time::{Duration, Instant};

use treering::{Db, EntityId, Input, inputs, prepare, pull, q};

/// What the command line asks for, and what was measured.
struct Report {
    wanted: Vec<String>,
    /// Engine and floor in microseconds.
    times: Vec<(f64, f64)>,
}

/// The best of many runs, in microseconds.
fn best(mut run: impl FnMut()) -> f64 {
    run();
    let (mut best, started, mut runs) = (Duration::MAX, Instant::now(), 0);
    while runs < 5 || (runs < 2000 && started.elapsed() < Duration::from_millis(250)) {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed());
        runs += 1;
    }
    best.as_nanos() as f64 / 1000.0
}

impl Report {
    fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| name.starts_with(wanted.as_str()))
    }

    /// Whether a shape whose name begins like this may be wanted.
    fn wants_some_of(&self, begin: &str) -> bool {
        self.wants(begin) || self.wanted.iter().any(|wanted| wanted.starts_with(begin))
    }

    fn line(&mut self, name: &str, rows: usize, engine: f64, floor: f64) {
        let (ratio, bound) = (engine / floor, 10.0 + 4.0 * floor);
        let verdict = if engine <= bound { "" } else { "  over" };
        println!(
            "{name:16} {rows:9} rows {engine:12.2} us  floor {floor:10.3}  {ratio:8.1}x  bound {bound:10.1}{verdict}"
        );
        self.times.push((engine, floor));
    }

    /// A shape in a view, beside the same one now, which it may take so many times longer than.
    fn against(&self, name: &str, rows: usize, view: f64, now: f64, bound: f64) {
        let ratio = view / now;
        let verdict = if ratio <= bound { "" } else { "  over" };
        println!("{name:24} {rows:9} rows {view:12.2} us  now {now:10.2}  {ratio:8.2}x  bound {bound:4.1}x{verdict}");
    }

    /// A query, against a floor that gives so many rows.
    fn shape<T>(&mut self, name: &str, query: &str, inputs: &[Input], floor: impl Fn() -> T, rows: fn(&T) -> usize) {
        if !self.wants(name) {
            return;
        }
        let found = q(query, inputs).expect("the query is right").len();
        assert_eq!(found, rows(&floor()), "{name}");
        let engine = best(|| {
            black_box(q(query, inputs).expect("the query is right"));
        });
        let floor = best(|| {
            black_box(floor());
        });
        self.line(name, found, engine, floor);
    }
}

#[expect(clippy::ptr_arg, reason = "floors give vectors, and their type is a parameter")]
fn count<T>(rows: &Vec<T>) -> usize {
    rows.len()
}

fn people(report: &mut Report, n: u64) {
    let people = data::people(n);
    let db = data::people_db(&people);
    let floors = floors::People::new(&people);
    let on = inputs![&db];
    report.shape("q1", r#"[:find ?e :where [?e :name "Ivan"]]"#, &on, || floors.q1(), count);
    report.shape("q2", r#"[:find ?e ?a :where [?e :name "Ivan"] [?e :age ?a]]"#, &on, || floors.q2(), count);
    report.shape("q2-switch", r#"[:find ?e ?a :where [?e :age ?a] [?e :name "Ivan"]]"#, &on, || floors.q2(), count);
    let q3 = r#"[:find ?e ?a :where [?e :name "Ivan"] [?e :age ?a] [?e :sex :male]]"#;
    report.shape("q3", q3, &on, || floors.q3(), count);
    let q4 = r#"[:find ?e ?l ?a :where [?e :name "Ivan"] [?e :last-name ?l] [?e :age ?a] [?e :sex :male]]"#;
    report.shape("q4", q4, &on, || floors.q4(), count);
    let q5 = r#"[:find ?e1 ?l ?a :where [?e :name "Ivan"] [?e :age ?a] [?e1 :age ?a] [?e1 :last-name ?l]]"#;
    report.shape("q5", q5, &on, || floors.q5(), count);
    let qpred = "[:find ?e ?s :where [?e :salary ?s] [(> ?s 50000)]]";
    report.shape("qpred", qpred, &on, || floors.salaries(50_000, u32::MAX), count);
    let range = "[:find ?e ?s :where [?e :salary ?s] [(> ?s 50000)] [(< ?s 80000)]]";
    report.shape("range", range, &on, || floors.salaries(50_000, 80_000), count);
    let or = r#"[:find ?e :where (or [?e :name "Ivan"] [?e :last-name "Ivanov"])]"#;
    report.shape("or", or, &on, || floors.or(), count);
    let not = r#"[:find ?e :where [?e :name "Ivan"] (not [?e :sex :male])]"#;
    report.shape("not", not, &on, || floors.not(), count);
    let or_join = r#"[:find ?e :where (or-join [?e] [?e :name "Ivan"] (and [?e :follows ?f] [?f :name "Ivan"]))]"#;
    report.shape("or-join", or_join, &on, || floors.or_join(), count);
    let merge5 = "[:find ?e ?n ?l ?x ?a ?s
      :where [?e :name ?n] [?e :last-name ?l] [?e :sex ?x] [?e :age ?a] [?e :salary ?s]]";
    report.shape("merge5", merge5, &on, || floors.merge5(), count);
    report.shape("agg-avg", "[:find (avg ?s) :with ?e :where [?e :salary ?s]]", &on, || floors.average(), |_| 1);
    let by_sex = "[:find ?x (avg ?s) (count ?e) :where [?e :sex ?x] [?e :salary ?s]]";
    report.shape("agg-sex", by_sex, &on, || floors.by_sex(), count);
    let by_both = "[:find ?x ?n (avg ?s) :with ?e :where [?e :sex ?x] [?e :name ?n] [?e :salary ?s]]";
    report.shape("agg-sex-name", by_both, &on, || floors.by_sex_and_name(), count);
    let stats = "[:find (variance ?s) (stddev ?s) (median ?s) :with ?e :where [?e :salary ?s]]";
    report.shape("agg-stats", stats, &on, || floors.stats(), |_| 1);
    let top = "[:find ?e ?s :order-by [?s :desc ?e :asc] :limit 10 :where [?e :salary ?s]]";
    report.shape("topk", top, &on, || floors.top(), count);
    points(report, &db, &floors, n);
    views::views(report, &db, &people);
}

/// The facts of one entity: each time another one.
fn points(report: &mut Report, db: &Db, floors: &floors::People, n: u64) {
    if !report.wants("point") {
        return;
    }
    let mut r = data::Random(5);
    let ids: Vec<u64> = (0..1000).map(|_| 1 + r.below(n)).collect();
    let each = |run: &dyn Fn(u64)| best(|| ids.iter().for_each(|id| run(*id))) / 1000.0;
    let floor = each(&|id| {
        black_box(floors.point(id as usize));
    });
    let text = "[:find ?a ?v :in $ ?id :where [?id ?a ?v]]";
    let prepared = prepare(text).expect("the query is right");
    let on_text = each(&|id| {
        black_box(q(text, (db, EntityId(id))).expect("the query is right"));
    });
    report.line("point", 6, on_text, floor);
    let on_prepared = each(&|id| {
        black_box(prepared.run((db, EntityId(id))).expect("the query is right"));
    });
    report.line("point-prepared", 6, on_prepared, floor);
    let map = prepare("[:find ?n ?a :keys name age :in $ ?id :where [?id :name ?n] [?id :age ?a]]").expect("right");
    let owned = each(&|id| {
        black_box(map.run((db, EntityId(id))).expect("the query is right").into_value());
    });
    report.line("point-map", 1, owned, floor);
}

fn organisation(report: &mut Report) {
    if !["chain3", "refjoin", "pull"].iter().any(|shape| report.wants(shape)) {
        return;
    }
    let (org, db) = data::org();
    let floors = floors::Organisation::new(&org);
    let on = inputs![&db];
    let chain = "[:find ?p ?pn ?dn ?vn :where [?p :person/dept ?d] [?p :person/name ?pn] [?d :dept/name ?dn]
      [?d :dept/division ?v] [?v :division/name ?vn]]";
    report.shape("chain3", chain, &on, || floors.chain(), count);
    let set = "[:find ?pn ?vn :where [?p :person/dept ?d] [?p :person/name ?pn] [?d :dept/division ?v]
      [?v :division/name ?vn]]";
    report.shape("chain3-set", set, &on, || floors.chain_set(), count);
    let division = r#"[:find ?p ?pn :where [?v :division/name "Division-3"] [?d :dept/division ?v] [?p :person/dept ?d]
      [?p :person/name ?pn]]"#;
    report.shape("refjoin", division, &on, || floors.division(), count);
    if report.wants("pull") {
        let pattern = "[:person/name {:person/dept [:dept/name :dept/budget {:dept/division [:division/name]}]}]";
        let mut r = data::Random(5);
        let ids: Vec<u64> = (0..1000).map(|_| 1 + r.below(20_000)).collect();
        let each = |run: &dyn Fn(u64)| best(|| ids.iter().for_each(|id| run(*id))) / 1000.0;
        let engine = each(&|id| {
            black_box(pull(&db, pattern, EntityId(id)).expect("the pattern is right"));
        });
        let floor = each(&|id| {
            black_box(floors.pull(id as usize - 1));
        });
        report.line("pull", 4, engine, floor);
    }
}

fn recursion(report: &mut Report) {
    let rules = Input::from("[[(reach ?a ?b) [?a :edge ?b]] [(reach ?a ?b) [?a :edge ?t] (reach ?t ?b)]]");
    for (name, edges) in data::graphs() {
        let (all, from) = (format!("tc-{name}"), format!("reach-{name}"));
        if !report.wants(&all) && !report.wants(&from) {
            continue;
        }
        let (db, floor) = (data::graph_db(&edges), floors::Graph::new(&edges));
        let on = vec![Input::from(&db), rules.clone()];
        let pairs = || if name == "dag2k" { floor.closure_of_dag() } else { floor.closure() };
        report.shape(&all, "[:find ?x ?y :in $ % :where (reach ?x ?y)]", &on, pairs, count);
        let on = vec![Input::from(&db), rules.clone(), Input::from(EntityId(1))];
        report.shape(&from, "[:find ?y :in $ % ?start :where (reach ?start ?y)]", &on, || floor.reach(1), count);
    }
    if report.wants("tri-count") || report.wants("tri-list") {
        let edges = data::skewed_graph();
        let (db, floor) = (data::graph_db(&edges), floors::Graph::new(&edges));
        let on = inputs![&db];
        let counted = "[:find (count ?c) :with ?a ?b :where [?a :edge ?b] [?b :edge ?c] [?a :edge ?c]]";
        report.shape("tri-count", counted, &on, || floor.count_triangles(), |_| 1);
        let listed = "[:find ?a ?b ?c :where [?a :edge ?b] [?b :edge ?c] [?a :edge ?c]]";
        report.shape("tri-list", listed, &on, || floor.triangles(), count);
    }
}

fn main() {
    let wanted = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let n = std::env::var("TREERING_PEOPLE").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let mut report = Report { wanted, times: Vec::new() };
    println!("{n} people");
    people(&mut report, n);
    organisation(&mut report);
    recursion(&mut report);
    views::versions(&mut report);
    let long: Vec<f64> = report.times.iter().filter(|(_, floor)| *floor > 100.0).map(|(e, f)| (e / f).ln()).collect();
    if !long.is_empty() {
        let mean = (long.iter().sum::<f64>() / long.len() as f64).exp();
        println!("geometric mean of the shapes whose floor is above 100 us: {mean:.2}x");
    }
}
