//! Taking something out of entries that nobody will replay any more.

use super::entry::{Entry, LogPosition, Transaction};
use super::medium::Found;
use super::reader::LogReader;
use crate::error::{Error, ErrorKind, Result};
use crate::store::Store;

/// Gives `reduce` every transaction of the entries from `start` to `end` (exclusive), and puts the bytes that it answers
/// with in the place of the transaction's; `None` leaves it as it is.
///
/// Where entries lie in segments, a segment is replaced whole, so `start` begins one and none of these segments may be
/// written to. After a loss of power each segment or entry is the old or the new one, and the same call goes on.
///
/// # Errors
/// `Corrupt` when the log does not reach to `end`; those of `reduce` and of the store.
pub(crate) fn rewrite(
    store: &Store,
    incarnation: u128,
    start: LogPosition,
    end: u64,
    reduce: &mut dyn FnMut(&Transaction) -> Result<Option<Vec<u8>>>,
) -> Result<()> {
    let mut reader = LogReader::new(store.clone(), incarnation, start);
    let in_segments = reader.medium().writes_in_place();
    let mut segment = Segment::default();
    while reader.position().seq < end {
        let Some(mut entry) = reader.next()? else {
            let message = format!("the log ends before entry {}, but entry {end} was written", reader.position().seq);
            return Err(Error::new(ErrorKind::Corrupt, "log/corrupt", message));
        };
        let Some(place) = reader.last().map(|(place, _)| *place) else { continue };
        let begins = segment.first.is_none_or(|first| !in_segments || first.segment != place.segment);
        if begins {
            segment.write(&reader)?;
            segment.first = Some(place);
        }
        for transaction in &mut entry.transactions {
            if let Some(bytes) = reduce(transaction)? {
                transaction.bytes = bytes;
                segment.is_changed = true;
            }
        }
        segment.entries.push((entry, reader.position().previous));
    }
    segment.write(&reader)
}

/// Entries that are written together.
#[derive(Default)]
struct Segment {
    first: Option<LogPosition>,
    entries: Vec<(Entry, u64)>,
    is_changed: bool,
}

impl Segment {
    /// Writes the entries if any was changed, and begins anew.
    fn write(&mut self, reader: &LogReader) -> Result<()> {
        let Segment { first, entries, is_changed } = std::mem::take(self);
        match first {
            Some(first) if is_changed => reader.medium().rewrite(&first, &entries),
            _ => Ok(()),
        }
    }
}

/// Whether the blob under `key`, an entry of its own, is the mark of a session.
///
/// # Errors
/// `Corrupt` for damage, and those of the store.
pub(crate) fn is_mark(store: &Store, key: &str) -> Result<bool> {
    let found = store.get(key, None)?.map(|bytes| Found::decode(store.encoding(), bytes, key)).transpose()?;
    Ok(found.is_some_and(|found| found.entry.transactions.is_empty()))
}

/// Verifies the blob under `key`, an entry of its own.
///
/// # Errors
/// As [`is_mark`].
pub(crate) fn check_entry(store: &Store, key: &str) -> Result<()> {
    is_mark(store, key).map(drop)
}
