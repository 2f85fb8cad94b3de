//! `:file`: a directory, one file per blob.
//!
//! A blob is written under a temporary name, synced, renamed over its key and the directory synced, so that a loss of
//! power leaves the old blob or the new one. Names with `~` are the backend's own: `~writer.lock` is locked by the
//! writer for its life, `~tmp` holds what is being written, `~hints` notes that are good until the machine stops. All work
//! is done in the future's first poll.

mod kind;
mod writer;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use crate::error::{Error, ErrorKind, Result};
use crate::store::Encoding;
use crate::store::backend::{Backend, BoxFuture, Capabilities, check_key, cut};
use crate::store::fs::{Fs, FsFile, RealFs};
pub(crate) use kind::FileKind;
use writer::Writer;

/// The mark of names that are not keys.
const OWN: char = '~';
const LOCK: &str = "~writer.lock";
const TEMP: &str = "~tmp";
const HINTS: &str = "~hints";
/// The kind of a note's frame.
const HINT_KIND: u8 = 0;
/// Most bytes of a note and what is around it.
const HINT: u64 = 256;

/// Blobs as files of a directory, for one writer and any number of readers, in this process and others.
///
/// ```
/// use treering::store::{FileBackend, Store};
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("people.tr");
/// let store = Store::new(FileBackend::create(&path)?);
/// store.put("greeting", b"hello".to_vec())?;
///
/// let reader = Store::new(FileBackend::open_reader(&path)?);
/// assert_eq!(reader.get("greeting", None)?, Some(b"hello".to_vec()));
/// assert_eq!(reader.put("greeting", vec![]).unwrap_err().code(), "store/read-only");
/// assert_eq!(FileBackend::open_writer(&path).unwrap_err().code(), "store/locked");
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Debug)]
pub struct FileBackend {
    dir: Directory,
    /// Absent in a reader, and once the right to write was given up.
    writer: RwLock<Option<Arc<Writer>>>,
}

/// Where the blobs are.
#[derive(Debug)]
struct Directory {
    fs: Arc<dyn Fs>,
    root: PathBuf,
    /// [`Fs::boot`], which no process outlives.
    boot: OnceLock<Option<String>>,
}

/// An error of the file system with what was tried where.
fn failed(what: &str, path: &Path, cause: io::Error) -> Error {
    let code = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "store/full",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "store/denied",
        _ => "store/io",
    };
    Error::new(ErrorKind::Storage, code, format!("cannot {what} {}: {cause}", path.display())).caused_by(cause)
}

impl Directory {
    fn new(fs: Arc<dyn Fs>, root: PathBuf) -> Directory {
        Directory { fs, root, boot: OnceLock::new() }
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        check_key(key)?;
        Ok(self.root.join(key))
    }

    /// An error unless the root is a directory.
    fn check_root(&self) -> Result<()> {
        let shown = self.root.display();
        match self.fs.is_dir(&self.root).map_err(|e| failed("open", &self.root, e))? {
            Some(true) => Ok(()),
            Some(false) => {
                let what = format!("the store {shown} must be a directory and is a file");
                Err(Error::new(ErrorKind::Storage, "store/not-a-directory", what))
            }
            None => {
                let what = format!("there is no store at {shown}: the directory does not exist");
                Err(Error::new(ErrorKind::Existence, "store/missing", what))
            }
        }
    }

    /// Creates the root and the directories above it as needed, each durable.
    fn create_root(&self) -> Result<()> {
        let missing = self.root.ancestors().take_while(|dir| !dir.as_os_str().is_empty());
        let mut missing: Vec<&Path> =
            missing.take_while(|dir| !matches!(self.fs.is_dir(dir), Ok(Some(_)) | Err(_))).collect();
        if missing.is_empty() {
            // An earlier creation may have been stopped before the name was durable.
            missing.push(&self.root);
        }
        for dir in missing.into_iter().rev() {
            match self.fs.create_dir(dir) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(failed("create the directory", dir, e)),
            }
            let above = above(dir);
            self.fs.sync_dir(above).map_err(|e| failed("sync the directory", above, e))?;
        }
        Ok(())
    }

    /// The directory that the root is in.
    fn above_root(&self) -> &Path {
        above(&self.root)
    }

    fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>> {
        let path = self.path(key)?;
        let open = self.fs.open(&path, false).and_then(|file| Ok((file.len()?, file)));
        let read = open.and_then(|(len, file)| {
            let (start, end) = cut(range, len);
            read_range(file.as_ref(), start, end)
        });
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if is_absence(&e) => Ok(None),
            Err(e) => Err(failed("read", &path, e)),
        }
    }

    fn size(&self, key: &str) -> Result<Option<u64>> {
        let path = self.path(key)?;
        match self.fs.open(&path, false).and_then(|file| file.len()) {
            Ok(len) => Ok(Some(len)),
            Err(e) if is_absence(&e) => Ok(None),
            Err(e) => Err(failed("read", &path, e)),
        }
    }

    /// The file of the note under `key`, and what its checksum is seeded with: a note that another run of the machine
    /// left does not verify, since an older one may stand where the last was lost.
    fn hint(&self, key: &str) -> Result<Option<(PathBuf, String)>> {
        check_key(key)?;
        let path = self.root.join(HINTS).join(key.replace('/', "~"));
        let boot = self.boot.get_or_init(|| self.fs.boot());
        Ok(boot.as_ref().map(|boot| (path, format!("{boot} {key}"))))
    }

    fn read_hint(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let Some((path, place)) = self.hint(key)? else { return Ok(None) };
        let bytes = match self.fs.open(&path, false).and_then(|file| read_range(file.as_ref(), 0, HINT)) {
            Ok(bytes) => bytes,
            Err(e) if is_absence(&e) => return Ok(None),
            Err(e) => return Err(failed("read", &path, e)),
        };
        Ok(Encoding::PLAIN.open(&bytes, &place, 0).ok().map(|frame| frame.body.into_owned()))
    }

    /// All keys with the prefix, sorted.
    fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let base = prefix.rfind('/').map_or("", |i| &prefix[..=i]);
        if !base.is_empty() && check_key(&base[..base.len() - 1]).is_err() {
            return Ok(Vec::new());
        }
        let mut keys = Vec::new();
        let mut pending = vec![base.to_owned()];
        while let Some(base) = pending.pop() {
            let path = self.root.join(&base);
            let entries = match self.fs.list(&path) {
                Ok(entries) => entries,
                Err(e) if is_absence(&e) => continue,
                Err(e) => return Err(failed("list", &path, e)),
            };
            for entry in entries {
                let name = format!("{base}{}", entry.name);
                let below = entry.is_dir && (name.starts_with(prefix) || prefix.starts_with(&name));
                if below && check_key(&name).is_ok() {
                    pending.push(name + "/");
                } else if !entry.is_dir && name.starts_with(prefix) && check_key(&name).is_ok() {
                    keys.push(name);
                }
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }
}

/// The directory that `path` is in, also where `path` is a name only.
fn above(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether the error says that there is no such file, as opposed to that it cannot be read.
fn is_absence(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory)
}

/// The bytes from `start` to `end`, fewer if the file ends before.
fn read_range(file: &dyn FsFile, start: u64, end: u64) -> io::Result<Vec<u8>> {
    let len = usize::try_from(end - start).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.resize(len, 0);
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(start + done as u64, rest)? {
            0 => break,
            n => done += n,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

impl FileBackend {
    /// Creates the directory `path` (and those above it) as needed and opens it for writing.
    ///
    /// # Errors
    /// As [`open_writer`](Self::open_writer), and `store/io` or `store/denied` if it cannot be created.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        FileBackend::create_with(Arc::new(RealFs), path)
    }

    /// Opens the directory `path` for writing; no other can until this value is dropped.
    ///
    /// # Errors
    /// `store/locked` (of kind [`Fenced`](ErrorKind::Fenced)) naming the process that holds it, `store/missing` if
    /// there is no such directory, `store/not-a-directory`, `store/lock-unsupported` where the file system has no
    /// locks, and `store/denied`, `store/full` or `store/io`.
    pub fn open_writer(path: impl Into<PathBuf>) -> Result<Self> {
        FileBackend::open_writer_with(Arc::new(RealFs), path)
    }

    /// Opens the directory `path` for reading, beside a writer or without one. Every write is an error.
    ///
    /// # Errors
    /// `store/missing`, `store/not-a-directory`, `store/denied`, `store/io`.
    pub fn open_reader(path: impl Into<PathBuf>) -> Result<Self> {
        FileBackend::open_reader_with(Arc::new(RealFs), path)
    }

    /// [`create`](Self::create) on another file system.
    ///
    /// # Errors
    /// As there.
    pub fn create_with(fs: Arc<dyn Fs>, path: impl Into<PathBuf>) -> Result<Self> {
        let dir = Directory::new(fs, path.into());
        dir.create_root()?;
        dir.check_root()?;
        let writer = RwLock::new(Some(Arc::new(Writer::open(&dir)?)));
        Ok(FileBackend { dir, writer })
    }

    /// [`open_writer`](Self::open_writer) on another file system.
    ///
    /// # Errors
    /// As there.
    pub fn open_writer_with(fs: Arc<dyn Fs>, path: impl Into<PathBuf>) -> Result<Self> {
        let dir = Directory::new(fs, path.into());
        dir.check_root()?;
        let writer = RwLock::new(Some(Arc::new(Writer::open(&dir)?)));
        Ok(FileBackend { dir, writer })
    }

    /// [`open_reader`](Self::open_reader) on another file system.
    ///
    /// # Errors
    /// As there.
    pub fn open_reader_with(fs: Arc<dyn Fs>, path: impl Into<PathBuf>) -> Result<Self> {
        let dir = Directory::new(fs, path.into());
        dir.check_root()?;
        Ok(FileBackend { dir, writer: RwLock::default() })
    }

    /// Removes every blob and the directory itself; files that are not of a store are left, and the directory then too.
    ///
    /// # Errors
    /// As [`open_writer`](Self::open_writer): what another writer holds is not removed.
    pub fn destroy(path: impl Into<PathBuf>) -> Result<()> {
        let FileBackend { dir, writer } = FileBackend::open_writer(path)?;
        let Some(writer) = writer.into_inner().and_then(Arc::into_inner) else { return Ok(()) };
        for key in dir.keys("")? {
            writer.delete(&dir, &key)?;
        }
        writer.remove_own(&dir)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.dir.root
    }

    fn writer(&self) -> Result<Arc<Writer>> {
        self.writer.read().clone().ok_or_else(|| {
            let what = format!("the store {} is open for reading only and cannot be written", self.dir.root.display());
            Error::new(ErrorKind::Argument, "store/read-only", what)
        })
    }
}

impl Backend for FileBackend {
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            if let Some(writer) = &*self.writer.read() {
                writer.settle(&self.dir, &self.dir.path(key)?)?;
            }
            self.dir.read(key, range)
        })
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.writer()?.put(&self.dir, key, &bytes) })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { self.writer()?.delete(&self.dir, key) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move { self.dir.keys(prefix) })
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a [u8]>, new: Vec<u8>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { self.writer()?.swap(&self.dir, key, expected, &new) })
    }

    fn size<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<u64>>> {
        Box::pin(async move { self.dir.size(key) })
    }

    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            match &*self.writer.read() {
                Some(writer) => writer.sync(&self.dir),
                None => Ok(()),
            }
        })
    }

    fn put_many(&self, blobs: Vec<(String, Vec<u8>)>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.writer()?.put_many(&self.dir, &blobs) })
    }

    fn write_at<'a>(&'a self, key: &'a str, offset: u64, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.writer()?.write_at(&self.dir, key, offset, &bytes) })
    }

    fn hint<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.writer()?.hint(&self.dir, key, &bytes) })
    }

    fn hinted<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move { self.dir.read_hint(key) })
    }

    fn give_up_writing(&self) {
        self.writer.write().take();
    }

    /// `swap` is not atomic between processes: the writer's lock keeps the others out.
    fn capabilities(&self) -> Capabilities {
        Capabilities { write_at: true, atomic_swap: false, ..Capabilities::default() }
    }
}

#[cfg(test)]
mod tests;
