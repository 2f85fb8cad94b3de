//! The one writer of a database: transactions one after the other, made durable in groups.
//!
//! There is no thread of its own. A caller first applies its transaction to the newest database value, under one lock;
//! then it waits for the second, under which whoever comes first writes all that was applied meanwhile as one entry of
//! the log. While that entry is being synced, the next callers apply theirs. The order is durable, then visible, then
//! told.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::listen::{Listeners, Running};
use crate::commit::{self, Head, Moment, Provenance, StoredNodes};
use crate::db::Db;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
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
    clock: Clock,
    /// Whether transactions go to a log.
    pub(super) stored: bool,
    /// Locked after `committed`, where both are.
    pub(super) applied: Mutex<Applied>,
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
}

pub(super) struct Committed {
    /// Absent for a database in memory.
    durable: Option<Durable>,
    /// How many transactions are durable.
    count: u64,
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
            committed: Mutex::new(Committed { durable, count: 0 }),
            broken: RwLock::new(None),
        }
    }

    /// Applies a transaction and waits until it is durable.
    pub fn transact(&self, data: TxData) -> Result<Arc<TxReport>> {
        let (ticket, report) = self.apply(data)?;
        let mut committed = self.committed.lock();
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
        let report = Arc::new(outcome.report);
        applied.db = report.db_after.clone();
        applied.count += 1;
        applied.pending.push(Pending { transaction, report: Arc::clone(&report) });
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
        if let Err(error) = self.flush(committed, applied, false) {
            tracing::error!(%error, "the indexes could not be flushed; the writer stops");
        }
    }

    /// Makes `pending`, the last of `count` transactions, durable and visible, and tells the listeners.
    pub(super) fn settle(&self, committed: &mut Committed, pending: Vec<Pending>, count: u64) -> Result<()> {
        let Some(last) = pending.last() else { return Ok(()) };
        let db = last.report.db_after.clone();
        let reports: Vec<Arc<TxReport>> = pending.iter().map(|p| Arc::clone(&p.report)).collect();
        if let Some(durable) = &mut committed.durable {
            let transactions: Vec<Transaction> = pending.into_iter().filter_map(|p| p.transaction).collect();
            durable.unflushed += transactions.iter().map(|t| t.bytes.len() as u64).sum::<u64>();
            durable.log.append(transactions).inspect_err(|error| self.break_down(error))?;
        }
        committed.count = count;
        *self.current.write() = db;
        self.listeners.tell(&reports);
        Ok(())
    }

    /// Stores the indexes and moves the head, with the writer held still.
    fn flush(&self, committed: &mut Committed, applied: &mut Applied, closing: bool) -> Result<()> {
        let (pending, count) = (std::mem::take(&mut applied.pending), applied.count);
        self.settle(committed, pending, count)?;
        let Some(durable) = &mut committed.durable else { return Ok(()) };
        let end = durable.log.position();
        if durable.flushed_at == end && (!closing || durable.head.closed_at == Some(end)) {
            return Ok(());
        }
        let t = applied.db.basis_t().0;
        let span = tracing::debug_span!("flush", branch = %durable.branch, t, log_bytes = durable.unflushed, closing);
        let _entered = span.enter();
        let moment = Moment { log: end, closed: closing, now: (self.clock)() };
        let (head, provenance) = (&durable.head, &durable.provenance);
        let flushed = commit::flush(&durable.nodes, durable.branch, head, applied.db.snapshot(), provenance, moment);
        match flushed {
            Ok((snapshot, head)) => {
                durable.head = head;
                durable.unflushed = 0;
                durable.flushed_at = end;
                applied.db = Db::new(Arc::new(snapshot));
                *self.current.write() = applied.db.clone();
                Ok(())
            }
            Err(error) => {
                self.break_down(&error);
                Err(error)
            }
        }
    }

    /// Stores the indexes now.
    pub fn flush_now(&self) -> Result<()> {
        let mut committed = self.committed.lock();
        self.check_working()?;
        self.flush(&mut committed, &mut self.applied.lock(), false)
    }

    /// Stores the indexes, marks the log as closed, lets go of the store and refuses all further transactions.
    pub fn close(&self) -> Result<()> {
        let mut committed = self.committed.lock();
        let working = self.broken.read().is_none();
        let flushed = if working { self.flush(&mut committed, &mut self.applied.lock(), true) } else { Ok(()) };
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

    fn break_down(&self, error: &Error) {
        self.broken.write().get_or_insert_with(|| error.to_string());
    }
}

/// Whether the log has grown enough for a flush.
fn is_due(committed: &Committed) -> bool {
    committed.durable.as_ref().is_some_and(|durable| durable.unflushed >= FLUSH_AFTER)
}
