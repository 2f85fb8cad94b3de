//! What a backup is told, and what it tells.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::datom::EntityId;
use crate::edn::Keyword;

/// How far a backup, a verification or a repair has come.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being worked on, such as `"packs"` or `"log"`.
    pub stage: &'static str,
    /// How many things of the stage are done: blobs, entries or rows.
    pub done: u64,
    /// How many there are; 0 where that is not known.
    pub total: u64,
    /// Bytes read so far, over all stages.
    pub bytes: u64,
}

type Watch = dyn Fn(&Progress) + Send + Sync;

/// Who is told of the progress.
#[derive(Clone, Default)]
pub(super) struct Watcher(Option<Arc<Watch>>);

impl Watcher {
    pub fn new(watch: impl Fn(&Progress) + Send + Sync + 'static) -> Watcher {
        Watcher(Some(Arc::new(watch)))
    }

    pub fn tell(&self, stage: &'static str, done: u64, total: u64, bytes: u64) {
        if let Some(watch) = &self.0 {
            watch(&Progress { stage, done, total, bytes });
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "watched" } else { "not watched" })
    }
}

/// What a backup or a restore copies, and over what.
#[derive(Debug, Clone, Default)]
pub struct BackupOptions {
    pub(super) branches: Vec<Keyword>,
    pub(super) overwrite: bool,
    pub(super) prune: Option<Duration>,
    pub(super) watcher: Watcher,
}

impl BackupOptions {
    /// All branches; what is in the target stays.
    pub fn new() -> BackupOptions {
        BackupOptions::default()
    }

    /// Copies this branch, written without a colon, and others that are named so, instead of all.
    #[must_use]
    pub fn branch(mut self, name: &str) -> BackupOptions {
        self.branches.push(Keyword::new(name));
        self
    }

    /// Replaces a database in the target that is no backup of this one, or was written to since.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> BackupOptions {
        self.overwrite = overwrite;
        self
    }

    /// Deletes from the target what its branches do not need any more, if another commit has taken its place at least `age`
    /// ago, for readers of the target.
    #[must_use]
    pub fn prune(mut self, age: Duration) -> BackupOptions {
        self.prune = Some(age);
        self
    }

    /// Calls `watch` now and then, on the thread of the caller.
    #[must_use]
    pub fn progress(mut self, watch: impl Fn(&Progress) + Send + Sync + 'static) -> BackupOptions {
        self.watcher = Watcher::new(watch);
        self
    }
}

/// What a backup or a restore has copied.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackupReport {
    /// Packs and commits that were written.
    pub blobs: u64,
    /// Bytes that were written: those of packs, commits and the log.
    pub bytes: u64,
    /// Packs that the target had already.
    pub skipped: u64,
    /// Transactions of the log that were written.
    pub transactions: u64,
    /// Blobs that were deleted because nothing needs them any more.
    pub deleted: u64,
    /// The branches, each with the last transaction that its copy contains.
    pub branches: Vec<(Keyword, EntityId)>,
    /// How long it took.
    pub elapsed: Duration,
}
