//! The shapes of a comparison of engines, as
//! `shapes --data DIR --scratch DIR --group GROUP [--shape SHAPE]` for the groups people20k, people1m, org, rec, tri,
//! write20k and write1m. Reads take the text of a query, but for `point`, which is prepared.

mod data;
mod measure;

use std::path::Path;
use std::time::Instant;

use data::{Person, people};
use measure::{Answer, Task, leaves, output};
use treering::{
    Config, Connection, EntityRef, Input, connect, create_database, delete_database, inputs, prepare, pull, q,
};

const PEOPLE: [(&str, &str); 16] = [
    ("q1", "[:find ?e :where [?e :name \"Ivan\"]]"),
    ("q2", "[:find ?e ?a :where [?e :name \"Ivan\"] [?e :age ?a]]"),
    ("q3", "[:find ?e ?a :where [?e :name \"Ivan\"] [?e :age ?a] [?e :sex :male]]"),
    ("q4", "[:find ?e ?l ?a :where [?e :name \"Ivan\"] [?e :last-name ?l] [?e :age ?a] [?e :sex :male]]"),
    ("q5", "[:find ?e1 ?l ?a :where [?e :name \"Ivan\"] [?e :age ?a] [?e1 :age ?a] [?e1 :last-name ?l]]"),
    ("qpred", "[:find ?e ?s :where [?e :salary ?s] [(> ?s 50000)]]"),
    ("range", "[:find ?e ?s :where [?e :salary ?s] [(> ?s 50000)] [(< ?s 80000)]]"),
    ("or", "[:find ?e :where (or [?e :name \"Ivan\"] [?e :last-name \"Ivanov\"])]"),
    ("not", "[:find ?e :where [?e :name \"Ivan\"] (not [?e :sex :male])]"),
    ("or-join", "[:find ?e :where (or-join [?e] [?e :name \"Ivan\"] (and [?e :follows ?f] [?f :name \"Ivan\"]))]"),
    (
        "merge5",
        "[:find ?e ?n ?l ?x ?a ?s :where [?e :name ?n] [?e :last-name ?l] [?e :sex ?x] [?e :age ?a] [?e :salary ?s]]",
    ),
    ("agg-avg", "[:find (avg ?s) :with ?e :where [?e :salary ?s]]"),
    ("agg-sex", "[:find ?x (avg ?s) (count ?e) :where [?e :sex ?x] [?e :salary ?s]]"),
    ("agg-sex-name", "[:find ?x ?n (avg ?s) :with ?e :where [?e :sex ?x] [?e :name ?n] [?e :salary ?s]]"),
    ("agg-stats", "[:find (variance ?s) (stddev ?s) (median ?s) :with ?e :where [?e :salary ?s]]"),
    ("topk", "[:find ?e ?s :where [?e :salary ?s] :order-by [[?s :desc] ?e] :limit 10]"),
];

const ORG: [(&str, &str); 3] = [
    (
        "chain3",
        "[:find ?p ?pn ?dn ?vn :where [?p :person/dept ?d] [?p :person/name ?pn] [?d :dept/name ?dn]
          [?d :dept/division ?v] [?v :division/name ?vn]]",
    ),
    (
        "chain3-set",
        "[:find ?pn ?vn :where [?p :person/dept ?d] [?p :person/name ?pn] [?d :dept/division ?v] [?v :division/name ?vn]]",
    ),
    (
        "refjoin",
        "[:find ?p ?pn :where [?v :division/name \"Division-3\"] [?d :dept/division ?v] [?p :person/dept ?d]
          [?p :person/name ?pn]]",
    ),
];
const TREE: &str = "[:person/name {:person/dept [:dept/name :dept/budget {:dept/division [:division/name]}]}]";

const RULES: &str = "[[(reach ?a ?b) [?a :edge ?b]] [(reach ?a ?b) [?a :edge ?t] (reach ?t ?b)]]";

fn main() {
    let task = Task::from_args();
    match task.group.as_str() {
        "people20k" | "people1m" => read_people(&task),
        "org" => read_org(&task),
        "rec" => ["tree", "chain", "dag2k"].into_iter().for_each(|graph| recursion(&task, graph)),
        "tri" => triangles(&task),
        "write20k" | "write1m" => write(&task),
        _ => {}
    }
}

/// A database in memory of this process.
fn memory(load: impl FnOnce(&Connection)) -> Connection {
    let config = Config::memory(&format!("peers-{}", std::process::id()));
    let _ = delete_database(&config);
    create_database(&config).expect("memory takes it");
    let conn = connect(&config).expect("it was created");
    load(&conn);
    conn
}

fn bench(task: &Task, shape: &str, query: &str, inputs: &[Input]) {
    task.bench(shape, 1, || q(query, inputs).expect("the query is right"), |found| output(found, 0));
}

fn read_people(task: &Task) {
    let tag = task.group.trim_start_matches("people");
    let all = people(&task.data.join(format!("{}.csv", task.group)));
    let conn = memory(|conn| data::load_people(conn, &all));
    let db = conn.db();
    for (shape, query) in PEOPLE {
        bench(task, &format!("{shape}@{tag}"), query, &inputs![&db]);
    }
    let ids = data::ids(&task.data.join(format!("{}_lookups.csv", task.group)));
    let point = prepare("[:find ?a ?v :in $ ?id :where [?id ?a ?v]]").expect("the query is right");
    let look_up = || ids.iter().map(|id| point.run((&db, *id)).expect("it can be run")).collect::<Vec<_>>();
    let sum = |found: &Vec<_>| found.iter().map(|found| output(found, 1)).fold((0, 0.0), add);
    task.bench(&format!("point@{tag}"), 1000, look_up, sum);
}

fn add((n, s): Answer, (m, t): Answer) -> Answer {
    (n + m, s + t)
}

fn read_org(task: &Task) {
    let conn = memory(|conn| data::load_org(conn, &task.data));
    let db = conn.db();
    for (shape, query) in ORG {
        bench(task, shape, query, &inputs![&db]);
    }
    let ids = data::ids(&task.data.join("org_lookups.csv"));
    let trees =
        || ids.iter().map(|id| pull(&db, TREE, EntityRef::Id(*id)).expect("it can be pulled")).collect::<Vec<_>>();
    task.bench("pull", 1000, trees, |found| found.iter().map(leaves).fold((0, 0.0), add));
}

fn recursion(task: &Task, graph: &str) {
    let conn = memory(|conn| data::load_edges(conn, &task.data.join(format!("graph_{graph}.csv"))));
    let (db, rules) = (conn.db(), Input::from(RULES));
    bench(task, &format!("tc-{graph}"), "[:find ?x ?y :in $ % :where (reach ?x ?y)]", &inputs![&db, rules.clone()]);
    let from = "[:find ?y :in $ % ?start :where (reach ?start ?y)]";
    bench(task, &format!("reach-{graph}"), from, &inputs![&db, rules, 1]);
}

fn triangles(task: &Task) {
    let conn = memory(|conn| data::load_edges(conn, &task.data.join("graph_pow20k.csv")));
    let db = conn.db();
    let count = "[:find (count ?c) :with ?a ?b :where [?a :edge ?b] [?b :edge ?c] [?a :edge ?c]]";
    bench(task, "tri-count", count, &inputs![&db]);
    bench(task, "tri-list", "[:find ?a ?b ?c :where [?a :edge ?b] [?b :edge ?c] [?a :edge ?c]]", &inputs![&db]);
}

fn write(task: &Task) {
    let tag = task.group.trim_start_matches("write");
    let all = people(&task.data.join(format!("people{tag}.csv")));
    let datoms: u64 = all.iter().map(Person::datoms).sum();
    let before = resident();
    let conn = memory(|conn| data::load_people(conn, &all));
    task.tell(&format!("bytes-mem@{tag}"), (resident() - before) / datoms as f64, (datoms, 0.0));
    drop(conn);
    task.bench(&format!("load-mem@{tag}"), 1, || memory(|conn| data::load_people(conn, &all)), |_| (datoms, 0.0));

    let path = task.scratch.join("people.tr");
    let config = Config::file(&path);
    let load = || {
        let _ = std::fs::remove_dir_all(&path);
        create_database(&config).expect("the directory takes it");
        let conn = connect(&config).expect("it was created");
        data::load_people(&conn, &all);
        conn.flush().expect("it can be stored");
        conn.release().expect("it can be released");
    };
    task.bench(&format!("load-disk@{tag}"), 1, load, |()| (datoms, 0.0));
    load();
    task.tell(&format!("bytes-disk@{tag}"), bytes(&path) / datoms as f64, (datoms, 0.0));
    let open = || {
        let conn = connect(&config).expect("it is there");
        let found = q("[:find ?a ?v :in $ ?id :where [?id ?a ?v]]", (&conn.db(), 1)).expect("it can be asked").len();
        conn.release().expect("it can be released");
        found
    };
    let opened = (0..5).map(|_| {
        evict(&path);
        let began = Instant::now();
        (open(), began.elapsed().as_secs_f64() * 1e3).1
    });
    let mut opened: Vec<f64> = opened.collect();
    opened.sort_by(f64::total_cmp);
    task.tell(&format!("open-cold@{tag}"), opened[2], (0, 0.0));
    if tag == "20k" {
        one_by_one(task, &config);
    }
    let _ = std::fs::remove_dir_all(&path);
}

/// Durable transactions of one entity.
fn one_by_one(task: &Task, config: &Config) {
    let conn = connect(config).expect("it is there");
    let mut spans = Vec::new();
    for person in people(&task.data.join("people20k_tx1000.csv")) {
        let began = Instant::now();
        conn.transact(person.entity()).expect("the person is right");
        spans.push(began.elapsed().as_secs_f64() * 1e3);
    }
    conn.release().expect("it can be released");
    spans.sort_by(f64::total_cmp);
    task.tell("tx1000", spans.iter().sum::<f64>() / spans.len() as f64, (spans.len() as u64, 0.0));
    task.tell("tx1000-p50", spans[spans.len() / 2], (spans.len() as u64, 0.0));
}

/// Bytes of memory that the process holds.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) * 1024.0
}

/// Takes the files of a folder out of the page cache.
fn evict(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            evict(&entry.path());
        } else {
            let from = format!("if={}", entry.path().display());
            let _ = std::process::Command::new("dd").args([&from, "iflag=nocache", "count=0", "status=none"]).status();
        }
    }
}

/// Bytes of files under a folder.
fn bytes(folder: &Path) -> f64 {
    let size = |entry: std::fs::DirEntry| {
        if entry.path().is_dir() { bytes(&entry.path()) } else { entry.metadata().map_or(0.0, |m| m.len() as f64) }
    };
    std::fs::read_dir(folder).map_or(0.0, |entries| entries.flatten().map(size).sum())
}
