//! Loss of power at every operation: what a database on a directory is after it, and after a second one.
//!
//! `TREERING_CRASH_IMAGES` sets how many images are made (6,000 when it is not set), `TREERING_SEED` what they are
//! chosen by.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::{Chance, Content, Model, SCHEMA, content, env_number, registry, sim_config, transaction};
use treering::store::testing::{Crash, SimFs};
use treering::{
    Config, Connection, Datom, ErrorKind, GcOptions, Registry, TX0, connect_in, create_database_in, database_exists_in,
    with,
};

/// What was done on the file system, and what was acknowledged when.
struct Recording {
    fs: SimFs,
    model: Model,
    /// After so many operations the database had been created.
    created: usize,
    /// After so many operations a number of transactions had been acknowledged.
    acknowledged: Vec<(usize, usize)>,
    /// What was done to the branches beside the main one.
    moves: Moves,
    /// The numbers of the transactions of the main branch that were merges.
    merges: BTreeSet<usize>,
}

/// What branches were made to be: by the number of operations at the beginning and at the end of each move, what the branch
/// holds after it, if it is there.
#[derive(Default)]
struct Moves(BTreeMap<String, Vec<(usize, usize, Option<Content>)>>);

impl Moves {
    fn make(&mut self, fs: &SimFs, branch: &str, work: impl FnOnce() -> Option<Content>) {
        let begun = fs.ops_len();
        let after = work();
        self.0.entry(branch.to_owned()).or_default().push((begun, fs.ops_len(), after));
    }

    /// What a branch may be after a crash: as the last move has left it that was over, or any one that was begun.
    fn may_be(&self, branch: &str, operations: usize) -> Vec<Option<Content>> {
        let moves = self.0.get(branch).map_or(&[][..], Vec::as_slice);
        let over = moves.iter().rposition(|(_, end, _)| *end <= operations);
        let mut states = if over.is_none() { vec![None] } else { Vec::new() };
        let begun = moves.iter().skip(over.unwrap_or(0)).take_while(|(begun, ..)| *begun < operations);
        states.extend(begun.map(|(.., after)| *after));
        states
    }
}

impl Recording {
    /// How many transactions there must be after a crash.
    fn least(&self, operations: usize) -> usize {
        let told = self.acknowledged.iter().take_while(|(at, _)| *at <= operations);
        told.map(|(_, count)| *count).max().unwrap_or(0)
    }
}

/// What is collected is whatever is not in use.
fn now() -> GcOptions {
    GcOptions::new().min_age(Duration::ZERO)
}

/// The `i`th purge: of a fact, an attribute, an entity, or of history.
fn purge(i: usize) -> String {
    match i / 30 % 4 {
        0 => format!("[[:db.purge/entity [:name \"p{}\"]]]", i - 4),
        1 => format!("[[:db/purge [:name \"p{}\"] :name \"p{}\"]]", i - 4, i - 4),
        2 => format!("[[:db.purge/attribute [:name \"p{}\"] :tags] {{:name \"after{i}\"}}]", i - 4),
        _ => "[[:db.history.purge/before #inst \"2200-01-01T00:00:00.000Z\"]]".to_owned(),
    }
}

/// How many operations there were, which transaction, what it purged and what it said.
type Told = Arc<Mutex<Vec<(usize, u64, Vec<Datom>, Vec<Datom>)>>>;

/// Listeners are told when a transaction is durable, before anything else is written: at exactly this number of
/// operations it must not be lost any more.
fn connect(registry: &Registry, fs: &SimFs, told: &Told) -> Connection {
    // Flushes that are due go on beside the transactions.
    let conn = connect_in(registry, &sim_config().flush_after(6_000)).unwrap();
    let (fs, told) = (fs.clone(), Arc::clone(told));
    conn.listen(move |report| {
        let entry = (fs.ops_len(), report.db_after.basis_t().0, report.purged.clone(), report.tx_data.clone());
        told.lock().unwrap().push(entry);
    });
    conn
}

/// Moves of branches, one after another, each at its place among the transactions of the main branch.
fn branch_moves(i: usize, fs: &SimFs, registry: &Registry, conn: &Connection, moves: &mut Moves) {
    let of = |branch: &str| Some(content(&conn.branch_as_db(branch).unwrap()).unwrap());
    match i {
        20 | 171 => moves.make(fs, "dev", || {
            conn.branch("db", "dev").unwrap();
            of("dev")
        }),
        33 | 176 => {
            let dev = connect_in(registry, &sim_config().branch("dev")).unwrap();
            for n in 1..7 {
                moves.make(fs, "dev", || {
                    let report = dev.transact(transaction(i + n, "dev").as_str()).unwrap();
                    Some(content(&report.db_after).unwrap())
                });
                if n == 3 {
                    dev.flush().unwrap();
                }
            }
            if i == 33 { dev.release().unwrap() } else { drop(dev) }
        }
        53 => moves.make(fs, "old", || {
            let made = with(&conn.db(), "[{:name \"made\"}]").unwrap().db_after;
            conn.force_branch(&made, "old", ["db", "dev"]).unwrap();
            Some(content(&made).unwrap())
        }),
        72 => moves.make(fs, "dev", || {
            conn.force_branch(&conn.db(), "dev", ["db"]).unwrap();
            of("db")
        }),
        83 | 203 => moves.make(fs, "old", || {
            conn.delete_branch("old").unwrap();
            None
        }),
        112 => moves.make(fs, "old", || {
            let commit = conn.branch_as_db("dev").unwrap().commit_id().unwrap();
            conn.branch(commit, "old").unwrap();
            of("dev")
        }),
        133 => moves.make(fs, "dev", || {
            conn.delete_branch("dev").unwrap();
            None
        }),
        _ => {}
    }
}

/// 309 transactions: one by one, with flushes, purges, collections, merges and moves of branches, over a clean close and an unclean one, and from four
/// threads.
fn record() -> Recording {
    let fs = SimFs::new();
    create_database_in(&registry(&fs), &sim_config()).unwrap();
    let created = fs.ops_len();
    let told = Told::default();
    let (mut moves, mut merges) = (Moves::default(), BTreeSet::new());
    let mut shared = Arc::new(registry(&fs));
    let mut conn = connect(&shared, &fs, &told);
    conn.transact(SCHEMA).unwrap();
    for i in 1..220 {
        conn.transact(transaction(i, "p").as_str()).unwrap();
        if i % 30 == 0 {
            conn.flush().unwrap();
        }
        if i % 30 == 25 {
            conn.transact(purge(i).as_str()).unwrap();
        }
        if i % 40 == 39 {
            conn.gc(now()).unwrap();
        }
        branch_moves(i, &fs, &shared, &conn, &mut moves);
        if [44, 181].contains(&i) {
            conn.merge_db(["dev"], format!("[{{:name \"merged{i}\"}}]")).unwrap();
            merges.insert(told.lock().unwrap().len());
        }
        if i == 100 {
            conn.release().unwrap();
            conn = connect(&shared, &fs, &told);
        }
        if i == 160 {
            drop(conn);
            shared = Arc::new(registry(&fs));
            conn = connect(&shared, &fs, &told);
        }
    }
    std::thread::scope(|scope| {
        for thread in ["w", "xx", "yyy", "zzzz"] {
            let conn = conn.clone();
            scope.spawn(move || {
                for i in 1..21 {
                    conn.transact(transaction(i, thread).as_str()).unwrap();
                    if i % 10 == 5 && thread == "w" {
                        conn.flush().unwrap();
                    }
                }
            });
        }
    });
    conn.release().unwrap();
    let told = std::mem::take(&mut *told.lock().unwrap());
    assert_eq!(told.len(), 309);
    let mut model = Model::default();
    let mut acknowledged = Vec::new();
    for (n, (operations, t, purged, tx_data)) in told.iter().enumerate() {
        assert_eq!(*t, TX0 + n as u64 + 1, "listeners are told in order");
        model.apply_purging(purged, tx_data);
        acknowledged.push((*operations, n + 1));
    }
    Recording { fs, model, created, acknowledged, moves, merges }
}

/// The database of an image as it is found, which must be the one after some prefix of at least `least` transactions.
/// `None` if there is no database, which may only be before its creation was over.
fn open(image: &SimFs, recording: &Recording, least: usize, may_lack: bool) -> Option<(Connection, Content)> {
    let registry = registry(image);
    let conn = match connect_in(&registry, &sim_config()) {
        Ok(conn) => conn,
        Err(error) => {
            assert!(may_lack, "the database cannot be opened: {error:?}");
            assert_eq!(error.kind(), ErrorKind::Existence, "{error:?}");
            assert!(!database_exists_in(&registry, &sim_config()).unwrap());
            create_database_in(&registry, &sim_config()).expect("creation can be done again");
            connect_in(&registry, &sim_config()).unwrap()
        }
    };
    let found = content(&conn.db()).unwrap();
    let count = support::count(&conn.db());
    assert!(count >= least, "{} of {least} acknowledged transactions are lost", least - count);
    assert_eq!(Some(&found), recording.model.after.get(count), "the content is not that after {count} transactions");
    Some((conn, found))
}

/// The branches of an image beside the main one, each of which must be as a move has left it; and the parents of a merge,
/// where that was the last transaction.
fn check_branches(conn: &Connection, recording: &Recording, operations: usize) {
    let there = conn.branches().unwrap();
    for name in recording.moves.0.keys() {
        let found = there.iter().any(|branch| branch.as_str() == name).then(|| {
            let db = conn.branch_as_db(name).expect("a branch that is there can be read");
            content(&db).expect("all of it")
        });
        let may_be = recording.moves.may_be(name, operations);
        assert!(may_be.contains(&found), "the branch {name} is {found:?}, may be {may_be:?}");
    }
    if recording.merges.contains(&support::count(&conn.db())) {
        assert_eq!(conn.db().parent_commit_ids().len(), 2, "a merge has two parents");
    }
}

/// Opens an image, makes one more transaction, and opens it once more; sometimes with a second loss of power anywhere
/// in between.
fn examine(image: &SimFs, recording: &Recording, operations: usize, chance: &mut Chance) {
    let least = recording.least(operations);
    let may_lack = operations < recording.created;
    let Some((conn, found)) = open(image, recording, least, may_lack) else { return };
    check_branches(&conn, recording, operations);
    let opened = image.ops_len();
    let count = (found.basis - TX0) as usize;
    let report = conn.transact("[{:db/doc \"after the crash\"}]").expect("the database can be written");
    let acknowledged = image.ops_len();
    if chance.below(10) == 0 {
        conn.gc(now()).expect("garbage can be collected");
    }
    if chance.below(2) == 0 {
        conn.release().unwrap();
    }
    drop(conn);
    let after = content(&report.db_after).unwrap();
    let again = connect_in(&registry(image), &sim_config()).expect("the database opens again");
    assert_eq!(content(&again.db()).unwrap(), after, "the second opening finds something else");
    drop(again);

    if chance.below(4) > 0 {
        return;
    }
    let mut replay = image.replay();
    let mut prefixes: Vec<usize> = (0..4).map(|_| chance.below(image.ops_len() + 1)).collect();
    prefixes.extend([opened, acknowledged]);
    prefixes.sort_unstable();
    for prefix in prefixes {
        replay.advance(prefix);
        let crash = [Crash::Lost, Crash::Kept, Crash::Subset(chance.next()), Crash::NamesOnly][chance.below(4)];
        let second = replay.image(crash);
        let context = format!("second crash {crash:?} after {prefix} of {} operations", image.ops_len());
        if prefix >= acknowledged {
            let conn = connect_in(&registry(&second), &sim_config()).expect(&context);
            assert_eq!(content(&conn.db()).expect(&context), after, "{context}");
        } else {
            let least = if prefix >= opened { count } else { least };
            let conn = match connect_in(&registry(&second), &sim_config()) {
                Err(error) if may_lack && error.kind() == ErrorKind::Existence => continue,
                other => other.expect(&context),
            };
            let now = content(&conn.db()).expect(&context);
            let n = support::count(&conn.db());
            assert!(n >= least, "{context}: {n} transactions, {least} were read or acknowledged before");
            assert!(now == after || Some(&now) == recording.model.after.get(n), "{context}: no prefix");
        }
    }
}

#[test]
fn after_a_loss_of_power_all_that_was_acknowledged_is_there() {
    let seed = env_number("TREERING_SEED", 1);
    let wanted = env_number("TREERING_CRASH_IMAGES", 6_000) as usize;
    let recording = record();
    let operations = recording.fs.ops_len();
    let seeds = (wanted / operations).saturating_sub(4).div_ceil(3).max(1) as u64;
    let variants = Crash::variants(seeds).len();
    // With fewer images than there are, every so manieth of a shuffled row.
    let all = operations * variants;
    let made = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    println!("seed {seed}, {operations} operations, {variants} crashes at each, {wanted} images of {all}");
    std::thread::scope(|scope| {
        let (recording, made) = (&recording, &made);
        let handles: Vec<_> = (0..workers)
            .map(|worker| {
                scope.spawn(move || {
                    let mut replay = recording.fs.replay();
                    let (from, to) = (operations * worker / workers, operations * (worker + 1) / workers);
                    let to = if worker + 1 == workers { to + 1 } else { to };
                    for prefix in from..to {
                        replay.advance(prefix);
                        for (n, crash) in Crash::variants(seeds).into_iter().enumerate() {
                            let crash = match crash {
                                Crash::Subset(s) => Crash::Subset(s + seed * 1000),
                                Crash::Torn { sector, seed: s } => Crash::Torn { sector, seed: s + seed * 1000 },
                                other => other,
                            };
                            let mut chance = Chance(seed ^ (prefix * variants + n) as u64);
                            if chance.below(all) >= wanted {
                                continue;
                            }
                            let image = replay.image(crash);
                            let context = || {
                                println!("TREERING_SEED={seed}: {crash:?} after {prefix} of {operations} operations");
                            };
                            let examined = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                                examine(&image, recording, prefix, &mut chance);
                            }));
                            if let Err(panic) = examined {
                                context();
                                std::panic::resume_unwind(panic);
                            }
                            made.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        for handle in handles {
            handle.join().expect("every image is as it must be");
        }
    });
    let made = made.into_inner();
    println!("{made} images");
    assert!(made * 10 >= wanted.min(all) * 9, "{made} images");
}

/// A database that is to begin with a transaction exists with it or not at all.
#[test]
fn a_database_never_lacks_its_initial_transaction() {
    let config = Config::from_edn(
        "{:store {:backend :sim} :initial-tx [{:db/ident :name :db/valueType :db.type/string
        :db/cardinality :db.cardinality/one :db/unique :db.unique/identity} [:db/add \"x\" :db/doc \"first\"]]}",
    );
    let config = support::of_wanted_kind(config.unwrap());
    let fs = SimFs::new();
    create_database_in(&registry(&fs), &config).unwrap();
    let mut replay = fs.replay();
    let (mut with, mut without) = (0, 0);
    for prefix in 0..=fs.ops_len() {
        replay.advance(prefix);
        for crash in Crash::variants(2) {
            let image = replay.image(crash);
            if database_exists_in(&registry(&image), &sim_config()).unwrap() {
                with += 1;
            } else {
                assert!(prefix < fs.ops_len(), "{crash:?}: the creation was over");
                without += 1;
                create_database_in(&registry(&image), &config).unwrap();
            }
            let conn = connect_in(&registry(&image), &sim_config()).unwrap();
            assert_eq!(conn.db().basis_t().0, TX0 + 1, "{crash:?} after {prefix} operations");
            conn.transact("[{:name \"x\"}]").unwrap();
            conn.release().unwrap();
        }
    }
    assert!(with > 5 && without > 20, "{with} {without}");
}
