//! `:lmdb`: blobs in a B+tree that is mapped into memory.
//!
//! Each write is one transaction, synced before it is acknowledged; LMDB lets one writer in at a time, over all processes
//! of the machine, so that a swap is a read and a write in one transaction. A read is a transaction too, and over before
//! its bytes are handed out: a long one would keep old pages from being used again. All work is done in the future's first
//! poll.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use heed::types::Bytes;
use heed::{Database, Env, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls, env_closing_event};
use parking_lot::Mutex;

use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::store::backend::{Backend, BoxFuture, Capabilities, cut};
use crate::store::config::absolute;
use crate::store::{Access, BackendKind, StoreConfig};

/// How far a store may grow when the config does not say: address space, not bytes on the disk.
const MAP_SIZE: u64 = 64 << 30;
/// Map sizes are multiples of the largest page size that is in use.
const PAGE: u64 = 64 << 10;
/// Reads that may be under way at once, over all processes.
const READERS: u32 = 1024;
/// How long a store that is just being closed is waited for.
const CLOSING: Duration = Duration::from_secs(10);
const DATA: &str = "data.mdb";
const LOCK: &str = "lock.mdb";

/// The environments that are open: LMDB allows one for each path and process.
static OPEN: LazyLock<Mutex<HashMap<PathBuf, Weak<Environment>>>> = LazyLock::new(Mutex::default);

/// A directory that is mapped.
struct Environment {
    env: Env<WithoutTls>,
    blobs: Database<Bytes, Bytes>,
    path: PathBuf,
    map_size: u64,
    /// Set by a commit that failed: what is on the disk is not known.
    failed: AtomicBool,
}

/// Blobs in an LMDB environment. Clones, and all that are open on one path in a process, share it.
///
/// ```
/// use treering::store::{LmdbBackend, Store};
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("people.lmdb");
/// let store = Store::new(LmdbBackend::create(&path, 1 << 30)?);
/// store.put("greeting", b"hello".to_vec())?;
/// let again = Store::new(LmdbBackend::connect(&path, 1 << 30)?);
/// assert!(again.swap("greeting", Some(b"hello"), b"good day".to_vec())?);
/// assert_eq!(store.get("greeting", Some(5..8))?, Some(b"day".to_vec()));
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Clone)]
pub struct LmdbBackend {
    shared: Arc<Environment>,
}

impl fmt::Debug for LmdbBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LmdbBackend({})", self.shared.path.display())
    }
}

impl LmdbBackend {
    /// Opens the environment in the directory `path`, and makes both where they are not there. It can grow to `map_size`
    /// bytes; where this process has it open already, the size stays what it is.
    ///
    /// # Errors
    /// `store/io` where the directory cannot be used.
    pub fn create(path: impl AsRef<Path>, map_size: u64) -> Result<LmdbBackend> {
        let path = path.as_ref();
        let fresh = !path.join(DATA).exists();
        if fresh {
            fs::create_dir_all(path).map_err(|cause| failed(path, "create the directory", &cause))?;
        }
        let backend = LmdbBackend::open(path, map_size)?;
        if fresh {
            // The names of the files, and that of the directory.
            for directory in
                [Some(path), path.parent().filter(|parent| !parent.as_os_str().is_empty())].into_iter().flatten()
            {
                let synced = File::open(directory).and_then(|directory| directory.sync_all());
                synced.map_err(|cause| failed(path, "sync the directory", &cause))?;
            }
        }
        Ok(backend)
    }

    /// Opens an environment that exists.
    ///
    /// # Errors
    /// `Existence`, code `db-does-not-exist`, where there is none; `store/io` where it cannot be used.
    pub fn connect(path: impl AsRef<Path>, map_size: u64) -> Result<LmdbBackend> {
        let path = path.as_ref();
        if !path.join(DATA).is_file() {
            let message = format!("there is no LMDB store in {}: create the database first", path.display());
            return Err(Error::new(ErrorKind::Existence, "db-does-not-exist", message));
        }
        LmdbBackend::open(path, map_size)
    }

    fn open(path: &Path, map_size: u64) -> Result<LmdbBackend> {
        let path = absolute(path);
        let mut open = OPEN.lock();
        if let Some(shared) = open.get(&path).and_then(Weak::upgrade) {
            return Ok(LmdbBackend { shared });
        }
        // The last who held it may not be done with closing it.
        if let Some(closing) = env_closing_event(&path) {
            closing.wait_timeout(CLOSING);
        }
        let shared = Arc::new(Environment::open(path.clone(), map_size)?);
        open.retain(|_, environment| environment.strong_count() > 0);
        open.insert(path, Arc::downgrade(&shared));
        Ok(LmdbBackend { shared })
    }

    /// Removes all blobs, and the files where nothing in this process has them open.
    fn destroy(self) -> Result<()> {
        self.shared.write("clear the store", |blobs, txn| blobs.clear(txn))?;
        let path = self.shared.path.clone();
        let mut open = OPEN.lock();
        if Arc::into_inner(self.shared).is_none() {
            return Ok(());
        }
        open.remove(&path);
        for name in [DATA, LOCK] {
            match fs::remove_file(path.join(name)) {
                Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed(&path, "delete the files", &cause));
                }
                _ => {}
            }
        }
        // What others have put there stays.
        let _ = fs::remove_dir(&path);
        Ok(())
    }
}

impl Environment {
    fn open(path: PathBuf, map_size: u64) -> Result<Environment> {
        let opened = |cause: heed::Error| failed(&path, "open the store", &cause);
        let size = usize::try_from(map_size.next_multiple_of(PAGE)).unwrap_or(usize::MAX & !(PAGE as usize - 1));
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(size).max_readers(READERS);
        // SAFETY: the map is read while the file may change, which LMDB itself keeps in order as long as nothing else
        // writes to its files and none of its locks is bypassed: no flag is set that would do so, and `OPEN` keeps the
        // process from opening a path twice.
        #[allow(unsafe_code, reason = "LMDB is a map of a file")]
        let env = unsafe { options.open(&path) }.map_err(opened)?;
        // Places in the table of readers that killed processes have left.
        env.clear_stale_readers().map_err(opened)?;
        let mut txn = env.write_txn().map_err(opened)?;
        let blobs = env.create_database::<Bytes, Bytes>(&mut txn, None).map_err(opened)?;
        txn.commit().map_err(opened)?;
        Ok(Environment { env, blobs, path, map_size, failed: AtomicBool::new(false) })
    }

    fn error(&self, what: impl fmt::Display, cause: &heed::Error) -> Error {
        match cause {
            heed::Error::Mdb(MdbError::MapFull) => {
                let message = format!(
                    "cannot {what} in {}: the store is as large as its :map-size allows ({} bytes); give a greater one",
                    self.path.display(),
                    self.map_size
                );
                Error::new(ErrorKind::Storage, "store/full", message)
            }
            _ => failed(&self.path, what, cause),
        }
    }

    fn read<T>(
        &self,
        what: impl fmt::Display,
        read: impl FnOnce(&Database<Bytes, Bytes>, &RoTxn<'_, WithoutTls>) -> heed::Result<T>,
    ) -> Result<T> {
        let found = self.env.read_txn().and_then(|txn| read(&self.blobs, &txn));
        found.map_err(|cause| self.error(what, &cause))
    }

    fn write<T>(
        &self,
        what: impl fmt::Display,
        write: impl FnOnce(&Database<Bytes, Bytes>, &mut RwTxn<'_>) -> heed::Result<T>,
    ) -> Result<T> {
        let begun = self.env.write_txn();
        if self.failed.load(Ordering::Acquire) {
            let message = format!(
                "cannot {what} in {}: an earlier write failed, and what is on the disk is not known; open the store again",
                self.path.display()
            );
            return Err(Error::new(ErrorKind::Storage, "store/failed", message));
        }
        let mut txn = begun.map_err(|cause| self.error(&what, &cause))?;
        let written = write(&self.blobs, &mut txn).map_err(|cause| self.error(&what, &cause))?;
        txn.commit().map_err(|cause| {
            self.failed.store(true, Ordering::Release);
            self.error(&what, &cause)
        })?;
        Ok(written)
    }
}

fn failed(path: &Path, what: impl fmt::Display, cause: &dyn std::error::Error) -> Error {
    Error::new(ErrorKind::Storage, "store/io", format!("cannot {what} in {}: {cause}", path.display()))
}

/// The part of a blob that a range asks for.
fn part(bytes: &[u8], range: Option<Range<u64>>) -> Vec<u8> {
    let (start, end) = cut(range, bytes.len() as u64);
    bytes.get(start as usize..end as usize).unwrap_or_default().to_vec()
}

impl Backend for LmdbBackend {
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            self.shared.read(format_args!("read {key}"), |blobs, txn| {
                Ok(blobs.get(txn, key.as_bytes())?.map(|bytes| part(bytes, range)))
            })
        })
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.shared.write(format_args!("write {key}"), |blobs, txn| blobs.put(txn, key.as_bytes(), &bytes))
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            self.shared.write(format_args!("delete {key}"), |blobs, txn| blobs.delete(txn, key.as_bytes()))
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            self.shared.read("list the keys", |blobs, txn| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                if prefix.is_empty() {
                    return blobs.iter(txn)?.map(|entry| Ok(text(entry?.0))).collect();
                }
                blobs.prefix_iter(txn, prefix.as_bytes())?.map(|entry| Ok(text(entry?.0))).collect()
            })
        })
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a [u8]>, new: Vec<u8>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            self.shared.write(format_args!("write {key}"), |blobs, txn| {
                if blobs.get(txn, key.as_bytes())? != expected {
                    return Ok(false);
                }
                blobs.put(txn, key.as_bytes(), &new)?;
                Ok(true)
            })
        })
    }

    /// A commit is synced before it returns.
    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// One transaction: all of them or none.
    fn put_many(&self, batch: Vec<(String, Vec<u8>)>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.shared.write(format_args!("write {} blobs", batch.len()), |blobs, txn| {
                batch.iter().try_for_each(|(key, bytes)| blobs.put(txn, key.as_bytes(), bytes))
            })
        })
    }

    fn get_many(&self, wanted: Vec<(String, Option<Range<u64>>)>) -> BoxFuture<'_, Result<Vec<Option<Vec<u8>>>>> {
        Box::pin(async move {
            self.shared.read(format_args!("read {} blobs", wanted.len()), |blobs, txn| {
                let one = |(key, range): (String, Option<Range<u64>>)| {
                    Ok(blobs.get(txn, key.as_bytes())?.map(|bytes| part(bytes, range)))
                };
                wanted.into_iter().map(one).collect()
            })
        })
    }

    fn size<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<u64>>> {
        Box::pin(async move {
            self.shared.read(format_args!("measure {key}"), |blobs, txn| {
                Ok(blobs.get(txn, key.as_bytes())?.map(|bytes| bytes.len() as u64))
            })
        })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
}

/// `:lmdb`: one directory for each store.
#[derive(Debug)]
pub struct LmdbKind;

/// The directory and the map size of a store.
fn place(store: &StoreConfig) -> Result<(PathBuf, u64)> {
    store.check_keys(&["path", "map-size"])?;
    let path = store.string("path")?.ok_or_else(|| store.missing("path"))?;
    // Above the largest, processors cannot address it.
    let map_size = store.number("map-size", 1 << 20..=1 << 46)?.unwrap_or(MAP_SIZE);
    Ok((path.into(), map_size))
}

impl BackendKind for LmdbKind {
    fn keyword(&self) -> Keyword {
        Keyword::new("lmdb")
    }

    fn validate(&self, store: &StoreConfig) -> Result<()> {
        place(store).map(|_| ())
    }

    fn identity(&self, store: &StoreConfig) -> Result<String> {
        Ok(absolute(&place(store)?.0).to_string_lossy().into_owned())
    }

    fn create<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move {
            let (path, map_size) = place(store)?;
            Ok(Arc::new(LmdbBackend::create(path, map_size)?) as Arc<dyn Backend>)
        })
    }

    fn exists<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(place(store)?.0.join(DATA).is_file()) })
    }

    fn connect<'a>(&'a self, store: &'a StoreConfig, _: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move {
            let (path, map_size) = place(store)?;
            Ok(Arc::new(LmdbBackend::connect(path, map_size)?) as Arc<dyn Backend>)
        })
    }

    fn delete<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (path, map_size) = place(store)?;
            if path.join(DATA).is_file() { LmdbBackend::open(&path, map_size)?.destroy() } else { Ok(()) }
        })
    }
}
