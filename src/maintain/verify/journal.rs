//! The logs: whether their entries follow each other without a gap and lead from commit to commit.

use std::collections::BTreeSet;

use super::blobs::{Line, Source};
use super::findings::Findings;
use crate::commit::{self, Commit};
use crate::edn::Keyword;
use crate::error::Result;
use crate::log::{LogPosition, LogReader, check_entry, is_mark};
use crate::store::Store;
use crate::transact::TxRecord;

/// The blobs of logs that no branch has come upon yet.
pub(super) struct Logs {
    keys: BTreeSet<String>,
    in_place: bool,
}

impl Logs {
    pub fn list(store: &Store) -> Result<Logs> {
        let keys = store.list("log/")?.into_iter().collect();
        Ok(Logs { keys, in_place: store.capabilities().write_at })
    }

    /// Those that no branch needs.
    pub fn unused(self) -> impl Iterator<Item = String> {
        self.keys.into_iter()
    }

    /// Takes out those of a branch that was replaced or removed.
    pub fn leave(&mut self, incarnation: u128) {
        let prefix = format!("log/{incarnation:032x}/");
        self.keys.retain(|key| !key.starts_with(&prefix));
    }

    /// Takes out those of a branch from `start` on.
    fn take(&mut self, incarnation: u128, start: &LogPosition) -> BTreeSet<String> {
        let prefix = format!("log/{incarnation:032x}/");
        let first = if self.in_place { u64::from(start.segment) } else { start.seq };
        let from = format!("{prefix}{first:016x}");
        let taken: BTreeSet<String> =
            self.keys.range(from..).take_while(|key| key.starts_with(&prefix)).cloned().collect();
        self.keys.retain(|key| !taken.contains(key));
        taken
    }

    /// Takes out those before that keep older writers out.
    fn take_marks(&mut self, store: &Store, incarnation: u128) -> Result<()> {
        let prefix = format!("log/{incarnation:032x}/");
        let before: Vec<String> =
            self.keys.range(prefix.clone()..).take_while(|key| key.starts_with(&prefix)).cloned().collect();
        for key in before {
            if !self.in_place && is_mark(store, &key).unwrap_or(false) {
                self.keys.remove(&key);
            }
        }
        Ok(())
    }
}

/// Checks the log of a branch. `commit` is the one that the head names, if it can be read.
pub(super) fn check(
    source: &Source<'_>,
    Line { key, head }: &Line,
    commit: Option<&Commit>,
    logs: &mut Logs,
    findings: &mut Findings,
) -> Result<()> {
    let closed = head.closed_at.map_or(0, |end| end.seq);
    let flushed = commit.map_or(0, |commit| commit.log.seq);
    let mut blobs = logs.take(head.incarnation, &head.log_start);
    logs.take_marks(source.store, head.incarnation)?;
    findings.report.blobs += blobs.len() as u64;
    let mut reader =
        LogReader::beside_writer(source.store.clone(), head.incarnation, head.log_start, closed.max(flushed));
    let name = format!("log/{:032x}", head.incarnation);
    let mut last = None;
    let (mut at_commit, mut is_broken) = (None, false);
    loop {
        if reader.position().seq == flushed {
            at_commit = Some(last);
        }
        let entry = match reader.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(error) => {
                findings.error(&name, error)?;
                is_broken = true;
                break;
            }
        };
        for transaction in &entry.transactions {
            findings.report.transactions += 1;
            findings.report.bytes += transaction.bytes.len() as u64;
            let record =
                TxRecord::decode(&transaction.bytes).map_err(|error| error.context(format!("entry {}", entry.seq)));
            findings.note(&name, record)?;
            if last.is_some_and(|last| last >= transaction.t) {
                let what = format!(
                    "entry {} has transaction {}, which does not follow the one before",
                    entry.seq, transaction.t
                );
                findings.found("log/corrupt", &name, what);
            }
            last = Some(transaction.t);
        }
        if entry.seq.is_multiple_of(1024) {
            findings.tell("log", entry.seq, 0);
        }
    }
    let end = reader.position().seq;
    let tail = reader.tail();
    findings.note(&name, tail)?;
    if end < closed.max(flushed) {
        let after = last.map_or(String::new(), |t| format!(", after transaction {t}"));
        let what = format!("the log ends at entry {end}{after}, but entry {} was written", closed.max(flushed) - 1);
        findings.found("log/corrupt", &name, what);
    }
    if let (Some(commit), Some(Some(t))) = (commit, at_commit)
        && t != commit.basis_t
    {
        let what =
            format!("the log has transaction {t} where {key:?} names a commit after transaction {}", commit.basis_t);
        findings.found("verify/basis", &Commit::key(commit.id), what);
    }
    // Those behind a damaged one.
    if !source.store.capabilities().write_at {
        blobs.retain(|blob| number_of(blob).is_none_or(|number| number >= end));
        if !is_broken && !blobs.is_empty() {
            let what = format!(
                "entry {end} of the log is missing, or does not follow, and {} later ones are there",
                blobs.len()
            );
            findings.found("log/corrupt", &name, what);
        }
        for blob in &blobs {
            let checked = check_entry(source.store, blob);
            findings.note(blob, checked)?;
        }
    }
    match commit {
        Some(commit) => replay(source, commit, head.incarnation, closed, &name, findings),
        None => Ok(()),
    }
}

/// Whether the log leads on from the commit.
fn replay(
    source: &Source<'_>,
    commit: &Commit,
    incarnation: u128,
    closed: u64,
    name: &str,
    findings: &mut Findings,
) -> Result<()> {
    let kind = source.registry.index(Keyword::new(&commit.index))?;
    // What is wrong with the roots is told already.
    let Ok(mut snapshot) = commit::restore(commit, kind.as_ref(), &source.nodes) else { return Ok(()) };
    let mut reader = LogReader::beside_writer(source.store.clone(), incarnation, commit.log, closed);
    if findings.note(name, reader.check_start())?.is_some() {
        let replayed = commit::replay(&mut snapshot, &mut reader);
        findings.note(name, replayed)?;
    }
    Ok(())
}

fn number_of(key: &str) -> Option<u64> {
    u64::from_str_radix(key.rsplit_once('/')?.1, 16).ok()
}
