//! Sending over TCP: in order, whole, and to a peer that may not be there.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod driver;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{BinaryArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::DataType;
use driver::*;
use thalweg_connectors::tcp;
use thalweg_dataflow::sink::Close;
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Code, Sink, SinkSpec};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// Options by name.
type Given<'a> = &'a [(&'a str, &'a str)];

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// What was to happen by then has happened.
const QUIET: Duration = Duration::from_millis(100);

fn raw(values: &[&[u8]]) -> RecordBatch {
    let values: arrow::array::ArrayRef = Arc::new(BinaryArray::from_vec(values.to_vec()));
    RecordBatch::try_from_iter([("value", values)]).unwrap()
}

/// A sink that tries again soon.
fn to(address: &str) -> tcp::Connect {
    tcp::connect(address).retry(Duration::from_millis(10), Duration::from_millis(40))
}

async fn opened(connect: tcp::Connect) -> (Box<dyn Sink>, PieceContext) {
    let cx = context(100);
    let mut sink = travelled_sink(&connect.sink().unwrap()).build(cx.clone()).unwrap();
    sink.open().await.unwrap();
    (sink, cx)
}

async fn peer() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    timeout(PATIENCE, listener.accept()).await.expect("somebody connects").unwrap().0
}

async fn exactly(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.expect("bytes come").unwrap();
    bytes
}

async fn to_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it ends").unwrap();
    bytes
}

#[tokio::test]
async fn values_are_written_as_each_framing_says() {
    let values: [&[u8]; 3] = [b"one", b"", b"two"];
    type Frame = fn(tcp::Connect) -> tcp::Connect;
    let cases: [(Frame, &[u8]); 4] = [
        (|c| c, b"onetwo"),
        (|c| c.newline_framed(), b"one\n\ntwo\n"),
        (|c| c.length_framed(1), b"\x03one\x00\x03two"),
        (|c| c.length_framed(4), b"\0\0\0\x03one\0\0\0\0\0\0\0\x03two"),
    ];
    for (framing, expected) in cases {
        let (listener, address) = peer().await;
        let (mut sink, cx) = opened(framing(to(&address))).await;
        let mut stream = accept(&listener).await;
        sink.write(raw(&values)).await.unwrap();
        sink.close(Close::End).await.unwrap();
        assert_eq!(to_the_end(&mut stream).await, expected);
        assert_eq!(cx.counters.taken.get(), 3);
    }
}

#[tokio::test]
async fn rows_leave_when_the_input_is_empty_or_much_has_come() {
    let (listener, address) = peer().await;
    let (mut sink, _) = opened(to(&address)).await;
    let mut stream = accept(&listener).await;
    sink.write(raw(&[b"held"])).await.unwrap();
    assert!(timeout(QUIET, stream.read_u8()).await.is_err());
    sink.flush().await.unwrap();
    assert_eq!(exactly(&mut stream, 4).await, b"held");
    let much = vec![b'x'; 1 << 16];
    sink.write(raw(&[&much])).await.unwrap();
    assert_eq!(exactly(&mut stream, 1 << 16).await, much);
    sink.write(raw(&[b"prepared"])).await.unwrap();
    assert!(sink.prepare(thalweg_state::Epoch::FIRST).await.unwrap().is_none());
    assert_eq!(exactly(&mut stream, 8).await, b"prepared");
}

#[tokio::test]
async fn a_peer_that_is_not_there_at_the_start_is_waited_for() {
    let (listener, address) = peer().await;
    drop(listener);
    let (mut sink, _) = opened(to(&address).newline_framed()).await;
    sink.write(raw(&[b"early"])).await.unwrap();
    {
        let mut flush = sink.flush();
        assert!(timeout(QUIET, &mut flush).await.is_err(), "waiting is back-pressure");
        let listener = TcpListener::bind(&address).await.unwrap();
        let (flushed, mut stream) = tokio::join!(timeout(PATIENCE, flush), accept(&listener));
        flushed.expect("the peer has come").unwrap();
        assert_eq!(exactly(&mut stream, 6).await, b"early\n");
    }
}

#[tokio::test]
async fn a_wait_can_be_given_up() {
    let (listener, address) = peer().await;
    drop(listener);
    let (mut sink, _) = opened(to(&address)).await;
    sink.write(raw(&[b"x"])).await.unwrap();
    assert!(timeout(QUIET, sink.flush()).await.is_err());
    drop(sink);
}

#[tokio::test]
async fn a_peer_that_goes_and_comes_back_misses_nothing_written_meanwhile() {
    let (listener, address) = peer().await;
    let (mut sink, _) = opened(to(&address).newline_framed()).await;
    let mut stream = accept(&listener).await;
    sink.write(raw(&[b"first"])).await.unwrap();
    sink.flush().await.unwrap();
    assert_eq!(exactly(&mut stream, 6).await, b"first\n");
    drop((stream, listener));
    sleep(QUIET).await;
    sink.write(raw(&[b"second"])).await.unwrap();
    assert!(timeout(QUIET, sink.flush()).await.is_err());
    let listener = TcpListener::bind(&address).await.unwrap();
    sink.write(raw(&[b"third"])).await.unwrap();
    let (flushed, mut stream) = tokio::join!(timeout(PATIENCE, sink.flush()), accept(&listener));
    flushed.expect("the peer is back").unwrap();
    sink.close(Close::Stop).await.unwrap();
    assert_eq!(to_the_end(&mut stream).await, b"second\nthird\n");
}

/// The peer breaks off in the midst of a great write: the next one gets it all, from the beginning of a record.
#[tokio::test]
async fn a_write_that_breaks_begins_again_at_a_record() {
    let (listener, address) = peer().await;
    let (mut sink, _) = opened(to(&address).newline_framed()).await;
    let mut stream = accept(&listener).await;
    sink.write(raw(&[b"whole"])).await.unwrap();
    sink.flush().await.unwrap();
    // More than any system's buffers take.
    let lines: Vec<Vec<u8>> = (0..200_000).map(|n| format!("line {n:0200}").into_bytes()).collect();
    let records = raw(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let writing = tokio::spawn(async move {
        sink.write(records).await.unwrap();
        sink.close(Close::End).await.unwrap();
    });
    assert_eq!(exactly(&mut stream, 100).await.len(), 100);
    // Unread bytes make this a reset.
    drop(stream);
    let mut lines = BufReader::new(accept(&listener).await).lines();
    let mut count = 0;
    while let Some(line) = timeout(PATIENCE, lines.next_line()).await.expect("lines come").unwrap() {
        assert_eq!(line, format!("line {count:0200}"));
        count += 1;
    }
    assert_eq!(count, 200_000);
    writing.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_only_ends_its_own_side_gets_all() {
    let (listener, address) = peer().await;
    let (mut sink, _) = opened(to(&address).newline_framed()).await;
    let mut stream = accept(&listener).await;
    stream.write_all(b"nobody reads this").await.unwrap();
    stream.shutdown().await.unwrap();
    sleep(QUIET).await;
    for line in [b"one".as_slice(), b"two", b"three"] {
        sink.write(raw(&[line])).await.unwrap();
        sink.flush().await.unwrap();
    }
    sink.close(Close::End).await.unwrap();
    assert_eq!(to_the_end(&mut stream).await, b"one\ntwo\nthree\n");
    assert!(timeout(QUIET, listener.accept()).await.is_err(), "there was no need of a second connection");
}

#[tokio::test]
async fn a_peer_that_does_not_read_slows_the_sink_down() {
    let (listener, address) = peer().await;
    let (mut sink, cx) = opened(to(&address)).await;
    let mut stream = accept(&listener).await;
    let much = vec![b'x'; 1 << 20];
    while let Ok(written) = timeout(QUIET, sink.write(raw(&[&much]))).await {
        written.unwrap();
        assert!(cx.counters.taken.get() < 100, "somebody takes all that comes");
    }
    assert_eq!(exactly(&mut stream, 1 << 20).await, much);
}

/// Two rows with one of the engine's columns.
fn rows_to_write() -> RecordBatch {
    let columns: [(&str, arrow::array::ArrayRef); 3] = [
        ("a", Arc::new(Int64Array::from(vec![1, 2]))),
        ("b", Arc::new(StringArray::from(vec![Some("x"), None]))),
        ("_timestamp", Arc::new(TimestampNanosecondArray::from(vec![0, 1]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn table_sink(address: &str, more: Given<'_>) -> thalweg_dataflow::Result<Arc<dyn SinkSpec>> {
    let mut options = vec![("address", address), ("type", "sink")];
    options.extend(more);
    let spec = declare("tcp", &options, None)?.sink(rows_to_write().schema(), RowKind::Append)?;
    Ok(travelled_sink(&spec))
}

#[tokio::test]
async fn a_table_writes_json() {
    let cases: [(Given<'_>, &[u8]); 3] = [
        (&[], b"{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":null}\n"),
        (&[("framing", "length")], b"\0\0\0\x0f{\"a\":1,\"b\":\"x\"}\0\0\0\x10{\"a\":2,\"b\":null}"),
        (
            &[("framing", "length"), ("framing.length_bytes", "2"), ("format", "debezium_json")],
            b"\0\x30{\"before\":null,\"after\":{\"a\":1,\"b\":\"x\"},\"op\":\"c\"}\
              \0\x31{\"before\":null,\"after\":{\"a\":2,\"b\":null},\"op\":\"c\"}",
        ),
    ];
    for (more, expected) in cases {
        let (listener, address) = peer().await;
        let mut sink = table_sink(&address, more).unwrap().build(context(10)).unwrap();
        sink.open().await.unwrap();
        let mut stream = accept(&listener).await;
        sink.write(rows_to_write()).await.unwrap();
        sink.close(Close::End).await.unwrap();
        assert_eq!(
            String::from_utf8_lossy(&to_the_end(&mut stream).await),
            String::from_utf8_lossy(expected)
        );
    }
}

#[tokio::test]
async fn a_record_too_long_for_its_length_fails_the_job() {
    let (_listener, address) = peer().await;
    let (mut sink, _) = opened(to(&address).length_framed(1)).await;
    let error = sink.write(raw(&[b"short", &[b'x'; 256]])).await.unwrap_err();
    assert_eq!(error.code(), Code::OperatorFailed);
    assert!(error.why().unwrap().contains("row 1 has 256 bytes"), "{error}");
}

#[test]
fn wrong_options_are_told() {
    let refusal = |address: &str, more: Given<'_>| {
        let error = table_sink(address, more).unwrap_err();
        (error.code(), format!("{error}"))
    };
    let cases: [(&str, Given<'_>, Code, &str); 5] = [
        ("localhost", &[], Code::InvalidOption, "not HOST:PORT"),
        ("localhost:1", &[("retry.max", "10ms")], Code::InvalidOption, "'retry.initial'"),
        ("localhost:1", &[("retry.initial", "0s")], Code::InvalidOption, "'retry.initial'"),
        ("localhost:1", &[("retry.maximum", "1s")], Code::UnknownOption, "did you mean 'retry.max'?"),
        ("localhost:1", &[("format", "raw_bytes")], Code::InvalidColumn, "value BYTEA"),
    ];
    for (address, more, code, words) in cases {
        let (found, text) = refusal(address, more);
        assert!(found == code && text.contains(words), "{more:?}: {text}");
    }
    assert_eq!(tcp::connect("x:1").length_framed(3).sink().unwrap_err().code(), Code::InvalidOption);
    let table = declare("tcp", &[("address", "x:1"), ("type", "sink")], None).unwrap();
    assert!(table.as_source().is_none() && table.as_sink().is_some());
    let value = schema(&[("value", DataType::Binary)]);
    let source =
        declare("tcp", &[("address", "x:1"), ("type", "source"), ("format", "raw_bytes")], Some(value));
    assert!(source.unwrap().as_sink().is_none());
}
