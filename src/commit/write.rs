//! Writing: a new database, a flush, and taking over as the writer.

use std::sync::Arc;

use super::FORMAT;
use super::branches::heads;
use super::nodes::{Packs, StoredNodes, WhenStored};
use super::record::{Commit, Head, Purges, head_key};
use crate::datom::EntityId;
use crate::db::{Origin, Snapshot};
use crate::edn::{Form, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{LogPosition, LogReader, LogWriter, Transaction};
use crate::store::Store;
use crate::transact::Merge;
use crate::world;

/// What a commit says beside the snapshot itself.
#[derive(Debug, Clone)]
pub(crate) struct Provenance {
    pub config: String,
    pub index: Keyword,
    pub index_settings: Form,
}

/// Stores a new database with one branch; `initial` is the transaction that `snapshot` holds, if it does. The head goes last, so that a database exists whole or not at all.
///
/// # Errors
/// `Existence`, code `:db-already-exists`, and those of the store.
pub(crate) fn create(
    nodes: &StoredNodes,
    branch: Keyword,
    snapshot: &Snapshot,
    initial: Option<Transaction>,
    provenance: &Provenance,
    now: i64,
) -> Result<()> {
    let store = nodes.store();
    // Databases of one store would not have the same ids and attributes.
    if !heads(store)?.is_empty() {
        return Err(exists());
    }
    let stands = store.get(&head_key(branch), None)?;
    // Tells its age, should a loss of power leave a log without a head.
    let incarnation = world::ordered_id();
    let mut end = LogPosition::START;
    if let Some(initial) = initial {
        let start = LogReader::new(store.clone(), incarnation, LogPosition::START);
        let mut log = LogWriter::begin(&start, 0)?;
        log.append(vec![initial])?;
        end = log.position();
    }
    let (_, commit, _) = write_commit(nodes, snapshot, provenance, Vec::new(), end, now)?;
    let head = Head { commit: commit.id, closed_at: Some(end), ..Head::new(incarnation) };
    let head = head.encode(store.encoding(), branch)?;
    if store.swap(&head_key(branch), stands.as_deref(), head)? { Ok(()) } else { Err(exists()) }
}

fn exists() -> Error {
    let message = "the database exists already; delete it first, or connect to it";
    Error::new(ErrorKind::Existence, "db-already-exists", message)
}

/// Writes the nodes of `snapshot` that have no address and the commit record. Returns the snapshot with all nodes
/// addressed, the record, and what is to be called once a head names that.
///
/// # Errors
/// Those of the store.
pub(crate) fn write_commit(
    nodes: &StoredNodes,
    snapshot: &Snapshot,
    provenance: &Provenance,
    parents: Vec<u128>,
    log: LogPosition,
    now: i64,
) -> Result<(Snapshot, Commit, WhenStored)> {
    let mut flushed = snapshot.clone();
    let mut roots: [Vec<u8>; 6] = Default::default();
    let mut packs = Packs::new(nodes);
    for (index, root) in flushed.indexes.iter_mut().zip(&mut roots) {
        let (clean, bytes) = index.flush(&mut packs)?;
        *index = clean;
        *root = bytes;
    }
    let when_stored = packs.finish()?;
    let stored = |attribute: &&Arc<crate::schema::Attribute>| !attribute.is_builtin();
    let commit = Commit {
        id: Origin::new_id(),
        parents: distinct(parents),
        created_at: now,
        settings: snapshot.settings,
        config: provenance.config.clone(),
        index: provenance.index.as_str().to_owned(),
        index_settings: provenance.index_settings.to_string(),
        roots,
        basis_t: snapshot.basis_t.0,
        max_eid: snapshot.max_eid.0,
        last_instant: snapshot.last_instant,
        attributes: snapshot.schema.attributes().into_iter().filter(stored).map(|a| (**a).clone()).collect(),
        log,
    };
    nodes.store().put(&Commit::key(commit.id), commit.encode(nodes.store().encoding())?)?;
    flushed.origin = Some(commit.origin());
    Ok((flushed, commit, when_stored))
}

/// The ids, each once, as they first come.
fn distinct(ids: Vec<u128>) -> Vec<u128> {
    let mut seen = Vec::with_capacity(ids.len());
    ids.into_iter().for_each(|id| {
        if !seen.contains(&id) {
            seen.push(id);
        }
    });
    seen
}

impl Commit {
    /// What a snapshot knows of the commit that it is.
    pub(super) fn origin(&self) -> Origin {
        Origin::new(self.id, self.parents.as_slice(), EntityId(self.basis_t))
    }
}

/// When a flush happens.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    /// Where the log goes on after it.
    pub log: LogPosition,
    /// Whether the log ends there for good, as far as this writer is concerned.
    pub closed: bool,
    /// Milliseconds since 1970-01-01T00:00Z.
    pub now: i64,
    /// What was purged since the last flush.
    pub purges: Option<Purges>,
    /// What was merged since the last flush.
    pub merged: Vec<Merge>,
}

/// Stores `snapshot`, whose last transaction is durable in the log, and moves the head of `branch` from `head` to it.
/// Returns the snapshot with all nodes addressed, and the new head.
///
/// # Errors
/// `Fenced` when the head belongs to another writer by now, and those of the store.
pub(crate) fn flush(
    nodes: &StoredNodes,
    branch: Keyword,
    head: &Head,
    snapshot: &Snapshot,
    provenance: &Provenance,
    Moment { log, closed, now, purges, merged }: Moment,
) -> Result<(Snapshot, Head)> {
    let parents = std::iter::once(head.commit).chain(merged.iter().map(|merge| merge.commit)).collect();
    let (flushed, commit, when_stored) = write_commit(nodes, snapshot, provenance, parents, log, now)?;
    let unclean = if purges.is_some() { Some(snapshot.basis_t.0) } else { head.unclean };
    let mut kin = head.kin.clone().merged(&merged);
    if purges.is_some() {
        // What is kept for later merges may say what was purged.
        kin.kept.clear();
    }
    let purges = match (head.purges.clone(), purges) {
        (Some(x), Some(y)) => Some(x.and(y)),
        (x, y) => x.or(y),
    };
    let closed_at = closed.then_some(log);
    let mut moved = Head { commit: commit.id, closed_at, purges, unclean, kin, format: FORMAT, ..head.clone() };
    move_head(nodes.store(), branch, head, &mut moved)?;
    when_stored.into_iter().for_each(|told| told());
    Ok((flushed, moved))
}

/// Makes `session` the one that may move the head. Where `swap` is not atomic between processes the backend itself keeps
/// a second writer out, and the head stays as it is.
///
/// # Errors
/// As [`flush`].
pub(crate) fn take_over(store: &Store, branch: Keyword, head: &Head, session: u128) -> Result<Head> {
    if !store.capabilities().atomic_swap {
        return Ok(head.clone());
    }
    let mut taken = Head { session, closed_at: None, ..head.clone() };
    move_head(store, branch, head, &mut taken)?;
    Ok(taken)
}

/// Puts `to` in the place of the head `from`, which was read or put there.
///
/// # Errors
/// As [`flush`].
pub(crate) fn move_head(store: &Store, branch: Keyword, from: &Head, to: &mut Head) -> Result<()> {
    let key = head_key(branch);
    to.stored = to.encode(store.encoding(), branch)?;
    if store.swap(&key, Some(&from.stored), to.stored.clone())? {
        return Ok(());
    }
    // The reply to an earlier try may have been lost.
    if let Some(bytes) = store.get(&key, None)? {
        let stands = Head::decode(store.encoding(), bytes, branch)?;
        let bytes = std::mem::replace(&mut to.stored, stands.stored.clone());
        if stands == *to {
            return Ok(());
        }
        to.stored = bytes;
    }
    let message = "another writer has moved the head of the branch since; connect again to go on";
    Err(Error::new(ErrorKind::Fenced, "writer/fenced", message))
}
