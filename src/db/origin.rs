//! Which commit a database value is, or goes back to.

use std::sync::Arc;

use uuid::Uuid;

use super::{Db, Snapshot};
use crate::datom::EntityId;
use crate::world;

/// The last commit that a snapshot goes back to: all of its nodes that are stored are that commit's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Origin {
    pub id: u128,
    pub parents: Arc<[u128]>,
    /// The last transaction of the commit.
    pub basis_t: EntityId,
}

impl Origin {
    pub fn new(id: u128, parents: impl Into<Arc<[u128]>>, basis_t: EntityId) -> Origin {
        Origin { id, parents: parents.into(), basis_t }
    }

    /// The id of a commit that is made now; it tells its age.
    pub fn new_id() -> u128 {
        world::ordered_id()
    }
}

impl Snapshot {
    /// The same snapshot as a commit.
    pub fn named(&self, origin: Origin) -> Snapshot {
        Snapshot { origin: Some(origin), ..self.clone() }
    }

    /// The commit that the snapshot is.
    pub fn commit(&self) -> Option<&Origin> {
        self.origin.as_ref().filter(|origin| origin.basis_t == self.basis_t)
    }

    /// The commit that the snapshot goes back to and says more than; `None` for one that is a commit.
    pub fn parted(&self) -> Option<u128> {
        self.origin.as_ref().filter(|_| self.commit().is_none()).map(|origin| origin.id)
    }

    /// The parents of the commit that the snapshot is.
    pub fn parents(&self) -> Vec<u128> {
        self.commit().map(|origin| origin.parents.to_vec()).unwrap_or_default()
    }
}

impl Db {
    /// The id of the commit that this database is: its name for ever. `None` for a database with transactions that were
    /// made since the last commit ([`Connection::commit`](crate::Connection::commit) makes one), for one that was never
    /// committed, such as what [`with`](crate::with) gives, and for views and filters.
    pub fn commit_id(&self) -> Option<Uuid> {
        let commit = if self.is_current() { self.snapshot().commit() } else { None };
        commit.map(|commit| Uuid::from_u128(commit.id))
    }

    /// The ids of the commits that the commit of this database follows, the one of its own branch first: one for most,
    /// several for a merge, none for the first and where [`commit_id`](Self::commit_id) is `None`.
    pub fn parent_commit_ids(&self) -> Vec<Uuid> {
        let parents = if self.is_current() { self.snapshot().parents() } else { Vec::new() };
        parents.into_iter().map(Uuid::from_u128).collect()
    }
}
