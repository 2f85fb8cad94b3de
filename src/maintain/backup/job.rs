//! What one backup or restore copies, branch by branch.

use std::collections::HashSet;

use super::log::{self, Placed};
use super::note::Note;
use super::packs::{Commits, commits_of, copy_packs, packs_of};
use crate::commit::{self, Commit, Head, branch_of_key, branches, head_key};
use crate::datom::EntityId;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::log::{LogPosition, LogReader};
use crate::maintain::config_in;
use crate::maintain::options::{BackupOptions, BackupReport};
use crate::registry::Registry;
use crate::store::{Store, StoreConfig};
use crate::world;

/// A branch of the source.
pub(super) struct Branch {
    key: String,
    name: Keyword,
    bytes: Vec<u8>,
    head: Head,
}

/// The same branch as it is in the target.
pub(super) struct Standing {
    pub bytes: Vec<u8>,
    pub head: Head,
    /// Absent where it is no backup's.
    pub note: Option<Note>,
}

impl Standing {
    /// Whether it is a backup of the branch with that incarnation.
    pub fn is_of(&self, incarnation: u128) -> bool {
        self.note.as_ref().is_some_and(|note| note.incarnation == incarnation)
    }
}

/// What has to be written when everything else is in the target.
pub(super) struct Ready {
    pub key: String,
    pub name: Keyword,
    pub before: Option<Standing>,
    pub head: Head,
    pub note: Note,
    /// Those of the branch's own log, the head's last.
    pub commits: Vec<Commit>,
    /// Those of other branches that it refers to, parents first.
    pub others: Vec<Commit>,
}

pub(super) struct Job<'a> {
    pub registry: &'a Registry,
    pub from: &'a Store,
    pub to: &'a Store,
    pub target: &'a StoreConfig,
    pub options: &'a BackupOptions,
    pub restoring: bool,
    /// Whether no branch of the target stays but those that are copied.
    pub replaces_all: bool,
    pub report: BackupReport,
}

impl<'a> Job<'a> {
    pub fn new(
        registry: &'a Registry,
        from: &'a Store,
        (target, to): (&'a StoreConfig, &'a Store),
        options: &'a BackupOptions,
        restoring: bool,
    ) -> Job<'a> {
        let report = BackupReport::default();
        Job { registry, from, to, target, options, restoring, replaces_all: restoring, report }
    }

    /// The branches that are to be copied.
    pub fn branches(&self) -> Result<Vec<Branch>> {
        let named: Vec<String> = self.options.branches.iter().map(|name| head_key(*name)).collect();
        let keys = if named.is_empty() { self.from.list("head/")? } else { named };
        let mut branches = Vec::new();
        for key in keys {
            let name = branch_of_key(&key).ok_or_else(|| {
                Error::new(ErrorKind::Corrupt, "store/corrupt", format!("{key:?} is the key of no branch"))
            })?;
            let bytes = self.from.get(&key, None)?;
            let head = bytes.clone().map(|bytes| Head::decode_at(self.from.encoding(), bytes, &key)).transpose()?;
            match (bytes, head.filter(|head| !head.is_removed())) {
                (Some(bytes), Some(head)) => branches.push(Branch { key, name, bytes, head }),
                _ if self.options.branches.is_empty() => {}
                _ => return Err(missing(Some(name))),
            }
        }
        if branches.is_empty() { Err(missing(None)) } else { Ok(branches) }
    }

    /// Whether a branch has changed since it was read, or is being changed.
    pub fn is_overtaken(&self, branches: &[Branch]) -> Result<bool> {
        for branch in branches {
            if branch.head.purges.is_some() || self.from.get(&branch.key, None)?.as_ref() != Some(&branch.bytes) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub fn copy(&mut self, branches: &[Branch]) -> Result<()> {
        // Of an attempt before that was overtaken.
        (self.report.transactions, self.report.skipped) = (0, 0);
        self.report.branches.clear();
        let standing = branches.iter().map(|branch| self.standing(&branch.key)).collect::<Result<Vec<_>>>()?;
        self.check_target(branches, &standing)?;
        let mut changed = Vec::new();
        for (branch, standing) in branches.iter().zip(standing) {
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
                let commits = changed.iter().flat_map(|(.., commits)| commits.own.iter().chain(&commits.others));
                Some(packs_of(self.registry, self.from, commits)?)
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

    /// The branch in the target, if there is one that may be replaced.
    pub fn standing(&self, key: &str) -> Result<Option<Standing>> {
        let Some(bytes) = self.to.get(key, None)? else { return Ok(None) };
        let note = if self.restoring { None } else { Note::of(self.to, &bytes)? };
        let head = Head::decode_at(self.to.encoding(), bytes.clone(), key)?;
        if note.is_none() && !self.options.overwrite && !head.is_removed() {
            return Err(if self.restoring { exists() } else { foreign(key) });
        }
        Ok(Some(Standing { head, bytes, note }))
    }

    /// Another database is not to be replaced unasked, and when it is, nothing of it is to stay. A branch that was replaced
    /// in the source is no other database.
    fn check_target(&mut self, branches: &[Branch], standing: &[Option<Standing>]) -> Result<()> {
        let is_of = |(branch, standing): (&Branch, &Option<Standing>)| {
            standing.as_ref().is_some_and(|standing| standing.is_of(branch.head.incarnation))
        };
        if branches.iter().zip(standing).any(is_of) {
            return Ok(());
        }
        let stands = branches::heads(self.to)?;
        let Some((name, _)) = stands.first() else { return Ok(()) };
        if !self.restoring && self.is_related()? {
            return Ok(());
        }
        if !self.options.overwrite {
            return Err(if self.restoring { exists() } else { foreign(&head_key(*name)) });
        }
        self.replaces_all = true;
        Ok(())
    }

    /// Whether source and target have a commit or a pack in common, of which no two are made with one id.
    fn is_related(&self) -> Result<bool> {
        for prefix in ["commit/", "pack/"] {
            let known: HashSet<String> = self.from.list(prefix)?.into_iter().collect();
            if self.to.list(prefix)?.iter().any(|key| known.contains(key)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the target has all of the branch.
    fn is_current(&self, branch: &Branch, note: &Note) -> Result<bool> {
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
        let incarnation = if is_taken { world::ordered_id() } else { branch.head.incarnation };
        log::copy(&source, self.to, incarnation, report, watcher)
    }

    /// The head and the commits as they are in the target.
    fn ready(&self, branch: &Branch, before: Option<Standing>, commits: Commits, placed: Placed) -> Result<Ready> {
        let Commits { own: commits, others } = commits;
        let last = commits.last().map_or(0, |commit| commit.basis_t);
        let note = before.as_ref().and_then(|before| before.note.as_ref());
        let earlier = note.filter(|note| note.incarnation == branch.head.incarnation).map_or(0, |note| note.basis);
        let note = Note {
            incarnation: branch.head.incarnation,
            head: branch.bytes.clone(),
            end: placed.source_end,
            basis: placed.basis.unwrap_or(0).max(last).max(earlier),
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
        // Of a commit that is long replaced, or of another branch, only the number is ever asked for.
        let told = |commit: Commit, place: Option<&LogPosition>| {
            let log = place.copied().unwrap_or(LogPosition { seq: commit.log.seq, ..LogPosition::START });
            Ok(Commit { log, config: config_in(self.target, &commit.config)?, ..commit })
        };
        let own = commits.into_iter().map(|commit| {
            let place = placed.places.get(&commit.log.seq);
            told(commit, place)
        });
        let commits = own.collect::<Result<Vec<Commit>>>()?;
        let others = others.into_iter().map(|commit| told(commit, None)).collect::<Result<Vec<Commit>>>()?;
        Ok(Ready { key: branch.key.clone(), name: branch.name, before, head, note, commits, others })
    }
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

pub(super) fn foreign(key: &str) -> Error {
    let message = format!(
        "{key:?} in the target is no backup of this database, or was written to since the last one: give another store, or say \
         that it is to be replaced"
    );
    Error::new(ErrorKind::Existence, "backup/foreign-target", message)
}
