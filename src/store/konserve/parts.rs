//! Binary values: small ones lie in the blob of their key, large ones in parts of their own, so that neither writing nor
//! reading one takes more memory than a part.
//!
//! Parts are written under a fresh id before the blob that names them, and removed after the blob that replaces it.

use std::fmt;
use std::future::{Future, ready};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use uuid::Uuid;

use super::locks::Held;
use super::record::{Key, Value, corrupt};
use super::{HEAD, KeyValue, WriteEvent, WriteOp, wait};
use crate::edn::{self, Form, FormKind, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::store::frame::{Sealed, kind, serializer};

/// Where the parts lie.
pub(super) const PREFIX: &str = "kvpart/";
/// Bytes of a part, and most bytes of a value without parts.
pub(super) const PART: usize = 4 << 20;

/// Most parts of a value.
const MOST: u64 = 1 << 24;

/// The parts of a value.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    id: Uuid,
    /// Bytes of each part but the last.
    part: u64,
    pub(super) size: u64,
}

fn part_name(id: Uuid, n: u64) -> String {
    format!("{PREFIX}{}/{n:016x}", id.simple())
}

impl Parts {
    pub(super) fn to_form(&self) -> Form {
        let pair = |name: &str, value: Form| (Form::from(Keyword::new(name)), value);
        let number = |n: u64| Form::from(i64::try_from(n).unwrap_or(i64::MAX));
        let id = FormKind::Uuid(self.id).into();
        Form::map(vec![pair("id", id), pair("part", number(self.part)), pair("size", number(self.size))])
    }

    pub(super) fn of_body(body: &[u8], name: &str) -> Result<Parts> {
        let read = || {
            let form = edn::read(std::str::from_utf8(body).ok()?).ok()?;
            let FormKind::Uuid(id) = form.get(Keyword::new("id"))?.kind else { return None };
            let number = |name: &str| u64::try_from(form.get(Keyword::new(name))?.as_int()?).ok();
            let (part, size) = (number("part")?, number("size")?);
            (part > 0 && size.div_ceil(part) <= MOST).then_some(Parts { id, part, size })
        };
        read().ok_or_else(|| corrupt(name, "does not say where its parts are"))
    }

    fn count(&self) -> u64 {
        self.size.div_ceil(self.part)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.count()).map(|n| part_name(self.id, n))
    }

    /// The id that the name of a part begins with.
    pub(super) fn id_of(name: &str) -> Option<Uuid> {
        Uuid::try_parse(name.strip_prefix(PREFIX)?.split_once('/')?.0).ok()
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }
}

/// Parts that are being written.
struct Writing<'a> {
    kv: &'a KeyValue,
    id: Uuid,
    done: u64,
    /// What is not yet written, one part at most.
    held: Vec<u8>,
}

impl Writing<'_> {
    async fn add(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            // Only what more follows is a part for sure.
            if self.held.len() == self.kv.part {
                self.write().await?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.kv.part - self.held.len()));
            self.held.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<()> {
        let name = part_name(self.id, self.done);
        let frame = self.kv.store.encoding().seal(kind::PART, serializer::RAW, &self.held, &name, 0)?;
        self.done += 1;
        self.held.clear();
        self.kv.store.put_async(&name, frame).await
    }

    async fn finish(&mut self) -> Result<Value> {
        if self.done == 0 {
            return Ok(Value::Binary(std::mem::take(&mut self.held)));
        }
        let part = self.kv.part as u64;
        let size = self.done * part + self.held.len() as u64;
        self.write().await?;
        Ok(Value::Parts(Parts { id: self.id, part, size }))
    }

    /// Removes what was written; what cannot be removed is left to [`KeyValue::sweep`].
    async fn undo(&self) {
        for n in 0..self.done {
            let _ = self.kv.store.delete_async(&part_name(self.id, n)).await;
        }
    }
}

impl KeyValue {
    /// The bytes under `key`, stored by [`bassoc`](Self::bassoc) and its like, all in memory.
    ///
    /// # Errors
    /// `store/type` if the value is not binary; else as [`get`](Self::get).
    pub fn bget(&self, key: &Form) -> Result<Option<Vec<u8>>> {
        wait(self.bget_async(key))
    }

    /// [`bget`](Self::bget) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn bget_async(&self, key: &Form) -> Result<Option<Vec<u8>>> {
        let Some(mut reader) = self.bopen_async(key).await? else { return Ok(None) };
        if let Source::Whole(bytes) = &mut reader.source {
            return Ok(Some(std::mem::take(bytes)));
        }
        let mut all = Vec::new();
        while let Some(chunk) = reader.next_async().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(Some(all))
    }

    /// The binary value under `key` to be read piece by piece, of which a part is in memory at a time. It holds the key's
    /// lock in this process until it is dropped: what writes the key waits for it.
    ///
    /// ```
    /// use std::io::Read;
    /// use treering::edn::read;
    /// use treering::store::{KeyValue, MemoryBackend, Store};
    /// let kv = KeyValue::new(Store::new(MemoryBackend::new()));
    /// let key = read(":large")?;
    /// let source = std::io::repeat(7).take(10_000_000);
    /// assert_eq!(kv.bassoc_from(&key, source)?, 10_000_000);
    /// let mut reader = kv.bopen(&key)?.expect("it was stored");
    /// assert_eq!(reader.range(9_999_998..20_000_000)?, [7, 7]);
    /// let copied = std::io::copy(&mut reader, &mut std::io::sink()).expect("it can be read");
    /// assert_eq!(copied, 10_000_000);
    /// # Ok::<(), treering::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`bget`](Self::bget).
    pub fn bopen(&self, key: &Form) -> Result<Option<BinaryReader>> {
        wait(self.bopen_async(key))
    }

    /// [`bopen`](Self::bopen) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn bopen_async(&self, key: &Form) -> Result<Option<BinaryReader>> {
        let key = Key::of(key)?;
        let held = self.shared.lock(&key.name).await;
        let Some(record) = self.fetch(&key).await? else { return Ok(None) };
        let source = match record.value {
            Value::Binary(bytes) => Source::Whole(bytes),
            Value::Parts(parts) => Source::Parts(parts),
            value => return Err(value.wrong_type(&key.form, "binary")),
        };
        let size = record.meta.size.unwrap_or(0);
        Ok(Some(BinaryReader { kv: self.clone(), source, size, at: 0, chunk: (0, Vec::new()), _held: held }))
    }

    /// Stores bytes under `key`, whatever is there.
    ///
    /// # Errors
    /// As [`assoc`](Self::assoc).
    pub fn bassoc(&self, key: &Form, bytes: impl Into<Vec<u8>>) -> Result<()> {
        wait(self.bassoc_async(key, bytes.into()))
    }

    /// [`bassoc`](Self::bassoc) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn bassoc_async(&self, key: &Form, bytes: Vec<u8>) -> Result<()> {
        let mut bytes = Some(bytes);
        self.bassoc_stream_async(key, &[], || ready(Ok(bytes.take()))).await.map(|_| ())
    }

    /// Stores under `key` what `source` gives to its end; how many bytes that is. No more than a part of it is in memory.
    ///
    /// # Errors
    /// `store/source` if `source` cannot be read, and as [`assoc`](Self::assoc); what was there before is there then.
    pub fn bassoc_from(&self, key: &Form, source: impl Read + Send) -> Result<u64> {
        let mut source = source;
        let next = || {
            let mut chunk = Vec::with_capacity(CHUNK as usize);
            let read = source.by_ref().take(CHUNK).read_to_end(&mut chunk);
            ready(match read {
                Ok(0) => Ok(None),
                Ok(_) => Ok(Some(chunk)),
                Err(e) => {
                    let what = format!("what is to be stored under {key} cannot be read: {e}");
                    Err(Error::new(ErrorKind::Storage, "store/source", what).caused_by(e))
                }
            })
        };
        wait(self.bassoc_stream_async(key, &[], next))
    }

    /// Stores under `key` the pieces that `next` gives until it gives none, with entries of the caller's own in the
    /// metadata; how many bytes they have together. No more than a part of them is in memory.
    ///
    /// # Errors
    /// Those of `next`, and as [`assoc`](Self::assoc); what was there before is there then.
    pub async fn bassoc_stream_async<F, P>(&self, key: &Form, extra: &[(Form, Form)], mut next: F) -> Result<u64>
    where
        F: FnMut() -> P + Send,
        P: Future<Output = Result<Option<Vec<u8>>>> + Send,
    {
        let form = key;
        let key = Key::of(form)?;
        let mut writing = Writing { kv: self, id: Uuid::now_v7(), done: 0, held: Vec::new() };
        let stored = async {
            while let Some(chunk) = next().await? {
                writing.add(&chunk).await?;
            }
            let value = writing.finish().await?;
            let _held = self.shared.lock(&key.name).await;
            let replaced = self.leftovers(&key).await?;
            let bytes = self.hand().encode(&key, &value, self.shared.now(), extra)?;
            let put = self.store.put_async(&key.name, bytes).await;
            self.shared.written(&key.name);
            put?;
            let event =
                || WriteEvent { meta: extra.to_vec(), ..WriteEvent::new(WriteOp::Bassoc, std::slice::from_ref(form)) };
            self.shared.hooks.tell(event);
            for name in replaced {
                self.store.delete_async(&name).await?;
            }
            Ok(match value {
                Value::Parts(parts) => parts.size,
                Value::Binary(bytes) => bytes.len() as u64,
                Value::Edn(_) | Value::AppendLog(_) => 0,
            })
        }
        .await;
        // Unless the blob that names them may be there.
        if stored.is_err() && self.fetch(&key).await.is_ok_and(|now| !now.is_some_and(|now| now.has_parts(writing.id)))
        {
            writing.undo().await;
        }
        stored
    }

    /// The blobs beside its own that belong to what lies under `key`: elements of an append log, parts of a binary value.
    pub(super) async fn leftovers(&self, key: &Key) -> Result<Vec<String>> {
        let Some(head) = self.store.get_async(&key.name, Some(0..HEAD)).await? else { return Ok(Vec::new()) };
        let start = Sealed::total_len(&head, &key.name, 0)?;
        let Some(meta) = self.read_meta(&key.name, head).await? else { return Ok(Vec::new()) };
        match meta.value_type.as_str() {
            "append-log" => self.log_elements(key).await,
            "binary" => {
                // The serializer stands in the header of the value's frame.
                let header = self.store.get_async(&key.name, Some(start..start + HEAD)).await?.unwrap_or_default();
                if header.get(4) != Some(&serializer::PARTS) {
                    return Ok(Vec::new());
                }
                Ok(match self.fetch(key).await?.map(|record| record.value) {
                    Some(Value::Parts(parts)) => parts.names().collect(),
                    _ => Vec::new(),
                })
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// Bytes that are asked of a source at once.
const CHUNK: u64 = 64 << 10;

enum Source {
    Whole(Vec<u8>),
    Parts(Parts),
}

/// A binary value that is read piece by piece; see [`KeyValue::bopen`]. As an [`io::Read`] it blocks; the futures do not.
pub struct BinaryReader {
    kv: KeyValue,
    source: Source,
    size: u64,
    /// What is read next.
    at: u64,
    /// A part that was read, and where it begins.
    chunk: (u64, Vec<u8>),
    _held: Held,
}

impl fmt::Debug for BinaryReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BinaryReader({} of {} bytes)", self.at, self.size)
    }
}

impl BinaryReader {
    /// Bytes of the value.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes of `range`, cut at the end of the value. Of a large value only the parts that they lie in are read.
    ///
    /// # Errors
    /// `store/changed` if another process has replaced the value meanwhile, `store/corrupt` and those of the backend.
    pub fn range(&mut self, range: Range<u64>) -> Result<Vec<u8>> {
        wait(self.range_async(range))
    }

    /// [`range`](Self::range) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn range_async(&mut self, range: Range<u64>) -> Result<Vec<u8>> {
        let end = range.end.min(self.size);
        let (mut at, mut bytes) = (range.start, Vec::new());
        while at < end {
            let piece = self.piece(at).await?;
            let piece = &piece[..piece.len().min(usize::try_from(end - at).unwrap_or(usize::MAX))];
            bytes.extend_from_slice(piece);
            at += piece.len() as u64;
        }
        Ok(bytes)
    }

    /// The next bytes, one at least and a part at most; none at the end.
    ///
    /// # Errors
    /// As [`range`](Self::range).
    pub async fn next_async(&mut self) -> Result<Option<Vec<u8>>> {
        if self.at >= self.size {
            return Ok(None);
        }
        let bytes = self.piece(self.at).await?.to_vec();
        self.at += bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// What is at hand from `at` on, which lies before the end: one byte at least.
    async fn piece(&mut self, at: u64) -> Result<&[u8]> {
        let (start, bytes) = match &self.source {
            Source::Whole(bytes) => (0, bytes),
            Source::Parts(parts) => {
                let start = at / parts.part * parts.part;
                if self.chunk.0 != start || self.chunk.1.is_empty() {
                    self.chunk = (start, self.read_part(parts, at / parts.part).await?);
                }
                (start, &self.chunk.1)
            }
        };
        let place = usize::try_from(at - start).unwrap_or(usize::MAX);
        bytes.get(place..).filter(|piece| !piece.is_empty()).ok_or_else(|| corrupt("value", "ends before its end"))
    }

    async fn read_part(&self, parts: &Parts, n: u64) -> Result<Vec<u8>> {
        let name = part_name(parts.id, n);
        let bytes = self.kv.store.get_async(&name, None).await?.ok_or_else(|| {
            let what = format!("the part {name:?} is gone: another process has replaced the value while it was read");
            Error::new(ErrorKind::Existence, "store/changed", what)
        })?;
        let frame = self.kv.store.encoding().open(&bytes, &name, 0)?;
        let len = parts.part.min(parts.size - n * parts.part);
        if frame.kind != kind::PART || frame.body.len() as u64 != len {
            return Err(corrupt(&name, "is no part of its value"));
        }
        Ok(frame.body.into_owned())
    }
}

impl Read for BinaryReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let at = self.at;
        let piece = wait(self.piece(at)).map_err(io::Error::other)?;
        let len = piece.len().min(buffer.len());
        buffer[..len].copy_from_slice(&piece[..len]);
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for BinaryReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a place before the beginning"))?;
        Ok(self.at)
    }
}
