//! Reading: from the head of a branch to the database that its log leads to.

use std::sync::Arc;

use super::record::{Commit, Head, head_key};
use super::write::Provenance;
use crate::datom::{EntityId, Order};
use crate::db::Snapshot;
use crate::edn::{self, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Index, IndexKind, NodeSource};
use crate::log::{LogPosition, LogReader, Tail};
use crate::schema::Schema;
use crate::store::Store;
use crate::transact::TxRecord;

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
    let bytes = store.get(&head_key(branch), None)?.ok_or_else(|| {
        let message = format!("the store holds no database with a branch {branch}; create it first");
        Error::new(ErrorKind::Existence, "db-does-not-exist", message)
    })?;
    let head = Head::decode(&bytes, branch)?;
    let commit = read_commit(store, head.commit)?;
    let index = Keyword::new(&commit.index);
    let kind = kind_of(index)?;
    let provenance = Provenance {
        config: commit.config.clone(),
        index,
        index_settings: edn::read(&commit.index_settings).map_err(|e| e.context("stored index settings"))?,
    };
    let mut snapshot = restore(&commit, kind.as_ref(), &provenance, nodes)?;
    let mut log = if reader {
        let closed = head.closed_at.map_or(0, |end| end.seq);
        LogReader::beside_writer(store.clone(), head.incarnation, commit.log, closed)
    } else {
        LogReader::new(store.clone(), head.incarnation, commit.log)
    };
    log.check_start()?;
    let replayed = replay(&mut snapshot, &mut log)?;
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
    Ok(Loaded { snapshot, head, provenance, flushed_at: commit.log, log, replayed, tail })
}

fn read_commit(store: &Store, id: u128) -> Result<Commit> {
    let key = Commit::key(id);
    let bytes = store.get(&key, None)?.ok_or_else(|| {
        let message = format!("the head names the commit {key:?}, which is not in the store");
        Error::new(ErrorKind::Corrupt, "branch-head-does-not-exist-in-store", message)
    })?;
    Commit::decode(&bytes, id)
}

fn restore(
    commit: &Commit,
    kind: &dyn IndexKind,
    provenance: &Provenance,
    nodes: &Arc<dyn NodeSource>,
) -> Result<Snapshot> {
    let open = |order: Order| -> Result<Arc<dyn Index>> {
        let root = &commit.roots[order as usize];
        kind.open(order, root, &provenance.index_settings, Arc::clone(nodes))
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
        indexes: [open(eavt)?, open(aevt)?, open(avet)?, open(history_eavt)?, open(history_aevt)?, open(history_avet)?],
        library: Arc::default(),
    })
}

/// Brings a snapshot up to the end of the log; how many bytes of transactions that were.
///
/// # Errors
/// `Corrupt` for damage, and those of reading nodes; snapshot and log then stand after the same entry, and the same call
/// goes on from there.
pub(crate) fn replay(snapshot: &mut Snapshot, log: &mut LogReader) -> Result<u64> {
    let span = tracing::debug_span!("replay", bytes = tracing::field::Empty, t = tracing::field::Empty);
    let _entered = span.enter();
    let mut bytes = 0;
    loop {
        let position = log.position();
        let Some(entry) = log.next()? else {
            span.record("bytes", bytes).record("t", snapshot.basis_t.0);
            return Ok(bytes);
        };
        let after = entry.transactions.iter().try_fold(snapshot.clone(), |before, transaction| {
            bytes += transaction.bytes.len() as u64;
            TxRecord::decode(&transaction.bytes)?.replay(&before)
        });
        *snapshot = after.inspect_err(|_| log.back_to(position))?;
    }
}
