//! A program over loopback TCP, against loops written by hand.
//!
//! The feeder and the collector are threads of this process. Both sides are
//! fed and collected alike, so what differs is what lies between the sockets.

use std::collections::HashMap;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use hdrhistogram::Histogram;
use thalweg::app::Application;
use thalweg::app::decode::{self, Decoder};
use thalweg::connectors::tcp;
use thalweg::engine;
use thalweg::program;
use thalweg::settings::Settings;
use thalweg_world::World;
use tokio::sync::oneshot;

use crate::pairs::{in_turn, say};

const MESSAGES: usize = 400_000;
const WORDS_A_MESSAGE: usize = 10;
const VOCABULARY: u64 = 10_000;
const BUFFER_BYTES: usize = 64 << 10;

const LATENCY_RECORDS: usize = 100_000;
const LATENCY_RATE: u64 = 10_000;
/// Records before the first that is measured.
const LATENCY_WARM_UP: usize = 10_000;

/// How long a listener may take to be there.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where the hash of a line begins (FNV-1a).
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Word count: frames of text in, a line out for each word.
pub(crate) fn word_count() -> Result<()> {
    let input = text(MESSAGES);
    let words = MESSAGES * WORDS_A_MESSAGE;
    let by_hand = || counted(&input, words, |loopback, _| count_by_hand(loopback));
    let ours = || counted(&input, words, count_by_program);
    let (expected, found) = (by_hand()?, ours()?);
    if expected != found {
        bail!("the lines differ: by hand {expected:?}, ours {found:?}");
    }
    let (ours, theirs) = in_turn(|| ours().map(drop), || by_hand().map(drop))?;
    say("word count over TCP", words, found.lines, ours, theirs, "a loop by hand");
    Ok(())
}

/// What a collector saw: how many lines, and a sum over them that their order does not change.
#[derive(Debug, PartialEq, Eq)]
struct Collected {
    lines: usize,
    sum: u64,
}

/// Feeds `input` to what `run` sets up, and collects the lines that it sends out.
///
/// `run` is told where to listen and where to connect to, and a future that is over when all lines are there.
fn counted(
    input: &[u8],
    lines: usize,
    run: impl FnOnce(&Loopback, oneshot::Receiver<()>) -> Result<()>,
) -> Result<Collected> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let loopback = Loopback { input: free_address()?, output: listener.local_addr()? };
    let (done, all_there) = oneshot::channel();
    std::thread::scope(|scope| {
        let collector = scope.spawn(move || {
            let collected = collect(&listener.accept()?.0, lines)?;
            let _ = done.send(());
            Ok::<_, anyhow::Error>(collected)
        });
        let feeder = scope.spawn(|| {
            let mut stream = connect(loopback.input)?;
            stream.write_all(input)?;
            // What reads to the end ends.
            stream.shutdown(Shutdown::Write)?;
            Ok::<_, anyhow::Error>(stream)
        });
        run(&loopback, all_there)?;
        let collected = collector.join().expect("the collector does not panic")?;
        feeder.join().expect("the feeder does not panic")?;
        Ok(collected)
    })
}

/// Where the side that is measured listens, and where it connects to.
struct Loopback {
    input: SocketAddr,
    output: SocketAddr,
}

/// An address that nobody listens on, and not one of those that the system gives to whoever
/// connects: who tries to reach such a port too early may meet himself.
fn free_address() -> Result<SocketAddr> {
    let free = (20_000..32_000).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    Ok(free.context("no port is free")?.local_addr()?)
}

/// Connects to somebody who may not listen yet.
fn connect(address: SocketAddr) -> Result<TcpStream> {
    let began = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(e) if e.kind() == ErrorKind::ConnectionRefused && began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(e) => return Err(e).with_context(|| format!("nobody listens on {address}")),
        }
    }
}

fn collect(mut stream: &TcpStream, lines: usize) -> Result<Collected> {
    let mut collected = Collected { lines: 0, sum: 0 };
    let (mut buffer, mut hash) = (vec![0; BUFFER_BYTES], FNV_START);
    while collected.lines < lines {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            bail!("{} lines came, and then no more", collected.lines);
        }
        for &byte in &buffer[..read] {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            if byte == b'\n' {
                collected.lines += 1;
                collected.sum = collected.sum.wrapping_add(hash);
                hash = FNV_START;
            }
        }
    }
    Ok(collected)
}

/// Frames of text: a four-byte length, and ten words of which some are far more frequent than others.
fn text(messages: usize) -> Vec<u8> {
    let (mut bytes, mut random) = (Vec::new(), 88_172_645_463_325_252_u64);
    for _ in 0..messages {
        let begin = bytes.len();
        bytes.extend([0; 4]);
        for _ in 0..WORDS_A_MESSAGE {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let skewed = (random % VOCABULARY) * ((random >> 32) % VOCABULARY) / VOCABULARY;
            write!(bytes, "Word{skewed:x}, ").expect("a Vec takes all");
        }
        let length = u32::try_from(bytes.len() - begin - 4).expect("a message is short");
        bytes[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
    }
    bytes
}

/// The words of a text, in small letters and without punctuation around them.
fn words(text: &str) -> impl Iterator<Item = String> {
    let word = |part: &str| part.trim_matches(|c: char| c.is_ascii_punctuation()).to_lowercase();
    text.split_whitespace().map(word).filter(|word| !word.is_empty())
}

fn count_by_hand(loopback: &Loopback) -> Result<()> {
    let listener = TcpListener::bind(loopback.input)?;
    let mut output = BufWriter::with_capacity(BUFFER_BYTES, connect(loopback.output)?);
    let (mut input, _) = listener.accept()?;
    let mut totals: HashMap<String, u64> = HashMap::new();
    let (mut buffer, mut filled) = (vec![0; BUFFER_BYTES], 0);
    loop {
        let read = input.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let mut taken = 0;
        while let Some((frame, bytes)) = first_frame(&buffer[taken..filled]) {
            for word in words(std::str::from_utf8(frame)?) {
                let total = totals.entry(word.clone()).or_default();
                *total += 1;
                writeln!(output, "{word} => {total}")?;
            }
            taken += bytes;
        }
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
        // Nobody waits longer than for what is there.
        output.flush()?;
    }
}

/// The first whole frame, and how many bytes it takes.
fn first_frame(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = u32::from_be_bytes(*length) as usize;
    Some((rest.get(..length)?, length + 4))
}

fn count_by_program(loopback: &Loopback, all_there: oneshot::Receiver<()>) -> Result<()> {
    let application = Application::new("word count");
    application
        .source("text", tcp::listen(loopback.input.to_string()).length_framed(4).source()?, decode::utf8())
        .flat_map(|text: String| words(&text).collect::<Vec<_>>())
        .key_by(|word: &String| word.clone())
        .stateful("totals", |_, word: String, total: &mut u64| {
            *total += 1;
            Some((word, *total))
        })
        .try_sink("lines", tcp::connect(loopback.output.to_string()).sink()?, |(word, total), line| {
            writeln!(line, "{word} => {total}")
        });
    run_until(application, all_there)
}

/// Runs a program on one data thread until it is told to stop.
fn run_until(application: Application, over: oneshot::Receiver<()>) -> Result<()> {
    let settings = Settings::default();
    let program = program::build(application, &settings).map_err(|errors| anyhow!("{errors:?}"))?;
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    control.block_on(async {
        let world = World::real(Some(1))?;
        let job = engine::start_graph(program.graph, program.functions, 1, &settings, None, &world).await?;
        tokio::select! {
            _ = over => {}
            ended = job.wait() => bail!("the job ended by itself: {ended:?}"),
        }
        job.stop();
        job.wait().await?;
        Ok(())
    })
}

/// How long one record takes from when it was due to be sent until it is back, at a fixed rate.
pub(crate) fn latency() -> Result<()> {
    let echo = timed(|loopback, _| {
        let listener = TcpListener::bind(loopback.input)?;
        let mut output = connect(loopback.output)?;
        let (mut input, _) = listener.accept()?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match input.read(&mut buffer)? {
                0 => return Ok(()),
                read => output.write_all(&buffer[..read])?,
            }
        }
    })?;
    let ours = timed(|loopback, over| {
        let application = Application::new("latency");
        application
            .source("records", tcp::listen(loopback.input.to_string()).length_framed(4).source()?, number())
            .map(|number: u64| number)
            .key_by(|number: &u64| number % 1_000)
            .stateful("seen", |_, number: u64, seen: &mut u64| {
                *seen += 1;
                Some(number)
            })
            .sink(
                "records",
                tcp::connect(loopback.output.to_string()).length_framed(4).sink()?,
                |number, frame| frame.extend_from_slice(&number.to_be_bytes()),
            );
        run_until(application, over)
    })?;
    println!("latency at {LATENCY_RATE} records/s, from when a record was due, {LATENCY_RECORDS} records:");
    for (name, times) in [("bare echo", echo), ("source, map, key_by, stateful, sink", ours)] {
        let micros = |share| times.value_at_quantile(share) as f64 / 1e3;
        println!(
            "  {name:<36} p50 {:>6.0} us, p99 {:>6.0} us, p99.9 {:>6.0} us, most {:>6.0} us",
            micros(0.5),
            micros(0.99),
            micros(0.999),
            times.max() as f64 / 1e3
        );
    }
    Ok(())
}

/// A record of the latency measurement: its number.
fn number() -> impl Decoder<u64> {
    decode::one(|frame: &[u8]| frame.try_into().map(u64::from_be_bytes))
}

/// Times records through what `run` sets up.
fn timed(run: impl FnOnce(&Loopback, oneshot::Receiver<()>) -> Result<()>) -> Result<Histogram<u64>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let loopback = Loopback { input: free_address()?, output: listener.local_addr()? };
    let (done, over) = oneshot::channel();
    std::thread::scope(|scope| {
        let input = loopback.input;
        let clock = scope.spawn(move || {
            let back = listener.accept()?.0;
            let times = send_and_receive(connect(input)?, &back);
            let _ = done.send(());
            times
        });
        run(&loopback, over)?;
        clock.join().expect("the clock does not panic")
    })
}

/// Sends each record when it is due, never later because of an answer that is awaited, and
/// notes when it is back. One thread that spins does both.
fn send_and_receive(mut to: TcpStream, mut back: &TcpStream) -> Result<Histogram<u64>> {
    back.set_nonblocking(true)?;
    let mut times = Histogram::new(3)?;
    let period = Duration::from_secs(1) / u32::try_from(LATENCY_RATE)?;
    let all = LATENCY_WARM_UP + LATENCY_RECORDS;
    let due = |began: Instant, number: usize| began + period * u32::try_from(number).expect("few records");
    let (began, mut sent, mut received) = (Instant::now() + Duration::from_millis(50), 0, 0);
    let (mut buffer, mut filled) = (vec![0; BUFFER_BYTES], 0);
    while received < all {
        while sent < all && due(began, sent) <= Instant::now() {
            let mut frame = [0; 12];
            frame[..4].copy_from_slice(&8_u32.to_be_bytes());
            frame[4..].copy_from_slice(&(sent as u64).to_be_bytes());
            to.write_all(&frame)?;
            sent += 1;
        }
        match back.read(&mut buffer[filled..]) {
            Ok(0) => bail!("{received} records came back, and then no more"),
            Ok(read) => filled += read,
            Err(e) if e.kind() == ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e.into()),
        }
        let (now, mut taken) = (Instant::now(), 0);
        while let Some((frame, bytes)) = first_frame(&buffer[taken..filled]) {
            let number = u64::from_be_bytes(frame.try_into()?) as usize;
            if number >= LATENCY_WARM_UP {
                times.record(u64::try_from((now - due(began, number)).as_nanos())?)?;
            }
            received += 1;
            taken += bytes;
        }
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
    }
    Ok(times)
}
