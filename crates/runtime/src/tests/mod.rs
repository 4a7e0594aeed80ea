//! Whole jobs made of toy pieces.

mod barriers;
mod diamond;
mod faults;
mod jobs;
mod pressure;
mod time;
pub(crate) mod toys;
