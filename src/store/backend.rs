//! The seam to a place that keeps bytes.

use std::fmt::Debug;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;

use crate::error::Result;

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
}

impl Default for Capabilities {
    fn default() -> Self {
        Capabilities { write_at: false, durable: true, atomic_swap: true, volatile: false }
    }
}

/// Raw blobs under text keys: all that an author of a storage backend writes.
///
/// Keys are `/`-separated segments of `[A-Za-z0-9._-]`, at most 200 bytes. A blob is read whole or by byte range.
/// Every method may be called from many threads at once. A method that returns an error must leave the old blob or
/// the new one readable under its key, never a mixture.
pub trait Backend: Send + Sync + Debug {
    /// The bytes under `key`, or those of them inside `range` (cut at the end of the blob); `None` where there is no blob.
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<Option<Vec<u8>>>>;

    /// Stores `bytes` under `key`, replacing what is there; durable when it returns, if the backend is durable at all.
    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>>;

    /// Removes the blob; whether there was one.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>>;

    /// All keys that begin with `prefix`, sorted.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>>;

    /// Compare and set: stores `new` under `key` if the blob there equals `expected` (`None`: if there is no blob).
    /// Returns whether it was stored. Durable as `put`.
    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a [u8]>, new: Vec<u8>) -> BoxFuture<'a, Result<bool>>;

    /// Makes everything written so far durable.
    fn sync(&self) -> BoxFuture<'_, Result<()>>;

    /// Overwrites `bytes` at `offset` of the blob under `key`, creating and growing it (with zeros) as needed; durable
    /// when it returns. Only called where [`Capabilities::write_at`] is set.
    fn write_at<'a>(&'a self, key: &'a str, offset: u64, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        let _ = (offset, bytes);
        Box::pin(async move {
            Err(crate::Error::new(
                crate::ErrorKind::Internal,
                "store/write-at-unsupported",
                format!("the backend cannot write inside the blob {key:?}"),
            ))
        })
    }

    /// What the backend promises.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
}
