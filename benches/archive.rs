//! The Debian archive: how fast it goes in, how fast the database opens, how fast the main questions are answered. Run with
//! `cargo bench --bench archive`. Times are reported, not asserted; the counts beside them are.

mod debian;

use std::time::Instant;

use debian::{records, schema};
use treering::{Config, Connection, Op, connect, create_database, database_exists, delete_database, prepare, q};

fn begin(config: &Config) -> Connection {
    if database_exists(config).expect("a usable config") {
        delete_database(config).expect("nobody is connected");
    }
    create_database(config).expect("a new database");
    let conn = connect(config).expect("a connection");
    conn.transact(schema().as_str()).expect("a schema");
    conn
}

/// Transacts all batches; the number of datoms and the seconds that it took.
fn load(conn: &Connection, batches: Vec<Vec<Op>>) -> (usize, f64) {
    let began = Instant::now();
    let datoms = batches.into_iter().map(|batch| conn.transact(batch).expect("good data").tx_data.len()).sum();
    (datoms, began.elapsed().as_secs_f64())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The median of some runs, in milliseconds.
fn time<T>(runs: usize, mut work: impl FnMut() -> T) -> f64 {
    let run = |work: &mut dyn FnMut() -> T| {
        let began = Instant::now();
        std::hint::black_box(work());
        began.elapsed().as_secs_f64() * 1e3
    };
    median((0..runs).map(|_| run(&mut work)).collect())
}

fn main() {
    let batches = records();

    let memory = begin(&Config::memory("archive"));
    let (datoms, seconds) = load(&memory, batches.clone());
    println!("into :memory, from memory: {datoms} datoms, {:.0} datoms/s", datoms as f64 / seconds);

    let dir = tempfile::tempdir().expect("a directory for the bench");
    let config = Config::file(dir.path().join("archive.tr"));
    let conn = begin(&config);
    let began = Instant::now();
    let (datoms, seconds) = load(&conn, batches);
    conn.release().expect("a clean close");
    let whole = began.elapsed().as_secs_f64();
    println!(
        "into :file, durable: {datoms} datoms, {:.0} datoms/s; with the indexes stored at release {:.0} datoms/s",
        datoms as f64 / seconds,
        datoms as f64 / whole
    );

    let mut opened = Vec::new();
    let point = "[:find ?v . :in $ ?n :where [?p :name ?n] [?p :version ?v]]";
    let cold = time(9, || {
        let began = Instant::now();
        let conn = connect(&config).expect("the database");
        let version = q(point, (&conn.db(), "gimp")).expect("an answer").to_value();
        opened.push(began.elapsed().as_secs_f64() * 1e3);
        conn.release().expect("a clean close");
        version
    });
    println!(
        "open and first point query: {:.2} ms; with the close: {cold:.2} ms (files in the page cache)",
        median(opened)
    );

    let conn = connect(&config).expect("the database");
    let db = conn.db();
    let prepared = prepare(point).expect("a query");
    let names = ["gimp", "openssl", "libc6", "jq", "vim"];
    let mut turn = 0;
    let warm = time(20_000, || {
        turn += 1;
        prepared.run((&db, names[turn % names.len()])).expect("an answer").get(0, 0)
    });
    println!("warm point query, prepared: {:.2} µs", warm * 1e3);
    let text = time(5_000, || q(point, (&db, "gimp")).expect("an answer").get(0, 0));
    println!("warm point query, as text: {:.2} µs", text * 1e3);

    let rules =
        treering::edn::read("[[(needs ?p ?d) [?p :depends ?d]] [(needs ?p ?d) [?p :depends ?x] (needs ?x ?d)]]")
            .expect("rules");
    for (what, query, name) in [
        ("what gimp needs", "[:find [?d ...] :in $ % ?n :where [?p :name ?n] (needs ?p ?d)]", "gimp"),
        ("what needs libc6", "[:find [?p ...] :in $ % ?n :where [?d :name ?n] (needs ?p ?d)]", "libc6"),
    ] {
        let rows = q(query, (&db, &rules, name)).expect("an answer").len();
        let took = time(9, || q(query, (&db, &rules, name)).expect("an answer").len());
        println!("{what}: {rows} rows in {took:.2} ms");
        assert!(rows > 100, "the archive has deep dependencies");
    }
    drop(db);
    conn.release().expect("a clean close");
}
