//! `:gated`: blobs in memory whose writes under a prefix wait until they are let through, and whose reads are counted.

#![allow(dead_code, reason = "each test uses its part")]

use std::ops::Range;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use treering::edn::Keyword;
use treering::store::{Backend, BoxFuture, MemoryBackend};
use treering::{Access, BackendKind, Error, ErrorKind, Result, StoreConfig};

#[derive(Debug, Clone, Default)]
pub struct Gated {
    inner: MemoryBackend,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Writes of keys that begin so wait.
    held: Option<&'static str>,
    /// Writes that waited fail.
    fails: bool,
    waiting: usize,
    /// The keys that were written, in order.
    written: Vec<String>,
    /// Requests to read, of one blob or of many.
    reads: usize,
}

impl Gated {
    pub fn hold(&self, prefix: &'static str) {
        self.gate.state.lock().held = Some(prefix);
    }

    /// Lets all writes through; those that waited fail, if that is wanted.
    pub fn release(&self, fails: bool) {
        let mut state = self.gate.state.lock();
        (state.held, state.fails) = (None, fails);
        self.gate.changed.notify_all();
    }

    /// Returns once a write waits.
    pub fn wait_for_one(&self) {
        let mut state = self.gate.state.lock();
        self.gate.changed.wait_while(&mut state, |state| state.waiting == 0);
    }

    /// The keys that were written so far, in order.
    pub fn written(&self) -> Vec<String> {
        self.gate.state.lock().written.clone()
    }

    /// Requests to read so far, of one blob or of many.
    pub fn reads(&self) -> usize {
        self.gate.state.lock().reads
    }

    fn pass(&self, key: &str) -> Result<()> {
        let mut state = self.gate.state.lock();
        let waits = |state: &State| state.held.is_some_and(|prefix| key.starts_with(prefix));
        let waited = waits(&state);
        state.waiting += usize::from(waited);
        self.gate.changed.notify_all();
        self.gate.changed.wait_while(&mut state, |state| waits(state));
        state.waiting -= usize::from(waited);
        if waited && state.fails {
            return Err(Error::new(ErrorKind::Storage, "store/io", "the gate lets nothing through"));
        }
        state.written.push(key.to_owned());
        Ok(())
    }
}

impl Backend for Gated {
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        self.gate.state.lock().reads += 1;
        self.inner.get(key, range)
    }

    fn get_many(&self, wanted: Vec<(String, Option<Range<u64>>)>) -> BoxFuture<'_, Result<Vec<Option<Vec<u8>>>>> {
        self.gate.state.lock().reads += 1;
        self.inner.get_many(wanted)
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.pass(key)?;
            self.inner.put(key, bytes).await
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        self.inner.delete(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        self.inner.list(prefix)
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a [u8]>, new: Vec<u8>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            self.pass(key)?;
            self.inner.swap(key, expected, new).await
        })
    }

    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.sync()
    }
}

impl BackendKind for Gated {
    fn keyword(&self) -> Keyword {
        Keyword::new("gated")
    }

    fn validate(&self, _: &StoreConfig) -> Result<()> {
        Ok(())
    }

    fn identity(&self, _: &StoreConfig) -> Result<String> {
        Ok("gated".to_owned())
    }

    fn create<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async { Ok(Arc::new(self.clone()) as Arc<dyn Backend>) })
    }

    fn exists<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(true) })
    }

    fn connect<'a>(&'a self, _: &'a StoreConfig, _: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async { Ok(Arc::new(self.clone()) as Arc<dyn Backend>) })
    }

    fn delete<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        unreachable!("these tests delete no store")
    }
}
