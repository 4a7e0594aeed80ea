//! Auctions: what is sold, by whom, from when to when.

use super::model::{FIRST_ID, extra, seller};
use super::random::{Draw, below, letters};
use super::rows::{DATETIME, Field, NUMBER, TEXT, TIME};

/// The first category, and how many there are.
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;

const ITEM_BYTES: usize = 20;
const DESCRIPTION_BYTES: usize = 100;

/// The bytes of an auction that the benchmark counts, on average.
const BYTES: usize = 500;

/// Those without `extra`: six numbers and two texts.
const FIXED_BYTES: usize = 6 * 8 + ITEM_BYTES + DESCRIPTION_BYTES;

/// So many events hold the auctions in flight; an auction is open for up to twice as long.
pub(super) const EVENTS_IN_FLIGHT: u64 = 100 * 50 / 3;

/// Its fields.
pub(super) static FIELDS: [Field; 10] = [
    Field {
        name: "id",
        data_type: NUMBER,
        make: |rows| rows.numbers(|event| (FIRST_ID + event.newest_auction()) as i64),
    },
    Field {
        name: "item_name",
        data_type: TEXT,
        make: |rows| {
            let stream = rows.stream(Draw::AuctionItem);
            rows.texts(ITEM_BYTES, |event, out| letters(stream.at(event.number()), ITEM_BYTES, out))
        },
    },
    Field {
        name: "description",
        data_type: TEXT,
        make: |rows| {
            let stream = rows.stream(Draw::AuctionDescription);
            rows.texts(DESCRIPTION_BYTES, |event, out| {
                letters(stream.at(event.number()), DESCRIPTION_BYTES, out);
            })
        },
    },
    Field {
        name: "initial_bid",
        data_type: NUMBER,
        make: |rows| {
            let stream = rows.stream(Draw::AuctionInitial);
            rows.numbers(|event| rows.model.price(stream.at(event.number())))
        },
    },
    Field {
        name: "reserve",
        data_type: NUMBER,
        make: |rows| {
            let (initial, more) = (rows.stream(Draw::AuctionInitial), rows.stream(Draw::AuctionReserve));
            let price = |stream: super::random::Stream, n| rows.model.price(stream.at(n));
            rows.numbers(|event| price(initial, event.number()) + price(more, event.number()))
        },
    },
    DATETIME,
    Field {
        name: "expires",
        data_type: TIME,
        make: |rows| {
            let (stream, time) = (rows.stream(Draw::AuctionExpires), rows.model.clock.reader());
            rows.times(|event| {
                let number = event.number();
                let now = time(number);
                let horizon = (time(number + EVENTS_IN_FLIGHT) - now) as u64;
                now + 1 + below(stream.at(number), (2 * horizon).max(1)) as i64
            })
        },
    },
    Field {
        name: "seller",
        data_type: NUMBER,
        make: |rows| {
            let stream = rows.stream(Draw::AuctionSeller);
            rows.numbers(|event| seller(event, stream.at(event.number())) as i64)
        },
    },
    Field {
        name: "category",
        data_type: NUMBER,
        make: |rows| {
            let stream = rows.stream(Draw::AuctionCategory);
            rows.numbers(|event| (FIRST_CATEGORY + below(stream.at(event.number()), CATEGORIES)) as i64)
        },
    },
    Field {
        name: "extra",
        data_type: TEXT,
        make: |rows| {
            let stream = rows.stream(Draw::AuctionExtra);
            rows.texts(BYTES - FIXED_BYTES, |event, out| {
                extra(stream.at(event.number()), FIXED_BYTES, BYTES, out);
            })
        },
    },
];
