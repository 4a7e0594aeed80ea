//! What all events of a table share: seed, clock, prices, and who is hot.

use super::channels::Channels;
use super::clock::Clock;
use super::random::{Draw, Stream, below, is_hot, letters};
use super::rounds::Event;

/// Ids begin here.
pub(super) const FIRST_ID: u64 = 1_000;

/// The hot auction, bidder and seller change when so many new ones have come.
const HOT_EVERY: u64 = 100;

/// All but one in so many bids go to the hot auction.
const HOT_AUCTION_RATIO: u64 = 2;

/// All but one in so many bids and auctions come from the hot person.
const HOT_PERSON_RATIO: u64 = 4;

/// The newest auctions, which bids go to.
const AUCTIONS_IN_FLIGHT: u64 = 100;

/// Bids may go to auctions that are about to come.
const AUCTIONS_AHEAD: u64 = 10;

/// The newest people, who bid and sell.
const PEOPLE_ACTIVE: u64 = 1_000;

/// People may bid and sell who are about to come.
const PEOPLE_AHEAD: u64 = 10;

/// Prices are looked up at so many places and interpolated.
const PRICE_STEPS: usize = 1 << PRICE_BITS;

const PRICE_BITS: u32 = 10;

/// 10 to the power of 6 / 1024: so much dearer is the next step.
const PRICE_STEP: f64 = 1.013_583_133_334_065_7;

/// 6 / 1024 times the natural logarithm of 10.
const PRICE_SLOPE: f64 = 0.013_491_709_529_261_988;

/// All that events are made from.
pub(super) struct Model {
    seed: u64,
    pub(super) clock: Clock,
    prices: Vec<f64>,
    pub(super) channels: Channels,
}

impl Model {
    pub(super) fn new(seed: u64, clock: Clock) -> Self {
        // By multiplication, which is the same on every machine.
        let prices = std::iter::successors(Some(100.0), |price| Some(price * PRICE_STEP));
        Self { seed, clock, prices: prices.take(PRICE_STEPS).collect(), channels: Channels::new() }
    }

    /// The random numbers of a draw.
    pub(super) fn stream(&self, draw: Draw) -> Stream {
        Stream::new(self.seed, draw)
    }

    /// A price from 100 to 10^8, its logarithm uniform.
    pub(super) fn price(&self, bits: u64) -> i64 {
        let step = (bits >> (64 - PRICE_BITS)) as usize;
        let rest = (bits << PRICE_BITS >> 32) as f64 / (1u64 << 32) as f64 * PRICE_SLOPE;
        (self.prices[step] * (1.0 + rest * (1.0 + rest / 2.0)) + 0.5) as i64
    }
}

/// The auction that a bid is for: the hot one, or one in flight.
pub(super) fn auction(event: Event, bits: u64) -> u64 {
    let newest = event.newest_auction();
    let chosen = if is_hot(bits, HOT_AUCTION_RATIO) {
        newest / HOT_EVERY * HOT_EVERY
    } else {
        let oldest = newest.saturating_sub(AUCTIONS_IN_FLIGHT);
        oldest + below(bits, newest - oldest + 1 + AUCTIONS_AHEAD)
    };
    FIRST_ID + chosen
}

/// The person who bids: the hot bidder, who is never the hot seller, or somebody active.
pub(super) fn bidder(event: Event, bits: u64) -> u64 {
    person(event, bits, 1)
}

/// The person who sells: the hot seller, or somebody active.
pub(super) fn seller(event: Event, bits: u64) -> u64 {
    person(event, bits, 0)
}

fn person(event: Event, bits: u64, hot_offset: u64) -> u64 {
    let newest = event.newest_person();
    let chosen = if is_hot(bits, HOT_PERSON_RATIO) {
        newest / HOT_EVERY * HOT_EVERY + hot_offset
    } else {
        let people = newest + 1;
        let active = people.min(PEOPLE_ACTIVE);
        people - active + below(bits, active + PEOPLE_AHEAD)
    };
    FIRST_ID + chosen
}

/// Fills an event up to about `wanted` bytes, give or take a fifth of what is missing.
pub(super) fn extra(bits: u64, present: usize, wanted: usize, out: &mut Vec<u8>) {
    let missing = wanted.saturating_sub(present);
    let spread = (missing + 2) / 5;
    let count = missing - spread + below(bits, 2 * spread as u64) as usize;
    letters(bits, count, out);
}
