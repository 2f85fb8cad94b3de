//! Transactions in memory: datoms a second for batches of new entities with five attributes, and the time of small
//! transactions. Run with `cargo bench --bench transact`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use treering::db_testing::empty_db;
use treering::edn::Keyword;
use treering::{Db, EntityMap, SchemaFlexibility, with};

const SCHEMA: &str = "[
  {:db/ident :person/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
  {:db/ident :person/email :db/valueType :db.type/string :db/cardinality :db.cardinality/one
   :db/unique :db.unique/identity}
  {:db/ident :person/age :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :person/height :db/valueType :db.type/double :db/cardinality :db.cardinality/one}
  {:db/ident :person/city :db/valueType :db.type/string :db/cardinality :db.cardinality/one}]";

const CITIES: [&str; 5] = ["Berlin", "Paris", "Rome", "Madrid", "Vienna"];

struct Names {
    name: Keyword,
    email: Keyword,
    age: Keyword,
    height: Keyword,
    city: Keyword,
}

impl Names {
    fn new() -> Names {
        let [name, email, age, height, city] =
            ["name", "email", "age", "height", "city"].map(|n| Keyword::new(&format!("person/{n}")));
        Names { name, email, age, height, city }
    }

    fn person(&self, n: u64, unique: bool) -> EntityMap {
        let scattered = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let person = EntityMap::new()
            .set(self.name, format!("Person {scattered}"))
            .set(self.age, (scattered % 100) as i64)
            .set(self.height, 1.5 + (scattered % 50) as f64 / 100.0)
            .set(self.city, CITIES[n as usize % CITIES.len()]);
        if unique {
            person.set(self.email, format!("{scattered}@example.org"))
        } else {
            person.set(Keyword::new("person/name"), format!("P {n}"))
        }
    }
}

fn main() {
    let names = Names::new();
    let db = with(&empty_db(true, SchemaFlexibility::Write), SCHEMA).expect("the schema is right").db_after;
    for unique in [false, true] {
        let label = if unique { "with an identity attribute" } else { "no unique attribute" };
        batches(&format!("batches of 10,000 entities, {label}"), &db, 10, |n| {
            (n * 10_000..(n + 1) * 10_000).map(|n| names.person(n, unique)).collect()
        });
    }
    batches("batches of 100 entities, with an identity attribute", &db, 500, |n| {
        (n * 100..(n + 1) * 100).map(|n| names.person(n, true)).collect()
    });
    batches("one entity at a time, with an identity attribute", &db, 5_000, |n| vec![names.person(n, true)]);
    let base = batches("a base of 100,000 entities", &db, 10, |n| {
        (n * 10_000..(n + 1) * 10_000).map(|n| names.person(n, true)).collect()
    });
    batches("upserts of an age into 100,000 entities, 10,000 at a time", &base, 10, |n| {
        (n * 10_000..(n + 1) * 10_000)
            .map(|n| {
                let scattered = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
                let person = EntityMap::new().set(names.email, format!("{scattered}@example.org"));
                person.set(names.age, 200 + (n % 100) as i64)
            })
            .collect()
    });
}

/// Makes `rounds` transactions, one after the other, and says how fast; answers with the last database.
fn batches(label: &str, db: &Db, rounds: u64, batch: impl Fn(u64) -> Vec<EntityMap>) -> Db {
    let mut db = db.clone();
    let (mut datoms, mut spent, mut best) = (0, Duration::ZERO, f64::INFINITY);
    for n in 0..rounds {
        let entities = batch(n);
        let start = Instant::now();
        let report = with(&db, entities).expect("the batch is right");
        let took = start.elapsed();
        spent += took;
        best = best.min(took.as_secs_f64() / report.tx_data.len() as f64);
        datoms += report.tx_data.len();
        db = black_box(report).db_after;
    }
    let seconds = spent.as_secs_f64();
    let (rate, each) = (datoms as f64 / seconds / 1e6, seconds / rounds as f64 * 1e6);
    // The best transaction is what the machine does when nothing else runs on it.
    let best = 1e-6 / best;
    println!("{label}: {rate:.2} M datoms/s (best {best:.2}), {each:.1} µs a transaction ({datoms} datoms)");
    db
}
