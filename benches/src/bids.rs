//! Bids as Nexmark makes them: the same skew, ids and rate, column by column.
//!
//! Of 50 events 46 are bids. Half of the bids go to the hot auction (the
//! newest multiple of 100), the rest to one of the last 100 in flight; three
//! quarters come from the hot bidder. Prices are log-uniform. Event time runs
//! at 100,000 events a second. Source of the shape: the generator of
//! github.com/nexmark/nexmark.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, SecondsFormat};

const EVENTS_PER_SECOND: i64 = 100_000;
const HOT_EVERY: i64 = 100;
const AUCTIONS_IN_FLIGHT: i64 = 100;
const PEOPLE_ACTIVE: i64 = 1_000;
const FIRST_ID: i64 = 1_000;
const NAMES: [&str; 7] = [
    "Peter Shultz",
    "Paul Abrams",
    "Luke Spencer",
    "John White",
    "Kate Walton",
    "Julie Smith",
    "Sarah Jones",
];
const BASE_NANOS: i64 = 1_436_918_400_000_000_000;

/// Deterministic randomness (splitmix64, Steele et al. 2014).
pub(crate) struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform from 0 to `n`, exclusive.
    pub(crate) fn below(&mut self, n: i64) -> i64 {
        ((u128::from(self.bits()) * n as u128) >> 64) as i64
    }

    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// auction, bidder, price, and event time as `ts`.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("auction", DataType::Int64, false),
        Field::new("bidder", DataType::Int64, false),
        Field::new("price", DataType::Int64, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, None), false),
    ]))
}

/// The first `rows` bids in batches of `batch_rows`.
pub(crate) fn batches(rows: usize, batch_rows: usize) -> Vec<RecordBatch> {
    let mut random = Random(42);
    let mut event = 0;
    let mut batches = Vec::with_capacity(rows.div_ceil(batch_rows));
    let mut left = rows;
    while left > 0 {
        let n = left.min(batch_rows);
        let mut columns: [Vec<i64>; 4] = std::array::from_fn(|_| Vec::with_capacity(n));
        for _ in 0..n {
            while event % 50 < 4 {
                event += 1;
            }
            let bid = bid(event, &mut random);
            columns.iter_mut().zip(bid).for_each(|(column, value)| column.push(value));
            event += 1;
        }
        batches.push(batch(columns));
        left -= n;
    }
    batches
}

/// `rows` rows whose auction is one of `keys`, uniformly.
pub(crate) fn uniform(rows: usize, keys: i64, batch_rows: usize) -> Vec<RecordBatch> {
    let mut random = Random(7);
    (0..rows.div_ceil(batch_rows))
        .map(|b| {
            let n = batch_rows.min(rows - b * batch_rows);
            let at =
                |i: usize| BASE_NANOS + ((b * batch_rows + i) as i64) * (1_000_000_000 / EVENTS_PER_SECOND);
            batch([
                (0..n).map(|_| random.below(keys)).collect(),
                vec![1; n],
                (0..n).map(|_| random.below(100_000_000)).collect(),
                (0..n).map(at).collect(),
            ])
        })
        .collect()
}

/// The first `rows` people and auctions: a person's id and name, or an auction's seller, and event time as `ts`.
pub(crate) fn people_and_sellers(rows: usize, batch_rows: usize) -> Vec<RecordBatch> {
    let mut random = Random(11);
    let schema = SchemaRef::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("seller", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, None), false),
    ]));
    // Of 50 events the first is a person, and the next three are auctions.
    let events: Vec<i64> = (0..rows as i64).map(|row| row / 4 * 50 + row % 4).collect();
    let batch = |events: &[i64]| {
        let person = |event: i64| (event % 50 == 0).then_some(event / 50);
        let ids = events.iter().map(|&event| person(event).map(|id| FIRST_ID + id));
        let names = events.iter().map(|&event| person(event).map(|id| NAMES[(id % 7) as usize]));
        let sellers = events.iter().map(|&event| match person(event) {
            Some(_) => None,
            None => Some(FIRST_ID + someone(event / 50, 0, &mut random)),
        });
        let times = events.iter().map(|event| BASE_NANOS + event * (1_000_000_000 / EVENTS_PER_SECOND));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ids.collect::<Int64Array>()),
            Arc::new(names.collect::<StringArray>()),
            Arc::new(sellers.collect::<Int64Array>()),
            Arc::new(TimestampNanosecondArray::from_iter_values(times)),
        ];
        RecordBatch::try_new(SchemaRef::clone(&schema), columns).expect("four columns of one length")
    };
    events.chunks(batch_rows).map(batch).collect()
}

/// Three quarters of the time the hot person, else somebody active.
fn someone(newest: i64, hot_offset: i64, random: &mut Random) -> i64 {
    if random.below(4) != 0 {
        newest / HOT_EVERY * HOT_EVERY + hot_offset
    } else {
        let active = newest.min(PEOPLE_ACTIVE);
        newest - active + random.below(active + 1)
    }
}

fn bid(event: i64, random: &mut Random) -> [i64; 4] {
    let epoch = event / 50;
    let newest_auction = epoch * 3 + 2;
    let newest_person = epoch;
    let auction = if random.below(2) == 0 {
        newest_auction / HOT_EVERY * HOT_EVERY
    } else {
        let oldest = (newest_auction - AUCTIONS_IN_FLIGHT).max(0);
        oldest + random.below(newest_auction - oldest + 1 + 10)
    };
    let bidder = someone(newest_person, 1, random);
    let price = (10f64.powf(random.unit() * 6.0) * 100.0).round() as i64;
    [FIRST_ID + auction, FIRST_ID + bidder, price, BASE_NANOS + event * (1_000_000_000 / EVENTS_PER_SECOND)]
}

fn batch([auction, bidder, price, ts]: [Vec<i64>; 4]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(auction)),
        Arc::new(Int64Array::from(bidder)),
        Arc::new(Int64Array::from(price)),
        Arc::new(TimestampNanosecondArray::from(ts)),
    ];
    RecordBatch::try_new(schema(), columns).expect("four columns of one length")
}

/// Writes bids as JSON lines of about 245 bytes with seven columns, as Nexmark's JSON has them.
pub(crate) fn write_json(bids: &[RecordBatch], out: &mut impl Write) -> std::io::Result<()> {
    let mut random = Random(1);
    for batch in bids {
        let column = |i: usize| {
            let array = batch.column(i).as_any().downcast_ref::<Int64Array>();
            array.expect("auction, bidder and price are whole numbers").values()
        };
        let (auction, bidder, price) = (column(0), column(1), column(2));
        let ts = batch.column(3).as_any().downcast_ref::<TimestampNanosecondArray>();
        let ts = ts.expect("ts is a timestamp").values();
        for row in 0..batch.num_rows() {
            let channel = random.below(10_000);
            let url = random.bits() as u32;
            let time = DateTime::from_timestamp_nanos(ts[row]).to_rfc3339_opts(SecondsFormat::Millis, true);
            writeln!(
                out,
                "{{\"auction\":{},\"bidder\":{},\"price\":{},\"channel\":\"channel-{channel}\",\"url\":\"https://www.nexmark.com/{url:08x}/item.htm?query=1&channel_id={channel}\",\"date_time\":\"{time}\",\"extra\":\"{:016x}{:016x}{:016x}\"}}",
                auction[row],
                bidder[row],
                price[row],
                random.bits(),
                random.bits(),
                random.bits(),
            )?;
        }
    }
    Ok(())
}
