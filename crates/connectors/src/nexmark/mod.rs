//! A source that makes the events of Nexmark: an auction house with people,
//! auctions and bids, in the proportions and with the skew of the benchmark.
//!
//! Every value is a function of the seed, the field and the event's number, so
//! an event is the same however the work is shared and wherever a batch ends,
//! and a field that nobody reads costs nothing. Source of the shape: the
//! generator of github.com/nexmark/nexmark.
//!
//! * `rounds`: which events there are, and which of them a split makes.
//! * `clock`: when an event happens. `random`: what it is made from.
//! * `rows`: the columns of a batch in the making. `maker`: the batches.
//! * `person`, `auction`, `bid`: one struct each, a line per field.

mod auction;
mod bid;
mod channels;
mod clock;
mod maker;
mod model;
mod options;
mod person;
mod random;
mod rounds;
mod rows;
mod source;

pub(crate) use options::Nexmark;
pub(crate) use source::register;
