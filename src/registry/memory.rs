//! Databases that live in this process: they outlast their connections and end when they are deleted.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use crate::commit::kin::{Kin, Line};
use crate::config::Config;
use crate::db::{Db, Origin};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::transact::Merge;

/// The databases in memory of one registry, by store.
#[derive(Debug, Default)]
pub(crate) struct MemoryDatabases {
    all: Mutex<HashMap<String, Arc<MemoryDatabase>>>,
}

/// A database in memory with its branches and commits.
#[derive(Debug)]
pub(crate) struct MemoryDatabase {
    config: Config,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    branches: BTreeMap<Keyword, MemoryBranch>,
    /// The commits that were made and not collected.
    commits: HashMap<u128, MemoryCommit>,
}

#[derive(Debug)]
struct MemoryBranch {
    current: Arc<RwLock<Db>>,
    line: Line,
}

#[derive(Debug)]
struct MemoryCommit {
    db: Db,
    /// Milliseconds since 1970-01-01T00:00Z.
    created_at: i64,
}

impl MemoryDatabases {
    /// Keeps a new database, whose first commit is made `now`.
    ///
    /// # Errors
    /// `Existence`, code `:db-already-exists`.
    pub fn create(&self, store: String, config: Config, db: Db, now: i64) -> Result<()> {
        let mut all = self.all.lock();
        if all.contains_key(&store) {
            let message = "the database exists already; delete it first, or connect to it";
            return Err(Error::new(ErrorKind::Existence, "db-already-exists", message));
        }
        let branch = config.branch_name();
        let database = MemoryDatabase { config, state: Mutex::default() };
        database.put(branch, &db, Vec::new(), (None, None), now);
        all.insert(store, Arc::new(database));
        Ok(())
    }

    /// The database of a store.
    ///
    /// # Errors
    /// `Existence`, code `:db-does-not-exist`; `Config` when the config contradicts what it was created with.
    pub fn find(&self, store: &str, config: &Config) -> Result<Arc<MemoryDatabase>> {
        let database = self.all.lock().get(store).cloned().ok_or_else(|| {
            let message = format!("there is no database in memory under {store}; create it first");
            Error::new(ErrorKind::Existence, "db-does-not-exist", message)
        })?;
        config.matching(&database.config)?;
        Ok(database)
    }

    /// Whether there is such a branch.
    pub fn exists(&self, store: &str, branch: Keyword) -> bool {
        self.all.lock().get(store).is_some_and(|database| database.state.lock().branches.contains_key(&branch))
    }

    pub fn delete(&self, store: &str) {
        self.all.lock().remove(store);
    }
}

impl MemoryDatabase {
    /// The branches, and what is known of them beside their databases.
    pub fn lines(&self) -> Vec<(Keyword, Line)> {
        self.state.lock().branches.iter().map(|(name, branch)| (*name, branch.line.clone())).collect()
    }

    /// The cell in which the current database of a branch stands; `None` where there is no such branch.
    pub fn branch(&self, branch: Keyword) -> Option<Arc<RwLock<Db>>> {
        self.state.lock().branches.get(&branch).map(|branch| Arc::clone(&branch.current))
    }

    /// The database of a commit; `None` if it was never made here, or collected.
    pub fn commit(&self, id: u128) -> Option<Db> {
        self.state.lock().commits.get(&id).map(|commit| commit.db.clone())
    }

    /// Makes a commit of `db` on a branch, which follows its last one and those that it merges. Returns its id and
    /// the database that knows it.
    pub fn commit_on(&self, branch: Keyword, db: &Db, merges: &[Merge], now: i64) -> (u128, Db) {
        let mut state = self.state.lock();
        let last = state.branches.get(&branch).map(|branch| branch.line.commit);
        let parents = last.into_iter().chain(merges.iter().map(|merge| merge.commit)).collect();
        let (id, db) = state.commit(db, parents, now);
        if let Some(branch) = state.branches.get_mut(&branch) {
            branch.line.commit = id;
            branch.line.kin = branch.line.kin.clone().merged(merges);
        }
        (id, db)
    }

    /// Makes a branch, or puts another in its place, which begins with a commit of `db`. `source` is the incarnation of the
    /// branch that this is of, if that is known, and `parted` the commit of that branch that it says more than, if it does.
    pub fn put(
        &self,
        branch: Keyword,
        db: &Db,
        parents: Vec<u128>,
        (source, parted): (Option<u128>, Option<u128>),
        now: i64,
    ) {
        let mut state = self.state.lock();
        let is_first = state.branches.is_empty();
        let (commit, db) = state.commit(db, parents, now);
        let kin = if is_first { Kin::default() } else { Kin::begun(commit, source, parted) };
        let line = Line { incarnation: Origin::new_id(), commit, kin };
        state.branches.insert(branch, MemoryBranch { current: Arc::new(RwLock::new(db)), line });
    }

    /// Whether there was such a branch.
    pub fn remove(&self, branch: Keyword) -> bool {
        self.state.lock().branches.remove(&branch).is_some()
    }

    /// Forgets the commits that were no branch's head after `cutoff`, milliseconds since 1970-01-01T00:00Z, but for younger
    /// ones. Returns their ids.
    pub fn collect(&self, cutoff: i64, dry_run: bool) -> Vec<u128> {
        let mut state = self.state.lock();
        let mut kept: HashSet<u128> = HashSet::new();
        let lines = state.branches.values().map(|branch| &branch.line);
        let mut pending: Vec<u128> =
            lines.flat_map(|line| line.kin.kept.iter().copied().chain([line.commit])).collect();
        while let Some(id) = pending.pop() {
            let Some(commit) = state.commits.get(&id).filter(|_| kept.insert(id)) else { continue };
            if commit.created_at > cutoff {
                pending.extend(commit.db.snapshot().parents());
            }
        }
        let is_gone = |id: &u128, commit: &MemoryCommit| commit.created_at <= cutoff && !kept.contains(id);
        let mut gone: Vec<u128> = state.commits.iter().filter(|(id, c)| is_gone(id, c)).map(|(id, _)| *id).collect();
        gone.sort_unstable();
        if !dry_run {
            state.commits.retain(|id, commit| !is_gone(id, commit));
        }
        gone
    }
}

impl State {
    fn commit(&mut self, db: &Db, parents: Vec<u128>, now: i64) -> (u128, Db) {
        let snapshot = db.snapshot();
        let id = Origin::new_id();
        let db = Db::new(Arc::new(snapshot.named(Origin::new(id, parents, snapshot.basis_t))));
        self.commits.insert(id, MemoryCommit { db: db.clone(), created_at: now });
        (id, db)
    }
}
