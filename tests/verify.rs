//! Verification finds whatever is wrong with a store, and nothing where nothing is.

#[path = "support/blobs.rs"]
mod blobs;
#[path = "support/places.rs"]
mod places;
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use places::{Place, registry_of};
use support::{Chance, Model, SCHEMA, env_number, one_more, transaction, with_small_nodes};
use treering::edn::Keyword;
use treering::store::frame::Sealed;
use treering::store::{Encoding, Store};
use treering::{
    Attribute, Config, Connection, GcOptions, Order, Problem, Registry, Row, Value, VerifyOptions, VerifyReport,
    connect_in, create_database_in, maintain_testing, verify_in,
};

fn verify(registry: &Registry, place: &Place) -> VerifyReport {
    verify_in(registry, &place.config(), &VerifyOptions::new()).unwrap()
}

fn problems(place: &Place) -> Vec<Problem> {
    verify(&registry_of(&[place]), place).problems
}

fn begin(registry: &Registry, place: &Place) -> Connection {
    create_database_in(registry, &with_small_nodes(place.config())).unwrap();
    connect_in(registry, &place.config()).unwrap()
}

/// A closed database with several commits.
fn grown(place: &Place) {
    let registry = registry_of(&[place]);
    let conn = begin(&registry, place);
    conn.transact(SCHEMA).unwrap();
    for i in 1..50 {
        conn.transact(transaction(i, "p").as_str()).unwrap();
        if i % 15 == 0 {
            conn.flush().unwrap();
        }
    }
    conn.release().unwrap();
    let report = verify(&registry, place);
    assert!(report.is_sound(), "{:?}", report.problems);
    assert!(report.commits > 3 && report.nodes > 30 && report.rows > 500 && report.transactions == 50, "{report:?}");
}

fn both() -> [Place; 2] {
    [Place::files("files"), Place::blobs("blobs")]
}

fn all(store: &Store) -> BTreeMap<String, Vec<u8>> {
    let keys = store.list("").unwrap();
    keys.into_iter().map(|key| (key.clone(), store.get(&key, None).unwrap().unwrap())).collect()
}

#[test]
fn sound_stores_are_sound_whatever_was_done_to_them() {
    let first = env_number("TREERING_SEED", 1);
    println!("TREERING_SEED={first}");
    for seed in first..first + 12 {
        let mut chance = Chance(seed);
        let place = if seed % 2 == 0 { Place::files("files") } else { Place::blobs("blobs") };
        let registry = registry_of(&[&place]);
        let mut conn = begin(&registry, &place);
        let mut model = Model::default();
        one_more(&conn, &mut model, SCHEMA).unwrap();
        for _ in 0..12 {
            for _ in 0..chance.below(10) {
                let i = model.after.len();
                one_more(&conn, &mut model, &transaction(i, "p")).unwrap();
            }
            match chance.below(5) {
                0 => conn.flush().unwrap(),
                1 => drop(one_more(
                    &conn,
                    &mut model,
                    &format!("[[:db.purge/entity [:name \"p{}\"]]]", chance.below(30)),
                )),
                2 => drop(conn.gc(GcOptions::new().min_age(Duration::ZERO)).unwrap()),
                3 => {
                    conn.release().unwrap();
                    conn = connect_in(&registry, &place.config()).unwrap();
                }
                _ => {}
            }
            // The writer is there and has more in its log than in its last commit.
            let report = verify(&registry, &place);
            assert!(report.is_sound(), "seed {seed}: {:?}", report.problems);
        }
        conn.gc(GcOptions::new().min_age(Duration::ZERO)).unwrap();
        let report = verify(&registry, &place);
        assert!(report.is_sound() && report.garbage.is_empty(), "seed {seed}: {report:?}");
    }
}

#[test]
fn databases_of_every_setting_are_sound() {
    for text in [
        "{:keep-history? false}",
        "{:schema-flexibility :read}",
        "{:attribute-refs? true}",
        "{:index :datahike.index/hitchhiker-tree}",
    ] {
        let place = Place::blobs("blobs");
        let registry = registry_of(&[&place]);
        let config = place.config().or(Config::from_edn(text).unwrap());
        create_database_in(&registry, &config).unwrap();
        let conn = connect_in(&registry, &config).unwrap();
        conn.transact(SCHEMA).unwrap();
        conn.transact(
            "[{:db/ident :pair :db/valueType :db.type/tuple :db/tupleAttrs [:name :age] :db/cardinality :db.cardinality/one}
              {:db/ident :blink :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/noHistory true}]",
        )
        .unwrap();
        for i in 1..60 {
            conn.transact(transaction(i, "p").as_str()).unwrap();
            conn.transact(format!("[{{:name \"p1\" :blink {i}}} {{:db/id \"datomic.tx\" :db/doc \"{i}\"}}]").as_str())
                .unwrap();
        }
        conn.transact("[[:db/add :age :db/index true] [:db/add :note :db/index true]]")
            .unwrap_or_else(|e| panic!("{e:?}"));
        conn.flush().unwrap();
        if text.contains("keep-history") {
            conn.gc(GcOptions::new().min_age(Duration::ZERO)).unwrap();
        }
        let report = verify_in(&registry, &config, &VerifyOptions::new()).unwrap();
        assert!(report.is_sound(), "{text}: {:?}", report.problems);
        conn.release().unwrap();
        let report = verify_in(&registry, &config, &VerifyOptions::new()).unwrap();
        assert!(report.is_sound(), "{text}: {:?}", report.problems);
    }
    let registry = Registry::with_builtins();
    let config = Config::memory("verify");
    create_database_in(&registry, &config).unwrap();
    let report = verify_in(&registry, &config, &VerifyOptions::new()).unwrap();
    assert!(report.is_sound() && report.blobs == 0);
}

/// Where the frames of a blob begin and end.
fn frames(key: &str, bytes: &[u8]) -> Vec<(usize, usize)> {
    let step = if key.starts_with("log/") { 8 } else { 1 };
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(rest) = bytes.get(at..)
        && let Ok((frame, _)) = Sealed::verify(rest, key, at as u64)
    {
        let end = at + frame.frame_len();
        found.push((at, end));
        at = end.next_multiple_of(step);
    }
    assert!(!found.is_empty(), "{key}");
    found
}

/// Every byte of small blobs, and some of larger ones; between the entries of a segment lies nothing.
#[test]
fn a_flipped_byte_of_any_blob_is_found() {
    let mut chance = Chance(env_number("TREERING_SEED", 1));
    for place in both() {
        grown(&place);
        let store = place.writable();
        for (key, bytes) in all(&store) {
            let places: Vec<usize> = frames(&key, &bytes).into_iter().flat_map(|(start, end)| start..end).collect();
            for _ in 0..env_number("TREERING_FLIPS", 12) {
                let at = places[chance.below(places.len())];
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << chance.below(8);
                store.put(&key, damaged).unwrap();
                let found = problems(&place);
                let id = key.split('/').nth(1).unwrap();
                let is_named = found.iter().any(|problem| problem.key.contains(id) || problem.what.contains(id));
                assert!(is_named, "{key} at {at}: {found:?}");
            }
            store.put(&key, bytes).unwrap();
        }
        assert_eq!(problems(&place), []);
    }
}

#[test]
fn what_is_missing_swapped_or_cut_is_found() {
    for place in both() {
        grown(&place);
        let store = place.writable();
        let blobs = all(&store);
        let needed: Vec<&String> = blobs.keys().filter(|key| !key.starts_with("commit/")).collect();
        for key in &needed {
            store.delete(key).unwrap();
            assert_ne!(problems(&place), [], "{key} deleted");
            let (_, end) = *frames(key, &blobs[*key]).last().unwrap();
            store.put(key, blobs[*key][..end / 2].to_vec()).unwrap();
            assert_ne!(problems(&place), [], "{key} cut");
            store.put(key, blobs[*key].clone()).unwrap();
        }
        for pair in needed.windows(2).filter(|pair| pair[0].split('/').next() == pair[1].split('/').next()) {
            store.put(pair[0], blobs[pair[1]].clone()).unwrap();
            assert_ne!(problems(&place), [], "{pair:?}");
            store.put(pair[0], blobs[pair[0]].clone()).unwrap();
        }
        // Two nodes of one length in each other's place.
        let mut swapped = 0;
        for (key, bytes) in blobs.iter().filter(|(key, _)| key.starts_with("pack/")) {
            let frames = frames(key, bytes);
            for (i, (start, end)) in frames.iter().enumerate() {
                let Some((other, _)) = frames[i + 1..].iter().find(|(from, to)| to - from == end - start) else {
                    continue;
                };
                let mut damaged = bytes.clone();
                let len = end - start;
                damaged[*start..*end].copy_from_slice(&bytes[*other..other + len]);
                damaged[*other..other + len].copy_from_slice(&bytes[*start..*end]);
                store.put(key, damaged).unwrap();
                let found = problems(&place);
                assert!(found.iter().any(|problem| problem.key == *key), "{found:?}");
                swapped += 1;
            }
            store.put(key, bytes.clone()).unwrap();
        }
        assert!(swapped > 0);
        // The head's own commit.
        let commits: Vec<&String> = blobs.keys().filter(|key| key.starts_with("commit/")).collect();
        let last = commits.last().unwrap();
        store.delete(last).unwrap();
        assert!(problems(&place).iter().any(|problem| problem.key == **last));
    }
}

type Edit<'a> = &'a dyn Fn(Order, &Row) -> Option<Row>;

/// A closed database in which `edit` has changed rows and `redefine` attributes, as no transaction does.
fn falsified(edit: Edit<'_>, redefine: &dyn Fn(&mut Attribute)) -> Vec<Problem> {
    let place = Place::blobs("blobs");
    grown(&place);
    maintain_testing::falsify(&registry_of(&[&place]), &place.config(), edit, redefine).unwrap();
    problems(&place)
}

#[test]
fn an_untouched_copy_is_sound() {
    assert_eq!(falsified(&|_, row| Some(row.clone()), &|_| ()), []);
}

#[test]
fn a_row_that_one_order_lacks_is_named() {
    let people = |row: &Row| row.v == Value::from("p12");
    for order in [Order::Eavt, Order::Aevt, Order::Avet] {
        let found = falsified(&|in_order, row| (in_order != order || !people(row)).then(|| row.clone()), &|_| ());
        let named = |problem: &Problem| problem.code == "verify/orders-differ" && problem.what.contains("p12");
        assert!(found.iter().any(named), "{order:?}: {found:?}");
    }
    for order in [Order::HistoryEavt, Order::HistoryAevt, Order::HistoryAvet] {
        let gone = |row: &Row| matches!(&row.v, Value::Str(text) if text.starts_with("p-gone18"));
        let found = falsified(&|in_order, row| (in_order != order || !gone(row)).then(|| row.clone()), &|_| ());
        assert!(found.iter().any(|problem| problem.what.contains("p-gone18")), "{order:?}: {found:?}");
    }
}

#[test]
fn what_rows_cannot_say_is_found() {
    let has =
        |found: &[Problem], code: &str| assert!(found.iter().any(|problem| problem.code == code), "{code}: {found:?}");
    // Closed rows that end before they begin, or after the last transaction.
    has(
        &falsified(
            &|_, row| Some(Row { tx: if row.until == treering::OPEN { row.tx } else { row.until }, ..row.clone() }),
            &|_| (),
        ),
        "verify/interval",
    );
    // A transaction that does not exist, in all orders.
    let moved = |row: &Row| row.v == Value::from("p12");
    has(
        &falsified(
            &|_, row| Some(Row { tx: if moved(row) { row.tx + 5_000 } else { row.tx }, ..row.clone() }),
            &|_| (),
        ),
        "verify/transaction",
    );
    // Attributes that the schema does not know.
    let renamed = |row: &Row| Row { a: if moved(row) { treering::AttrId(9_999) } else { row.a }, ..row.clone() };
    has(
        &falsified(&|order, row| (!moved(row) || matches!(order, Order::Eavt)).then(|| renamed(row)), &|_| ()),
        "verify/attribute",
    );
    // Schemas that the datoms do not define.
    let tags = Keyword::new("tags");
    let found = falsified(&|_, row| Some(row.clone()), &|attribute| {
        if attribute.ident == tags {
            attribute.cardinality = treering::Cardinality::One;
        }
    });
    has(&found, "verify/schema");
    has(&found, "verify/cardinality");
    let age = Keyword::new("age");
    let found = falsified(&|_, row| Some(row.clone()), &|attribute| {
        if attribute.ident == age {
            attribute.unique = Some(treering::Unique::Value);
            attribute.value_type = Some(treering::ValueType::String);
        }
    });
    has(&found, "verify/unique");
    has(&found, "verify/type");
    // A definition that is gone.
    let defines = |row: &Row| row.v == Value::from(Keyword::new("note"));
    has(&falsified(&|_, row| (!defines(row)).then(|| row.clone()), &|_| ()), "verify/schema");
    // The last transaction without its instant.
    has(&falsified(&|_, row| (row.e != treering::TX0 + 50).then(|| row.clone()), &|_| ()), "verify/basis");
}

#[test]
fn many_problems_are_counted() {
    let place = Place::blobs("blobs");
    grown(&place);
    let store = place.writable();
    for key in store.list("pack/").unwrap() {
        store.put(&key, vec![0; 500]).unwrap();
    }
    let registry = registry_of(&[&place]);
    let some = verify_in(&registry, &place.config(), &VerifyOptions::new().most_problems(3)).unwrap();
    let all = verify_in(&registry, &place.config(), &VerifyOptions::new()).unwrap();
    assert_eq!(some.problems.len(), 3);
    assert!(some.more_problems > 0 && all.more_problems == 0 && all.problems.len() > 3);
    assert!(!some.is_sound());
}

#[test]
fn garbage_is_listed_and_no_problem() {
    let place = Place::blobs("blobs");
    grown(&place);
    let store = place.writable();
    let id = uuid::Uuid::now_v7().as_u128();
    let key = format!("pack/{id:032x}");
    let bytes = Encoding::PLAIN.seal(2, 0, b"a node that nothing refers to", &key, 0).unwrap();
    store.put(&key, bytes.clone()).unwrap();
    let report = verify(&registry_of(&[&place]), &place);
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(report.garbage, [(key, bytes.len() as u64)]);
}

/// A verification reads beside transactions, flushes, purges and collections.
#[test]
fn a_writer_may_be_at_work() {
    for place in both() {
        let registry = registry_of(&[&place]);
        let conn = begin(&registry, &place);
        conn.transact(SCHEMA).unwrap();
        std::thread::scope(|scope| {
            for round in 0..8 {
                let conn = &conn;
                let writer = scope.spawn(move || {
                    for i in 40 * round + 1..40 * round + 40 {
                        conn.transact(transaction(i, "p").as_str()).unwrap();
                        if i % 6 == 0 {
                            conn.flush().unwrap();
                        }
                        if i % 20 == 12 {
                            conn.transact(format!("[[:db.purge/entity [:name \"p{}\"]]]", i - 1).as_str()).unwrap();
                            conn.gc(GcOptions::new().min_age(Duration::ZERO)).unwrap();
                        }
                    }
                });
                let report = verify(&registry, &place);
                assert!(report.is_sound(), "{:?}", report.problems);
                writer.join().unwrap();
            }
        });
    }
}
