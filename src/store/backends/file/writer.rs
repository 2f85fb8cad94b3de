//! The writing side of a directory of blobs.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, RwLock};

use super::{Directory, HINT_KIND, HINTS, LOCK, OWN, TEMP, failed, is_absence, read_range};
use crate::edn::{Form, FormKind, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Encoding;
use crate::store::fs::FsFile;

/// A blob that is overwritten in place grows by as much as it has, within these bounds, so that most writes fall on
/// bytes that are allocated and the sync has no new length to record.
const GROW: std::ops::RangeInclusive<u64> = 64 * 1024..=1024 * 1024;
/// Most files kept open for overwriting.
const OPEN: usize = 16;
/// Most bytes read of the note that the holder of the lock leaves.
const NOTE: u64 = 512;

/// What a writer knows. Dropping it releases the lock.
#[derive(Debug)]
pub(super) struct Writer {
    names: Mutex<Names>,
    /// Directories whose own names and the names in them (as found at first sight) are durable.
    settled: RwLock<HashSet<PathBuf>>,
    /// Set by the first sync that fails: the operating system may have dropped what it could not write, so nothing
    /// written since the last good sync can be trusted, and a second sync would wrongly succeed.
    poison: OnceLock<String>,
    temps: AtomicU64,
    /// The files of the notes that this writer has left.
    hints: Mutex<HashMap<String, Hint>>,
    _lock: Box<dyn FsFile>,
}

/// Guarded together, so that comparing and renaming is one step and no handle outlives its name.
#[derive(Debug, Default)]
struct Names {
    /// Directories with removals that are not durable yet.
    dirty: BTreeSet<PathBuf>,
    /// Files that are overwritten in place.
    open: HashMap<String, Arc<Open>>,
}

/// The file of a note.
#[derive(Debug)]
struct Hint {
    file: Box<dyn FsFile>,
    path: PathBuf,
    place: String,
}

impl Hint {
    /// `None` where no note can be left, and none is needed then.
    fn open(dir: &Directory, key: &str) -> Result<Option<Hint>> {
        let Some((path, place)) = dir.hint(key)? else { return Ok(None) };
        match dir.fs.create_dir(parent(&path)) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Ok(None),
            _ => {}
        }
        let file = match dir.fs.open(&path, true) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => match dir.fs.create(&path) {
                Err(_) => return Ok(None),
                created => created,
            },
            opened => opened,
        };
        let file = file.map_err(|e| failed("open", &path, e))?;
        Ok(Some(Hint { file, path, place }))
    }
}

#[derive(Debug)]
struct Open {
    file: Box<dyn FsFile>,
    /// Bytes that the file has; held while writing, so that one growth is one.
    allocated: Mutex<u64>,
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// The name of this machine, as far as it is told.
fn host() -> String {
    let told = ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(|p| std::fs::read_to_string(p).ok());
    let told = told.or_else(|| std::env::var("COMPUTERNAME").ok()).or_else(|| std::env::var("HOSTNAME").ok());
    told.map(|h| h.trim().to_owned()).filter(|h| !h.is_empty()).unwrap_or_else(|| "unknown".into())
}

impl Writer {
    /// Takes the lock and removes what an interrupted writer left.
    pub(super) fn open(dir: &Directory) -> Result<Writer> {
        let path = dir.root.join(LOCK);
        let shown = dir.root.display();
        let lock = match dir.fs.lock(&path) {
            Ok(Some(lock)) => lock,
            Ok(None) => {
                let note = dir.fs.open(&path, false).and_then(|file| read_range(file.as_ref(), 0, NOTE));
                let note = note.ok().and_then(|bytes| String::from_utf8(bytes).ok()).filter(|n| !n.is_empty());
                let holder = note.map_or("(its note cannot be read)".to_owned(), |note| note.trim().to_owned());
                let what = format!(
                    "the store {shown} has a writer already: {holder}; release it there first, or connect for reading only"
                );
                return Err(Error::new(ErrorKind::Fenced, "store/locked", what));
            }
            Err(e) if e.kind() == io::ErrorKind::Unsupported => {
                let what = format!(
                    "the store {shown} lies on a file system without locks, which keep a second writer out; open it for reading or move it"
                );
                return Err(Error::new(ErrorKind::Storage, "store/lock-unsupported", what).caused_by(e));
            }
            Err(e) => return Err(failed("lock", &path, e)),
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        let entry = |key: &str, value: FormKind| (FormKind::Keyword(Keyword::new(key)).into(), value.into());
        let note = Form::map(vec![
            entry("pid", FormKind::Int(std::process::id().into())),
            entry("host", FormKind::Str(host().into())),
            entry("since", FormKind::Inst(i64::try_from(since).unwrap_or(i64::MAX))),
        ]);
        lock.set_len(0)
            .and_then(|()| lock.write_at(0, format!("{note}\n").as_bytes()))
            .map_err(|e| failed("write", &path, e))?;
        let writer = Writer {
            names: Mutex::default(),
            settled: RwLock::default(),
            poison: OnceLock::new(),
            temps: AtomicU64::new(0),
            hints: Mutex::default(),
            _lock: lock,
        };
        writer.clear_temps(dir)?;
        Ok(writer)
    }

    fn clear_temps(&self, dir: &Directory) -> Result<()> {
        let temp = dir.root.join(TEMP);
        match dir.fs.create_dir(&temp) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(failed("create the directory", &temp, e)),
        }
        for entry in dir.fs.list(&temp).map_err(|e| failed("list", &temp, e))? {
            let path = temp.join(entry.name);
            dir.fs.remove(&path).map_err(|e| failed("remove", &path, e))?;
        }
        Ok(())
    }

    /// Leaves a note that is not synced: this run of the machine can read it. Where there is no room for it there is
    /// none afterwards.
    pub(super) fn hint(&self, dir: &Directory, key: &str, bytes: &[u8]) -> Result<()> {
        let mut hints = self.hints.lock();
        if !hints.contains_key(key) {
            let Some(hint) = Hint::open(dir, key)? else { return Ok(()) };
            hints.insert(key.to_owned(), hint);
        }
        let Some(hint) = hints.get(key) else { return Ok(()) };
        let Err(e) = hint.file.write_at(0, &Encoding::PLAIN.seal(HINT_KIND, 0, bytes, &hint.place, 0)?) else {
            return Ok(());
        };
        // No note is right, an older one is not.
        let removed = dir.fs.remove(&hint.path);
        let failed = failed("write", &hint.path, e);
        hints.remove(key);
        if removed.is_err() { Err(failed) } else { Ok(()) }
    }

    /// Removes the backend's own files and all empty directories.
    pub(super) fn remove_own(self, dir: &Directory) -> Result<()> {
        let hints = dir.root.join(HINTS);
        for entry in dir.fs.list(&hints).unwrap_or_default() {
            let path = hints.join(entry.name);
            dir.fs.remove(&path).map_err(|e| failed("remove", &path, e))?;
        }
        let mut dirs = vec![dir.root.clone()];
        let mut next = 0;
        while let Some(path) = dirs.get(next).cloned() {
            let entries = dir.fs.list(&path).map_err(|e| failed("list", &path, e))?;
            dirs.extend(entries.into_iter().filter(|e| e.is_dir).map(|e| path.join(e.name)));
            next += 1;
        }
        let lock = dir.root.join(LOCK);
        for path in dirs.iter().rev() {
            if *path == dir.root {
                dir.fs.remove(&lock).map_err(|e| failed("remove", &lock, e))?;
            }
            match dir.fs.remove_dir(path) {
                Err(e) if e.kind() != io::ErrorKind::DirectoryNotEmpty => {
                    return Err(failed("remove the directory", path, e));
                }
                _ => {}
            }
        }
        let above = dir.above_root();
        dir.fs.sync_dir(above).map_err(|e| failed("sync the directory", above, e))
    }

    fn check(&self, dir: &Directory) -> Result<()> {
        match self.poison.get() {
            None => Ok(()),
            Some(why) => {
                let what = format!(
                    "the store {} takes no more writes since a sync failed ({why}); open it again to see what was kept",
                    dir.root.display()
                );
                Err(Error::new(ErrorKind::Closed, "store/poisoned", what))
            }
        }
    }

    fn poisoned(&self, path: &Path, cause: io::Error) -> Error {
        // The first reason stands.
        let _ = self.poison.set(format!("{}: {cause}", path.display()));
        failed("sync", path, cause)
    }

    fn sync_file(&self, file: &dyn FsFile, path: &Path) -> Result<()> {
        file.sync_data().map_err(|e| self.poisoned(path, e))
    }

    fn sync_dir(&self, dir: &Directory, path: &Path) -> Result<()> {
        self.check(dir)?;
        dir.fs.sync_dir(path).map_err(|e| self.poisoned(path, e))
    }

    /// The directories above `path`, from the root down, that this writer has not looked into yet.
    fn unsettled<'p>(&self, dir: &Directory, path: &'p Path) -> Vec<&'p Path> {
        let settled = self.settled.read();
        let above = path.ancestors().skip(1);
        let mut new: Vec<&Path> = above.take_while(|p| p.starts_with(&dir.root) && !settled.contains(*p)).collect();
        new.reverse();
        new
    }

    /// Before the first look into the directory of `path`: makes durable what it holds, since a writer that was killed
    /// may have renamed without having synced, and what this writer reads it builds upon.
    pub(super) fn settle(&self, dir: &Directory, path: &Path) -> Result<()> {
        for above in self.unsettled(dir, path) {
            if dir.fs.is_dir(above).map_err(|e| failed("open", above, e))? != Some(true) {
                return Ok(());
            }
            self.sync_dir(dir, above)?;
            self.settled.write().insert(above.to_owned());
        }
        Ok(())
    }

    /// Creates the directories above `path` as needed, durable.
    fn create_parents(&self, dir: &Directory, path: &Path) -> Result<()> {
        for above in self.unsettled(dir, path) {
            if *above != dir.root {
                match dir.fs.create_dir(above) {
                    Ok(()) => {}
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(e) => return Err(failed("create the directory", above, e)),
                }
                self.sync_dir(dir, parent(above))?;
            }
            self.sync_dir(dir, above)?;
            self.settled.write().insert(above.to_owned());
        }
        Ok(())
    }

    /// A new file with `bytes`, synced, under a name of its own.
    fn write_temp(&self, dir: &Directory, bytes: &[u8]) -> Result<PathBuf> {
        let number = self.temps.fetch_add(1, Ordering::Relaxed);
        let path = dir.root.join(TEMP).join(format!("{number}{OWN}"));
        let file = dir.fs.create(&path).map_err(|e| failed("create", &path, e))?;
        let written = match file.write_at(0, bytes) {
            Ok(()) => self.sync_file(file.as_ref(), &path),
            Err(e) => Err(failed(&format!("write {} bytes to", bytes.len()), &path, e)),
        };
        match written {
            Ok(()) => Ok(path),
            Err(e) => {
                self.discard(dir, &path);
                Err(e)
            }
        }
    }

    /// Removes a temporary file. If that fails, the next writer to open the store removes it.
    fn discard(&self, dir: &Directory, temp: &Path) {
        if let Err(e) = dir.fs.remove(temp) {
            tracing::warn!(path = %temp.display(), error = %e, "a temporary file is left behind");
        }
    }

    /// Gives a temporary file its key.
    fn rename(&self, dir: &Directory, names: &mut Names, temp: &Path, key: &str, path: &Path) -> Result<()> {
        // A write whose sync failed elsewhere meanwhile must not become visible.
        let renamed = self.check(dir).and_then(|()| {
            self.create_parents(dir, path)?;
            dir.fs.rename(temp, path).map_err(|e| failed("write", path, e))
        });
        if renamed.is_err() {
            self.discard(dir, temp);
        } else {
            names.open.remove(key);
        }
        renamed
    }

    pub(super) fn put(&self, dir: &Directory, key: &str, bytes: &[u8]) -> Result<()> {
        self.check(dir)?;
        let path = dir.path(key)?;
        let temp = self.write_temp(dir, bytes)?;
        self.rename(dir, &mut self.names.lock(), &temp, key, &path)?;
        self.sync_dir(dir, parent(&path))
    }

    /// Syncs each directory once, and the last blob's after all others.
    pub(super) fn put_many(&self, dir: &Directory, blobs: &[(String, Vec<u8>)]) -> Result<()> {
        self.check(dir)?;
        let mut temps = Vec::with_capacity(blobs.len());
        for (key, bytes) in blobs {
            let written = dir.path(key).and_then(|path| Ok((key, path, self.write_temp(dir, bytes)?)));
            match written {
                Ok(written) => temps.push(written),
                Err(e) => {
                    temps.iter().for_each(|(_, _, temp)| self.discard(dir, temp));
                    return Err(e);
                }
            }
        }
        let Some(last) = temps.pop() else { return Ok(()) };
        let dirs: BTreeSet<&Path> = temps.iter().map(|(_, path, _)| parent(path)).collect();
        let mut renamed = Ok(());
        {
            let mut names = self.names.lock();
            for (key, path, temp) in &temps {
                match renamed {
                    Ok(()) => renamed = self.rename(dir, &mut names, temp, key, path),
                    Err(_) => self.discard(dir, temp),
                }
            }
        }
        renamed = dirs.into_iter().fold(renamed, |done, path| done.and_then(|()| self.sync_dir(dir, path)));
        let (key, path, temp) = last;
        if let Err(e) = renamed {
            self.discard(dir, &temp);
            return Err(e);
        }
        self.rename(dir, &mut self.names.lock(), &temp, key, &path)?;
        self.sync_dir(dir, parent(&path))
    }

    pub(super) fn swap(&self, dir: &Directory, key: &str, expected: Option<&[u8]>, new: &[u8]) -> Result<bool> {
        self.check(dir)?;
        let path = dir.path(key)?;
        self.settle(dir, &path)?;
        let same = || Ok::<_, Error>(dir.read(key, None)?.as_deref() == expected);
        if !same()? {
            return Ok(false);
        }
        let temp = self.write_temp(dir, new)?;
        {
            let mut names = self.names.lock();
            match same() {
                Ok(true) => self.rename(dir, &mut names, &temp, key, &path)?,
                other => {
                    self.discard(dir, &temp);
                    return other;
                }
            }
        }
        self.sync_dir(dir, parent(&path))?;
        Ok(true)
    }

    pub(super) fn delete(&self, dir: &Directory, key: &str) -> Result<bool> {
        self.check(dir)?;
        let path = dir.path(key)?;
        let mut names = self.names.lock();
        match dir.fs.remove(&path) {
            Ok(()) => {
                names.open.remove(key);
                names.dirty.insert(parent(&path).to_owned());
                Ok(true)
            }
            Err(e) if is_absence(&e) => Ok(false),
            Err(e) => Err(failed("remove", &path, e)),
        }
    }

    /// Makes removals durable; everything else is when its call returns.
    pub(super) fn sync(&self, dir: &Directory) -> Result<()> {
        self.check(dir)?;
        let dirty = std::mem::take(&mut self.names.lock().dirty);
        dirty.iter().try_for_each(|path| self.sync_dir(dir, path))
    }

    /// The file of `key`, open for overwriting; created empty, with a durable name, if there is none.
    fn open_file(&self, dir: &Directory, key: &str, path: &Path) -> Result<Arc<Open>> {
        let mut names = self.names.lock();
        if let Some(open) = names.open.get(key) {
            return Ok(open.clone());
        }
        self.settle(dir, path)?;
        let file = match dir.fs.open(path, true) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.create_parents(dir, path)?;
                let file = dir.fs.create(path).map_err(|e| failed("create", path, e))?;
                self.sync_dir(dir, parent(path))?;
                file
            }
            Err(e) => return Err(failed("open", path, e)),
        };
        let allocated = Mutex::new(file.len().map_err(|e| failed("open", path, e))?);
        if names.open.len() >= OPEN {
            // Closing loses nothing: every write was synced before it returned.
            names.open.clear();
        }
        let open = Arc::new(Open { file, allocated });
        names.open.insert(key.to_owned(), open.clone());
        Ok(open)
    }

    pub(super) fn write_at(&self, dir: &Directory, key: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check(dir)?;
        let path = dir.path(key)?;
        let failed = |e| failed(&format!("write {} bytes at {offset} of", bytes.len()), &path, e);
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= i64::MAX as u64);
        let end = end.ok_or_else(|| failed(io::ErrorKind::FileTooLarge.into()))?;
        let open = self.open_file(dir, key, &path)?;
        let mut allocated = open.allocated.lock();
        let grown = end > *allocated;
        let written = if grown { grow(&open, &mut allocated, end) } else { Ok(()) };
        written.and_then(|()| open.file.write_at(offset, bytes)).map_err(failed)?;
        self.check(dir)?;
        self.sync_file(open.file.as_ref(), &path)
    }
}

/// Fills the file with zeros past `end`, from what it has or from the block that `end` lies in. Where there is no room
/// to prepare, only what is needed is left to the write itself.
fn grow(open: &Open, allocated: &mut u64, end: u64) -> io::Result<()> {
    let block = (*allocated).clamp(*GROW.start(), *GROW.end());
    let wanted = end.checked_next_multiple_of(block).unwrap_or(end);
    let from = (*allocated).max(wanted - block.min(wanted));
    let zeros = vec![0; usize::try_from(block.min(wanted - from)).unwrap_or(0)];
    let filled = open.file.write_at(from, &zeros);
    // A fill that failed midway has grown the file all the same.
    *allocated = open.file.len()?;
    match filled {
        Err(e) if e.kind() != io::ErrorKind::StorageFull => Err(e),
        _ => Ok(()),
    }
}
