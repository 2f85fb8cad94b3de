//! What one entry of the log says.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, ErrorKind, Result};

/// Where an entry of the log begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct LogPosition {
    /// The number of the entry, from 0.
    pub seq: u64,
    /// The segment it lies in; 0 where entries are blobs of their own.
    pub segment: u32,
    /// The offset in the segment.
    pub offset: u64,
    /// The hash of the entry before; 0 before the first.
    pub previous: u64,
}

impl LogPosition {
    /// The beginning of a new log.
    pub const START: LogPosition = LogPosition { seq: 0, segment: 0, offset: 0, previous: 0 };
}

/// One transaction as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transaction {
    /// Its id.
    pub t: u64,
    /// What it did, encoded by whoever wrote it.
    pub bytes: Vec<u8>,
}

/// An entry: the transactions that became durable together, or the mark of a new writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The number of the entry.
    pub seq: u64,
    /// The writer's session.
    pub session: u128,
    /// Another for each entry of each writer, so that a writer can tell its own entry from another's.
    pub nonce: u128,
    /// The hash of the entry before.
    pub previous: u64,
    /// The number of entries that were known to be durable when this one was written.
    pub durable: u64,
    /// Empty for the mark of a new session.
    pub transactions: Vec<Transaction>,
    /// Whether something was taken out of it since.
    #[serde(skip)]
    pub rewritten: bool,
}

impl Entry {
    pub fn encode(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(self).map_err(|e| {
            Error::new(ErrorKind::Internal, "log/encode", "an entry of the log cannot be encoded").caused_by(e)
        })
    }

    pub fn decode(bytes: &[u8]) -> Result<Entry> {
        postcard::from_bytes(bytes).map_err(|e| {
            Error::new(ErrorKind::Corrupt, "store/corrupt", "an entry of the log cannot be decoded").caused_by(e)
        })
    }
}

/// The hash by which the next entry names the one with this frame.
pub(crate) fn link(frame: &[u8]) -> u64 {
    xxh3_64(frame)
}
