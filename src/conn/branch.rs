//! Branches of a connection's database: made, forced, deleted.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::home::{Home, StoredHome, foreign, no_branch};
use super::listen::check_may_wait;
use super::open::open_name;
use super::revision::{Revision, branch_name};
use super::{Connection, Shared};
use crate::commit::branches::{self, Beginning, branch_exists};
use crate::commit::{self, Head};
use crate::db::{Db, Snapshot};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::OpenStore;
use crate::store::backend::check_key;
use crate::transact::Merge;
use crate::world;

/// `docs/branches.md` tells how branches work.
impl Connection {
    /// The names of the branches of the database.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn branches(&self) -> Result<BTreeSet<Keyword>> {
        self.home()?.branches()
    }

    /// Makes a branch `new` of a branch or of a commit. They share what they have in common, so it takes no longer for a
    /// large database than for a small one. The branch begins with a commit of its own, whose parent is the commit that it
    /// was made from.
    ///
    /// # Errors
    /// `Existence`: `:branch-already-exists`, `:branch-does-not-exist`, `:commit-not-found`. `Argument`, code
    /// `:store/bad-key`, for a name that cannot be a branch's. Those of the store, and `Closed` as for
    /// [`transact`](Self::transact).
    pub fn branch(&self, from: impl Into<Revision>, new: &str) -> Result<()> {
        check_may_wait()?;
        let (from, new) = (from.into(), branch_name(new));
        check_name(new)?;
        self.writer()?;
        self.settle(from)?;
        let home = &self.shared.home;
        self.alone(new, |_| match home {
            Home::Memory(database) => {
                let (db, merge) = match from {
                    Revision::Branch(branch) => (home.branch(branch)?, home.resolve(from)?),
                    Revision::Commit(id) => (home.commit(id.as_u128())?, home.resolve(from)?),
                };
                if database.branch(new).is_some() {
                    return Err(branch_exists(new));
                }
                database.put(new, &db, vec![merge.commit], (merge.source, None), world::now());
                Ok(())
            }
            Home::Stored(home) => {
                let open = home.writable()?;
                let _collecting = open.collecting.lock();
                let _flushing = open.flushing.read();
                let source = self.source(home, from)?;
                let beginning = source.beginning(home, world::now());
                branches::begin(&home.nodes, new, beginning)
            }
        })
    }

    /// Removes a branch. What only it refers to stays in the store until garbage is collected after the minimum age, so
    /// commits of it can be had until then. Readers in other processes are told when they next ask for more, a writer in another process
    /// with its next transaction, which is not made.
    ///
    /// # Errors
    /// `Existence`, code `:branch-does-not-exist`; `Argument`, code `:cannot-delete-main-db-branch`, for `:db`; `Closed`,
    /// code `:branch-has-active-connection`, while a connection of this process is open to it; else as
    /// [`branch`](Self::branch).
    pub fn delete_branch(&self, branch: &str) -> Result<()> {
        check_may_wait()?;
        let branch = branch_name(branch);
        self.writer()?;
        if branch.as_str() == "db" {
            let message = "the branch :db cannot be deleted; delete the database, or force the branch to be another";
            return Err(Error::new(ErrorKind::Argument, "cannot-delete-main-db-branch", message));
        }
        self.unconnected(branch, || match &self.shared.home {
            Home::Memory(database) => {
                if database.remove(branch) {
                    Ok(())
                } else {
                    Err(no_branch(branch))
                }
            }
            Home::Stored(home) => {
                let _collecting = home.writable()?.collecting.lock();
                let head = home.head(branch)?.ok_or_else(|| no_branch(branch))?;
                branches::remove(home.store(), branch, &head)
            }
        })
    }

    /// Makes `db` what a branch is, whatever it was before; the branch need not exist. `parents` are what its first commit
    /// follows. `db` is of this database: of one of its branches or commits, or what [`with`](crate::with) made of them.
    ///
    /// # Errors
    /// `Argument`: `:branch/foreign-db` for a database of another store, or one whose commit was collected;
    /// `:branch/view` for a view or a filtered database; `:must-provide-at-least-one-parent`. Else as
    /// [`delete_branch`](Self::delete_branch).
    pub fn force_branch<R: Into<Revision>>(
        &self,
        db: &Db,
        branch: &str,
        parents: impl IntoIterator<Item = R>,
    ) -> Result<()> {
        check_may_wait()?;
        let branch = branch_name(branch);
        check_name(branch)?;
        self.writer()?;
        if !db.is_current() {
            let message = "only a database without view and filter can be a branch";
            return Err(Error::new(ErrorKind::Argument, "branch/view", message));
        }
        let parents = self.parents(parents)?;
        let parents: Vec<u128> = parents.iter().map(|parent| parent.commit).collect();
        let home = &self.shared.home;
        self.unconnected(branch, || match home {
            Home::Memory(database) => {
                let from = (home.source_of(db)?, db.snapshot().parted());
                database.put(branch, db, parents, from, world::now());
                Ok(())
            }
            Home::Stored(stored) => {
                let open = stored.writable()?;
                let _collecting = open.collecting.lock();
                let _flushing = open.flushing.read();
                let (snapshot, source) = (Snapshot::clone(db.snapshot()), home.source_of(db)?);
                let (parted, unclean) = (snapshot.parted(), stored.unclean()?);
                if parted.is_some() {
                    stored.check_nodes(&snapshot)?;
                }
                let source = Source { snapshot, parents, source, parted, unclean };
                let beginning = source.beginning(stored, world::now());
                match stored.head(branch)? {
                    Some(head) => branches::replace(&stored.nodes, branch, &head, beginning),
                    None => branches::begin(&stored.nodes, branch, beginning),
                }
            }
        })
    }

    /// Runs `work` with the connection to a branch, if there is one, while nobody can connect to it.
    fn alone<T>(&self, branch: Keyword, work: impl FnOnce(Option<Arc<Shared>>) -> Result<T>) -> Result<T> {
        self.shared.open.alone(&open_name(&self.shared.identity, branch), work)
    }

    /// Runs `work` while no connection of this process is open to a branch.
    fn unconnected(&self, branch: Keyword, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let active = || {
            let message = format!("a connection of this process is open to the branch {branch}; release it first");
            Err(Error::new(ErrorKind::Closed, "branch-has-active-connection", message))
        };
        if branch == self.shared.branch {
            return active();
        }
        self.alone(branch, |held| match held {
            Some(shared) if shared.users.load(Ordering::Acquire) > 0 => active(),
            _ => work(),
        })
    }

    /// What a new branch begins with. Nothing is collected meanwhile.
    fn source(&self, home: &StoredHome, from: Revision) -> Result<Source> {
        match from {
            Revision::Commit(id) => {
                let Merge { source, commit } = self.shared.home.resolve(from)?;
                let snapshot = branches::read(home.store(), id.as_u128(), home.kind.as_ref(), &home.source())?;
                Ok(Source { snapshot, parents: vec![commit], source, parted: None, unclean: home.unclean()? })
            }
            Revision::Branch(branch) => {
                let found = home.find(branch)?;
                let merged = found.merged.iter().map(|merge| merge.commit);
                let parents = std::iter::once(found.head.commit).chain(merged).collect();
                let (source, unclean) = (Some(found.head.incarnation), found.head.unclean);
                Ok(Source { snapshot: found.snapshot, parents, source, parted: None, unclean })
            }
        }
    }
}

/// What a branch is to begin with.
struct Source {
    snapshot: Snapshot,
    parents: Vec<u128>,
    source: Option<u128>,
    /// The commit that it says more than, if it does.
    parted: Option<u128>,
    unclean: Option<u64>,
}

impl Source {
    fn beginning<'a>(&'a self, home: &'a StoredHome, now: i64) -> Beginning<'a> {
        let Source { snapshot, parents, source, parted, unclean } = self;
        let (parents, provenance) = (parents.clone(), &home.provenance);
        Beginning { snapshot, provenance, parents, source: *source, parted: *parted, unclean: *unclean, now }
    }
}

impl StoredHome {
    /// Whether all nodes of a database that is no commit are there: some may have been stored by a later flush, which another one
    /// has replaced since.
    fn check_nodes(&self, snapshot: &Snapshot) -> Result<()> {
        let mut seen = HashSet::new();
        for index in &snapshot.indexes {
            index.walk(&mut |address| {
                if seen.insert(address.pack) && !self.nodes.has_pack(address.pack)? {
                    return Err(foreign());
                }
                Ok(true)
            })?;
        }
        Ok(())
    }

    fn writable(&self) -> Result<&OpenStore> {
        self.open.as_deref().ok_or_else(super::read_only)
    }

    fn head(&self, branch: Keyword) -> Result<Option<Head>> {
        Ok(branches::heads(self.store())?.into_iter().find(|(name, _)| *name == branch).map(|(_, head)| head))
    }

    /// The last transaction of a purge of which a pack may hold traces, on whatever branch.
    fn unclean(&self) -> Result<Option<u64>> {
        Ok(branches::heads(self.store())?.into_iter().filter_map(|(_, head)| head.unclean).max())
    }
}

/// Whether a branch can have that name.
fn check_name(branch: Keyword) -> Result<()> {
    check_key(&commit::head_key(branch)).map_err(|error| error.context(format!("{branch} cannot be a branch's name")))
}
