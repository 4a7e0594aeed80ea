//! One peer that sends records.
//!
//! It holds nothing but the record that has not wholly come. A short one is
//! copied into the block and read on there; a long one is read on where it is
//! held, so that a slow sender of long records costs no copying.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use thalweg_formats::framing::{Cutter, TooLong};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::block::Block;

/// Bytes that are read of one connection in its turn.
pub(super) const READ_BYTES: usize = 1 << 16;

/// Memory of an unfinished record that is kept for the next one.
const HELD_BYTES_KEPT: usize = 1 << 12;

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    peer: Arc<str>,
    cutter: Cutter,
    /// The record that has not wholly come.
    held: Vec<u8>,
    silence: Option<Silence>,
}

/// Closes a connection that says nothing.
#[derive(Debug)]
struct Silence {
    timeout: Duration,
    until: Pin<Box<Sleep>>,
}

/// What came of reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// As much as was asked for: there may be more.
    Full,
    /// All that there was.
    Drained,
    /// The peer has closed its end or broken off.
    End,
    /// Nothing behind this can be read.
    TooLong(TooLong),
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        cutter: Cutter,
        idle_timeout: Option<Duration>,
    ) -> Self {
        let silence = idle_timeout.map(|timeout| Silence { timeout, until: Box::pin(sleep(timeout)) });
        Self { stream, peer: peer.to_string().into(), cutter, held: Vec::new(), silence }
    }

    /// The address of the other end.
    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    /// The number of the record that comes next or has not wholly come, from 1.
    pub(super) fn record(&self) -> u64 {
        self.cutter.number()
    }

    /// The bytes of the record that has not wholly come.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Reads once, and puts the whole records into the block. Pending: the waker is known to the socket.
    pub(super) fn poll_read(&mut self, block: &mut Block, cx: &mut Context<'_>) -> Poll<Received> {
        let read = match self.held.len() > READ_BYTES {
            true => self.read_long(cx),
            false => read_into(&mut self.stream, block.space(&self.held, READ_BYTES), cx),
        };
        let length = match ready!(read) {
            Ok(0) | Err(_) => return Poll::Ready(Received::End),
            Ok(length) => length,
        };
        if let Some(Silence { timeout, until }) = &mut self.silence {
            until.as_mut().reset(Instant::now() + *timeout);
        }
        if let Err(too_long) = self.cut(block, length) {
            return Poll::Ready(Received::TooLong(too_long));
        }
        Poll::Ready(if length == READ_BYTES { Received::Full } else { Received::Drained })
    }

    /// Reads on behind a long record.
    fn read_long(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let held = self.held.len();
        self.held.resize(held + READ_BYTES, 0);
        let read = read_into(&mut self.stream, &mut self.held[held..], cx);
        let length = match &read {
            Poll::Ready(Ok(length)) => *length,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        self.held.truncate(held + length);
        read
    }

    /// Hands the block what is whole after `length` more bytes, and holds the rest.
    fn cut(&mut self, block: &mut Block, length: usize) -> Result<(), TooLong> {
        // A long record was read on where it is held; only once it is whole does it go to the block.
        let in_block = match self.held.len() > READ_BYTES {
            true if !self.cutter.is_ready(&self.held) => return Ok(()),
            true => {
                block.space(&self.held, 0);
                self.held.len()
            }
            false => self.held.len() + length,
        };
        let rest = block.cut(&mut self.cutter, in_block, &self.peer)?;
        self.held.clear();
        self.held.shrink_to(HELD_BYTES_KEPT);
        self.held.extend_from_slice(rest);
        Ok(())
    }

    /// Ready when there is something to read, or nothing was for too long.
    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        if self.stream.poll_read_ready(cx).is_ready() {
            return Poll::Ready(Wake::Readable);
        }
        match &mut self.silence {
            Some(silence) => silence.until.as_mut().poll(cx).map(|()| Wake::Silent),
            None => Poll::Pending,
        }
    }
}

fn read_into(stream: &mut TcpStream, space: &mut [u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut space = ReadBuf::new(space);
    ready!(Pin::new(stream).poll_read(cx, &mut space))?;
    Poll::Ready(Ok(space.filled().len()))
}

/// Why a connection is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Readable,
    Silent,
}

/// Gives the connection back when it has something to say, or was silent for too long.
pub(super) struct Waiting(Option<Connection>);

impl Waiting {
    pub(super) fn new(connection: Connection) -> Self {
        Self(Some(connection))
    }
}

impl Future for Waiting {
    type Output = (Connection, Wake);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let connection = self.0.as_mut().expect("a future is not polled after it was ready");
        let wake = ready!(connection.poll_wake(cx));
        let connection = self.0.take().expect("it was there just now");
        Poll::Ready((connection, wake))
    }
}
