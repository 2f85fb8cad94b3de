//! Flushes: the indexes are stored, and the head moves.
//!
//! A flush that is due goes on beside the transactions: it has a durable database value, and the log goes on after it.
//! Who waits for it are those who need the head, or that the log stays short: the log since the last flush is what an
//! open after a crash has to replay. Where something was purged or merged, transactions wait for the flush.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::writer::{Applied, Committed, Durable, Writer};
use crate::commit::{self, Head, Moment, Provenance, StoredNodes};
use crate::db::{Db, Snapshot};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Address;
use crate::log::LogPosition;
use crate::registry::OpenStore;
use crate::world::{self, Condvar, Mutex, MutexGuard};

/// So many times the log after which the indexes are flushed may be written, then transactions wait for the flush.
const BEHIND: u64 = 4;

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

/// A flush beside the transactions.
#[derive(Debug)]
pub(super) struct Flushing {
    job: Arc<Job>,
    /// Where the log goes on after it.
    end: LogPosition,
    /// Bytes of log before that.
    bytes: u64,
}

impl Flushing {
    /// Waits until the flush is over, however it ends.
    pub fn wait(&self) {
        drop(self.job.wait());
    }
}

/// What a flush needs of the writer, whose head stays as it is until the flush is over.
#[derive(Debug)]
struct Job {
    nodes: Arc<StoredNodes>,
    branch: Keyword,
    head: Head,
    snapshot: Arc<Snapshot>,
    provenance: Provenance,
    moment: Moment,
    open: Arc<OpenStore>,
    outcome: Mutex<Option<Result<(Snapshot, Head)>>>,
    done: Condvar,
}

impl Job {
    fn run(&self) {
        let Job { nodes, branch, head, snapshot, provenance, moment, .. } = self;
        let span = tracing::debug_span!("flush", %branch, t = snapshot.basis_t.0, closing = false);
        let _entered = span.enter();
        let flush = || {
            // Nobody lists blobs that no head leads to yet.
            let _flushing = self.open.flushing.read();
            commit::flush(nodes, *branch, head, snapshot, provenance, moment.clone())
        };
        // Others wait for it.
        let flushed = catch_unwind(AssertUnwindSafe(flush))
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "writer/panic", "the flush ended in a panic")));
        let flushed = flushed.map_err(|error| error.context("the indexes could not be flushed"));
        if let Err(error) = &flushed {
            tracing::error!(%error, "the writer stops");
        }
        *self.outcome.lock() = Some(flushed);
        self.done.notify_all();
    }

    fn is_done(&self) -> bool {
        self.outcome.lock().is_some()
    }

    fn wait(&self) -> Result<(Snapshot, Head)> {
        let mut outcome = self.outcome.lock();
        loop {
            match &*outcome {
                Some(Ok(flushed)) => return Ok(flushed.clone()),
                Some(Err(error)) => return Err(error.again()),
                None => self.done.wait(&mut outcome),
            }
        }
    }
}

impl Durable {
    /// Whether transactions wait for the next flush.
    fn holds_still(&self) -> bool {
        self.is_owed() || self.head.purges.is_some() || !self.kind.flushes_aside()
    }

    /// Whether what the log has is not whole without a commit: a purge, or a merge, whose parents the commit names.
    fn is_owed(&self) -> bool {
        self.purges.is_some() || !self.merged.is_empty()
    }
}

impl Committed {
    /// Whether the log has grown enough for a flush.
    pub fn is_due(&self) -> bool {
        let due = |durable: &Durable| {
            durable.is_owed() || (durable.flushing.is_none() && durable.unflushed >= durable.flush_after)
        };
        self.durable.as_ref().is_some_and(due)
    }

    /// Whether there is a flush to take in: one that is over, or that the next transaction has to wait for.
    pub fn is_behind(&self) -> bool {
        let behind = |durable: &Durable| {
            let most = durable.flush_after.saturating_mul(BEHIND);
            durable.flushing.as_ref().is_some_and(|it| it.job.is_done() || durable.unflushed >= most)
        };
        self.durable.as_ref().is_some_and(behind)
    }
}

impl Writer {
    /// Flushes because the log has grown enough; by `still`, where transactions have to wait. They are durable whatever
    /// becomes of it; the next one will hear of a failure.
    pub(super) fn flush_due(&self, committed: &mut Committed, still: impl FnOnce(&mut Committed) -> Result<()>) {
        if committed.durable.as_ref().is_some_and(Durable::holds_still) {
            if let Err(error) = still(committed) {
                tracing::error!(%error, "the indexes could not be flushed; the writer stops");
            }
            return;
        }
        let Some(job) = self.begin_flush(committed) else { return };
        let aside = Arc::clone(&job);
        if world::spawn("treering-flush", move || aside.run()).is_err() {
            job.run();
        }
    }

    /// The flush of all that is durable, to be run while transactions go on.
    fn begin_flush(&self, committed: &mut Committed) -> Option<Arc<Job>> {
        let durable = committed.durable.as_mut()?;
        let end = durable.log.position();
        let job = Arc::new(Job {
            nodes: Arc::clone(&durable.nodes),
            branch: durable.branch,
            head: durable.head.clone(),
            // Nothing becomes durable while `committed` is locked.
            snapshot: Arc::clone(self.current.read().snapshot()),
            provenance: durable.provenance.clone(),
            moment: Moment { log: end, closed: false, now: world::now(), purges: None, merged: Vec::new() },
            open: Arc::clone(durable.lease.open()),
            outcome: Mutex::default(),
            done: Condvar::new(),
        });
        durable.flushing = Some(Flushing { job: Arc::clone(&job), end, bytes: durable.unflushed });
        Some(job)
    }

    /// Takes in the flush that went on beside the transactions, if there is one, and waits for it first.
    ///
    /// # Errors
    /// Those of the flush; the writer stops.
    pub(super) fn take_in(&self, committed: &mut Committed, applied: &mut Applied) -> Result<()> {
        let Some(durable) = &mut committed.durable else { return Ok(()) };
        let Some(Flushing { job, end, bytes }) = durable.flushing.take() else { return Ok(()) };
        let taken = job.wait().and_then(|(flushed, head)| {
            durable.head = head;
            durable.flushed_at = end;
            durable.unflushed -= bytes;
            let is_last = applied.db.basis_t() == flushed.basis_t;
            let settled = if is_last {
                flushed
            } else {
                // Its nodes are stored as those of the commit are.
                Snapshot { origin: flushed.origin, ..applied.db.snapshot().settled()? }
            };
            self.replace(applied, settled);
            Ok(())
        });
        taken.inspect_err(|error| self.break_down(error))
    }

    /// Puts an equal snapshot in the place of the newest.
    pub(super) fn replace(&self, applied: &mut Applied, snapshot: Snapshot) {
        applied.db = Db::new(Arc::new(snapshot));
        let mut current = self.current.write();
        if current.basis_t() == applied.db.basis_t() {
            *current = applied.db.clone();
        }
    }

    /// The lock that keeps the head as it is, while no flush is under way.
    pub(super) fn still(&self) -> Result<MutexGuard<'_, Committed>> {
        let mut committed = self.committed.lock();
        self.check_working()?;
        self.take_in(&mut committed, &mut self.applied.lock())?;
        Ok(committed)
    }

    /// Stores the indexes and moves the head, with the writer held still.
    pub(super) fn flush(&self, committed: &mut Committed, applied: &mut Applied, how: How<'_>) -> Result<()> {
        self.settle_applied(committed)?;
        self.take_in(committed, applied)?;
        let Some(durable) = &mut committed.durable else { return Ok(()) };
        let How { closing, sealing, moved } = how;
        let purges = durable.purges.clone();
        // What is rewritten or collected must not be written to.
        let seals = sealing || purges.is_some() || durable.head.purges.is_some();
        let end = if seals { durable.log.seal() } else { durable.log.position() };
        let is_flushed = durable.flushed_at == end && purges.is_none() && moved.is_none();
        if is_flushed {
            if closing && durable.head.closed_at != Some(end) {
                let mut head = Head { closed_at: Some(end), format: commit::FORMAT, ..durable.head.clone() };
                let moved = commit::move_head(durable.nodes.store(), durable.branch, &durable.head, &mut head);
                moved.inspect_err(|error| self.break_down(error))?;
                durable.head = head;
            }
            return self.scrub(durable, &applied.db);
        }
        if let Some(moved) = moved {
            let snapshot = applied.db.snapshot().detach(moved)?;
            applied.db = Db::new(Arc::new(snapshot));
        }
        let t = applied.db.basis_t().0;
        let span = tracing::debug_span!("flush", branch = %durable.branch, t, log_bytes = durable.unflushed, closing);
        let _entered = span.enter();
        let merged = durable.merged.clone();
        let moment = Moment { log: end, closed: closing, now: world::now(), purges, merged };
        let (head, provenance) = (&durable.head, &durable.provenance);
        let flushed = {
            // As beside the transactions.
            let _flushing = durable.lease.open().flushing.read();
            commit::flush(&durable.nodes, durable.branch, head, applied.db.snapshot(), provenance, moment)
        };
        let (snapshot, head) = flushed.inspect_err(|error| self.break_down(error))?;
        durable.head = head;
        durable.unflushed = 0;
        durable.flushed_at = end;
        durable.purges = None;
        durable.merged.clear();
        self.replace(applied, snapshot);
        self.scrub(durable, &applied.db)
    }

    /// Takes out of the log what was purged by the last commit, if that is still to do.
    fn scrub(&self, durable: &mut Durable, db: &Db) -> Result<()> {
        let Some(purges) = &durable.head.purges else { return Ok(()) };
        let store = durable.nodes.store();
        let scrubbed = commit::scrub(store, &durable.head, purges, db.snapshot(), durable.flushed_at.seq);
        let mut head = Head { purges: None, ..durable.head.clone() };
        let done = scrubbed.and_then(|()| commit::move_head(store, durable.branch, &durable.head, &mut head));
        done.inspect_err(|error| self.break_down(error))?;
        durable.head = head;
        Ok(())
    }

    /// Ends the purges and merges that a crash has interrupted.
    pub fn resume(&self) -> Result<()> {
        let mut committed = self.committed.lock();
        match &committed.durable {
            Some(durable) if durable.is_owed() || durable.head.purges.is_some() => {
                self.flush(&mut committed, &mut self.applied.lock(), How::default())
            }
            _ => Ok(()),
        }
    }

    /// Stores the indexes now, on this thread; transactions go on.
    pub fn flush_now(&self) -> Result<()> {
        let job = loop {
            let mut committed = self.committed.lock();
            self.check_working()?;
            let Some(durable) = &committed.durable else { return Ok(()) };
            if durable.holds_still() {
                return self.flush(&mut committed, &mut self.applied.lock(), How::default());
            }
            if let Some(Flushing { job, .. }) = durable.flushing.as_ref().filter(|it| !it.job.is_done()) {
                let job = Arc::clone(job);
                drop(committed);
                job.wait()?;
                continue;
            }
            self.take_in(&mut committed, &mut self.applied.lock())?;
            let Some(durable) = &committed.durable else { return Ok(()) };
            if durable.flushed_at == durable.log.position() {
                return Ok(());
            }
            match self.begin_flush(&mut committed) {
                Some(job) => break job,
                None => return Ok(()),
            }
        };
        job.run();
        // Taken in also where it failed: the writer stops at once.
        let taken = self.still().map(drop);
        job.wait().and(taken)
    }
}
