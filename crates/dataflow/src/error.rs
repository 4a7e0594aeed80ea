//! What a user reads when something is wrong: a stable code, what happened,
//! where, why, and what to do. The same words in every face.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The result of all that may fail by the world or by input.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $exit:literal;)+) => {
        /// The stable names of all errors, in the order of `docs/errors.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[doc = $doc])+ $name,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$name,)+];

            /// The kebab-case name that users search for. It never changes.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)+ }
            }

            /// What the code stands for: one paragraph, as in `docs/errors.md`.
            pub fn explanation(self) -> &'static str {
                match self { $(Code::$name => concat!($($doc, "\n",)+).trim_ascii(),)+ }
            }

            /// The exit code of a process that ends with this error.
            pub fn exit_code(self) -> u8 {
                match self { $(Code::$name => $exit,)+ }
            }
        }
    };
}

codes! {
    /// The script is not valid SQL of this dialect.
    Syntax = "syntax", 3;
    /// The script holds no query: nothing is inserted and nothing is selected.
    EmptyScript = "empty-script", 3;
    /// The script is larger than the limit.
    ScriptTooLarge = "script-too-large", 3;
    /// The statement or clause is understood but not supported.
    NotSupported = "not-supported", 3;
    /// No table, view or common table expression has this name.
    UnknownTable = "unknown-table", 3;
    /// No column of this name is in reach.
    UnknownColumn = "unknown-column", 3;
    /// No function has this name.
    UnknownFunction = "unknown-function", 3;
    /// Functions cannot be written in this language here.
    UnknownLanguage = "unknown-language", 3;
    /// The body of a function cannot be read, or does not define the function that is declared.
    InvalidFunction = "invalid-function", 3;
    /// No connector has this name.
    UnknownConnector = "unknown-connector", 3;
    /// The connector or format knows no such option.
    UnknownOption = "unknown-option", 3;
    /// An option's value is missing or not of its type.
    InvalidOption = "invalid-option", 3;
    /// The name is already taken, or the place that a sink writes to.
    DuplicateName = "duplicate-name", 3;
    /// A column is declared in a way that has no meaning.
    InvalidColumn = "invalid-column", 3;
    /// The SQL type does not exist or cannot be used here.
    InvalidType = "invalid-type", 3;
    /// The types of an expression do not fit together.
    TypeMismatch = "type-mismatch", 3;
    /// A watermark is declared on a column that cannot carry one.
    InvalidWatermark = "invalid-watermark", 3;
    /// A window function is used where no window can be.
    InvalidWindow = "invalid-window", 3;
    /// `OVER` is computed when a window closes: rows must carry one, and `PARTITION BY` must name it.
    OverWithoutWindow = "over-without-window", 3;
    /// The sides of a join are not results of the same window, or the join does not compare their windows.
    JoinWithoutWindow = "join-without-window", 3;
    /// An aggregate is used where it has no meaning.
    InvalidAggregate = "invalid-aggregate", 3;
    /// The columns of an insert do not fit its table.
    InsertMismatch = "insert-mismatch", 3;
    /// The table can only be read, or only be written, or nothing is written into it before it is read.
    WrongRole = "wrong-role", 3;
    /// The query's result changes rows, and the sink can only append.
    SinkNotUpdating = "sink-not-updating", 3;
    /// The query means nothing that can be computed, for the reason that is given.
    InvalidQuery = "invalid-query", 3;
    /// The pipelines of a program cannot be made into a graph, for the reason that is given.
    InvalidProgram = "invalid-program", 3;
    /// A setting is unknown or its value is not of its type.
    InvalidSetting = "invalid-setting", 2;
    /// A test file is malformed.
    InvalidTestFile = "invalid-test-file", 3;
    /// Another process runs this job.
    JobInUse = "job-in-use", 5;
    /// A later life of this job has begun elsewhere; this one has stopped.
    Fenced = "fenced", 5;
    /// What is asked for does not fit what the job is doing.
    Conflict = "conflict", 5;
    /// No checkpoint lies there, or none of this name.
    CheckpointNotFound = "checkpoint-not-found", 4;
    /// An object of a checkpoint is missing, cut or not what was written.
    CheckpointDamaged = "checkpoint-damaged", 1;
    /// The checkpoint is of another job, or of a version that this one cannot read.
    CheckpointForeign = "checkpoint-foreign", 5;
    /// The script or program no longer has a place for some of the state that was kept, or cannot read it.
    StateDropped = "state-dropped", 5;
    /// The store cannot hold checkpoints: it lacks what exactly-once recovery stands on.
    StoreUnfit = "store-unfit", 3;
    /// The store of checkpoints cannot be reached, is full, or refuses.
    StoreFailed = "store-failed", 1;
    /// A file cannot be found or opened.
    FileNotFound = "file-not-found", 4;
    /// Reading from or writing to the outside world failed.
    Io = "io", 1;
    /// Whoever read the output has gone, as `head` does when it has enough.
    OutputClosed = "output-closed", 0;
    /// A file to be read is not the one that reading began with: it was cut, replaced or written to.
    InputChanged = "input-changed", 1;
    /// What a job wrote is not as its checkpoint left it: it was cut, replaced or removed.
    OutputChanged = "output-changed", 1;
    /// A record is not what its format and schema ask for.
    BadRecord = "bad-record", 1;
    /// A record or line is longer than the limit.
    RecordTooLong = "record-too-long", 1;
    /// A row cannot be computed: a division by zero, a cast that fails, an overflow.
    RowFailed = "row-failed", 1;
    /// A function of a program raised an exception, or gave what cannot be used.
    FunctionFailed = "function-failed", 1;
    /// An event time is outside of what can be represented.
    TimeOutOfRange = "time-out-of-range", 1;
    /// A resource limit that was set is reached.
    LimitReached = "limit-reached", 1;
    /// An operator, source or sink failed.
    OperatorFailed = "operator-failed", 1;
    /// An operator, source or sink panicked: a bug, in it or in a function that it called.
    OperatorPanicked = "operator-panicked", 1;
    /// The job was aborted before its end. Rows in flight are lost; a checkpoint is not.
    Aborted = "aborted", 131;
    /// A law of the engine is broken: a bug. Please report it.
    Internal = "internal", 1;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place in a script: byte offsets, end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte.
    pub end: usize,
}

/// An error as a user reads it.
#[derive(Debug, Clone)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    code: Code,
    what: String,
    span: Option<Span>,
    site: Option<String>,
    why: Option<String>,
    help: Option<String>,
}

impl Error {
    /// An error with its code and what happened: lower case, no full stop, names quoted.
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Self(Box::new(Inner { code, what: what.into(), span: None, site: None, why: None, help: None }))
    }

    /// A broken law.
    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(Code::Internal, what).with_help("this is a bug in thalweg: please report it")
    }

    /// Says where in the script, unless a narrower place is known.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.0.span.get_or_insert(span);
        self
    }

    /// Says which operator, file or line, unless it is known.
    #[must_use]
    pub fn in_site(mut self, site: impl Into<String>) -> Self {
        self.0.site.get_or_insert_with(|| site.into());
        self
    }

    /// Says why, unless it is known.
    #[must_use]
    pub fn because(mut self, why: impl fmt::Display) -> Self {
        self.0.why.get_or_insert_with(|| why.to_string());
        self
    }

    /// Says what to do, unless it is known.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help.get_or_insert_with(|| help.into());
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What happened.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// Where in the script.
    pub fn span(&self) -> Option<Span> {
        self.0.span
    }

    /// Which operator, file or line.
    pub fn site(&self) -> Option<&str> {
        self.0.site.as_deref()
    }

    /// Why.
    pub fn why(&self) -> Option<&str> {
        self.0.why.as_deref()
    }

    /// What to do.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.0.what, self.0.code)?;
        if let Some(site) = &self.0.site {
            write!(f, " in {site}")?;
        }
        if let Some(why) = &self.0.why {
            write!(f, ": {why}")?;
        }
        if let Some(help) = &self.0.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_kebab_case() {
        let names: HashSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for name in names {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
        }
    }

    #[test]
    fn the_first_place_known_is_the_narrowest() {
        let error = Error::new(Code::Syntax, "x").at(Span { start: 1, end: 2 }).at(Span { start: 0, end: 9 });
        assert_eq!(error.span(), Some(Span { start: 1, end: 2 }));
    }
}
