//! Files of a folder: which are read, as what, by whom, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod driver;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use driver::moto::Moto;
use driver::*;
use object_store::ObjectStoreExt;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;
use thalweg_dataflow::connector::SourceColumn;
use thalweg_dataflow::source::Assignment;
use thalweg_dataflow::{Code, Source, SourceEvent, SourceSpec};
use thalweg_state::SplitId;

fn a() -> SchemaRef {
    schema(&[("a", DataType::Int64)])
}

fn spec(path: &str, more: &[(&str, &str)], columns: SchemaRef) -> Arc<dyn SourceSpec> {
    let mut options = vec![("path", path), ("type", "source")];
    options.extend(more);
    if !more.iter().any(|(name, _)| *name == "format") {
        options.push(("format", "json"));
    }
    let all: Vec<_> = (0..columns.fields().len()).map(SourceColumn::whole).collect();
    travelled_source(&declare("filesystem", &options, Some(columns)).unwrap().source(&all, &[]).unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder with these files; each holds a line for each number.
fn folder(files: &[(&str, &[i64])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    files.iter().for_each(|(name, numbers)| put(folder.path(), name, numbers));
    folder
}

/// Puts a file into its place as one should: whole.
fn put(folder: &Path, name: &str, numbers: &[i64]) {
    let lines: String = numbers.iter().map(|a| format!("{{\"a\":{a}}}\n")).collect();
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(folder.join(".new"), lines).unwrap();
    fs::rename(folder.join(".new"), path).unwrap();
}

fn numbers(rows: &[String]) -> Vec<i64> {
    rows.iter().map(|row| row[5..row.len() - 1].parse().unwrap()).collect()
}

#[tokio::test]
async fn folders_files_and_beginnings_are_read_in_the_order_of_names() {
    let folder = folder(&[
        ("b/2.json", &[4, 5]),
        ("a.json", &[1]),
        ("b/1.json", &[2, 3]),
        ("b.txt", &[6]),
        (".hidden/x.json", &[100]),
        ("_temporary/x.json", &[100]),
        ("b/_SUCCESS", &[100]),
    ]);
    let path = folder.path();
    let under = |name: &str| text(&path.join(name)).to_owned();
    for (path, options, expected) in [
        (text(path).to_owned(), vec![], vec![1, 6, 2, 3, 4, 5]),
        (format!("file://{}/", text(path)), vec![], vec![1, 6, 2, 3, 4, 5]),
        (under("b"), vec![], vec![2, 3, 4, 5]),
        (under("b/2.json"), vec![], vec![4, 5]),
        (under("b*"), vec![], vec![6, 2, 3, 4, 5]),
        (under("b/1*"), vec![], vec![2, 3]),
        (under("none*"), vec![], vec![]),
        (text(path).to_owned(), vec![("source.regex_pattern", r"^b/\d\.json$")], vec![2, 3, 4, 5]),
        (text(path).to_owned(), vec![("source.regex_pattern", "txt|a[.]")], vec![1, 6]),
    ] {
        let read = read_all(&spec(&path, &options, a()), &context(1)).await.unwrap();
        assert_eq!(numbers(&read), expected, "{path} {options:?}");
    }
    assert!(spec(text(path), &[], a()).in_turn(), "files that wait for their turn hold the watermark back");
    let missing = spec(&under("none"), &[], a()).splits(1).unwrap_err();
    assert_eq!(missing.code(), Code::FileNotFound);
}

#[tokio::test]
async fn lines_say_where_they_are_and_bad_ones_are_named() {
    let folder = folder(&[("a.json", &[1, 2])]);
    let path = folder.path().join("a.json");
    let options = [("path", text(&path)), ("format", "json")];
    let table = declare("filesystem", &options, Some(a())).unwrap();
    let metadata = [("l".to_owned(), "line"), ("o".to_owned(), "offset")];
    let read = table.source(&[SourceColumn::whole(0)], &metadata).unwrap();
    let rows = read_all(&read, &context(10)).await.unwrap();
    assert_eq!(rows, ["{\"a\":1,\"l\":1,\"o\":0}", "{\"a\":2,\"l\":2,\"o\":8}"]);
    fs::write(&path, "{\"a\":1}\n{\"a\":x}\n{\"a\":3}\n").unwrap();
    let error = read_all(&spec(text(&path), &[], a()), &context(10)).await.unwrap_err();
    assert_eq!(
        (error.code(), error.site().unwrap()),
        (Code::BadRecord, format!("{}:2", text(&path)).as_str())
    );
    let read = read_all(&spec(text(&path), &[("bad_data", "drop")], a()), &context(10)).await.unwrap();
    assert_eq!(numbers(&read), [1, 3]);
    let short = [("framing.newline.max_length", "6")];
    let error = read_all(&spec(text(&path), &short, a()), &context(10)).await.unwrap_err();
    assert_eq!(error.code(), Code::RecordTooLong);
}

#[tokio::test]
async fn files_larger_than_a_chunk_come_whole() {
    let all: Vec<i64> = (0..400_000).collect();
    let folder = folder(&[("a.json", &all)]);
    assert!(fs::metadata(folder.path().join("a.json")).unwrap().len() > 3 << 20);
    let spec = spec(text(folder.path()), &[], a());
    assert_eq!(numbers(&read_all(&spec, &context(8192)).await.unwrap()), all);
    let mut source = open(&spec, &context(8192), None).await.unwrap();
    let mut given = 0;
    while given < all.len() / 2 {
        let SourceEvent::Rows { records, .. } = source.next().await.unwrap() else { panic!("rows") };
        given += records.num_rows();
    }
    let known = source.positions();
    let rest = drain(&mut *open(&spec, &context(8192), Some(known)).await.unwrap()).await.unwrap();
    assert_eq!(numbers(&rest), all[given..]);
}

#[tokio::test]
async fn what_changes_after_the_start_is_refused() {
    let change: [fn(&Path); 3] = [
        |path| fs::write(path, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n").unwrap(),
        |path| fs::write(path, "{\"a\":1}\n{\"a\":9}\n").unwrap(),
        |path| fs::remove_file(path).unwrap(),
    ];
    for change in change {
        let folder = folder(&[("a.json", &[1, 2]), ("b.json", &[3])]);
        let spec = spec(text(folder.path()), &[], a());
        let mut source = open(&spec, &context(1), None).await.unwrap();
        assert!(matches!(source.next().await.unwrap(), SourceEvent::Rows { .. }));
        let known = source.positions();
        // Times of a file system may be coarse.
        std::thread::sleep(Duration::from_millis(20));
        change(&folder.path().join("a.json"));
        let mut again = open(&spec, &context(1), Some(known)).await.unwrap();
        let error = again.next().await.unwrap_err();
        assert_eq!(error.code(), Code::InputChanged, "{error}");
        assert!(error.what().contains("a.json") && error.why().is_some(), "{error}");
    }
    // Files that come later are none of the job's.
    let folder = folder(&[("a.json", &[1])]);
    let spec = spec(text(folder.path()), &[], a());
    let first = spec.splits(1).unwrap().remove(0);
    put(folder.path(), "b.json", &[2]);
    let rest = drain(&mut *open(&spec, &context(1), Some(first)).await.unwrap()).await.unwrap();
    assert_eq!(numbers(&rest), [1]);
}

fn parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(3)).build();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[tokio::test]
async fn parquet_columns_are_found_by_name_and_cast() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    let times = arrow::array::TimestampMicrosecondArray::from(vec![0, 1_000_000, 2, 3]).with_timezone("UTC");
    parquet(
        &path,
        vec![
            ("b", Arc::new(StringArray::from(vec![Some("x"), None, Some("z"), Some("w")]))),
            ("a", Arc::new(Int32Array::from(vec![1, 2, 3, 4]))),
            ("t", Arc::new(times)),
            ("unread", Arc::new(Int64Array::from(vec![0; 4]))),
        ],
    );
    let format = [("format", "parquet")];
    let timestamp = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let columns =
        schema(&[("a", DataType::Int64), ("t", timestamp), ("b", DataType::Utf8), ("c", DataType::Utf8)]);
    let read = read_all(&spec(text(&path), &format, columns), &context(100)).await.unwrap();
    assert_eq!(read.len(), 4);
    assert_eq!(read[1], r#"{"a":2,"t":"1970-01-01T00:00:01","b":null,"c":null}"#);
    let count = context(100);
    let none = declare("filesystem", &[("path", text(&path)), ("format", "parquet")], Some(a())).unwrap();
    let none = none.source(&[], &[]).unwrap();
    let mut source = open(&none, &count, None).await.unwrap();
    while !matches!(source.next().await.unwrap(), SourceEvent::End) {}
    assert_eq!(count.counters.records_read.get(), 4, "rows without columns count");
}

#[tokio::test]
async fn files_that_are_not_what_was_declared_are_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    parquet(&path, vec![("a", Arc::new(StringArray::from(vec![Some("1"), None])) as _)]);
    let whole = fs::read(&path).unwrap();
    let [required, required_a] = [("z", DataType::Int64), ("a", DataType::Utf8)].map(|(name, of)| {
        Arc::new(arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new(name, of, false)]))
    });
    let list = DataType::new_list(DataType::Int64, true);
    for (content, columns, words) in [
        (whole.clone(), a(), "is TEXT"),
        (whole.clone(), required_a, "not of the columns"),
        (whole.clone(), required, "has no column 'z'"),
        (
            whole.clone(),
            schema(&[("a", DataType::Struct(vec![arrow::datatypes::Field::new("x", list, true)].into()))]),
            "column 'a' of",
        ),
        (whole[..whole.len() - 9].to_vec(), a(), "cannot be read as Parquet"),
        (b"{\"a\":1}".to_vec(), a(), "cannot be read as Parquet"),
        (vec![], a(), "cannot be read as Parquet"),
    ] {
        fs::write(&path, content).unwrap();
        let read = read_all(&spec(text(&path), &[("format", "parquet")], columns), &context(10)).await;
        let error = read.unwrap_err();
        assert_eq!(error.code(), Code::BadRecord, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    // A footer that leads out of the file.
    for index in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[index] ^= 0xff;
        fs::write(&path, flipped).unwrap();
        let _ = read_all(&spec(text(&path), &[("format", "parquet")], a()), &context(10)).await;
    }
}

/// A number of a file is never another number in the table.
#[tokio::test]
async fn values_of_parquet_are_not_changed_by_their_declaration() {
    use arrow::array::{BooleanArray, Float64Array, TimestampMillisecondArray};
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    let read = async |column: ArrayRef, declared: DataType| {
        parquet(&path, vec![("a", column)]);
        read_all(&spec(text(&path), &[("format", "parquet")], schema(&[("a", declared)])), &context(10)).await
    };
    let whole = || Arc::new(Int64Array::from(vec![300])) as ArrayRef;
    for (column, declared, sql_types) in [
        (Arc::new(Float64Array::from(vec![3.25])) as ArrayRef, DataType::Int64, ["DOUBLE", "BIGINT"]),
        (Arc::new(StringArray::from(vec!["1"])), DataType::Int64, ["TEXT", "BIGINT"]),
        (Arc::new(BooleanArray::from(vec![true])), DataType::Int64, ["BOOLEAN", "BIGINT"]),
        (whole(), DataType::Utf8, ["BIGINT", "TEXT"]),
        (whole(), DataType::Boolean, ["BIGINT", "BOOLEAN"]),
        (whole(), DataType::Int8, ["BIGINT", "TINYINT"]),
    ] {
        let error = read(column, declared).await.unwrap_err();
        let said = format!("{error} {:?} {:?}", error.site(), error.why());
        assert_eq!(error.code(), Code::BadRecord, "{said}");
        for word in ["a.parquet", "column 'a'"].into_iter().chain(sql_types) {
            assert!(said.contains(word), "nothing of {word}: {said}");
        }
    }
    let seconds = DataType::Timestamp(TimeUnit::Second, None);
    let at: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1000]));
    for (column, declared, value) in [
        (whole(), DataType::Int16, "300"),
        (whole(), DataType::Float64, "300.0"),
        (at, seconds, "\"1970-01-01T00:00:01\""),
    ] {
        assert_eq!(read(column, declared).await.unwrap(), [format!("{{\"a\":{value}}}")]);
    }
}

/// Rows that come within this time.
async fn within(source: &mut dyn Source, time: Duration) -> Vec<i64> {
    match tokio::time::timeout(time, source.next()).await {
        Err(_) => Vec::new(),
        Ok(Ok(SourceEvent::Rows { records, .. })) => numbers(&rows(&records)),
        Ok(other) => panic!("{other:?}"),
    }
}

/// So many rows, however long they take, and no more behind them.
async fn what_comes(source: &mut dyn Source, count: usize) -> Vec<i64> {
    let mut all = Vec::new();
    while all.len() < count {
        let came = within(source, Duration::from_secs(20)).await;
        assert!(!came.is_empty(), "only {all:?} came");
        all.extend(came);
    }
    all.extend(within(source, Duration::from_millis(60)).await);
    all
}

const WATCH: [(&str, &str); 2] = [("source.watch", "true"), ("source.poll_interval", "10ms")];

#[tokio::test]
async fn files_that_appear_are_read_once_each() {
    let folder = folder(&[("b.json", &[2, 3]), ("a.json", &[1])]);
    let watch = spec(text(folder.path()), &WATCH, a());
    assert!(watch.live() && !watch.in_turn());
    let mut source = open(&watch, &context(1), None).await.unwrap();
    assert_eq!(what_comes(&mut *source, 3).await, [1, 2, 3], "by name");
    put(folder.path(), "c.json", &[4]);
    put(folder.path(), "0.json", &[5]);
    let mut came = what_comes(&mut *source, 2).await;
    came.sort_unstable();
    assert_eq!(came, [4, 5]);
    let known = source.positions();
    drop(source);
    put(folder.path(), "d.json", &[6]);
    let mut again = open(&watch, &context(1), Some(known)).await.unwrap();
    assert_eq!(what_comes(&mut *again, 1).await, [6], "a restored job reads only what is new");
    fs::remove_file(folder.path().join("a.json")).unwrap();
    // Long enough for a look.
    assert!(within(&mut *again, Duration::from_secs(1)).await.is_empty());
    put(folder.path(), "a.json", &[7]);
    assert_eq!(what_comes(&mut *again, 1).await, [7], "a name that went and comes back is a new file");
}

/// All lanes, dealt to so many subtasks.
async fn subtasks(
    spec: &Arc<dyn SourceSpec>,
    known: Option<Vec<Assignment>>,
    count: u32,
) -> Vec<Box<dyn Source>> {
    let dealt = match known {
        Some(known) => spec.distribute(known, count).unwrap(),
        None => spec.splits(count).unwrap(),
    };
    let mut all = Vec::new();
    for splits in dealt {
        all.push(open(spec, &context(1), Some(splits)).await.unwrap());
    }
    all
}

#[tokio::test]
async fn each_file_is_read_by_one_subtask_at_every_parallelism_and_across_moves() {
    let folder = TempDir::new().unwrap();
    let watch = spec(text(folder.path()), &WATCH, a());
    let mut came = Vec::new();
    let mut wanted = 0;
    let mut known = None;
    for count in [1, 4, 2, 20, 3] {
        for _ in 0..12 {
            put(folder.path(), &format!("{wanted}.json"), &[wanted, -wanted - 1]);
            wanted += 1;
        }
        let mut all = subtasks(&watch, known, count).await;
        // Some are left in the middle of a file.
        for source in &mut all {
            came.extend(within(&mut **source, Duration::from_millis(30)).await);
        }
        // Two lanes move while all run.
        let (first, last) = (0, all.len() - 1);
        let moving: Vec<SplitId> = all[first].positions().into_iter().take(2).map(|a| a.split).collect();
        let moved = all[first].revoke(&moving).await.unwrap();
        assert_eq!(moved.len(), moving.len());
        all[last].assign(moved).await.unwrap();
        // The second life ends too early, the others when all has come.
        let given_up = Instant::now() + Duration::from_secs(30);
        let enough = if count == 4 { wanted as usize * 2 - 9 } else { wanted as usize * 2 };
        while came.len() < enough {
            assert!(Instant::now() < given_up, "only {} of {enough} rows came", came.len());
            for source in &mut all {
                came.extend(within(&mut **source, Duration::from_millis(5)).await);
            }
        }
        known = Some(all.iter_mut().flat_map(|source| source.positions()).collect());
    }
    assert_eq!(known.map(|known| known.len()), Some(16));
    assert_eq!(came.len(), wanted as usize * 2);
    assert_eq!(came.into_iter().collect::<BTreeSet<_>>().len(), wanted as usize * 2);
}

#[tokio::test]
async fn a_bucket_is_read_like_a_folder() {
    let moto = Moto::start();
    let put = |key: &'static str, bytes: Vec<u8>| {
        let client = &moto.client;
        async move { client.put(&key.into(), bytes.into()).await.unwrap() }
    };
    let long: Vec<i64> = (0..500_000).collect();
    let lines =
        |numbers: &[i64]| numbers.iter().map(|a| format!("{{\"a\":{a}}}\n")).collect::<String>().into_bytes();
    put("in/b.json", lines(&[1, 2])).await;
    put("in/a/long.json", lines(&long)).await;
    put("in/_hidden/x.json", lines(&[7])).await;
    put("in2/x.json", lines(&[8])).await;
    let folder = TempDir::new().unwrap();
    parquet(&folder.path().join("p"), vec![("a", Arc::new(Int64Array::from_iter_values(0..10)) as _)]);
    put("p/p.parquet", fs::read(folder.path().join("p")).unwrap()).await;
    let bucket = |path: &str, format: &'static str| {
        let mut options = moto.access().to_vec();
        options.push(("format", format));
        spec(&format!("{}/{path}", moto.url()), &options, a())
    };
    let all = numbers(&read_all(&bucket("in", "json"), &context(8192)).await.unwrap());
    assert!(all.len() == 500_002 && all[..500_000] == long && all[500_000..] == [1, 2]);
    let beginning = read_all(&bucket("in*", "json"), &context(8192)).await.unwrap();
    assert_eq!(beginning.len(), 500_003);
    assert_eq!(numbers(&read_all(&bucket("in/b.json", "json"), &context(1)).await.unwrap()), [1, 2]);
    assert!(read_all(&bucket("none", "json"), &context(1)).await.unwrap().is_empty());
    let rows = bucket("p", "parquet");
    let mut source = open(&rows, &context(2), None).await.unwrap();
    for _ in 0..3 {
        assert!(matches!(source.next().await.unwrap(), SourceEvent::Rows { .. }));
    }
    let known = source.positions();
    let rest = drain(&mut *open(&rows, &context(2), Some(known)).await.unwrap()).await.unwrap();
    assert_eq!(numbers(&rest), [5, 6, 7, 8, 9], "groups of three rows give batches of two and one");
    // Another version.
    let spec = bucket("in/b.json", "json");
    let splits = spec.splits(1).unwrap().remove(0);
    put("in/b.json", lines(&[3, 4])).await;
    let mut source = open(&spec, &context(1), Some(splits)).await.unwrap();
    assert_eq!(source.next().await.unwrap_err().code(), Code::InputChanged);
}

#[tokio::test]
async fn a_bucket_that_cannot_be_reached_is_named() {
    let options = [("storage.aws_access_key_id", "x"), ("storage.aws_secret_access_key", "hush")];
    let bucket = spec("s3::http://127.0.0.1:1/bucket/in", &options, a());
    assert!(!format!("{bucket:?}").contains("hush"));
    let error = bucket.splits(1).unwrap_err();
    assert_eq!(error.code(), Code::Io);
    assert!(error.what().contains("'in'") && !error.to_string().contains("hush"), "{error}");
}

#[test]
fn options_that_are_wrong_say_how() {
    type Case<'a> = (&'a [(&'a str, &'a str)], Code, &'a str);
    let cases: [Case<'_>; 7] = [
        (&[("format", "json")], Code::InvalidOption, "option 'path' is missing"),
        (&[("path", "x")], Code::InvalidOption, "option 'format' is missing"),
        (&[("path", "gs://x"), ("format", "json")], Code::InvalidOption, "'gs' is not supported"),
        (&[("path", "x"), ("format", "csv")], Code::InvalidOption, "'csv'"),
        (
            &[("path", "x"), ("format", "json"), ("source.regex_pattern", "(")],
            Code::InvalidOption,
            "no regular",
        ),
        (&[("path", "x"), ("format", "json"), ("source.compression", "gzip")], Code::InvalidOption, "'none'"),
        (&[("path", "x"), ("format", "parquet"), ("bad_data", "drop")], Code::UnknownOption, "bad_data"),
    ];
    for (options, code, words) in cases {
        let error = declare("filesystem", options, Some(a())).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}
