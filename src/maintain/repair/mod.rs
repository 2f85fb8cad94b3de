//! Repair: what a damaged store still has becomes a database in another store, and what it has not becomes a list.
//!
//! Every row stands in up to three orders, every transaction in the log as well, and older commits share most of their
//! nodes with the last. So most damage costs nothing: see [`choose`] for what is tried, best first.

mod branches;
mod choose;
mod rebuild;
mod replay;
mod salvage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::options::Watcher;
use super::{Side, between};
use crate::commit::{StoredNodes, cached_nodes};
use crate::config::Config;
use crate::datom::EntityId;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::Registry;
use crate::store::{BoxFuture, Store};

/// How a store is repaired.
#[derive(Debug, Clone, Default)]
pub struct RepairOptions {
    watcher: Watcher,
}

impl RepairOptions {
    /// Nothing special.
    pub fn new() -> RepairOptions {
        RepairOptions::default()
    }

    /// Calls `watch` now and then, on the thread of the caller.
    #[must_use]
    pub fn progress(mut self, watch: impl Fn(&super::Progress) + Send + Sync + 'static) -> RepairOptions {
        self.watcher = Watcher::new(watch);
        self
    }
}

/// Something that a repair could not save.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The branch that lost it.
    pub branch: Keyword,
    /// Rows of indexes that no order and no transaction of the log has any more; 0 for a loss of another kind.
    pub rows: u64,
    /// The transactions that are lost: the first, and the last that is known of; the log may have had more.
    pub transactions: Option<(EntityId, EntityId)>,
    /// What was lost and why, for people.
    pub what: String,
}

/// What a repair has saved.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairReport {
    /// The branches that were saved, each with its last transaction.
    pub branches: Vec<(Keyword, EntityId)>,
    /// Rows of the saved indexes, each counted once for current and once for closed rows.
    pub rows: u64,
    /// Transactions that were made again from the log.
    pub replayed: u64,
    /// Transactions in the logs of the saved branches.
    pub transactions: u64,
    /// What could not be saved.
    pub losses: Vec<Loss>,
    /// What was found to be damaged on the way, and how it was made good.
    pub notes: Vec<String>,
    /// How long it took.
    pub elapsed: Duration,
}

impl RepairReport {
    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn lost(&mut self, branch: Keyword, what: String) {
        self.losses.push(Loss { branch, rows: 0, transactions: None, what });
    }
}

/// Makes a database in the store of `target`, which must hold none, of all that can be read of the one in `source`. Nothing is
/// written to `source`. The target's indexes are built anew; commits before the last are left behind.
///
/// ```
/// use treering::{Config, RepairOptions, VerifyOptions, connect, create_database, repair, verify};
/// # let dir = tempfile::tempdir().unwrap();
/// # let at = |name: &str| Config::file(dir.path().join(name));
/// let (damaged, repaired) = (at("damaged.tr"), at("repaired.tr"));
/// create_database(&damaged)?;
/// let conn = connect(&damaged)?;
/// conn.transact("[{:db/doc \"a fact\"}]")?;
/// conn.release()?;
/// std::fs::write(dir.path().join("damaged.tr/head/db"), b"rubbish").unwrap();
/// assert!(!verify(&damaged, &VerifyOptions::new())?.is_sound());
///
/// let report = repair(&damaged, &repaired, &RepairOptions::new())?;
/// assert!(report.losses.is_empty(), "{report:?}");
/// assert!(verify(&repaired, &VerifyOptions::new())?.is_sound());
/// # Ok::<(), treering::Error>(())
/// ```
///
/// # Errors
/// `Existence`: code `:db-already-exists` for a target with a database, `:repair/nothing-left` for a source with nothing that
/// a database could be made of; `Config` for an index kind that is not registered; those of the stores that are no damage.
pub fn repair(source: &Config, target: &Config, options: &RepairOptions) -> Result<RepairReport> {
    repair_in(Registry::standard(), source, target, options)
}

/// [`repair`] as a future, for any executor. Dropping the future does not stop it.
///
/// # Errors
/// As there.
pub fn repair_async(
    source: &Config,
    target: &Config,
    options: &RepairOptions,
) -> BoxFuture<'static, Result<RepairReport>> {
    let (source, target, options) = (source.clone(), target.clone(), options.clone());
    Registry::standard().pool().run(move || repair(&source, &target, &options))
}

/// [`repair`] with the kinds of a registry.
///
/// # Errors
/// As there.
pub fn repair_in(
    registry: &Registry,
    source: &Config,
    target: &Config,
    options: &RepairOptions,
) -> Result<RepairReport> {
    let span = tracing::debug_span!("repair");
    let _entered = span.enter();
    let began = Instant::now();
    let report = between(registry, source, target, |from, to| repair_stores(registry, from, to, options));
    report.map(|report| RepairReport { elapsed: began.elapsed(), ..report })
}

/// Bytes of decoded nodes that are kept.
const CACHE: usize = 32 << 20;

fn repair_stores(
    registry: &Registry,
    (source, from): Side<'_>,
    (target, to): Side<'_>,
    options: &RepairOptions,
) -> Result<RepairReport> {
    if [from, to].iter().any(|store| store.capabilities().volatile) {
        let message = "databases in memory have no blobs that could be damaged, and none can be repaired into memory";
        return Err(Error::new(ErrorKind::Argument, "backup/volatile-target", message));
    }
    if !to.list("head/")?.is_empty() {
        let message = "the target of a repair holds a database already; give an empty store";
        return Err(Error::new(ErrorKind::Existence, "db-already-exists", message));
    }
    let mut report = RepairReport::default();
    let patient = Patient {
        registry,
        config: source,
        store: from,
        nodes: Arc::new(cached_nodes(from.clone(), CACHE)),
        watcher: &options.watcher,
    };
    for branch in branches::find(&patient, &mut report)? {
        let Some(chosen) = choose::choose(&patient, &branch, &mut report)? else {
            report.lost(branch.name, "nothing that is left leads to a state of the branch".to_owned());
            continue;
        };
        rebuild::rebuild(&patient, &branch, chosen, (target, to), &mut report)?;
    }
    if report.branches.is_empty() {
        let message =
            "the store holds neither a commit nor a log that could be read: there is nothing to make a database of";
        return Err(Error::new(ErrorKind::Existence, "repair/nothing-left", message));
    }
    Ok(report)
}

/// The damaged store.
struct Patient<'a> {
    registry: &'a Registry,
    config: &'a Config,
    store: &'a Store,
    nodes: Arc<StoredNodes>,
    watcher: &'a Watcher,
}

/// The value, or `None` for damage.
///
/// # Errors
/// Those that are no damage.
fn unless_damaged<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        Err(error) => Err(error),
    }
}
