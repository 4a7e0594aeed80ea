//! A script on its way in: from a file, standard input or the command line.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use thalweg_dataflow::{Code, Error, Result};
use thalweg_sql::SCRIPT_BYTES_MAX;

use super::Text;

/// A script and the name under which errors speak of it.
pub(super) struct Loaded {
    /// A path, `-` or `-e`.
    pub(super) name: String,
    /// The whole text.
    pub(super) text: String,
}

/// Reads the script that the arguments name, at most [`SCRIPT_BYTES_MAX`] bytes of it.
pub(super) fn load(text: &Text) -> Result<Loaded> {
    match (&text.execute, &text.file) {
        (Some(sql), _) => Ok(Loaded { name: "-e".to_owned(), text: sql.clone() }),
        (None, Some(path)) if path.as_os_str() == "-" => read("-", io::stdin().lock()),
        (None, Some(path)) if path.extension().is_some_and(|ending| ending == "py") => Err(in_python(path)),
        (None, Some(path)) => read(&path.display().to_string(), open(path)?),
        (None, None) => Err(Error::internal("neither FILE nor -e was given")),
    }
}

/// The command of the Python package takes such files before they come here.
fn in_python(path: &Path) -> Error {
    let name = path.display();
    Error::new(Code::InvalidProgram, format!("'{name}' is a program in Python, and this command takes SQL"))
        .with_help(format!(
            "the command of the Python package takes it: 'python -m thalweg run {name}', and 'check' and \
             'explain' likewise"
        ))
}

fn open(path: &Path) -> Result<File> {
    let name = path.display();
    let file = File::open(path).map_err(|why| {
        let code = if why.kind() == io::ErrorKind::NotFound { Code::FileNotFound } else { Code::Io };
        Error::new(code, format!("script '{name}' cannot be opened")).because(why)
    })?;
    match file.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            Err(Error::new(Code::Io, format!("script '{name}' is a folder")))
        }
        _ => Ok(file),
    }
}

fn read(name: &str, input: impl Read) -> Result<Loaded> {
    let unreadable = |why: &dyn std::fmt::Display| {
        Error::new(Code::Io, format!("script '{name}' cannot be read")).because(why)
    };
    let mut bytes = Vec::new();
    // One byte more than allowed, so that the planner sees that it is too much.
    input.take(SCRIPT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|why| unreadable(&why))?;
    let text = if bytes.len() > SCRIPT_BYTES_MAX {
        // The cut may have parted a character; the planner refuses the whole for its size.
        String::from_utf8_lossy(&bytes).into_owned()
    } else {
        String::from_utf8(bytes).map_err(|why| unreadable(&why.utf8_error()))?
    };
    Ok(Loaded { name: name.to_owned(), text })
}
