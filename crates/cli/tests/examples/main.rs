//! The examples are programs that do what they say: each runs as its users run
//! it, with real sockets, and its results are counted again by other means.

mod market_spread;
mod process;
mod temperature_records;
mod word_count;
