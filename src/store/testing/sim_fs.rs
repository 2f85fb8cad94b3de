//! A file system in memory that remembers what it was asked, so that it can be asked what a loss of power leaves.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::crash::{Crash, Replay};
use super::fault::{Failure, Fault, Faults, io_error};
use crate::store::fs::{Entry, Fs, FsFile};

/// The number of a file or directory; 0 is the root directory.
pub(super) type Node = usize;

/// What was asked of the file system and changed it, or made a change durable.
#[derive(Debug, Clone)]
pub(super) enum Op {
    CreateFile {
        dir: Node,
        name: String,
        node: Node,
    },
    CreateDir {
        dir: Node,
        name: String,
        node: Node,
    },
    Write {
        node: Node,
        offset: u64,
        bytes: Arc<[u8]>,
    },
    SetLen {
        node: Node,
        len: u64,
    },
    SyncData {
        node: Node,
    },
    /// The operating system gave up on what was written to the file since the last sync: it can still be read, and
    /// does not reach the disk any more.
    FailedSync {
        node: Node,
    },
    Rename {
        from: (Node, String),
        to: (Node, String),
        node: Node,
    },
    Remove {
        dir: Node,
        name: String,
    },
    SyncDir {
        dir: Node,
    },
}

/// The content of a file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    File(Vec<u8>),
    Dir(BTreeMap<String, Node>),
}

pub(super) fn write(bytes: &mut Vec<u8>, offset: u64, new: &[u8]) {
    let end = offset as usize + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset as usize..end].copy_from_slice(new);
}

/// A simulated file system. Clones share it.
///
/// It models what POSIX promises and no more: bytes and length of a file survive a crash if the file was synced after
/// they were written, a name if its directory was synced after it was given. Anything else may survive or not; a
/// [`Crash`] says which. What was written before a sync of a file that failed can be read until the power is lost and
/// never reaches the disk, whatever syncs succeed later.
///
/// ```
/// use std::sync::Arc;
/// use treering::store::{FileBackend, Store, testing::{Crash, SimFs}};
/// let fs = SimFs::new();
/// let store = Store::new(FileBackend::create_with(Arc::new(fs.clone()), "/db")?);
/// store.put("a", b"kept".to_vec())?;
///
/// let image = fs.crash_image(fs.ops_len(), Crash::Lost);
/// let store = Store::new(FileBackend::open_writer_with(Arc::new(image), "/db")?);
/// assert_eq!(store.get("a", None)?, Some(b"kept".to_vec()));
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Clone)]
pub struct SimFs {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    faults: Faults,
    no_locks: AtomicBool,
    boot: u64,
}

/// The number of the next machine that is switched on.
static BOOTS: AtomicU64 = AtomicU64::new(0);

#[derive(Default)]
struct State {
    /// What the file system held before the first recorded operation, all of it durable.
    base: Vec<Content>,
    now: Vec<Content>,
    ops: Vec<Op>,
    locks: BTreeMap<Node, Arc<AtomicBool>>,
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFs({} operations)", self.ops_len())
    }
}

impl Default for SimFs {
    fn default() -> Self {
        SimFs::new()
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no such file or directory: {}", path.display()))
}

impl State {
    fn dir(&self, node: Node) -> io::Result<&BTreeMap<String, Node>> {
        match self.now.get(node) {
            Some(Content::Dir(names)) => Ok(names),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn names(&mut self, node: Node) -> io::Result<&mut BTreeMap<String, Node>> {
        match self.now.get_mut(node) {
            Some(Content::Dir(names)) => Ok(names),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn find(&self, path: &Path) -> io::Result<Node> {
        path.components().try_fold(0, |node, part| match part {
            Component::Normal(name) => {
                let names = self.dir(node)?;
                names.get(name.to_str().unwrap_or_default()).copied().ok_or_else(|| not_found(path))
            }
            Component::RootDir | Component::CurDir => Ok(node),
            Component::ParentDir | Component::Prefix(_) => Err(io::ErrorKind::InvalidInput.into()),
        })
    }

    /// The directory of `path`, and the name in it.
    fn place(&self, path: &Path) -> io::Result<(Node, String)> {
        let name = path.file_name().and_then(|n| n.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.find(path.parent().unwrap_or(Path::new("/")))?, name.to_owned()))
    }

    fn add(&mut self, path: &Path, content: Content) -> io::Result<(Node, Node, String)> {
        let (dir, name) = self.place(path)?;
        if self.dir(dir)?.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.now.push(content);
        let node = self.now.len() - 1;
        self.names(dir)?.insert(name.clone(), node);
        Ok((dir, node, name))
    }

    fn file(&mut self, node: Node) -> io::Result<&mut Vec<u8>> {
        match self.now.get_mut(node) {
            Some(Content::File(bytes)) => Ok(bytes),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }
}

impl SimFs {
    /// An empty file system.
    pub fn new() -> Self {
        SimFs::holding(vec![Content::Dir(BTreeMap::new())])
    }

    /// A file system that holds `base`, all of it durable.
    pub(super) fn holding(base: Vec<Content>) -> Self {
        let state = State { now: base.clone(), base, ..State::default() };
        SimFs {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                faults: Faults::default(),
                no_locks: AtomicBool::new(false),
                boot: BOOTS.fetch_add(1, Ordering::Relaxed),
            }),
        }
    }

    /// Makes it a file system without locks.
    pub fn forbid_locks(&self) {
        self.shared.no_locks.store(true, Ordering::Release);
    }

    /// How many operations were recorded that wrote or synced something.
    pub fn ops_len(&self) -> usize {
        self.shared.state.lock().ops.len()
    }

    /// A new file system with what is there after the power was lost when `prefix` operations had been done, of which
    /// `crash` says what survived of those that were not durable.
    pub fn crash_image(&self, prefix: usize, crash: Crash) -> SimFs {
        let mut replay = self.replay();
        replay.advance(prefix);
        replay.image(crash)
    }

    /// Goes through the operations recorded so far once more: cheaper than [`crash_image`](Self::crash_image) for many
    /// images.
    pub fn replay(&self) -> Replay {
        let state = self.shared.state.lock();
        Replay::new(state.base.clone(), state.ops.clone())
    }

    /// Sets or clears a fault; writing and syncing operations count from 0 again.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.shared.faults.set(fault);
    }

    /// Operations since the fault was set.
    pub fn operations(&self) -> u64 {
        self.shared.faults.count()
    }

    /// Fails if an operation that does not write bytes is to fail now.
    fn step(&self, is_sync: bool) -> io::Result<()> {
        match self.shared.faults.next() {
            Some(Failure::Full) if is_sync => Ok(()),
            Some(Failure::Sync) if !is_sync => Ok(()),
            Some(failure) => Err(io_error(failure)),
            None => Ok(()),
        }
    }
}

impl Fs for SimFs {
    fn is_dir(&self, path: &Path) -> io::Result<Option<bool>> {
        let state = self.shared.state.lock();
        match state.find(path) {
            Ok(node) => Ok(Some(state.dir(node).is_ok())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        let (dir, node, name) = match state.find(path) {
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => {
                self.step(false)?;
                state.add(path, Content::Dir(BTreeMap::new()))?
            }
        };
        state.ops.push(Op::CreateDir { dir, name, node });
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.step(false)?;
        let mut state = self.shared.state.lock();
        let (dir, node, name) = state.add(path, Content::File(Vec::new()))?;
        state.ops.push(Op::CreateFile { dir, name, node });
        Ok(Box::new(SimFile { fs: self.clone(), node, held: None }))
    }

    fn open(&self, path: &Path, _write: bool) -> io::Result<Box<dyn FsFile>> {
        let mut state = self.shared.state.lock();
        let node = state.find(path)?;
        state.file(node)?;
        Ok(Box::new(SimFile { fs: self.clone(), node, held: None }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(false)?;
        let mut state = self.shared.state.lock();
        let (node, from, to) = (state.find(from)?, state.place(from)?, state.place(to)?);
        if let Some(old) = state.dir(to.0)?.get(&to.1).copied() {
            state.file(old)?;
        }
        state.names(from.0)?.remove(&from.1);
        state.names(to.0)?.insert(to.1.clone(), node);
        state.ops.push(Op::Rename { from, to, node });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        let node = state.find(path)?;
        state.file(node)?;
        self.step(true)?;
        let (dir, name) = state.place(path)?;
        state.names(dir)?.remove(&name);
        state.ops.push(Op::Remove { dir, name });
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.step(true)?;
        let mut state = self.shared.state.lock();
        let node = state.find(path)?;
        if !state.dir(node)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (dir, name) = state.place(path)?;
        state.names(dir)?.remove(&name);
        state.ops.push(Op::Remove { dir, name });
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step(true)?;
        let mut state = self.shared.state.lock();
        let dir = state.find(path)?;
        state.dir(dir)?;
        state.ops.push(Op::SyncDir { dir });
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let state = self.shared.state.lock();
        let names = state.dir(state.find(path)?)?;
        let entry = |(name, node): (&String, &Node)| Entry { name: name.clone(), is_dir: state.dir(*node).is_ok() };
        Ok(names.iter().map(entry).collect())
    }

    fn boot(&self) -> Option<String> {
        Some(self.shared.boot.to_string())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn FsFile>>> {
        if self.shared.no_locks.load(Ordering::Acquire) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let exists = self.shared.state.lock().find(path).is_ok();
        if !exists {
            self.create(path)?;
        }
        let mut state = self.shared.state.lock();
        let node = state.find(path)?;
        let held = state.locks.entry(node).or_default().clone();
        if held.swap(true, Ordering::AcqRel) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimFile { fs: self.clone(), node, held: Some(held) })))
    }
}

#[derive(Debug)]
struct SimFile {
    fs: SimFs,
    node: Node,
    /// Cleared when the file is closed: the lock that it holds.
    held: Option<Arc<AtomicBool>>,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            held.store(false, Ordering::Release);
        }
    }
}

impl SimFile {
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.fs.shared.state.lock();
        write(state.file(self.node)?, offset, bytes);
        state.ops.push(Op::Write { node: self.node, offset, bytes: bytes.into() });
        Ok(())
    }
}

impl FsFile for SimFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.fs.shared.state.lock();
        let rest = state.file(self.node)?.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.fs.shared.faults.next() {
            None | Some(Failure::Sync) => self.write(offset, bytes),
            Some(failure @ (Failure::ShortWrite | Failure::Full)) => {
                self.write(offset, &bytes[..bytes.len() / 2])?;
                Err(io_error(failure))
            }
            Some(failure) => Err(io_error(failure)),
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.fs.shared.state.lock().file(self.node)?.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fs.step(false)?;
        let mut state = self.fs.shared.state.lock();
        state.file(self.node)?.resize(len as usize, 0);
        state.ops.push(Op::SetLen { node: self.node, len });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let failed = self.fs.step(true);
        let op = if failed.is_ok() { Op::SyncData { node: self.node } } else { Op::FailedSync { node: self.node } };
        self.fs.shared.state.lock().ops.push(op);
        failed
    }
}
