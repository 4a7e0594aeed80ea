//! A connection to a peer that may not be there, may go, and may come back.
//!
//! A link never fails: it waits for its peer for as long as it takes, which the
//! writer feels as back-pressure. What it can know of the peer is little: bytes
//! that the system took may still be lost. So whatever was not yet taken whole
//! is sent again from its beginning on a new connection, and no more.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::notice::Notice;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a start waits for the peer before it goes on without.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a peer that closed its own end has to say that it reads no more either.
const PROBE_TIMEOUT: Duration = Duration::from_millis(250);

/// Bytes of the peer that are thrown away at once; a sink expects none.
const DISCARD_BYTES: usize = 1 << 12;

/// Reads of such bytes before a write goes on.
const DISCARDS_MAX: usize = 16;

/// How long to wait before connecting again, as plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Retry {
    /// Before the second attempt; doubled before each further one.
    pub(super) initial: Duration,
    /// Never longer.
    pub(super) max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { initial: Duration::from_millis(50), max: Duration::from_secs(2) }
    }
}

/// Writes to one address.
#[derive(Debug)]
pub(super) struct Link {
    address: String,
    retry: Retry,
    stream: Option<Stream>,
    absent: Notice,
}

#[derive(Debug)]
struct Stream {
    tcp: TcpStream,
    /// The peer has closed its end, but still reads.
    half_closed: bool,
}

impl Link {
    pub(super) fn new(address: String, retry: Retry) -> Self {
        Self { address, retry, stream: None, absent: Notice::default() }
    }

    /// Tries to connect once, so that a peer that is there sees the job begin.
    pub(super) async fn open(&mut self) {
        self.attempt(OPEN_TIMEOUT).await;
    }

    /// Writes all bytes, or all of them once more where the connection breaks before the last was taken.
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        loop {
            let stream = self.connected().await;
            match stream.write(bytes).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(address = self.address, %error, "connection broken: connecting again");
                    self.stream = None;
                }
            }
        }
    }

    /// Says that nothing more comes.
    pub(super) async fn close(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            stream.peer_closed();
            // The peer may have gone already; nothing is owed to it.
            let _ = stream.tcp.shutdown().await;
        }
    }

    /// The open connection, made if need be.
    async fn connected(&mut self) -> &mut Stream {
        let mut wait = self.retry.initial;
        let began = Instant::now();
        while self.stream.is_none() && !self.attempt(CONNECT_TIMEOUT).await {
            sleep(wait).await;
            wait = (wait * 2).min(self.retry.max);
        }
        if wait > self.retry.initial {
            let waited_ms = began.elapsed().as_millis() as u64;
            tracing::info!(address = self.address, waited_ms, "connected");
        }
        self.stream.as_mut().expect("the loop ends with a connection")
    }

    async fn attempt(&mut self, limit: Duration) -> bool {
        match connect(&self.address, limit).await {
            Ok(tcp) => {
                self.stream = Some(Stream { tcp, half_closed: false });
                true
            }
            Err(error) => {
                if let Some(attempts) = self.absent.again() {
                    tracing::warn!(address = self.address, %error, attempts, "cannot connect: rows wait");
                }
                false
            }
        }
    }
}

async fn connect(address: &str, limit: Duration) -> io::Result<TcpStream> {
    let connected = timeout(limit, TcpStream::connect(address)).await;
    let tcp = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    // Where nobody listens on a port that the system also gives to whoever connects, a socket
    // may at last be given that very port, and meet itself: rows would go round and be lost.
    if tcp.local_addr()? == tcp.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

impl Stream {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let suspicious = !self.half_closed && self.peer_closed();
        self.tcp.write_all(bytes).await?;
        if suspicious {
            self.probe().await?;
        }
        Ok(())
    }

    /// Whether the peer has closed its end. Throws away what it said.
    fn peer_closed(&mut self) -> bool {
        let mut said = [0; DISCARD_BYTES];
        for _ in 0..DISCARDS_MAX {
            match self.tcp.try_read(&mut said) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        false
    }

    /// A peer that closed its end has either gone, and answers bytes with a reset, or reads on.
    async fn probe(&mut self) -> io::Result<()> {
        match timeout(PROBE_TIMEOUT, self.tcp.ready(Interest::ERROR)).await {
            Ok(_) => Err(io::ErrorKind::ConnectionReset.into()),
            Err(_) => {
                self.half_closed = true;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpSocket;

    use super::*;

    /// A port of its own, as the system would give it by chance.
    #[tokio::test]
    async fn a_socket_that_meets_itself_is_no_peer() {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        let mut range = range.split_whitespace().filter_map(|port| port.parse::<u16>().ok());
        let (first, last) = (range.next().unwrap_or(32_768), range.next().unwrap_or(60_999));
        // That it can happen at all: a socket bound to where it connects to.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let met = socket.connect(address).await.expect("it meets itself");
        assert_eq!(met.local_addr().ok(), met.peer_addr().ok());
        drop(met);
        // And that we are not taken in, however often we try. The system gives even ports first.
        let free =
            |port: &u16| port.is_multiple_of(2) && std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = (first..=last).rev().find(free).expect("a free port");
        for _ in first..=last {
            let tried = connect(&format!("127.0.0.1:{port}"), Duration::from_secs(1)).await;
            assert_eq!(tried.expect_err("nobody listens").kind(), io::ErrorKind::ConnectionRefused);
        }
    }
}
