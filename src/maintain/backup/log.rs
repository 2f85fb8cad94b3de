//! The log of a branch in the target of a backup.
//!
//! Entries are written anew rather than copied: a segment of a directory is overwritten in place while it is read, and a log
//! that lies in segments there may lie in blobs of their own here. The numbers of the entries stay, their hashes and
//! places do not, so a commit is told its place in the log that it comes to.

use std::collections::{HashMap, HashSet};

use super::note::Note;
use crate::commit::{Commit, Head, read_commit};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{LogCopy, LogPosition, LogReader};
use crate::maintain::options::{BackupReport, Watcher};
use crate::store::Store;
use crate::transact::{Merge, TxRecord};

/// A log whose copying is over.
pub(super) struct Placed {
    pub incarnation: u128,
    /// Where the copy begins and where it goes on.
    pub start: LogPosition,
    pub end: LogPosition,
    /// Where the source's log goes on.
    pub source_end: LogPosition,
    /// The last transaction, if there was any.
    pub basis: Option<u64>,
    /// Whether the source will take something out of what was copied.
    pub is_stale: bool,
    /// The places of the commits, by the numbers of the entries that follow them.
    pub places: HashMap<u64, LogPosition>,
}

/// Where a log comes from.
pub(super) struct Source<'a> {
    pub store: &'a Store,
    pub head: &'a Head,
    /// The head's commit, and others whose places are wanted.
    pub commits: &'a [Commit],
}

impl Source<'_> {
    /// The entry that follows the head's commit.
    fn flushed(&self) -> u64 {
        self.commits.last().map_or(0, |commit| commit.log.seq)
    }

    /// The entry up to which the log must reach.
    fn least_end(&self) -> u64 {
        self.flushed().max(self.head.closed_at.map_or(0, |end| end.seq))
    }

    fn wanted(&self) -> HashSet<u64> {
        self.commits.iter().map(|commit| commit.log.seq).collect()
    }
}

/// Writes what the source's log has gained since the backup of which `head` and `note` tell. `None` where the log was changed
/// before its old end, so that all of it has to be copied again.
pub(super) fn append(
    source: &Source<'_>,
    to: &Store,
    (head, note): (&Head, &Note),
    report: &mut BackupReport,
    watcher: &Watcher,
) -> Result<Option<Placed>> {
    let Some(end) = head.closed_at.filter(|_| !note.is_stale) else { return Ok(None) };
    let mut walk = Walk::begin(source, note.end, LogCopy::onto(to.clone(), head.incarnation, end), false);
    walk.places = earlier_places(to, head, end.seq, &walk.wanted)?;
    if !walk.run(report, watcher)? || walk.reader.position().seq < source.least_end() {
        return Ok(None);
    }
    let placed = walk.finish(source, head.incarnation, head.log_start)?;
    Ok(placed.places.contains_key(&source.flushed()).then_some(placed))
}

/// Copies all of the source's log under an incarnation that no head of the target has.
pub(super) fn copy(
    source: &Source<'_>,
    to: &Store,
    incarnation: u128,
    report: &mut BackupReport,
    watcher: &Watcher,
) -> Result<Placed> {
    let first = source.head.log_start;
    let start = LogPosition { seq: first.seq, ..LogPosition::START };
    let mut walk = Walk::begin(source, first, LogCopy::onto(to.clone(), incarnation, start), true);
    if walk.wanted.contains(&start.seq) {
        walk.places.insert(start.seq, start);
    }
    walk.run(report, watcher)?;
    if walk.reader.position().seq < source.least_end() {
        let message = format!(
            "the log ends at entry {}, but entry {} was written: part of the log is missing",
            walk.reader.position().seq,
            source.least_end().saturating_sub(1)
        );
        return Err(Error::new(ErrorKind::Corrupt, "log/corrupt", message));
    }
    walk.finish(source, incarnation, start)
}

/// What the log merges from a position on, by the names that branches have in the source.
pub(super) fn merges_after(to: &Store, incarnation: u128, at: LogPosition) -> Result<Vec<Merge>> {
    let (mut reader, mut merges) = (LogReader::new(to.clone(), incarnation, at), Vec::new());
    while let Some(entry) = reader.next()? {
        for transaction in &entry.transactions {
            merges.extend(TxRecord::decode(&transaction.bytes)?.merged());
        }
    }
    Ok(merges)
}

/// The places of commits in what the target's log has already.
fn earlier_places(to: &Store, head: &Head, end: u64, wanted: &HashSet<u64>) -> Result<HashMap<u64, LogPosition>> {
    let mut places = HashMap::new();
    if wanted.iter().all(|seq| *seq > end) {
        return Ok(places);
    }
    let mut reader = LogReader::new(to.clone(), head.incarnation, read_commit(to, head.commit)?.log);
    loop {
        let position = reader.position();
        if wanted.contains(&position.seq) {
            places.insert(position.seq, position);
        }
        if position.seq >= end || reader.next()?.is_none() {
            return Ok(places);
        }
    }
}

/// A walk from entry to entry.
struct Walk {
    reader: LogReader,
    copy: LogCopy,
    wanted: HashSet<u64>,
    places: HashMap<u64, LogPosition>,
    /// Whether entries out of which something was taken can be copied.
    whole: bool,
    /// The entry that follows the head's commit: from there on all must be as they were written.
    flushed: u64,
    basis: Option<u64>,
    /// The last entry with a purge.
    purge: Option<u64>,
}

impl Walk {
    fn begin(source: &Source<'_>, at: LogPosition, copy: LogCopy, whole: bool) -> Walk {
        let closed = source.head.closed_at.map_or(0, |end| end.seq);
        let reader = LogReader::beside_writer(source.store.clone(), source.head.incarnation, at, closed);
        let (places, flushed) = (HashMap::new(), source.flushed());
        Walk { reader, copy, wanted: source.wanted(), places, whole, flushed, basis: None, purge: None }
    }

    /// Copies up to the end. False where there is an entry that the head of the target could not replay, or would not
    /// have been left as it is.
    fn run(&mut self, report: &mut BackupReport, watcher: &Watcher) -> Result<bool> {
        let before = report.bytes;
        let first = self.reader.position().seq;
        watcher.tell("log", 0, 0, before);
        while let Some(entry) = self.reader.next()? {
            let mut purges = false;
            for transaction in &entry.transactions {
                purges |= TxRecord::decode(&transaction.bytes)?.purged().is_some();
            }
            if !self.whole && (purges || entry.rewritten) {
                return Ok(false);
            }
            if entry.rewritten && entry.seq >= self.flushed {
                let message =
                    format!("entry {} of the log was rewritten by a purge after the head was read", entry.seq);
                return Err(Error::new(ErrorKind::Corrupt, "log/rewritten", message));
            }
            self.purge = self.purge.max(purges.then_some(entry.seq));
            self.basis = self.basis.max(entry.transactions.last().map(|transaction| transaction.t));
            report.transactions += entry.transactions.len() as u64;
            self.copy.append(entry, self.reader.position().previous)?;
            report.bytes = before + self.copy.bytes();
            let place = self.copy.position();
            if self.wanted.contains(&place.seq) {
                self.places.insert(place.seq, place);
            }
            let done = place.seq - first;
            if done.is_multiple_of(1024) {
                watcher.tell("log", done, 0, report.bytes);
            }
        }
        // A hole is not the end. What was rewritten since looks like one.
        match self.reader.tail() {
            Err(error) if !self.whole && error.kind() == ErrorKind::Corrupt => Ok(false),
            tail => tail.map(|_| true),
        }
    }

    fn finish(mut self, source: &Source<'_>, incarnation: u128, start: LogPosition) -> Result<Placed> {
        let end = self.copy.finish()?;
        let is_stale = source.head.purges.is_some() || self.purge.is_some_and(|seq| seq >= self.flushed);
        let (source_end, basis, places) = (self.reader.position(), self.basis, self.places);
        Ok(Placed { incarnation, start, end, source_end, basis, is_stale, places })
    }
}
