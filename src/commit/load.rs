//! Reading: from the head of a branch to the database that its log leads to.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::record::{Commit, Head, Purges, head_key};
use super::write::Provenance;
use crate::datom::{EntityId, Order};
use crate::db::{KeptPieces, Snapshot};
use crate::edn::{self, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Index, IndexKind, NodeSource};
use crate::log::{LogPosition, LogReader, Tail};
use crate::schema::Schema;
use crate::store::Store;
use crate::transact::{Merge, TxRecord};

/// A database as it was found.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub snapshot: Snapshot,
    pub head: Head,
    pub provenance: Provenance,
    /// The end of the log at the commit.
    pub flushed_at: LogPosition,
    /// Stands after the last entry of the log.
    pub log: LogReader,
    /// Bytes of transactions that were replayed from the log.
    pub replayed: u64,
    /// Whether something unacknowledged was dropped from the end of the log.
    pub tail: Tail,
    /// What was purged and may still stand in the log.
    pub purges: Option<Purges>,
    /// What was merged by the transactions that were replayed.
    pub merged: Vec<Merge>,
    /// The kind of the indexes.
    pub kind: Arc<dyn IndexKind>,
}

impl Loaded {
    /// Takes in what the log has gained since.
    ///
    /// # Errors
    /// As [`replay`].
    pub fn read_on(&mut self) -> Result<()> {
        let Replayed { bytes, purges, merged } = replay(&mut self.snapshot, &mut self.log)?;
        self.replayed += bytes;
        self.purges = self.purges.take().into_iter().chain(purges).reduce(Purges::and);
        self.merged.extend(merged);
        Ok(())
    }
}

/// Opens the database of a branch: its last commit, and the log after it. A reader may have a writer beside it.
///
/// # Errors
/// `Existence` when there is no such branch, `Corrupt` for damage, `Config` for an index kind that is not registered or
/// a format that is too new.
pub(crate) fn load(
    store: &Store,
    branch: Keyword,
    reader: bool,
    kind_of: &dyn Fn(Keyword) -> Result<Arc<dyn IndexKind>>,
    nodes: &Arc<dyn NodeSource>,
) -> Result<Loaded> {
    for _ in 0..MOST_LOADS {
        let head = read_head(store, branch)?;
        let loaded = load_from(store, head.clone(), reader, kind_of, nodes);
        // Beside a writer, what the head named may be gone before it was read.
        let end = loaded.as_ref().map_or(0, |loaded| loaded.log.position().seq);
        let is_closed = loaded.as_ref().is_ok_and(|loaded| loaded.log.is_closed_at(head.closed_at));
        if !reader || is_closed || !is_overtaken(store, branch, &head, end)? {
            return loaded;
        }
    }
    load_from(store, read_head(store, branch)?, reader, kind_of, nodes)
}

/// How often a reader begins anew because a writer has purged or collected what it was about to read.
const MOST_LOADS: usize = 8;

/// Reads the head of a branch.
///
/// # Errors
/// `Existence` when there is no such branch.
pub(crate) fn read_head(store: &Store, branch: Keyword) -> Result<Head> {
    let bytes = store.get(&head_key(branch), None)?.ok_or_else(|| no_branch(branch))?;
    let head = Head::decode(store.encoding(), bytes, branch)?;
    if head.is_removed() { Err(no_branch(branch)) } else { Ok(head) }
}

fn no_branch(branch: Keyword) -> Error {
    let message = format!("the store holds no database with a branch {branch}; create it first");
    Error::new(ErrorKind::Existence, "db-does-not-exist", message)
}

/// Whether a reader who began at a head and came to entry `seq` cannot go on in the log: the branch is another one by now, or it
/// has a commit that lies after that entry, and the log before a commit may have been rewritten or collected.
fn is_overtaken(store: &Store, branch: Keyword, began: &Head, seq: u64) -> Result<bool> {
    let head = read_head(store, branch)?;
    if head.incarnation != began.incarnation {
        return Ok(true);
    }
    Ok(head.commit != began.commit && read_commit(store, head.commit)?.log.seq > seq)
}

fn load_from(
    store: &Store,
    head: Head,
    reader: bool,
    kind_of: &dyn Fn(Keyword) -> Result<Arc<dyn IndexKind>>,
    nodes: &Arc<dyn NodeSource>,
) -> Result<Loaded> {
    let commit = read_commit(store, head.commit)?;
    let provenance = Provenance::of(&commit)?;
    let kind = kind_of(provenance.index)?;
    let mut snapshot = restore(&commit, kind.as_ref(), nodes)?;
    let mut log = if reader {
        let closed = head.closed_at.map_or(0, |end| end.seq);
        LogReader::beside_writer(store.clone(), head.incarnation, commit.log, closed)
    } else {
        LogReader::new(store.clone(), head.incarnation, commit.log)
    };
    log.check_start()?;
    let Replayed { bytes: replayed, purges, merged } = replay(&mut snapshot, &mut log)?;
    let tail = log.tail()?;
    if let Some(end) = head.closed_at
        && log.position().seq < end.seq
    {
        let message = format!(
            "the log ends at entry {}, but the database was closed at entry {}: part of the log is missing",
            log.position().seq,
            end.seq
        );
        return Err(Error::new(ErrorKind::Corrupt, "log/corrupt", message));
    }
    Ok(Loaded { snapshot, head, provenance, flushed_at: commit.log, log, replayed, tail, purges, merged, kind })
}

/// Reads a commit.
///
/// # Errors
/// `Corrupt` when it is not there or damaged.
pub(crate) fn read_commit(store: &Store, id: u128) -> Result<Commit> {
    let key = Commit::key(id);
    let bytes = store.get(&key, None)?.ok_or_else(|| {
        let message = format!("the head names the commit {key:?}, which is not in the store");
        Error::new(ErrorKind::Corrupt, "branch-head-does-not-exist-in-store", message)
    })?;
    Commit::decode(store.encoding(), &bytes, id)
}

/// A commit, unless it was collected before.
pub(super) fn read_retained(store: &Store, id: u128) -> Result<Option<Commit>> {
    match read_commit(store, id) {
        Ok(commit) => Ok(Some(commit)),
        Err(_) if store.get(&Commit::key(id), None)?.is_none() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The database of a commit.
///
/// # Errors
/// `Corrupt` for roots that no flush wrote, `Config` for settings that are not usable.
pub(crate) fn restore(commit: &Commit, kind: &dyn IndexKind, nodes: &Arc<dyn NodeSource>) -> Result<Snapshot> {
    let settings = edn::read(&commit.index_settings).map_err(|e| e.context("stored index settings"))?;
    let open = |order: Order| -> Result<Arc<dyn Index>> {
        let root = &commit.roots[order as usize];
        kind.open(order, root, &settings, Arc::clone(nodes))
    };
    let [eavt, aevt, avet, history_eavt, history_aevt, history_avet] = Order::ALL;
    Ok(Snapshot {
        settings: commit.settings,
        schema: Arc::new(Schema::restored(
            commit.settings.flexibility,
            commit.settings.attribute_refs,
            commit.attributes.clone(),
        )),
        basis_t: EntityId(commit.basis_t),
        max_eid: EntityId(commit.max_eid),
        last_instant: commit.last_instant,
        queries: Arc::default(),
        promises: Arc::default(),
        answers: None,
        pieces: Arc::new(KeptPieces::within(KeptPieces::DEFAULT_BYTES, EntityId(commit.basis_t))),
        indexes: [open(eavt)?, open(aevt)?, open(avet)?, open(history_eavt)?, open(history_aevt)?, open(history_avet)?],
        library: Arc::default(),
        origin: Some(commit.origin()),
    })
}

/// What the end of the log added.
pub(crate) struct Replayed {
    /// Bytes of transactions.
    pub bytes: u64,
    /// What they purged.
    pub purges: Option<Purges>,
    /// The commits that they merged.
    pub merged: Vec<Merge>,
}

/// Brings a snapshot up to the end of the log.
///
/// # Errors
/// `Corrupt` for damage, and those of reading nodes; snapshot and log then stand after the same entry, and the same call
/// goes on from there.
pub(crate) fn replay(snapshot: &mut Snapshot, log: &mut LogReader) -> Result<Replayed> {
    let span = tracing::debug_span!("replay", bytes = tracing::field::Empty, t = tracing::field::Empty);
    let _entered = span.enter();
    let (mut bytes, mut purged, mut merged) = (0, BTreeSet::new(), Vec::new());
    loop {
        let position = log.position();
        let Some(entry) = log.next()? else {
            span.record("bytes", bytes).record("t", snapshot.basis_t.0);
            return Ok(Replayed { bytes, purges: Purges::of(purged), merged });
        };
        if entry.rewritten {
            log.back_to(position);
            let message = format!(
                "entry {} of the log was rewritten by a purge and cannot be replayed; the database is to be read from the \
                 commit after it",
                entry.seq
            );
            return Err(Error::new(ErrorKind::Corrupt, "log/rewritten", message));
        }
        let after = entry.transactions.iter().try_fold(snapshot.clone(), |before, transaction| {
            bytes += transaction.bytes.len() as u64;
            let record = TxRecord::decode(&transaction.bytes)?;
            purged.extend(record.purged().into_iter().flat_map(|purged| purged.entities.iter().copied()));
            merged.extend(record.merged());
            record.replay(&before)
        });
        *snapshot = after.inspect_err(|_| log.back_to(position))?;
    }
}
