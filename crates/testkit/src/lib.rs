//! What tests replace the world with. Used from tests only.
//!
//! * [`driver`]: one operator over a stream written as text, with its contracts checked.
//! * [`toys`]: sources, operators and sinks that do what a test says, for whole jobs.
//! * [`moving`]: the same as two instances, between which key groups go back and forth.
//! * [`faulty_store`]: a store that fails by seed.
//! * [`past`]: what complete epochs hold, as a store keeps it.

mod dice;
pub mod driver;
pub mod faulty_store;
pub mod moving;
pub mod past;
pub mod toys;

pub use dice::Dice;
pub use driver::{BATCH_SIZES, Driver, OnBarrier, at_every_batch_size, consolidated};
pub use moving::where_key_groups_move;
pub use past::Past;
