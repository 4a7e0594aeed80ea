//! Bids: who offers how much for what, and from which page.

use super::channels::Channels;
use super::model::{auction, bidder, extra};
use super::random::Draw;
use super::rows::{DATETIME, Field, NUMBER, TEXT};

/// The bytes of a bid that the benchmark counts, on average.
const BYTES: usize = 100;

/// Those of its numbers. It does not count channel and page.
const FIXED_BYTES: usize = 4 * 8;

/// Its fields.
pub(super) static FIELDS: [Field; 7] = [
    Field {
        name: "auction",
        data_type: NUMBER,
        make: |rows| {
            let stream = rows.stream(Draw::BidAuction);
            rows.numbers(|event| auction(event, stream.at(event.number())) as i64)
        },
    },
    Field {
        name: "bidder",
        data_type: NUMBER,
        make: |rows| {
            let stream = rows.stream(Draw::BidBidder);
            rows.numbers(|event| bidder(event, stream.at(event.number())) as i64)
        },
    },
    Field {
        name: "price",
        data_type: NUMBER,
        make: |rows| {
            let stream = rows.stream(Draw::BidPrice);
            rows.numbers(|event| rows.model.price(stream.at(event.number())))
        },
    },
    Field {
        name: "channel",
        data_type: TEXT,
        make: |rows| {
            let (stream, names) = (rows.stream(Draw::BidChannel), &rows.model.channels.names);
            rows.texts(10, |event, out| {
                out.extend_from_slice(names.get(Channels::choose(stream.at(event.number()))));
            })
        },
    },
    Field {
        name: "url",
        data_type: TEXT,
        make: |rows| {
            let (stream, urls) = (rows.stream(Draw::BidChannel), &rows.model.channels.urls);
            rows.texts(66, |event, out| {
                out.extend_from_slice(urls.get(Channels::choose(stream.at(event.number()))));
            })
        },
    },
    DATETIME,
    Field {
        name: "extra",
        data_type: TEXT,
        make: |rows| {
            let stream = rows.stream(Draw::BidExtra);
            rows.texts(BYTES - FIXED_BYTES, |event, out| {
                extra(stream.at(event.number()), FIXED_BYTES, BYTES, out);
            })
        },
    },
];
