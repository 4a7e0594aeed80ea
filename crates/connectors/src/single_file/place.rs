//! Where reading goes on, and whether the file there is still the one that was read.
//!
//! A file may grow. It must not have become shorter than what was read of it,
//! must begin as it began, and must not have gone on within a line that was
//! taken for its last.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};
use thalweg_dataflow::source::Position;
use thalweg_dataflow::{Code, Error, Result};
use thalweg_formats::framing::LinePosition;

use super::file_error;
use crate::name_hash::hash;
use crate::plain_spec;

/// How much of a file's beginning is compared.
const HEAD_BYTES_MAX: u64 = 4096;

/// The beginning of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    bytes: u64,
    hash: u64,
}

/// Behind the last row given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) line: u64,
    /// The split was read to its end, and stays so however the file grows.
    pub(super) ended: bool,
    /// None: a pipe or device, which cannot be read twice.
    pub(super) head: Option<Head>,
}

impl Place {
    pub(super) fn read(position: &Position) -> Result<Self> {
        plain_spec::decode(&position.0)
    }

    pub(super) fn write(&self) -> Position {
        Position(plain_spec::encode(self).expect("numbers are JSON"))
    }

    pub(super) fn line(&self) -> LinePosition {
        LinePosition { offset: self.offset, line: self.line }
    }
}

/// Opens `path` to go on at `place`, or at the start. Blocks; gives the file's beginning, too.
pub(super) fn open(path: &str, place: Option<Place>) -> Result<(File, Option<Head>)> {
    let failed = |error: io::Error| file_error("open", path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let offset = place.map_or(0, |place| place.offset);
    if !metadata.is_file() {
        return if offset == 0 { Ok((file, None)) } else { Err(not_again(path, offset)) };
    }
    if let Some(place) = place
        && let Some(why) = difference(&mut file, metadata.len(), &place).map_err(failed)?
    {
        return Err(changed(path, why));
    }
    let head = head(&mut file, metadata.len().min(HEAD_BYTES_MAX)).map_err(failed)?;
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    Ok((file, Some(head)))
}

/// Why the file is not the one that was read up to `place`, if it is not.
fn difference(file: &mut File, length: u64, place: &Place) -> io::Result<Option<String>> {
    if length < place.offset {
        return Ok(Some(format!("{} bytes of it were read, and it has {length}", place.offset)));
    }
    if let Some(known) = place.head
        && (length < known.bytes || head(file, known.bytes)? != known)
    {
        return Ok(Some(format!("its first {} bytes are others", known.bytes)));
    }
    if place.offset > 0 && place.offset < length {
        let mut around = [0; 2];
        file.seek(SeekFrom::Start(place.offset - 1))?;
        file.read_exact(&mut around)?;
        if around[0] != b'\n' && !matches!(around[1], b'\n' | b'\r') {
            let line = place.line.saturating_sub(1);
            return Ok(Some(format!("line {line} was its last and read as such, and goes on now")));
        }
    }
    Ok(None)
}

fn head(file: &mut File, bytes: u64) -> io::Result<Head> {
    let mut begin = vec![0; bytes as usize];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut begin)?;
    Ok(Head { bytes, hash: hash(&begin) })
}

fn changed(path: &str, why: String) -> Error {
    Error::new(Code::InputChanged, format!("'{path}' is not the file that was read before"))
        .because(why)
        .with_help("bring that file back, or begin the job anew without its state")
}

fn not_again(path: &str, offset: u64) -> Error {
    Error::new(Code::InputChanged, format!("'{path}' cannot be read again from byte {offset}"))
        .because("it is no file but a pipe or a device")
        .with_help("read from a file, or begin the job anew without its state")
}
