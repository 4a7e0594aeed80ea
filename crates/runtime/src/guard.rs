//! Calls into operators, sources and sinks: no panic gets out, and every error says where it happened.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;
use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::{Code, Error, Result};
use thalweg_state::{OperatorId, Subtask};

use crate::channel::PeerGone;

/// Why a subtask ended before its time.
#[derive(Debug)]
pub enum Failure {
    /// It failed itself.
    Own(Error),
    /// Another subtask went away; that one knows why.
    PeerGone,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl From<PeerGone> for Failure {
    fn from(PeerGone: PeerGone) -> Self {
        Self::PeerGone
    }
}

/// One piece of one subtask, as errors name it. After a panic the piece must be dropped, never called again.
#[derive(Clone, Debug)]
pub struct Site {
    pub(crate) id: OperatorId,
    /// `operator 'x'`.
    piece: String,
    /// `subtask 3`.
    part: String,
}

impl Site {
    pub(crate) fn new(piece: &Piece, id: &OperatorId, subtask: Subtask) -> Self {
        let word = match piece {
            Piece::Source(_) => "source",
            Piece::Operator(_) => "operator",
            Piece::Sink(_) => "sink",
        };
        Self { id: id.clone(), piece: format!("{word} '{id}'"), part: format!("subtask {subtask}") }
    }

    /// Where a sink's rows are published, outside of any subtask.
    pub fn committer(id: &OperatorId) -> Self {
        Self { id: id.clone(), piece: format!("sink '{id}'"), part: "commit".to_owned() }
    }

    /// Calls a piece.
    #[inline]
    pub(crate) fn call<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(result) => result.map_err(|error| self.locate(error)),
            Err(panic) => Err(self.panicked(&*panic)),
        }
    }

    /// Awaits a piece.
    pub async fn wait<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        match AssertUnwindSafe(call).catch_unwind().await {
            Ok(result) => result.map_err(|error| self.locate(error)),
            Err(panic) => Err(self.panicked(&*panic)),
        }
    }

    /// Says where an error happened.
    pub(crate) fn locate(&self, error: Error) -> Error {
        error.in_site(self.to_string())
    }

    fn panicked(&self, panic: &(dyn Any + Send)) -> Error {
        let what = format!("{} panicked", self.piece);
        self.locate(Error::new(Code::OperatorPanicked, what).because(panic_message(panic)))
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.piece, self.part)
    }
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "a panic without words"
    }
}
