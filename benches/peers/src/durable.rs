//! What transactions cost, beside the disk's own floor and SQLite in the same run: `durable [FOLDER [PART]]`, where FOLDER is
//! on the disk to measure (the current one if it is not given) and PART is `one`, `clients` or `load` (all if it is not
//! given). `TREERING_ENTITIES` is the size of the load, 1,000,000 if it is not set.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::params;
use treering::edn::Keyword;
use treering::{Config, Connection, EntityId, EntityMap, connect, create_database, delete_database};

const SCHEMA: &str = "[
  {:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
  {:db/ident :email :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
  {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :salary :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :city :db/valueType :db.type/string :db/cardinality :db.cardinality/one}]";

const CITIES: [&str; 5] = ["Berlin", "Paris", "Rome", "Madrid", "Vienna"];
const ONE_BY_ONE: u64 = 2_000;

struct Names([Keyword; 5]);

impl Names {
    fn new() -> Names {
        Names(["name", "email", "age", "salary", "city"].map(Keyword::new))
    }

    fn entity(&self, n: u64) -> EntityMap {
        let [name, email, age, salary, city] = self.0;
        let x = scattered(n);
        EntityMap::new()
            .set(name, format!("Person {x}"))
            .set(email, format!("{x}@example.org"))
            .set(age, (x % 100) as i64)
            .set(salary, (x % 100_000) as i64)
            .set(city, CITIES[(x % 5) as usize])
    }
}

fn scattered(n: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
}

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let part = std::env::args().nth(2);
    let wants = |name: &str| part.as_deref().is_none_or(|part| part == name);
    let dir = tempfile::tempdir_in(folder).expect("a folder to write in");
    let names = Names::new();
    if wants("one") {
        one_by_one(dir.path(), &names);
    }
    if wants("clients") {
        many_clients(dir.path(), &names);
    }
    if wants("load") {
        loads(dir.path(), &names);
    }
}

fn one_by_one(dir: &Path, names: &Names) {
    println!("one waiting client, {ONE_BY_ONE} transactions of one entity with 5 attributes");
    // The disk's speed changes from second to second: the three take turns.
    let mut best = [f64::INFINITY; 3];
    for round in 0..3 {
        let took = [
            overwrites(&dir.join("floor")),
            one_client(&dir.join(format!("one-{round}.tr")), names),
            sqlite(&dir.join(format!("one-{round}.db"))),
        ];
        best.iter_mut().zip(took).for_each(|(best, took)| *best = best.min(took));
    }
    let [floor, ours, theirs] = best;
    println!("  overwrite and fdatasync   {floor:8.1} us");
    println!("  treering :file            {ours:8.1} us   {:.2} x the floor (bar 1.5)", ours / floor);
    println!("  sqlite, WAL, FULL         {theirs:8.1} us   treering takes {:.2} of it (bar 1)", ours / theirs);
}

fn many_clients(dir: &Path, names: &Names) {
    let memory = Config::memory("durable");
    let conn = open(&memory);
    let alone = rate(20_000, || (0..20_000).for_each(|n| one(&conn, names, n)));
    println!("one thread, :memory         {alone} (bar 20000)");
    close(conn, &memory);
    let conn = open(&memory);
    let many = clients(&conn, names);
    close(conn, &memory);
    let file = Config::file(dir.join("many.tr"));
    let conn = open(&file);
    let durable = clients(&conn, names);
    close(conn, &file);
    println!("64 clients, :memory         {many}");
    println!("64 clients, :file           {durable}, {:.2} of :memory (bar 0.67)", durable.rate() / many.rate());
}

fn loads(dir: &Path, names: &Names) {
    let entities = std::env::var("TREERING_ENTITIES").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    for (config, bar) in [(Config::memory("load"), 1_200_000), (Config::file(dir.join("load.tr")), 800_000)] {
        let conn = open(&config);
        let (datoms, took) = load(&conn, names, entities);
        let (backend, rate) = (config.store_config().backend(), datoms as f64 / took.as_secs_f64());
        println!(
            "{entities} entities, 10,000 a transaction, into {backend}: {rate:.0} datoms/s (bar {bar}), RSS {} MB",
            resident()
        );
        if backend.as_str() == "memory" {
            upserts(&conn, names, entities);
        }
        close(conn, &config);
    }
}

fn open(config: &Config) -> Connection {
    create_database(config).expect("the store takes it");
    let conn = connect(config).expect("it was created");
    conn.transact(SCHEMA).expect("the schema is right");
    conn
}

fn close(conn: Connection, config: &Config) {
    conn.release().expect("it can be released");
    delete_database(config).expect("it can be deleted");
}

fn one(conn: &Connection, names: &Names, n: u64) {
    conn.transact(names.entity(n)).expect("the entity is right");
}

/// So many transactions, in so much time.
struct Rate {
    count: u64,
    took: Duration,
    /// Of all threads: what tells two versions apart where other processes want the processors, too.
    cpu: Duration,
}

impl Rate {
    fn rate(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cpu = self.cpu.as_secs_f64() * 1e6 / self.count as f64;
        write!(f, "{:8.0} transactions/s, {cpu:.0} us of processor each", self.rate())
    }
}

fn rate(count: u64, run: impl FnOnce()) -> Rate {
    let (began, cpu) = (Instant::now(), processor());
    run();
    Rate { count, took: began.elapsed(), cpu: processor() - cpu }
}

/// The processors' time that this process has taken.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The median, in microseconds.
fn median(mut spans: Vec<Duration>) -> f64 {
    spans.sort();
    spans[spans.len() / 2].as_secs_f64() * 1e6
}

/// Overwrites 300 bytes of a file that is there already, and waits for the disk.
fn overwrites(path: &Path) -> f64 {
    let mut file = File::create(path).expect("a file");
    file.write_all(&vec![0; 4 << 20]).and_then(|()| file.sync_all()).expect("room");
    let span = |n: u64| {
        let began = Instant::now();
        file.seek(SeekFrom::Start(n * 300)).expect("a place");
        file.write_all(&[n as u8; 300]).and_then(|()| file.sync_data()).expect("a disk");
        began.elapsed()
    };
    median((0..ONE_BY_ONE).map(span).collect())
}

fn one_client(path: &Path, names: &Names) -> f64 {
    let config = Config::file(path);
    let conn = open(&config);
    let spans = (0..ONE_BY_ONE).map(|n| {
        let began = Instant::now();
        one(&conn, names, n);
        began.elapsed()
    });
    let took = median(spans.collect());
    close(conn, &config);
    took
}

/// The same facts as rows (e a v tx) in three orders.
fn sqlite(path: &Path) -> f64 {
    let mut db = rusqlite::Connection::open(path).expect("a database");
    db.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         CREATE TABLE d(e INTEGER, a INTEGER, v, tx INTEGER, PRIMARY KEY(e, a, v)) WITHOUT ROWID;
         CREATE UNIQUE INDEX aevt ON d(a, e, v, tx); CREATE INDEX avet ON d(a, v, e, tx) WHERE a IN (2, 3);",
    )
    .expect("tables");
    let span = |n: u64| {
        let x = scattered(n);
        let began = Instant::now();
        let tx = db.transaction().expect("a transaction");
        {
            let mut put = tx.prepare_cached("INSERT INTO d VALUES (?1, ?2, ?3, ?4)").expect("a statement");
            let (e, t) = (n as i64 + 1, n as i64 + 1_000_000);
            put.execute(params![e, 1, format!("Person {x}"), t]).expect("a row");
            put.execute(params![e, 2, format!("{x}@example.org"), t]).expect("a row");
            put.execute(params![e, 3, (x % 100) as i64, t]).expect("a row");
            put.execute(params![e, 4, (x % 100_000) as i64, t]).expect("a row");
            put.execute(params![e, 5, CITIES[(x % 5) as usize], t]).expect("a row");
        }
        tx.commit().expect("durable");
        began.elapsed()
    };
    median((0..ONE_BY_ONE).map(span).collect())
}

/// Transactions a second of 64 threads that wait for theirs.
fn clients(conn: &Connection, names: &Names) -> Rate {
    let (threads, each) = (64, 500);
    rate(threads * each, || {
        std::thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || (0..each).for_each(|n| one(conn, names, thread * each + n)));
            }
        });
    })
}

fn load(conn: &Connection, names: &Names, entities: u64) -> (u64, Duration) {
    let (mut datoms, mut took) = (0, Duration::ZERO);
    for first in (0..entities).step_by(10_000) {
        let batch: Vec<EntityMap> = (first..(first + 10_000).min(entities)).map(|n| names.entity(n)).collect();
        let began = Instant::now();
        datoms += conn.transact(batch).expect("the batch is right").tx_data.len() as u64;
        took += began.elapsed();
    }
    let began = Instant::now();
    conn.flush().expect("it can be stored");
    (datoms, took + began.elapsed())
}

/// 1,000 entities that are there get other values.
fn upserts(conn: &Connection, names: &Names, entities: u64) {
    let [name, email, age, salary, city] = names.0;
    let mut best = f64::INFINITY;
    let mut changed = 0;
    for round in 1..=10_u64 {
        let person = |n: u64| {
            let x = scattered(n * (entities / 1_000) + round);
            let map = EntityMap::new().set(email, format!("{x}@example.org")).set(name, format!("Name {x}/{round}"));
            map.set(age, (100 + round) as i64).set(salary, (200_000 + round) as i64).set(city, format!("City {round}"))
        };
        let batch: Vec<EntityMap> = (0..1_000).map(person).collect();
        let began = Instant::now();
        let report = conn.transact(batch).expect("the batch is right");
        best = best.min(began.elapsed().as_secs_f64() / 5_000.0);
        changed = report.tx_data.len();
        assert!(report.tx_data.iter().all(|datom| datom.e >= EntityId(1)));
    }
    println!(
        "upserts of 1,000 entities, 5 attributes each ({changed} datoms in the report): {:.0} attributes/s (bar 300000)",
        1.0 / best
    );
}

/// Megabytes of memory that the process holds.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}
