//! What the state of an operator means, as text.
//!
//! A later version of a script goes on from the state of an operator whose
//! fingerprint is the same. So it tells all that the durable tables and their
//! meaning depend on, in words that no change of formatting touches: labels for
//! people are no part of it.

use std::fmt::{Display, Write};

use arrow::datatypes::FieldRef;

/// Fills a fingerprint, part by part: `window-aggregate; panes: hop(5s, 10s); keys: k Int64; …`.
pub struct Fingerprint(String);

impl Fingerprint {
    /// That of an operator of this kind, so far.
    pub fn new(kind: &str) -> Self {
        Self(kind.to_owned())
    }

    /// A part that is one thing.
    #[must_use]
    pub fn part(mut self, name: &str, what: impl Display) -> Self {
        write!(self.0, "; {name}: {what}").expect("a string takes all that is written");
        self
    }

    /// A part that is several things in order.
    #[must_use]
    pub fn parts<T: Display>(self, name: &str, what: impl IntoIterator<Item = T>) -> Self {
        let what: Vec<String> = what.into_iter().map(|part| part.to_string()).collect();
        self.part(name, what.join(", "))
    }

    /// Columns with their names and types.
    #[must_use]
    pub fn columns<'a>(self, name: &str, fields: impl IntoIterator<Item = &'a FieldRef>) -> Self {
        self.parts(name, fields.into_iter().map(|field| format!("{} {}", field.name(), field.data_type())))
    }

    /// The whole.
    pub fn finish(self) -> String {
        self.0
    }
}
