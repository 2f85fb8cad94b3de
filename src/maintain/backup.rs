//! Backup and restore: a database is copied from one store to another, while a writer goes on in the first.
//!
//! Heads are read first and written last. What a head needs is there as long as its commit is: garbage collection deletes
//! commits before the rest. So when all is copied and the commit is still in the source, nothing was missed; if it is
//! gone, the copying begins again at the head that has come since, and finds most of the work done.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::log::{self, Placed};
use super::note::{self, Note};
use super::options::{BackupOptions, BackupReport};
use super::packs::{Commits, commits_of, copy_packs, packs_of};
use crate::commit::{self, Commit, Head, StoredNodes, branch_of_key, gc, head_key};
use crate::config::Config;
use crate::conn::connect_in;
use crate::datom::EntityId;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::log::{LogPosition, LogReader};
use crate::registry::Registry;
use crate::store::{Access, BoxFuture, Store, StoreConfig};

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
/// copy; `Config`, and those of the stores.
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
    let (source, target) = (registry.complete(source)?, registry.complete(target)?);
    if registry.identity(&source)? == registry.identity(&target)? {
        let message = "the source and the target of the backup are one store; give the target another";
        return Err(Error::new(ErrorKind::Argument, "backup/same-store", message));
    }
    // Packs are copied as they are, and each store has a key of its own.
    if source.store_config().encoding().encrypts() || target.store_config().encoding().encrypts() {
        let message = "encrypted stores cannot be backed up or restored: each has a key of its own; copy its blobs instead, or \
                       repair it into a new store";
        return Err(Error::new(ErrorKind::Config, "backup/encrypted", message));
    }
    let span = tracing::debug_span!("backup", restoring);
    let _entered = span.enter();
    let began = Instant::now();
    let from = registry.connect_store(&source, Access::ReadOnly)?;
    let to = registry.create_store(&target)?;
    let mut report = copy_database(registry, (&source, &from), (&target, &to), options, restoring);
    for store in [from, to] {
        let released = store.close();
        report = report.and_then(|report| released.map(|()| report));
    }
    report.map(|report| BackupReport { elapsed: began.elapsed(), ..report })
}

fn copy_database(
    registry: &Registry,
    (source, from): (&Config, &Store),
    (target, to): (&Config, &Store),
    options: &BackupOptions,
    restoring: bool,
) -> Result<BackupReport> {
    if to.capabilities().volatile {
        let message = "a database cannot be copied into the memory of a process: give the target a store that keeps blobs, \
                       or load the datoms";
        return Err(Error::new(ErrorKind::Argument, "backup/volatile-target", message));
    }
    let mut job =
        Job { registry, from, to, target: target.store_config(), options, restoring, report: BackupReport::default() };
    if from.capabilities().volatile {
        return job.copy_memory(source).map(|()| job.report);
    }
    for attempt in 1.. {
        let branches = job.branches()?;
        match job.copy(&branches) {
            Ok(()) => break,
            // What the heads named may have been collected or purged before it was read.
            Err(error)
                if error.kind() == ErrorKind::Corrupt && attempt < MOST_ATTEMPTS && job.is_overtaken(&branches)? =>
            {
                tracing::debug!(%error, "the source has changed: beginning again");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(job.report)
}

/// How often copying begins anew because of what happens in the source.
const MOST_ATTEMPTS: usize = 16;

/// A branch of the source.
struct Branch {
    key: String,
    name: Keyword,
    bytes: Vec<u8>,
    head: Head,
}

/// The same branch as it is in the target.
struct Standing {
    bytes: Vec<u8>,
    head: Head,
    /// Absent where it is no backup's.
    note: Option<Note>,
}

/// What has to be written when everything else is in the target.
struct Ready {
    key: String,
    name: Keyword,
    before: Option<Standing>,
    head: Head,
    note: Note,
    /// Those of the branch's own log, the head's last.
    commits: Vec<Commit>,
    /// Those of other branches that it refers to.
    others: Vec<Commit>,
}

struct Job<'a> {
    registry: &'a Registry,
    from: &'a Store,
    to: &'a Store,
    target: &'a StoreConfig,
    options: &'a BackupOptions,
    restoring: bool,
    report: BackupReport,
}

impl Job<'_> {
    /// The branches that are to be copied.
    fn branches(&self) -> Result<Vec<Branch>> {
        let named: Vec<String> = self.options.branches.iter().map(|name| head_key(*name)).collect();
        let keys = if named.is_empty() { self.from.list("head/")? } else { named };
        let mut branches = Vec::new();
        for key in keys {
            let name = branch_of_key(&key).ok_or_else(|| {
                Error::new(ErrorKind::Corrupt, "store/corrupt", format!("{key:?} is the key of no branch"))
            })?;
            let Some(bytes) = self.from.get(&key, None)? else {
                // Without names, one that was removed since.
                if self.options.branches.is_empty() {
                    continue;
                }
                return Err(missing(Some(name)));
            };
            let head = Head::decode_at(self.from.encoding(), bytes.clone(), &key)?;
            if !head.is_removed() {
                branches.push(Branch { head, key, name, bytes });
            } else if !self.options.branches.is_empty() {
                return Err(missing(Some(name)));
            }
        }
        if branches.is_empty() { Err(missing(None)) } else { Ok(branches) }
    }

    /// Whether a branch has changed since it was read, or is being changed.
    fn is_overtaken(&self, branches: &[Branch]) -> Result<bool> {
        for branch in branches {
            if branch.head.purges.is_some() || self.from.get(&branch.key, None)?.as_ref() != Some(&branch.bytes) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn copy(&mut self, branches: &[Branch]) -> Result<()> {
        // Of an attempt before that was overtaken.
        (self.report.transactions, self.report.skipped) = (0, 0);
        self.report.branches.clear();
        let mut changed = Vec::new();
        for branch in branches {
            let standing = self.standing(&branch.key)?;
            match standing.as_ref().and_then(|standing| standing.note.as_ref()) {
                Some(note) if self.is_current(branch, note)? => {
                    self.report.branches.push((branch.name, EntityId(note.basis)));
                }
                _ => changed.push((branch, standing, commits_of(self.from, self.to, &branch.head)?)),
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let wanted = match self.options.branches.is_empty() {
            true => None,
            false => {
                let commits: Vec<Commit> = changed
                    .iter()
                    .flat_map(|(.., commits)| commits.own.iter().chain(&commits.others))
                    .cloned()
                    .collect();
                Some(packs_of(self.registry, self.from, &commits)?)
            }
        };
        copy_packs(self.from, self.to, wanted.as_ref(), &mut self.report, &self.options.watcher)?;
        let mut ready = Vec::new();
        for (branch, standing, commits) in changed {
            let placed = self.copy_log(branch, standing.as_ref(), &commits.own)?;
            ready.push(self.ready(branch, standing, commits, placed)?);
        }
        self.relate(&mut ready)?;
        self.publish(ready)
    }

    /// Lets the heads of the target know each other by the incarnations that they have there.
    fn relate(&self, ready: &mut Vec<Ready>) -> Result<()> {
        let (mut of_source, mut of_target) = (HashMap::new(), HashMap::new());
        for Ready { before, head, note, .. } in ready.iter() {
            of_source.insert(note.incarnation, head.incarnation);
            if let Some(before) = before {
                of_target.insert(before.head.incarnation, head.incarnation);
            }
        }
        let mut unchanged = Vec::new();
        for key in self.to.list("head/")? {
            let Some(bytes) = self.to.get(&key, None)?.filter(|_| ready.iter().all(|ready| ready.key != key)) else {
                continue;
            };
            let (Some(name), Some(note)) = (branch_of_key(&key), Note::of(self.to, &bytes)?) else { continue };
            let head = Head::decode_at(self.to.encoding(), bytes.clone(), &key)?;
            of_source.insert(note.incarnation, head.incarnation);
            unchanged.push((key, name, Standing { bytes, head, note: Some(note.clone()) }, note));
        }
        for Ready { head, .. } in ready.iter_mut() {
            head.kin.rename(&of_source);
        }
        if self.restoring {
            return Ok(());
        }
        for (key, name, standing, note) in unchanged {
            let mut head = standing.head.clone();
            head.kin.rename(&of_target);
            if head.kin != standing.head.kin {
                ready.push(Ready {
                    key,
                    name,
                    before: Some(standing),
                    head,
                    note,
                    commits: Vec::new(),
                    others: Vec::new(),
                });
            }
        }
        Ok(())
    }

    /// The branch in the target, if there is one that may be replaced.
    fn standing(&self, key: &str) -> Result<Option<Standing>> {
        let Some(bytes) = self.to.get(key, None)? else { return Ok(None) };
        let note = if self.restoring { None } else { Note::of(self.to, &bytes)? };
        let head = Head::decode_at(self.to.encoding(), bytes.clone(), key)?;
        if note.is_none() && !self.options.overwrite && !head.is_removed() {
            return Err(if self.restoring { exists() } else { foreign(key) });
        }
        Ok(Some(Standing { head, bytes, note }))
    }

    /// Whether the target has all of the branch. Another database is not to be replaced unasked.
    fn is_current(&self, branch: &Branch, note: &Note) -> Result<bool> {
        if note.incarnation != branch.head.incarnation && !self.options.overwrite {
            return Err(foreign(&branch.key));
        }
        if note.head != branch.bytes || note.is_stale {
            return Ok(false);
        }
        let end = note.end;
        Ok(LogReader::beside_writer(self.from.clone(), note.incarnation, end, end.seq).next()?.is_none())
    }

    fn copy_log(&mut self, branch: &Branch, standing: Option<&Standing>, commits: &[Commit]) -> Result<Placed> {
        let source = log::Source { store: self.from, head: &branch.head, commits };
        let (report, watcher) = (&mut self.report, &self.options.watcher);
        let transactions = report.transactions;
        if let Some(Standing { head, note: Some(note), .. }) = standing
            && note.incarnation == branch.head.incarnation
            && let Some(placed) = log::append(&source, self.to, (head, note), report, watcher)?
        {
            return Ok(placed);
        }
        report.transactions = transactions;
        // What the head of the target goes on to name must not change under it.
        let is_taken = standing.is_some_and(|standing| standing.head.incarnation == branch.head.incarnation);
        let incarnation = if is_taken { Uuid::now_v7().as_u128() } else { branch.head.incarnation };
        log::copy(&source, self.to, incarnation, report, watcher)
    }

    /// The head and the commits as they are in the target.
    fn ready(&self, branch: &Branch, before: Option<Standing>, commits: Commits, placed: Placed) -> Result<Ready> {
        let Commits { own: commits, others } = commits;
        let last = commits.last().map_or(0, |commit| commit.basis_t);
        let note = Note {
            incarnation: branch.head.incarnation,
            head: branch.bytes.clone(),
            end: placed.source_end,
            basis: placed.basis.unwrap_or(0).max(last).max(before_basis(before.as_ref())),
            is_stale: placed.is_stale,
        };
        let head = Head {
            session: 0,
            incarnation: placed.incarnation,
            closed_at: Some(placed.end),
            log_start: placed.start,
            format: commit::FORMAT,
            ..branch.head.clone()
        };
        let mut told = Vec::with_capacity(commits.len());
        for commit in commits {
            // Of one that is long replaced only the number is ever asked for.
            let unknown = LogPosition { seq: commit.log.seq, ..LogPosition::START };
            let log = placed.places.get(&commit.log.seq).copied().unwrap_or(unknown);
            told.push(Commit { log, config: self.config_of(&commit.config)?, ..commit });
        }
        let elsewhere = |commit: Commit| {
            let log = LogPosition { seq: commit.log.seq, ..LogPosition::START };
            Ok(Commit { log, config: self.config_of(&commit.config)?, ..commit })
        };
        let others = others.into_iter().map(elsewhere).collect::<Result<Vec<Commit>>>()?;
        Ok(Ready { key: branch.key.clone(), name: branch.name, before, head, note, commits: told, others })
    }

    /// The config that a database remembers, in the target's store.
    fn config_of(&self, config: &str) -> Result<String> {
        let config = Config::from_edn(config).map_err(|error| error.context("the stored config"))?;
        let id = self.target.given_id().or(config.store_config().given_id());
        let store = StoreConfig::new(self.target.backend().as_str());
        let store = id.map_or(store.clone(), |id| store.with_id(id)).with_encoding(self.target.encoding().clone());
        Ok(config.store(store).to_form().to_string())
    }

    /// Writes the commits, and then the heads.
    fn publish(&mut self, ready: Vec<Ready>) -> Result<()> {
        // A collection that deleted anything of what was copied has deleted the commit before.
        let mut present = Vec::new();
        for ready in &ready {
            for commit in &ready.commits {
                let is_there = self.from.size(&Commit::key(commit.id))?.is_some();
                if !is_there && commit.id == ready.head.commit {
                    let message = format!("the commit {:?} was collected before it was copied", Commit::key(commit.id));
                    return Err(Error::new(ErrorKind::Corrupt, "backup/overtaken", message));
                }
                present.extend(is_there.then_some(commit));
            }
        }
        // The branch that a commit is of knows its place.
        let mut told: HashSet<u128> = present.iter().map(|commit| commit.id).collect();
        for commit in ready.iter().flat_map(|ready| &ready.others) {
            if told.insert(commit.id) && self.from.size(&Commit::key(commit.id))?.is_some() {
                present.push(commit);
            }
        }
        for commit in present {
            let (key, bytes) = (Commit::key(commit.id), commit.encode(self.to.encoding())?);
            if self.to.get(&key, None)?.as_ref() == Some(&bytes) {
                continue;
            }
            self.report.blobs += 1;
            self.report.bytes += bytes.len() as u64;
            self.to.put(&key, bytes)?;
        }
        for Ready { key, before, head, note, .. } in &ready {
            let bytes = head.encode_at(self.to.encoding(), key)?;
            if !self.restoring {
                note.write(self.to, &bytes)?;
            }
            let expected = before.as_ref().map(|standing| standing.bytes.as_slice());
            if !self.to.swap(key, expected, bytes.clone())? && self.to.get(key, None)?.as_ref() != Some(&bytes) {
                let message =
                    format!("somebody else has written {key:?} in the target meanwhile; run the backup again");
                return Err(Error::new(ErrorKind::Fenced, "backup/fenced", message));
            }
        }
        self.tidy(&ready)?;
        self.report.branches.extend(ready.iter().map(|ready| (ready.name, EntityId(ready.note.basis))));
        self.report.branches.sort_unstable();
        self.report.branches.dedup();
        Ok(())
    }

    /// Deletes what was replaced: logs that were copied anew, notes, heads of another database and, if that is wanted, all
    /// that nothing needs any more.
    fn tidy(&mut self, ready: &[Ready]) -> Result<()> {
        let replaced = |ready: &Ready| {
            let before = ready.before.as_ref().map(|standing| standing.head.incarnation);
            before.filter(|incarnation| *incarnation != ready.head.incarnation)
        };
        for incarnation in ready.iter().filter_map(replaced) {
            for key in self.to.list(&format!("log/{incarnation:032x}/"))? {
                self.report.deleted += u64::from(self.to.delete(&key)?);
            }
        }
        let mut heads = Vec::new();
        for key in self.to.list("head/")? {
            let Some(bytes) = self.to.get(&key, None)? else { continue };
            let is_other = !ready.iter().any(|ready| ready.key == key);
            if is_other && self.options.overwrite && (self.restoring || Note::of(self.to, &bytes)?.is_none()) {
                self.report.deleted += u64::from(self.to.delete(&key)?);
            } else {
                heads.push(bytes);
            }
        }
        note::sweep(self.to, if self.restoring { &[] } else { &heads })?;
        self.to.sync()?;
        match (self.options.prune, ready.iter().find_map(|ready| ready.commits.last())) {
            (Some(age), Some(commit)) => self.prune(i64::try_from(age.as_millis()).unwrap_or(i64::MAX), commit),
            _ => Ok(()),
        }
    }

    fn prune(&mut self, age: i64, commit: &Commit) -> Result<()> {
        let kind = self.registry.index(Keyword::new(&commit.index))?;
        let nodes = Arc::new(StoredNodes::uncached(self.to.clone()));
        let blobs = gc::Blobs::list(self.to)?;
        let cutoff = now().saturating_sub(age);
        let marked = gc::mark(&nodes, (&commit.index, kind.as_ref()), &gc::roots(self.to, cutoff)?, cutoff)?;
        let garbage = marked.garbage(self.to, &blobs, cutoff, None)?;
        self.report.deleted += garbage.blobs().count() as u64;
        garbage.sweep(self.to)
    }

    /// Copies a database that lives in memory, which has neither blobs nor a log: it is stored as it is now.
    fn copy_memory(&mut self, source: &Config) -> Result<()> {
        let conn = connect_in(self.registry, source)?;
        let db = conn.db();
        conn.release()?;
        let key = head_key(source.branch_name());
        let before = self.standing(&key)?;
        let nodes = StoredNodes::uncached(self.to.clone());
        let provenance = commit::Provenance {
            config: self.config_of(&source.to_form().to_string())?,
            index: source.index_kind().unwrap_or_else(|| Keyword::new("datahike.index/persistent-set")),
            index_settings: source.index_settings(),
        };
        let stored = commit::write_commit(&nodes, db.snapshot(), &provenance, Vec::new(), LogPosition::START, now());
        // The nodes of the database stay where they are.
        let (_, commit, _) = stored?;
        self.report.blobs += 1;
        let incarnation = Uuid::now_v7().as_u128();
        let head = Head { commit: commit.id, closed_at: Some(LogPosition::START), ..Head::new(incarnation) };
        let (end, basis) = (LogPosition::START, commit.basis_t);
        let note = Note { incarnation, head: Vec::new(), end, basis, is_stale: true };
        let bytes = head.encode_at(self.to.encoding(), &key)?;
        if !self.restoring {
            note.write(self.to, &bytes)?;
        }
        if !self.to.swap(&key, before.as_ref().map(|standing| standing.bytes.as_slice()), bytes)? {
            return Err(foreign(&key));
        }
        let ready =
            Ready { key, name: source.branch_name(), before, head, note, commits: vec![commit], others: Vec::new() };
        self.tidy(&[ready])?;
        self.report.branches.push((source.branch_name(), EntityId(basis)));
        Ok(())
    }
}

fn before_basis(before: Option<&Standing>) -> u64 {
    before.and_then(|standing| standing.note.as_ref()).map_or(0, |note| note.basis)
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn missing(branch: Option<Keyword>) -> Error {
    let what = branch.map_or("a database".to_owned(), |name| format!("a branch {name}"));
    let message = format!("the source of the backup does not hold {what}");
    Error::new(ErrorKind::Existence, "db-does-not-exist", message)
}

fn exists() -> Error {
    let message = "the store holds a database already; restore into another, or say that it is to be replaced";
    Error::new(ErrorKind::Existence, "db-already-exists", message)
}

fn foreign(key: &str) -> Error {
    let message = format!(
        "{key:?} in the target is no backup of this database, or was written to since the last one: give another store, or say \
         that it is to be replaced"
    );
    Error::new(ErrorKind::Existence, "backup/foreign-target", message)
}
