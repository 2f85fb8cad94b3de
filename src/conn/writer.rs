//! The one writer of a database: transactions one after the other, made durable in groups.
//!
//! There is no thread of its own. A caller first applies its transaction to the newest database value, under one lock;
//! then it waits for the second, under which whoever comes first writes all that was applied meanwhile as one entry of
//! the log. While that entry is being synced, the next callers apply theirs. The order is durable, then visible, then
//! told.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::listen::{Listeners, Running};
use crate::commit::{self, Head, Moment, Provenance, Purges, StoredNodes};
use crate::db::Db;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Address, IndexKind};
use crate::log::{LogPosition, LogWriter, Transaction};
use crate::transact::{TxData, TxReport, transact};

/// Tells the time: milliseconds since 1970-01-01T00:00Z.
pub(super) type Clock = fn() -> i64;

/// Bytes of log after which the indexes are flushed: what an open after a crash has to replay at most, roughly.
const FLUSH_AFTER: u64 = 16 << 20;

/// Where the state of a writer is kept that outlives the process.
#[derive(Debug)]
pub(super) struct Durable {
    pub nodes: Arc<StoredNodes>,
    pub branch: Keyword,
    pub head: Head,
    pub log: LogWriter,
    pub provenance: Provenance,
    /// Bytes of log since the last flush.
    pub unflushed: u64,
    /// The end of the log at the last flush.
    pub flushed_at: LogPosition,
    /// What was purged since the last flush.
    pub purges: Option<Purges>,
    /// The kind of the indexes.
    pub kind: Arc<dyn IndexKind>,
}

/// Databases that are still held read on from the store; the next writer need not wait for them.
impl Drop for Durable {
    fn drop(&mut self) {
        self.nodes.store().give_up_writing();
    }
}

pub(super) struct Writer {
    /// The database that readers see: durable.
    current: Arc<RwLock<Db>>,
    listeners: Arc<Listeners>,
    pub(super) clock: Clock,
    /// Whether transactions go to a log.
    pub(super) stored: bool,
    /// Locked after `committed`, where both are.
    pub(super) applied: Mutex<Applied>,
    /// Held while garbage is collected, before any other lock.
    pub(super) collecting: Mutex<()>,
    pub(super) committed: Mutex<Committed>,
    /// Why nothing more can be written.
    broken: RwLock<Option<String>>,
}

/// Transactions that were applied and are not durable yet.
pub(super) struct Applied {
    /// The newest database, after all of them.
    pub db: Db,
    pub count: u64,
    pub pending: Vec<Pending>,
}

pub(super) struct Pending {
    /// Absent where nothing is stored.
    pub transaction: Option<Transaction>,
    pub report: Arc<TxReport>,
    pub purges: Option<Purges>,
}

pub(super) struct Committed {
    /// Absent for a database in memory.
    pub durable: Option<Durable>,
    /// How many transactions are durable.
    count: u64,
}

/// What a flush does beside storing what is new.
#[derive(Clone, Copy, Default)]
pub(super) struct How<'a> {
    /// The log is not written to any more.
    pub closing: bool,
    /// The log goes on in a new segment.
    pub sealing: bool,
    /// The nodes at these addresses are stored elsewhere.
    pub moved: Option<&'a dyn Fn(Address) -> bool>,
}

impl Writer {
    pub fn new(current: Arc<RwLock<Db>>, listeners: Arc<Listeners>, clock: Clock, durable: Option<Durable>) -> Writer {
        let db = current.read().clone();
        Writer {
            current,
            listeners,
            clock,
            stored: durable.is_some(),
            applied: Mutex::new(Applied { db, count: 0, pending: Vec::new() }),
            collecting: Mutex::new(()),
            committed: Mutex::new(Committed { durable, count: 0 }),
            broken: RwLock::new(None),
        }
    }

    /// Applies a transaction and waits until it is durable.
    pub fn transact(&self, data: TxData) -> Result<Arc<TxReport>> {
        // Where nothing waits for a disk, two locks would only be handed round.
        let held = (!self.stored).then(|| self.committed.lock());
        let (ticket, report) = self.apply(data)?;
        let mut committed = held.unwrap_or_else(|| self.committed.lock());
        if committed.count < ticket {
            self.commit(&mut committed)?;
        }
        Ok(report)
    }

    fn apply(&self, data: TxData) -> Result<(u64, Arc<TxReport>)> {
        self.check_working()?;
        let mut applied = self.applied.lock();
        let outcome = {
            let _running = Running::Function.begin();
            transact(&applied.db, data, (self.clock)())?
        };
        let transaction = if self.stored {
            Some(Transaction { t: outcome.report.db_after.basis_t().0, bytes: outcome.record().encode()? })
        } else {
            None
        };
        let purges = Purges::of(outcome.purged.into_iter().flat_map(|purged| purged.entities));
        let report = Arc::new(outcome.report);
        applied.db = report.db_after.clone();
        applied.count += 1;
        applied.pending.push(Pending { transaction, report: Arc::clone(&report), purges });
        Ok((applied.count, report))
    }

    /// Settles all that is applied, and flushes when the log has grown enough.
    fn commit(&self, committed: &mut Committed) -> Result<()> {
        self.check_working()?;
        let (pending, count) = {
            let mut applied = self.applied.lock();
            (std::mem::take(&mut applied.pending), applied.count)
        };
        self.settle(committed, pending, count)?;
        if is_due(committed) {
            self.flush_if_due(committed, &mut self.applied.lock());
        }
        Ok(())
    }

    /// Flushes when the log has grown enough. The transactions are durable whatever becomes of it; the next one will
    /// hear of a failure.
    pub(super) fn flush_if_due(&self, committed: &mut Committed, applied: &mut Applied) {
        if !is_due(committed) {
            return;
        }
        if let Err(error) = self.flush(committed, applied, How::default()) {
            tracing::error!(%error, "the indexes could not be flushed; the writer stops");
        }
    }

    /// Makes `pending`, the last of `count` transactions, durable and visible, and tells the listeners.
    pub(super) fn settle(&self, committed: &mut Committed, pending: Vec<Pending>, count: u64) -> Result<()> {
        let Some(last) = pending.last() else { return Ok(()) };
        let db = last.report.db_after.clone();
        let reports: Vec<Arc<TxReport>> = pending.iter().map(|p| Arc::clone(&p.report)).collect();
        if let Some(durable) = &mut committed.durable {
            let purges: Vec<Purges> = pending.iter().filter_map(|p| p.purges.clone()).collect();
            let transactions: Vec<Transaction> = pending.into_iter().filter_map(|p| p.transaction).collect();
            durable.unflushed += transactions.iter().map(|t| t.bytes.len() as u64).sum::<u64>();
            durable.log.append(transactions).inspect_err(|error| self.break_down(error))?;
            durable.purges = durable.purges.take().into_iter().chain(purges).reduce(Purges::and);
        }
        committed.count = count;
        *self.current.write() = db;
        self.listeners.tell(&reports);
        Ok(())
    }

    /// Stores the indexes and moves the head, with the writer held still.
    pub(super) fn flush(&self, committed: &mut Committed, applied: &mut Applied, how: How<'_>) -> Result<()> {
        let (pending, count) = (std::mem::take(&mut applied.pending), applied.count);
        self.settle(committed, pending, count)?;
        let Some(durable) = &mut committed.durable else { return Ok(()) };
        let How { closing, sealing, moved } = how;
        let purges = durable.purges.clone();
        // What is rewritten or collected must not be written to.
        let seals = sealing || purges.is_some() || durable.head.purges.is_some();
        let end = if seals { durable.log.seal() } else { durable.log.position() };
        let is_flushed = durable.flushed_at == end && purges.is_none() && moved.is_none();
        if is_flushed && (!closing || durable.head.closed_at == Some(end)) {
            return self.scrub(durable, &applied.db);
        }
        if let Some(moved) = moved {
            let snapshot = applied.db.snapshot().detach(moved)?;
            applied.db = Db::new(Arc::new(snapshot));
        }
        let t = applied.db.basis_t().0;
        let span = tracing::debug_span!("flush", branch = %durable.branch, t, log_bytes = durable.unflushed, closing);
        let _entered = span.enter();
        let moment = Moment { log: end, closed: closing, now: (self.clock)(), purges };
        let (head, provenance) = (&durable.head, &durable.provenance);
        let flushed = commit::flush(&durable.nodes, durable.branch, head, applied.db.snapshot(), provenance, moment);
        match flushed {
            Ok((snapshot, head)) => {
                durable.head = head;
                durable.unflushed = 0;
                durable.flushed_at = end;
                durable.purges = None;
                applied.db = Db::new(Arc::new(snapshot));
                *self.current.write() = applied.db.clone();
                self.scrub(durable, &applied.db)
            }
            Err(error) => {
                self.break_down(&error);
                Err(error)
            }
        }
    }

    /// Takes out of the log what was purged by the last commit, if that is still to do.
    fn scrub(&self, durable: &mut Durable, db: &Db) -> Result<()> {
        let Some(purges) = &durable.head.purges else { return Ok(()) };
        let store = durable.nodes.store();
        let scrubbed = commit::scrub(store, &durable.head, purges, db.snapshot(), durable.flushed_at.seq);
        let head = Head { purges: None, ..durable.head.clone() };
        let done = scrubbed.and_then(|()| commit::move_head(store, durable.branch, &durable.head, &head));
        done.inspect_err(|error| self.break_down(error))?;
        durable.head = head;
        Ok(())
    }

    /// Ends the purges that a crash has interrupted.
    pub fn resume(&self) -> Result<()> {
        let mut committed = self.committed.lock();
        match &committed.durable {
            Some(durable) if durable.purges.is_some() || durable.head.purges.is_some() => {
                self.flush(&mut committed, &mut self.applied.lock(), How::default())
            }
            _ => Ok(()),
        }
    }

    /// Stores the indexes now.
    pub fn flush_now(&self) -> Result<()> {
        let mut committed = self.committed.lock();
        self.check_working()?;
        self.flush(&mut committed, &mut self.applied.lock(), How::default())
    }

    /// Stores the indexes, marks the log as closed, lets go of the store and refuses all further transactions.
    pub fn close(&self) -> Result<()> {
        let mut committed = self.committed.lock();
        let working = self.broken.read().is_none();
        let how = How { closing: true, ..How::default() };
        let flushed = if working { self.flush(&mut committed, &mut self.applied.lock(), how) } else { Ok(()) };
        self.broken.write().get_or_insert_with(|| "the connection has been released".to_owned());
        committed.durable = None;
        flushed
    }

    pub(super) fn check_working(&self) -> Result<()> {
        match &*self.broken.read() {
            None => Ok(()),
            Some(why) => {
                let message = format!("the writer has stopped ({why}); release the connection and connect again");
                Err(Error::new(ErrorKind::Closed, "writer-shut-down", message))
            }
        }
    }

    pub(super) fn break_down(&self, error: &Error) {
        self.broken.write().get_or_insert_with(|| error.to_string());
    }
}

/// Whether the log has grown enough for a flush.
fn is_due(committed: &Committed) -> bool {
    committed.durable.as_ref().is_some_and(|durable| durable.unflushed >= FLUSH_AFTER || durable.purges.is_some())
}
