//! Streams of lines that are mostly alike: what the decoder remembers of the lines before never
//! changes what a line means. A decoder that has seen nothing is the oracle, and arrow-json where lines are good.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use thalweg_formats::{Decoded, Decoder, Format, Frame, FrameBlock, JsonOptions};

const TEXTS: &[&str] = &[
    r#""""#,
    r#""a""#,
    r#""sixteen bytes ok""#,
    r#""more than sixteen, not thirty-two""#,
    r#""äöü and 香港 and 😀""#,
    r#""a \"quoted\" \\ \u00e9 \ud83d\ude00""#,
    r#"null"#,
];
const TIMESTAMPS: &[&str] = &[
    r#""2013-01-31T06:00:00Z""#,
    r#""2015-07-15T00:00:00.123Z""#,
    r#""1969-12-31T23:59:59.999999999""#,
    r#""2013-01-31 06:00:00+02:00""#,
    r#""2013-01-31T06:00\u003a00Z""#,
    "1357020000000",
    "1357020000000.5",
    "null",
];
const BINARY: &[&str] = &[r#""""#, r#""00ff""#, r#""DEADbeef""#, "null"];

/// Every kind of column, and values that it reads.
fn columns() -> Vec<(Field, &'static [&'static str])> {
    let point = DataType::Struct(
        vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)].into(),
    );
    let time = |unit| DataType::Timestamp(unit, None);
    fn column(
        name: &str,
        data_type: DataType,
        values: &'static [&'static str],
    ) -> (Field, &'static [&'static str]) {
        (Field::new(name, data_type, name != "id"), values)
    }
    let points: &[&str] = &[r#"{"x":1,"y":"é"}"#, r#"{"y":"b","x":2}"#, r#"{"x":3}"#, "{}", "null"];
    let lists: &[&str] =
        &[r#"[{"x":1,"y":"a"},{"x":2,"y":"b"},{"x":3,"y":"\n"}]"#, r#"[ { "x" : 1 } , null ]"#, "[]", "null"];
    vec![
        column("id", DataType::Int64, &["0", "-1", "123456789012345678", "-9223372036854775808", "1e3"]),
        column("bool", DataType::Boolean, &["true", "false", "null"]),
        column("i8", DataType::Int8, &["0", "-128", "127", "null"]),
        column("i16", DataType::Int16, &["0", "-32768", "\"12\"", "null"]),
        column("i32", DataType::Int32, &["0", "12345678", "-123456789", "null"]),
        column("u8", DataType::UInt8, &["0", "255", "null"]),
        column("u16", DataType::UInt16, &["1.0", "65535", "null"]),
        column("u32", DataType::UInt32, &["0", "4294967295", "null"]),
        column("u64", DataType::UInt64, &["0", "18446744073709551615", "null"]),
        column("f32", DataType::Float32, &["0", "-0.0", "1.5e-3", "\"NaN\"", "null"]),
        column("f64", DataType::Float64, &["0.1", "-0", "1e300", "123456789.125", "\"-Infinity\"", "null"]),
        column(
            "decimal_of_twenty_digits",
            DataType::Decimal128(20, 3),
            &["0", "1.2345", "-99999999999999999", "\"1.5\"", "null"],
        ),
        column("date", DataType::Date32, &["\"2013-01-31\"", "15736", "null"]),
        column(
            "time",
            DataType::Time64(TimeUnit::Nanosecond),
            &["\"06:00\"", "\"23:59:59.123456789\"", "null"],
        ),
        column("ts_s", time(TimeUnit::Second), TIMESTAMPS),
        column("ts_ms", time(TimeUnit::Millisecond), TIMESTAMPS),
        column("ts_us", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), TIMESTAMPS),
        column("ts_ns", time(TimeUnit::Nanosecond), TIMESTAMPS),
        column("text", DataType::Utf8, TEXTS),
        column("large", DataType::LargeUtf8, TEXTS),
        column("view", DataType::Utf8View, TEXTS),
        column("binary", DataType::Binary, BINARY),
        column("binary_large", DataType::LargeBinary, BINARY),
        column("binary_view", DataType::BinaryView, BINARY),
        column("point", point.clone(), points),
        column("points", DataType::new_list(point, true), lists),
    ]
}

/// Values that are wrong in some columns, or in all.
const ODD: &[&str] = &[
    "null",
    "nul",
    "nullx",
    "true",
    "truefalse",
    "0",
    "00",
    "01",
    "-",
    "-0",
    "+1",
    "1.",
    ".5",
    "1e",
    "1e5",
    "1E400",
    "1.5",
    "128",
    "-129",
    "256",
    "65536",
    "12345678",
    "123456789",
    "1234567890123456789",
    "99999999999999999999",
    "1234567890123456789012345678901234567890",
    "\"",
    "\"\"",
    "\"x\"",
    "\"\\x\"",
    "\"\\ud83d\"",
    "\"a\\nb\"",
    "\"a\tb\"",
    "\"a\u{1}b\"",
    "\"2013-02-30T00:00:00Z\"",
    "\"2013-01-31T24:00:00Z\"",
    "\"2013-01-31T06:00:00.Z\"",
    "\"0\"",
    "\"0g\"",
    "\"NaN\"",
    "{",
    "}",
    "{}",
    "[]",
    "[",
    "[1,]",
    "[1 2]",
    "{\"x\"}",
    "{\"x\":1,\"x\":2}",
    "{\"x\":\"1\",\"z\":[{\"a\":{}}]}",
    "[{\"x\":1},{\"x\":99999999999}]",
    "1,",
    ",",
    ":",
    "",
    " 7 ",
    "\t\"t\"",
    "\"k\":1",
    "\"a\",\"extra\":1",
];

/// A line as it is chosen.
#[derive(Clone, Debug)]
struct Line {
    shape: u8,
    values: Vec<usize>,
    odd: Option<(usize, usize)>,
    wounds: Vec<(u8, usize, u8)>,
}

fn lines() -> impl Strategy<Value = Line> {
    let shape = prop_oneof![12 => Just(0u8), 3 => 1..10u8];
    let byte = prop_oneof![
        any::<u8>(),
        prop::sample::select(&b"{}[]\",:\\0123456789-.eEtfn \t\r\0\x1f\x7f\x80\xc3\xff"[..]),
    ];
    // Mostly the first values, so that lines are alike to the byte now and then.
    let value = prop_oneof![Just(0usize), any::<usize>()];
    let odd = option::weighted(0.15, (any::<usize>(), any::<usize>()));
    let wounds = prop_oneof![6 => Just(0usize), 1 => Just(1), 1 => Just(3)]
        .prop_flat_map(move |count| vec((any::<u8>(), any::<usize>(), byte.clone()), count));
    let values = vec(value, columns().len());
    (shape, values, odd, wounds).prop_map(|(shape, values, odd, wounds)| Line { shape, values, odd, wounds })
}

impl Line {
    /// The bytes of the line, with its members in the order and form of its shape.
    fn bytes(&self) -> Vec<u8> {
        let mut members: Vec<(String, &str)> = columns()
            .iter()
            .zip(&self.values)
            .map(|((field, values), pick)| (format!("\"{}\"", field.name()), values[pick % values.len()]))
            .collect();
        if let Some((place, pick)) = self.odd {
            let count = members.len();
            members[place % count].1 = ODD[pick % ODD.len()];
        }
        match self.shape {
            1 => members.reverse(),
            2 => members.retain(|(key, _)| key.len() % 2 == 0 || key == "\"id\""),
            // Where it stands in the first shape's reverse.
            3 => members.insert(members.len() - 1, ("\"id\"".into(), members[0].1)),
            4 => members.push(("\"a key that no column has\"".into(), members[members.len() - 1].1)),
            5 => members.insert(3, ("\"a key that no column has\"".into(), members[18].1)),
            6 => members[18].0 = "\"t\\u0065xt\"".into(),
            7 => drop(members.remove(0)),
            8 => members.swap(4, 9),
            _ => {}
        }
        let (open, colon, comma, close) = match self.shape {
            9 => ("{ ", " : ", "\t, ", " } "),
            _ => ("{", ":", ",", "}"),
        };
        let members: Vec<_> = members.iter().map(|(key, value)| format!("{key}{colon}{value}")).collect();
        let mut line = format!("{open}{}{close}", members.join(comma)).into_bytes();
        for &(kind, place, byte) in &self.wounds {
            wound(&mut line, kind, place, byte);
        }
        line.retain(|&byte| byte != b'\n');
        line
    }
}

/// One small wound: a byte changed, inserted, removed, or the rest cut off or doubled.
fn wound(line: &mut Vec<u8>, kind: u8, place: usize, byte: u8) {
    if line.is_empty() {
        return;
    }
    let place = place % line.len();
    match kind % 8 {
        0..=2 => line[place] = byte,
        3 | 4 => line.insert(place, byte),
        5 => drop(line.remove(place)),
        6 => line.truncate(place),
        _ => line.extend_from_within(place..),
    }
}

fn decoder(schema: &SchemaRef) -> Box<dyn Decoder> {
    Format::Json(JsonOptions::default()).decoder(schema).unwrap()
}

fn decode(decoder: &mut dyn Decoder, lines: &[Vec<u8>]) -> Decoded {
    let (mut bytes, mut frames) = (Vec::new(), Vec::new());
    for (index, line) in lines.iter().enumerate() {
        let start = bytes.len() as u32;
        bytes.extend_from_slice(line);
        frames.push(Frame { start, end: bytes.len() as u32, line: index as u64 + 1 });
        bytes.push(b'\n');
    }
    decoder.decode(&FrameBlock::new(&bytes, &frames, 0)).unwrap()
}

/// Asserts that two arrays hold the same bytes, also where values are null.
fn assert_identical(ours: &ArrayData, theirs: &ArrayData) {
    assert_eq!(ours, theirs);
    let nulls = |data: &ArrayData| data.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
    assert_eq!(nulls(ours), nulls(theirs));
    // What a view points to may lie anywhere.
    if !matches!(ours.data_type(), DataType::Utf8View | DataType::BinaryView) {
        assert_eq!(ours.buffers(), theirs.buffers());
    }
    for (ours, theirs) in ours.child_data().iter().zip(theirs.child_data()) {
        assert_identical(ours, theirs);
    }
}

/// Decodes lines in blocks with one decoder, and each by itself with a new one; asserts that nothing differs.
fn assert_memory_changes_nothing(schema: &SchemaRef, lines: &[Vec<u8>], block_rows: usize) {
    let mut remembering = decoder(schema);
    for block in lines.chunks(block_rows) {
        let together = decode(&mut *remembering, block);
        let (mut rows, mut row_frames, mut bad) = (Vec::new(), Vec::new(), Vec::new());
        for (frame, line) in block.iter().enumerate() {
            let mut alone = decode(&mut *decoder(schema), std::slice::from_ref(line));
            if alone.records.num_rows() == 1 {
                rows.push(alone.records);
                row_frames.push(frame);
            }
            bad.extend(alone.bad.pop().map(|bad| (frame, bad.reason)));
        }
        let found: Vec<_> = together.bad.into_iter().map(|bad| (bad.frame, bad.reason)).collect();
        assert_eq!(found, bad);
        let found: Vec<_> = together.rows.frames(together.records.num_rows()).collect();
        assert_eq!(found, row_frames);
        let expected = concat_batches(schema, &rows).unwrap();
        let found = concat_batches(schema, &[together.records]).unwrap();
        assert_eq!(found.num_rows(), expected.num_rows());
        for (ours, theirs) in found.columns().iter().zip(expected.columns()) {
            assert_identical(&ours.to_data(), &theirs.to_data());
        }
    }
}

/// The columns that a bit of `read` says, in the order of the lines or the other way round.
fn schema(read: u32, reversed: bool) -> SchemaRef {
    let mut fields: Vec<_> = columns().into_iter().map(|(field, _)| field).collect();
    let mut bit = 0;
    fields.retain(|_| {
        bit += 1;
        read >> (bit - 1) & 1 == 1
    });
    if reversed {
        fields.reverse();
    }
    Arc::new(Schema::new(fields))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_came_before_never_changes_what_a_line_means(
        lines in vec(lines(), 1..25),
        read in prop_oneof![Just(u32::MAX), Just(0), any::<u32>()],
        reversed: bool,
        block_rows in 1..30usize,
    ) {
        let lines: Vec<_> = lines.iter().map(Line::bytes).collect();
        assert_memory_changes_nothing(&schema(read, reversed), &lines, block_rows);
    }

    #[test]
    fn every_wound_to_a_line_like_those_before_is_seen(
        line in lines(),
        wounds in vec((any::<u8>(), any::<usize>(), prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\')]), 20),
        read: u32,
    ) {
        let good = Line { shape: 0, odd: None, wounds: vec![], ..line };
        let mut lines = vec![good.bytes()];
        for wound in wounds {
            lines.push(Line { wounds: vec![wound], ..good.clone() }.bytes());
            lines.push(good.bytes());
        }
        assert_memory_changes_nothing(&schema(read, false), &lines, 7);
    }

    #[test]
    fn arrow_json_reads_alike_what_is_alike(rows in vec((0..4u8, any::<i64>(), option::of("[ -~äé]{0,40}"), -1e9..1e9f64), 1..40)) {
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Utf8, true),
            Field::new("c", DataType::Float64, true),
        ]));
        let line = |(shape, a, b, c): &(u8, i64, Option<String>, f64)| {
            let b = serde_json::to_string(b).unwrap();
            let line = match shape {
                0 => format!(r#"{{"a":{a},"skip":{b},"b":{b},"c":{c}}}"#),
                1 => format!(r#"{{"a":{a},"skip":{b},"c":{c}}}"#),
                2 => format!(r#"{{"c":{c},"b":{b}}}"#),
                _ => format!(r#"{{ "a" : {a}, "skip": [{b}, {{"b": {c}}}], "b": {b} }}"#),
            };
            line.into_bytes()
        };
        let lines: Vec<_> = rows.iter().map(line).collect();
        let ours = decode(&mut *decoder(&schema), &lines);
        prop_assert_eq!(ours.bad, vec![]);
        let mut theirs = arrow_json::ReaderBuilder::new(schema).build_decoder().unwrap();
        for line in &lines {
            theirs.decode(line).unwrap();
        }
        prop_assert_eq!(ours.records, theirs.flush().unwrap().unwrap());
    }
}

/// Each of these follows a line of its own shape, where one byte decides.
#[test]
fn a_line_that_differs_by_little() {
    let fields = [("a", DataType::Int64), ("b", DataType::Utf8)];
    let schema =
        Arc::new(Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec()));
    let good: &[u8] = br#"{"a":1,"other":"an unread text","b":"read","last":12}"#;
    let others: [&[u8]; 24] = [
        b"}",
        b" }",
        br#","b":"read","last":12}"#,
        br#"{"a":1}"#,
        br#"{"a":1,"other":"an unread text","b":"read","last":12}   "#,
        br#"{"a":1,"other":"an unread text","b":"read","last":12}}"#,
        br#"{"a":1,"other":"an unread text","b":"read","last":12"#,
        br#"{"a":1,"other":"an unread text","b":"read","last":012}"#,
        br#"{"a":1,"other":"an unread text","b":"read","last":"12}"#,
        br#"{"a":1,"other":"an unread text","b":"read","a":12}"#,
        br#"{"a":1,"other":"an unread text","a":2,"a":"3","b":"x"}"#,
        br#"{"a":1,"other":"an unread\ text","b":"read","last":12}"#,
        br#"{"a":1,"other":"an unread\" text","b":"read","last":12}"#,
        br#"{"a":1,"other":"an unread	text","b":"read","last":12}"#,
        b"{\"a\":1,\"other\":\"an unread\xff text\",\"b\":\"read\",\"last\":12}",
        b"{\"a\":1,\"other\":\"an unread text\",\"b\":\"\xc3\xa9\",\"last\":12}",
        b"{\"a\":1,\"other\":\"an unread text\",\"b\":\"\xc3\",\"last\":12}",
        b"{\"a\":1,\"other\":\"an unread text\",\"b\":\"re\x00ad\",\"last\":12}",
        br#"{"a":1,"other":{"b":"x","a":[1,{}]},"b":"read","last":12}"#,
        br#"{"a":1,"other":{"b":"x","a":[1,{}},"b":"read","last":12}"#,
        br#"{"a":1,"other":"an unread text","B":"read","last":12}"#,
        br#"{"a":1,"other":"an unread text","b":"read","last":12 }"#,
        br#"{"a": 1,"other": "an unread text","b": null,"last":-1.5e3}"#,
        br#"{"a":1, "other":"an unread text","b":"read","last":12}"#,
    ];
    for other in others {
        let lines: Vec<_> = [good, good, other, good, other, other, good].map(<[u8]>::to_vec).to_vec();
        assert_memory_changes_nothing(&schema, &lines, 100);
    }
}

/// Changing from one layout to another must not bring a field that has a value already.
#[test]
fn layouts_that_meet_behind_different_keys() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    let members = [r#""a":1"#, r#""x":2"#];
    let mut shapes: Vec<String> = members.map(String::from).to_vec();
    for length in [0, 2] {
        let longer =
            shapes[length..].iter().flat_map(|shape| members.map(|member| format!("{shape},{member}")));
        shapes.extend(longer.collect::<Vec<_>>());
    }
    let lines: Vec<_> = shapes.iter().map(|members| format!("{{{members}}}").into_bytes()).collect();
    assert_eq!(lines.len(), 14);
    for first in &lines {
        for second in &lines {
            for third in &lines {
                assert_memory_changes_nothing(&schema, &[first, second, third, first].map(Vec::clone), 4);
            }
        }
    }
}
