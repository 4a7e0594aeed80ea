//! A process under test, what is sent to it, and what it sends out.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Nothing here takes longer, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An address that nobody listens on.
///
/// Not one of those that the system gives to whoever connects: who tries again and again to reach
/// such a port, before anybody listens there, at last meets himself.
pub(crate) fn free_address() -> SocketAddr {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 1_000).expect("less than 1,000") * 12;
    loop {
        let port = first + TAKEN.fetch_add(1, Ordering::Relaxed);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().expect("a bound listener has an address");
        }
    }
}

/// An example, to be started. Cargo builds the examples of a workspace before it runs its tests.
pub(crate) fn example(name: &str) -> Command {
    let test: PathBuf = std::env::current_exe().expect("this test");
    let target = test.parent().and_then(Path::parent).expect("tests stand in target/PROFILE/deps");
    Command::new(target.join("examples").join(name))
}

/// A process that is stopped when it goes out of scope.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn example(name: &str, arguments: &[&str]) -> Self {
        Self::start(example(name).args(arguments))
    }

    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|e| panic!("{command:?} starts: {e}")))
    }

    /// Stops it as Ctrl-C does, and waits for it.
    pub(crate) fn interrupt(mut self) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status().expect("kill is there");
        assert!(sent.success());
        let exit = self.0.wait().expect("the process ends");
        assert_eq!(exit.code(), Some(130), "it stops as asked");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Connects to somebody who may not listen yet.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let began = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(e) if e.kind() == ErrorKind::ConnectionRefused && began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(e) => panic!("nobody listens on {address}: {e}"),
        }
    }
}

/// Sends a frame: a four-byte length, and the payload.
pub(crate) fn send(stream: &mut TcpStream, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a short payload");
    stream.write_all(&length.to_be_bytes()).expect("the peer reads");
    stream.write_all(payload).expect("the peer reads");
}

/// Takes lines from whoever connects first.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    lines: mpsc::Receiver<String>,
}

impl Collector {
    pub(crate) fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (give, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("somebody connects");
            // It ends when the process closes the connection, or the test has seen enough.
            BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| give.send(line))
        });
        Self { address, lines }
    }

    /// The next line.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("another line comes")
    }
}
