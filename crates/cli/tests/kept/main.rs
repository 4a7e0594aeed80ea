//! Jobs that are kept in a state folder, as a user has them: they go on, they say where, they refuse what
//! is damaged or not theirs, and `thalweg state` shows them.

mod damage;
mod docs;
mod flags;
mod job;
mod listing;
mod recovery;
mod store;
