//! Market spread: orders are checked against a market that another stream keeps up to date.
//!
//! Two pipelines interact through one named state. The first takes quotes and
//! remembers for each symbol whether its spread is too wide; it has no sink.
//! The second takes orders, and gives out those whose symbol may not be traded.
//!
//! ```text
//! quotes ─► by symbol ─► market (updates)
//!                          ║ one state, by symbol
//! orders ─► by symbol ─► market (checks) ─► rejected
//! ```
//!
//! A frame is a four-byte length and a record in big-endian form, see [`Quote`] and [`Order`].

use std::io::Write;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use thalweg::app::{Application, Arguments, decode};
use thalweg::connectors::tcp;

/// An offer that is this much above the bid, in money or as a share of their middle, is too far.
const SPREAD_MAX: f64 = 0.05;

fn main() -> ExitCode {
    thalweg::main(application)
}

fn application(arguments: &Arguments) -> thalweg::Result<Application> {
    let address = |name: &str, default: &'static str| arguments.get(name).unwrap_or(default).to_owned();
    let quotes = tcp::listen(address("quotes", "127.0.0.1:7011")).length_framed(4).source()?;
    let orders = tcp::listen(address("orders", "127.0.0.1:7010")).length_framed(4).source()?;
    let rejected = tcp::connect(address("out", "127.0.0.1:7002")).sink()?;

    let application = Application::new("market spread");
    let market = application.state::<String, Market>("market");
    application
        .source("quotes", quotes, decode::one(Quote::decode))
        .key_by(|quote: &Quote| quote.symbol.clone())
        .with_state(&market, |_, quote, market| {
            market.update(&quote);
            None::<()>
        })
        .discard();
    application
        .source("orders", orders, decode::one(Order::decode))
        .key_by(|order: &Order| order.symbol.clone())
        .with_state(&market, |_, order, market| market.rejects().then(|| Rejection::new(order, market)))
        .try_sink("rejected", rejected, Rejection::write);
    Ok(application)
}

/// What is known of one symbol. Nothing may be traded before its first quote.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Market {
    quoted: bool,
    bid: f64,
    offer: f64,
}

impl Market {
    fn update(&mut self, quote: &Quote) {
        *self = Market { quoted: true, bid: quote.bid, offer: quote.offer };
    }

    fn rejects(&self) -> bool {
        let spread = self.offer - self.bid;
        let middle = (self.offer + self.bid) / 2.0;
        !self.quoted || spread >= SPREAD_MAX || spread / middle >= SPREAD_MAX
    }
}

/// `2`, symbol (4 bytes), time (21 bytes), bid and offer (8 bytes each): 42 bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Quote {
    symbol: String,
    bid: f64,
    offer: f64,
}

impl Quote {
    fn decode(frame: &[u8]) -> Result<Self, String> {
        let mut fields = Fields::of(frame, 2)?;
        let symbol = fields.text(4)?;
        fields.text(21)?;
        Ok(Self { symbol, bid: fields.number()?, offer: fields.number()? })
    }
}

/// `1`, side (1 byte), account (4), order (6), symbol (4), quantity and price (8 each), time (21): 53 bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    account: u32,
    id: String,
    symbol: String,
    quantity: f64,
    price: f64,
}

impl Order {
    fn decode(frame: &[u8]) -> Result<Self, String> {
        let mut fields = Fields::of(frame, 1)?;
        fields.take(1)?;
        let account = fields.take(4)?.try_into().map(u32::from_be_bytes).map_err(|e| format!("{e}"))?;
        let (id, symbol) = (fields.text(6)?, fields.text(4)?);
        Ok(Self { account, id, symbol, quantity: fields.number()?, price: fields.number()? })
    }
}

/// An order that may not be traded, with the market that it met.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rejection {
    order: Order,
    bid: f64,
    offer: f64,
}

impl Rejection {
    fn new(order: Order, market: &Market) -> Self {
        Self { order, bid: market.bid, offer: market.offer }
    }

    fn write(&self, line: &mut Vec<u8>) -> std::io::Result<()> {
        let Rejection { order, bid, offer } = self;
        writeln!(line, "{} {} {} {} {bid} {offer}", order.account, order.id, order.symbol, order.quantity)
    }
}

/// The fields of a frame, one behind the other.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(frame: &'a [u8], kind: u8) -> Result<Self, String> {
        match frame.split_first() {
            Some((&first, rest)) if first == kind => Ok(Self { rest }),
            Some((first, _)) => Err(format!("the frame is of kind {first}, not {kind}")),
            None => Err("the frame is empty".to_owned()),
        }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], String> {
        let short = || format!("the frame ends {} bytes early", bytes - self.rest.len());
        let (field, rest) = self.rest.split_at_checked(bytes).ok_or_else(short)?;
        self.rest = rest;
        Ok(field)
    }

    fn text(&mut self, bytes: usize) -> Result<String, String> {
        let text = std::str::from_utf8(self.take(bytes)?).map_err(|e| e.to_string())?;
        Ok(text.trim_end().to_owned())
    }

    fn number(&mut self) -> Result<f64, String> {
        let bytes = self.take(8)?.try_into().map_err(|e| format!("{e}"))?;
        Ok(f64::from_be_bytes(bytes))
    }
}
