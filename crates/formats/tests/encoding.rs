//! Rows to bytes, in every format.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Int32Type, TimeUnit};
use thalweg_formats::{DecimalEncoding, Format, Frame, FrameBlock, JsonOptions, TimestampFormat};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

fn encode(format: &Format, records: &RecordBatch) -> String {
    let mut out = Vec::new();
    format.encoder(&records.schema()).unwrap().encode(records, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn json(records: &RecordBatch) -> String {
    encode(&Format::Json(JsonOptions::default()), records)
}

#[test]
fn every_column_in_order_and_nulls_in_words() {
    let records = batch(vec![
        ("z", Arc::new(Int64Array::from(vec![Some(1), None, Some(i64::MIN)]))),
        ("a \"q\"", Arc::new(StringArray::from(vec![Some("x\n\"y\" é \u{1}"), Some(""), None]))),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
    ]);
    let expected = "{\"z\":1,\"a \\\"q\\\"\":\"x\\n\\\"y\\\" é \\u0001\",\"b\":true}\n\
        {\"z\":null,\"a \\\"q\\\"\":\"\",\"b\":null}\n\
        {\"z\":-9223372036854775808,\"a \\\"q\\\"\":null,\"b\":false}\n";
    assert_eq!(json(&records), expected);
}

#[test]
fn floats_read_back_and_what_is_no_number_is_null() {
    let values = vec![1.0, 39.02, -0.0, 1e300, 5e-324, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let records = batch(vec![("f", Arc::new(Float64Array::from(values)))]);
    let expected = ["1.0", "39.02", "-0.0", "1e+300", "5e-324", "null", "null", "null"];
    let expected: String = expected.iter().map(|value| format!("{{\"f\":{value}}}\n")).collect();
    assert_eq!(json(&records), expected);
    let records = batch(vec![("f", Arc::new(Float32Array::from(vec![0.1, f32::NAN])))]);
    assert_eq!(json(&records), "{\"f\":0.1}\n{\"f\":null}\n");
}

#[test]
fn timestamps_have_no_zone_mark_and_a_fraction_only_where_there_is_one() {
    let nanos = vec![1_695_046_990_000_000_000, 1_695_046_990_120_000_000, 1_695_046_990_000_000_001, -1];
    let plain: ArrayRef = Arc::new(TimestampNanosecondArray::from(nanos));
    let zoned: ArrayRef = Arc::new(TimestampSecondArray::from(vec![0; 4]).with_timezone("+02:00"));
    let records = batch(vec![("t", plain), ("u", zoned)]);
    let expected = "{\"t\":\"2023-09-18T14:23:10\",\"u\":\"1970-01-01T00:00:00Z\"}\n\
        {\"t\":\"2023-09-18T14:23:10.120\",\"u\":\"1970-01-01T00:00:00Z\"}\n\
        {\"t\":\"2023-09-18T14:23:10.000000001\",\"u\":\"1970-01-01T00:00:00Z\"}\n\
        {\"t\":\"1969-12-31T23:59:59.999999999\",\"u\":\"1970-01-01T00:00:00Z\"}\n";
    assert_eq!(json(&records), expected);
    let options = JsonOptions { timestamp_format: TimestampFormat::UnixMillis, ..JsonOptions::default() };
    let millis = encode(&Format::Json(options), &records);
    assert_eq!(millis.lines().last(), Some("{\"t\":-1,\"u\":0}"));
}

#[test]
fn decimals_as_numbers_or_text() {
    let decimals =
        Decimal128Array::from(vec![Some(150), Some(-5), None]).with_precision_and_scale(10, 2).unwrap();
    let records = batch(vec![("d", Arc::new(decimals))]);
    assert_eq!(json(&records), "{\"d\":1.50}\n{\"d\":-0.05}\n{\"d\":null}\n");
    let options = JsonOptions { decimal_encoding: DecimalEncoding::String, ..JsonOptions::default() };
    assert_eq!(
        encode(&Format::Json(options), &records),
        "{\"d\":\"1.50\"}\n{\"d\":\"-0.05\"}\n{\"d\":null}\n"
    );
}

#[test]
fn nested_and_rare_types() {
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let fields = vec![Arc::new(Field::new("x", DataType::Int32, true))];
    let nulls = Some(NullBuffer::from(vec![true, false]));
    let records = batch(vec![
        ("s", Arc::new(StructArray::new(fields.into(), vec![inner], nulls))),
        (
            "l",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([
                Some(vec![Some(1), None]),
                Some(vec![]),
            ])),
        ),
        ("d", Arc::new(Date32Array::from(vec![15706, 0]))),
        ("h", Arc::new(Time64NanosecondArray::from(vec![21_600_000_000_000, 1_500_000_000]))),
        ("k", Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("one"), None]))),
        ("b", Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..], b""]))),
        ("v", Arc::new(StringViewArray::from(vec!["view", "a text that is longer than an inline view"]))),
        ("n", Arc::new(NullArray::new(2))),
    ]);
    let expected = "{\"s\":{\"x\":1},\"l\":[1,null],\"d\":\"2013-01-01\",\"h\":\"06:00:00\",\"k\":\"one\",\"b\":\"00ff\",\"v\":\"view\",\"n\":null}\n\
        {\"s\":null,\"l\":[],\"d\":\"1970-01-01\",\"h\":\"00:00:01.500\",\"k\":null,\"b\":\"\",\"v\":\"a text that is longer than an inline view\",\"n\":null}\n";
    assert_eq!(json(&records), expected);
}

#[test]
fn slices_are_written_from_their_own_start() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1)]),
        None,
        Some(vec![Some(2), Some(3)]),
    ]);
    let records =
        batch(vec![("l", Arc::new(list)), ("i", Arc::new(Int32Array::from(vec![None, Some(2), Some(3)])))]);
    assert_eq!(json(&records.slice(1, 2)), "{\"l\":null,\"i\":2}\n{\"l\":[2,3],\"i\":3}\n");
}

#[test]
fn changes_as_debezium_writes_them() {
    let format = Format::DebeziumJson(JsonOptions::default());
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let append = batch(vec![("id", ids.clone())]);
    let created = "{\"before\":null,\"after\":{\"id\":1},\"op\":\"c\"}\n";
    assert_eq!(encode(&format, &append), format!("{created}{}", created.replace('1', "2")));

    let changelog = batch(vec![("id", ids.clone()), ("_diff", Arc::new(Int8Array::from(vec![1, -1])))]);
    let deleted = "{\"before\":{\"id\":2},\"after\":null,\"op\":\"d\"}\n";
    assert_eq!(encode(&format, &changelog), format!("{created}{deleted}"));

    let fields = vec![Arc::new(Field::new("id", DataType::Int32, true))];
    let object = |valid: [bool; 2]| -> ArrayRef {
        Arc::new(StructArray::new(
            fields.clone().into(),
            vec![ids.clone()],
            Some(NullBuffer::from(valid.to_vec())),
        ))
    };
    let changes = batch(vec![
        ("before", object([true, false])),
        ("after", object([true, true])),
        ("op", Arc::new(StringArray::from(vec!["u", "c"]))),
    ]);
    let expected = "{\"before\":{\"id\":1},\"after\":{\"id\":1},\"op\":\"u\"}\n\
        {\"before\":null,\"after\":{\"id\":2},\"op\":\"c\"}\n";
    assert_eq!(encode(&format, &changes), expected);

    let broken = batch(vec![("id", ids), ("_diff", Arc::new(Int8Array::from(vec![1, 0])))]);
    let mut out = Vec::new();
    let error = format.encoder(&broken.schema()).unwrap().encode(&broken, &mut out).unwrap_err();
    assert_eq!(error.to_string(), "row 1 has the difference 0, which is neither 1 nor -1");
    assert!(out.is_empty());
}

#[test]
fn raw_strings_are_the_text_itself() {
    let records = batch(vec![("value", Arc::new(StringArray::from(vec![Some("one {"), None, Some("é")])))]);
    assert_eq!(encode(&Format::RawString, &records), "one {\n\né\n");
    assert!(Format::RawString.encoder(&batch(vec![("v", records.column(0).clone())]).schema()).is_err());

    let bytes = b"one\n\xff\nthree";
    let frames = [(0, 3, 1), (4, 5, 2), (6, 11, 3)].map(|(start, end, line)| Frame { start, end, line });
    let decoded = Format::RawString
        .decoder(&records.schema())
        .unwrap()
        .decode(&FrameBlock::new(bytes, &frames, 0))
        .unwrap();
    assert_eq!(decoded.records.column(0).as_string::<i32>(), &StringArray::from(vec!["one", "three"]));
    assert_eq!((decoded.bad[0].frame, decoded.rows.frames(2).collect::<Vec<_>>()), (1, vec![0, 2]));
}

#[test]
fn what_has_no_form_is_refused_up_front() {
    let records = batch(vec![("d", Arc::new(DurationSecondArray::from(vec![1])))]);
    assert!(json(&records).starts_with("{\"d\":\""));
    let fixed = DataType::FixedSizeBinary(2);
    let schema = Arc::new(arrow::datatypes::Schema::new(vec![Field::new("f", fixed, true)]));
    assert!(Format::Json(JsonOptions::default()).encoder(&schema).is_err());
    let other = batch(vec![("t", Arc::new(TimestampSecondArray::from(vec![0])))]);
    let mut encoder = Format::Json(JsonOptions::default()).encoder(&records.schema()).unwrap();
    assert!(encoder.encode(&other, &mut Vec::new()).is_err());
    assert_eq!(other.schema().field(0).data_type(), &DataType::Timestamp(TimeUnit::Second, None));
}
