//! Branches as a store has them: made, replaced, removed, listed; and commits by their ids.

use std::sync::Arc;

use uuid::Uuid;

use super::kin::Kin;
use super::load::{read_commit, read_retained, restore};
use super::nodes::{StoredNodes, WhenStored};
use super::record::{Commit, Head, branch_of_key, head_key};
use super::write::{Provenance, move_head, write_commit};
use crate::db::{Origin, Snapshot};
use crate::edn::{self, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{IndexKind, NodeSource};
use crate::log::{LogPosition, LogReader, LogWriter};
use crate::store::Store;
use crate::world;

/// Where the heads are kept that were replaced or removed.
const GONE: &str = "gone/";

/// The branches of a store.
pub(crate) fn heads(store: &Store) -> Result<Vec<(Keyword, Head)>> {
    let mut heads = Vec::new();
    for key in store.list("head/")? {
        let Some(bytes) = store.get(&key, None)? else { continue };
        let head = Head::decode_at(store.encoding(), bytes, &key)?;
        if !head.is_removed() {
            let name = branch_of_key(&key).ok_or_else(|| {
                Error::new(ErrorKind::Corrupt, "store/corrupt", format!("{key:?} is the key of no branch"))
            })?;
            heads.push((name, head));
        }
    }
    Ok(heads)
}

/// The heads that were replaced or removed, by the ids of these moves.
pub(crate) fn gone(store: &Store) -> Result<Vec<(u128, String)>> {
    let id = |key: &String| u128::from_str_radix(key.strip_prefix(GONE)?, 16).ok();
    Ok(store.list(GONE)?.into_iter().filter_map(|key| Some((id(&key)?, key))).collect())
}

/// The database of a commit.
///
/// # Errors
/// `Existence`, code `:commit-not-found`; `Config` for a commit with indexes of another kind; `Corrupt` for damage.
pub(crate) fn read(store: &Store, id: u128, kind: &dyn IndexKind, nodes: &Arc<dyn NodeSource>) -> Result<Snapshot> {
    check_commit(store, id)?;
    restore(&read_commit(store, id)?, kind, nodes)
}

/// What a commit says beside its database.
///
/// # Errors
/// `Corrupt` for damage, and those of the store.
pub(crate) fn provenance(store: &Store, id: u128) -> Result<Provenance> {
    Provenance::of(&read_commit(store, id)?)
}

/// The parents of a commit; none if it was collected.
///
/// # Errors
/// As [`provenance`].
pub(crate) fn parents(store: &Store, id: u128) -> Result<Vec<u128>> {
    Ok(read_retained(store, id)?.map(|commit| commit.parents).unwrap_or_default())
}

/// Whether the store has a commit.
///
/// # Errors
/// `Existence`, code `:commit-not-found`, if not, and those of the store.
pub(crate) fn check_commit(store: &Store, id: u128) -> Result<()> {
    if store.size(&Commit::key(id))?.is_some() { Ok(()) } else { Err(no_commit(id)) }
}

/// The error for a commit that is not there.
pub(crate) fn no_commit(id: u128) -> Error {
    let message = format!(
        "there is no commit {} here: it was collected as garbage, or it is of another store",
        Uuid::from_u128(id)
    );
    Error::new(ErrorKind::Existence, "commit-not-found", message)
}

/// What a new head begins with.
pub(crate) struct Beginning<'a> {
    pub snapshot: &'a Snapshot,
    pub provenance: &'a Provenance,
    pub parents: Vec<u128>,
    /// The incarnation of the branch that the snapshot is of, if that is known.
    pub source: Option<u128>,
    /// The commit of that branch that the snapshot says more than, if it does.
    pub parted: Option<u128>,
    /// The last transaction of a purge whose traces the packs of the snapshot may hold.
    pub unclean: Option<u64>,
    /// Milliseconds since 1970-01-01T00:00Z.
    pub now: i64,
}

impl Beginning<'_> {
    /// Stores the commit that the branch begins with and gives the head that names it, with a log of its own, which is empty.
    fn store(self, nodes: &StoredNodes) -> Result<(Head, WhenStored)> {
        let Beginning { snapshot, provenance, parents, source, parted, unclean, now } = self;
        let (_, commit, when_stored) = write_commit(nodes, snapshot, provenance, parents, LogPosition::START, now)?;
        let head = Head::new(world::ordered_id());
        let mut kin = Kin::begun(commit.id, source, parted);
        if unclean.is_some() {
            // Kept nodes would keep their packs, and what was purged in them.
            kin.kept.clear();
        }
        Ok((Head { commit: commit.id, closed_at: Some(LogPosition::START), unclean, kin, ..head }, when_stored))
    }
}

/// Makes a branch. Nodes of the snapshot that are stored are shared.
///
/// # Errors
/// `Existence`, code `:branch-already-exists`, and those of the store.
pub(crate) fn begin(nodes: &StoredNodes, branch: Keyword, beginning: Beginning<'_>) -> Result<()> {
    let (store, key) = (nodes.store(), head_key(branch));
    let stands = store.get(&key, None)?;
    let head = stands.clone().map(|bytes| Head::decode(store.encoding(), bytes, branch)).transpose()?;
    if head.is_some_and(|head| !head.is_removed()) {
        return Err(branch_exists(branch));
    }
    let (head, when_stored) = beginning.store(nodes)?;
    if !store.swap(&key, stands.as_deref(), head.encode(store.encoding(), branch)?)? {
        return Err(branch_exists(branch));
    }
    when_stored.into_iter().for_each(|told| told());
    Ok(())
}

/// The error for a name that is taken.
pub(crate) fn branch_exists(branch: Keyword) -> Error {
    let message = format!("there is a branch {branch} already; choose another name, or delete it first");
    Error::new(ErrorKind::Existence, "branch-already-exists", message)
}

/// Puts another beginning in the place of a branch that stands at `head`.
///
/// # Errors
/// `Fenced` when another writer has moved the head meanwhile, and those of the store.
pub(crate) fn replace(nodes: &StoredNodes, branch: Keyword, head: &Head, beginning: Beginning<'_>) -> Result<()> {
    let store = nodes.store();
    let (mut next, when_stored) = beginning.store(nodes)?;
    leave(store, head)?;
    move_head(store, branch, head, &mut next)?;
    when_stored.into_iter().for_each(|told| told());
    Ok(())
}

/// Removes a branch that stands at `head`. Its log and its commits are garbage once they are old enough.
///
/// # Errors
/// As [`replace`].
pub(crate) fn remove(store: &Store, branch: Keyword, head: &Head) -> Result<()> {
    leave(store, head)?;
    if store.capabilities().atomic_swap {
        // Deleting is no compare-and-set: another process may have moved the head, or begun the branch anew.
        return move_head(store, branch, head, &mut head.removed());
    }
    store.delete(&head_key(branch))?;
    store.sync()
}

/// Keeps who writes to the branch elsewhere from another acknowledgement, and its readers from losing what they read
/// before the minimum age is over.
fn leave(store: &Store, head: &Head) -> Result<()> {
    if store.capabilities().atomic_swap {
        let mut log = LogReader::new(store.clone(), head.incarnation, read_commit(store, head.commit)?.log);
        while log.next()?.is_some() {}
        LogWriter::begin(&log, world::random_id())?;
    }
    let key = format!("{GONE}{:032x}", Origin::new_id());
    store.put(&key, head.encode_at(store.encoding(), &key)?)
}

impl Provenance {
    /// What a commit says of it.
    pub(super) fn of(commit: &Commit) -> Result<Provenance> {
        Ok(Provenance {
            config: commit.config.clone(),
            index: Keyword::new(&commit.index),
            index_settings: edn::read(&commit.index_settings).map_err(|e| e.context("stored index settings"))?,
        })
    }
}
