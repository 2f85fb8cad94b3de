//! Copying a log to another place: the same entries, whose frames and hashes are others there.

use super::entry::{Entry, LogPosition};
use super::medium::Medium;
use crate::error::Result;
use crate::store::Store;

/// Bytes of frames that are written together.
const BATCH: usize = 4 << 20;

/// The end of a log that is being copied to.
///
/// No entry that it writes claims that another of them is durable: after a loss of power what is there of them counts as the
/// tail of the log, as if it had never been written.
#[derive(Debug)]
pub(crate) struct LogCopy {
    medium: Medium,
    position: LogPosition,
    /// The number of entries that were durable before.
    durable: u64,
    batch: Vec<(LogPosition, Vec<u8>)>,
    batched: usize,
    bytes: u64,
}

impl LogCopy {
    /// Goes on at `position` of a log whose entries before it are durable.
    pub fn onto(store: Store, incarnation: u128, position: LogPosition) -> LogCopy {
        let medium = Medium::new(store, incarnation);
        LogCopy { medium, position, durable: position.seq, batch: Vec::new(), batched: 0, bytes: 0 }
    }

    /// Where the next entry will go.
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// Bytes of frames so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next entry; `link` is the hash by which the entry after a rewritten one names it.
    ///
    /// # Errors
    /// Those of the store.
    pub fn append(&mut self, entry: Entry, link: u64) -> Result<()> {
        let entry = Entry { previous: self.position.previous, durable: self.durable, ..entry };
        let (frame, link) = self.medium.copied(&self.position, &entry, link)?;
        let next = self.medium.after(&self.position, frame.len(), link, false);
        self.batched += frame.len();
        self.bytes += frame.len() as u64;
        self.batch.push((self.position, frame));
        if self.batched >= BATCH || next.segment != self.position.segment {
            self.write()?;
        }
        self.position = next;
        Ok(())
    }

    /// Makes durable what was appended, and says where the log goes on.
    ///
    /// # Errors
    /// Those of the store.
    pub fn finish(&mut self) -> Result<LogPosition> {
        self.write()?;
        Ok(self.position)
    }

    fn write(&mut self) -> Result<()> {
        self.batched = 0;
        self.medium.write_many(std::mem::take(&mut self.batch))
    }
}
