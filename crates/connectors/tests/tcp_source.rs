//! Receiving over TCP: every record once and in order, whoever else is connected and whatever they send.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod driver;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use driver::*;
use thalweg_connectors::{BadData, tcp};
use thalweg_dataflow::connector::SourceColumn;
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Code, Error, Result, Source, SourceEvent, SourceSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Options by name.
type Given<'a> = &'a [(&'a str, &'a str)];

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Nothing came in this time, so nothing was there.
const QUIET: Duration = Duration::from_millis(50);

/// A source that listens on a port of the system's choice.
struct Listener {
    source: Box<dyn Source>,
    cx: PieceContext,
    address: SocketAddr,
    rows: usize,
}

impl Listener {
    async fn open(listen: tcp::Listen, batch_rows_max: usize) -> Self {
        let bound = tcp::BoundAddress::default();
        let spec = listen.report_address(&bound).source().unwrap();
        let cx = context(batch_rows_max);
        let source = open(&spec, &cx, None).await.unwrap();
        Self { source, cx, address: bound.get().await, rows: 0 }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn batch(&mut self) -> Result<RecordBatch> {
        let event = timeout(PATIENCE, self.source.next()).await;
        let event = event.unwrap_or_else(|_| panic!("something comes behind {} rows", self.rows))?;
        let SourceEvent::Rows { records, .. } = event else { panic!("{event:?}") };
        assert!(records.num_rows() <= self.cx.settings.batch_rows_max);
        self.rows += records.num_rows();
        Ok(records)
    }

    /// The next `count` values, and no more.
    async fn values(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while found.len() < count {
            found.extend(values(&self.batch().await.unwrap()));
        }
        assert_eq!(found.len(), count);
        found
    }

    async fn quiet(&mut self) {
        if let Ok(event) = timeout(QUIET, self.source.next()).await {
            panic!("nothing was to come: {event:?}");
        }
    }

    async fn error(&mut self) -> Error {
        timeout(PATIENCE, self.source.next()).await.expect("something comes").unwrap_err()
    }

    /// Checks that counts add up, and gives those of bad records.
    fn bad(&self) -> (u64, u64) {
        let counters = &self.cx.counters;
        let (dropped, failed) = (counters.dropped.get(), counters.failed.get());
        assert_eq!(counters.records_read.get(), self.rows as u64 + dropped + failed);
        (dropped, failed)
    }
}

fn values(records: &RecordBatch) -> Vec<Vec<u8>> {
    records.column(0).as_binary::<i32>().iter().map(|value| value.unwrap().to_vec()).collect()
}

fn framed(record: &[u8]) -> Vec<u8> {
    [&(record.len() as u32).to_be_bytes(), record].concat()
}

fn frames(records: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    records.into_iter().flat_map(|record| framed(&record)).collect()
}

fn lengths() -> tcp::Listen {
    tcp::listen("127.0.0.1:0").length_framed(4)
}

/// Whether the other end closes the connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(timeout(PATIENCE, stream.read(&mut [0; 16])).await.expect("closed or not"), Ok(0) | Err(_))
}

fn memory_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn a_frame_crosses_at_once_and_an_empty_one_is_a_row() {
    let mut listener = Listener::open(lengths(), 100).await;
    let mut peer = listener.connect().await;
    for record in [b"one".as_slice(), b"", b"three"] {
        peer.write_all(&framed(record)).await.unwrap();
        assert_eq!(values(&listener.batch().await.unwrap()), [record]);
    }
    peer.write_all(&frames([b"a".to_vec(), vec![], b"c".to_vec()])).await.unwrap();
    assert_eq!(values(&listener.batch().await.unwrap()), [b"a".to_vec(), vec![], b"c".to_vec()]);
    listener.quiet().await;
    assert_eq!(listener.bad(), (0, 0));
}

#[tokio::test]
async fn every_width_of_length_and_lines_are_read() {
    for width in [1, 2, 4, 8] {
        let mut listener = Listener::open(tcp::listen("127.0.0.1:0").length_framed(width), 100).await;
        let length = 200_u64.to_be_bytes();
        listener.connect().await.write_all(&[&length[8 - width..], &[b'x'; 200]].concat()).await.unwrap();
        assert_eq!(listener.values(1).await, [[b'x'; 200]]);
    }
    let mut listener = Listener::open(tcp::listen("127.0.0.1:0"), 100).await;
    listener.connect().await.write_all(b"one\n\n\r\ntwo words\r\n").await.unwrap();
    assert_eq!(listener.values(2).await, [b"one".to_vec(), b"two words".to_vec()]);
    assert_eq!(listener.bad(), (0, 0));
}

#[tokio::test]
async fn batches_hold_what_is_there_up_to_the_size_asked_for() {
    let mut listener = Listener::open(lengths(), 1000).await;
    let records: Vec<_> = (0..5000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    let mut peer = listener.connect().await;
    peer.write_all(&frames(records.clone())).await.unwrap();
    sleep(QUIET).await;
    let mut batches = Vec::new();
    let mut found = Vec::new();
    while found.len() < records.len() {
        let batch = listener.batch().await.unwrap();
        batches.push(batch.num_rows());
        found.extend(values(&batch));
    }
    assert_eq!(found, records);
    assert!(batches.len() <= 8, "{batches:?}");
}

/// Connects `peers`, each of which sends its number and a count from 0, in pieces of many sizes.
async fn send_counts(address: SocketAddr, peers: u32, records: u32, pause: Option<Duration>) {
    let send = |peer: u32| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let record = |n: u32| {
            let filler = vec![b'.'; ((n * 31 + peer) % 97) as usize];
            [&peer.to_be_bytes()[..], &n.to_be_bytes(), &filler].concat()
        };
        let bytes = frames((0..records).map(record));
        let mut rest = bytes.as_slice();
        for size in (0..).map(|turn: usize| 1 + (turn * 7919 + peer as usize * 31) % 1500) {
            let (piece, later) = rest.split_at(size.min(rest.len()));
            stream.write_all(piece).await.unwrap();
            rest = later;
            if rest.is_empty() {
                return;
            }
            match pause {
                Some(pause) => sleep(pause).await,
                None => tokio::task::yield_now().await,
            }
        }
    };
    futures_util::future::join_all((0..peers).map(send)).await;
}

fn check_counts(found: &[Vec<u8>], peers: u32, records: u32) {
    let mut next = BTreeMap::new();
    for record in found {
        let number = |at: usize| u32::from_be_bytes(record[at..at + 4].try_into().unwrap());
        let (peer, n) = (number(0), number(4));
        assert_eq!(record.len(), 8 + ((n * 31 + peer) % 97) as usize);
        let expected = next.entry(peer).or_insert(0);
        assert_eq!(n, *expected, "peer {peer}");
        *expected += 1;
    }
    assert_eq!(next, (0..peers).map(|peer| (peer, records)).collect());
}

#[tokio::test]
async fn rows_of_a_connection_keep_their_order() {
    let mut listener = Listener::open(lengths(), 64).await;
    let sending = tokio::spawn(send_counts(listener.address, 20, 500, None));
    let found = listener.values(20 * 500).await;
    sending.await.unwrap();
    check_counts(&found, 20, 500);
    listener.quiet().await;
    assert_eq!(listener.bad(), (0, 0));
}

#[tokio::test]
async fn nothing_is_lost_where_reading_is_given_up_half_way() {
    let mut listener = Listener::open(lengths(), 7).await;
    let sending = tokio::spawn(send_counts(listener.address, 5, 400, Some(Duration::from_millis(2))));
    let (mut found, mut given_up) = (Vec::new(), 0);
    let began = Instant::now();
    for turn in 0_usize.. {
        assert!(began.elapsed() < PATIENCE, "{} rows", found.len());
        let patience = async {
            for _ in 0..turn * 7919 % 5 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            event = listener.source.next() => {
                let SourceEvent::Rows { records, .. } = event.unwrap() else { panic!("rows") };
                listener.rows += records.num_rows();
                found.extend(values(&records));
            }
            () = patience => given_up += 1,
        }
        if found.len() == 5 * 400 {
            break;
        }
    }
    sending.await.unwrap();
    check_counts(&found, 5, 400);
    assert!(given_up > 10, "given up {given_up} times");
    assert_eq!(listener.bad(), (0, 0));
}

#[tokio::test]
async fn loud_peers_do_not_drown_a_quiet_one() {
    let mut listener = Listener::open(lengths(), 1000).await;
    // Threads of their own, so that there is always more than one turn reads.
    let shouting = [0, 1].map(|_| {
        let mut loud = std::net::TcpStream::connect(listener.address).unwrap();
        let noise = frames(std::iter::repeat_n(b"noise".to_vec(), 50_000));
        std::thread::spawn(move || while std::io::Write::write_all(&mut loud, &noise).is_ok() {})
    });
    let mut quiet = listener.connect().await;
    for _ in 0..3 {
        listener.batch().await.unwrap();
        sleep(QUIET).await;
        quiet.write_all(&framed(b"quiet")).await.unwrap();
        let mut batches = 0;
        while !values(&listener.batch().await.unwrap()).contains(&b"quiet".to_vec()) {
            tokio::task::yield_now().await;
            batches += 1;
            // What the systems' buffers hold of one loud peer alone makes some hundreds.
            assert!(batches < 60, "the quiet one waits");
        }
    }
    drop(listener);
    shouting.into_iter().for_each(|thread| thread.join().unwrap());
}

#[tokio::test]
async fn long_records_are_whole_and_hold_nobody_up() {
    let mut listener = Listener::open(lengths(), 100).await;
    let long: Vec<u8> = (0..5_000_000_u32).map(|n| ((n * 31) >> 3) as u8).collect();
    let bytes = frames([b"before".to_vec(), long.clone(), long.clone(), b"behind".to_vec()]);
    let mut peer = listener.connect().await;
    let (first, second) = bytes.split_at(4_000_000);
    let (first, second) = (first.to_vec(), second.to_vec());
    let sending = tokio::spawn(async move {
        peer.write_all(&first).await.unwrap();
        sleep(QUIET).await;
        peer.write_all(&second).await.unwrap();
        peer
    });
    assert_eq!(listener.values(1).await, [b"before"]);
    let mut other = listener.connect().await;
    other.write_all(&framed(b"other")).await.unwrap();
    assert_eq!(listener.values(1).await, [b"other"]);
    let found = listener.values(3).await;
    assert!(found == [long.clone(), long, b"behind".to_vec()], "long records are as they were sent");
    sending.await.unwrap();
    let mut lines = Listener::open(tcp::listen("127.0.0.1:0"), 100).await;
    let line = vec![b'l'; 1 << 20];
    let mut peer = lines.connect().await;
    let sending = tokio::spawn(async move {
        peer.write_all(&[b"a\n", line.as_slice(), b"\nb\n"].concat()).await.unwrap();
    });
    let lengths: Vec<_> = lines.values(3).await.iter().map(Vec::len).collect();
    assert_eq!(lengths, [1, 1 << 20, 1]);
    sending.await.unwrap();
}

#[tokio::test]
async fn a_claim_of_two_gib_closes_its_connection_only_and_takes_no_memory() {
    let mut listener = Listener::open(lengths(), 100).await;
    let mut good = listener.connect().await;
    let before = memory_bytes();
    for _ in 0..20 {
        let mut evil = listener.connect().await;
        evil.write_all(&framed(b"fine")).await.unwrap();
        evil.write_all(b"\x80\x00\x00\x00and then some").await.unwrap();
        assert_eq!(listener.values(1).await, [b"fine"]);
        good.write_all(&framed(b"good")).await.unwrap();
        assert_eq!(listener.values(1).await, [b"good"]);
        assert!(listener.closes(&mut evil).await);
    }
    assert!(memory_bytes() < before + (32 << 20));
    assert_eq!(listener.bad(), (20, 0));
}

#[tokio::test]
async fn a_claim_of_two_gib_fails_the_job_where_bad_data_does() {
    let mut listener = Listener::open(lengths().bad_data(BadData::Fail), 100).await;
    let mut evil = listener.connect().await;
    evil.write_all(&[&framed(b"fine"), b"\x80\x00\x00\x00".as_slice()].concat()).await.unwrap();
    assert_eq!(listener.values(1).await, [b"fine"]);
    let error = listener.error().await;
    assert_eq!(error.code(), Code::RecordTooLong);
    let peer = evil.local_addr().unwrap();
    assert_eq!(error.site(), Some(format!("127.0.0.1:0, record 2 of {peer}").as_str()));
    assert!(error.help().unwrap().contains("framing"), "{error}");
    assert_eq!(listener.bad(), (0, 1));
}

#[tokio::test]
async fn one_byte_at_a_time_works_and_holds_nobody_up() {
    let mut listener = Listener::open(lengths(), 100).await;
    let (mut slow, mut fast) = (listener.connect().await, listener.connect().await);
    slow.set_nodelay(true).unwrap();
    for (n, byte) in framed(b"drop by drop").into_iter().enumerate() {
        slow.write_all(&[byte]).await.unwrap();
        if n < 15 {
            fast.write_all(&framed(b"fast")).await.unwrap();
            assert_eq!(listener.values(1).await, [b"fast"]);
        }
    }
    assert_eq!(listener.values(1).await, [b"drop by drop"]);
    assert_eq!(listener.bad(), (0, 0));
}

#[tokio::test]
async fn two_thousand_idle_clients_cost_little() {
    let mut listener = Listener::open(lengths().max_connections(3000), 100).await;
    let before = memory_bytes();
    let mut idle = Vec::new();
    for _ in 0..40 {
        for _ in 0..50 {
            idle.push(listener.connect().await);
        }
        listener.quiet().await;
    }
    assert_eq!(idle.len(), 2000);
    let mut busy = listener.connect().await;
    let began = Instant::now();
    for _ in 0..200 {
        busy.write_all(&framed(b"busy")).await.unwrap();
        assert_eq!(listener.values(1).await, [b"busy"]);
    }
    assert!(began.elapsed() < Duration::from_secs(4), "200 records took {:?}", began.elapsed());
    for stream in &mut idle {
        stream.write_all(&framed(b"awake")).await.unwrap();
    }
    assert_eq!(listener.values(2000).await, vec![b"awake"; 2000]);
    assert!(memory_bytes() < before + (64 << 20));
    assert_eq!(listener.bad(), (0, 0));
}

#[tokio::test]
async fn more_connections_than_may_be_are_refused_at_once() {
    let mut listener = Listener::open(lengths().max_connections(2), 100).await;
    let mut kept = [listener.connect().await, listener.connect().await];
    listener.quiet().await;
    for _ in 0..100 {
        let mut refused = listener.connect().await;
        assert!(listener.closes(&mut refused).await);
    }
    for stream in &mut kept {
        stream.write_all(&framed(b"kept")).await.unwrap();
        assert_eq!(listener.values(1).await, [b"kept"]);
    }
    let [leaving, _kept] = kept;
    drop(leaving);
    listener.quiet().await;
    let mut new = listener.connect().await;
    new.write_all(&framed(b"new")).await.unwrap();
    assert_eq!(listener.values(1).await, [b"new"]);
    assert_eq!(listener.bad(), (0, 0));
}

impl Listener {
    /// Lets the source accept who is there.
    async fn quiet_briefly(&mut self) {
        assert!(timeout(Duration::from_millis(1), self.source.next()).await.is_err());
    }

    /// Whether the source closes a connection. It is read meanwhile, and gives nothing.
    async fn closes(&mut self, stream: &mut TcpStream) -> bool {
        let closed = async {
            loop {
                self.quiet_briefly().await;
                if let Ok(read) = timeout(QUIET, stream.read(&mut [0; 16])).await {
                    return matches!(read, Ok(0) | Err(_));
                }
            }
        };
        timeout(PATIENCE, closed).await.expect("closed or not")
    }
}

#[tokio::test]
async fn a_silent_connection_is_closed_and_one_that_speaks_is_not() {
    let mut listener = Listener::open(lengths().idle_timeout(Duration::from_secs(1)), 100).await;
    let (mut silent, mut half, mut speaking) =
        (listener.connect().await, listener.connect().await, listener.connect().await);
    half.write_all(b"\x00\x00\x00\x09half").await.unwrap();
    for _ in 0..15 {
        speaking.write_all(&framed(b"here")).await.unwrap();
        assert_eq!(listener.values(1).await, [b"here"]);
        sleep(Duration::from_millis(100)).await;
    }
    assert!(listener.closes(&mut silent).await && listener.closes(&mut half).await);
    speaking.write_all(&framed(b"still here")).await.unwrap();
    assert_eq!(listener.values(1).await, [b"still here"]);
    assert_eq!(listener.bad(), (1, 0));
}

#[tokio::test]
async fn a_client_that_leaves_within_a_frame_is_a_bad_record() {
    let mut listener = Listener::open(lengths(), 100).await;
    let mut good = listener.connect().await;
    for partial in [b"\x00\x00".as_slice(), b"\x00\x00\x00\x09half"] {
        let mut leaving = listener.connect().await;
        leaving.write_all(&[&framed(b"whole"), partial].concat()).await.unwrap();
        drop(leaving);
        assert_eq!(listener.values(1).await, [b"whole"]);
        listener.quiet().await;
        good.write_all(&framed(b"good")).await.unwrap();
        assert_eq!(listener.values(1).await, [b"good"]);
    }
    assert_eq!(listener.bad(), (2, 0));

    let mut listener = Listener::open(tcp::listen("127.0.0.1:0").bad_data(BadData::Fail), 100).await;
    listener.connect().await.write_all(b"whole\nnot whole").await.unwrap();
    assert_eq!(listener.values(1).await, [b"whole"]);
    let error = listener.error().await;
    assert_eq!(error.code(), Code::BadRecord);
    assert_eq!(error.why(), Some("9 bytes came, and no end of the record"));
    assert_eq!(listener.bad(), (0, 1));
}

#[tokio::test]
async fn the_wrong_framing_is_told() {
    let mut lengths = Listener::open(lengths().bad_data(BadData::Fail), 100).await;
    lengths.connect().await.write_all(b"{\"a\":1}\n").await.unwrap();
    let error = lengths.error().await;
    assert_eq!(error.code(), Code::RecordTooLong);
    assert!(error.why().unwrap().contains("frame records in another way"), "{error}");

    let mut lines = Listener::open(tcp::listen("127.0.0.1:0").bad_data(BadData::Fail), 100).await;
    let mut peer = lines.connect().await;
    let noise: Vec<u8> = frames(std::iter::repeat_n(b"words".to_vec(), 1000));
    let sending = tokio::spawn(async move { while peer.write_all(&noise).await.is_ok() {} });
    assert_eq!(lines.error().await.code(), Code::RecordTooLong);
    drop(lines);
    sending.await.unwrap();
}

#[tokio::test]
async fn what_has_not_wholly_come_is_bounded_over_all_peers() {
    let mut listener = Listener::open(lengths().max_held_bytes(1 << 20), 100).await;
    let claim = [&500_000_u32.to_be_bytes(), vec![b'x'; 400_000].as_slice()].concat();
    let mut peers = Vec::new();
    for _ in 0..3 {
        let mut peer = listener.connect().await;
        let mut claim = claim.as_slice();
        while !claim.is_empty() {
            let written = timeout(QUIET, peer.write(claim)).await;
            claim = &claim[written.map_or(0, std::result::Result::unwrap)..];
            listener.quiet_briefly().await;
        }
        // All of it is read before the next one sends, so it is the last who has too much.
        listener.quiet().await;
        peers.push(peer);
    }
    assert!(listener.closes(&mut peers[2]).await);
    for peer in &mut peers[..2] {
        peer.write_all(&[b'x'; 100_000]).await.unwrap();
        assert_eq!(listener.values(1).await[0].len(), 500_000);
    }
    assert_eq!(listener.bad(), (1, 0));
}

#[tokio::test]
async fn who_does_not_take_rows_slows_senders_down() {
    let mut listener = Listener::open(lengths(), 10).await;
    let mut peer = listener.connect().await;
    let bytes = frames(std::iter::repeat_n(vec![b'x'; 1000], 1000));
    let mut written = 0;
    while let Ok(more) = timeout(QUIET, peer.write(&bytes[written % bytes.len()..])).await {
        written += more.unwrap();
        assert!(written < 64 << 20, "somebody takes all that comes");
    }
    listener.values(10).await;
}

#[tokio::test]
async fn a_source_that_is_dropped_listens_no_more() {
    let listener = Listener::open(lengths(), 10).await;
    let address = listener.address;
    let mut waiting = listener.connect().await;
    let mut listener = listener;
    let mut peer = listener.connect().await;
    listener.quiet().await;
    drop(listener);
    assert!(is_closed(&mut peer).await && is_closed(&mut waiting).await);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_address_in_use_is_told_with_help() {
    let listener = Listener::open(lengths(), 10).await;
    let spec = tcp::listen(listener.address.to_string()).source().unwrap();
    let Err(error) = open(&spec, &context(10), None).await else { panic!("two listen") };
    assert_eq!(error.code(), Code::Io);
    assert_eq!(error.what(), format!("cannot listen on '{}'", listener.address));
    assert!(error.help().unwrap().contains("choose another port"), "{error}");
    let spec = tcp::listen("192.0.2.1:7010").source().unwrap();
    let Err(error) = open(&spec, &context(10), None).await else { panic!("not our address") };
    assert!(error.help().unwrap().contains("no such address"), "{error}");
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn ab() -> SchemaRef {
    schema(&[("a", DataType::Int64), ("b", DataType::Utf8)])
}

fn table_source(address: &str, more: Given<'_>) -> Arc<dyn SourceSpec> {
    let mut options = vec![("address", address), ("type", "source")];
    options.extend(more);
    let table = declare("tcp", &options, Some(ab())).unwrap();
    let spec = table.source(&[0, 1].map(SourceColumn::whole), &[("p".into(), "peer")]).unwrap();
    let described = table.as_source().unwrap();
    assert_eq!(described.metadata.iter().map(|m| m.key).collect::<Vec<_>>(), ["peer"]);
    travelled_source(&spec)
}

/// Sends bytes in one connection and gives the rows that come, until there is an error or `count` rows.
async fn received(more: Given<'_>, bytes: &[u8], count: usize) -> (Vec<String>, Option<Error>, String) {
    let address = free_address();
    let cx = context(100);
    let mut source = open(&table_source(&address, more), &cx, None).await.unwrap();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let peer = stream.local_addr().unwrap().to_string();
    stream.write_all(bytes).await.unwrap();
    let (mut found, mut error) = (Vec::new(), None);
    while found.len() < count && error.is_none() {
        match timeout(PATIENCE, source.next()).await.expect("something comes") {
            Ok(SourceEvent::Rows { records, .. }) => found.extend(rows(&records)),
            Ok(other) => panic!("{other:?}"),
            Err(e) => error = Some(e),
        }
    }
    let counters = &cx.counters;
    let bad = counters.dropped.get() + counters.failed.get();
    assert_eq!(counters.records_read.get(), found.len() as u64 + bad);
    (found, error, peer)
}

#[tokio::test]
async fn a_table_reads_json_and_knows_the_peer() {
    let lines = b"{\"a\":1,\"b\":\"x\"}\n\n{\"a\":2}\r\n{\"b\":\"\xc3\xa9\",\"c\":[]}\n";
    let (found, _, peer) = received(&[], lines, 3).await;
    let expected = [("1", "\"x\""), ("2", "null"), ("null", "\"é\"")];
    assert_eq!(found, expected.map(|(a, b)| format!("{{\"a\":{a},\"b\":{b},\"p\":\"{peer}\"}}")));
    let more = [("framing", "length"), ("framing.length_bytes", "1"), ("format", "json")];
    let (found, _, peer) = received(&more, b"\x07{\"a\":1}\x00\x02{}", 2).await;
    assert_eq!(found, ["1", "null"].map(|a| format!("{{\"a\":{a},\"b\":null,\"p\":\"{peer}\"}}")));
}

#[tokio::test]
async fn a_bad_record_is_named_or_dropped() {
    let lines = b"{\"a\":1}\n{\"a\":\n{\"a\":3}\n";
    let (found, error, peer) = received(&[], lines, 2).await;
    assert_eq!(found.len(), 1);
    let error = error.unwrap();
    assert_eq!(error.code(), Code::BadRecord);
    assert!(error.site().unwrap().ends_with(&format!("record 2 of {peer}")), "{error}");
    let (found, error, _) = received(&[("bad_data", "drop")], lines, 2).await;
    assert!(found.len() == 2 && error.is_none());
}

#[tokio::test]
async fn a_table_reads_texts_and_bytes_without_columns() {
    for (format, data_type) in [("raw_string", DataType::Utf8), ("raw_bytes", DataType::Binary)] {
        let options = [("address", "127.0.0.1:0"), ("format", format)];
        let described = declare("tcp", &options, None).unwrap().as_source().unwrap();
        assert_eq!(described.columns.field(0).data_type(), &data_type);
    }
    assert!(declare("tcp", &[("address", "127.0.0.1:0")], None).unwrap().as_source().is_none());
}

#[test]
fn wrong_options_are_told() {
    let refusal = |more: Given<'_>| {
        let mut options = vec![("type", "source")];
        options.extend(more);
        if !more.iter().any(|(name, _)| *name == "address") {
            options.push(("address", "127.0.0.1:7010"));
        }
        let error = declare("tcp", &options, Some(ab())).unwrap_err();
        (error.code(), format!("{error}"))
    };
    let cases: [(Given<'_>, Code, &str); 12] = [
        (&[("adress", "x")], Code::UnknownOption, "did you mean 'address'?"),
        (&[("max_conections", "3")], Code::UnknownOption, "did you mean 'max_connections'?"),
        (&[("address", "7010")], Code::InvalidOption, "not HOST:PORT"),
        (&[("address", "127.0.0.1:70000")], Code::InvalidOption, "not HOST:PORT"),
        (&[("framing", "lenght")], Code::InvalidOption, "did you mean 'length'?"),
        (&[("framing", "length"), ("framing.length_bytes", "3")], Code::InvalidOption, "'1', '2', '4', '8'"),
        (&[("framing.length_bytes", "4")], Code::InvalidOption, "add framing = 'length'"),
        (&[("framing.max_bytes", "0")], Code::InvalidOption, "at least 1"),
        (&[("framing.max_bytes", "5000000000")], Code::InvalidOption, "too large"),
        (&[("max_connections", "0")], Code::InvalidOption, "at least 1"),
        (&[("idle_timeout", "soon")], Code::InvalidOption, "a duration"),
        (&[("framing", "none")], Code::InvalidOption, "cannot be read"),
    ];
    for (more, code, words) in cases {
        let (found, text) = refusal(more);
        assert!(found == code && text.contains(words), "{more:?}: {text}");
    }
    assert_eq!(declare("tcp", &[], Some(ab())).unwrap_err().what(), "option 'address' is missing");
    assert_eq!(tcp::listen("x:1").length_framed(3).source().unwrap_err().code(), Code::InvalidOption);
    assert_eq!(tcp::listen("x").source().unwrap_err().code(), Code::InvalidOption);
}

#[test]
fn a_listener_is_one_split_that_is_not_read_again() {
    let spec = travelled_source(&tcp::listen("127.0.0.1:7010").length_framed(4).source().unwrap());
    assert_eq!((spec.parallelism_max(), spec.live()), (Some(1), true));
    assert_eq!(spec.guarantee(), thalweg_dataflow::source::SourceGuarantee::AtMostOnce);
    let splits: Vec<_> = spec.splits(3).unwrap().iter().map(Vec::len).collect();
    assert_eq!(splits, [1, 0, 0]);
    assert_eq!(spec.label(), "'127.0.0.1:7010' raw_bytes");
}

#[tokio::test]
async fn a_split_can_go_elsewhere_and_come_back() {
    let mut listener = Listener::open(lengths(), 10).await;
    let held = listener.source.positions();
    let splits = [held[0].split.clone()];
    assert_eq!(listener.source.revoke(&splits).await.unwrap(), held);
    assert!(TcpStream::connect(listener.address).await.is_err());
    listener.quiet().await;
    listener.source.assign(held).await.unwrap();
    listener.quiet().await;
}
