//! Commits of a connection's database, and databases of its other branches, to read.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::atomic::Ordering;

use uuid::Uuid;

use super::flush::How;
use super::home::Home;
use super::listen::check_may_wait;
use super::open::open_name;
use super::revision::{Revision, branch_name};
use super::writer::Writer;
use super::{Connection, Role, Shared};
use crate::config::Config;
use crate::db::{Db, Snapshot};
use crate::edn::Keyword;
use crate::error::{ErrorKind, Result};
use crate::registry::Registry;
use crate::world;

/// The names of the branches of a database.
///
/// # Errors
/// Those of the config and of the store; `Existence`, code `:db-does-not-exist`.
pub fn branches(config: &Config) -> Result<BTreeSet<Keyword>> {
    branches_in(Registry::standard(), config)
}

/// [`branches`] with the kinds of a registry.
///
/// # Errors
/// As there.
pub fn branches_in(registry: &Registry, config: &Config) -> Result<BTreeSet<Keyword>> {
    Home::of_config(registry, config)?.branches()
}

/// The database of a branch with all transactions that are durable, to read; nobody needs to be connected. See
/// [`Connection::branch_as_db`].
///
/// # Errors
/// As there, and those of [`branches`].
pub fn branch_as_db(config: &Config, branch: &str) -> Result<Db> {
    branch_as_db_in(Registry::standard(), config, branch)
}

/// [`branch_as_db`] with the kinds of a registry.
///
/// # Errors
/// As there.
pub fn branch_as_db_in(registry: &Registry, config: &Config, branch: &str) -> Result<Db> {
    Home::of_config(registry, config)?.branch(branch_name(branch))
}

/// The database of a commit, to read; nobody needs to be connected. See [`Connection::commit_as_db`].
///
/// # Errors
/// As there, and those of [`branches`].
pub fn commit_as_db(config: &Config, commit: Uuid) -> Result<Db> {
    commit_as_db_in(Registry::standard(), config, commit)
}

/// [`commit_as_db`] with the kinds of a registry.
///
/// # Errors
/// As there.
pub fn commit_as_db_in(registry: &Registry, config: &Config, commit: Uuid) -> Result<Db> {
    Home::of_config(registry, config)?.commit(commit.as_u128())
}

impl Connection {
    /// Stores the database as a commit and gives its id, by which it can be had again. A database that is a commit already
    /// keeps its id.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn commit(&self) -> Result<Uuid> {
        check_may_wait()?;
        let id = self.writer()?.commit_now(&self.shared.home, self.shared.branch)?;
        Ok(Uuid::from_u128(id))
    }

    /// The database of a commit, to read.
    ///
    /// # Errors
    /// `Existence`, code `:commit-not-found`, for a commit that was collected as garbage or never made; those of reading the
    /// store.
    pub fn commit_as_db(&self, commit: Uuid) -> Result<Db> {
        self.home()?.commit(commit.as_u128())
    }

    /// The database of a branch with all transactions that are durable, to read.
    ///
    /// # Errors
    /// `Existence`, code `:branch-does-not-exist`, and those of reading the store.
    pub fn branch_as_db(&self, branch: &str) -> Result<Db> {
        let (home, branch) = (self.home()?, branch_name(branch));
        if branch == self.shared.branch && matches!(self.shared.role, Role::Writer(_)) {
            return Ok(self.db());
        }
        home.branch(branch)
    }

    /// The last commit of this branch and those that it goes back to, nearest first, each once, as databases to read. It
    /// ends where commits were collected. What was transacted since the last commit is not there.
    ///
    /// # Errors
    /// Those of reading the store, also on the way.
    pub fn branch_history(&self) -> Result<BranchHistory> {
        let home = self.home()?.clone();
        let last = home.resolve(Revision::Branch(self.shared.branch))?.commit;
        Ok(BranchHistory { home, pending: VecDeque::from([last]), seen: HashSet::new() })
    }

    pub(super) fn home(&self) -> Result<&Home> {
        if self.shared.users.load(Ordering::Acquire) == 0 { Err(super::released()) } else { Ok(&self.shared.home) }
    }

    /// Makes a commit of a branch that is open for writing in this process, so that its last commit is what it is.
    pub(super) fn settle(&self, revision: Revision) -> Result<()> {
        let Revision::Branch(branch) = revision else { return Ok(()) };
        if branch == self.shared.branch {
            return self.writer()?.commit_now(&self.shared.home, branch).map(drop);
        }
        for shared in self.shared.open.held::<Shared>(&open_name(&self.shared.identity, branch)) {
            if let Role::Writer(writer) = &shared.role
                && shared.branch == branch
                && shared.users.load(Ordering::Acquire) > 0
            {
                match writer.commit_now(&shared.home, branch) {
                    // It is released meanwhile, or broke down: what is durable is in its log.
                    Err(error) if error.kind() == ErrorKind::Closed => {}
                    settled => drop(settled?),
                }
            }
        }
        Ok(())
    }
}

impl Writer {
    /// Makes a commit of all transactions, if the database is none, and gives its id.
    pub(super) fn commit_now(&self, home: &Home, branch: Keyword) -> Result<u128> {
        let mut committed = self.committed.lock();
        self.check_working()?;
        let mut applied = self.applied.lock();
        self.settle_applied(&mut committed)?;
        self.take_in(&mut committed, &mut applied)?;
        let commit = applied.db.snapshot().commit().map(|commit| commit.id);
        match home {
            Home::Stored(_) => {
                let last = committed.durable.as_ref().map(|durable| durable.head.commit);
                if commit.is_none() || commit != last {
                    self.flush(&mut committed, &mut applied, How::default())?;
                }
                let last = committed.durable.as_ref().map(|durable| durable.head.commit);
                last.ok_or_else(super::released)
            }
            Home::Memory(database) => match commit {
                Some(commit) => Ok(commit),
                None => {
                    let (id, db) = database.commit_on(branch, &applied.db, &[], world::now());
                    self.replace(&mut applied, Snapshot::clone(db.snapshot()));
                    Ok(id)
                }
            },
        }
    }
}

/// Commits, nearest first: see [`Connection::branch_history`].
pub struct BranchHistory {
    home: Home,
    pending: VecDeque<u128>,
    seen: HashSet<u128>,
}

impl Iterator for BranchHistory {
    type Item = Result<Db>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let id = self.pending.pop_front()?;
            if !self.seen.insert(id) {
                continue;
            }
            match self.home.commit(id) {
                Ok(db) => {
                    self.pending.extend(db.snapshot().parents());
                    return Some(Ok(db));
                }
                Err(error) if error.code() == "commit-not-found" => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl std::fmt::Debug for BranchHistory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BranchHistory").field("pending", &self.pending).field("seen", &self.seen.len()).finish()
    }
}
