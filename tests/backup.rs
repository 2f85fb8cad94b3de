//! Backups and restored databases hold what their source held, whatever happens meanwhile.
//!
//! `TREERING_BACKUPS` sets the number of random workloads (40 when it is not set), `TREERING_SEED` the first seed.

#[path = "support/blobs.rs"]
mod blobs;
#[path = "support/places.rs"]
mod places;
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use places::{Place, registry_of};
use support::{Chance, Content, Model, SCHEMA, content, env_number, one_more, transaction, with_small_nodes};
use treering::store::testing::{Crash, Failure, Fault};
use treering::{
    BackupOptions, Config, Connection, Db, EntityId, ErrorKind, GcOptions, Registry, TX0, backup_in, connect_in,
    create_database_in, db_testing, restore_in,
};

fn begin(registry: &Registry, place: &Place) -> Connection {
    create_database_in(registry, &with_small_nodes(place.config())).unwrap();
    connect_in(registry, &place.config()).unwrap()
}

fn back_up(registry: &Registry, from: &Place, to: &Place) -> treering::BackupReport {
    backup_in(registry, &from.config(), &to.config(), &BackupOptions::new()).unwrap()
}

/// What a reader finds in a place.
fn read(registry: &Registry, place: &Place) -> treering::Result<Db> {
    let conn = connect_in(registry, &place.config().read_only(true))?;
    let db = conn.db();
    conn.release()?;
    Ok(db)
}

/// Everything that two databases show, now and at every time, is equal.
fn assert_same(one: &Db, other: &Db, what: &str) {
    assert_eq!(content(one).unwrap(), content(other).unwrap(), "{what}");
    assert_eq!(one.max_eid(), other.max_eid(), "{what}");
    let attributes = |db: &Db| db.schema().attributes().into_iter().map(|a| (**a).clone()).collect::<Vec<_>>();
    assert_eq!(attributes(one), attributes(other), "{what}");
    for t in TX0..=one.basis_t().0 {
        let at = |db: &Db| content_at(db, t);
        assert_eq!(at(one), at(other), "{what}, as of {t}");
    }
}

fn content_at(db: &Db, t: u64) -> Content {
    content(&db.as_of(EntityId(t)).unwrap()).unwrap()
}

fn log_of(conn: &Connection) -> Vec<treering::LoggedTransaction> {
    conn.tx_range(EntityId(TX0), None).unwrap().map(Result::unwrap).collect()
}

/// One step of a workload: transactions, flushes, purges, collections, and the release of the connection.
fn step(chance: &mut Chance, registry: &Registry, place: &Place, conn: &mut Connection, model: &mut Model) {
    for _ in 0..chance.below(12) {
        let i = model.after.len();
        one_more(conn, model, &transaction(i, "p")).unwrap();
    }
    match chance.below(6) {
        0 | 1 => conn.flush().unwrap(),
        2 => {
            let _ = one_more(conn, model, &format!("[[:db.purge/entity [:name \"p{}\"]]]", chance.below(40)));
        }
        3 => drop(conn.gc(GcOptions::new().min_age(Duration::ZERO)).unwrap()),
        4 => {
            conn.release().unwrap();
            *conn = connect_in(registry, &place.config()).unwrap();
        }
        _ => {}
    }
}

#[test]
fn backups_of_random_workloads_equal_their_source() {
    let first = env_number("TREERING_SEED", 1);
    let rounds = env_number("TREERING_BACKUPS", 40);
    println!("TREERING_SEED={first}, {rounds} workloads");
    for seed in first..first + rounds {
        let mut chance = Chance(seed);
        let kinds: [fn(&'static str) -> Place; 2] = [Place::files, Place::blobs];
        let place = |n: u64, name| kinds[(seed >> n) as usize & 1](name);
        let (source, target, again) = (place(0, "source"), place(1, "target"), place(2, "again"));
        let registry = registry_of(&[&source, &target, &again]);
        let mut conn = begin(&registry, &source);
        let mut model = Model::default();
        one_more(&conn, &mut model, SCHEMA).unwrap();
        for round in 0..4 {
            for _ in 0..1 + chance.below(4) {
                step(&mut chance, &registry, &source, &mut conn, &mut model);
            }
            let what = format!("seed {seed}, backup {round}");
            let prune = chance.below(3) == 0;
            let options = BackupOptions::new();
            let options = if prune { options.prune(Duration::ZERO) } else { options };
            let report = backup_in(&registry, &source.config(), &target.config(), &options)
                .unwrap_or_else(|e| panic!("{what}: {e:?}"));
            assert_eq!(report.branches, [(treering::edn::Keyword::new("db"), conn.db().basis_t())], "{what}");
            let copy = read(&registry, &target).unwrap_or_else(|e| panic!("{what}: {e:?}"));
            assert_eq!(content(&copy).unwrap(), model.last(), "{what}");
            assert_same(&copy, &conn.db(), &what);
            db_testing::check_indexes(&copy).unwrap();
            let reader = connect_in(&registry, &target.config().read_only(true)).unwrap();
            assert_eq!(log_of(&reader), log_of(&conn), "{what}");
            reader.release().unwrap();
            let more = back_up(&registry, &source, &target);
            assert_eq!((more.blobs, more.bytes, more.transactions), (0, 0, 0), "{what}");
            assert_eq!(more.branches, report.branches);
        }
        // The source changes no more, and its copy comes to life.
        let id = uuid::Uuid::from_u128(u128::from(seed));
        restore_in(&registry, &target.config(), &again.config().id(id), &BackupOptions::new()).unwrap();
        let restored = connect_in(&registry, &again.config().id(id)).unwrap();
        assert_same(&restored.db(), &conn.db(), "restored");
        for _ in 0..3 {
            let i = model.after.len();
            one_more(&restored, &mut model, &transaction(i, "r")).unwrap();
        }
        restored.gc(GcOptions::new().min_age(Duration::ZERO)).unwrap();
        restored.release().unwrap();
        let error = connect_in(&registry, &again.config().id(uuid::Uuid::from_u128(99))).unwrap_err();
        assert_eq!(error.code(), "store-identity-mismatch");
        let restored = connect_in(&registry, &again.config()).unwrap();
        assert_eq!(content(&restored.db()).unwrap(), model.last());
        restored.release().unwrap();
    }
}

/// How much work a backup is: operations of the two stores.
fn operations(registry: &Registry, source: &Place, target: &Place) -> (u64, u64, treering::BackupReport) {
    source.faults().set_fault(None);
    target.faults().set_fault(None);
    let report = back_up(registry, source, target);
    (source.faults().operations(), target.faults().operations(), report)
}

#[test]
fn only_what_is_new_is_copied() {
    let (source, target) = (Place::blobs("source"), Place::blobs("target"));
    let registry = registry_of(&[&source, &target]);
    let conn = begin(&registry, &source);
    conn.transact(SCHEMA).unwrap();
    for i in 1..200 {
        conn.transact(transaction(i, "p").as_str()).unwrap();
        if i % 20 == 0 {
            conn.flush().unwrap();
        }
    }
    let (_, _, whole) = operations(&registry, &source, &target);
    assert!(whole.blobs > 15 && whole.transactions == 200, "{whole:?}");
    // Nothing new: the head, and whether an entry follows in the log.
    let (reads, checks, nothing) = operations(&registry, &source, &target);
    assert_eq!((reads, checks), (3, 2), "list and get of the head and one look into the log; head and note");
    assert_eq!((nothing.blobs, nothing.bytes, nothing.transactions), (0, 0, 0));
    // A transaction without a flush: the log only.
    conn.transact(transaction(300, "p").as_str()).unwrap();
    let (_, _, little) = operations(&registry, &source, &target);
    assert_eq!((little.blobs, little.transactions), (0, 1), "{little:?}");
    assert!(little.bytes < 1000, "{little:?}");
    // A flush: its pack and its commit.
    conn.flush().unwrap();
    let (_, _, flushed) = operations(&registry, &source, &target);
    assert_eq!((flushed.blobs, flushed.transactions), (2, 0), "{flushed:?}");
    assert_eq!(flushed.skipped + 1, Place::store(&target).list("pack/").unwrap().len() as u64);
    assert_same(&read(&registry, &target).unwrap(), &conn.db(), "after all");
}

/// A writer of transactions, flushes, purges and collections, with what each transaction left.
struct Writing {
    conn: Connection,
    model: Mutex<Model>,
}

impl Writing {
    fn step(&self, i: usize) {
        {
            let mut model = self.model.lock().unwrap();
            one_more(&self.conn, &mut model, &transaction(i, "p")).unwrap();
            if i % 40 == 9 {
                one_more(&self.conn, &mut model, &format!("[[:db.purge/entity [:name \"p{}\"]]]", i - 8)).unwrap();
            }
        }
        if i.is_multiple_of(7) {
            self.conn.flush().unwrap();
        }
        if i.is_multiple_of(13) {
            self.conn.gc(GcOptions::new().min_age(Duration::ZERO)).unwrap();
        }
    }

    /// The copy is the state after some transaction that was acknowledged, and not before `least`.
    fn check(&self, copy: &Db, least: u64) {
        let model = self.model.lock().unwrap();
        let count = support::count(copy);
        assert!(copy.basis_t().0 >= least, "{} of {least}", copy.basis_t());
        assert!(count < model.after.len(), "more than was acknowledged");
        assert_eq!(content(copy).unwrap(), model.after[count]);
    }
}

fn hot_pairs() -> [(Place, Place); 2] {
    [(Place::files("source"), Place::blobs("target")), (Place::blobs("source"), Place::files("target"))]
}

fn writing(registry: &Registry, source: &Place) -> Writing {
    let conn = begin(registry, source);
    let mut model = Model::default();
    one_more(&conn, &mut model, SCHEMA).unwrap();
    Writing { conn, model: Mutex::new(model) }
}

#[test]
fn a_writer_goes_on_beside_a_backup() {
    const STEPS: usize = 60;
    for (source, target) in hot_pairs() {
        let registry = registry_of(&[&source, &target]);
        let writing = writing(&registry, &source);
        std::thread::scope(|scope| {
            for round in 0..10 {
                let acknowledged = writing.model.lock().unwrap().last().basis;
                let writing = &writing;
                let writer = scope.spawn(move || (1..=STEPS).for_each(|i| writing.step(round * STEPS + i)));
                while !writer.is_finished() {
                    back_up(&registry, &source, &target);
                    writing.check(&read(&registry, &target).unwrap(), acknowledged);
                }
                writer.join().unwrap();
            }
        });
        back_up(&registry, &source, &target);
        assert_same(&read(&registry, &target).unwrap(), &writing.conn.db(), "at the end");
    }
}

/// The source changes at every step of the backup that tells of progress.
#[test]
fn what_happens_in_the_middle_of_a_backup_is_in_it_or_not() {
    for (source, target) in hot_pairs() {
        let registry = registry_of(&[&source, &target]);
        let writing = Arc::new(writing(&registry, &source));
        let next = Arc::new(AtomicUsize::new(1));
        for _ in 0..20 {
            writing.step(next.fetch_add(1, Ordering::AcqRel));
            let least = writing.model.lock().unwrap().last().basis;
            let (writer, next) = (Arc::clone(&writing), Arc::clone(&next));
            let left = AtomicUsize::new(6);
            let options = BackupOptions::new().progress(move |_| {
                // As the source must come to rest for a backup to end.
                if left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1)).is_ok() {
                    writer.step(next.fetch_add(1, Ordering::AcqRel));
                }
            });
            backup_in(&registry, &source.config(), &target.config(), &options).unwrap();
            writing.check(&read(&registry, &target).unwrap(), least);
        }
        assert!(next.load(Ordering::Acquire) > 40, "no step in the middle of a backup");
    }
}

#[test]
fn a_source_that_never_rests_and_a_second_backup_are_told() {
    let (source, target) = (Place::blobs("source"), Place::blobs("target"));
    let registry = Arc::new(registry_of(&[&source, &target]));
    let conn = begin(&registry, &source);
    conn.transact(SCHEMA).unwrap();
    let busy = {
        let conn = conn.clone();
        move || {
            conn.transact("[{:db/doc \"one more\"}]").unwrap();
            conn.flush().unwrap();
            conn.gc(GcOptions::new().min_age(Duration::ZERO)).unwrap();
        }
    };
    let restless = BackupOptions::new().progress({
        let busy = busy.clone();
        move |_| busy()
    });
    let error = backup_in(&registry, &source.config(), &target.config(), &restless).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, "backup/overtaken"));
    assert_eq!(read(&registry, &target).unwrap_err().kind(), ErrorKind::Existence);
    // Another backup comes to its end in the middle of this one, with more than this one has.
    let once = AtomicUsize::new(1);
    let (others, from, to) = (Arc::clone(&registry), source.config(), target.config());
    let beside = BackupOptions::new().progress(move |_| {
        if once.swap(0, Ordering::AcqRel) == 1 {
            conn.transact("[{:db/doc \"and more\"}]").unwrap();
            conn.flush().unwrap();
            backup_in(&others, &from, &to, &BackupOptions::new()).unwrap();
        }
    });
    let error = backup_in(&registry, &source.config(), &target.config(), &beside).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Fenced, "backup/fenced"));
    back_up(&registry, &source, &target);
}

/// A source with two backups to make: the second after more transactions, flushes, and perhaps a purge.
struct Growing {
    source: Place,
    registry: Registry,
    conn: Connection,
    model: Model,
}

impl Growing {
    fn new(source: Place, others: &[&Place]) -> Growing {
        let places: Vec<&Place> = others.iter().copied().chain([&source]).collect();
        let registry = registry_of(&places);
        let conn = begin(&registry, &source);
        let mut model = Model::default();
        one_more(&conn, &mut model, SCHEMA).unwrap();
        let mut growing = Growing { source, registry, conn, model };
        growing.grow(1..25);
        growing
    }

    fn grow(&mut self, numbers: std::ops::Range<usize>) {
        for i in numbers {
            one_more(&self.conn, &mut self.model, &transaction(i, "p")).unwrap();
            if i % 10 == 7 {
                self.conn.flush().unwrap();
            }
        }
    }

    fn purge(&mut self, name: &str) {
        let purge = format!("[[:db.purge/entity [:name {name:?}]]]");
        one_more(&self.conn, &mut self.model, &purge).unwrap();
    }
}

/// What a reader finds is what some number of transactions left, from the backup before on; a purge among them has taken
/// effect or not.
fn assert_between(db: &Db, model: &Model, least: u64, what: &str) {
    let count = support::count(db);
    assert!(db.basis_t().0 >= least, "{what}: {} of at least {least}", db.basis_t());
    assert_eq!(content(db).unwrap(), model.after[count], "{what}");
}

#[test]
fn faults_of_either_store_leave_the_backup_before() {
    for purging in [false, true] {
        let target = Place::blobs("target");
        let mut growing = Growing::new(Place::blobs("source"), &[&target]);
        back_up(&growing.registry, &growing.source, &target);
        let least = growing.model.last().basis;
        let before = target.clone();
        let kept = match &before.medium {
            places::Medium::Blobs(blobs, _) => blobs.all(),
            places::Medium::Files(_) => unreachable!(),
        };
        growing.grow(25..40);
        if purging {
            growing.purge("p1");
            growing.grow(40..43);
        }
        let reset = || {
            let store = target.writable();
            target.faults().set_fault(None);
            for key in store.list("").unwrap() {
                store.delete(&key).unwrap();
            }
            kept.iter().for_each(|(key, bytes)| store.put(key, bytes.clone()).unwrap());
        };
        for place in [&growing.source, &target] {
            let mut at = 0;
            loop {
                let mut met = false;
                for failure in [Failure::Io, Failure::Full, Failure::Sync] {
                    for sticky in [false, true] {
                        reset();
                        let what = format!("{} {failure:?} at {at}, sticky {sticky}, purging {purging}", place.name);
                        place.faults().set_fault(Some(Fault { at, failure, sticky }));
                        let options = BackupOptions::new();
                        let done = backup_in(&growing.registry, &growing.source.config(), &target.config(), &options);
                        met |= place.faults().operations() > at;
                        place.faults().set_fault(None);
                        if let Err(error) = done {
                            assert_eq!(error.kind(), ErrorKind::Storage, "{what}: {error:?}");
                        }
                        let found = read(&growing.registry, &target).unwrap_or_else(|e| panic!("{what}: {e:?}"));
                        assert_between(&found, &growing.model, least, &what);
                        back_up(&growing.registry, &growing.source, &target);
                        let found = read(&growing.registry, &target).unwrap();
                        assert_eq!(content(&found).unwrap(), growing.model.last(), "{what}");
                    }
                }
                if !met {
                    break;
                }
                at += 1;
            }
            assert!(at > 10, "{at} operations of {}", place.name);
        }
    }
}

#[test]
fn a_loss_of_power_leaves_the_backup_before() {
    for purging in [false, true] {
        let target = Place::files("target");
        let mut growing = Growing::new(Place::files("source"), &[&target]);
        back_up(&growing.registry, &growing.source, &target);
        let (least, first) = (growing.model.last().basis, target.fs().ops_len());
        growing.grow(25..40);
        if purging {
            growing.purge("p1");
            growing.grow(40..43);
        }
        back_up(&growing.registry, &growing.source, &target);
        let mut struck = 0;
        for prefix in first..=target.fs().ops_len() {
            for crash in Crash::variants(3) {
                let what = format!("{crash:?} after {prefix} operations, purging {purging}");
                let image = Place::on("target", target.fs().crash_image(prefix, crash));
                let registry = registry_of(&[&growing.source, &image]);
                let found = read(&registry, &image).unwrap_or_else(|e| panic!("{what}: {e:?}"));
                assert_between(&found, &growing.model, least, &what);
                back_up(&registry, &growing.source, &image);
                let found = read(&registry, &image).unwrap_or_else(|e| panic!("{what}: {e:?}"));
                assert_eq!(content(&found).unwrap(), growing.model.last(), "{what}");
                struck += 1;
            }
        }
        assert!(struck > 200, "{struck}");
    }
}

/// A first backup that does not come to its end leaves no database.
#[test]
fn a_first_backup_is_there_whole_or_not_at_all() {
    let target = Place::files("target");
    let growing = Growing::new(Place::files("source"), &[&target]);
    back_up(&growing.registry, &growing.source, &target);
    for prefix in 0..=target.fs().ops_len() {
        let image = Place::on("target", target.fs().crash_image(prefix, Crash::Subset(prefix as u64)));
        let registry = registry_of(&[&growing.source, &image]);
        match read(&registry, &image) {
            Ok(found) => assert_eq!(content(&found).unwrap(), growing.model.last()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Existence, "{error:?}"),
        }
        back_up(&registry, &growing.source, &image);
        assert_eq!(content(&read(&registry, &image).unwrap()).unwrap(), growing.model.last());
    }
}

#[test]
fn what_is_no_backup_of_the_source_is_not_replaced_unasked() {
    let (source, target, other) = (Place::files("source"), Place::blobs("target"), Place::blobs("other"));
    let registry = registry_of(&[&source, &target, &other]);
    let conn = begin(&registry, &source);
    conn.transact(SCHEMA).unwrap();
    conn.transact("[{:name \"Alice\"}]").unwrap();
    let foreign = begin(&registry, &other);
    foreign.transact(SCHEMA).unwrap();
    foreign.release().unwrap();
    let refused = |from: &Place, to: &Place| {
        let error = backup_in(&registry, &from.config(), &to.config(), &BackupOptions::new()).unwrap_err();
        (error.kind(), error.code())
    };
    let is_foreign = (ErrorKind::Existence, "backup/foreign-target");
    assert_eq!(refused(&source, &other), is_foreign);
    let report = back_up(&registry, &source, &target);
    assert_eq!(refused(&other, &target), is_foreign);
    // Whoever writes to a backup makes it another database.
    let written = connect_in(&registry, &target.config()).unwrap();
    written.transact("[{:name \"Bob\"}]").unwrap();
    written.release().unwrap();
    assert_eq!(refused(&source, &target), is_foreign);
    let over = BackupOptions::new().overwrite(true);
    let again = backup_in(&registry, &source.config(), &target.config(), &over).unwrap();
    assert_eq!(again.transactions, report.transactions);
    assert_same(&read(&registry, &target).unwrap(), &conn.db(), "replaced");
    conn.transact("[{:name \"Carol\"}]").unwrap();
    assert_eq!(back_up(&registry, &source, &target).transactions, 1);
    // The same of a restore.
    let error = restore_in(&registry, &target.config(), &other.config(), &BackupOptions::new()).unwrap_err();
    assert_eq!(error.code(), "db-already-exists");
    restore_in(&registry, &target.config(), &other.config(), &over).unwrap();
    assert_same(&read(&registry, &other).unwrap(), &conn.db(), "restored");
    let error = backup_in(&registry, &source.config(), &source.config(), &over).unwrap_err();
    assert_eq!(error.code(), "backup/same-store");
    let empty = Place::files("empty");
    let registry = registry_of(&[&empty, &target]);
    drop(empty.writable());
    let error = backup_in(&registry, &empty.config(), &target.config(), &over).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Existence, "db-does-not-exist"));
}

/// Nothing of what was purged is in a pruned backup.
#[test]
fn a_pruned_backup_forgets_what_was_purged() {
    for target in [Place::files("target"), Place::blobs("target")] {
        let mut growing = Growing::new(Place::files("source"), &[&target]);
        let secret = "a-secret-of-many-letters";
        one_more(&growing.conn, &mut growing.model, &format!("[{{:name \"X\" :note {secret:?}}}]")).unwrap();
        growing.conn.flush().unwrap();
        let holds = |place: &Place| {
            let store = place.store();
            let has = |key: &String| {
                let bytes = store.get(key, None).unwrap().unwrap();
                bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
            };
            store.list("").unwrap().iter().any(has)
        };
        back_up(&growing.registry, &growing.source, &target);
        assert!(holds(&target));
        growing.purge("X");
        growing.conn.gc(GcOptions::new().min_age(Duration::ZERO)).unwrap();
        assert!(!holds(&growing.source));
        let prune = BackupOptions::new().prune(Duration::ZERO);
        let report = backup_in(&growing.registry, &growing.source.config(), &target.config(), &prune).unwrap();
        assert!(report.deleted > 0, "{report:?}");
        assert!(!holds(&target));
        assert_same(&read(&growing.registry, &target).unwrap(), &growing.conn.db(), "purged");
    }
}

#[test]
fn damage_of_the_source_does_not_come_into_the_backup() {
    let (source, target) = (Place::blobs("source"), Place::blobs("target"));
    let growing = Growing::new(source, &[&target]);
    growing.conn.release().unwrap();
    let store = growing.source.writable();
    for key in store.list("").unwrap() {
        let bytes = store.get(&key, None).unwrap().unwrap();
        let mut damaged = bytes.clone();
        damaged[bytes.len() / 2] ^= 1;
        store.put(&key, damaged).unwrap();
        // What was copied before it was damaged is not copied again.
        let copied = target.writable();
        copied.list("").unwrap().iter().for_each(|key| assert!(copied.delete(key).unwrap()));
        let options = BackupOptions::new();
        let done = backup_in(&growing.registry, &growing.source.config(), &target.config(), &options);
        let error = done.expect_err(&key);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{key}: {error:?}");
        assert_eq!(read(&growing.registry, &target).unwrap_err().kind(), ErrorKind::Existence);
        store.put(&key, bytes).unwrap();
    }
    back_up(&growing.registry, &growing.source, &target);
    assert_eq!(content(&read(&growing.registry, &target).unwrap()).unwrap(), growing.model.last());
}

#[test]
fn a_database_in_memory_can_be_kept() {
    let target = Place::blobs("target");
    let registry = registry_of(&[&target]);
    let config = Config::memory("backup");
    create_database_in(&registry, &config).unwrap();
    let conn = connect_in(&registry, &config).unwrap();
    conn.transact(SCHEMA).unwrap();
    for i in 1..30 {
        conn.transact(transaction(i, "p").as_str()).unwrap();
        if i % 10 == 0 {
            backup_in(&registry, &config, &target.config(), &BackupOptions::new().prune(Duration::ZERO)).unwrap();
            assert_same(&read(&registry, &target).unwrap(), &conn.db(), "from memory");
        }
    }
    assert_eq!(target.store().list("commit/").unwrap().len(), 1);
    let error = backup_in(&registry, &target.config(), &Config::memory("other"), &BackupOptions::new()).unwrap_err();
    assert_eq!(error.code(), "backup/volatile-target");
}

#[test]
fn progress_is_told_and_futures_do_the_same() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| Config::file(home.path().join(name));
    treering::create_database(&at("a")).unwrap();
    let conn = treering::connect(&at("a")).unwrap();
    conn.transact(SCHEMA).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&told);
    let options = BackupOptions::new().progress(move |progress| hear.lock().unwrap().push(*progress));
    let wait = |future| block_on(future);
    let report = wait(treering::backup_async(&at("a"), &at("b"), &options)).unwrap();
    assert_eq!(report.transactions, 1);
    let told = told.lock().unwrap();
    assert!(told.iter().any(|progress| progress.stage == "packs" && progress.done == progress.total), "{told:?}");
    assert!(told.windows(2).all(|pair| pair[0].bytes <= pair[1].bytes));
    wait(treering::restore_async(&at("b"), &at("c"), &BackupOptions::new())).unwrap();
    let restored = treering::connect(&at("c")).unwrap();
    assert_same(&restored.db(), &conn.db(), "restored");
    restored.release().unwrap();
    conn.release().unwrap();
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
