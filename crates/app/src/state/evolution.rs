//! How a state goes on from what an earlier version of its program kept.
//!
//! A fingerprint says of which types keys and states are. The type of states may be another one by now, if they can
//! be read of it; all before it must be the same. What was kept so is read once, as states of today's type, and the
//! next epoch writes all of it anew: so the objects of one checkpoint have one type, and until that epoch is complete
//! the version before goes on from its own checkpoint as if nothing had been.

use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Code, Error};

use crate::columns::Readable;

/// What a state can go on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Evolution {
    /// The fingerprint up to the type of the states.
    before: String,
    readable: Readable,
}

impl Evolution {
    /// Of a state whose fingerprint ends with this type, that of its column.
    pub(super) fn new(fingerprint: &str, data_type: &DataType, readable: Readable) -> Self {
        let before = fingerprint.strip_suffix(&data_type.to_string()).unwrap_or(fingerprint);
        Self { before: before.to_owned(), readable }
    }

    /// What changes for states that were kept under another fingerprint, for people.
    ///
    /// # Errors
    /// Why they cannot be read; none, if they are other states altogether.
    pub(crate) fn changes(&self, fingerprint: &str) -> Result<String, Option<String>> {
        let kept = fingerprint.strip_prefix(&self.before).ok_or(None::<String>)?;
        let parsed: DataType = kept.parse().map_err(|_| None::<String>)?;
        if parsed.to_string() != kept {
            // It was not read as it was meant.
            return Err(None);
        }
        let changes = self.readable.changes(&parsed).map_err(Some)?;
        Ok(if changes.is_empty() { "it is kept in other columns".to_owned() } else { changes.join(", ") })
    }
}

/// What was kept under another fingerprint cannot be read, though its type said that it might.
pub(super) fn unread(why: &Error) -> Error {
    let because = match why.why() {
        Some(more) => format!("{}: {more}", why.what()),
        None => why.what().to_owned(),
    };
    Error::new(Code::StateDropped, "a state that an earlier version of the program kept cannot be read")
        .because(because)
        .with_help(
            "nothing is lost: give new fields a default and the others the types that they had, or run the earlier version; \
             under another name the state begins anew",
        )
}

#[cfg(test)]
mod tests;
