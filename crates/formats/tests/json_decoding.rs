//! What becomes of good and bad lines of JSON.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use thalweg_formats::framing::{Framed, LineFramer, LinePosition};
use thalweg_formats::{BadRecord, Decoded, Format, FormatError, JsonOptions, Rows, TimestampUnit};

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

fn schema(fields: &[(&str, DataType, bool)]) -> SchemaRef {
    let field = |(name, data_type, nullable): &(&str, DataType, bool)| {
        Field::new(*name, data_type.clone(), *nullable)
    };
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}

fn decode_with(options: JsonOptions, schema: &SchemaRef, lines: &[u8]) -> Decoded {
    let mut framer = LineFramer::new(1 << 24, LinePosition::START);
    framer.push(lines);
    framer.finish();
    let mut decoder = Format::Json(options).decoder(schema).unwrap();
    let Some(Framed::Block(block)) = framer.next(usize::MAX) else { panic!("lines") };
    decoder.decode(&block).unwrap()
}

fn decode(schema: &SchemaRef, lines: &[u8]) -> Decoded {
    decode_with(JsonOptions::default(), schema, lines)
}

/// Each row as text, its cells joined by `|`, nulls as `∅`.
fn rows(records: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("∅");
    let formatters: Vec<_> =
        records.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    (0..records.num_rows())
        .map(|row| formatters.iter().map(|f| f.value(row).to_string()).collect::<Vec<_>>().join("|"))
        .collect()
}

/// What one value becomes in a column of this type: the cell, or `!` and the reason.
fn cell_with(options: JsonOptions, data_type: DataType, value: &str) -> String {
    let schema = schema(&[("c", data_type, true)]);
    let line = format!("{{\"c\":{value}}}");
    let decoded = decode_with(options, &schema, line.as_bytes());
    match decoded.bad.as_slice() {
        [] => rows(&decoded.records).remove(0),
        [bad] => format!("!{}", bad.reason),
        many => panic!("{many:?}"),
    }
}

fn cell(data_type: DataType, value: &str) -> String {
    cell_with(JsonOptions::default(), data_type, value)
}

#[test]
fn a_bad_line_never_spoils_its_neighbours() {
    let schema = schema(&[("a", DataType::Int64, false), ("b", DataType::Utf8, true)]);
    let lines = [
        r#"{"a":1,"b":"one"}"#,
        r#"{"a":2,"b":"tw"#,
        r#"{"a":3}"#,
        r#"{"a":"x","b":"three"}"#,
        "   ",
        r#"{"b":"four"}"#,
        r#"{"a":5,"b":"five"} {"a":6}"#,
        r#"{"b":"seven","a":7}"#,
        r#"{"a":8,"b":8}"#,
        r#"{"a":null}"#,
        r#"[{"a":9}]"#,
        r#"{"a":10,"b":null,"c":[{"d":[1,2,{}]}]}"#,
    ];
    let decoded = decode(&schema, lines.join("\n").as_bytes());
    assert_eq!(rows(&decoded.records), ["1|one", "3|∅", "7|seven", "10|∅"]);
    assert_eq!(decoded.rows, Rows::Some(vec![0, 2, 7, 11]));
    assert_eq!(decoded.cells, 8);
    let bad = |frame, reason: &str| BadRecord { frame, reason: reason.into() };
    assert_eq!(
        decoded.bad,
        [
            bad(1, "column 'b': a text does not end"),
            bad(3, "column 'a': expected a number, found text \\\"x\\\",\\\"b\\\":\\\"three\\\"} at byte 5"),
            bad(5, "column 'a': missing, but NOT NULL"),
            bad(6, "expected the end of the line, found an object {\\\"a\\\":6} at byte 19"),
            bad(8, "column 'b': expected text, found a number 8} at byte 11"),
            bad(9, "column 'a': null, but NOT NULL"),
            bad(10, "expected an object, found a list [{\\\"a\\\":9}] at byte 0"),
        ]
    );
}

#[test]
fn all_rows_need_no_indices_and_no_column_needs_rows() {
    let lines = b"{\"a\":1}\n{\"a\":2}\n";
    let decoded = decode(&schema(&[("a", DataType::Int32, true)]), lines);
    assert_eq!(decoded.rows, Rows::All);
    let none = decode(&schema(&[]), lines);
    assert_eq!((none.records.num_rows(), none.records.num_columns(), none.cells), (2, 0, 0));
    let bad = decode(&schema(&[]), b"{\"a\":1}\n{\"a\":}\n");
    assert_eq!((bad.records.num_rows(), bad.bad.len()), (1, 1));
}

#[test]
fn numbers_by_column_type() {
    use DataType::*;
    let cases = [
        (Int64, "9223372036854775807", "9223372036854775807"),
        (Int64, "-9223372036854775808", "-9223372036854775808"),
        (
            Int64,
            "9223372036854775808",
            "!column 'c': 9223372036854775808} at byte 5 does not fit into BIGINT",
        ),
        (Int64, "1e400", "!column 'c': 1e400} at byte 5 does not fit into BIGINT"),
        (Int64, "1.0", "1"),
        (Int64, "1e3", "1000"),
        (Int64, "1.5", "!column 'c': expected a whole number, found a number 1.5} at byte 5"),
        (Int64, "\"12\"", "12"),
        (Int64, "\"\"", "!column 'c': expected a number, found text \\\"\\\"} at byte 5"),
        (Int64, "007", "!expected ',' or '}', found a number 07"),
        (Int64, "true", "!column 'c': expected a number, found true} at byte 5"),
        (Int64, "{}", "!column 'c': expected a number, found an object {}} at byte 5"),
        (Int8, "127", "127"),
        (Int8, "128", "!column 'c': 128 does not fit into TINYINT"),
        (UInt64, "18446744073709551615", "18446744073709551615"),
        (UInt64, "-1", "!column 'c': -1 does not fit into BIGINT UNSIGNED"),
        (UInt8, "-0", "0"),
        (Float64, "1e400", "!column 'c': 1e400} at byte 5 does not fit into DOUBLE"),
        (Float64, "-0.1e-2", "-0.001"),
        (Float64, "1e-400", "0.0"),
        (Float64, "NaN", "!column 'c': expected a number, found NaN} at byte 5"),
        (Float64, "\"NaN\"", "NaN"),
        (Float64, "\"-Infinity\"", "-inf"),
        (Float64, "\"inf\"", "!column 'c': expected a number, found text"),
        (Float32, "3.5", "3.5"),
        (Float32, "1e39", "!column 'c': 1e39} at byte 5 does not fit into FLOAT"),
        (Decimal128(5, 2), "123.455", "123.46"),
        (Decimal128(5, 2), "-999.99", "-999.99"),
        (Decimal128(5, 2), "999.995", "!column 'c': 999.995} at byte 5 does not fit into DECIMAL(5, 2)"),
        (
            Decimal128(38, 0),
            "99999999999999999999999999999999999999",
            "99999999999999999999999999999999999999",
        ),
        (Boolean, "true", "true"),
        (Boolean, "1", "!column 'c': expected true or false, found a number 1} at byte 5"),
        (Boolean, "truely", "!expected ',' or '}'"),
    ];
    for (data_type, value, expected) in cases {
        let found = cell(data_type.clone(), value);
        let same = found == expected || (expected.starts_with('!') && found.starts_with(expected));
        assert!(same, "{value} as {data_type}: {found}, expected {expected}");
    }
}

#[test]
fn texts_and_binaries() {
    use DataType::*;
    let cases = [
        (Utf8, r#""""#, ""),
        (Utf8, r#""caf\u00e9 \ud83d\ude00 \"q\" \/""#, "café 😀 \"q\" /"),
        (Utf8, r#""a\u0000b""#, "a\0b"),
        (Utf8, r#""\ud83d""#, "!column 'c': an escape that JSON does not know"),
        (Utf8, r#""\ud83dx\ude00""#, "!column 'c': an escape that JSON does not know"),
        (Utf8, "\"a\0b\"", "!column 'c': a control character within a text at byte 7"),
        (Utf8, "5", "!column 'c': expected text, found a number"),
        (Utf8View, r#""view""#, "view"),
        (LargeUtf8, r#""large""#, "large"),
        (Binary, r#""00fF10""#, "00ff10"),
        (Binary, r#""0""#, "!column 'c': expected text in hexadecimal"),
        (Binary, r#""zz""#, "!column 'c': expected text in hexadecimal"),
    ];
    for (data_type, value, expected) in cases {
        let found = cell(data_type.clone(), value);
        assert!(
            found == expected || (expected.starts_with('!') && found.starts_with(expected)),
            "{value} as {data_type}: {found}"
        );
    }
}

#[test]
fn dates_and_times() {
    let cases = [
        (TIMESTAMP, "\"2013-01-01T06:00:00Z\"", "2013-01-01T06:00:00"),
        (TIMESTAMP, "\"2013-01-01T06:00:00+02:00\"", "2013-01-01T04:00:00"),
        (TIMESTAMP, "\"2013-01-01 06:00:00.25\"", "2013-01-01T06:00:00.250"),
        (TIMESTAMP, "1357020000000", "2013-01-01T06:00:00"),
        (TIMESTAMP, "1357020000000.5", "2013-01-01T06:00:00.000500"),
        (TIMESTAMP, "-1", "1969-12-31T23:59:59.999"),
        (TIMESTAMP, "\"1677-09-21T00:12:43Z\"", "!column 'c': the timestamp"),
        (TIMESTAMP, "\"2262-04-12T00:00:00Z\"", "!column 'c': the timestamp"),
        (TIMESTAMP, "\"0000-01-01T00:00:00Z\"", "!column 'c': the timestamp"),
        (TIMESTAMP, "\"9999-12-31T23:59:59Z\"", "!column 'c': the timestamp"),
        (TIMESTAMP, "9223372036855", "!column 'c': the timestamp"),
        (
            TIMESTAMP,
            "1e400",
            "!column 'c': the timestamp 1e400} at byte 5 is outside of what its column can hold",
        ),
        (TIMESTAMP, "\"yesterday\"", "!column 'c': expected a timestamp, found text"),
        (TIMESTAMP, "true", "!column 'c': expected a timestamp, found true"),
        (
            DataType::Timestamp(TimeUnit::Millisecond, None),
            "\"9999-12-31T23:59:59.9999Z\"",
            "9999-12-31T23:59:59.999",
        ),
        (DataType::Timestamp(TimeUnit::Second, None), "\"1969-12-31T23:59:59.5Z\"", "1969-12-31T23:59:59"),
        (
            DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            "\"2013-01-01T06:00:00\"",
            "2013-01-01T06:00:00Z",
        ),
        (DataType::Date32, "\"2013-01-31\"", "2013-01-31"),
        (DataType::Date32, "15706", "2013-01-01"),
        (DataType::Date32, "\"2013-01-31T00:00:00\"", "!column 'c': expected a date, found text"),
        (DataType::Date32, "99999999999", "!column 'c': 99999999999 days do not fit into DATE"),
        (DataType::Time64(TimeUnit::Nanosecond), "\"06:00:00.5\"", "06:00:00.500"),
        (
            DataType::Time64(TimeUnit::Nanosecond),
            "\"25:00:00\"",
            "!column 'c': expected a time of day, found text",
        ),
    ];
    for (data_type, value, expected) in cases {
        let found = cell(data_type.clone(), value);
        assert!(
            found == expected || (expected.starts_with('!') && found.starts_with(expected)),
            "{value} as {data_type}: {found}"
        );
    }
    for (timestamp_unit, value) in [
        (TimestampUnit::Seconds, "1357020000"),
        (TimestampUnit::Micros, "1357020000000000"),
        (TimestampUnit::Nanos, "1357020000000000000"),
    ] {
        let options = JsonOptions { timestamp_unit, ..JsonOptions::default() };
        assert_eq!(cell_with(options, TIMESTAMP, value), "2013-01-01T06:00:00", "{timestamp_unit:?}");
    }
}

#[test]
fn objects_and_lists_within_rows() {
    let inner = vec![Field::new("x", DataType::Int32, false), Field::new("y", DataType::Utf8, true)];
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
    let schema = schema(&[
        ("s", DataType::Struct(inner.into()), true),
        ("l", list, true),
        ("n", DataType::Int8, true),
    ]);
    let lines = [
        r#"{"s":{"x":1,"y":"a"},"l":[1,null,3],"n":1}"#,
        r#"{"s":null,"l":[],"n":2}"#,
        r#"{"s":{"y":"no x"},"l":[4],"n":3}"#,
        r#"{"l":[5,"six","x"],"n":4}"#,
        r#"{"l":null,"s":{"x":7,"z":{"deep":[[]]}},"n":5}"#,
        r#"{"s":[],"n":6}"#,
        r#"{"n":7,"l":[8]}"#,
    ];
    let decoded = decode(&schema, lines.join("\n").as_bytes());
    let expected = ["{x: 1, y: a}|[1, ∅, 3]|1", "∅|[]|2", "{x: 7, y: ∅}|∅|5", "∅|[8]|7"];
    assert_eq!(rows(&decoded.records), expected);
    let reasons: Vec<_> = decoded.bad.iter().map(|bad| bad.reason.as_str()).collect();
    assert_eq!(reasons[0], "column 's.x': missing, but NOT NULL");
    assert!(reasons[1].starts_with("column 'l.[]': expected a number, found text"), "{}", reasons[1]);
    assert!(reasons[2].starts_with("column 's': expected an object, found a list"), "{}", reasons[2]);
}

#[test]
fn of_duplicate_keys_the_last_wins() {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
    let schema = schema(&[("a", DataType::Utf8, true), ("l", list, true)]);
    let lines = r#"{"a":"first","l":[1,2],"a":"second","l":[3],"a":null,"a":"la\u0073t"}
{"a":"next","l":[4],"l":null}"#;
    let decoded = decode(&schema, lines.as_bytes());
    assert_eq!(rows(&decoded.records), ["last|[3]", "next|∅"]);
}

#[test]
fn keys_in_any_order_and_with_escapes() {
    let schema =
        schema(&[("a", DataType::Int32, true), ("b", DataType::Int32, true), ("q\"", DataType::Int32, true)]);
    let lines = r#"{"a":1,"b":2}
{"b":3,"a":4}
{"\u0061":5,"ab":6,"":7,"b":8}
{"q\"":9,"a":10}
{ "a" : 11 , "b" : 12 }
{"a"b":1}
{"A":13}"#;
    let decoded = decode(&schema, lines.as_bytes());
    assert_eq!(rows(&decoded.records), ["1|2|∅", "4|3|∅", "5|8|∅", "10|∅|9", "11|12|∅", "∅|∅|∅"]);
    assert_eq!(decoded.bad.len(), 1);
}

#[test]
fn invalid_utf8_is_bad_wherever_it_stands() {
    let schema = schema(&[("a", DataType::Utf8, true)]);
    let lines = b"{\"a\":\"ok\"}\n{\"a\":\"\xff\"}\n{\"ignored\":\"\xc3\"}\n{\"a\":\"\xc3\"}\n{\"a\":\"\xa9\"}\n{\"a\":\"\xc3\xa9\"}";
    let decoded = decode(&schema, lines);
    assert_eq!(rows(&decoded.records), ["ok", "é"]);
    let reasons: Vec<_> = decoded.bad.iter().map(|bad| (bad.frame, bad.reason.as_str())).collect();
    let expected = [6, 12, 6, 6].map(|at| format!("not valid UTF-8 at byte {at}"));
    assert_eq!(
        reasons,
        [1, 2, 3, 4].into_iter().zip(expected.iter().map(String::as_str)).collect::<Vec<_>>()
    );
}

#[test]
fn deep_nesting_ends_in_a_reason() {
    let schema =
        schema(&[("a", DataType::Int32, true), ("s", DataType::new_list(DataType::Int32, true), true)]);
    let deep = "[".repeat(100_000);
    let lines = format!(
        "{{\"x\":{deep}\n{{\"a\":{deep}\n{{\"s\":{deep}\n{{\"x\":{}\n{{\"a\":1}}",
        "{\"x\":".repeat(100_000)
    );
    let decoded = decode(&schema, lines.as_bytes());
    assert_eq!(rows(&decoded.records), ["1|∅"]);
    let reasons: Vec<_> = decoded.bad.iter().map(|bad| bad.reason.as_str()).collect();
    assert_eq!(reasons[0], "nested deeper than 512");
    assert!(reasons[1].starts_with("column 'a': expected a number, found a list [[[["), "{}", reasons[1]);
    assert!(reasons[1].len() < 200);
    assert_eq!(reasons[3], "nested deeper than 512");
}

#[test]
fn types_without_a_form_are_refused_up_front() {
    let nested = DataType::Struct(vec![Field::new("d", DataType::Duration(TimeUnit::Second), true)].into());
    let Err(error) = Format::Json(JsonOptions::default()).decoder(&schema(&[("s", nested, true)])) else {
        panic!("a duration has no form")
    };
    assert!(matches!(&error, FormatError::UnsupportedType { column, .. } if column == "s.d"), "{error}");
}
