//! Reading a log from a position on.

use super::entry::{Entry, LogPosition, link};
use super::medium::{Found, Medium};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Store;

/// A walk over the entries of a log.
#[derive(Debug, Clone)]
pub(crate) struct LogReader {
    medium: Medium,
    position: LogPosition,
}

/// How a log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing stands after the last entry.
    Clean,
    /// Something was being written when the writer stopped; it was never acknowledged.
    Dropped,
}

impl LogReader {
    /// Reads the log of a branch's incarnation from `position` on.
    pub fn new(store: Store, incarnation: u128, position: LogPosition) -> LogReader {
        LogReader { medium: Medium::new(store, incarnation), position }
    }

    /// Where the next entry begins, or will.
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// The next entry; `None` at the end of the log.
    ///
    /// # Errors
    /// `Corrupt` for an entry that does not follow from the one before.
    pub fn next(&mut self) -> Result<Option<Entry>> {
        let Found::Frame(bytes, body) = self.medium.read(&self.position)? else { return Ok(None) };
        let entry = Entry::decode(bytes.get(body).unwrap_or_default())?;
        if entry.seq != self.position.seq || entry.previous != self.position.previous {
            // In a segment, what an earlier writer left behind the end may stand here.
            return Ok(None);
        }
        self.position = self.medium.after(&self.position, bytes.len(), link(&bytes));
        Ok(Some(entry))
    }

    /// What stands at the end, after [`next`](Self::next) has answered `None`.
    ///
    /// # Errors
    /// `Corrupt` when a later entry proves that the entry missing here was durable once.
    pub fn tail(&self) -> Result<Tail> {
        let later = self.medium.later(&self.position)?;
        let mut tail = Tail::Clean;
        for body in later {
            let Ok(entry) = Entry::decode(&body) else { continue };
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
