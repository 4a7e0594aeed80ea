//! Records over TCP: a source that others connect to, a sink that connects to others.
//!
//! ```text
//! peers ─► Listening ─► Connection ─► Block ─► decoder ─► rows
//!          whose turn    reads, cuts   whole records of many peers
//! rows ─► encoder ─► buffer ─► Link ─► peer
//! ```
//!
//! Everything runs within the calls of the piece that is driven: there are no
//! tasks and no channels, so nobody reads while rows are not taken, and the
//! peers feel it as back-pressure of TCP.
//!
//! A program uses [`listen`] and [`connect`], and does its own decoding and
//! encoding; a script says `connector = 'tcp'`.

mod block;
mod builders;
mod connection;
mod fault;
mod link;
mod listening;
mod notice;
mod options;
mod sink;
mod source;

pub(crate) use options::Tcp;

pub use builders::{BoundAddress, Connect, Listen, connect, listen};

use thalweg_dataflow::{Code, Error, Registry, Result};

pub(crate) fn register(registry: &mut Registry) {
    sink::register(registry);
    source::register(registry);
}

/// Checks `HOST:PORT`. Whether there is such a host only the network knows.
fn check_address(address: &str) -> Result<()> {
    let parts = address.rsplit_once(':');
    let port = parts.filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
    port.map(drop).ok_or_else(|| {
        Error::new(Code::InvalidOption, format!("option 'address' is '{address}', which is not HOST:PORT"))
            .with_help("write address = '127.0.0.1:7010', or '[::1]:7010'")
    })
}
