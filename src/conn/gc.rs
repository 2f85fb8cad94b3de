//! Collecting garbage: what the store holds and nothing needs any more.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::flush::How;
use super::home::{Home, StoredHome};
use super::listen::{check_may_wait, check_not_in_function};
use super::writer::Writer;
use super::{Connection, Shared};
use crate::commit::gc::{Blobs, Marked, mark, roots};
use crate::commit::kin::Kin;
use crate::commit::{self, Head};
use crate::error::{Error, ErrorKind, Result};
use crate::index::Address;
use crate::registry::OpenStore;
use crate::store::BoxFuture;
use crate::world;

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
    /// What other branches use stays; nodes of this branch alone are stored anew. Transactions go on meanwhile. A database in
    /// memory forgets commits, and has no bytes to tell of.
    ///
    /// Where other processes write to other branches of the store, the minimum age must be longer than their flushes take.
    ///
    /// # Errors
    /// Those of the store; the writer stops if they keep it from storing the indexes. `Closed` as for
    /// [`transact`](Self::transact).
    pub fn gc(&self, options: GcOptions) -> Result<GcReport> {
        check_may_wait()?;
        self.writer()?.gc(&self.shared.home, options)
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

/// The blobs of a store at a moment at which no flush is under way, so that all that are in use are found from a head.
fn list(open: &OpenStore) -> Result<Blobs> {
    let _still = open.flushing.write();
    Blobs::list(&open.store)
}

fn collect(shared: &Arc<Shared>, options: GcOptions) -> Result<GcReport> {
    Connection { shared: Arc::clone(shared) }.gc(options)
}

impl StoredHome {
    fn mark(&self, roots: &[Head], cutoff: i64) -> Result<Marked> {
        mark(&self.nodes, (self.provenance.index.as_str(), self.kind.as_ref()), roots, cutoff)
    }
}

impl Writer {
    fn gc(&self, home: &Home, options: GcOptions) -> Result<GcReport> {
        self.check_working()?;
        let span = tracing::debug_span!("gc", dry_run = options.dry_run);
        let _entered = span.enter();
        let cutoff = options.cutoff(world::now());
        match home {
            Home::Stored(home) => self.gc_stored(home, options),
            Home::Memory(database) => {
                let gone = database.collect(cutoff, options.dry_run);
                let deleted = gone.into_iter().map(|id| format!("commit/{id:032x}")).collect();
                Ok(GcReport { deleted, ..GcReport::default() })
            }
        }
    }

    fn gc_stored(&self, home: &StoredHome, options: GcOptions) -> Result<GcReport> {
        let Some(open) = &home.open else { return Ok(GcReport::default()) };
        let _one = open.collecting.lock();
        let mut report = GcReport::default();
        if !options.dry_run {
            report.moved_bytes = self.compact(home, open)?;
        }
        let blobs = list(open)?;
        let cutoff = options.cutoff(world::now());
        let marked = home.mark(&roots(home.store(), cutoff)?, cutoff)?;
        let trimmed = self.trim_log(&marked, options.dry_run)?;
        let garbage = marked.garbage(home.store(), &blobs, cutoff, trimmed)?;
        for (key, size) in garbage.blobs() {
            report.deleted.push(key.clone());
            report.bytes += size;
        }
        if !options.dry_run {
            garbage.sweep(home.store())?;
        }
        Ok(report)
    }

    /// Stores what is new and empties packs that are mostly dead; after a purge, all that are not wholly in use. Answers with
    /// the bytes that were moved.
    fn compact(&self, home: &StoredHome, open: &OpenStore) -> Result<u64> {
        let (own, unclean) = {
            let mut committed = self.committed.lock();
            let mut applied = self.applied.lock();
            let keep_history = applied.db.snapshot().settings.keep_history;
            self.flush(&mut committed, &mut applied, How { sealing: !keep_history, ..How::default() })?;
            let durable = committed.durable.as_ref().ok_or_else(super::released)?;
            (durable.head.clone(), durable.head.unclean)
        };
        let blobs = list(open)?;
        // Of heads, and of no commit before.
        let mut others = roots(home.store(), i64::MAX)?;
        others.retain(|head| head.incarnation != own.incarnation);
        // What a flush does not move.
        others.extend(own.kin.kept.iter().map(|commit| Head { commit: *commit, ..Head::new(own.incarnation) }));
        let own = Head { kin: Kin::default(), ..own };
        let (own, others) = (home.mark(&[own], i64::MAX)?, home.mark(&others, i64::MAX)?);
        let batches = own.sparse(&others, home.store(), &blobs, unclean.is_some())?;
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
