//! Files on a disk. Everything here blocks.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use thalweg_dataflow::{Code, Error, Result};

use super::location::Location;
use super::store::{FILES_MAX, Found, Stamp, changed, is_hidden};

/// How deep folders may lie in each other: more is a link that leads back.
const DEPTH_MAX: usize = 64;

/// The files of a location, in any order.
pub(super) fn list(location: &Location) -> Result<Vec<Found>> {
    let path = location.path.as_str();
    let metadata = fs::metadata(path).map_err(|e| failed("open", path, &e))?;
    if !metadata.is_dir() {
        return Ok(vec![found(path, &metadata)]);
    }
    let mut all = Vec::new();
    walk(location, path, 0, &mut all)?;
    Ok(all)
}

fn walk(location: &Location, folder: &str, depth: usize, all: &mut Vec<Found>) -> Result<()> {
    if depth > DEPTH_MAX {
        let what = format!("folders lie more than {DEPTH_MAX} deep in '{}'", location.path);
        return Err(Error::new(Code::LimitReached, what).with_help("look for a link that leads back"));
    }
    let trouble = |e: io::Error| failed("list", folder, &e);
    for entry in fs::read_dir(folder).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        let Ok(name) = entry.file_name().into_string() else {
            let what = format!("a file in '{folder}' has a name that is not UTF-8");
            return Err(Error::new(Code::Io, what).with_help("rename the file"));
        };
        let name = if folder.ends_with('/') { format!("{folder}{name}") } else { format!("{folder}/{name}") };
        if is_hidden(&location.path, &name) || !may_begin(location, &name) {
            continue;
        }
        let metadata = match fs::metadata(&name) {
            Ok(metadata) => metadata,
            // It went while we looked.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("look at", &name, &error)),
        };
        if metadata.is_dir() {
            walk(location, &name, depth + 1, all)?;
        } else if metadata.is_file() && begins(location, &name) {
            all.push(found(&name, &metadata));
        }
        if all.len() > FILES_MAX {
            // Enough to refuse.
            return Ok(());
        }
    }
    Ok(())
}

/// Whether the name, or one of those in this folder, may begin as the location says.
fn may_begin(location: &Location, name: &str) -> bool {
    location.begins.as_ref().is_none_or(|begins| name.starts_with(begins) || begins.starts_with(name))
}

fn begins(location: &Location, name: &str) -> bool {
    location.begins.as_ref().is_none_or(|begins| name.starts_with(begins))
}

fn found(name: &str, metadata: &Metadata) -> Found {
    Found { name: name.to_owned(), stamp: stamp(metadata) }
}

fn stamp(metadata: &Metadata) -> Stamp {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let version = modified.map_or_else(String::new, |since| since.as_nanos().to_string());
    Stamp { bytes: metadata.len(), version }
}

pub(super) fn stat(name: &str) -> Result<Option<Found>> {
    match fs::metadata(name) {
        Ok(metadata) => Ok(Some(found(name, &metadata))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", name, &error)),
    }
}

/// These bytes, if the file has its stamp also when they have been read.
pub(super) fn read(file: &Found, range: Range<u64>) -> Result<Bytes> {
    let name = file.name.as_str();
    let mut bytes = vec![0; (range.end - range.start) as usize];
    let mut read = || -> io::Result<_> {
        let mut opened = File::open(name)?;
        opened.seek(SeekFrom::Start(range.start))?;
        let read = opened.read_exact(&mut bytes);
        Ok((read, stamp(&opened.metadata()?)))
    };
    match read() {
        Ok((_, now)) if now != file.stamp => Err(changed(name, difference(&file.stamp, &now))),
        Ok((Ok(()), _)) => Ok(Bytes::from(bytes)),
        Ok((Err(error), _)) => Err(failed("read", name, &error)),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(changed(name, "it is gone")),
        Err(error) => Err(failed("read", name, &error)),
    }
}

fn difference(known: &Stamp, now: &Stamp) -> String {
    match known.bytes == now.bytes {
        true => "it was written to".to_owned(),
        false => format!("it had {} bytes and has {}", known.bytes, now.bytes),
    }
}

/// An error of the file system, with the path and what may help.
pub(super) fn failed(deed: &str, path: impl AsRef<Path>, error: &io::Error) -> Error {
    let (code, help) = match error.kind() {
        ErrorKind::NotFound => {
            (Code::FileNotFound, "check option 'path'; relative paths begin where the command was started")
        }
        ErrorKind::PermissionDenied => (Code::Io, "check who may use the folder and its files"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (Code::Io, "make room on the disk"),
        _ => (Code::Io, "check option 'path'"),
    };
    Error::new(code, format!("cannot {deed} '{}'", path.as_ref().display())).because(error).with_help(help)
}
