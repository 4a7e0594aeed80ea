//! What a command answers to whoever started it.

use std::process::ExitCode;

/// The exit code of a command. Unlike the system's own [`ExitCode`] it can be read, so that
/// every door can hand it on: a binary, a Python interpreter, a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// The work is done.
    pub const SUCCESS: Self = Self(0);
    /// The work is done, and what it found out is bad.
    pub const FAILURE: Self = Self(1);
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.0.into()
    }
}
