//! What stands behind `--` on the command line: the program's own.

use thalweg_dataflow::{Code, Error, Result};

/// The program's own arguments.
///
/// ```
/// use thalweg_app::Arguments;
///
/// let arguments = Arguments::new(["--in", "127.0.0.1:7010", "--loud"]);
/// assert_eq!(arguments.get("in"), Some("127.0.0.1:7010"));
/// assert!(arguments.has("loud") && !arguments.has("quiet"));
/// assert!(arguments.require("out").is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    words: Vec<String>,
}

impl Arguments {
    /// These words, in order.
    pub fn new(words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { words: words.into_iter().map(Into::into).collect() }
    }

    /// All words as they are.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// What follows `--name`, or stands behind `--name=`; the last if it is there twice.
    pub fn get(&self, name: &str) -> Option<&str> {
        let rests =
            self.words.iter().enumerate().rev().filter_map(|(at, word)| Some((at, rest_of(word, name)?)));
        rests.into_iter().find_map(|(at, rest)| match rest.strip_prefix('=') {
            Some(value) => Some(value),
            None => self.words.get(at + 1).map(String::as_str),
        })
    }

    /// Whether `--name` is there, with a value or without.
    pub fn has(&self, name: &str) -> bool {
        self.words.iter().any(|word| rest_of(word, name).is_some())
    }

    /// Like [`get`](Self::get).
    ///
    /// # Errors
    /// If it is not there.
    pub fn require(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| {
            Error::new(Code::InvalidSetting, format!("the argument '--{name}' is missing"))
                .with_help(format!("add it behind '--': -- --{name} VALUE"))
        })
    }
}

/// What stands behind `--name` in a word: nothing, or `=` and a value.
fn rest_of<'a>(word: &'a str, name: &str) -> Option<&'a str> {
    word.strip_prefix("--")?.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('='))
}
