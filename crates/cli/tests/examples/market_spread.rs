//! Market spread: two pipelines meet in one state.

use std::collections::BTreeSet;
use std::net::TcpStream;

use crate::process::{Collector, Process, connect, free_address, send};

fn padded(text: &str, bytes: usize) -> Vec<u8> {
    let mut field = text.as_bytes().to_vec();
    field.resize(bytes, b' ');
    field
}

fn quote(symbol: &str, bid: f64, offer: f64) -> Vec<u8> {
    let time = padded("20261120-10:00:00.000", 21);
    let parts = [vec![2], padded(symbol, 4), time, bid.to_be_bytes().to_vec(), offer.to_be_bytes().to_vec()];
    let frame = parts.concat();
    assert_eq!(frame.len(), 42);
    frame
}

fn order(id: &str, symbol: &str) -> Vec<u8> {
    let (quantity, price) = (100_f64.to_be_bytes().to_vec(), 10_f64.to_be_bytes().to_vec());
    let time = padded("20261120-10:00:00.000", 21);
    let account = 7_u32.to_be_bytes().to_vec();
    let parts = [vec![1, 0], account, padded(id, 6), padded(symbol, 4), quantity, price, time];
    let frame = parts.concat();
    assert_eq!(frame.len(), 53);
    frame
}

/// Sends orders of a symbol until the answer shows that its quote has arrived: nothing orders
/// two connections but that. The market of `NONE` is never known, so its orders always come back.
fn until_quoted(
    symbol: &str,
    traders: &mut TcpStream,
    collector: &Collector,
    arrived: impl Fn(&str) -> bool,
) {
    for round in 0.. {
        let (probe, mark) = (format!("p{round:05}"), format!("m{round:05}"));
        send(traders, &order(&probe, symbol));
        send(traders, &order(&mark, "NONE"));
        let mut answer = String::new();
        loop {
            let line = collector.line();
            if line.contains(&mark) {
                break;
            }
            answer.push_str(&line);
        }
        if arrived(&answer) {
            return;
        }
    }
}

#[test]
fn orders_meet_the_market_that_the_other_pipeline_keeps() {
    for parallelism in ["1", "3"] {
        let (quotes, orders, collector) = (free_address(), free_address(), Collector::listen());
        let (of_quotes, of_orders, out) =
            (quotes.to_string(), orders.to_string(), collector.address.to_string());
        let own = ["--quotes", &of_quotes, "--orders", &of_orders, "--out", &out];
        let run = [&["run", "--parallelism", parallelism, "--"][..], &own[..]].concat();
        let program = Process::example("market_spread", &run);
        let (mut market, mut traders) = (connect(quotes), connect(orders));
        for (symbol, bid, offer) in [("GOOD", 10.0, 10.01), ("WIDE", 10.0, 10.06), ("ODD", 0.1, 0.12)] {
            send(&mut market, &quote(symbol, bid, offer));
        }
        until_quoted("WIDE", &mut traders, &collector, |answer| answer.ends_with("10 10.06"));
        until_quoted("ODD", &mut traders, &collector, |answer| answer.ends_with("0.1 0.12"));
        until_quoted("GOOD", &mut traders, &collector, str::is_empty);
        for (id, symbol) in [("o1", "GOOD"), ("o2", "WIDE"), ("o3", "ODD"), ("o4", "NONE")] {
            send(&mut traders, &order(id, symbol));
        }
        let expected = ["7 o2 WIDE 100 10 10.06", "7 o3 ODD 100 0.1 0.12", "7 o4 NONE 100 0 0"];
        let mut found = BTreeSet::new();
        while found.len() < expected.len() {
            found.insert(collector.line()).then_some(()).expect("no line comes twice");
            found.retain(|line| line.starts_with("7 o"));
        }
        assert_eq!(found, expected.map(str::to_owned).into(), "parallelism {parallelism}");
        program.interrupt();
    }
}
