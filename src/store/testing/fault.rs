//! Faults on order: what goes wrong, at which operation, and whether it stays wrong.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::store::backend::{Backend, BoxFuture, Capabilities};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The operation fails and nothing of it is done.
    Io,
    /// A write fails for want of space and nothing of it is done. Other operations are done.
    Full,
    /// A write in place does its first half and fails; other operations fail as with [`Io`](Self::Io).
    ShortWrite,
    /// The operation is done, but making it durable fails, or its answer is lost.
    Sync,
}

/// A failure at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The number of the operation that fails, counted from 0 since the fault was set.
    pub at: u64,
    /// What goes wrong.
    pub failure: Failure,
    /// Whether every operation after it fails too.
    pub sticky: bool,
}

/// Counts operations and says which fail.
#[derive(Debug, Default)]
pub(super) struct Faults {
    state: Mutex<(Option<Fault>, u64)>,
}

impl Faults {
    pub(super) fn set(&self, fault: Option<Fault>) {
        *self.state.lock() = (fault, 0);
    }

    pub(super) fn count(&self) -> u64 {
        self.state.lock().1
    }

    /// Counts one operation; how it is to fail.
    pub(super) fn next(&self) -> Option<Failure> {
        let (fault, count) = &mut *self.state.lock();
        let now = *count;
        *count += 1;
        fault.filter(|f| now == f.at || (f.sticky && now > f.at)).map(|f| f.failure)
    }
}

/// The error of the operating system for a failure.
pub(super) fn io_error(failure: Failure) -> io::Error {
    match failure {
        Failure::Full => io::Error::new(io::ErrorKind::StorageFull, "no space left on device (injected)"),
        Failure::Io | Failure::ShortWrite | Failure::Sync => io::Error::other("input/output error (injected)"),
    }
}

/// A backend whose operations fail on order.
///
/// ```
/// use std::sync::Arc;
/// use treering::store::{MemoryBackend, Store, testing::{Failure, Fault, FaultBackend}};
/// let backend = Arc::new(FaultBackend::new(Arc::new(MemoryBackend::new())));
/// let store = Store::on(backend.clone());
/// store.put("a", vec![1])?;
/// backend.set_fault(Some(Fault { at: 0, failure: Failure::Sync, sticky: false }));
/// assert!(store.put("a", vec![2]).is_err());
/// assert_eq!(store.get("a", None)?, Some(vec![2]), "it was done, only its answer was lost");
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Debug)]
pub struct FaultBackend {
    inner: Arc<dyn Backend>,
    faults: Faults,
}

impl FaultBackend {
    /// `inner`, without a fault at first.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        FaultBackend { inner, faults: Faults::default() }
    }

    /// Sets or clears the fault and counts operations from 0 again.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.faults.set(fault);
    }

    /// Operations since the fault was set; those of `put_many` and `get_many` count one for each blob.
    pub fn operations(&self) -> u64 {
        self.faults.count()
    }

    /// Does `call` unless it is to fail; fails afterwards where the answer is to be lost.
    async fn run<T>(&self, what: &str, write: bool, call: BoxFuture<'_, Result<T>>) -> Result<T> {
        match self.faults.next() {
            None => call.await,
            Some(Failure::Full) if !write => call.await,
            Some(Failure::Sync) if write => {
                call.await?;
                Err(error(what, Failure::Sync))
            }
            Some(failure) => Err(error(what, failure)),
        }
    }
}

fn error(what: &str, failure: Failure) -> Error {
    let cause = io_error(failure);
    Error::new(ErrorKind::Storage, "store/io", format!("cannot {what}: {cause}")).caused_by(cause)
}

impl Backend for FaultBackend {
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(self.run("get", false, self.inner.get(key, range)))
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.run("put", true, self.inner.put(key, bytes)))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.run("delete", true, self.inner.delete(key)))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(self.run("list", false, self.inner.list(prefix)))
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a [u8]>, new: Vec<u8>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.run("swap", true, self.inner.swap(key, expected, new)))
    }

    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.run("sync", true, self.inner.sync()))
    }

    fn write_at<'a>(&'a self, key: &'a str, offset: u64, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match self.faults.next() {
                None => self.inner.write_at(key, offset, bytes).await,
                Some(failure) => {
                    let done = match failure {
                        Failure::Sync => bytes.len(),
                        Failure::ShortWrite => bytes.len() / 2,
                        Failure::Io | Failure::Full => 0,
                    };
                    let bytes = bytes.into_iter().take(done).collect();
                    self.inner.write_at(key, offset, bytes).await?;
                    Err(error("write_at", failure))
                }
            }
        })
    }

    fn give_up_writing(&self) {
        self.inner.give_up_writing();
    }

    fn hint<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        self.inner.hint(key, bytes)
    }

    fn hinted<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        self.inner.hinted(key)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryBackend, Store};

    fn faulty() -> (Arc<FaultBackend>, Store) {
        let backend = Arc::new(FaultBackend::new(Arc::new(MemoryBackend::new())));
        (backend.clone(), Store::on(backend))
    }

    #[test]
    fn without_a_fault_it_conforms() {
        crate::store::testing::conformance(|| Arc::new(FaultBackend::new(Arc::new(MemoryBackend::new()))));
    }

    #[test]
    fn the_nth_operation_fails_once_or_for_good() {
        for (sticky, good) in [(false, 9), (true, 4)] {
            let (backend, store) = faulty();
            backend.set_fault(Some(Fault { at: 4, failure: Failure::Io, sticky }));
            let done: Vec<bool> = (0..10).map(|i| store.put("a", vec![i]).is_ok()).collect();
            assert_eq!(done.iter().filter(|ok| **ok).count(), good);
            assert!(!done[4]);
            assert_eq!(backend.operations(), 10);
        }
    }

    #[test]
    fn failures_do_what_they_say() {
        let (backend, store) = faulty();
        let fail = |failure| backend.set_fault(Some(Fault { at: 0, failure, sticky: true }));
        store.put("a", vec![1; 4]).unwrap();
        fail(Failure::Full);
        assert!(store.put("a", vec![2]).is_err());
        assert_eq!(store.get("a", None).unwrap(), Some(vec![1; 4]), "a full disk can be read");
        fail(Failure::ShortWrite);
        assert!(store.write_at("a", 0, vec![2; 4]).is_err());
        assert!(store.get("a", None).is_err());
        backend.set_fault(None);
        assert_eq!(store.get("a", None).unwrap(), Some(vec![2, 2, 1, 1]));
    }
}
