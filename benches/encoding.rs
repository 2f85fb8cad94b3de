//! What compression and encryption save and cost, on the Debian archive and on people. Run with
//! `cargo bench --bench encoding --all-features`. Each line: bytes of a datom in packs and in the log, then seconds of
//! processor time, the least of some rounds: to load and close, to open and read everything once.

mod debian;

use std::path::{Path, PathBuf};

use treering::edn::Keyword;
use treering::index::Direction;
use treering::store::{Compressor, EncodingConfig, Key};
use treering::{Config, EntityMap, Op, Order, StoreConfig, connect, create_database};

fn encodings() -> Vec<(&'static str, EncodingConfig)> {
    let plain = EncodingConfig::new;
    let mut all = vec![("none", plain()), ("lz4", plain().compressor(Compressor::Lz4))];
    if cfg!(feature = "zstd") {
        for (name, level) in [("zstd 1", 1), ("zstd 3", 3), ("zstd 9", 9)] {
            all.push((name, plain().compressor(Compressor::Zstd(level))));
        }
    }
    if cfg!(feature = "encryption") {
        let key = Key::raw([7; 32]);
        all.push(("encrypted", plain().encrypted_with(key.clone())));
        all.push(("lz4, encrypted", plain().compressor(Compressor::Lz4).encrypted_with(key)));
    }
    all
}

const PEOPLE: &str = "[
  {:db/ident :id :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
  {:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :last-name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
  {:db/ident :sex :db/valueType :db.type/keyword :db/cardinality :db.cardinality/one}
  {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :salary :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]";

/// 40,000 people with six attributes each.
fn people() -> Vec<Vec<Op>> {
    let names = ["Ivan", "Petr", "Sergei", "Oleg", "Yuri", "Dmitry", "Fedor", "Denis"];
    let last = ["Ivanov", "Petrov", "Sidorov", "Kovalev", "Kuznetsov", "Voronoi"];
    let mut state = 7u64;
    let mut chance = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let [id, name, last_name, sex, age, salary] = ["id", "name", "last-name", "sex", "age", "salary"].map(Keyword::new);
    let mut person = |number: i64| {
        let person = EntityMap::new().set(id, number).set(name, names[chance(8)]).set(last_name, last[chance(6)]);
        let person = person.set(sex, Keyword::new(["male", "female"][chance(2)]));
        Op::from(person.set(age, chance(100) as i64).set(salary, chance(100_000) as i64))
    };
    (0..40).map(|batch| (0..1000).map(|i| person(batch * 1000 + i)).collect()).collect()
}

fn bytes(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return path.metadata().map_or(0, |m| m.len()) };
    entries.flatten().map(|entry| bytes(&entry.path())).sum()
}

/// Seconds of processor time that this process has taken, without those of the system where that is known.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(11)?.parse::<f64>().ok());
    ticks.map_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(0.0, |d| d.as_secs_f64()), |ticks| ticks / 100.0)
}

struct Outcome {
    datoms: usize,
    packs: u64,
    log: u64,
    write: f64,
    read: f64,
}

fn run(path: PathBuf, encoding: EncodingConfig, schema: &str, batches: Vec<Vec<Op>>) -> Outcome {
    let store = StoreConfig::new("file").with_option("path", path.to_string_lossy().as_ref());
    let config = Config::new().store(store.with_encoding(encoding));
    create_database(&config).expect("a new database");
    let began = processor();
    let conn = connect(&config).expect("a connection");
    conn.transact(schema).expect("a schema");
    let datoms = batches.into_iter().map(|batch| conn.transact(batch).expect("good data").tx_data.len()).sum();
    conn.release().expect("a clean close");
    let written = processor();
    // Nothing is kept from the writing.
    let conn = connect(&config.clone().cache_bytes(0)).expect("the database");
    for order in [Order::Eavt, Order::Aevt, Order::Avet] {
        let db = conn.db();
        let mut cursor = db.cursor(order, None, None, Direction::Forward).expect("a cursor");
        while let Some(chunk) = cursor.next().expect("a chunk") {
            std::hint::black_box(chunk.rows().len());
        }
    }
    conn.release().expect("a clean close");
    let read = processor() - written;
    Outcome { datoms, packs: bytes(&path.join("pack")), log: used(&path.join("log")), write: written - began, read }
}

/// Bytes of the files that are not the zeros at their ends.
fn used(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        let bytes = std::fs::read(path).unwrap_or_default();
        return bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last as u64 + 1);
    };
    entries.flatten().map(|entry| used(&entry.path())).sum()
}

fn main() {
    let home = tempfile::tempdir().expect("a directory for the bench");
    let rounds = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    for (data, schema, batches) in
        [("debian", debian::schema(), debian::records()), ("people", PEOPLE.to_owned(), people())]
    {
        let mut best: Vec<Option<Outcome>> = encodings().iter().map(|_| None).collect();
        for round in 0..rounds {
            for ((name, encoding), best) in encodings().into_iter().zip(&mut best) {
                let path = home.path().join(format!("{data}-{name}-{round}"));
                let new = run(path.clone(), encoding, &schema, batches.clone());
                std::fs::remove_dir_all(path).expect("it is there");
                *best = Some(match best.take() {
                    None => new,
                    Some(old) => Outcome { write: old.write.min(new.write), read: old.read.min(new.read), ..new },
                });
            }
        }
        println!("{data}: encoding, packs B/datom, log B/datom, load s, read s");
        for ((name, _), outcome) in encodings().iter().zip(best.into_iter().flatten()) {
            let per = |bytes: u64| bytes as f64 / outcome.datoms as f64;
            println!(
                "{name:>15} {:8.2} {:8.2} {:8.2} {:8.2}",
                per(outcome.packs),
                per(outcome.log),
                outcome.write,
                outcome.read
            );
        }
    }
}
