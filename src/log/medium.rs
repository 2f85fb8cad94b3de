//! Where the entries lie: in segments that are written in place, or as blobs of their own.

use super::entry::{Entry, LogPosition, link};
use crate::error::{Error, ErrorKind, Result};
use crate::store::frame::{HEADER, Sealed};
use crate::store::{Encoding, Store};

/// The kind of a log entry's frame.
const KIND: u8 = 1;
/// The kind of the frame of an entry from which something was taken out: the hash of the frame that it took the place of,
/// and the entry.
const REWRITTEN: u8 = 5;
/// Entries begin at multiples of this many bytes, so that a search for later ones has few places to look at.
pub(super) const ALIGN: u64 = 8;
/// A segment that has reached so many bytes is followed by a new one.
const SEGMENT: u64 = 64 << 20;

/// The entries of one log, raw.
#[derive(Debug, Clone)]
pub(super) struct Medium {
    store: Store,
    /// `log/<incarnation>`.
    prefix: String,
    in_place: bool,
}

/// A whole entry.
pub(super) struct Found {
    pub entry: Entry,
    pub frame: Vec<u8>,
    /// The hash by which the next entry names this one.
    pub link: u64,
}

impl Found {
    /// The entry in a blob of its own.
    pub fn decode(encoding: &Encoding, blob: Vec<u8>, key: &str) -> Result<Found> {
        let opened = encoding.open(&blob, key, 0)?;
        let (entry, link) = parse(opened.kind, &opened.body, &blob)?;
        drop(opened);
        Ok(Found { entry, frame: blob, link })
    }
}

/// The entry in the body of a whole frame of that kind, and the hash by which the next entry names it.
fn parse(kind: u8, body: &[u8], frame: &[u8]) -> Result<(Entry, u64)> {
    match (kind, body.split_first_chunk::<8>()) {
        (REWRITTEN, Some((link, body))) => {
            Ok((Entry { rewritten: true, ..Entry::decode(body)? }, u64::from_le_bytes(*link)))
        }
        (KIND, _) => Ok((Entry::decode(body)?, link(frame))),
        _ => Err(Error::new(ErrorKind::Corrupt, "store/corrupt", format!("an entry of the log is of kind {kind}"))),
    }
}

impl Medium {
    pub fn new(store: Store, incarnation: u128) -> Medium {
        let in_place = store.capabilities().write_at;
        Medium { store, prefix: format!("log/{incarnation:032x}"), in_place }
    }

    fn key(&self, position: &LogPosition) -> String {
        let number = if self.in_place { u64::from(position.segment) } else { position.seq };
        format!("{}/{number:016x}", self.prefix)
    }

    /// The frame around the body of the entry at `position`.
    pub fn frame(&self, position: &LogPosition, body: &[u8]) -> Result<Vec<u8>> {
        self.store.encoding().seal(KIND, 0, body, &self.key(position), position.offset)
    }

    /// Puts entries, all those of a segment where there are segments, in the place of those that stand from `first` on.
    /// Each comes with the hash by which the one after names it.
    pub fn rewrite(&self, first: &LogPosition, entries: &[(Entry, u64)]) -> Result<()> {
        let key = self.key(first);
        let mut bytes = Vec::new();
        for (entry, link) in entries {
            let mut body = link.to_le_bytes().to_vec();
            body.extend(entry.encode()?);
            bytes.resize(bytes.len().next_multiple_of(ALIGN as usize), 0);
            let offset = bytes.len() as u64;
            self.store.encoding().seal_into(&mut bytes, REWRITTEN, 0, &body, &key, offset)?;
        }
        self.store.put(&key, bytes)
    }

    /// The frame of an entry that is copied to `position`, and the hash by which the next one names it. One from which
    /// something was taken out keeps its hash, `link`.
    pub fn copied(&self, position: &LogPosition, entry: &Entry, link: u64) -> Result<(Vec<u8>, u64)> {
        if !entry.rewritten {
            let frame = self.frame(position, &entry.encode()?)?;
            let link = self::link(&frame);
            return Ok((frame, link));
        }
        let mut body = link.to_le_bytes().to_vec();
        body.extend(entry.encode()?);
        Ok((self.store.encoding().seal(REWRITTEN, 0, &body, &self.key(position), position.offset)?, link))
    }

    /// Writes frames that follow each other, in a segment all of it.
    pub fn write_many(&self, frames: Vec<(LogPosition, Vec<u8>)>) -> Result<()> {
        let Some((first, _)) = frames.first() else { return Ok(()) };
        if !self.in_place {
            return self.store.put_many(frames.into_iter().map(|(at, frame)| (self.key(&at), frame)).collect());
        }
        let (key, start) = (self.key(first), first.offset);
        let mut bytes = Vec::new();
        for (at, frame) in frames {
            bytes.resize((at.offset - start) as usize, 0);
            bytes.extend(frame);
        }
        self.store.write_at(&key, start, bytes)
    }

    /// Where the entry that would go to `position` goes if the segment is left there.
    pub fn sealed(&self, position: &LogPosition) -> LogPosition {
        if !self.in_place || position.offset == 0 {
            return *position;
        }
        LogPosition { segment: position.segment + 1, offset: 0, ..*position }
    }

    /// Writes an entry's frame; false if another's entry has the number already.
    pub fn write(&self, position: &LogPosition, frame: Vec<u8>) -> Result<bool> {
        let key = self.key(position);
        if self.in_place {
            self.store.write_at(&key, position.offset, frame)?;
            return Ok(true);
        }
        self.store.swap(&key, None, frame)
    }

    /// Where the entry after the one at `position` goes, whose frame has `len` bytes. A rewritten segment may have grown, so
    /// its end shows by nothing following there.
    pub fn after(&self, position: &LogPosition, len: usize, previous: u64, rewritten: bool) -> LogPosition {
        let seq = position.seq + 1;
        if !self.in_place {
            return LogPosition { seq, segment: 0, offset: 0, previous };
        }
        let offset = (position.offset + len as u64).next_multiple_of(ALIGN);
        if offset < SEGMENT || rewritten {
            LogPosition { seq, segment: position.segment, offset, previous }
        } else {
            LogPosition { seq, segment: position.segment + 1, offset: 0, previous }
        }
    }

    /// Reads the entry at `position`; `None` where nothing was ever written, or what was written did not become durable
    /// whole. Damage and absence look the same here: only later entries can tell.
    pub fn read(&self, position: &LogPosition) -> Result<Option<Found>> {
        let key = self.key(position);
        if !self.in_place {
            let Some(bytes) = self.store.get(&key, None)? else { return Ok(None) };
            // A blob is there whole or not at all, so damage is damage.
            return Found::decode(self.store.encoding(), bytes, &key).map(Some);
        }
        // Most entries are small: one read brings the whole frame.
        let head = self.store.get(&key, Some(position.offset..position.offset + 4096))?.unwrap_or_default();
        let Ok(total) = Sealed::total_len(&head, &key, position.offset) else { return Ok(None) };
        let bytes = if total <= head.len() as u64 {
            head
        } else {
            self.store.get(&key, Some(position.offset..position.offset + total))?.unwrap_or_default()
        };
        // What does not verify was not written whole; what does, and cannot be opened, is an error: a key is missing.
        let Ok((sealed, _)) = Sealed::verify(&bytes, &key, position.offset) else { return Ok(None) };
        let len = sealed.frame_len();
        let opened = self.store.encoding().unseal(&sealed)?;
        let (entry, link) = parse(opened.kind, &opened.body, bytes.get(..len).unwrap_or_default())?;
        drop(opened);
        let mut frame = bytes;
        frame.truncate(len);
        Ok(Some(Found { entry, frame, link }))
    }

    /// The whole entries that lie after `position`, where nothing was found: in the rest of its segment and
    /// in the next. Blobs of their own are without gaps by their making, so there are none.
    pub fn later(&self, position: &LogPosition) -> Result<Vec<Entry>> {
        if !self.in_place {
            return Ok(Vec::new());
        }
        let next = LogPosition { segment: position.segment + 1, offset: 0, ..*position };
        let mut found = Vec::new();
        for (segment, from) in [(*position, position.offset), (next, 0)] {
            let key = self.key(&segment);
            let Some(bytes) = self.store.get(&key, Some(from..u64::MAX))? else { continue };
            for start in (0..bytes.len()).step_by(ALIGN as usize) {
                let Some(rest) = bytes.get(start..).filter(|rest| rest.starts_with(b"Tr")) else { continue };
                if let Ok((sealed, _)) = Sealed::verify(rest, &key, from + start as u64) {
                    let opened = self.store.encoding().unseal(&sealed)?;
                    let entry = parse(opened.kind, &opened.body, rest).ok();
                    found.extend(entry.map(|(entry, _)| entry));
                }
            }
        }
        Ok(found)
    }

    /// The whole entries after `position` that belong to the log, whether or not they follow each other: in segments those of
    /// [`later`](Self::later).
    pub fn after_gap(&self, position: &LogPosition) -> Result<Vec<Entry>> {
        if self.in_place {
            let mut later = self.later(position)?;
            // What a writer that was stopped left behind the end is of no number that is missing.
            later.retain(|entry| entry.seq > position.seq && entry.durable > position.seq);
            return Ok(later);
        }
        let mut found = Vec::new();
        for key in self.store.list(&format!("{}/", self.prefix))? {
            let number = key.rsplit_once('/').and_then(|(_, number)| u64::from_str_radix(number, 16).ok());
            if number.is_some_and(|number| number > position.seq)
                && let Some(bytes) = self.store.get(&key, None)?
            {
                found.extend(Found::decode(self.store.encoding(), bytes, &key).ok().map(|found| found.entry));
            }
        }
        Ok(found)
    }

    /// Tells readers that the entries before `seq` are durable.
    pub fn hint(&self, seq: u64) -> Result<()> {
        if self.in_place { self.store.hint(&self.prefix, seq.to_le_bytes().to_vec()) } else { Ok(()) }
    }

    /// What the writer told last; `None` where nobody can say.
    pub fn hinted(&self) -> Result<Option<u64>> {
        let bytes = if self.in_place { self.store.hinted(&self.prefix)? } else { None };
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes))
    }

    /// Whether the segment has the bytes before `position`. Blobs of their own are not looked at: those before a commit
    /// may be gone.
    pub fn reaches(&self, position: &LogPosition) -> Result<bool> {
        // The entry before ends less than one step of alignment before this one begins.
        let Some(before) = position.offset.checked_sub(ALIGN).filter(|_| self.in_place) else { return Ok(true) };
        let last = self.store.get(&self.key(position), Some(before..before + 1))?;
        Ok(last.is_some_and(|bytes| !bytes.is_empty()))
    }

    /// Whether entries are overwritten places of a segment.
    pub fn writes_in_place(&self) -> bool {
        self.in_place
    }

    /// Whether anything but zeros stands where the entry at `position` would begin.
    pub fn dirty(&self, position: &LogPosition) -> Result<bool> {
        if !self.in_place {
            return Ok(false);
        }
        let head = self.store.get(&self.key(position), Some(position.offset..position.offset + HEADER as u64))?;
        Ok(head.is_some_and(|bytes| bytes.iter().any(|b| *b != 0)))
    }
}
