//! The store of a run: each of its operations is a step, and may fail. A loss of power takes what was not durable.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use treering::edn::Keyword;
use treering::store::testing::{Crash, SimFs};
use treering::store::{Backend, BoxFuture, Capabilities, FileBackend, MemoryBackend};
use treering::{Access, BackendKind, Error, ErrorKind, Result, StoreConfig};

use super::schedule::{Process, Scheduler, process};

/// What keeps the bytes.
enum Kept {
    Files(Mutex<SimFs>),
    /// Blobs as a server has them, and what was deleted since the last sync.
    Blobs(MemoryBackend, Mutex<Vec<(String, Vec<u8>)>>),
}

pub struct Medium {
    scheduler: Arc<Scheduler>,
    kept: Kept,
    /// One operation in so many fails; 0: none.
    pub faults: Mutex<usize>,
}

impl fmt::Debug for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Medium")
    }
}

impl Medium {
    pub fn new(scheduler: &Arc<Scheduler>, in_files: bool, faults: usize) -> Arc<Medium> {
        let kept = match in_files {
            true => Kept::Files(Mutex::new(SimFs::new())),
            false => Kept::Blobs(MemoryBackend::new(), Mutex::default()),
        };
        Arc::new(Medium { scheduler: Arc::clone(scheduler), kept, faults: Mutex::new(faults) })
    }

    pub fn in_files(&self) -> bool {
        matches!(self.kept, Kept::Files(_))
    }

    /// What stays when the power fails. Who had the store open must be killed first.
    pub fn lose_power(&self) {
        match &self.kept {
            Kept::Files(fs) => {
                let variants: Vec<Crash> = Crash::variants(2);
                let crash = variants[self.scheduler.below(variants.len())];
                let mut fs = fs.lock();
                *fs = fs.crash_image(fs.ops_len(), crash);
            }
            Kept::Blobs(blobs, deleted) => {
                for (key, bytes) in deleted.lock().drain(..) {
                    if self.scheduler.below(2) == 0 {
                        now(blobs.swap(&key, None, bytes)).expect("memory");
                    }
                }
            }
        }
    }

    fn open(self: &Arc<Medium>, access: Option<Access>) -> Result<Arc<dyn Backend>> {
        let inner: Arc<dyn Backend> = match &self.kept {
            Kept::Blobs(blobs, _) => Arc::new(blobs.clone()),
            Kept::Files(fs) => {
                let fs = Arc::new(fs.lock().clone());
                Arc::new(match access {
                    None => FileBackend::create_with(fs, "/db")?,
                    Some(Access::ReadOnly) => FileBackend::open_reader_with(fs, "/db")?,
                    Some(Access::Writer) => FileBackend::open_writer_with(fs, "/db")?,
                })
            }
        };
        Ok(Arc::new(Stepped { medium: Arc::clone(self), inner, process: process() }))
    }
}

/// A future that is ready.
fn now<T>(future: BoxFuture<'_, T>) -> T {
    let mut future = future;
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the store answers at once"),
    }
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Done,
    /// It is not done.
    Fails,
    /// It is done, and nobody is told.
    Unanswered,
    /// It is done after its failure was told.
    Late,
}

/// The store as one process has it open.
#[derive(Debug)]
struct Stepped {
    medium: Arc<Medium>,
    inner: Arc<dyn Backend>,
    process: Option<Arc<Process>>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_dead() { "dead" } else { "alive" })
    }
}

fn failure(what: &str, why: &str) -> Error {
    Error::new(ErrorKind::Storage, "store/io", format!("cannot {what}: {why} (injected)"))
}

impl Stepped {
    fn is_dead(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.is_dead())
    }

    /// A step, and what becomes of the operation after it.
    fn step(&self, what: &str, writes: bool, may_be_late: bool) -> Fate {
        if self.is_dead() {
            return Fate::Fails;
        }
        if self.process.is_none() {
            return Fate::Done;
        }
        let scheduler = &self.medium.scheduler;
        scheduler.step(what);
        if self.is_dead() {
            // The request may be on its way already; after a loss of power it comes to a file system that is no more.
            let arrives = writes && scheduler.below(2) == 0;
            return if arrives { Fate::Unanswered } else { Fate::Fails };
        }
        let one_in = *self.medium.faults.lock();
        if one_in == 0 || scheduler.below(one_in) > 0 {
            return Fate::Done;
        }
        let fate = match scheduler.below(4) {
            0 if may_be_late && !self.medium.in_files() => Fate::Late,
            1 | 2 if writes => Fate::Unanswered,
            _ => Fate::Fails,
        };
        scheduler.note(&format!("  {fate:?}"));
        scheduler.happened("operations that failed", 1);
        fate
    }

    fn end<T>(&self, what: &str, fate: Fate, call: BoxFuture<'_, Result<T>>) -> Result<T> {
        match fate {
            Fate::Done => now(call),
            Fate::Unanswered => now(call).and_then(|_| Err(failure(what, "no answer"))),
            Fate::Fails | Fate::Late => Err(failure(what, "input/output error")),
        }
    }

    fn run<T>(&self, what: &str, writes: bool, call: BoxFuture<'_, Result<T>>) -> BoxFuture<'_, Result<T>>
    where
        T: Send + 'static,
    {
        let fate = self.step(what, writes, false);
        let ended = self.end(what, fate, call);
        Box::pin(std::future::ready(ended))
    }
}

impl Backend for Stepped {
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        let what = format!("get {key} {range:?}");
        self.run(&what, false, Box::pin(async move { self.inner.get(key, range).await }))
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        self.run(
            &format!("put {key}, {} bytes", bytes.len()),
            true,
            Box::pin(async move { self.inner.put(key, bytes).await }),
        )
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        let call = Box::pin(async move {
            if let Kept::Blobs(blobs, deleted) = &self.medium.kept
                && let Some(bytes) = blobs.get(key, None).await?
            {
                deleted.lock().push((key.to_owned(), bytes));
            }
            self.inner.delete(key).await
        });
        self.run(&format!("delete {key}"), true, call)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        self.run(&format!("list {prefix}"), false, Box::pin(async move { self.inner.list(prefix).await }))
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a [u8]>, new: Vec<u8>) -> BoxFuture<'a, Result<bool>> {
        let what = format!("swap {key}, {} bytes", new.len());
        let fate = self.step(&what, true, true);
        if fate == Fate::Late {
            let (inner, scheduler) = (Arc::clone(&self.inner), Arc::clone(&self.medium.scheduler));
            let (key, expected) = (key.to_owned(), expected.map(<[u8]>::to_vec));
            let busy = scheduler.busy();
            self.medium.scheduler.add("late", Arc::default(), move || {
                let _busy = busy;
                scheduler.step(&format!("swap {key}"));
                let _ = now(inner.swap(&key, expected.as_deref(), new));
            });
            return Box::pin(std::future::ready(Err(failure(&what, "no answer in time"))));
        }
        let call = Box::pin(async move { self.inner.swap(key, expected, new).await });
        let ended = self.end(&what, fate, call);
        Box::pin(std::future::ready(ended))
    }

    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        let call = Box::pin(async {
            if let Kept::Blobs(_, deleted) = &self.medium.kept {
                deleted.lock().clear();
            }
            self.inner.sync().await
        });
        self.run("sync", true, call)
    }

    fn write_at<'a>(&'a self, key: &'a str, offset: u64, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        let what = format!("write {key} at {offset}, {} bytes", bytes.len());
        self.run(&what, true, Box::pin(async move { self.inner.write_at(key, offset, bytes).await }))
    }

    fn give_up_writing(&self) {
        self.inner.give_up_writing();
    }

    fn hint<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        self.run(&format!("hint {key}"), true, Box::pin(async move { self.inner.hint(key, bytes).await }))
    }

    fn hinted<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        self.run(&format!("hinted {key}"), false, Box::pin(async move { self.inner.hinted(key).await }))
    }

    fn capabilities(&self) -> Capabilities {
        if self.medium.in_files() { self.inner.capabilities() } else { Capabilities::default() }
    }
}

/// `:simulated`.
#[derive(Debug, Clone)]
pub struct Kind(pub Arc<Medium>);

impl BackendKind for Kind {
    fn keyword(&self) -> Keyword {
        Keyword::new("simulated")
    }

    fn validate(&self, _: &StoreConfig) -> Result<()> {
        Ok(())
    }

    fn identity(&self, _: &StoreConfig) -> Result<String> {
        Ok("simulated".to_owned())
    }

    fn create<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async { self.0.open(None) })
    }

    fn exists<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(true) })
    }

    fn connect<'a>(&'a self, _: &'a StoreConfig, access: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move { self.0.open(Some(access)) })
    }

    fn delete<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        unreachable!("these tests delete no store")
    }
}
