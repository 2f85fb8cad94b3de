//! Reading a log from a position on.

use super::entry::{Entry, LogPosition};
use super::medium::{Found, Medium};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Store;

/// A walk over the entries of a log.
#[derive(Debug, Clone)]
pub(crate) struct LogReader {
    medium: Medium,
    position: LogPosition,
    /// The last entry that was read: where it lies and its frame.
    last: Option<(LogPosition, Vec<u8>)>,
    /// Beside a writer: the number of entries that are known to be durable.
    durable: Option<u64>,
}

/// How a log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing stands after the last entry.
    Clean,
    /// Something was being written when the writer stopped; it was never acknowledged.
    Dropped,
    /// A writer is at work: there is more to read already, or will be.
    Growing,
}

impl LogReader {
    /// Reads the log of a branch's incarnation from `position` on, all that is there: for who is or becomes its writer.
    pub fn new(store: Store, incarnation: u128, position: LogPosition) -> LogReader {
        LogReader { medium: Medium::new(store, incarnation), position, last: None, durable: None }
    }

    /// Reads beside a writer, of whom at least `durable` entries are durable: an entry that is being written is not
    /// read before it is durable, where that can be told.
    pub fn beside_writer(store: Store, incarnation: u128, position: LogPosition, durable: u64) -> LogReader {
        LogReader { durable: Some(durable.max(position.seq)), ..LogReader::new(store, incarnation, position) }
    }

    /// Where the next entry begins, or will.
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// Reads on from an earlier position of this walk.
    pub fn back_to(&mut self, position: LogPosition) {
        self.position = position;
        self.last = None;
    }

    /// Whether the log stands at the end that its last writer gave it, and nobody has written since: the next writer
    /// begins with a mark that is never deleted. In place nobody leaves a mark, so there it cannot be told.
    pub fn is_closed_at(&self, end: Option<LogPosition>) -> bool {
        !self.medium.writes_in_place() && end == Some(self.position)
    }

    pub(super) fn medium(&self) -> &Medium {
        &self.medium
    }

    /// The last entry that was read: where it lies and its frame.
    pub(super) fn last(&self) -> Option<&(LogPosition, Vec<u8>)> {
        self.last.as_ref()
    }

    /// Checks that the log reaches to where the reading begins.
    ///
    /// # Errors
    /// `Corrupt` when the entries before are not there, so that those after them are not either.
    pub fn check_start(&self) -> Result<()> {
        if self.medium.reaches(&self.position)? {
            return Ok(());
        }
        let LogPosition { seq, segment, offset, .. } = self.position;
        let message = format!(
            "the log is missing before entry {seq} (segment {segment}, offset {offset}); restore the store from a backup"
        );
        Err(Error::new(ErrorKind::Corrupt, "log/corrupt", message))
    }

    /// The next entry; `None` at the end of the log.
    ///
    /// # Errors
    /// `Corrupt` for an entry that does not follow from the one before.
    pub fn next(&mut self) -> Result<Option<Entry>> {
        let Some((place, Found { entry, frame, link })) = self.follower(&self.position)? else { return Ok(None) };
        let after = self.medium.after(&place, frame.len(), link, entry.rewritten);
        if let Some(durable) = self.durable
            && durable <= entry.seq
        {
            // No hint: nobody on this machine has written since it started, or it cannot tell.
            let hinted = self.medium.hinted()?;
            if hinted.is_some_and(|hinted| hinted <= entry.seq) && self.follower(&after)?.is_none() {
                return Ok(None);
            }
            // An entry that follows was begun when this one was durable.
            self.durable = Some(hinted.unwrap_or(0).max(entry.seq + 1));
        }
        self.last = Some((place, frame));
        self.position = after;
        Ok(Some(entry))
    }

    /// The entry that follows the one before `position`, and where it lies: there, or where the writer has left the
    /// segment, at the beginning of the next.
    fn follower(&self, position: &LogPosition) -> Result<Option<(LogPosition, Found)>> {
        let sealed = self.medium.sealed(position);
        for place in [*position, sealed] {
            if let Some(found) = self.medium.read(&place)?
                // In a segment, what an earlier writer left behind the end may stand here.
                && found.entry.seq == place.seq
                && found.entry.previous == place.previous
            {
                return Ok(Some((place, found)));
            }
            if sealed == *position {
                break;
            }
        }
        Ok(None)
    }

    /// What stands at the end, after [`next`](Self::next) has answered `None`.
    ///
    /// # Errors
    /// `Corrupt` when a later entry proves that the entry missing here was durable once.
    pub fn tail(&self) -> Result<Tail> {
        if !self.medium.writes_in_place() {
            // An entry is there whole or not at all, and the one after it not without it.
            return Ok(Tail::Clean);
        }
        let later = self.medium.later(&self.position)?;
        // A writer may have written this entry and later ones since it was looked for.
        if self.follower(&self.position)?.is_some() {
            return Ok(Tail::Growing);
        }
        let mut tail = Tail::Clean;
        for entry in later {
            if entry.durable > self.position.seq {
                let LogPosition { seq, segment, offset, .. } = self.position;
                let message = format!(
                    "entry {seq} of the log (segment {segment}, offset {offset}) is damaged: entry {} says that it was \
                     durable; restore the store from a backup",
                    entry.seq
                );
                return Err(Error::new(ErrorKind::Corrupt, "log/corrupt", message));
            }
            tail = Tail::Dropped;
        }
        if tail == Tail::Clean && self.medium.dirty(&self.position)? {
            tail = Tail::Dropped;
        }
        Ok(tail)
    }
}

/// The last transaction of the entries that can still be read after `position`, where the log ends or is damaged; `None` if
/// there are none.
///
/// # Errors
/// Those of the store.
pub(crate) fn number_after(store: &Store, incarnation: u128, position: &LogPosition) -> Result<Option<u64>> {
    let entries = Medium::new(store.clone(), incarnation).after_gap(position)?;
    Ok(entries.iter().flat_map(|entry| &entry.transactions).map(|transaction| transaction.t).max())
}
