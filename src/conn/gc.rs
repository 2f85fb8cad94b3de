//! Collecting garbage: what the store holds and nothing needs any more.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::flush::How;
use super::listen::{check_may_wait, check_not_in_function};
use super::writer::Writer;
use super::{Connection, Shared};
use crate::commit::gc::{Blobs, Marked, mark};
use crate::commit::{self, Head, StoredNodes};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Address, IndexKind};
use crate::store::BoxFuture;

/// What garbage collection may delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GcOptions {
    min_age: Duration,
    before: Option<i64>,
    dry_run: bool,
}

/// A minimum age of one hour.
impl Default for GcOptions {
    fn default() -> GcOptions {
        GcOptions { min_age: Duration::from_secs(3600), before: None, dry_run: false }
    }
}

impl GcOptions {
    /// A minimum age of one hour.
    pub fn new() -> GcOptions {
        GcOptions::default()
    }

    /// Keeps what was replaced or written less than `age` ago. A database value that is older than the last flush can be
    /// read for so long, here and in other processes; reading it later is an error, code `:index/node-not-found`.
    #[must_use]
    pub fn min_age(self, age: Duration) -> GcOptions {
        GcOptions { min_age: age, ..self }
    }

    /// Keeps what was replaced or written after an instant (milliseconds since 1970-01-01T00:00Z), whatever the minimum
    /// age.
    #[must_use]
    pub fn remove_before(self, instant: i64) -> GcOptions {
        GcOptions { before: Some(instant), ..self }
    }

    /// Deletes and moves nothing, and reports what could be deleted.
    #[must_use]
    pub fn dry_run(self, dry_run: bool) -> GcOptions {
        GcOptions { dry_run, ..self }
    }

    fn cutoff(self, now: i64) -> i64 {
        let age = i64::try_from(self.min_age.as_millis()).unwrap_or(i64::MAX);
        self.before.map_or(now.saturating_sub(age), |before| before.min(now))
    }
}

/// What garbage collection has deleted.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GcReport {
    /// The keys of the blobs that were deleted; that could be, after a dry run.
    pub deleted: Vec<String>,
    /// Their sizes together, in bytes.
    pub bytes: u64,
    /// Bytes of nodes in use that were stored anew, so that the rest of their packs can be deleted: now or, where these
    /// packs are younger than the minimum age, by a later collection.
    pub moved_bytes: u64,
}

/// Collects garbage again and again until it is dropped, or its connection is released.
#[derive(Debug)]
pub struct BackgroundGc {
    /// The thread ends when this is dropped. Nobody waits for it, since a listener may drop it, for whom it waits.
    _stop: Sender<()>,
}

impl Connection {
    /// Deletes what the store holds and neither a branch nor a reader needs: commits that another one has replaced, the
    /// nodes that only they refer to, and, where no history is kept, the log before. Nodes that are in use and share a
    /// pack with many that are not are stored anew; after a purge, all that share a pack with any that is not, so that
    /// nothing of what was purged is left in the store.
    ///
    /// Transactions go on meanwhile. A database in memory has no garbage.
    ///
    /// # Errors
    /// Those of the store; the writer stops if they keep it from storing the indexes. `Closed` as for
    /// [`transact`](Self::transact).
    pub fn gc(&self, options: GcOptions) -> Result<GcReport> {
        check_may_wait()?;
        self.writer()?.gc(options)
    }

    /// [`gc`](Self::gc) as a future, for any executor.
    ///
    /// # Errors
    /// As there.
    pub fn gc_async(&self, options: GcOptions) -> BoxFuture<'static, Result<GcReport>> {
        let allowed = check_not_in_function();
        let this = self.clone();
        self.shared.pool.run(move || allowed.and_then(|()| this.gc(options)))
    }

    /// Collects garbage on a thread of its own, each time when `every` is over after the last, until the result is dropped
    /// or the connection released. What goes wrong is traced and tried again.
    ///
    /// # Errors
    /// `Closed` as for [`gc`](Self::gc), `Storage` when the thread cannot be started.
    pub fn gc_in_background(&self, every: Duration, options: GcOptions) -> Result<BackgroundGc> {
        self.writer()?;
        let shared = Arc::downgrade(&self.shared);
        let (stop, stopped) = channel::<()>();
        let run = move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let Some(shared) = shared.upgrade() else { return };
                match collect(&shared, options) {
                    Ok(report) => {
                        tracing::debug!(bytes = report.bytes, blobs = report.deleted.len(), "garbage collected")
                    }
                    Err(error) if error.kind() == ErrorKind::Closed => return,
                    Err(error) => tracing::warn!(%error, "garbage could not be collected"),
                }
            }
        };
        let thread = thread::Builder::new().name("treering-gc".to_owned()).spawn(run);
        thread.map_err(|e| {
            Error::new(ErrorKind::Storage, "gc/thread", "the thread of the garbage collection cannot be started")
                .caused_by(e)
        })?;
        Ok(BackgroundGc { _stop: stop })
    }
}

fn collect(shared: &Arc<Shared>, options: GcOptions) -> Result<GcReport> {
    Connection { shared: Arc::clone(shared) }.gc(options)
}

/// What stays the same while a writer works.
struct Place {
    nodes: Arc<StoredNodes>,
    index: String,
    kind: Arc<dyn IndexKind>,
}

impl Place {
    fn mark(&self, cutoff: i64) -> Result<Marked> {
        mark(&self.nodes, (&self.index, self.kind.as_ref()), cutoff)
    }
}

impl Writer {
    fn gc(&self, options: GcOptions) -> Result<GcReport> {
        let _one = self.collecting.lock();
        self.check_working()?;
        let Some(place) = self.place() else { return Ok(GcReport::default()) };
        let span = tracing::debug_span!("gc", dry_run = options.dry_run);
        let _entered = span.enter();
        let mut report = GcReport::default();
        if !options.dry_run {
            report.moved_bytes = self.compact(&place)?;
        }
        let store = place.nodes.store();
        let blobs = {
            // No flush is under way, so all that is there and in use is found from a head.
            let _still = self.still()?;
            Blobs::list(store)?
        };
        let cutoff = options.cutoff((self.clock)());
        let marked = place.mark(cutoff)?;
        let trimmed = self.trim_log(&marked, options.dry_run)?;
        let garbage = marked.garbage(store, &blobs, cutoff, trimmed)?;
        for (key, size) in garbage.blobs() {
            report.deleted.push(key.clone());
            report.bytes += size;
        }
        if !options.dry_run {
            garbage.sweep(store)?;
        }
        Ok(report)
    }

    fn place(&self) -> Option<Place> {
        let committed = self.committed.lock();
        let durable = committed.durable.as_ref()?;
        let index = durable.provenance.index.as_str().to_owned();
        Some(Place { nodes: Arc::clone(&durable.nodes), index, kind: Arc::clone(&durable.kind) })
    }

    /// Stores what is new and empties packs that are mostly dead; after a purge, all that are not wholly in use. Answers with
    /// the bytes that were moved.
    fn compact(&self, place: &Place) -> Result<u64> {
        let store = place.nodes.store();
        let (blobs, unclean) = {
            let mut committed = self.committed.lock();
            let mut applied = self.applied.lock();
            let keep_history = applied.db.snapshot().settings.keep_history;
            self.flush(&mut committed, &mut applied, How { sealing: !keep_history, ..How::default() })?;
            let unclean = committed.durable.as_ref().and_then(|durable| durable.head.unclean);
            (Blobs::list(store)?, unclean)
        };
        // Of all heads, and of no commit before.
        let batches = place.mark(i64::MAX)?.sparse(store, &blobs, unclean.is_some())?;
        let mut moved = 0;
        for batch in &batches {
            let mut committed = self.committed.lock();
            self.check_working()?;
            let is_moved = |address: Address| batch.packs.contains(&address.pack);
            self.flush(&mut committed, &mut self.applied.lock(), How { moved: Some(&is_moved), ..How::default() })?;
            moved += batch.bytes;
        }
        if unclean.is_some() {
            // Unless there was another purge meanwhile.
            self.change_head(|head| head.unclean = head.unclean.filter(|last| Some(*last) != unclean))?;
        }
        Ok(moved)
    }

    /// The log that no history needs, and where it begins from here on.
    fn trim_log(&self, marked: &Marked, dry_run: bool) -> Result<Option<(u128, crate::log::LogPosition)>> {
        let incarnation = {
            let committed = self.committed.lock();
            let Some(durable) = &committed.durable else { return Ok(None) };
            durable.head.incarnation
        };
        let keep_history = self.applied.lock().db.snapshot().settings.keep_history;
        let Some(start) = marked.floor(incarnation).filter(|_| !keep_history) else { return Ok(None) };
        if !dry_run {
            self.change_head(|head| head.log_start = start)?;
        }
        Ok(Some((incarnation, start)))
    }

    fn change_head(&self, change: impl FnOnce(&mut Head)) -> Result<()> {
        let mut committed = self.still()?;
        let Some(durable) = &mut committed.durable else { return Ok(()) };
        let mut head = durable.head.clone();
        change(&mut head);
        if head == durable.head {
            return Ok(());
        }
        head.format = commit::FORMAT;
        let moved = commit::move_head(durable.nodes.store(), durable.branch, &durable.head, &mut head);
        moved.inspect_err(|error| self.break_down(error))?;
        durable.head = head;
        Ok(())
    }
}
