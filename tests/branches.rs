//! Branches and commits: what each call does and refuses, on every kind of store, and what collections and other writers leave
//! of them.
//!
//! `TREERING_BRANCH_RUNS` sets how many runs are made by chance on each kind of store (12 when it is not set), `TREERING_SEED`
//! what they are chosen by.

#[path = "support/blobs.rs"]
mod blobs;
mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use blobs::Blobs;
use support::{Chance, Content, Model, SCHEMA, content, env_number, of_wanted_kind, sim_config, transaction};
use treering::edn::Keyword;
use treering::store::Store;
use treering::store::testing::SimFs;
use treering::{
    Config, Connection, Db, EntityId, ErrorKind, GcOptions, Registry, Revision, TX0, branch_as_db_in, branches_in,
    commit_as_db_in, connect_in, create_database_in, database_exists_in, db_testing, delete_database_in, with,
};
use uuid::Uuid;

const NONE: [&str; 0] = [];

/// The kinds of store: none, a directory, blobs as a server has them.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Memory,
    Directory,
    Blobs,
}

const KINDS: [Kind; 3] = [Kind::Memory, Kind::Directory, Kind::Blobs];

struct Place {
    registry: Registry,
    config: Config,
    fs: SimFs,
    blobs: Blobs,
}

impl Place {
    fn new(kind: Kind) -> Place {
        let (fs, blobs) = (SimFs::new(), Blobs::default());
        let config = match kind {
            Kind::Memory => Config::memory("branches"),
            Kind::Directory => sim_config(),
            Kind::Blobs => Config::from_edn("{:store {:backend :blobs}}").unwrap(),
        };
        let place = Place { registry: Registry::new(), config: of_wanted_kind(config), fs, blobs };
        let place = Place { registry: place.another_process(), ..place };
        create_database_in(&place.registry, &place.config).unwrap();
        place
    }

    /// A registry that shares nothing with the first but the store.
    fn another_process(&self) -> Registry {
        support::registry(&self.fs).with_backend(self.blobs.clone())
    }

    fn to(&self, branch: &str) -> Config {
        self.config.clone().branch(branch)
    }

    fn connect(&self, branch: &str) -> Connection {
        connect_in(&self.registry, &self.to(branch)).unwrap()
    }

    /// With the schema and two people.
    fn begin(&self) -> Connection {
        let conn = self.connect("db");
        conn.transact(SCHEMA).unwrap();
        conn.transact(r#"[{:name "Ann" :age 30} {:name "Bob" :age 40}]"#).unwrap();
        conn
    }
}

fn now() -> GcOptions {
    GcOptions::new().min_age(Duration::ZERO)
}

fn names(db: &Db) -> BTreeSet<String> {
    let found = treering::q("[:find ?n :where [_ :name ?n]]", db).unwrap();
    found.rows_as::<(String,)>().unwrap().into_iter().map(|(name,)| name).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

fn branches(conn: &Connection) -> Vec<String> {
    conn.branches().unwrap().iter().map(Keyword::to_string).collect()
}

fn code<T: std::fmt::Debug>(result: treering::Result<T>) -> (ErrorKind, &'static str) {
    let error = result.unwrap_err();
    (error.kind(), error.code())
}

#[test]
fn a_branch_begins_as_its_source_and_goes_its_own_way() {
    for kind in KINDS {
        let place = Place::new(kind);
        let conn = place.begin();
        conn.branch("db", "dev").unwrap();
        assert_eq!(branches(&conn), [":db", ":dev"], "{kind:?}");
        conn.transact(r#"[{:name "Main"}]"#).unwrap();
        let dev = place.connect("dev");
        assert_eq!((dev.branch_name(), names(&dev.db())), (Keyword::new("dev"), set(["Ann", "Bob"])), "{kind:?}");
        let report = dev.transact(r#"[{:name "Dev"}]"#).unwrap();
        assert_eq!(report.db_after.basis_t(), conn.db().basis_t(), "each counts its own transactions");
        assert_eq!(names(&conn.db()), set(["Ann", "Bob", "Main"]), "{kind:?}");
        assert_eq!(names(&dev.db()), set(["Ann", "Bob", "Dev"]), "{kind:?}");
        // A branch sees the past that it shares.
        let then = dev.db().as_of(EntityId(TX0 + 1)).unwrap();
        assert_eq!(names(&then), set([]), "{kind:?}");
        // Of a branch that is connected to, with what it has not flushed; and of one that is another's.
        dev.branch("dev", "dev2").unwrap();
        dev.branch(Keyword::new("db"), ":main2").unwrap();
        conn.branch("dev", "dev3").unwrap();
        for (branch, wanted) in [("dev2", "Dev"), ("main2", "Main"), ("dev3", "Dev")] {
            assert_eq!(names(&conn.branch_as_db(branch).unwrap()), set(["Ann", "Bob", wanted]), "{kind:?} {branch}");
        }
        dev.release().unwrap();
        conn.release().unwrap();
        let conn = place.connect("dev");
        assert_eq!(names(&conn.db()), set(["Ann", "Bob", "Dev"]), "{kind:?}");
        db_testing::check_indexes(&conn.db()).unwrap();
        conn.release().unwrap();
    }
}

#[test]
fn a_commit_names_a_database_for_ever() {
    for kind in KINDS {
        let place = Place::new(kind);
        let conn = place.begin();
        assert_eq!(conn.db().commit_id(), None, "{kind:?}: it was transacted since");
        assert!(conn.db().parent_commit_ids().is_empty());
        let first = conn.commit().unwrap();
        assert_eq!(conn.db().commit_id(), Some(first), "{kind:?}");
        assert_eq!(conn.commit().unwrap(), first, "{kind:?}: nothing has happened");
        assert_eq!(conn.db().as_of(EntityId(TX0 + 1)).unwrap().commit_id(), None, "a view is no commit");
        assert_eq!(conn.db().filter(|_, _| true).commit_id(), None);
        assert_eq!(with(&conn.db(), r#"[{:name "Eve"}]"#).unwrap().db_after.commit_id(), None);
        conn.transact(r#"[{:name "Carl"}]"#).unwrap();
        let second = conn.commit().unwrap();
        assert_ne!(first, second);
        assert_eq!(conn.db().parent_commit_ids(), [first], "{kind:?}");
        let then = conn.commit_as_db(first).unwrap();
        assert_eq!((then.commit_id(), names(&then)), (Some(first), set(["Ann", "Bob"])), "{kind:?}");
        // Also of a branch that is made of a commit.
        conn.branch(first, "then").unwrap();
        let branch = conn.branch_as_db("then").unwrap();
        assert_eq!((names(&branch), branch.parent_commit_ids()), (set(["Ann", "Bob"]), vec![first]), "{kind:?}");
        assert_eq!(conn.branch_as_db("db").unwrap().commit_id(), Some(second), "{kind:?}");
        let history: Vec<Option<Uuid>> = conn.branch_history().unwrap().map(|db| db.unwrap().commit_id()).collect();
        assert_eq!(history[..2], [Some(second), Some(first)], "{kind:?}");
        conn.release().unwrap();
        // Nothing is new: it is the same commit.
        let conn = place.connect("db");
        assert_eq!(conn.db().commit_id(), Some(second), "{kind:?}");
        assert_eq!(conn.commit().unwrap(), conn.db().commit_id().unwrap(), "{kind:?}");
        conn.release().unwrap();
    }
}

#[test]
fn without_a_connection_branches_and_commits_can_be_read() {
    for kind in KINDS {
        let place = Place::new(kind);
        let conn = place.begin();
        conn.branch("db", "dev").unwrap();
        let commit = conn.commit().unwrap();
        conn.transact(r#"[{:name "Carl"}]"#).unwrap();
        // What is in memory is in one process only.
        let registry = if kind == Kind::Memory { &place.registry } else { &place.another_process() };
        let found: Vec<Keyword> = branches_in(registry, &place.config).unwrap().into_iter().collect();
        assert_eq!(found, [Keyword::new("db"), Keyword::new("dev")], "{kind:?}");
        let db = branch_as_db_in(registry, &place.config, "db").unwrap();
        assert_eq!(names(&db), set(["Ann", "Bob", "Carl"]), "{kind:?}");
        let db = commit_as_db_in(registry, &place.config, commit).unwrap();
        assert_eq!(names(&db), set(["Ann", "Bob"]), "{kind:?}");
        conn.release().unwrap();
    }
}

#[test]
fn a_merge_is_a_transaction_whose_commit_has_several_parents() {
    for kind in KINDS {
        let place = Place::new(kind);
        let conn = place.begin();
        conn.branch("db", "dev").unwrap();
        conn.branch("db", "other").unwrap();
        let dev = place.connect("dev");
        dev.transact(r#"[{:name "Dev"}]"#).unwrap();
        let before = conn.commit().unwrap();
        let told = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = std::sync::Arc::clone(&told);
        conn.listen(move |_| {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
        let other = conn.branch_as_db("other").unwrap().commit_id().unwrap();
        let data = "{:tx-data [{:name \"Dev\"}] :tx-meta {:db/doc \"a merge\"}}";
        let report = conn.merge_db([Revision::from("dev"), other.into(), "dev".into()], data).unwrap();
        assert_eq!(told.load(std::sync::atomic::Ordering::Relaxed), 1, "listeners hear of it");
        assert!(report.tx_meta.iter().any(|(key, _)| key.as_str() == "db/doc"));
        assert_eq!(names(&conn.db()), set(["Ann", "Bob", "Dev"]));
        let dev_head = dev.db().commit_id().expect("the merge made a commit of it");
        assert_eq!(conn.db().parent_commit_ids(), [before, dev_head, other], "{kind:?}");
        let history: Vec<Uuid> = conn.branch_history().unwrap().map(|db| db.unwrap().commit_id().unwrap()).collect();
        assert_eq!(history[1..4], [before, dev_head, other], "{kind:?}: breadth first");
        assert_eq!(history.iter().collect::<BTreeSet<_>>().len(), history.len(), "each once");
        dev.release().unwrap();
        conn.release().unwrap();
        let conn = place.connect("db");
        let again: Vec<Uuid> = conn.branch_history().unwrap().map(|db| db.unwrap().commit_id().unwrap()).collect();
        assert!(again.ends_with(&history), "{kind:?}");
        conn.release().unwrap();
    }
}

/// Transactions from before a branch are its own too, though they are in another log.
#[test]
fn the_transactions_of_a_branch_are_all_that_led_to_it() {
    for kind in KINDS {
        let place = Place::new(kind);
        let conn = place.begin();
        conn.branch("db", "dev").unwrap();
        conn.transact("[{:name \"Main\"}]").unwrap();
        let dev = place.connect("dev");
        let told = |conn: &Connection, after: u64| -> Vec<(u64, usize)> {
            let made = conn.tx_range(EntityId(TX0 + after), None).unwrap().map(Result::unwrap);
            made.map(|made| (made.t.0 - TX0, made.datoms.len())).collect()
        };
        let shared = told(&conn, 0)[..2].to_vec();
        assert_eq!(told(&dev, 0), shared, "{kind:?}");
        dev.transact("[{:name \"Dev\" :age 1}]").unwrap();
        dev.flush().unwrap();
        dev.transact("[{:name \"Dev2\"}]").unwrap();
        assert_eq!(told(&dev, 0), [&shared[..], &[(3, 3), (4, 2)]].concat(), "{kind:?}");
        assert_eq!(told(&dev, 1), [shared[1], (3, 3), (4, 2)], "{kind:?}");
        assert_eq!(told(&dev, 3), [(4, 2)], "{kind:?}");
        let some = dev.tx_range(EntityId(TX0), Some(EntityId(TX0 + 1))).unwrap().count();
        assert_eq!(some, 1, "{kind:?}");
    }
}

#[test]
fn a_branch_can_be_forced_to_be_any_database() {
    for kind in KINDS {
        let place = Place::new(kind);
        let conn = place.begin();
        let first = conn.commit().unwrap();
        conn.branch("db", "dev").unwrap();
        let dev = place.connect("dev");
        dev.transact(r#"[{:name "Dev"}]"#).unwrap();
        conn.transact(r#"[{:name "Carl"}]"#).unwrap();
        let made = with(&conn.db(), r#"[{:name "Made"}]"#).unwrap().db_after;
        assert_eq!(
            code(conn.force_branch(&made, "dev", ["db"])),
            (ErrorKind::Closed, "branch-has-active-connection"),
            "{kind:?}"
        );
        dev.release().unwrap();
        conn.force_branch(&made, "dev", [Revision::from("db"), first.into()]).unwrap();
        conn.force_branch(&conn.commit_as_db(first).unwrap(), "new", [first]).unwrap();
        let last = conn.db().commit_id().expect("the parent was committed");
        let dev = place.connect("dev");
        assert_eq!(names(&dev.db()), set(["Ann", "Bob", "Carl", "Made"]), "{kind:?}");
        assert_eq!(dev.db().parent_commit_ids(), [last, first], "{kind:?}");
        dev.transact(r#"[{:name "More"}]"#).unwrap();
        conn.release().unwrap();
        // The main branch too, from another one.
        dev.force_branch(&dev.db(), "db", ["dev"]).unwrap();
        dev.release().unwrap();
        let conn = place.connect("db");
        assert_eq!(names(&conn.db()), set(["Ann", "Bob", "Carl", "Made", "More"]), "{kind:?}");
        assert_eq!(names(&conn.branch_as_db("new").unwrap()), set(["Ann", "Bob"]), "{kind:?}");
        db_testing::check_indexes(&conn.db()).unwrap();
        conn.release().unwrap();
    }
}

#[test]
fn a_deleted_branch_is_gone_and_its_commits_stay_for_a_minimum_age() {
    for kind in KINDS {
        let place = Place::new(kind);
        let conn = place.begin();
        conn.branch("db", "dev").unwrap();
        let dev = place.connect("dev");
        dev.transact(r#"[{:name "Dev"}]"#).unwrap();
        let commit = dev.commit().unwrap();
        let held = dev.db();
        assert_eq!(code(conn.delete_branch("dev")), (ErrorKind::Closed, "branch-has-active-connection"), "{kind:?}");
        dev.release().unwrap();
        conn.delete_branch(":dev").unwrap();
        assert_eq!(branches(&conn), [":db"]);
        assert!(!database_exists_in(&place.registry, &place.to("dev")).unwrap(), "{kind:?}");
        let gone = connect_in(&place.registry, &place.to("dev"));
        assert_eq!(gone.unwrap_err().code(), "db-does-not-exist", "{kind:?}");
        assert_eq!(names(&held), set(["Ann", "Bob", "Dev"]));
        if kind != Kind::Memory {
            assert!(conn.gc(GcOptions::new()).unwrap().deleted.is_empty(), "{kind:?}");
        }
        assert_eq!(names(&conn.commit_as_db(commit).unwrap()), set(["Ann", "Bob", "Dev"]), "{kind:?}");
        // It can be made again, of what is still there.
        conn.branch(commit, "dev").unwrap();
        assert_eq!(names(&conn.branch_as_db("dev").unwrap()), set(["Ann", "Bob", "Dev"]), "{kind:?}");
        conn.delete_branch("dev").unwrap();
        let report = conn.gc(now()).unwrap();
        assert!(!report.deleted.is_empty(), "{kind:?}");
        assert_eq!(code(conn.commit_as_db(commit)), (ErrorKind::Existence, "commit-not-found"), "{kind:?}");
        assert_eq!(code(conn.branch(commit, "dev")), (ErrorKind::Existence, "commit-not-found"), "{kind:?}");
        let forced = conn.force_branch(&held, "dev", ["db"]);
        assert_eq!(code(forced), (ErrorKind::Argument, "branch/foreign-db"), "{kind:?}");
        conn.branch("db", "dev").unwrap();
        assert_eq!(names(&place.connect("dev").db()), set(["Ann", "Bob"]), "{kind:?}");
        conn.release().unwrap();
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for kind in KINDS {
        let place = Place::new(kind);
        let conn = place.begin();
        conn.branch("db", "dev").unwrap();
        let nobody = Uuid::from_u128(7);
        let existence = |code| (ErrorKind::Existence, code);
        let argument = |code| (ErrorKind::Argument, code);
        assert_eq!(code(conn.branch("db", "dev")), existence("branch-already-exists"), "{kind:?}");
        assert_eq!(code(conn.branch("db", "db")), existence("branch-already-exists"), "{kind:?}");
        assert_eq!(code(conn.branch("none", "x")), existence("branch-does-not-exist"), "{kind:?}");
        assert_eq!(code(conn.branch(nobody, "x")), existence("commit-not-found"), "{kind:?}");
        for name in ["", ".", "a/../b", &"x".repeat(300)] {
            let refused = conn.branch("db", name);
            if name == "a/../b" {
                // Characters that keys have not are written otherwise.
                refused.unwrap();
                conn.delete_branch(name).unwrap();
                continue;
            }
            assert_eq!(code(refused), argument("store/bad-key"), "{kind:?} {name}");
        }
        assert_eq!(code(conn.delete_branch("none")), existence("branch-does-not-exist"), "{kind:?}");
        assert_eq!(code(conn.delete_branch("db")), argument("cannot-delete-main-db-branch"), "{kind:?}");
        let own = place.connect("dev");
        assert_eq!(code(own.delete_branch("dev")), (ErrorKind::Closed, "branch-has-active-connection"), "{kind:?}");
        own.release().unwrap();
        assert_eq!(code(own.branches()), (ErrorKind::Closed, "connection-has-been-released"), "{kind:?}");
        assert_eq!(code(own.branch("db", "x")), (ErrorKind::Closed, "connection-has-been-released"), "{kind:?}");
        let db = conn.db();
        assert_eq!(code(conn.force_branch(&db, "x", NONE)), argument("must-provide-at-least-one-parent"), "{kind:?}");
        assert_eq!(code(conn.force_branch(&db, "x", ["none"])), existence("branch-does-not-exist"), "{kind:?}");
        assert_eq!(code(conn.force_branch(&db, "x", [nobody])), existence("commit-not-found"), "{kind:?}");
        let view = db.as_of(EntityId(TX0 + 1)).unwrap();
        assert_eq!(code(conn.force_branch(&view, "x", ["db"])), argument("branch/view"), "{kind:?}");
        let other = Place::new(kind).begin().db();
        assert_eq!(code(conn.force_branch(&other, "x", ["db"])), argument("branch/foreign-db"), "{kind:?}");
        assert_eq!(code(conn.merge_db(NONE, "[]")), argument("must-provide-at-least-one-parent"), "{kind:?}");
        assert_eq!(code(conn.merge_db(["none"], "[]")), existence("branch-does-not-exist"), "{kind:?}");
        assert_eq!(code(conn.merge_db([nobody], "[]")), existence("commit-not-found"), "{kind:?}");
        assert_eq!(code(conn.merge_db(["dev"], "[[:db/add 1]]")).0, ErrorKind::Transact, "{kind:?}");
        assert_eq!(code(conn.commit_as_db(nobody)), existence("commit-not-found"), "{kind:?}");
        assert_eq!(code(conn.branch_as_db("none")), existence("branch-does-not-exist"), "{kind:?}");
        // A second database would not have the same ids.
        let created = create_database_in(&place.another_process(), &place.to("second"));
        match kind {
            Kind::Memory => created.unwrap(),
            Kind::Directory => assert_eq!(code(created), (ErrorKind::Fenced, "store/locked")),
            Kind::Blobs => assert_eq!(code(created), existence("db-already-exists")),
        }
        assert_eq!(branches(&conn), [":db", ":dev"], "{kind:?}: nothing was left behind");
        let inside = conn.clone();
        conn.listen(move |_| assert_eq!(code(inside.branch("db", "x")), (ErrorKind::Closed, "transact/in-listener")));
        conn.transact("[{:name \"Zoe\"}]").unwrap();
        assert_eq!(names(&conn.db()), set(["Ann", "Bob", "Zoe"]));
        conn.release().unwrap();
    }
}

#[test]
fn a_read_only_connection_reads_branches_and_makes_none() {
    let place = Place::new(Kind::Directory);
    let conn = place.begin();
    conn.branch("db", "dev").unwrap();
    let commit = conn.commit().unwrap();
    let reader = connect_in(&place.another_process(), &place.config.clone().read_only(true)).unwrap();
    assert_eq!(branches(&reader), [":db", ":dev"]);
    assert_eq!(reader.db().commit_id(), Some(commit));
    assert_eq!(names(&reader.commit_as_db(commit).unwrap()), set(["Ann", "Bob"]));
    assert_eq!(names(&reader.branch_as_db("dev").unwrap()), set(["Ann", "Bob"]));
    assert!(reader.branch_history().unwrap().count() > 1);
    let closed = (ErrorKind::Closed, "connection/read-only");
    assert_eq!(code(reader.commit()), closed);
    assert_eq!(code(reader.branch("db", "x")), closed);
    assert_eq!(code(reader.delete_branch("dev")), closed);
    assert_eq!(code(reader.force_branch(&reader.db(), "dev", ["db"])), closed);
    assert_eq!(code(reader.merge_db(["dev"], "[]")), closed);
    // A reader of a branch sees that it was forced, and is told when it is deleted.
    let other = place.another_process();
    let of_dev = connect_in(&other, &place.to("dev").read_only(true)).unwrap();
    conn.transact("[{:name \"Carl\"}]").unwrap();
    conn.force_branch(&conn.db(), "dev", ["db"]).unwrap();
    assert_eq!(names(&of_dev.sync().unwrap()), set(["Ann", "Bob", "Carl"]));
    conn.delete_branch("dev").unwrap();
    assert_eq!(of_dev.sync().unwrap_err().code(), "db-does-not-exist");
    assert_eq!(names(&of_dev.db()), set(["Ann", "Bob", "Carl"]), "what it has stays");
}

/// One process writes to a directory, to as many of its branches as it likes.
#[test]
fn a_directory_has_one_writing_process() {
    let place = Place::new(Kind::Directory);
    let conn = place.begin();
    conn.branch("db", "dev").unwrap();
    let dev = place.connect("dev");
    let other = place.another_process();
    for branch in ["db", "dev"] {
        let refused = connect_in(&other, &place.to(branch));
        assert_eq!(code(refused), (ErrorKind::Fenced, "store/locked"));
    }
    conn.release().unwrap();
    assert_eq!(code(connect_in(&other, &place.to("db"))), (ErrorKind::Fenced, "store/locked"), "dev is still open");
    dev.transact("[{:name \"Dev\"}]").unwrap();
    assert_eq!(delete_database_in(&place.registry, &place.config).unwrap_err().code(), "connection-not-released");
    drop(dev);
    let conn = connect_in(&other, &place.to("dev")).unwrap();
    assert_eq!(names(&conn.db()), set(["Ann", "Bob", "Dev"]));
    conn.release().unwrap();
}

/// Where entries of the log are blobs, processes write to branches of one store at once.
#[test]
fn two_processes_write_to_two_branches() {
    let place = Place::new(Kind::Blobs);
    let conn = place.begin();
    conn.branch("db", "dev").unwrap();
    let other = place.another_process();
    let dev = connect_in(&other, &place.to("dev")).unwrap();
    std::thread::scope(|scope| {
        for (conn, who) in [(&conn, "m"), (&dev, "dd")] {
            scope.spawn(move || {
                for i in 1..60 {
                    conn.transact(transaction(i, who).as_str()).unwrap();
                    if i % 9 == 0 {
                        conn.flush().unwrap();
                    }
                }
            });
        }
    });
    let (ours, theirs) = (content(&conn.db()).unwrap(), content(&dev.db()).unwrap());
    assert_eq!(content(&dev.branch_as_db("db").unwrap()).unwrap(), ours);
    assert_eq!(content(&conn.branch_as_db("dev").unwrap()).unwrap(), theirs);
    // Merges of what another process writes take its last commit.
    conn.merge_db(["dev"], "[{:name \"merged\"}]").unwrap();
    // A branch that another process deletes is lost to its writer with the next transaction, which is not made.
    conn.delete_branch("dev").unwrap();
    let error = dev.transact("[{:name \"too late\"}]").unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Fenced, "writer/fenced"));
    conn.branch("db", "dev").unwrap();
    assert_eq!(dev.transact("[{:name \"later still\"}]").unwrap_err().kind(), ErrorKind::Closed);
    drop(dev.release());
    let dev = connect_in(&other, &place.to("dev")).unwrap();
    assert_eq!(content(&dev.db()).unwrap(), content(&conn.db()).unwrap());
    // So is one that is forced.
    conn.force_branch(&conn.db(), "dev", ["db"]).unwrap();
    assert_eq!(dev.transact("[{:name \"too late\"}]").unwrap_err().kind(), ErrorKind::Fenced);
    drop(dev.release());
    assert_eq!(content(&conn.branch_as_db("dev").unwrap()).unwrap(), content(&conn.db()).unwrap());
}

/// Making a branch writes a record and a head, whatever the database holds.
#[test]
fn a_branch_shares_what_is_there() {
    let place = Place::new(Kind::Blobs);
    let conn = place.begin();
    for i in 0..20 {
        let people = (0..200).map(|n| format!("{{:name \"p{i}-{n}\" :age {n}}}"));
        conn.transact(format!("[{}]", people.collect::<String>()).as_str()).unwrap();
    }
    conn.commit().unwrap();
    let size = |prefix: &str| -> usize {
        let all = place.blobs.all().into_iter().filter(|(key, _)| key.starts_with(prefix));
        all.map(|(_, bytes)| bytes.len()).sum()
    };
    let (packs, commits) = (size("pack/"), size("commit/"));
    conn.branch("db", "dev").unwrap();
    assert_eq!(size("pack/"), packs, "no node is written");
    assert!(size("commit/") - commits < 4_000, "{} bytes", size("commit/") - commits);
    let dev = place.connect("dev");
    assert_eq!(content(&dev.db()).unwrap(), content(&conn.db()).unwrap());
}

/// A collection on one branch leaves alone what others use, also where packs are emptied.
#[test]
fn collections_spare_other_branches() {
    for kind in [Kind::Directory, Kind::Blobs] {
        let place = Place::new(kind);
        let conn = place.begin();
        let mut wanted = BTreeMap::new();
        for i in 1..160 {
            conn.transact(transaction(i, "p").as_str()).unwrap();
            if i % 40 == 0 {
                let name = format!("b{i}");
                conn.branch("db", &name).unwrap();
                wanted.insert(name, content(&conn.db()).unwrap());
            }
            if i % 10 == 0 {
                conn.flush().unwrap();
                conn.gc(now()).unwrap();
            }
        }
        // One that is written to beside it.
        let dev = place.connect("b40");
        for i in 1..60 {
            dev.transact(transaction(i, "d").as_str()).unwrap();
            conn.transact(transaction(i, "qq").as_str()).unwrap();
            if i % 7 == 0 {
                dev.flush().unwrap();
                conn.gc(now()).unwrap();
                dev.gc(now()).unwrap();
            }
        }
        wanted.insert("b40".to_owned(), content(&dev.db()).unwrap());
        wanted.insert("db".to_owned(), content(&conn.db()).unwrap());
        dev.release().unwrap();
        conn.release().unwrap();
        let conn = place.connect("db");
        conn.gc(now()).unwrap();
        let again = conn.gc(now()).unwrap();
        assert_eq!((again.deleted.len(), again.moved_bytes), (0, 0), "{kind:?}: {again:?}");
        for (branch, wanted) in &wanted {
            let db = branch_as_db_in(&place.another_process(), &place.config, branch).unwrap();
            assert_eq!(content(&db).unwrap(), *wanted, "{kind:?} {branch}");
            db_testing::check_indexes(&db).unwrap();
        }
        // Without the branches, what was theirs goes.
        for branch in wanted.keys().filter(|name| *name != "db") {
            conn.delete_branch(branch).unwrap();
        }
        let report = conn.gc(now()).unwrap();
        assert!(report.bytes > 0 && report.deleted.iter().any(|key| key.starts_with("log/")), "{kind:?} {report:?}");
        assert_eq!(content(&conn.db()).unwrap(), wanted["db"], "{kind:?}");
        conn.release().unwrap();
    }
}

/// Two branches of one process flush and collect at once, without any minimum age.
#[test]
fn collections_beside_writers_of_other_branches_take_nothing_in_use() {
    let place = Place::new(Kind::Blobs);
    let conn = place.begin();
    conn.branch("db", "dev").unwrap();
    let dev = place.connect("dev");
    let model = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut reports = Vec::new();
            for i in 1..150 {
                reports.push(dev.transact(transaction(i, "d").as_str()).unwrap());
                if i % 3 == 0 {
                    dev.flush().unwrap();
                }
                if i % 40 == 0 {
                    dev.branch("dev", &format!("dev{i}")).unwrap();
                }
            }
            content(&dev.db()).unwrap()
        });
        let mut collections = 0;
        while !writing.is_finished() || collections < 5 {
            conn.gc(now()).unwrap();
            collections += 1;
        }
        writing.join().unwrap()
    });
    drop(dev);
    let dev = place.connect("dev");
    assert_eq!(content(&dev.db()).unwrap(), model);
    for branch in ["dev40", "dev80", "dev120"] {
        content(&dev.branch_as_db(branch).unwrap()).unwrap();
    }
}

/// What is purged on one branch stays on the others; after it was purged on all and collected on all, no byte has it.
#[test]
fn a_purge_is_of_one_branch() {
    let place = Place::new(Kind::Blobs);
    let conn = place.begin();
    conn.transact("[{:name \"secretword\" :age 1}]").unwrap();
    conn.branch("db", "dev").unwrap();
    let is_there = || place.blobs.all().iter().any(|(_, bytes)| bytes.windows(10).any(|w| w == b"secretword"));
    conn.transact("[[:db.purge/entity [:name \"secretword\"]]]").unwrap();
    conn.gc(now()).unwrap();
    assert!(is_there());
    let dev = place.connect("dev");
    assert_eq!(names(&dev.db()), set(["Ann", "Bob", "secretword"]));
    dev.transact("[[:db.purge/entity [:name \"secretword\"]]]").unwrap();
    // A branch that is made before the collection knows that there is something to collect.
    dev.branch("dev", "late").unwrap();
    dev.gc(now()).unwrap();
    conn.gc(now()).unwrap();
    let late = place.connect("late");
    late.gc(now()).unwrap();
    late.gc(now()).unwrap();
    assert!(!is_there(), "{:?}", place.blobs.all().iter().map(|(key, _)| key).collect::<Vec<_>>());
    for conn in [conn, dev, late] {
        assert_eq!(names(&conn.db()), set(["Ann", "Bob"]));
        db_testing::check_indexes(&conn.db()).unwrap();
    }
}

/// A run by chance, beside a model of what each branch and commit holds.
struct Run {
    place: Place,
    chance: Chance,
    conns: BTreeMap<String, Connection>,
    branches: BTreeMap<String, Model>,
    commits: HashMap<Uuid, Model>,
    n: usize,
}

impl Run {
    fn begin(kind: Kind, seed: u64) -> Run {
        let place = Place::new(kind);
        let conn = place.connect("db");
        let mut model = Model::default();
        support::one_more(&conn, &mut model, SCHEMA).unwrap();
        Run {
            place,
            chance: Chance(seed),
            conns: BTreeMap::from([("db".to_owned(), conn)]),
            branches: BTreeMap::from([("db".to_owned(), model)]),
            commits: HashMap::new(),
            n: 0,
        }
    }

    fn any_branch(&mut self) -> String {
        let i = self.chance.below(self.branches.len());
        self.branches.keys().nth(i).unwrap().clone()
    }

    /// A connection to some branch, perhaps a new one.
    fn any_conn(&mut self) -> (String, Connection) {
        let name = self.any_branch();
        let place = &self.place;
        let conn = self.conns.entry(name.clone()).or_insert_with(|| place.connect(&name)).clone();
        (name, conn)
    }

    /// A commit that is still there, with what it holds.
    fn any_commit(&mut self, conn: &Connection) -> Option<(Uuid, Model)> {
        let mut ids: Vec<Uuid> = self.commits.keys().copied().collect();
        ids.sort_unstable();
        let id = *ids.get(self.chance.below(ids.len().max(1)))?;
        match conn.commit_as_db(id) {
            Ok(db) => {
                let model = self.commits[&id].clone();
                assert_eq!(content(&db).unwrap(), model.last(), "commit {id}");
                assert_eq!(db.commit_id(), Some(id));
                Some((id, model))
            }
            Err(error) => {
                assert_eq!(error.code(), "commit-not-found", "{error:?}");
                self.commits.remove(&id);
                None
            }
        }
    }

    fn release(&mut self, name: &str) {
        if let Some(conn) = self.conns.remove(name) {
            if self.chance.below(3) == 0 { drop(conn) } else { conn.release().unwrap() }
        }
    }

    fn step(&mut self) {
        self.n += 1;
        // Each ninth one retracts what the one before it made, perhaps on another branch.
        let n = if self.n % 10 == 9 { self.n + 1 } else { self.n };
        let (name, conn) = self.any_conn();
        let mut model = self.branches[&name].clone();
        match self.chance.below(14) {
            0..5 => {
                support::one_more(&conn, &mut model, &transaction(n, "p")).unwrap();
                self.branches.insert(name, model);
            }
            5 => {
                let id = conn.commit().unwrap();
                assert_eq!(conn.db().commit_id(), Some(id));
                self.commits.insert(id, model);
            }
            6 => {
                let source = self.any_branch();
                let new = format!("b{}", self.chance.below(5));
                let made = conn.branch(source.as_str(), &new);
                if self.branches.contains_key(&new) {
                    assert_eq!(code(made).1, "branch-already-exists");
                } else {
                    made.unwrap();
                    self.branches.insert(new, self.branches[&source].clone());
                }
            }
            7 => {
                let new = format!("c{}", self.chance.below(3));
                if let Some((id, of_commit)) = self.any_commit(&conn)
                    && !self.branches.contains_key(&new)
                {
                    conn.branch(id, &new).unwrap();
                    self.branches.insert(new, of_commit);
                }
            }
            8 => {
                let other = self.any_branch();
                if other != "db" && other != name {
                    self.release(&other);
                    conn.delete_branch(&other).unwrap();
                    self.branches.remove(&other);
                }
            }
            9 => {
                let other = self.any_branch();
                if other != name {
                    self.release(&other);
                    let parents = [Revision::from(name.as_str())];
                    let forced = match self.any_commit(&conn) {
                        Some((id, of_commit)) => {
                            conn.force_branch(&conn.commit_as_db(id).unwrap(), &other, parents).unwrap();
                            of_commit
                        }
                        None => {
                            let made = with(&conn.db(), transaction(n, "f").as_str()).unwrap();
                            model.apply(&made.tx_data);
                            conn.force_branch(&made.db_after, &other, parents).unwrap();
                            model
                        }
                    };
                    self.branches.insert(other, forced);
                }
            }
            10 => {
                let other = self.any_branch();
                let theirs = self.any_commit(&conn).map(|(id, _)| Revision::from(id));
                let parents = [Some(Revision::from(other.as_str())), theirs];
                let report = conn.merge_db(parents.into_iter().flatten(), transaction(n, "m").as_str()).unwrap();
                model.apply(&report.tx_data);
                let id = conn.db().commit_id().expect("a merge is a commit");
                if let Some(theirs) = theirs {
                    let Revision::Commit(theirs) = theirs else { unreachable!() };
                    assert!(conn.db().parent_commit_ids().contains(&theirs));
                }
                self.commits.insert(id, model.clone());
                self.branches.insert(name, model);
            }
            11 => self.release(&name),
            12 => drop(conn.gc(now()).unwrap()),
            _ => {
                for db in conn.branch_history().unwrap() {
                    let db = db.unwrap();
                    if let Some(model) = self.commits.get(&db.commit_id().unwrap()) {
                        assert_eq!(content(&db).unwrap(), model.last());
                    }
                }
            }
        }
    }

    fn check(&self) {
        let found = branches_in(&self.place.registry, &self.place.config).unwrap();
        let wanted: BTreeSet<Keyword> = self.branches.keys().map(|name| Keyword::new(name)).collect();
        assert_eq!(found, wanted);
        for (name, model) in &self.branches {
            let here = |db: Db| -> Content { content(&db).unwrap() };
            let db = branch_as_db_in(&self.place.registry, &self.place.config, name).unwrap();
            assert_eq!(here(db), model.last(), "branch {name}");
            if let Some(conn) = self.conns.get(name) {
                assert_eq!(here(conn.db()), model.last(), "connection to {name}");
            }
        }
    }
}

#[test]
fn whatever_is_done_each_branch_and_commit_is_what_was_said_of_it() {
    let runs = env_number("TREERING_BRANCH_RUNS", 12);
    let first = env_number("TREERING_SEED", 1);
    for kind in KINDS {
        for seed in first..first + runs {
            println!("TREERING_SEED={seed} on {kind:?}");
            let mut run = Run::begin(kind, seed);
            for step in 0..90 {
                run.step();
                if step % 6 == 5 {
                    run.check();
                }
            }
            let names: Vec<String> = run.conns.keys().cloned().collect();
            names.iter().for_each(|name| run.release(name));
            run.check();
        }
    }
}

#[test]
fn async_twins_run_on_any_executor() {
    let dir = tempfile::tempdir().unwrap();
    let config = of_wanted_kind(Config::file(dir.path().join("db")));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        treering::create_database_async(&config).await.unwrap();
        let conn = treering::connect_async(&config).await.unwrap();
        conn.transact_async(SCHEMA).await.unwrap();
        conn.transact_async(r#"[{:name "Ann"}]"#).await.unwrap();
        let commit = conn.commit_async().await.unwrap();
        conn.branch_async(commit, "dev").await.unwrap();
        let made = with(&conn.db(), r#"[{:name "Bob"}]"#).unwrap().db_after;
        conn.force_branch_async(&made, "dev", ["db"]).await.unwrap();
        let merge = conn.merge_from_async("dev").await.unwrap();
        conn.merge_db_async(["dev"], merge).await.unwrap();
        assert_eq!(names(&conn.db()), set(["Ann", "Bob"]));
        assert_eq!(conn.branches_async().await.unwrap(), treering::branches_async(&config).await.unwrap());
        assert_eq!(names(&conn.commit_as_db_async(commit).await.unwrap()), set(["Ann"]));
        assert_eq!(names(&treering::commit_as_db_async(&config, commit).await.unwrap()), set(["Ann"]));
        assert_eq!(names(&conn.branch_as_db_async("dev").await.unwrap()), set(["Ann", "Bob"]));
        assert_eq!(names(&treering::branch_as_db_async(&config, "dev").await.unwrap()), set(["Ann", "Bob"]));
        conn.delete_branch_async("dev").await.unwrap();
        conn.release_async().await.unwrap();
    });
}

/// The last blob of a head that was removed says that it was; a name can be used again and again.
#[test]
fn names_can_be_used_again() {
    let place = Place::new(Kind::Blobs);
    let conn = place.begin();
    let store = Store::new(place.blobs.0.clone());
    for round in 0..3 {
        conn.branch("db", "dev").unwrap();
        assert_eq!(conn.branches().unwrap().len(), 2, "{round}");
        conn.delete_branch("dev").unwrap();
        assert_eq!(conn.branches().unwrap().len(), 1, "{round}");
        assert_eq!(store.list("head/").unwrap(), ["head/db", "head/dev"], "a place that others compare with stays");
    }
    conn.gc(now()).unwrap();
    assert_eq!(store.list("gone/").unwrap(), NONE);
    conn.branch("db", "dev").unwrap();
    assert_eq!(names(&conn.branch_as_db("dev").unwrap()), set(["Ann", "Bob"]));
}
