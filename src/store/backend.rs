//! The seam to a place that keeps bytes.

use std::fmt::Debug;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;

use crate::error::{Error, ErrorKind, Result};

/// A boxed future, as backends return them.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a backend can promise beyond the six methods; asked once at connect.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// `write_at` is native: overwriting preallocated bytes in place, durable when it returns.
    pub write_at: bool,
    /// What `put`, `swap` and `write_at` return as done survives a power loss.
    pub durable: bool,
    /// `swap` is atomic between processes. Where it is not, the backend itself keeps a second writer out.
    pub atomic_swap: bool,
    /// The bytes live in this process only, so nothing need be flushed to them.
    pub volatile: bool,
    /// The futures need a tokio runtime around them (sockets, timers). They are then polled inside a runtime of the
    /// store's own, whatever the caller runs on.
    pub tokio: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Capabilities { write_at: false, durable: true, atomic_swap: true, volatile: false, tokio: false }
    }
}

/// Longest key in bytes.
pub const MAX_KEY: usize = 200;

/// Checks the rules for keys: segments of `[A-Za-z0-9._-]` joined by `/`, none empty, `.` or `..`, at most
/// [`MAX_KEY`] bytes. The store checks every key before a backend sees it.
///
/// # Errors
/// `store/bad-key`, naming the key and the rule.
pub fn check_key(key: &str) -> Result<()> {
    let wrong = if key.len() > MAX_KEY {
        "is longer than 200 bytes"
    } else if key.split('/').any(|s| s.is_empty() || s == "." || s == "..") {
        "has a segment that is empty, \".\" or \"..\""
    } else if !key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/')) {
        "has a character outside [A-Za-z0-9._-/]"
    } else {
        return Ok(());
    };
    let shown: String = key.chars().take(MAX_KEY).collect();
    Err(Error::new(ErrorKind::Argument, "store/bad-key", format!("the store key {shown:?} {wrong}")))
}

/// Raw blobs under text keys: all that an author of a storage backend writes.
///
/// Keys obey [`check_key`], and no key is the path of another: where `a/b` is used, `a` is not. A blob is read whole
/// or by byte range. Every method may be called from many threads at once. A method that returns an error must leave
/// the old blob or the new one readable under its key, never a mixture ([`write_at`](Self::write_at) excepted).
pub trait Backend: Send + Sync + Debug {
    /// The bytes under `key`, or those of them inside `range` (cut at the end of the blob); `None` where there is no blob.
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<Option<Vec<u8>>>>;

    /// Stores `bytes` under `key`, replacing what is there; durable when it returns, if the backend is durable at all.
    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>>;

    /// Removes the blob; whether there was one. Durable after the next [`sync`](Self::sync) at the latest.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>>;

    /// All keys that begin with `prefix`, sorted.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>>;

    /// Compare and set: stores `new` under `key` if the blob there equals `expected` (`None`: if there is no blob).
    /// Returns whether it was stored. Durable as `put`.
    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a [u8]>, new: Vec<u8>) -> BoxFuture<'a, Result<bool>>;

    /// Makes everything written so far durable.
    fn sync(&self) -> BoxFuture<'_, Result<()>>;

    /// Stores several blobs. The last one becomes visible only when all others are durable, so that a pointer given
    /// last never points to what is not there; otherwise as many calls of [`put`](Self::put) in order.
    fn put_many(&self, blobs: Vec<(String, Vec<u8>)>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            for (key, bytes) in blobs {
                self.put(&key, bytes).await?;
            }
            Ok(())
        })
    }

    /// Reads several blobs or ranges of them; answers stand in the order of the questions.
    fn get_many(&self, wanted: Vec<(String, Option<Range<u64>>)>) -> BoxFuture<'_, Result<Vec<Option<Vec<u8>>>>> {
        Box::pin(async move {
            let mut found = Vec::with_capacity(wanted.len());
            for (key, range) in wanted {
                found.push(self.get(&key, range).await?);
            }
            Ok(found)
        })
    }

    /// The length of the blob under `key`; `None` where there is none. The default reads it.
    fn size<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<u64>>> {
        Box::pin(async move { Ok(self.get(key, None).await?.map(|bytes| bytes.len() as u64)) })
    }

    /// Overwrites `bytes` at `offset` of the blob under `key`, creating and growing it as needed; durable when it
    /// returns. What was never written reads as zeros, and the blob may be longer than the last byte written. After
    /// an error or a power loss the range written may hold any mixture of old and new bytes; the rest is untouched.
    /// Only called where [`Capabilities::write_at`] is set.
    fn write_at<'a>(&'a self, key: &'a str, offset: u64, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        let _ = (offset, bytes);
        Box::pin(async move {
            Err(Error::new(
                ErrorKind::Internal,
                "store/write-at-unsupported",
                format!("the backend cannot write inside the blob {key:?}"),
            ))
        })
    }

    /// Lets another writer in, where it is this backend that keeps others out; what it has is read on. Every later write
    /// is an error.
    fn give_up_writing(&self) {}

    /// Leaves a note of a few bytes under `key`, replacing the last: not durable, cheap, and not a blob. A note may be
    /// lost, but no older one may be found in its place: where that cannot be prevented it is an error.
    fn hint<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        let _ = (key, bytes);
        Box::pin(async { Ok(()) })
    }

    /// The last note that any process left under `key` by [`hint`](Self::hint); `None` where the backend has none or
    /// cannot tell whether it is the last.
    fn hinted<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        let _ = key;
        Box::pin(async { Ok(None) })
    }

    /// What the backend promises.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
}

/// First byte and end of what `range` asks for of a blob of `len` bytes: cut at its end, empty where nothing is left.
pub(crate) fn cut(range: Option<Range<u64>>, len: u64) -> (u64, u64) {
    let Range { start, end } = range.unwrap_or(0..len);
    let end = end.min(len);
    (start.min(end), end)
}
