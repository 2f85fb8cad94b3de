//! What the file backend needs of a file system, so that the same code runs on the real one and on a simulated one
//! that can lose power.

use std::fmt::Debug;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, without the directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// An open file. Reads and writes carry their position, so that threads can share it.
pub trait FsFile: Send + Sync + Debug {
    /// Reads into `buf` from `offset`; how many bytes were read, 0 at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, growing the file as needed; a gap reads as zeros.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Sets the length; what is new reads as zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes bytes and length durable (`fdatasync`). The name of a new file is durable after [`Fs::sync_dir`] only.
    fn sync_data(&self) -> io::Result<()>;
}

/// A file system, synchronous. Names become durable by [`sync_dir`](Self::sync_dir), bytes by [`FsFile::sync_data`].
pub trait Fs: Send + Sync + Debug {
    /// Whether `path` is a directory; `None` where there is nothing.
    fn is_dir(&self, path: &Path) -> io::Result<Option<bool>>;

    /// Creates one directory; an error if the name is taken.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Creates an empty file; an error if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;

    /// Opens a file that exists, for reading or for both.
    fn open(&self, path: &Path, write: bool) -> io::Result<Box<dyn FsFile>>;

    /// Renames a file, replacing what has the new name, atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in no order; those that are not Unicode are left out.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;

    /// Takes the lock on the file `path`, creating it as needed, and holds it until the result is dropped; `None`
    /// where another holds it. An error of kind `Unsupported` where the file system has no locks.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn FsFile>>>;

    /// What tells this run of the machine from every other: as long as it stays, a write that was done can be read,
    /// synced or not. `None` where that is not known.
    fn boot(&self) -> Option<String> {
        None
    }
}

/// The file system of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

#[cfg(unix)]
impl FsFile for File {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::os::unix::fs::FileExt::read_at(self, buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}

#[cfg(windows)]
impl FsFile for File {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(self, buf, offset)
    }

    fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = std::os::windows::fs::FileExt::seek_write(self, bytes, offset)?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(n..).unwrap_or_default();
            offset += n as u64;
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}

/// A file with a lock. It is given back when this is dropped, not when the file is closed: a process that is just being
/// forked has the file too until it becomes another program.
#[derive(Debug)]
struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        // Where it fails, closing does it.
        let _ = self.0.unlock();
    }
}

impl FsFile for Locked {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        FsFile::read_at(&self.0, offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        FsFile::write_at(&self.0, offset, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        FsFile::len(&self.0)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        FsFile::set_len(&self.0, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        FsFile::sync_data(&self.0)
    }
}

impl Fs for RealFs {
    fn is_dir(&self, path: &Path) -> io::Result<Option<bool>> {
        match std::fs::metadata(path) {
            Ok(found) => Ok(Some(found.is_dir())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).create_new(true).open(path)?))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(write).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    #[cfg(unix)]
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    /// Directories cannot be synced here; the file system orders names by itself.
    #[cfg(not(unix))]
    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                // A name that went meanwhile is no name.
                if let Ok(kind) = entry.file_type() {
                    entries.push(Entry { name, is_dir: kind.is_dir() });
                }
            }
        }
        Ok(entries)
    }

    /// Linux tells; elsewhere it is not known.
    fn boot(&self) -> Option<String> {
        let told = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(told.trim().to_owned()).filter(|boot| !boot.is_empty())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn FsFile>>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(Locked(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }
}
