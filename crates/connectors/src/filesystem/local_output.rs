//! Files on a disk that become visible whole.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use thalweg_dataflow::{Error, Result};
use tokio::task::spawn_blocking;

use super::local::failed;
use super::output::{Occasion, Prepared, lost};

/// A hidden file that is being written.
pub(super) struct LocalOutput {
    hidden: String,
    file: String,
    writer: Arc<File>,
    bytes: u64,
}

/// Makes the folder and that of the hidden files.
pub(super) async fn make_ready(folder: &str, hidden: &str) -> Result<()> {
    let (folder, hidden) = (folder.to_owned(), hidden.to_owned());
    blocking(move || {
        fs::create_dir_all(&hidden).map_err(|e| failed("make", &hidden, &e))?;
        sync_folders(Path::new(&hidden), Path::new(&folder)).map_err(|e| failed("make", &folder, &e))
    })
    .await
}

impl LocalOutput {
    pub(super) async fn begin(hidden: String, file: String) -> Result<Self> {
        blocking(move || {
            let writer = File::create_new(&hidden).map_err(|e| failed("write to", &hidden, &e))?;
            Ok(Self { hidden, file, writer: Arc::new(writer), bytes: 0 })
        })
        .await
    }

    pub(super) async fn append(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        let (mut writer, hidden) = (Arc::clone(&self.writer), self.hidden.clone());
        let taken = std::mem::take(bytes);
        self.bytes += taken.len() as u64;
        blocking(move || writer.write_all(&taken).map_err(|e| failed("write to", &hidden, &e))).await
    }

    /// Waits until the file and its name are on the disk.
    pub(super) async fn finish(self) -> Result<Prepared> {
        blocking(move || {
            let Self { hidden, file, writer, bytes } = self;
            let folder = Path::new(&hidden).parent().unwrap_or(Path::new("/"));
            let synced = writer.sync_all().and_then(|()| sync_folder(folder));
            synced.map_err(|e| failed("write to", &hidden, &e))?;
            Ok(Prepared { hidden, file, bytes, upload: None })
        })
        .await
    }
}

/// Gives the file its name. It keeps the hidden one until the new one is on the disk.
pub(super) async fn publish(prepared: Prepared, occasion: Occasion) -> Result<()> {
    blocking(move || {
        let (hidden, file) = (Path::new(&prepared.hidden), Path::new(&prepared.file));
        let trouble = |e: io::Error| failed("make visible", file, &e);
        match fs::metadata(hidden) {
            Ok(metadata) if metadata.len() == prepared.bytes => {}
            Ok(metadata) => {
                let why = format!("it was prepared with {} bytes and has {}", prepared.bytes, metadata.len());
                return Err(lost(&prepared, why));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return published(&prepared, occasion),
            Err(error) => return Err(trouble(error)),
        }
        let folder = file.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).map_err(trouble)?;
        match fs::hard_link(hidden, file) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if !is_same(hidden, file).map_err(trouble)? {
                    return Err(lost(&prepared, "another file has this name"));
                }
            }
            Err(error) => return Err(trouble(error)),
        }
        let root = hidden.ancestors().nth(3).unwrap_or(folder);
        sync_folders(folder, root).map_err(trouble)?;
        fs::remove_file(hidden).map_err(trouble)
    })
    .await
}

/// The hidden file has gone: it was published before.
fn published(prepared: &Prepared, occasion: Occasion) -> Result<()> {
    match (fs::metadata(&prepared.file), occasion) {
        (Ok(metadata), _) if metadata.len() == prepared.bytes => Ok(()),
        (_, Occasion::Restore) => {
            tracing::warn!(
                file = prepared.file,
                "a file that was made visible has been changed or removed since"
            );
            Ok(())
        }
        (_, Occasion::Commit) => {
            Err(lost(prepared, format!("the hidden file '{}' is gone", prepared.hidden)))
        }
    }
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (fs::metadata(one)?, fs::metadata(other)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Removes the files of `folder`, but for those named.
pub(super) async fn discard_but(folder: String, keep: Vec<String>) -> Result<()> {
    blocking(move || {
        let trouble = |e: io::Error| failed("tidy", &folder, &e);
        let keep: HashSet<&Path> = keep.iter().map(Path::new).collect();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(trouble(error)),
        };
        for entry in entries {
            let path = entry.map_err(trouble)?.path();
            if !keep.contains(path.as_path()) {
                fs::remove_file(&path).map_err(trouble)?;
            }
        }
        Ok(())
    })
    .await
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?.sync_all()
}

/// Puts the names in `folder` on the disk, and those of the folders around it up to `root` and its own.
fn sync_folders(folder: &Path, root: &Path) -> io::Result<()> {
    for around in folder.ancestors() {
        let synced = sync_folder(around);
        if !around.starts_with(root) {
            // What is around `root` may not be ours to open, and then `root` was there before us.
            return synced.or_else(|e| if e.kind() == ErrorKind::PermissionDenied { Ok(()) } else { Err(e) });
        }
        synced?;
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(deed: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = spawn_blocking(deed).await;
    done.map_err(|e| Error::internal("writing a file panicked").because(e))?
}
