//! Who works on the store: two processes that write, readers, and fate.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use treering::{
    Config, Connection, Db, Error, ErrorKind, GcOptions, Registry, Result, StoreConfig, connect_in, create_database_in,
    db_testing,
};

use super::medium::{Kind, Medium};
use super::schedule::{Process, Scheduler, become_process};
use super::truth::{Least, Truth, read};
use crate::support::{Content, SCHEMA, content, with_small_nodes};

/// What garbage collection leaves to readers. No flush takes so long.
const MIN_AGE: i64 = 5_000;

/// All that the actors of a run share.
pub struct Stage {
    pub scheduler: Arc<Scheduler>,
    pub medium: Arc<Medium>,
    truth: Mutex<Truth>,
    processes: Mutex<Vec<Arc<Process>>>,
    /// Branches beside the main one, and whether what was asked of the last call for it is known.
    branches: Mutex<Vec<(String, bool)>>,
    writers: usize,
    /// Writers that are not done.
    left: AtomicUsize,
    /// How often much time has gone by.
    jumps: AtomicUsize,
}

impl Stage {
    pub fn new(scheduler: &Arc<Scheduler>, medium: &Arc<Medium>, writers: usize) -> Arc<Stage> {
        Arc::new(Stage {
            scheduler: Arc::clone(scheduler),
            medium: Arc::clone(medium),
            truth: Mutex::default(),
            processes: Mutex::default(),
            branches: Mutex::default(),
            writers,
            left: AtomicUsize::new(writers),
            jumps: AtomicUsize::default(),
        })
    }

    fn config(&self) -> Config {
        with_small_nodes(Config::new().store(StoreConfig::new("simulated"))).flush_after(1500).cache_bytes(0)
    }

    fn below(&self, n: usize) -> usize {
        self.scheduler.below(n)
    }

    fn registry(&self) -> Registry {
        Registry::with_builtins().with_backend(Kind(Arc::clone(&self.medium)))
    }

    /// Another process on this thread, the one before being over.
    fn begin(&self) -> Arc<Process> {
        let process: Arc<Process> = Arc::default();
        become_process(Arc::clone(&process));
        let mut processes = self.processes.lock();
        processes.retain(|process| !process.is_dead());
        processes.push(Arc::clone(&process));
        process
    }

    /// Whether an error may come of what is done to the store.
    fn check_error(&self, process: &Process, jumps: usize, what: &str, error: &Error) {
        self.scheduler.note(&format!("{what}: :{}", error.code()));
        let has_faults = *self.medium.faults.lock() > 0;
        let is_expected = match error.kind() {
            _ if process.is_dead() => true,
            ErrorKind::Storage => has_faults,
            // A thread of a process that is over has the store still.
            ErrorKind::Fenced if error.code() == "store/locked" => true,
            ErrorKind::Fenced | ErrorKind::Closed => has_faults || self.writers > 1,
            // A writer that was fenced long ago and does not know it.
            ErrorKind::Corrupt => error.code() == "index/node-not-found" && self.writers > 1 && self.jumped(jumps),
            _ => false,
        };
        assert!(is_expected, "{what}: {error:?}");
        match error.kind() {
            _ if process.is_dead() => {}
            ErrorKind::Fenced => self.scheduler.happened("writers fenced", 1),
            _ => self.scheduler.happened("calls failed", 1),
        }
    }

    fn jumps(&self) -> usize {
        self.jumps.load(Ordering::Relaxed)
    }

    fn jumped(&self, since: usize) -> bool {
        self.jumps() > since
    }

    /// Makes the database, before all else.
    pub fn create(&self) {
        let registry = self.registry();
        create_database_in(&registry, &self.config()).unwrap();
        let conn = connect_in(&registry, &self.config()).unwrap();
        let report = conn.transact(SCHEMA).unwrap();
        self.truth.lock().acknowledge("db", report.db_after.basis_t().0, &report.tx_data);
        conn.release().unwrap();
    }

    /// A process that writes, and is begun again when it has died or was fenced.
    pub fn write(self: &Arc<Stage>) {
        let mut left = 15 + self.below(25);
        while left > 0 {
            let process = self.begin();
            let (jumps, least) = (self.jumps(), self.truth.lock().least("db"));
            let _busy = self.scheduler.busy();
            match connect_in(&self.registry(), &self.config()) {
                Err(error) => {
                    self.check_error(&process, jumps, "connect", &error);
                    left -= 1;
                    self.scheduler.step("waits for a better time");
                }
                Ok(conn) => {
                    self.checked("db", &conn, least, &process);
                    drop(_busy);
                    let mut works = true;
                    while works && left > 0 && !process.is_dead() {
                        left -= 1;
                        let jumps = self.jumps();
                        (0..=self.below(4)).for_each(|_| self.scheduler.step("rests"));
                        let busy = self.scheduler.busy();
                        if let Err(error) = self.act(&conn) {
                            self.check_error(&process, jumps, "act", &error);
                            works = false;
                        }
                        drop(busy);
                        // Somebody else may have it meanwhile.
                        works &= self.below(12) > 0;
                    }
                    let _busy = self.scheduler.busy();
                    if self.below(4) > 0
                        && let Err(error) = conn.release()
                    {
                        self.check_error(&process, jumps, "release", &error);
                    }
                }
            }
        }
        self.left.fetch_sub(1, Ordering::Relaxed);
    }

    /// Compares a branch with its log, unless the store fails.
    fn checked(&self, branch: &str, conn: &Connection, least: Least, process: &Process) {
        let jumps = self.jumps();
        match read(conn) {
            Ok((found, log)) => self.truth.lock().check(branch, found, &log, least),
            Err(error) => self.check_error(process, jumps, "read", &error),
        }
    }

    fn act(self: &Arc<Stage>, conn: &Connection) -> Result<()> {
        match self.below(20) {
            0 => conn.flush(),
            1 => self.gc(conn),
            2 => {
                self.aside("gc", conn, |stage, conn| stage.gc(conn));
                Ok(())
            }
            3 | 4 => {
                self.aside("client", conn, |stage, conn| (0..3).try_for_each(|_| stage.transact("db", conn)));
                Ok(())
            }
            5 | 6 => self.branch(conn),
            _ => self.transact("db", conn),
        }
    }

    fn gc(&self, conn: &Connection) -> Result<()> {
        let age = Duration::from_millis(MIN_AGE.unsigned_abs());
        let report = conn.gc(GcOptions::new().min_age(age))?;
        self.scheduler.note(&format!("collected {} blobs", report.deleted.len()));
        self.scheduler.happened("blobs collected", report.deleted.len());
        Ok(())
    }

    /// Does something on another thread of the process.
    fn aside(self: &Arc<Stage>, name: &str, conn: &Connection, work: fn(&Stage, &Connection) -> Result<()>) {
        let (stage, conn) = (Arc::clone(self), conn.clone());
        let process = super::schedule::process().expect("of a process");
        let busy = self.scheduler.busy();
        self.scheduler.add(name, Arc::clone(&process), move || {
            let jumps = stage.jumps();
            if let Err(error) = work(&stage, &conn)
                // The connection may have been released meanwhile.
                && error.kind() != ErrorKind::Closed
                && error.code() != "store/read-only"
            {
                stage.check_error(&process, jumps, "aside", &error);
            }
            drop(busy);
        });
    }

    fn transact(&self, branch: &str, conn: &Connection) -> Result<()> {
        let (mark, tries) = {
            let mut truth = self.truth.lock();
            (truth.mark(), truth.tries())
        };
        let others: String = (0..self.below(4))
            .map(|_| format!(" {{:name \"p{}\" :age {tries} :tags [\"t{}\"]}}", self.below(9), self.below(3)))
            .collect();
        let report = conn.transact(format!("[{{:name {mark:?}}}{others}]"))?;
        self.scheduler.happened("transactions acknowledged", 1);
        self.truth.lock().acknowledge(branch, report.db_after.basis_t().0, &report.tx_data);
        Ok(())
    }

    /// Makes a branch, writes to it, merges it, deletes it: or not all of that.
    fn branch(&self, conn: &Connection) -> Result<()> {
        let name = {
            let mut branches = self.branches.lock();
            let name = format!("b{}", branches.len());
            branches.push((name.clone(), false));
            name
        };
        let is_known = |known: bool| self.branches.lock().iter_mut().filter(|b| b.0 == name).for_each(|b| b.1 = known);
        let least = self.truth.lock().least("db");
        conn.branch("db", &name)?;
        self.truth.lock().fork("db", &name, least);
        is_known(true);
        let registry = self.registry();
        // Another process, though it dies with this one.
        let branch = connect_in(&registry, &self.config().branch(&name))?;
        let worked = (0..self.below(4)).try_for_each(|_| self.transact(&name, &branch));
        let released = branch.release();
        worked.and(released)?;
        if self.below(2) == 0 {
            let merge = conn.merge_from(name.as_str())?;
            if merge.conflicts.is_empty() {
                self.truth.lock().merge();
                let report = conn.merge_db([name.as_str()], merge)?;
                self.scheduler.happened("merges", 1);
                self.truth.lock().acknowledge("db", report.db_after.basis_t().0, &report.tx_data);
            }
        }
        if self.below(2) == 0 {
            is_known(false);
            conn.delete_branch(&name)?;
        }
        Ok(())
    }

    /// A process that reads, and goes on reading what it has taken before.
    pub fn read(&self) {
        while self.left.load(Ordering::Relaxed) > 0 {
            let process = self.begin();
            let began = self.scheduler.time();
            let registry = self.registry();
            let conn = match connect_in(&registry, &self.config().read_only(true)) {
                Ok(conn) => conn,
                Err(error) => {
                    self.check_read(&process, began, "connect to read", &error);
                    self.scheduler.step("waits for a better time");
                    continue;
                }
            };
            let mut held: Vec<(i64, Db, Option<Content>)> = vec![(began, conn.db(), None)];
            for _ in 0..2 + self.below(30) {
                if process.is_dead() {
                    break;
                }
                if self.below(3) == 0 {
                    let (now, least) = (self.scheduler.time(), self.truth.lock().least("db"));
                    match conn.sync() {
                        Ok(db) => {
                            assert!(db.basis_t().0 >= least, "read {} after {least} was acknowledged", db.basis_t());
                            held.push((now, db, None));
                        }
                        Err(error) => self.check_read(&process, now, "follow", &error),
                    }
                }
                let i = self.below(held.len());
                let (taken, db, before) = &mut held[i];
                match content(db) {
                    Ok(found) => {
                        assert!(before.is_none_or(|before| before == found), "a database value has changed");
                        *before = Some(found);
                        self.truth.lock().see("db", found);
                        self.scheduler.happened("snapshots read", 1);
                    }
                    Err(error) => self.check_read(&process, *taken, "read what was taken", &error),
                }
            }
            if let Err(error) = conn.release() {
                self.check_read(&process, began, "release a reader", &error);
            }
        }
    }

    /// Whether a reader may hear of an error: of what it took or began with at a time.
    fn check_read(&self, process: &Process, since: i64, what: &str, error: &Error) {
        self.scheduler.note(&format!("{what}: :{}", error.code()));
        let is_expected = match error.kind() {
            _ if process.is_dead() => true,
            ErrorKind::Storage => *self.medium.faults.lock() > 0,
            // Its minimum age is over.
            ErrorKind::Corrupt => self.scheduler.time() - since >= MIN_AGE,
            _ => false,
        };
        if error.kind() == ErrorKind::Corrupt {
            self.scheduler.happened("snapshots expired", 1);
        }
        let age = self.scheduler.time() - since;
        assert!(is_expected, "{what}, {age} ms old: {error:?}");
    }

    /// Lets time go by, kills processes and switches off the power.
    pub fn decide(&self) {
        while self.left.load(Ordering::Relaxed) > 0 {
            self.scheduler.step("fate");
            match self.below(400) {
                0..4 => {
                    let processes = self.processes.lock();
                    if let Some(struck) = processes.get(self.below(processes.len().max(1))) {
                        self.scheduler.note("a process is killed");
                        self.scheduler.happened("processes killed", 1);
                        struck.kill();
                    }
                }
                4 => {
                    self.scheduler.note("the power fails");
                    self.scheduler.happened("losses of power", 1);
                    self.processes.lock().iter().for_each(|process| process.kill());
                    self.medium.lose_power();
                }
                5..200 if self.scheduler.is_idle() => {
                    self.jumps.fetch_add(1, Ordering::Relaxed);
                    self.scheduler.happened("jumps of time", 1);
                    self.scheduler.sleep(MIN_AGE / 2 + self.below(MIN_AGE as usize) as i64);
                }
                _ => {}
            }
        }
    }

    /// What is there in the end.
    pub fn judge(&self) {
        *self.medium.faults.lock() = 0;
        self.begin();
        let mut names: Vec<String> =
            self.branches.lock().iter().filter(|(_, known)| *known).map(|(name, _)| name.clone()).collect();
        names.push("db".to_owned());
        for name in names {
            let registry = self.registry();
            let config = self.config().branch(&name);
            let least = self.truth.lock().least(&name);
            let conn = connect_in(&registry, &config).unwrap();
            self.sound(&name, &conn, least);
            if name == "db" {
                self.scheduler.sleep(2 * MIN_AGE);
                conn.gc(GcOptions::new().min_age(Duration::ZERO)).unwrap();
                self.sound(&name, &conn, least);
                self.transact("db", &conn).unwrap();
            }
            conn.release().unwrap();
        }
        let report = treering::verify_in(&self.registry(), &self.config(), &treering::VerifyOptions::new()).unwrap();
        assert!(report.is_sound(), "{:?}", report.problems);
    }

    fn sound(&self, name: &str, conn: &Connection, least: Least) {
        let (found, log) = read(conn).unwrap();
        self.truth.lock().check(name, found, &log, least);
        db_testing::check_indexes(&conn.db()).unwrap();
    }
}
