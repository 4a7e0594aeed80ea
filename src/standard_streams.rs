//! The one way to standard output and standard error.
//!
//! Whoever reads them may go away at any time, as `head` does, and a terminal may be closed: that is no
//! bug of ours, and never a panic. Who no longer reads standard output ends the command, by an error of
//! the code `output-closed`; what cannot be told on standard error has nobody to be told to.

use std::fmt::{Arguments, Display};
use std::io::{self, ErrorKind, IsTerminal, Write};

use thalweg_dataflow::{Code, Error, Result};

/// Writes text to standard output.
pub(crate) fn print(text: impl Display) -> Result<()> {
    written(io::stdout().lock(), format_args!("{text}"))
}

/// Writes a line to standard output.
pub(crate) fn print_line(line: impl Display) -> Result<()> {
    written(io::stdout().lock(), format_args!("{line}\n"))
}

/// Writes a line to standard error.
pub(crate) fn tell(line: impl Display) {
    // There is no other place to say that it cannot be said.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Whether standard error shows colours: a person looks at it, who has not asked for none.
pub(crate) fn stderr_has_colors() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn written(mut out: impl Write, text: Arguments<'_>) -> Result<()> {
    // What is left in the buffer would be lost without a word when the process ends.
    out.write_fmt(text).and_then(|()| out.flush()).map_err(|why| match why.kind() {
        ErrorKind::BrokenPipe => Error::new(Code::OutputClosed, "nobody reads standard output any more"),
        _ => Error::new(Code::Io, "cannot write to standard output").because(why),
    })
}
