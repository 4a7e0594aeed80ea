//! A store in a folder of this machine.
//!
//! ```text
//! write .tmp-PID-N ─ fsync it ─ link it to its name (fails if taken) ─ unlink .tmp-PID-N ─ fsync the folder
//! ```
//!
//! So an object is whole or absent at every instant, and durable before anybody
//! is told of it, also when it is another's. Folders that are made on the way
//! are made durable first. What a crash leaves behind are `.tmp-…` files, which
//! the next holder of the folder deletes. The futures block.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};

use super::{Creation, Hold, Listed, OBJECT_BYTES_MAX, Store, StoreError, check_folder, check_name};

/// How a temporary file's name begins.
const TEMPORARY: &str = ".tmp-";
/// The file that a holder locks.
const LOCK: &str = ".lock";
/// How many names are tried for a temporary file: leftovers of a process with our number may be in the way.
const TEMPORARY_NAMES_MAX: u64 = 1000;

/// A folder of this machine.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    /// Folders whose own entry this process has seen made durable.
    durable: Mutex<HashSet<PathBuf>>,
    temporaries: AtomicU64,
}

impl LocalStore {
    /// The store in this folder, which is made when the first object is.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), durable: Mutex::default(), temporaries: AtomicU64::new(0) }
    }

    fn create_now(&self, name: &str, bytes: &[u8]) -> Result<Creation, StoreError> {
        check_name(name)?;
        let path = self.root.join(name);
        let folder = path.parent().expect("a name is below the root");
        self.make_folder(folder)?;
        let (file, temporary) = self.temporary(folder)?;
        let creation = fill(file, bytes)
            .map_err(|e| failure("write", &temporary, &e))
            .and_then(|()| link(&temporary, &path));
        // What cannot be unlinked now is deleted by the next holder.
        let _ = fs::remove_file(&temporary);
        let creation = creation?;
        sync_folder(folder)?;
        Ok(creation)
    }

    fn temporary(&self, folder: &Path) -> Result<(File, PathBuf), StoreError> {
        for _ in 0..TEMPORARY_NAMES_MAX {
            let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{TEMPORARY}{}-{number}", process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((file, path)),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(failure("create", &path, &e)),
            }
        }
        let reason = format!("'{}' is full of temporary files", folder.display());
        Err(StoreError::Unavailable { reason })
    }

    /// Makes a folder and those above it, each durable before what is in it.
    fn make_folder(&self, folder: &Path) -> Result<(), StoreError> {
        let known = |path: &Path| self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(path);
        if known(folder) {
            return Ok(());
        }
        let below_root = folder != self.root && folder.starts_with(&self.root);
        let parent = parent_of(folder);
        if below_root || !parent.is_dir() {
            self.make_folder(parent)?;
        }
        let new = match fs::create_dir(folder) {
            Ok(()) => true,
            Err(e) if e.kind() == ErrorKind::AlreadyExists && folder.is_dir() => false,
            Err(e) => return Err(failure("make the folder", folder, &e)),
        };
        // Another process may have made it and died before it was durable.
        if new || below_root {
            sync_folder(parent)?;
        }
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
        Ok(())
    }

    fn read_now(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        check_name(name)?;
        let path = self.root.join(name);
        let read = File::open(&path).and_then(|file| {
            let length = file.metadata()?.len();
            let mut bytes = Vec::with_capacity(length.min(OBJECT_BYTES_MAX) as usize);
            file.take(OBJECT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        match read {
            Ok(bytes) if bytes.len() as u64 > OBJECT_BYTES_MAX => {
                Err(StoreError::damaged(name, format!("it is larger than {OBJECT_BYTES_MAX} bytes")))
            }
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(e) if is_absence(&e) => Ok(None),
            Err(e) if e.kind() == ErrorKind::IsADirectory => Err(StoreError::damaged(name, "it is a folder")),
            Err(e) => Err(failure("read", &path, &e)),
        }
    }

    fn list_now(&self, folder: &str) -> Result<Vec<Listed>, StoreError> {
        check_folder(folder)?;
        let mut listed = Vec::new();
        self.walk(&self.root.join(folder), &mut |path, bytes| {
            let name = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
            listed.extend(name.map(|name| Listed { name: name.to_owned(), bytes }));
        })?;
        listed.retain(|object| check_name(&object.name).is_ok());
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// Every file below a folder.
    fn walk(&self, folder: &Path, seen: &mut dyn FnMut(&Path, u64)) -> Result<(), StoreError> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if is_absence(&e) => return Ok(()),
            Err(e) => return Err(failure("list", folder, &e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| failure("list", folder, &e))?;
            // A file that goes while we look was not there.
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => self.walk(&entry.path(), seen)?,
                Ok(metadata) => seen(&entry.path(), metadata.len()),
                Err(e) if is_absence(&e) => {}
                Err(e) => return Err(failure("list", &entry.path(), &e)),
            }
        }
        Ok(())
    }

    fn delete_now(&self, name: &str) -> Result<(), StoreError> {
        check_name(name)?;
        let path = self.root.join(name);
        // Not made durable: what comes back after a power cut is deleted again.
        match fs::remove_file(&path) {
            Err(e) if !is_absence(&e) => Err(failure("delete", &path, &e)),
            _ => Ok(()),
        }
    }

    fn hold_now(&self, folder: &str) -> Result<Hold, StoreError> {
        check_folder(folder)?;
        let path = if folder.is_empty() { self.root.clone() } else { self.root.join(folder) };
        self.make_folder(&path)?;
        let lock = path.join(LOCK);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock)
            .map_err(|e| failure("open", &lock, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(&path, &mut file)),
            Err(TryLockError::Error(e)) => return Err(failure("lock", &lock, &e)),
        }
        // Only for the words of the next one's error.
        let _ = file.set_len(0).and_then(|()| write!(file, "process {}", process::id()));
        self.walk(&path, &mut |file, _| {
            let name = file.file_name().and_then(|n| n.to_str());
            if name.is_some_and(|n| n.starts_with(TEMPORARY)) {
                let _ = fs::remove_file(file);
            }
        })?;
        Ok(Hold::Exclusive(file))
    }
}

impl Store for LocalStore {
    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Creation, StoreError>> {
        async move { self.create_now(name, &bytes) }.boxed()
    }

    fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        async move { self.read_now(name) }.boxed()
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        async move { self.list_now(folder) }.boxed()
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { self.delete_now(name) }.boxed()
    }

    fn hold<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Hold, StoreError>> {
        async move { self.hold_now(folder) }.boxed()
    }

    fn describe(&self) -> String {
        format!("folder '{}'", self.root.display())
    }
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

fn link(temporary: &Path, path: &Path) -> Result<Creation, StoreError> {
    match fs::hard_link(temporary, path) {
        Ok(()) => Ok(Creation::Created),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(Creation::Exists),
        Err(e) => Err(failure("link", path, &e)),
    }
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| failure("make durable", folder, &e))
}

fn parent_of(folder: &Path) -> &Path {
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn held(folder: &Path, lock: &mut File) -> StoreError {
    let mut by = String::new();
    let read = lock.rewind().and_then(|()| lock.take(64).read_to_string(&mut by));
    if read.is_err() || by.is_empty() {
        by = "another process".to_owned();
    } else if is_gone(&by) {
        by = format!("a process that {by}, which has ended, had begun");
    }
    StoreError::Held { folder: folder.display().to_string(), by }
}

/// Whether this is a process that the system knows no more, as far as it says so.
fn is_gone(process: &str) -> bool {
    let number = process.rsplit(' ').next().unwrap_or_default();
    Path::new("/proc/self").exists() && !Path::new("/proc").join(number).exists()
}

fn failure(what: &str, path: &Path, error: &io::Error) -> StoreError {
    let reason = format!("cannot {what} '{}': {error}", path.display());
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            StoreError::Full { reason }
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::Denied { reason },
        _ => StoreError::Unavailable { reason },
    }
}

#[cfg(test)]
mod tests;
