//! What a backup leaves in its target to go on from: of which head the copy is, and how far its log was copied.
//!
//! A note belongs to a head of the target by the hash of its bytes and is written before that head. So a head that anybody
//! else has moved has no note, and one that a backup did not come to move has the note of the backup before.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, ErrorKind, Result};
use crate::log::LogPosition;
use crate::store::Store;

/// The kind of a note's frame.
const KIND: u8 = 8;
/// Where notes are kept.
const NOTES: &str = "backup/";

/// What is known of the source of a head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The incarnation of the source's branch.
    pub incarnation: u128,
    /// The bytes of the source's head; none of a database in memory.
    pub head: Vec<u8>,
    /// Where the source's log goes on.
    pub end: LogPosition,
    /// The last transaction.
    pub basis: u64,
    /// Whether the source is about to take something out of what was copied of its log.
    pub is_stale: bool,
}

/// The key of the note that belongs to a head with these bytes.
fn key(head: &[u8]) -> String {
    format!("{NOTES}{:016x}", xxh3_64(head))
}

impl Note {
    /// The note of a head.
    pub fn of(store: &Store, head: &[u8]) -> Result<Option<Note>> {
        let key = key(head);
        let Some(bytes) = store.get(&key, None)? else { return Ok(None) };
        let body = store.encoding().open(&bytes, &key, 0)?.body;
        let note = postcard::from_bytes(&body).map_err(|e| {
            Error::new(ErrorKind::Corrupt, "store/corrupt", format!("the note {key:?} cannot be decoded")).caused_by(e)
        })?;
        Ok(Some(note))
    }

    /// Writes it for a head that will be written.
    pub fn write(&self, store: &Store, head: &[u8]) -> Result<()> {
        let key = key(head);
        let body = postcard::to_stdvec(self).map_err(|e| {
            Error::new(ErrorKind::Internal, "commit/encode", "a note of a backup cannot be encoded").caused_by(e)
        })?;
        store.put(&key, store.encoding().seal(KIND, 0, &body, &key, 0)?)
    }
}

/// Deletes the notes of no head.
pub(super) fn sweep(store: &Store, heads: &[Vec<u8>]) -> Result<()> {
    let kept: Vec<String> = heads.iter().map(|head| key(head)).collect();
    for note in store.list(NOTES)? {
        if !kept.contains(&note) {
            store.delete(&note)?;
        }
    }
    Ok(())
}
