//! Writing a log: one writer, one entry at a time.

use uuid::Uuid;

use super::entry::{Entry, LogPosition, Transaction, link};
use super::medium::Medium;
use super::reader::LogReader;
use crate::error::{Error, ErrorKind, Result};
use crate::world;

/// The end of a log that is being written.
#[derive(Debug)]
pub(crate) struct LogWriter {
    medium: Medium,
    position: LogPosition,
    session: u128,
    /// That of the last entry; the first is drawn, so that no other writer's are the same.
    nonce: u128,
    /// Set by the first failure: what is durable after it is not known, so nothing more is written.
    poisoned: bool,
}

impl LogWriter {
    /// Takes over a log that was read to its end: by writing the mark of a new session, which is what fences older
    /// writers; in place there is nothing to fence, for the backend itself keeps a second writer out.
    ///
    /// # Errors
    /// `Fenced` when another writer's entry stands there, and those of the store.
    pub fn begin(read: &LogReader, session: u128) -> Result<LogWriter> {
        let medium = read.medium().clone();
        let mut writer =
            LogWriter { medium, position: read.position(), session, nonce: world::random_id(), poisoned: false };
        // The last entry can be read and yet not be on the disk: its writer was killed before the sync, or the sync
        // failed, after which another sync says nothing about it. The entries to come build on it, so it is written
        // once more. All before it were durable when it was written.
        if !writer.medium.writes_in_place() {
            writer.append(Vec::new())?;
        } else if let Some((position, frame)) = read.last() {
            writer.medium.write(position, frame.clone())?;
            writer.medium.hint(writer.position.seq)?;
        }
        Ok(writer)
    }

    /// Where the next entry will go.
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// Leaves the segment that is being written: the next entry goes to a new one, so that none is written to those before
    /// any more. Readers who come to the end of the segment look there.
    pub fn seal(&mut self) -> LogPosition {
        self.position = self.medium.sealed(&self.position);
        self.position
    }

    /// Makes transactions durable as one entry.
    ///
    /// # Errors
    /// `Fenced` when another writer has taken over, those of the store otherwise. After an error the writer refuses all
    /// further calls: the transactions may or may not be in the log, and the next open will tell.
    pub fn append(&mut self, transactions: Vec<Transaction>) -> Result<()> {
        if self.poisoned {
            let message = "an earlier write to the log failed; release the connection and connect again";
            return Err(Error::new(ErrorKind::Closed, "writer-shut-down", message));
        }
        // Also should the backend panic.
        self.poisoned = true;
        let written = self.write(transactions);
        self.poisoned = written.is_err();
        written
    }

    fn write(&mut self, transactions: Vec<Transaction>) -> Result<()> {
        let LogPosition { seq, previous, .. } = self.position;
        self.nonce = self.nonce.wrapping_add(1);
        let nonce = self.nonce;
        let entry = Entry { seq, session: self.session, nonce, previous, durable: seq, transactions, rewritten: false };
        let frame = self.medium.frame(&self.position, &entry.encode()?)?;
        let next = self.medium.after(&self.position, frame.len(), link(&frame), false);
        match self.medium.write(&self.position, frame) {
            Ok(true) => {}
            Ok(false) => self.check_own(nonce, None)?,
            // The reply may be lost, not the write.
            Err(error) => self.check_own(nonce, Some(error))?,
        }
        self.position = next;
        // Before it is acknowledged: readers elsewhere see this entry from now on.
        self.medium
            .hint(next.seq)
            .map_err(|error| error.context("the transaction is durable, and hidden from readers"))?;
        Ok(())
    }

    /// Whether the entry that stands at the position is the one with `nonce`.
    fn check_own(&self, nonce: u128, failure: Option<Error>) -> Result<()> {
        // What an in-place write left behind says nothing about what is durable.
        let failure = match failure {
            Some(error) if self.medium.writes_in_place() => return Err(error),
            other => other,
        };
        let found = match self.medium.read(&self.position) {
            Ok(found) => found.map(|found| found.entry),
            Err(_) => None,
        };
        match (found, failure) {
            (Some(entry), _) if entry.nonce == nonce => Ok(()),
            (Some(entry), _) => Err(Error::new(
                ErrorKind::Fenced,
                "writer/fenced",
                format!(
                    "another writer (session {}) has taken over the database since; connect again to go on",
                    Uuid::from_u128(entry.session)
                ),
            )),
            (None, Some(error)) => Err(error.context("the outcome of the transaction is unknown")),
            (None, None) => Err(Error::new(
                ErrorKind::Storage,
                "writer/unknown-outcome",
                "the log refused an entry and then had none with its number; connect again to see what holds",
            )),
        }
    }
}
