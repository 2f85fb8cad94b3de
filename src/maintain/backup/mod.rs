//! Backup and restore: a database is copied from one store to another, while a writer goes on in the first.
//!
//! Heads are read first and written last. What a head needs is there as long as its commit is: garbage collection deletes
//! commits before the rest. So when all is copied and the commit is still in the source, nothing was missed; if it is
//! gone, the copying begins again at the head that has come since, and finds most of the work done.

mod job;
mod log;
mod memory;
mod note;
mod packs;
mod publish;
mod relate;

use std::time::Instant;

use super::options::{BackupOptions, BackupReport};
use super::{Side, between};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::Registry;
use crate::store::BoxFuture;
use job::Job;

/// Copies the database of `source` to the store of `target`, which is created where there is none. The source's writer, in
/// this process or another, need not stop. What the target has already is not copied again, so the next backup to the same
/// target copies only what is new.
///
/// The copy holds all that was acknowledged when the backup began, and some or all of what was acknowledged since. Until it
/// is complete, the target shows the backup before, or some of the transactions after it. A backup that was stopped half-way is run again.
/// `docs/backup.md` tells more.
///
/// ```
/// use treering::{BackupOptions, Config, backup, connect, create_database};
/// # let dir = tempfile::tempdir().unwrap();
/// # let at = |name: &str| Config::file(dir.path().join(name));
/// let (people, copy) = (at("people.tr"), at("people-backup.tr"));
/// create_database(&people)?;
/// let conn = connect(&people)?;
/// conn.transact("[{:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}]")?;
/// conn.transact(r#"[{:name "Alice"}]"#)?;
///
/// let report = backup(&people, &copy, &BackupOptions::new())?;
/// assert_eq!(report.transactions, 2);
/// conn.transact(r#"[{:name "Bob"}]"#)?;
/// assert_eq!(backup(&people, &copy, &BackupOptions::new())?.transactions, 1);
/// assert_eq!(backup(&people, &copy, &BackupOptions::new())?.bytes, 0);
/// # conn.release()?;
/// # Ok::<(), treering::Error>(())
/// ```
///
/// # Errors
/// `Existence`: code `:db-does-not-exist` for a source that is none, `:backup/foreign-target` for a target that holds another
/// database, or was written to since the last backup; `Corrupt` for a damaged source, of which nothing then comes into the
/// copy; `Config`, code `:backup/encrypted`, where one of the two stores is encrypted and the other is not; those of the config
/// and of the stores.
pub fn backup(source: &Config, target: &Config, options: &BackupOptions) -> Result<BackupReport> {
    backup_in(Registry::standard(), source, target, options)
}

/// [`backup`] as a future, for any executor. Dropping the future does not stop it.
///
/// # Errors
/// As there.
pub fn backup_async(
    source: &Config,
    target: &Config,
    options: &BackupOptions,
) -> BoxFuture<'static, Result<BackupReport>> {
    let (source, target, options) = (source.clone(), target.clone(), options.clone());
    Registry::standard().pool().run(move || backup(&source, &target, &options))
}

/// [`backup`] with the kinds of a registry.
///
/// # Errors
/// As there.
pub fn backup_in(
    registry: &Registry,
    source: &Config,
    target: &Config,
    options: &BackupOptions,
) -> Result<BackupReport> {
    run(registry, source, target, options, false)
}

/// Makes a database in the store of `target` of the backup in the store of `source`: one that is written to from then on and
/// is the target of no further backup. It keeps the id of the database that was backed up, unless the config of the target
/// gives another.
///
/// ```
/// use treering::{BackupOptions, Config, connect, create_database, restore};
/// # let dir = tempfile::tempdir().unwrap();
/// # let at = |name: &str| Config::file(dir.path().join(name));
/// # create_database(&at("backup.tr"))?;
/// let restored = at("restored.tr");
/// restore(&at("backup.tr"), &restored, &BackupOptions::new())?;
/// let conn = connect(&restored)?;
/// conn.transact("[{:db/doc \"life goes on\"}]")?;
/// # conn.release()?;
/// # Ok::<(), treering::Error>(())
/// ```
///
/// # Errors
/// `Existence`, code `:db-already-exists`, for a target with a database unless the options say `overwrite`; others as
/// [`backup`].
pub fn restore(source: &Config, target: &Config, options: &BackupOptions) -> Result<BackupReport> {
    restore_in(Registry::standard(), source, target, options)
}

/// [`restore`] as a future, for any executor. Dropping the future does not stop it.
///
/// # Errors
/// As there.
pub fn restore_async(
    source: &Config,
    target: &Config,
    options: &BackupOptions,
) -> BoxFuture<'static, Result<BackupReport>> {
    let (source, target, options) = (source.clone(), target.clone(), options.clone());
    Registry::standard().pool().run(move || restore(&source, &target, &options))
}

/// [`restore`] with the kinds of a registry.
///
/// # Errors
/// As there.
pub fn restore_in(
    registry: &Registry,
    source: &Config,
    target: &Config,
    options: &BackupOptions,
) -> Result<BackupReport> {
    run(registry, source, target, options, true)
}

fn run(
    registry: &Registry,
    source: &Config,
    target: &Config,
    options: &BackupOptions,
    restoring: bool,
) -> Result<BackupReport> {
    let span = tracing::debug_span!("backup", restoring);
    let _entered = span.enter();
    let began = Instant::now();
    let copied = between(registry, source, target, |from, to| copy(registry, from, to, options, restoring));
    copied.map(|report| BackupReport { elapsed: began.elapsed(), ..report })
}

/// How often copying begins anew because of what happens in the source.
const MOST_ATTEMPTS: usize = 16;

fn copy(
    registry: &Registry,
    (source, from): Side<'_>,
    (target, to): Side<'_>,
    options: &BackupOptions,
    restoring: bool,
) -> Result<BackupReport> {
    if to.capabilities().volatile {
        let message = "a database cannot be copied into the memory of a process: give the target a store that keeps blobs, \
                       or load the datoms";
        return Err(Error::new(ErrorKind::Argument, "backup/volatile-target", message));
    }
    let mut job = Job::new(registry, from, (target.store_config(), to), options, restoring);
    if from.capabilities().volatile {
        job.copy_memory(source)?;
    } else if source.store_config().encoding().encrypts() != target.store_config().encoding().encrypts() {
        return Err(packs::encrypted_alone());
    } else {
        for attempt in 1.. {
            let branches = job.branches()?;
            match job.copy(&branches) {
                Ok(()) => break,
                // What the heads named may have been collected or purged before it was read.
                Err(error)
                    if error.kind() == ErrorKind::Corrupt
                        && attempt < MOST_ATTEMPTS
                        && job.is_overtaken(&branches)? =>
                {
                    tracing::debug!(%error, "the source has changed: beginning again");
                }
                Err(error) => return Err(error),
            }
        }
    }
    if let Some(age) = options.prune {
        job.prune(age)?;
    }
    Ok(job.report)
}
