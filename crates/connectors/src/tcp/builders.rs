//! Sources and sinks of raw bytes, for programs that decode and encode themselves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, Result, SinkSpec, SourceSpec};
use thalweg_formats::Format;
use thalweg_formats::framing::{Framing, LengthBytes};
use tokio::sync::watch;

use super::check_address;
use super::link::Retry;
use super::listening::Receiving;
use super::options::{CONNECTIONS_MAX, RECORD_BYTES_LIMIT, default_bytes_max};
use super::sink::TcpSinkSpec;
use super::source::TcpSourceSpec;
use crate::format_options::BadData;
use crate::row_writer::Writing;

/// Listens on `address` (`HOST:PORT`) for records, each of which becomes a row with one column,
/// `value BYTEA`. Records are lines unless something else is said.
///
/// A peer that breaks the rules is closed and counted; the job goes on.
///
/// ```
/// use thalweg_connectors::tcp;
///
/// let source = tcp::listen("127.0.0.1:7010").length_framed(4).max_frame_bytes(1 << 20).source()?;
/// assert_eq!(source.output_schema().field(0).name(), "value");
/// # Ok::<(), thalweg_dataflow::Error>(())
/// ```
pub fn listen(address: impl Into<String>) -> Listen {
    Listen {
        address: address.into(),
        framing: Ok(Framing::Newline),
        record_bytes_max: None,
        held_bytes_max: None,
        connections_max: CONNECTIONS_MAX,
        idle_timeout: None,
        bad_data: BadData::Drop,
        bound: None,
    }
}

/// A source in the making; see [`listen`].
#[derive(Clone, Debug)]
#[must_use = "it becomes a source by `source()`"]
pub struct Listen {
    address: String,
    framing: Result<Framing>,
    record_bytes_max: Option<usize>,
    held_bytes_max: Option<usize>,
    connections_max: usize,
    idle_timeout: Option<Duration>,
    bad_data: BadData,
    bound: Option<BoundAddress>,
}

impl Listen {
    /// Each record stands behind its length: a big-endian number of 1, 2, 4 or 8 bytes, which it does not count.
    pub fn length_framed(self, length_bytes: usize) -> Self {
        Self { framing: length_framing(length_bytes), ..self }
    }

    /// Each record is a line. Empty lines are left out.
    pub fn newline_framed(self) -> Self {
        Self { framing: Ok(Framing::Newline), ..self }
    }

    /// The longest record, 1 MiB for lines and else 16 MiB by default.
    pub fn max_frame_bytes(self, bytes: usize) -> Self {
        Self { record_bytes_max: Some(bytes), ..self }
    }

    /// What records that have not wholly come may take over all peers: 256 MiB by default, or twice the
    /// longest record where that is more.
    pub fn max_held_bytes(self, bytes: usize) -> Self {
        Self { held_bytes_max: Some(bytes), ..self }
    }

    /// How many peers may be connected at once, 1,024 by default; more are refused.
    pub fn max_connections(self, connections: usize) -> Self {
        Self { connections_max: connections, ..self }
    }

    /// Closes connections that say nothing for so long; by default they may be silent for ever.
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        Self { idle_timeout: Some(timeout), ..self }
    }

    /// What becomes of records that are too long or not finished.
    pub fn bad_data(self, bad_data: BadData) -> Self {
        Self { bad_data, ..self }
    }

    /// Says where it really listens, for a port that the system chooses (`127.0.0.1:0`). In this process only.
    pub fn report_address(self, bound: &BoundAddress) -> Self {
        Self { bound: Some(bound.clone()), ..self }
    }

    /// The source.
    ///
    /// # Errors
    /// If the address is not `HOST:PORT`, the length has no such width, or frames may be too long.
    pub fn source(self) -> Result<Arc<dyn SourceSpec>> {
        check_address(&self.address)?;
        let framing = self.framing?;
        let record_bytes_max = self.record_bytes_max.unwrap_or(default_bytes_max(framing));
        if record_bytes_max as u64 > RECORD_BYTES_LIMIT {
            let what = format!("a limit of {record_bytes_max} bytes on a frame is too large");
            let help = format!("a frame has at most {RECORD_BYTES_LIMIT} bytes");
            return Err(Error::new(Code::InvalidOption, what).with_help(help));
        }
        let held_bytes_max = Receiving::default_held_bytes_max(record_bytes_max);
        Ok(Arc::new(TcpSourceSpec {
            address: self.address,
            receiving: Receiving {
                framing,
                record_bytes_max,
                held_bytes_max: self.held_bytes_max.unwrap_or(held_bytes_max),
                connections_max: self.connections_max,
                idle_timeout: self.idle_timeout,
            },
            format: Format::RawBytes,
            bad_data: self.bad_data,
            columns: value_column(),
            peers: Vec::new(),
            bound: self.bound,
        }))
    }
}

/// Where a listener of this process listens, once it does. Clones are the same.
#[derive(Clone, Debug)]
pub struct BoundAddress(watch::Sender<Option<SocketAddr>>);

impl Default for BoundAddress {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl BoundAddress {
    /// Waits until it listens.
    pub async fn get(&self) -> SocketAddr {
        let mut receiver = self.0.subscribe();
        let known = receiver.wait_for(Option::is_some).await.expect("the sender lives in self");
        known.expect("it was waited for")
    }

    pub(super) fn set(&self, address: SocketAddr) {
        self.0.send_replace(Some(address));
    }
}

/// Connects to `address` (`HOST:PORT`) and writes there the values of one column, `value BYTEA`, as
/// they are, one right behind the other unless a framing is said.
///
/// ```
/// let sink = thalweg_connectors::tcp::connect("127.0.0.1:7002").newline_framed().sink()?;
/// assert_eq!(sink.parallelism_max(), Some(1));
/// # Ok::<(), thalweg_dataflow::Error>(())
/// ```
pub fn connect(address: impl Into<String>) -> Connect {
    Connect { address: address.into(), framing: Ok(None), retry: Retry::default() }
}

/// A sink in the making; see [`connect`].
#[derive(Clone, Debug)]
#[must_use = "it becomes a sink by `sink()`"]
pub struct Connect {
    address: String,
    framing: Result<Option<Framing>>,
    retry: Retry,
}

impl Connect {
    /// Writes before each value its length: a big-endian number of 1, 2, 4 or 8 bytes, which it does not count.
    pub fn length_framed(self, length_bytes: usize) -> Self {
        Self { framing: length_framing(length_bytes).map(Some), ..self }
    }

    /// Writes a newline behind each value.
    pub fn newline_framed(self) -> Self {
        Self { framing: Ok(Some(Framing::Newline)), ..self }
    }

    /// How long to wait before the first attempt to connect again, doubled each time up to `max`.
    pub fn retry(self, initial: Duration, max: Duration) -> Self {
        Self { retry: Retry { initial, max }, ..self }
    }

    /// The sink. The column `value` must be the first of its rows.
    ///
    /// # Errors
    /// If the address is not `HOST:PORT`, or the length has no such width.
    pub fn sink(self) -> Result<Arc<dyn SinkSpec>> {
        check_address(&self.address)?;
        let writing = Writing::try_new(Format::RawBytes, &Arc::new(value_column()), RowKind::Append)?;
        let Self { address, framing, retry } = self;
        Ok(Arc::new(TcpSinkSpec { address, framing: framing?, retry, writing }))
    }
}

fn value_column() -> Schema {
    Schema::new(vec![Field::new("value", DataType::Binary, false)])
}

fn length_framing(length_bytes: usize) -> Result<Framing> {
    LengthBytes::new(length_bytes).map(Framing::Length).ok_or_else(|| {
        Error::new(Code::InvalidOption, format!("a length cannot have {length_bytes} bytes"))
            .with_help("it has 1, 2, 4 or 8")
    })
}
