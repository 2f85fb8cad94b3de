//! The one writer of a database: transactions one after the other, made durable in groups.
//!
//! There is no thread of its own: callers take turns, see [`queue`](super::queue). One of them applies the transactions of
//! all who wait to the newest database value; one writes all that was applied meanwhile as one entry of the log. While
//! that entry is being synced, the next transactions are applied. The order is durable, then visible, then told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::RwLock;

use super::flush::{Flushing, How};
use super::listen::{Listeners, Running};
use super::queue::{Queue, Ticket, Turn};
use crate::commit::{Head, Provenance, Purges, StoredNodes};
use crate::db::Db;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::index::IndexKind;
use crate::log::{LogPosition, LogWriter, Transaction};
use crate::registry::Lease;
use crate::transact::{Merge, TxData, TxReport, transact};
use crate::world::{self, Mutex};

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
    /// Bytes of log after which the indexes are flushed.
    pub flush_after: u64,
    /// The flush that is under way, or was and is not taken in yet.
    pub flushing: Option<Flushing>,
    /// The end of the log at the last flush.
    pub flushed_at: LogPosition,
    /// What was purged since the last flush.
    pub purges: Option<Purges>,
    /// What was merged since the last flush.
    pub merged: Vec<Merge>,
    /// The kind of the indexes.
    pub kind: Arc<dyn IndexKind>,
    /// The right to write to the store.
    pub lease: Lease,
}

/// The right to write is given up when nothing is written any more.
impl Drop for Durable {
    fn drop(&mut self) {
        if let Some(flushing) = &self.flushing {
            flushing.wait();
        }
    }
}

pub(super) struct Writer {
    /// The database that readers see: durable.
    pub(super) current: Arc<RwLock<Db>>,
    listeners: Arc<Listeners>,
    /// Whether transactions go to a log.
    pub(super) stored: bool,
    queue: Queue,
    /// Locked after `committed`, where both are.
    pub(super) applied: Mutex<Applied>,
    pub(super) committed: Mutex<Committed>,
    /// Why nothing more can be written.
    broken: RwLock<Option<String>>,
}

/// The database after all transactions that were applied, durable or not yet.
pub(super) struct Applied {
    pub db: Db,
}

/// A transaction that was applied and is not durable yet.
pub(super) struct Pending {
    /// Absent where nothing is stored.
    pub transaction: Option<Transaction>,
    pub report: Arc<TxReport>,
    pub purges: Option<Purges>,
    /// What it merges.
    pub merged: Vec<Merge>,
}

pub(super) struct Committed {
    /// Absent for a database in memory.
    pub durable: Option<Durable>,
}

impl Writer {
    pub fn new(current: Arc<RwLock<Db>>, listeners: Arc<Listeners>, durable: Option<Durable>) -> Writer {
        let db = current.read().clone();
        Writer {
            current,
            listeners,
            stored: durable.is_some(),
            queue: Queue::default(),
            applied: Mutex::new(Applied { db }),
            committed: Mutex::new(Committed { durable }),
            broken: RwLock::new(None),
        }
    }

    /// Applies a transaction and waits until it is durable.
    ///
    /// # Panics
    /// With the panic of a user's function in the transaction, which is not made then.
    pub fn transact(&self, data: TxData) -> Result<Arc<TxReport>> {
        let ticket = Ticket::new(data);
        self.queue.join(&ticket);
        loop {
            match ticket.wait() {
                Ok(Turn::Apply) => self.apply(&ticket),
                Ok(Turn::Commit) => self.commit(),
                Err(outcome) => return outcome,
            }
        }
    }

    /// Applies all transactions that wait, at the turn of the caller with ticket `own`.
    fn apply(&self, own: &Arc<Ticket>) {
        let _turn = self.queue.applying(own);
        let mut applied = self.applied.lock();
        for ticket in self.queue.take_waiting() {
            let Some(data) = ticket.take_data() else { continue };
            let _inside = (!Arc::ptr_eq(&ticket, own)).then(|| ticket.span.clone().entered());
            // Others wait for what this thread does: a panic is nobody's but the caller's whose functions these are.
            match catch_unwind(AssertUnwindSafe(|| self.make(&applied.db, data))) {
                Ok(Ok(pending)) => {
                    applied.db = pending.report.db_after.clone();
                    self.queue.push(ticket, pending);
                }
                Ok(Err(error)) => ticket.refuse(error),
                Err(panic) => ticket.panicked(panic),
            }
        }
    }

    fn make(&self, db: &Db, data: TxData) -> Result<Pending> {
        self.check_working()?;
        let merged = data.merges().to_vec();
        let outcome = {
            let _running = Running::Function.begin();
            transact(db, data, world::now())?
        };
        let transaction = if self.stored {
            let record = outcome.record().merging(&merged);
            Some(Transaction { t: outcome.report.db_after.basis_t().0, bytes: record.encode()? })
        } else {
            None
        };
        let purges = Purges::of(outcome.purged.into_iter().flat_map(|purged| purged.entities));
        Ok(Pending { transaction, report: Arc::new(outcome.report), purges, merged })
    }

    /// Settles all that is applied, and flushes when the log has grown enough.
    fn commit(&self) {
        let turn = self.queue.committing();
        let mut committed = self.committed.lock();
        let ready = self.check_working().and_then(|()| self.keep_up(&mut committed));
        let (group, pending) = self.queue.take_applied();
        let settled = ready.and_then(|()| self.settle(&mut committed, pending));
        if settled.is_ok() && committed.is_due() {
            group.tell(&settled);
            return self.flush_due(&mut committed, |committed| {
                self.flush(committed, &mut self.applied.lock(), How::default())
            });
        }
        // The next entry is on its way before those who waited for this one wake up.
        drop(committed);
        drop(turn);
        group.tell(&settled);
    }

    /// Takes in a flush that is over, or that has to be before the log may grow.
    fn keep_up(&self, committed: &mut Committed) -> Result<()> {
        if committed.is_behind() { self.take_in(committed, &mut self.applied.lock()) } else { Ok(()) }
    }

    /// Settles what was applied, for those who hold the writer still.
    pub(super) fn settle_applied(&self, committed: &mut Committed) -> Result<()> {
        // What was applied while the writer stopped is refused by whose turn it is to commit.
        self.check_working()?;
        let (group, pending) = self.queue.take_applied();
        let settled = self.settle(committed, pending);
        group.tell(&settled);
        settled
    }

    /// Makes transactions durable and visible, and tells the listeners.
    pub(super) fn settle(&self, committed: &mut Committed, pending: Vec<Pending>) -> Result<()> {
        let Some(last) = pending.last() else { return Ok(()) };
        let db = last.report.db_after.clone();
        let reports: Vec<Arc<TxReport>> = pending.iter().map(|p| Arc::clone(&p.report)).collect();
        if let Some(durable) = &mut committed.durable {
            let purges: Vec<Purges> = pending.iter().filter_map(|p| p.purges.clone()).collect();
            let merged: Vec<Merge> = pending.iter().flat_map(|p| p.merged.iter().copied()).collect();
            let transactions: Vec<Transaction> = pending.into_iter().filter_map(|p| p.transaction).collect();
            durable.unflushed += transactions.iter().map(|t| t.bytes.len() as u64).sum::<u64>();
            durable.log.append(transactions).inspect_err(|error| self.break_down(error))?;
            durable.purges = durable.purges.take().into_iter().chain(purges).reduce(Purges::and);
            durable.merged.extend(merged);
        }
        // What was current may be dropped for good, which takes time: not under the lock.
        let _before = std::mem::replace(&mut *self.current.write(), db);
        self.listeners.tell(&reports);
        Ok(())
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
