//! Garbage collection: space comes back, and nothing that is in use goes.
//!
//! `TREERING_OVERWRITES` sets how many facts are replaced without history (60,000 when it is not set), `TREERING_SEED` what
//! is chosen by chance.

#[path = "support/blobs.rs"]
mod blobs;
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use blobs::Blobs;
use support::{Chance, Model, SCHEMA, content, env_number, one_more, registry, sim_config, transaction};
use treering::edn::Keyword;
use treering::store::Store;
use treering::store::testing::SimFs;
use treering::{
    Components, Config, Connection, Datom, Db, EntityId, EntityMap, ErrorKind, GcOptions, Order, Registry, TX0,
    connect_in, create_database_in, db_testing,
};

fn now() -> GcOptions {
    GcOptions::new().min_age(Duration::ZERO)
}

fn blobs_config() -> Config {
    Config::from_edn("{:store {:backend :blobs} :index-config {:branching-factor 16}}").unwrap()
}

fn with(blobs: &Blobs) -> Registry {
    Registry::with_builtins().with_backend(blobs.clone())
}

fn begin(blobs: &Blobs, config: &Config) -> (Registry, Connection) {
    let registry = with(blobs);
    create_database_in(&registry, config).unwrap();
    let conn = connect_in(&registry, config).unwrap();
    (registry, conn)
}

fn keys(blobs: &Blobs, prefix: &str) -> Vec<String> {
    Store::new(blobs.0.clone()).list(prefix).unwrap()
}

/// What holds.
fn datoms(db: &Db) -> Vec<Datom> {
    db.datoms(Order::Eavt, &Components::default()).unwrap().map(Result::unwrap).collect()
}

/// Replaces random values without history, collecting now and then: the store stays small.
fn overwrite(registry: &Registry, config: &Config, bytes: &dyn Fn() -> u64) -> (u64, Connection) {
    const PEOPLE: usize = 4_000;
    let wanted = env_number("TREERING_OVERWRITES", 60_000) as usize;
    let seed = env_number("TREERING_SEED", 1);
    println!("TREERING_SEED={seed}");
    let mut chance = Chance(seed);
    create_database_in(registry, config).unwrap();
    let conn = connect_in(registry, config).unwrap();
    conn.transact(SCHEMA).unwrap();
    let (name, age, note) = (Keyword::new("name"), Keyword::new("age"), Keyword::new("note"));
    let person = |chance: &mut Chance, i: usize| {
        let note_text = format!("{:016x}{:016x}{:016x}", chance.next(), chance.next(), chance.next());
        EntityMap::new().set(name, format!("person-{i}")).set(age, chance.below(90) as i64).set(note, note_text)
    };
    let everybody: Vec<EntityMap> = (0..PEOPLE).map(|i| person(&mut chance, i)).collect();
    conn.transact(everybody).unwrap();
    conn.gc(now()).unwrap();
    let live = bytes();
    let mut done = 0;
    let mut rounds = 0;
    while done < wanted {
        let one = |chance: &mut Chance| {
            let i = chance.below(PEOPLE);
            person(chance, i)
        };
        let some: Vec<EntityMap> = (0..200).map(|_| one(&mut chance)).collect();
        // Age and note of each.
        done += 2 * some.len();
        conn.transact(some).unwrap();
        if done / 4_000 > rounds {
            rounds = done / 4_000;
            conn.flush().unwrap();
            if rounds % 3 == 0 {
                conn.gc(now()).unwrap();
                let size = bytes();
                assert!(size < 3 * live, "{size} bytes after {done} overwrites, {live} are live");
            }
        }
    }
    let report = conn.gc(now()).unwrap();
    let size = bytes();
    println!("{done} overwrites: {size} bytes, {live} live, the last collection took {} bytes", report.bytes);
    assert!(size < 3 * live, "{size} bytes after {done} overwrites, {live} are live");
    db_testing::check_indexes(&conn.db()).unwrap();
    (live, conn)
}

#[test]
fn a_directory_without_history_stays_small() {
    let home = tempfile::tempdir().unwrap();
    let config = Config::file(home.path().join("db")).keep_history(false);
    let registry = Registry::with_builtins();
    let bytes = || support::files(home.path()).iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
    let (_, conn) = overwrite(&registry, &config, &bytes);
    let before = datoms(&conn.db());
    conn.release().unwrap();
    let conn = connect_in(&registry, &config).unwrap();
    assert_eq!(datoms(&conn.db()), before);
    conn.release().unwrap();
}

#[test]
fn blobs_without_history_stay_few() {
    let blobs = Blobs::default();
    let config = blobs_config().keep_history(false);
    let bytes = || blobs.all().iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let (_, conn) = overwrite(&with(&blobs), &config, &bytes);
    let before = datoms(&conn.db());
    drop(conn);
    let conn = connect_in(&with(&blobs), &config).unwrap();
    assert_eq!(datoms(&conn.db()), before);
}

/// What the log no longer has is no part of the transactions; what it has follows without a gap.
#[test]
fn without_history_the_log_begins_later() {
    let blobs = Blobs::default();
    let (_registry, conn) = begin(&blobs, &blobs_config().keep_history(false));
    conn.transact(SCHEMA).unwrap();
    for i in 1..20 {
        conn.transact(transaction(i, "p").as_str()).unwrap();
    }
    let all = conn.tx_range(EntityId(TX0), None).unwrap().count();
    assert_eq!(all, 20);
    let halfway = conn.tx_range(EntityId(TX0), None).unwrap().next().unwrap().unwrap();
    let mut reading = conn.tx_range(EntityId(TX0), None).unwrap();
    assert_eq!(reading.next().unwrap().unwrap(), halfway);
    conn.gc(now()).unwrap();
    // Who was reading is told that something is missing.
    let error = reading.find_map(Result::err).expect("the rest is gone");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Closed, "log/rewritten"));
    assert_eq!(conn.tx_range(EntityId(TX0), None).unwrap().count(), 0);
    conn.transact(transaction(40, "p").as_str()).unwrap();
    let made: Vec<_> = conn.tx_range(EntityId(TX0), None).unwrap().map(|made| made.unwrap().t).collect();
    assert_eq!(made, [conn.db().basis_t()]);
    // The marks of sessions stay: they keep an older writer out.
    assert!(keys(&blobs, "log/").iter().any(|key| key.ends_with("/0000000000000000")));
}

#[test]
fn with_history_nothing_is_forgotten() {
    let blobs = Blobs::default();
    let (_registry, conn) = begin(&blobs, &blobs_config());
    let mut model = Model::default();
    one_more(&conn, &mut model, SCHEMA).unwrap();
    for i in 1..120 {
        one_more(&conn, &mut model, &transaction(i, "p")).unwrap();
        if i % 10 == 0 {
            conn.flush().unwrap();
        }
    }
    assert!(keys(&blobs, "commit/").len() > 10);
    let report = conn.gc(now()).unwrap();
    assert!(report.deleted.len() > 10 && report.bytes > 0, "{report:?}");
    assert_eq!(keys(&blobs, "commit/").len(), 1);
    assert_eq!(conn.tx_range(EntityId(TX0), None).unwrap().count(), 120);
    drop(conn);
    let conn = connect_in(&with(&blobs), &blobs_config()).unwrap();
    assert_eq!(content(&conn.db()).unwrap(), model.last());
    // There is nothing to do when nothing has happened.
    conn.gc(now()).unwrap();
    let again = conn.gc(now()).unwrap();
    assert_eq!((again.deleted.len(), again.moved_bytes), (0, 0), "{again:?}");
}

#[test]
fn a_dry_run_deletes_nothing_and_says_what_would_go() {
    let blobs = Blobs::default();
    let (_registry, conn) = begin(&blobs, &blobs_config());
    conn.transact(SCHEMA).unwrap();
    for i in 1..60 {
        conn.transact(transaction(i, "p").as_str()).unwrap();
        conn.flush().unwrap();
    }
    let before = blobs.all();
    let dry = conn.gc(now().dry_run(true)).unwrap();
    assert_eq!(blobs.all(), before, "a dry run changes nothing");
    let size = |key: &String| before.iter().find(|(name, _)| name == key).map(|(_, bytes)| bytes.len() as u64);
    assert_eq!(dry.bytes, dry.deleted.iter().map(|key| size(key).unwrap()).sum::<u64>());
    let real = conn.gc(now()).unwrap();
    assert!(!dry.deleted.is_empty() && dry.deleted.iter().all(|key| real.deleted.contains(key)));
    let left: Vec<String> = blobs.all().into_iter().map(|(key, _)| key).collect();
    assert!(real.deleted.iter().all(|key| !left.contains(key)));
}

/// A reader goes on with an old database until its minimum age is over, and is told afterwards.
#[test]
fn readers_are_spared_for_a_minimum_age() {
    let blobs = Blobs::default();
    let (_registry, conn) = begin(&blobs, &blobs_config());
    conn.transact(SCHEMA).unwrap();
    for i in 1..100 {
        conn.transact(transaction(i, "p").as_str()).unwrap();
    }
    conn.flush().unwrap();
    let wanted = content(&conn.db()).unwrap();
    let others = [with(&blobs), with(&blobs)];
    let readers: Vec<_> =
        others.iter().map(|registry| connect_in(registry, &blobs_config().read_only(true)).unwrap()).collect();
    for i in 100..300 {
        conn.transact(transaction(i, "q").as_str()).unwrap();
        if i % 20 == 0 {
            conn.flush().unwrap();
        }
    }
    for options in [GcOptions::new(), GcOptions::new().remove_before(0), now().remove_before(1_000)] {
        assert_eq!(conn.gc(options).unwrap().deleted, Vec::<String>::new());
    }
    assert_eq!(content(&readers[0].db()).unwrap(), wanted);
    // After a purge no pack stays for the sake of its other nodes.
    conn.transact("[[:db.purge/entity [:name \"p91\"]]]").unwrap();
    assert_eq!(content(&readers[0].db()).unwrap(), wanted, "what was read is in the cache");
    conn.gc(now()).unwrap();
    let error = content(&readers[1].db()).unwrap_err();
    assert_eq!(error.code(), "index/node-not-found");
    assert!(error.message().contains("garbage was collected"), "{error}");
    // A newer one can be had at once.
    assert_eq!(content(&readers[1].sync().unwrap()).unwrap(), content(&conn.db()).unwrap());
}

/// An instant, all of its millisecond being over when it is given.
fn instant() -> i64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let then = now();
    while now() == then {}
    then
}

/// What a reader has just brought up to date is spared, though no transaction was new since an older commit was read.
#[test]
fn a_reader_that_keeps_up_loses_nothing() {
    let blobs = Blobs::default();
    let (_registry, conn) = begin(&blobs, &blobs_config());
    conn.transact(SCHEMA).unwrap();
    let people = |numbers: std::ops::Range<usize>, age: usize| {
        let all: String = numbers.map(|i| format!("{{:name \"{i:03}\" :age {age}}}")).collect();
        conn.transact(format!("[{all}]")).unwrap();
    };
    people(0..300, 1);
    conn.flush().unwrap();
    let reader = connect_in(&with(&blobs), &blobs_config().read_only(true).cache_bytes(0)).unwrap();
    people(0..250, 2);
    assert_eq!(reader.sync().unwrap().basis_t(), conn.db().basis_t());
    // The commit that the reader began with is no head any more, and what is left of its nodes is moved.
    assert!(conn.gc(GcOptions::new()).unwrap().moved_bytes > 0);
    let since = instant();
    let db = reader.sync().unwrap();
    let deleted = conn.gc(now().remove_before(since)).unwrap().deleted;
    assert!(deleted.iter().any(|key| key.starts_with("pack/")), "{deleted:?}");
    assert_eq!(content(&db).unwrap(), content(&conn.db()).unwrap());
    reader.release().unwrap();
    conn.release().unwrap();
}

/// Blobs that belong to nothing, as a crash in a flush leaves them, go when they are old enough; others stay.
#[test]
fn what_a_crash_left_behind_goes() {
    let blobs = Blobs::default();
    let (_registry, conn) = begin(&blobs, &blobs_config());
    let store = Store::new(blobs.0.clone());
    let old = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 1_000_000, 0)).as_u128();
    let young = uuid::Uuid::now_v7().as_u128();
    for id in [old, young] {
        store.put(&format!("pack/{id:032x}"), b"left behind".to_vec()).unwrap();
        store.put(&format!("commit/{id:032x}"), b"left behind".to_vec()).unwrap();
        store.put(&format!("log/{id:032x}/0000000000000000"), b"left behind".to_vec()).unwrap();
    }
    store.put("value/of-somebody-else", vec![1]).unwrap();
    let report = conn.gc(GcOptions::new()).unwrap();
    assert_eq!(report.deleted.len(), 3, "{report:?}");
    assert!(report.deleted.iter().all(|key| key.contains(&format!("{old:032x}"))));
    assert_eq!(report.bytes, 33);
    assert_eq!(store.get("value/of-somebody-else", None).unwrap(), Some(vec![1]));
}

/// Transactions, flushes and purges go on while garbage is collected again and again.
#[test]
fn collections_beside_a_running_writer_take_nothing_in_use() {
    let fs = SimFs::new();
    create_database_in(&registry(&fs), &sim_config()).unwrap();
    let conn = connect_in(&registry(&fs), &sim_config()).unwrap();
    let mut model = Model::default();
    one_more(&conn, &mut model, SCHEMA).unwrap();
    let over = AtomicBool::new(false);
    let collections = std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let mut n = 0;
            while !over.load(Ordering::Acquire) {
                conn.gc(now()).unwrap();
                n += 1;
            }
            n
        });
        for i in 1..200 {
            one_more(&conn, &mut model, &transaction(i, "p")).unwrap();
            if i % 5 == 0 {
                conn.flush().unwrap();
            }
            if i % 50 == 35 {
                one_more(&conn, &mut model, &format!("[[:db.purge/entity [:name \"p{}\"]]]", i - 4)).unwrap();
            }
        }
        over.store(true, Ordering::Release);
        collector.join().unwrap()
    });
    assert!(collections > 0);
    conn.gc(now()).unwrap();
    assert_eq!(content(&conn.db()).unwrap(), model.last());
    drop(conn);
    let conn = connect_in(&registry(&fs), &sim_config()).unwrap();
    assert_eq!(content(&conn.db()).unwrap(), model.last());
    db_testing::check_indexes(&conn.db()).unwrap();
}

#[test]
fn it_can_run_in_the_background() {
    let blobs = Blobs::default();
    let (_registry, conn) = begin(&blobs, &blobs_config());
    conn.transact(SCHEMA).unwrap();
    let background = conn.gc_in_background(Duration::from_micros(1), now()).unwrap();
    let mut flushes = 1;
    while keys(&blobs, "commit/").len() >= flushes {
        assert!(flushes < 100_000, "nothing was collected");
        conn.transact("[{:db/doc \"one more\"}]").unwrap();
        conn.flush().unwrap();
        flushes += 1;
    }
    drop(background);
    conn.release().unwrap();
    assert_eq!(conn.gc(now()).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn in_memory_there_is_nothing_to_collect() {
    let registry = Registry::with_builtins();
    create_database_in(&registry, &Config::memory("gc")).unwrap();
    let conn = connect_in(&registry, &Config::memory("gc")).unwrap();
    assert_eq!(conn.gc(now()).unwrap().bytes, 0);
}
