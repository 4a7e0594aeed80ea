//! The listener and its connections: who is there, and whose turn it is.
//!
//! Those with something to say stand in a line and get one read each, so one
//! loud peer delays another by no more than one read of every peer before it.
//! Those with nothing to say cost nothing but their memory.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Code, Error, Result};
use thalweg_formats::framing::{Cutter, Framing};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::coop::{self, Unconstrained};
use tokio::time::{Sleep, sleep};

use super::connection::{Connection, Waiting, Wake};
use super::notice::Notice;

/// Connections that are taken before others are read again.
const ACCEPTS_MAX: usize = 64;

/// What unfinished records of all connections together may take, or twice the longest record where that is more.
const HELD_BYTES_MAX: usize = 1 << 28;

/// How long nobody is accepted after the system refused to, for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a listener receives, as plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Receiving {
    pub(super) framing: Framing,
    pub(super) record_bytes_max: usize,
    /// What unfinished records of all connections together may take.
    pub(super) held_bytes_max: usize,
    pub(super) connections_max: usize,
    /// None: a peer may be silent for ever.
    pub(super) idle_timeout: Option<Duration>,
}

impl Receiving {
    /// The limit on unfinished records that goes with a limit on one record.
    pub(super) fn default_held_bytes_max(record_bytes_max: usize) -> usize {
        HELD_BYTES_MAX.max(record_bytes_max.saturating_mul(2))
    }
}

/// An open listener.
pub(super) struct Listening {
    listener: TcpListener,
    receiving: Receiving,
    /// Those with nothing to say.
    waiting: FuturesUnordered<Unconstrained<Waiting>>,
    /// Those with something to say, next one first.
    ready: VecDeque<(Connection, Wake)>,
    pause: Option<Pin<Box<Sleep>>>,
    unaccepted: Notice,
    refused: Notice,
}

impl Listening {
    pub(super) async fn bind(address: &str, receiving: &Receiving) -> Result<Self> {
        let listener = TcpListener::bind(address).await.map_err(|e| bind_error(address, &e))?;
        Ok(Self {
            listener,
            receiving: receiving.clone(),
            waiting: FuturesUnordered::new(),
            ready: VecDeque::new(),
            pause: None,
            unaccepted: Notice::default(),
            refused: Notice::default(),
        })
    }

    /// Where peers connect to.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The connection whose turn it is. It is out of the line: give it back with
    /// [`again`](Self::again) or [`wait`](Self::wait), or drop it, which closes it.
    ///
    /// Pending also where the turn of the whole task on its thread is over.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<(Connection, Wake)> {
        loop {
            // The task's turn is spent by accepting and reading alone. If to see who is ready
            // took from it too, many who are ready would leave nothing of it to read them with.
            drop(ready!(coop::poll_proceed(cx)));
            let accepted_all = self.accept(cx);
            while let Poll::Ready(Some(turn)) = self.waiting.poll_next_unpin(cx) {
                self.ready.push_back(turn);
            }
            match self.ready.pop_front() {
                Some(turn) => return Poll::Ready(turn),
                None if accepted_all => return Poll::Pending,
                None => {}
            }
        }
    }

    /// The connection may have more to say at once: it goes to the end of the line.
    pub(super) fn again(&mut self, connection: Connection) {
        self.ready.push_back((connection, Wake::Readable));
    }

    /// The connection has said all for now.
    pub(super) fn wait(&mut self, connection: Connection) {
        self.waiting.push(coop::unconstrained(Waiting::new(connection)));
    }

    /// Accepts who waits, a bounded number. Gives whether that was all; then a waker is known.
    fn accept(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..ACCEPTS_MAX {
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return true;
                }
                self.pause = None;
            }
            match self.listener.poll_accept(cx) {
                Poll::Pending => return true,
                Poll::Ready(Ok((stream, peer))) => self.admit(stream, peer),
                Poll::Ready(Err(error)) if is_of_the_peer(&error) => {}
                Poll::Ready(Err(error)) => {
                    if let Some(times) = self.unaccepted.again() {
                        tracing::warn!(%error, times, "cannot accept connections for now");
                    }
                    self.pause = Some(Box::pin(sleep(ACCEPT_PAUSE)));
                }
            }
        }
        false
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let Receiving { framing, record_bytes_max, connections_max, idle_timeout, .. } = self.receiving;
        if self.waiting.len() + self.ready.len() < connections_max {
            let cutter = Cutter::new(framing, record_bytes_max);
            self.wait(Connection::new(stream, peer, cutter, idle_timeout));
            return;
        }
        // Dropping the stream closes it, so that the peer knows at once.
        if let Some(times) = self.refused.again() {
            tracing::warn!(%peer, connections_max, times, "refused a connection: there are as many as may be");
        }
    }
}

/// Whether only the connection that was to be accepted has failed.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

fn bind_error(address: &str, error: &io::Error) -> Error {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    let help = match error.kind() {
        AddrInUse => {
            "somebody else listens there: stop that process, or choose another port in option 'address'"
        }
        AddrNotAvailable => "this machine has no such address: use one of its own, 127.0.0.1 or 0.0.0.0",
        PermissionDenied => "ports below 1024 need rights that this process has not: choose a higher one",
        _ => "option 'address' is HOST:PORT, with a host of this machine",
    };
    Error::new(Code::Io, format!("cannot listen on '{address}'")).because(error).with_help(help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn those_with_something_to_say_take_turns() {
        let receiving = Receiving {
            framing: Framing::Newline,
            record_bytes_max: 10,
            held_bytes_max: 10,
            connections_max: 10,
            idle_timeout: None,
        };
        let mut listening = Listening::bind("127.0.0.1:0", &receiving).await.expect("a free port");
        let address = listening.address().expect("it listens");
        let mut peers = Vec::new();
        for _ in 0..3 {
            let mut peer = TcpStream::connect(address).await.expect("it listens");
            peer.write_all(b"something").await.expect("it is open");
            peers.push(peer);
        }
        sleep(Duration::from_millis(50)).await;
        let mut turns = Vec::new();
        for _ in 0..9 {
            let (connection, wake) = poll_fn(|cx| listening.poll_turn(cx)).await;
            assert_eq!(wake, Wake::Readable);
            turns.push(connection.peer().to_owned());
            listening.again(connection);
        }
        assert!(turns[0] != turns[1] && turns[1] != turns[2] && turns[2] != turns[0], "{turns:?}");
        assert_eq!((&turns[..3], &turns[..3]), (&turns[3..6], &turns[6..]));
    }
}
