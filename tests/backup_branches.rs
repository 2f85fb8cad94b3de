//! Branches in backups: each is there as in the source, and they are related to each other as there, whatever has happened to
//! names, incarnations and keys.
//!
//! `TREERING_BACKUPS` sets the number of random workloads (24 when it is not set), `TREERING_SEED` the first seed.

#[path = "support/blobs.rs"]
mod blobs;
#[path = "support/places.rs"]
mod places;
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use places::{Place, registry_of};
use support::{Chance, Content, SCHEMA, content, env_number, transaction, with_small_nodes};
use treering::edn::Keyword;
use treering::store::testing::{Failure, Fault};
use treering::{
    BackupOptions, BackupReport, Config, Connection, ErrorKind, GcOptions, Registry, Result, TX0, VerifyOptions,
    backup_in, branches_in, connect_in, create_database_in, restore_in, verify_in,
};

fn back_up(registry: &Registry, from: &Place, to: &Place) -> Result<BackupReport> {
    backup_in(registry, &from.config(), &to.config(), &BackupOptions::new())
}

fn connect(registry: &Registry, config: &Config, branch: &str) -> Connection {
    connect_in(registry, &config.clone().branch(branch)).unwrap()
}

fn names(registry: &Registry, config: &Config) -> Vec<String> {
    branches_in(registry, config).unwrap().iter().map(|name| name.as_str().to_owned()).collect()
}

/// Where a merge would start from, or why it cannot be.
type Base = std::result::Result<(Content, u64, u64, bool), String>;

/// What a place shows of some branches: what each holds, its transactions, and where a merge of each into each would start
/// from.
#[derive(Debug, PartialEq)]
struct Shown {
    holds: BTreeMap<String, Content>,
    transactions: BTreeMap<String, Vec<u64>>,
    bases: BTreeMap<(String, String), Base>,
}

fn shown(registry: &Registry, place: &Place, branches: &[String]) -> Shown {
    let (mut holds, mut transactions, mut bases) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let config = place.config().read_only(true);
    for branch in branches {
        let conn = connect(registry, &config, branch);
        holds.insert(branch.clone(), content(&conn.db()).unwrap());
        let told = conn.tx_range(treering::EntityId(TX0), None).unwrap().map(|made| made.unwrap().t.0).collect();
        transactions.insert(branch.clone(), told);
        for other in branches.iter().filter(|other| *other != branch) {
            let base = conn
                .merge_base(other.as_str())
                .map_err(|error| error.code().to_owned())
                .map(|base| (content(&base.db).unwrap(), base.shared.0, base.shared_t.0, base.mutual));
            bases.insert((branch.clone(), other.clone()), base);
        }
        conn.release().unwrap();
    }
    Shown { holds, transactions, bases }
}

/// A store whose branches are worked on by chance.
struct Working<'a> {
    registry: &'a Registry,
    place: &'a Place,
    conns: BTreeMap<String, Connection>,
    made: usize,
}

impl Working<'_> {
    fn begin<'a>(registry: &'a Registry, place: &'a Place) -> Working<'a> {
        create_database_in(registry, &with_small_nodes(place.config())).unwrap();
        let conn = connect(registry, &place.config(), "db");
        conn.transact(SCHEMA).unwrap();
        Working { registry, place, conns: BTreeMap::from([("db".to_owned(), conn)]), made: 0 }
    }

    fn some(&self, chance: &mut Chance) -> (String, Connection) {
        let (name, conn) = self.conns.iter().nth(chance.below(self.conns.len())).unwrap();
        (name.clone(), conn.clone())
    }

    fn transact(&mut self, name: &str) {
        self.made += 1;
        self.conns[name].transact(transaction(self.made, name).as_str()).unwrap();
    }

    /// Deletes a branch, or makes it another.
    fn replace(&mut self, name: &str, chance: &mut Chance) {
        self.conns.remove(name).unwrap().release().unwrap();
        let (_, other) = self.some(chance);
        if name == "db" || chance.below(2) == 0 {
            other.force_branch(&other.db(), name, [other.branch_name()]).unwrap();
            self.conns.insert(name.to_owned(), connect(self.registry, &self.place.config(), name));
        } else {
            other.delete_branch(name).unwrap();
        }
    }

    fn step(&mut self, chance: &mut Chance) {
        let (name, conn) = self.some(chance);
        match chance.below(14) {
            0 | 1 if self.conns.len() < 4 => {
                let new = format!("b{}", self.made);
                if conn.branch(name.as_str(), &new).is_ok() {
                    self.conns.insert(new.clone(), connect(self.registry, &self.place.config(), &new));
                }
            }
            2..=4 => {
                let (other, _) = self.some(chance);
                // Where they have no base in common, or contradict each other, nothing is merged.
                if let Ok(merge) = conn.merge_from(other.as_str()) {
                    let _ = conn.merge_db([other.as_str()], merge);
                }
            }
            5 => conn.flush().unwrap(),
            6 => drop(conn.transact(format!("[[:db.purge/entity [:name \"{name}{}\"]]]", chance.below(self.made + 1)))),
            7 => drop(conn.gc(GcOptions::new().min_age(Duration::ZERO)).unwrap()),
            8 if self.conns.len() > 1 => self.replace(&name, chance),
            _ => self.transact(&name),
        }
    }
}

/// A copy shows the same of some branches as what it is a copy of. What was collected or removed there may still be in the copy,
/// and tell of more merges. Answers how many pairs have a base.
fn assert_same(places: &[&Place], (source, copy): (&Place, &Place), branches: &[String], what: &str) -> usize {
    // As other processes find them.
    let mut wanted = shown(&registry_of(places), source, branches);
    let mut found = shown(&registry_of(places), copy, branches);
    wanted.bases.retain(|_, base| base.is_ok());
    found.bases.retain(|pair, _| wanted.bases.contains_key(pair));
    for (pair, base) in &mut wanted.bases {
        if let (Ok(base), Some(Ok(found))) = (base, found.bases.get(pair)) {
            base.3 |= found.3;
        }
    }
    assert_eq!(found, wanted, "{what}");
    wanted.bases.len()
}

/// Whether a store has a commit or a pack of another.
fn has_some_of(one: &Place, other: &Place) -> bool {
    let all = |place: &Place| [place.store().list("commit/").unwrap(), place.store().list("pack/").unwrap()].concat();
    let (one, other) = (all(one), all(other));
    one.iter().any(|key| other.contains(key))
}

#[test]
fn branches_of_random_workloads_are_related_as_in_their_source() {
    let first = env_number("TREERING_SEED", 1);
    let rounds = env_number("TREERING_BACKUPS", 24);
    println!("TREERING_SEED={first}, {rounds} workloads");
    let (mut related, mut foreign) = (0, 0);
    for seed in first..first + rounds {
        let mut chance = Chance(seed);
        let kinds: [fn(&'static str) -> Place; 2] = [Place::files, Place::blobs];
        let place = |n: u64, name| kinds[(seed >> n) as usize & 1](name);
        let (source, target, again) = (place(0, "source"), place(1, "target"), place(2, "again"));
        let places = [&source, &target, &again];
        let registry = registry_of(&places);
        let mut working = Working::begin(&registry, &source);
        for round in 0..6 {
            for _ in 0..chance.below(16) {
                working.step(&mut chance);
            }
            let what = format!("seed {seed}, backup {round}");
            if let Err(error) = back_up(&registry, &source, &target) {
                // All was replaced and collected since.
                assert_eq!((error.code(), has_some_of(&source, &target)), ("backup/foreign-target", false), "{what}");
                let options = BackupOptions::new().overwrite(true);
                backup_in(&registry, &source.config(), &target.config(), &options).unwrap();
                foreign += 1;
            }
            let branches: Vec<String> = working.conns.keys().cloned().collect();
            related += assert_same(&places, (&source, &target), &branches, &what);
            let verified = verify_in(&registry, &target.config(), &VerifyOptions::new()).unwrap();
            assert!(verified.is_sound(), "{what}: {:?}", verified.problems);
        }
        // Over what is there already, with its incarnations.
        for overwrite in [false, true] {
            let options = BackupOptions::new().overwrite(overwrite);
            restore_in(&registry, &target.config(), &again.config(), &options).unwrap();
            let all = names(&registry, &target.config());
            assert_eq!(names(&registry, &again.config()), all, "seed {seed}");
            let branches: Vec<String> = working.conns.keys().cloned().collect();
            assert_same(&places, (&source, &again), &branches, &format!("seed {seed}, restored"));
        }
    }
    println!("{related} pairs of branches with a base");
    assert!(related as u64 >= rounds && foreign * 10 <= rounds, "{related} related, {foreign} foreign");
}

/// A merge that the writer did not live to make a commit of, of a branch whose log was copied anew.
#[test]
fn a_merge_that_is_only_in_the_log_is_known_by_the_names_of_the_target() {
    let (source, target) = (Place::blobs("source"), Place::files("target"));
    let places = [&source, &target];
    let registry = registry_of(&places);
    let mut working = Working::begin(&registry, &source);
    let conn = working.conns["db"].clone();
    conn.branch("db", "dev").unwrap();
    working.conns.insert("dev".to_owned(), connect(&registry, &source.config(), "dev"));
    working.transact("dev");
    back_up(&registry, &source, &target).unwrap();
    // From now on the log of `dev` is another one in the target.
    working.conns["dev"].transact("[[:db.purge/entity [:name \"dev1\"]]]").unwrap();
    back_up(&registry, &source, &target).unwrap();
    working.transact("dev");
    let dev = working.conns.remove("dev").unwrap();
    dev.release().unwrap();
    let merge = conn.merge_from("dev").unwrap();
    assert!(!merge.ops.is_empty());
    // The entry of the log is written, and nothing after it is.
    let logged = |place: &Place| place.store().list("log/").unwrap().len();
    let before = logged(&source);
    for at in 0.. {
        source.faults().set_fault(Some(Fault { at, failure: Failure::Sync, sticky: true }));
        assert!(conn.merge_db(["dev"], merge.clone()).is_err());
        source.faults().set_fault(None);
        if logged(&source) > before {
            break;
        }
    }
    drop((conn, working));
    back_up(&registry_of(&places), &source, &target).unwrap();
    // The next writer makes the commit.
    let registry = registry_of(&places);
    connect(&registry, &source.config(), "db").release().unwrap();
    let branches = ["db".to_owned(), "dev".to_owned()];
    let wanted = shown(&registry_of(&places), &source, &branches);
    assert_eq!(shown(&registry_of(&places), &target, &branches), wanted);
}

/// What a store shows that is no longer what it was.
#[test]
fn a_branch_that_was_replaced_is_followed_and_another_database_is_not() {
    let (source, target, other) = (Place::blobs("source"), Place::files("target"), Place::files("other"));
    let registry = registry_of(&[&source, &target, &other]);
    let mut working = Working::begin(&registry, &source);
    let conn = working.conns["db"].clone();
    conn.branch("db", "dev").unwrap();
    working.conns.insert("dev".to_owned(), connect(&registry, &source.config(), "dev"));
    back_up(&registry, &source, &target).unwrap();
    // Even if all branches but the replaced ones are not looked at.
    working.transact("db");
    working.conns.remove("dev").unwrap().release().unwrap();
    conn.force_branch(&conn.db(), "dev", ["db"]).unwrap();
    let only = BackupOptions::new().branch("dev");
    let report = backup_in(&registry, &source.config(), &target.config(), &only).unwrap();
    assert_eq!(report.branches, [(Keyword::new("dev"), conn.db().basis_t())]);
    conn.delete_branch("dev").unwrap();
    back_up(&registry, &source, &target).unwrap();
    assert_eq!(names(&registry, &target.config()), ["db", "dev"], "what was removed stays");
    // Of another database nothing comes in, nor does a branch of a name that is free.
    let stranger = Working::begin(&registry, &other);
    stranger.conns["db"].branch("db", "new").unwrap();
    for options in [BackupOptions::new(), BackupOptions::new().branch("new")] {
        let error = backup_in(&registry, &other.config(), &target.config(), &options).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Existence, "backup/foreign-target"));
        let error = restore_in(&registry, &other.config(), &target.config(), &options).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Existence, "db-already-exists"));
    }
    // Unless that is wanted: then nothing of the one before stays.
    let options = BackupOptions::new().overwrite(true).prune(Duration::ZERO);
    backup_in(&registry, &other.config(), &target.config(), &options).unwrap();
    assert_eq!(names(&registry, &target.config()), ["db", "new"]);
    let report = verify_in(&registry, &target.config(), &VerifyOptions::new()).unwrap();
    assert_eq!((&report.problems[..], &report.garbage[..]), (&[][..], &[][..]));
    let error = back_up(&registry, &source, &target).unwrap_err();
    assert_eq!(error.code(), "backup/foreign-target");
}

/// What was replaced may be too young at the backup that replaces it.
#[test]
fn a_backup_with_nothing_new_prunes() {
    let (source, target) = (Place::blobs("source"), Place::blobs("target"));
    let registry = registry_of(&[&source, &target]);
    let mut working = Working::begin(&registry, &source);
    for _ in 0..30 {
        working.transact("db");
    }
    working.conns["db"].flush().unwrap();
    back_up(&registry, &source, &target).unwrap();
    working.transact("db");
    working.conns["db"].flush().unwrap();
    back_up(&registry, &source, &target).unwrap();
    let commits = || target.store().list("commit/").unwrap().len();
    assert!(commits() > 1);
    let options = BackupOptions::new().prune(Duration::ZERO);
    let report = backup_in(&registry, &source.config(), &target.config(), &options).unwrap();
    assert!(report.deleted > 0 && report.blobs == 0, "{report:?}");
    assert_eq!(commits(), 1);
}
