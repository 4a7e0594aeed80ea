//! A source that counts, at a rate: for demonstrations, tests and load.

mod options;
mod source;

pub(crate) use options::Impulse;
pub(crate) use source::register;
