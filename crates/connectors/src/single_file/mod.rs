//! One file, pipe or device of lines, read to its end or written from its start.

mod committer;
mod options;
mod place;
mod read_ahead;
mod sink;
mod source;

pub(crate) use options::SingleFile;

use thalweg_dataflow::{Code, Error, Registry};

pub(crate) fn register(registry: &mut Registry) {
    sink::register(registry);
    source::register(registry);
}

/// An error of the file system, with the path and what may help.
fn file_error(deed: &str, path: &str, error: &std::io::Error) -> Error {
    use std::io::ErrorKind;
    let (code, help) = match error.kind() {
        ErrorKind::NotFound => {
            (Code::FileNotFound, "check option 'path'; relative paths begin where the command was started")
        }
        ErrorKind::PermissionDenied => (Code::Io, "check who may use the file"),
        ErrorKind::IsADirectory => (Code::Io, "option 'path' must name a file, not a directory"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (Code::Io, "make room on the disk"),
        ErrorKind::BrokenPipe => (Code::OutputClosed, "the reader of the pipe has gone"),
        _ => (Code::Io, "check option 'path'"),
    };
    Error::new(code, format!("cannot {deed} '{path}'")).because(error).with_help(help)
}
