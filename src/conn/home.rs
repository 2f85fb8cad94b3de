//! Where a connection's database is kept, with the other branches and the commits that are kept there too.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use uuid::Uuid;

use super::revision::Revision;
use crate::commit::branches::{self, no_commit};
use crate::commit::kin::{Kin, Line};
use crate::commit::{self, Head, Provenance, StoredNodes};
use crate::config::Config;
use crate::db::{Db, Snapshot};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{IndexKind, NodeSource};
use crate::library::Library;
use crate::registry::{MemoryDatabase, OpenStore, Registry};
use crate::store::{Access, Store};
use crate::transact::Merge;

/// All branches of one database.
#[derive(Clone)]
pub(super) enum Home {
    Stored(StoredHome),
    Memory(Arc<MemoryDatabase>),
}

/// A database in a store.
#[derive(Clone)]
pub(super) struct StoredHome {
    pub nodes: Arc<StoredNodes>,
    /// What every commit says of the database.
    pub provenance: Provenance,
    pub kind: Arc<dyn IndexKind>,
    pub library: Arc<Library>,
    /// Absent where the store is open for reading only.
    pub open: Option<Arc<OpenStore>>,
}

/// A branch as it is found.
pub(super) struct Found {
    pub snapshot: Snapshot,
    /// What its last transactions merged since its last commit.
    pub merged: Vec<Merge>,
    pub head: Head,
}

impl Home {
    /// That of a config, to read.
    pub fn of_config(registry: &Registry, config: &Config) -> Result<Home> {
        let config = registry.complete(config)?;
        let store = registry.connect_store(&config, Access::ReadOnly)?;
        if store.capabilities().volatile {
            return registry.memory().find(&registry.identity(&config)?, &config).map(Home::Memory);
        }
        let any = branches::heads(&store)?.into_iter().next().ok_or_else(|| {
            Error::new(ErrorKind::Existence, "db-does-not-exist", "the store holds no database; create it first")
        })?;
        let provenance = branches::provenance(&store, any.1.commit)?;
        config.matching(&Config::from_edn(&provenance.config).map_err(|e| e.context("the stored config"))?)?;
        let cache = registry.node_cache(config.node_cache_bytes());
        Ok(Home::Stored(StoredHome {
            nodes: Arc::new(StoredNodes::new(store, cache, &registry.identity(&config)?)),
            kind: registry.index(provenance.index)?,
            provenance,
            library: registry.library(&config)?,
            open: None,
        }))
    }

    /// The names of the branches.
    pub fn branches(&self) -> Result<BTreeSet<Keyword>> {
        Ok(self.lines()?.into_iter().map(|(name, _)| name).collect())
    }

    /// The database of a commit.
    ///
    /// # Errors
    /// `Existence`, code `:commit-not-found`.
    pub fn commit(&self, id: u128) -> Result<Db> {
        match self {
            Home::Stored(home) => {
                let snapshot = branches::read(home.store(), id, home.kind.as_ref(), &home.source())?;
                home.db(snapshot)
            }
            Home::Memory(database) => database.commit(id).ok_or_else(|| no_commit(id)),
        }
    }

    /// The database of a branch with all that is durable.
    ///
    /// # Errors
    /// `Existence`, code `:branch-does-not-exist`.
    pub fn branch(&self, branch: Keyword) -> Result<Db> {
        match self {
            Home::Stored(home) => home.db(home.find(branch)?.snapshot),
            Home::Memory(database) => {
                let current = database.branch(branch).ok_or_else(|| no_branch(branch))?;
                let db = current.read().clone();
                Ok(db)
            }
        }
    }

    /// The last commit of a branch, or the commit itself, and the incarnation of the branch that it is of, if that is known.
    ///
    /// # Errors
    /// `Existence`: `:branch-does-not-exist`, `:commit-not-found`.
    pub fn resolve(&self, revision: Revision) -> Result<Merge> {
        let lines = self.lines()?;
        match revision {
            Revision::Branch(branch) => {
                let (_, line) = lines.iter().find(|(name, _)| *name == branch).ok_or_else(|| no_branch(branch))?;
                Ok(Merge { source: Some(line.incarnation), commit: line.commit })
            }
            Revision::Commit(id) => {
                let commit = id.as_u128();
                match self {
                    Home::Stored(home) => branches::check_commit(home.store(), commit)?,
                    Home::Memory(database) => drop(database.commit(commit).ok_or_else(|| no_commit(commit))?),
                }
                let mut source = None;
                for (_, line) in &lines {
                    if self.is_on(line, commit)? {
                        source = Some(line.incarnation);
                        break;
                    }
                }
                Ok(Merge { source, commit })
            }
        }
    }

    /// The incarnation of the branch that a database comes from, if that is known.
    ///
    /// # Errors
    /// `Argument`, code `:branch/foreign-db`, for a database of which the last commit is not here.
    pub fn source_of(&self, db: &Db) -> Result<Option<u128>> {
        let origin = db.snapshot().origin.as_ref().ok_or_else(foreign)?;
        match self.resolve(Revision::Commit(Uuid::from_u128(origin.id))) {
            Err(error) if error.code() == "commit-not-found" => Err(foreign()),
            found => Ok(found?.source),
        }
    }

    /// Whether a branch was at a commit since it began, as far as that is still known.
    fn is_on(&self, line: &Line, commit: u128) -> Result<bool> {
        let first = line.kin.fork.map(|fork| fork.first);
        let mut next = Some(line.commit);
        while let Some(id) = next {
            if id == commit {
                return Ok(true);
            }
            next = if Some(id) == first { None } else { self.parents(id)?.first().copied() };
        }
        Ok(first == Some(commit))
    }

    /// The parents of a commit; none for one that is not there.
    pub fn parents(&self, id: u128) -> Result<Vec<u128>> {
        match self {
            Home::Stored(home) => branches::parents(home.store(), id),
            Home::Memory(database) => Ok(database.commit(id).map(|db| db.snapshot().parents()).unwrap_or_default()),
        }
    }

    /// What is known of each branch beside its database.
    pub fn lines(&self) -> Result<Vec<(Keyword, Line)>> {
        match self {
            Home::Stored(home) => {
                let line = |head: Head| Line { incarnation: head.incarnation, commit: head.commit, kin: head.kin };
                Ok(branches::heads(home.store())?.into_iter().map(|(name, head)| (name, line(head))).collect())
            }
            Home::Memory(database) => Ok(database.lines()),
        }
    }

    /// How the branches are related, by their incarnations.
    pub fn kin(&self) -> Result<HashMap<u128, Kin>> {
        Ok(self.lines()?.into_iter().map(|(_, line)| (line.incarnation, line.kin)).collect())
    }
}

impl StoredHome {
    pub fn store(&self) -> &Store {
        self.nodes.store()
    }

    pub fn source(&self) -> Arc<dyn NodeSource> {
        Arc::clone(&self.nodes) as _
    }

    /// The branch with what is durable in its log.
    pub fn find(&self, branch: Keyword) -> Result<Found> {
        let kind = |_| Ok(Arc::clone(&self.kind));
        let loaded = commit::load(self.store(), branch, true, &kind, &self.source());
        let loaded =
            loaded.map_err(|error| if error.code() == "db-does-not-exist" { no_branch(branch) } else { error })?;
        Ok(Found { snapshot: loaded.snapshot, merged: loaded.merged, head: loaded.head })
    }

    /// A snapshot that was read as a database of the connection's.
    fn db(&self, mut snapshot: Snapshot) -> Result<Db> {
        snapshot.library = Arc::clone(&self.library);
        let stored = Config::from_edn(&self.provenance.config).map_err(|e| e.context("the stored config"))?;
        snapshot.settings.caps = stored.caps();
        Ok(Db::new(Arc::new(snapshot)))
    }
}

/// The error for a database that is not kept here.
pub(super) fn foreign() -> Error {
    let message = "the database is not of this store, or the commit that it goes back to was collected: take one from a \
                   connection to this store";
    Error::new(ErrorKind::Argument, "branch/foreign-db", message)
}

pub(super) fn no_branch(branch: Keyword) -> Error {
    Error::new(ErrorKind::Existence, "branch-does-not-exist", format!("there is no branch {branch} in the database"))
}
