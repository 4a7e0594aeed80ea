//! A file that is gone on with: read from where a position says, written to from where an epoch says.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod driver;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::DataType;
use driver::*;
use tempfile::TempDir;
use thalweg_dataflow::connector::SourceColumn;
use thalweg_dataflow::sink::{Close, SinkGuarantee};
use thalweg_dataflow::source::Assignment;
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Code, Committable, Sink, SinkSpec, SourceEvent, SourceSpec};
use thalweg_state::Epoch;

fn in_folder(content: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file.jsonl");
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn source_of(path: &Path) -> Arc<dyn SourceSpec> {
    let options = [("path", path.to_str().unwrap()), ("type", "source"), ("format", "json")];
    let table = declare("single_file", &options, Some(schema(&[("a", DataType::Int64)]))).unwrap();
    table.source(&[SourceColumn::whole(0)], &[]).unwrap()
}

/// Where a source stands after so many rows, in batches of one.
async fn position_after(spec: &Arc<dyn SourceSpec>, rows: usize) -> Vec<Assignment> {
    let mut source = open(spec, &context(1), None).await.unwrap();
    for _ in 0..rows {
        assert!(matches!(source.next().await.unwrap(), SourceEvent::Rows { .. }));
    }
    source.positions()
}

async fn rest(spec: &Arc<dyn SourceSpec>, from: Vec<Assignment>) -> thalweg_dataflow::Result<Vec<String>> {
    drain(&mut *open(spec, &context(100), Some(from)).await?).await
}

#[tokio::test]
async fn a_file_that_grew_is_read_on() {
    let (_folder, path) = in_folder("{\"a\":1}\n{\"a\":2}\n");
    let spec = source_of(&path);
    let (first, second) = (position_after(&spec, 1).await, position_after(&spec, 2).await);
    fs::write(&path, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n").unwrap();
    assert_eq!(rest(&spec, first).await.unwrap(), ["{\"a\":2}", "{\"a\":3}"]);
    assert_eq!(rest(&spec, second).await.unwrap(), ["{\"a\":3}"]);
}

#[tokio::test]
async fn what_has_ended_stays_ended_though_the_file_grows_or_goes() {
    let (_folder, path) = in_folder("{\"a\":1}\n");
    let spec = source_of(&path);
    let mut source = open(&spec, &context(10), None).await.unwrap();
    assert!(matches!(source.next().await.unwrap(), SourceEvent::Rows { .. }));
    assert!(matches!(source.next().await.unwrap(), SourceEvent::SplitEnd { .. }));
    let ended = source.positions();
    fs::write(&path, "{\"a\":1}\n{\"a\":2}\n").unwrap();
    for removed in [false, true] {
        if removed {
            fs::remove_file(&path).unwrap();
        }
        let mut again = open(&spec, &context(10), Some(ended.clone())).await.unwrap();
        assert_eq!(again.positions(), ended, "before anything was asked");
        assert!(matches!(again.next().await.unwrap(), SourceEvent::SplitEnd { .. }), "the end is said again");
        assert!(matches!(again.next().await.unwrap(), SourceEvent::End));
        let mut other = open(&spec, &context(10), Some(vec![])).await.unwrap();
        let split = ended[0].split.clone();
        other.assign(again.revoke(&[split]).await.unwrap()).await.unwrap();
        assert!(matches!(other.next().await.unwrap(), SourceEvent::SplitEnd { .. }));
    }
}

#[tokio::test]
async fn a_file_that_is_another_is_refused() {
    let lines = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}";
    let cases = [
        (2, "{\"a\":1}\n{\"a\"", "16 bytes of it were read, and it has 12"),
        (1, "{\"a\":9}\n{\"a\":2}\n{\"a\":3}\n", "first 23 bytes are others"),
        (1, "{\"a\":1}\n{\"a\":2}\n", "first 23 bytes are others"),
        (3, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}4\n", "line 3 was its last and read as such"),
    ];
    for (rows, now, why) in cases {
        let (_folder, path) = in_folder(lines);
        let spec = source_of(&path);
        let position = position_after(&spec, rows).await;
        fs::write(&path, now).unwrap();
        let error = rest(&spec, position).await.unwrap_err();
        assert_eq!(error.code(), Code::InputChanged, "{error}");
        assert!(error.why().unwrap().contains(why) && error.what().contains("file.jsonl"), "{error}");
    }
    let (_folder, path) = in_folder(lines);
    let spec = source_of(&path);
    let position = position_after(&spec, 3).await;
    fs::write(&path, format!("{lines}\n{{\"a\":4}}\n")).unwrap();
    assert_eq!(rest(&spec, position).await.unwrap(), ["{\"a\":4}"], "the last line was whole");
}

#[test]
fn a_position_is_within_one_file() {
    let (one, two) = (in_folder(""), in_folder(""));
    assert_ne!(source_of(&one.1).fingerprint(), source_of(&two.1).fingerprint());
    assert_ne!(sink_of(&one.1).fingerprint(), sink_of(&two.1).fingerprint());
}

fn sink_of(path: &Path) -> Arc<dyn SinkSpec> {
    let options = [("path", path.to_str().unwrap()), ("type", "sink"), ("format", "json")];
    let table = declare("single_file", &options, None).unwrap();
    let spec = table.sink(schema(&[("a", DataType::Int64)]), RowKind::Append).unwrap();
    assert_eq!(table.as_sink().unwrap().guarantee, spec.guarantee());
    travelled_sink(&spec)
}

/// One life of a job with one row an epoch: restores, then writes rows and prepares.
struct Life {
    spec: Arc<dyn SinkSpec>,
    sink: Box<dyn Sink>,
}

impl Life {
    async fn begin(path: &Path, from: Option<(u64, &[Committable])>) -> thalweg_dataflow::Result<Self> {
        let spec = sink_of(path);
        let (epoch, committables) = from.unzip();
        spec.committer().restore(epoch.map(Epoch), committables.unwrap_or_default()).await?;
        let mut sink = spec.build(PieceContext { fresh: epoch.is_none(), ..context(10) })?;
        sink.open().await?;
        Ok(Self { spec, sink })
    }

    async fn write(&mut self, a: i64) {
        let column = Arc::new(Int64Array::from(vec![a])) as _;
        self.sink.write(RecordBatch::try_from_iter([("a", column)]).unwrap()).await.unwrap();
    }

    async fn prepare(&mut self, epoch: u64) -> Committable {
        self.sink.prepare(Epoch(epoch)).await.unwrap().expect("a length, always")
    }
}

#[tokio::test]
async fn rows_behind_the_epoch_are_cut_off_at_every_restore() {
    let (_folder, path) = in_folder("old\n");
    let read = || fs::read_to_string(&path).unwrap();
    let mut life = Life::begin(&path, None).await.unwrap();
    assert_eq!(read(), "");
    life.write(1).await;
    let first = life.prepare(1).await;
    life.write(2).await;
    let second = life.prepare(2).await;
    assert_eq!(life.prepare(3).await, life.prepare(3).await, "also where nothing came");
    life.write(3).await;
    life.sink.flush().await.unwrap();
    life.spec.committer().commit(Epoch(2), std::slice::from_ref(&second)).await.unwrap();
    assert_eq!(read(), "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
    drop(life);
    // Several lives that die before they have an epoch; the first epoch was aborted, so both are there.
    for order in [[first.clone(), second.clone()], [second.clone(), first.clone()]] {
        let mut life = Life::begin(&path, Some((2, &order))).await.unwrap();
        assert_eq!(read(), "{\"a\":1}\n{\"a\":2}\n");
        life.write(3).await;
        life.sink.flush().await.unwrap();
        assert_eq!(read(), "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
    }
    let mut life = Life::begin(&path, Some((2, &[second]))).await.unwrap();
    life.write(3).await;
    let third = life.prepare(4).await;
    life.sink.close(Close::Stop).await.unwrap();
    drop(Life::begin(&path, Some((4, &[third]))).await.unwrap());
    assert_eq!(read(), "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
    // An older epoch, as from a savepoint.
    drop(Life::begin(&path, Some((1, &[first]))).await.unwrap());
    assert_eq!(read(), "{\"a\":1}\n");
}

#[tokio::test]
async fn a_job_that_had_no_epoch_begins_anew() {
    let (_folder, path) = in_folder("old\n");
    for _ in 0..3 {
        let mut life = Life::begin(&path, None).await.unwrap();
        life.write(1).await;
        life.sink.flush().await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1}\n");
    }
    // The sink is new in a job that goes on.
    drop(Life::begin(&path, Some((7, &[]))).await.unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
    fs::remove_file(&path).unwrap();
    drop(Life::begin(&path, Some((7, &[]))).await.unwrap());
}

#[tokio::test]
async fn rows_that_are_gone_are_missed() {
    let (_folder, path) = in_folder("");
    let mut life = Life::begin(&path, None).await.unwrap();
    let nothing = life.prepare(1).await;
    life.write(1).await;
    let one = life.prepare(2).await;
    drop(life);
    fs::write(&path, "{\"a\"").unwrap();
    let error = Life::begin(&path, Some((2, std::slice::from_ref(&one)))).await.err().unwrap();
    assert_eq!(error.code(), Code::OutputChanged);
    assert!(error.why().unwrap().contains("at epoch 2 it had 8 bytes, and it has 4 bytes"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\"", "nothing was touched");
    fs::remove_file(&path).unwrap();
    let error = Life::begin(&path, Some((2, &[one]))).await.err().unwrap();
    assert_eq!(error.code(), Code::OutputChanged);
    drop(Life::begin(&path, Some((1, &[nothing]))).await.unwrap());
}

#[tokio::test]
async fn a_device_promises_less() {
    let spec = sink_of(Path::new("/dev/null"));
    assert_eq!(spec.guarantee(), SinkGuarantee::AtLeastOnce);
    assert_eq!(sink_of(Path::new("out")).guarantee(), SinkGuarantee::ExactlyOnce);
    spec.committer().restore(None, &[]).await.unwrap();
    let mut sink = spec.build(context(10)).unwrap();
    sink.open().await.unwrap();
    assert_eq!(sink.prepare(Epoch(1)).await.unwrap(), None);
}
