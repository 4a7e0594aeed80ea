//! Laws of JSON that hold for all input: nothing panics, neighbours do not
//! matter, what is written reads back, and arrow-json reads good lines alike.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use thalweg_formats::{Decoded, Format, Frame, FrameBlock, JsonOptions, Rows};

fn schema() -> SchemaRef {
    let inner = vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, false)];
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("score", DataType::Float64, true),
        Field::new("good", DataType::Boolean, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Nanosecond, None), true),
        Field::new("sum", DataType::Decimal128(20, 3), true),
        Field::new("inner", DataType::Struct(inner.into()), true),
        Field::new("list", DataType::new_list(DataType::Int16, true), true),
    ]))
}

/// Decodes lines as one block. Lines hold no newline.
fn decode(lines: &[Vec<u8>]) -> Decoded {
    let (mut bytes, mut frames) = (Vec::new(), Vec::new());
    for (index, line) in lines.iter().enumerate() {
        let start = bytes.len() as u32;
        bytes.extend_from_slice(line);
        frames.push(Frame { start, end: bytes.len() as u32, line: index as u64 + 1 });
        bytes.push(b'\n');
    }
    let mut decoder = Format::Json(JsonOptions::default()).decoder(&schema()).unwrap();
    decoder.decode(&FrameBlock::new(&bytes, &frames, 0)).unwrap()
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z]{0,20}"]
}

prop_compose! {
    fn batches()(rows in vec((
        (any::<i64>(), option::of(texts()), option::of(-1e300..1e300f64), option::of(any::<bool>())),
        (option::of(any::<i64>()), option::of(-10i128.pow(20) + 1..10i128.pow(20))),
        (option::of((option::of(any::<i32>()), texts())), option::of(vec(option::of(any::<i16>()), 0..4))),
    ), 1..20)) -> RecordBatch {
        let mut inner = StructBuilder::from_fields(
            vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, false)], rows.len());
        let mut list = ListBuilder::new(Int16Builder::new());
        for (_, _, (object, items)) in &rows {
            inner.field_builder::<Int32Builder>(0).unwrap().append_option(object.as_ref().and_then(|o| o.0));
            inner.field_builder::<StringBuilder>(1).unwrap().append_value(object.as_ref().map_or("", |o| &o.1));
            inner.append(object.is_some());
            list.append_option(items.clone());
        }
        let decimals = rows.iter().map(|row| row.1.1).collect::<Decimal128Array>();
        RecordBatch::try_new(schema(), vec![
            Arc::new(rows.iter().map(|row| Some(row.0.0)).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.0.1.clone()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.0.2).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| row.0.3).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|row| row.1.0).collect::<TimestampNanosecondArray>()),
            Arc::new(decimals.with_precision_and_scale(20, 3).unwrap()),
            Arc::new(inner.finish()),
            Arc::new(list.finish()),
        ]).unwrap()
    }
}

fn encode(records: &RecordBatch) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    Format::Json(JsonOptions::default())
        .encoder(&records.schema())
        .unwrap()
        .encode(records, &mut out)
        .unwrap();
    out.pop();
    out.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// One small wound: a byte changed, inserted, removed, or the rest cut off or doubled.
fn wound(line: &mut Vec<u8>, kind: u8, place: usize, byte: u8) {
    if line.is_empty() {
        return;
    }
    let place = place % line.len();
    match kind % 5 {
        0 => line[place] = byte,
        1 => line.insert(place, byte),
        2 => drop(line.remove(place)),
        3 => line.truncate(place),
        _ => line.extend_from_within(place..),
    }
    line.retain(|&byte| byte != b'\n');
}

proptest! {
    #[test]
    fn what_is_written_reads_back(records in batches()) {
        let decoded = decode(&encode(&records));
        prop_assert_eq!(decoded.bad, vec![]);
        prop_assert_eq!(decoded.rows, Rows::All);
        prop_assert_eq!(decoded.records, records);
    }

    #[test]
    fn a_line_among_others_is_what_it_is_alone(
        records in batches(),
        wounds in vec((any::<usize>(), any::<u8>(), any::<usize>(), prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\",:\\019-.etn "[..])]), 0..20),
    ) {
        let mut lines = encode(&records);
        for (line, kind, place, byte) in wounds {
            let count = lines.len();
            wound(&mut lines[line % count], kind, place, byte);
        }
        let together = decode(&lines);
        let mut rows = Vec::new();
        let mut bad = Vec::new();
        for (frame, line) in lines.iter().enumerate() {
            let mut alone = decode(std::slice::from_ref(line));
            rows.extend((alone.records.num_rows() == 1).then_some(alone.records));
            bad.extend(alone.bad.pop().map(|bad| (frame, bad.reason)));
        }
        let rows = arrow::compute::concat_batches(&schema(), &rows).unwrap();
        prop_assert_eq!(&together.records, &rows);
        let together_bad: Vec<_> = together.bad.into_iter().map(|bad| (bad.frame, bad.reason)).collect();
        prop_assert_eq!(together_bad, bad);
    }

    #[test]
    fn any_bytes_at_all_end_in_rows_or_reasons(lines in vec(vec(any::<u8>(), 0..60), 1..20)) {
        let lines: Vec<_> = lines.into_iter().map(|mut line| { line.retain(|&b| b != b'\n'); line }).collect();
        let decoded = decode(&lines);
        let blank = lines.iter().filter(|line| line.trim_ascii().is_empty()).count();
        prop_assert_eq!(decoded.records.num_rows() + decoded.bad.len() + blank, lines.len());
    }

    #[test]
    fn serde_json_agrees_on_what_is_json(records in batches(), kind: u8, place: usize, byte: u8) {
        let mut line = encode(&records).remove(0);
        wound(&mut line, kind, place, byte);
        let json: Result<serde_json::Value, _> = serde_json::from_slice(&line);
        let mut decoder = Format::Json(JsonOptions::default()).decoder(&Arc::new(Schema::empty())).unwrap();
        let frames = [Frame { start: 0, end: line.len() as u32, line: 1 }];
        let decoded = decoder.decode(&FrameBlock::new(&line, &frames, 0)).unwrap();
        // serde_json also refuses numbers beyond f64, before it has seen the rest; the grammar allows them.
        prop_assume!(!json.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range")));
        let object = json.is_ok_and(|value| value.is_object());
        let blank = line.trim_ascii().is_empty();
        prop_assert!(blank || object == (decoded.records.num_rows() == 1), "{}", String::from_utf8_lossy(&line));
    }

    #[test]
    fn arrow_json_reads_good_lines_alike(records in batches()) {
        let lines = encode(&records);
        let decoded = decode(&lines);
        let mut theirs = arrow_json::ReaderBuilder::new(schema()).build_decoder().unwrap();
        for line in &lines {
            theirs.decode(line).unwrap();
        }
        prop_assert_eq!(decoded.records, theirs.flush().unwrap().unwrap());
    }
}
