//! What tests replace the world with. Used from tests only.
//!
//! * [`driver`]: one operator over a stream written as text, with its contracts checked.

pub mod driver;

pub use driver::{BATCH_SIZES, Driver, OnBarrier, at_every_batch_size, consolidated};
