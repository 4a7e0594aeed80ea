//! Every type survives, order within a group survives, skipping skips, and no bytes panic.

use std::sync::Arc;

use arrow::array::types::{Int32Type, Int64Type};
use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BooleanArray, FixedSizeListArray, Int32Array, Int64Array,
    LargeListArray, ListArray, ListViewArray, MapArray, NullArray, RecordBatch, RunArray, StringArray,
    StructArray, UInt16Array, UnionArray, make_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, Schema, TimeUnit, UnionFields, UnionMode};
use bytes::Bytes;
use proptest::prelude::*;

use super::{Encoded, GROUP_RANGES_MAX, Wanted, check, read};
use crate::manifest::ObjectEntry;
use crate::store::StoreError;
use crate::{Change, Epoch, Expiry, FrozenTable, KEY_GROUP_COLUMN, KeyGroup, KeyGroups};

const ROWS: usize = 300;

fn frozen(batches: Vec<RecordBatch>) -> FrozenTable {
    FrozenTable { name: "t".into(), change: Change::Merge, batches, expiry: None }
}

fn batch(groups: Vec<u16>, columns: Vec<(Field, ArrayRef)>) -> RecordBatch {
    let group = Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false);
    let (mut fields, mut arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    fields.insert(0, group);
    arrays.insert(0, Arc::new(UInt16Array::from(groups)));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn integers(groups: Vec<u16>, values: Vec<i64>) -> RecordBatch {
    batch(groups, vec![(Field::new("v", DataType::Int64, false), Arc::new(Int64Array::from(values)))])
}

fn encode(table: &FrozenTable) -> Result<Vec<Encoded>, StoreError> {
    super::encode(table)?.collect()
}

fn all() -> KeyGroups {
    KeyGroups::range(0, u16::MAX)
}

fn read_all(objects: &[Encoded], groups: &KeyGroups) -> Vec<RecordBatch> {
    let wanted = Wanted { groups, expired: None };
    objects.iter().flat_map(|o| read("o", o.bytes.clone(), &wanted).unwrap()).collect()
}

fn values(batches: &[RecordBatch]) -> Vec<(u16, i64)> {
    let rows = |b: &RecordBatch| {
        let groups = super::sort::groups_of(b).unwrap().to_vec();
        let values = b.column(1).as_primitive::<Int64Type>().values().to_vec();
        groups.into_iter().zip(values).collect::<Vec<_>>()
    };
    batches.iter().flat_map(rows).collect()
}

/// An array of any type with values of many shapes and, unless it cannot, nulls.
fn sample(data_type: &DataType, rows: usize) -> ArrayRef {
    use DataType as T;
    let nulls = || Some(NullBuffer::from_iter((0..rows).map(|row| row % 5 != 3)));
    let lengths = |rows: usize| OffsetBuffer::<i32>::from_lengths((0..rows).map(|row| row % 4));
    let text = || StringArray::from_iter((0..rows).map(|r| (r % 5 != 3).then(|| "äb\0c".repeat(r % 9))));
    match data_type {
        T::Null => Arc::new(NullArray::new(rows)),
        T::Boolean => {
            Arc::new(BooleanArray::from_iter((0..rows).map(|r| (r % 5 != 3).then_some(r % 3 == 0))))
        }
        T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Binary | T::LargeBinary | T::BinaryView => {
            cast(&text(), data_type).unwrap()
        }
        T::Dictionary(_, inner) => {
            let few = sample(inner, 7);
            let rows = arrow::array::UInt32Array::from_iter_values((0..rows as u32).map(|r| r % 7));
            cast(&arrow::compute::take(&few, &rows, None).unwrap(), data_type).unwrap()
        }
        T::Struct(fields) if fields.is_empty() => Arc::new(StructArray::new_empty_fields(rows, nulls())),
        T::Struct(fields) => {
            let columns = fields.iter().map(|f| sample(f.data_type(), rows)).collect();
            Arc::new(StructArray::new(fields.clone(), columns, nulls()))
        }
        T::List(field) => {
            let offsets = lengths(rows);
            let values = sample(field.data_type(), *offsets.last().unwrap() as usize);
            Arc::new(ListArray::new(field.clone(), offsets, values, nulls()))
        }
        T::LargeList(field) => {
            let offsets = OffsetBuffer::<i64>::from_lengths((0..rows).map(|row| row % 4));
            let values = sample(field.data_type(), *offsets.last().unwrap() as usize);
            Arc::new(LargeListArray::new(field.clone(), offsets, values, nulls()))
        }
        T::FixedSizeList(field, size) => {
            let values = sample(field.data_type(), rows * *size as usize);
            Arc::new(
                FixedSizeListArray::try_new_with_length(field.clone(), *size, values, nulls(), rows).unwrap(),
            )
        }
        T::ListView(field) => {
            let offsets = ScalarBuffer::from_iter((0..rows as i32).map(|r| (r * 7) % 50));
            let sizes = ScalarBuffer::from_iter((0..rows as i32).map(|r| r % 4));
            Arc::new(ListViewArray::new(
                field.clone(),
                offsets,
                sizes,
                sample(field.data_type(), 60),
                nulls(),
            ))
        }
        T::Map(field, sorted) => {
            let T::Struct(fields) = field.data_type() else { panic!("a map has entries") };
            let offsets = lengths(rows);
            let count = *offsets.last().unwrap() as usize;
            let keys: ArrayRef = Arc::new(StringArray::from_iter_values((0..count).map(|i| format!("k{i}"))));
            let entries = vec![keys, sample(fields[1].data_type(), count)];
            let entries = StructArray::new(fields.clone(), entries, None);
            Arc::new(MapArray::new(field.clone(), offsets, entries, nulls(), *sorted))
        }
        T::RunEndEncoded(..) => {
            let ends = Int32Array::from(vec![rows as i32 / 3, rows as i32 / 2, rows as i32]);
            let array =
                RunArray::<Int32Type>::try_new(&ends, &StringArray::from(vec![Some("a"), None, Some("b")]));
            Arc::new(array.unwrap())
        }
        T::Union(fields, _) => {
            let ids = (0..rows).map(|r| (r % 2) as i8).collect::<ScalarBuffer<i8>>();
            let children = fields.iter().map(|(_, f)| sample(f.data_type(), rows)).collect();
            Arc::new(UnionArray::try_new(fields.clone(), ids, None, children).unwrap())
        }
        fixed => {
            let width = match fixed {
                T::FixedSizeBinary(width) => *width as usize,
                other => other.primitive_width().unwrap(),
            };
            let decimal =
                matches!(fixed, T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..));
            let bytes: Vec<u8> = (0..rows).flat_map(|row| pattern(row, width, decimal)).collect();
            let data = ArrayData::builder(fixed.clone())
                .len(rows)
                .add_buffer(Buffer::from_vec(bytes))
                .nulls(nulls());
            make_array(data.align_buffers(true).build().unwrap())
        }
    }
}

/// Small and negative numbers, and, where any bits are a value, the ends of the range and noise.
fn pattern(row: usize, width: usize, small: bool) -> Vec<u8> {
    let mut bytes = vec![if row.is_multiple_of(2) { 0 } else { 0xff }; width];
    if let Some(low) = bytes.first_mut() {
        *low ^= (row % 90) as u8;
    }
    match row % 7 {
        5 if !small => bytes.fill(0xff),
        6 if !small => {
            bytes.fill(0);
            bytes.last_mut().into_iter().for_each(|b| *b = 0x80);
        }
        4 if !small => bytes.iter_mut().enumerate().for_each(|(i, b)| *b = (row * 31 + i * 17) as u8),
        _ => {}
    }
    bytes
}

fn flat_types() -> Vec<DataType> {
    use DataType as T;
    let mut types = vec![
        T::Null,
        T::Boolean,
        T::Int8,
        T::Int16,
        T::Int32,
        T::Int64,
        T::UInt8,
        T::UInt16,
        T::UInt32,
        T::UInt64,
        T::Float16,
        T::Float32,
        T::Float64,
        T::Date32,
        T::Date64,
        T::Utf8,
        T::LargeUtf8,
        T::Utf8View,
        T::Binary,
        T::LargeBinary,
        T::BinaryView,
        T::FixedSizeBinary(0),
        T::FixedSizeBinary(5),
        T::Time32(TimeUnit::Second),
        T::Time32(TimeUnit::Millisecond),
        T::Time64(TimeUnit::Microsecond),
        T::Time64(TimeUnit::Nanosecond),
        T::Interval(IntervalUnit::YearMonth),
        T::Interval(IntervalUnit::DayTime),
        T::Interval(IntervalUnit::MonthDayNano),
        T::Decimal32(7, 2),
        T::Decimal64(16, 2),
        T::Decimal128(5, 2),
        T::Decimal128(16, 3),
        T::Decimal128(38, 10),
        T::Decimal256(70, 10),
        T::Decimal32(7, -2),
        T::Decimal64(16, -2),
        T::Decimal128(20, -3),
        T::Decimal256(60, -3),
        T::Decimal256(5, 1),
        T::Decimal128(9, 9),
    ];
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        types.push(T::Duration(unit));
        types.push(T::Timestamp(unit, None));
        types.push(T::Timestamp(unit, Some("UTC".into())));
        types.push(T::Timestamp(unit, Some("Europe/Berlin".into())));
    }
    types
}

fn nested_types() -> Vec<DataType> {
    use DataType as T;
    let item = |t: DataType| Arc::new(Field::new("item", t, true));
    let dictionary = |key: DataType, value: DataType| T::Dictionary(Box::new(key), Box::new(value));
    let month = || T::Interval(IntervalUnit::MonthDayNano);
    let entries = |value: DataType| {
        let fields =
            Fields::from(vec![Field::new("keys", T::Utf8, false), Field::new("values", value, true)]);
        Arc::new(Field::new("entries", T::Struct(fields), false))
    };
    let pair = |a: DataType, b: DataType| {
        T::Struct(Fields::from(vec![Field::new("a", a, true), Field::new("b", b, true)]))
    };
    let choice = UnionFields::try_new(
        vec![0, 1],
        vec![Field::new("i", T::Int32, true), Field::new("s", T::Utf8, true)],
    );
    let mut types = vec![
        T::Struct(Fields::empty()),
        pair(T::Int64, T::Utf8View),
        pair(month(), T::Null),
        pair(T::Struct(Fields::empty()), pair(T::Float32, T::List(item(T::Decimal128(20, -2))))),
        T::Map(entries(T::Int64), false),
        T::Map(entries(month()), true),
        T::FixedSizeList(item(T::Int16), 0),
        T::ListView(item(T::Int64)),
        T::RunEndEncoded(
            Arc::new(Field::new("run_ends", T::Int32, false)),
            Arc::new(Field::new("values", T::Utf8, true)),
        ),
        T::Union(choice.unwrap(), UnionMode::Sparse),
        dictionary(T::Int8, T::Utf8),
        dictionary(T::UInt16, T::LargeUtf8),
        dictionary(T::Int32, T::Utf8View),
        dictionary(T::Int64, T::Binary),
        dictionary(T::Int32, T::Int64),
        dictionary(T::UInt8, T::Float64),
        dictionary(T::Int32, T::Timestamp(TimeUnit::Second, Some("UTC".into()))),
        dictionary(T::Int32, T::Decimal128(20, 2)),
        dictionary(T::Int32, T::FixedSizeBinary(3)),
        T::List(item(dictionary(T::Int32, T::Utf8))),
        pair(dictionary(T::Int8, T::Utf8), T::Int8),
    ];
    for inner in [
        T::Int64,
        T::Utf8,
        T::Utf8View,
        T::Null,
        month(),
        T::Boolean,
        pair(T::Int8, T::Utf8),
        T::List(item(T::Float64)),
    ] {
        types.extend([
            T::List(item(inner.clone())),
            T::LargeList(item(inner.clone())),
            T::FixedSizeList(item(inner), 3),
        ]);
    }
    types
}

fn assert_survives(rows: &RecordBatch, what: &str) {
    let objects = encode(&frozen(vec![rows.clone()])).unwrap_or_else(|e| panic!("{what}: {e}"));
    let back = objects.iter().flat_map(|o| {
        read("o", o.bytes.clone(), &Wanted { groups: &all(), expired: None })
            .unwrap_or_else(|e| panic!("{what}: {e}"))
    });
    let back: Vec<RecordBatch> = back.collect();
    assert_eq!(back[0].schema(), rows.schema(), "{what}");
    let back = concat_batches(&rows.schema(), &back).unwrap();
    assert_eq!(back, *rows, "{what}");
}

#[test]
fn every_type_survives_exactly() {
    for data_type in flat_types().into_iter().chain(nested_types()) {
        let column = sample(&data_type, ROWS);
        let groups: Vec<u16> = (0..ROWS as u16).collect();
        let rows = batch(groups, vec![(Field::new("v", data_type.clone(), true), column)]);
        assert_survives(&rows, &data_type.to_string());
        assert_survives(&rows.slice(11, 100), &format!("a slice of {data_type}"));
        assert_survives(&rows.slice(3, 1), &format!("one row of {data_type}"));
    }
}

#[test]
fn values_without_nulls_survive_as_not_nullable() {
    // Arrow itself cannot filter bytes of width 0.
    let without = [DataType::Null, DataType::FixedSizeBinary(0)];
    for data_type in flat_types().into_iter().filter(|t| !without.contains(t)) {
        let column = sample(&data_type, ROWS);
        let column = arrow::compute::filter(&column, &arrow::compute::is_not_null(&column).unwrap()).unwrap();
        let rows = batch(
            (0..column.len() as u16).collect(),
            vec![(Field::new("v", data_type.clone(), false), column)],
        );
        assert_survives(&rows, &data_type.to_string());
    }
}

#[test]
fn metadata_of_schema_and_fields_survives() {
    let rows = integers(vec![1, 2], vec![1, 2]);
    let fields: Vec<Field> = rows.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    let marked = fields.into_iter().map(|f| f.with_metadata([("a".to_owned(), "b".to_owned())].into()));
    let schema =
        Schema::new_with_metadata(marked.collect::<Vec<_>>(), [("c".to_owned(), "d".to_owned())].into());
    assert_survives(&RecordBatch::try_new(Arc::new(schema), rows.columns().to_vec()).unwrap(), "metadata");
}

#[test]
fn more_dictionary_values_than_keys_come_back_in_several_batches() {
    let tag = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let part = |offset: usize| {
        let texts = StringArray::from_iter_values((0..100).map(|i| format!("{}", i + offset)));
        batch((0..100).collect(), vec![(Field::new("d", tag.clone(), true), cast(&texts, &tag).unwrap())])
    };
    let objects = encode(&frozen(vec![part(0), part(100), part(200)])).unwrap();
    let back = read_all(&objects, &all());
    assert!(back.len() > 1, "300 values do not fit into one batch of 8-bit keys");
    let texts: Vec<String> = back
        .iter()
        .flat_map(|b| {
            cast(b.column(1), &DataType::Utf8)
                .unwrap()
                .as_string::<i32>()
                .iter()
                .map(|t| t.unwrap().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    let expected: Vec<String> = (0..100).flat_map(|i| [i, i + 100, i + 200]).map(|i| i.to_string()).collect();
    assert_eq!(texts, expected);
    assert!(back.iter().all(|b| *b.schema().field(1).data_type() == tag));
}

#[test]
fn rows_are_sorted_by_key_group_and_keep_their_order_within_one() {
    let batches = vec![integers(vec![5, 1, 5], vec![1, 2, 3]), integers(vec![1, 9, 5], vec![4, 5, 6])];
    let objects = encode(&frozen(batches)).unwrap();
    assert_eq!(objects.len(), 1);
    assert_eq!(values(&read_all(&objects, &all())), [(1, 2), (1, 4), (5, 1), (5, 3), (5, 6), (9, 5)]);
    assert_eq!(objects[0].groups, [1, 5, 9].map(KeyGroup).into_iter().collect());
    assert_eq!(objects[0].rows, 6);
}

#[test]
fn many_rows_are_sorted_however_they_lie() {
    let rows = 150_000_u32;
    let of = |rows: std::ops::Range<u32>, group: fn(u32) -> u16| {
        integers(rows.clone().map(group).collect(), rows.map(i64::from).collect())
    };
    let mixed = |row| (row % 7) as u16;
    let sorted = |row| (row / 1000) as u16;
    for (what, batches) in [
        ("in order", vec![of(0..rows, sorted)]),
        ("in one batch", vec![of(0..rows, mixed)]),
        ("in several batches", vec![of(0..70_000, mixed), of(70_000..rows, mixed)]),
    ] {
        let mut expected = values(&batches);
        expected.sort_by_key(|&(group, _)| group);
        assert!(values(&read_all(&encode(&frozen(batches)).unwrap(), &all())) == expected, "{what}");
    }
}

#[test]
fn scattered_groups_are_covered_by_one_range() {
    let covering = |groups: &[u16]| {
        let table = frozen(vec![integers(groups.to_vec(), vec![0; groups.len()])]);
        encode(&table).unwrap().remove(0).groups
    };
    let scattered: Vec<u16> = (0..=GROUP_RANGES_MAX as u16).map(|range| 3 * range + 1).collect();
    let (last, few) = scattered.split_last().unwrap();
    assert_eq!(covering(few), few.iter().copied().map(KeyGroup).collect());
    assert_eq!(covering(&scattered), KeyGroups::range(1, last + 1));
}

#[test]
fn batches_of_different_schemas_become_different_objects() {
    let nullable =
        batch(vec![1], vec![(Field::new("v", DataType::Int64, true), Arc::new(Int64Array::from(vec![7])))]);
    let objects = encode(&frozen(vec![integers(vec![1], vec![6]), nullable])).unwrap();
    assert_eq!(objects.len(), 2);
    assert_eq!(values(&read_all(&objects, &all())), [(1, 6), (1, 7)]);
}

#[test]
fn a_table_without_rows_is_no_object() {
    assert!(encode(&frozen(vec![])).unwrap().is_empty());
    assert!(encode(&frozen(vec![integers(vec![], vec![])])).unwrap().is_empty());
}

#[test]
fn a_table_without_key_groups_is_refused() {
    let columns: [(&str, ArrayRef); 3] = [
        (KEY_GROUP_COLUMN, Arc::new(Int64Array::from(vec![1]))),
        (KEY_GROUP_COLUMN, Arc::new(UInt16Array::from(vec![Some(1), None]))),
        ("v", Arc::new(UInt16Array::from(vec![1]))),
    ];
    for column in columns {
        let rows = RecordBatch::try_from_iter([column]).unwrap();
        let error = encode(&frozen(vec![rows])).unwrap_err();
        assert!(matches!(error, StoreError::Unstorable { .. }), "{error}");
    }
}

#[test]
fn only_the_wanted_groups_come_back() {
    let groups: Vec<u16> = (0..1000).collect();
    let objects = encode(&frozen(vec![integers(groups, (0..1000).collect())])).unwrap();
    let scattered: KeyGroups = (0..1000).filter(|g| g % 3 == 0).map(KeyGroup).collect();
    for wanted in
        [KeyGroups::range(0, 1), KeyGroups::range(400, 600), KeyGroups::range(2000, 3000), scattered]
    {
        let expected: Vec<(u16, i64)> =
            wanted.iter().filter(|g| g.0 < 1000).map(|g| (g.0, i64::from(g.0))).collect();
        assert_eq!(values(&read_all(&objects, &wanted)), expected);
    }
}

#[test]
fn row_groups_without_wanted_groups_are_not_read() {
    let rows = 400_000_usize;
    let groups: Vec<u16> = (0..rows).map(|row| (row / 1000) as u16).collect();
    let table = frozen(vec![integers(groups, (0..rows as i64).collect())]);
    let [object] = &encode(&table).unwrap()[..] else { panic!("one object") };
    // Every byte before the last row group is spoilt: who skips does not see it.
    let metadata =
        parquet::arrow::arrow_reader::ArrowReaderMetadata::load(&object.bytes, Default::default()).unwrap();
    let last = metadata.metadata().row_groups().last().unwrap();
    assert!(metadata.metadata().num_row_groups() > 2);
    let mut bytes = object.bytes.to_vec();
    bytes[4..last.column(0).byte_range().0 as usize].fill(0xa5);
    let bytes = Bytes::from(bytes);
    let read = |groups: &KeyGroups| read("o", bytes.clone(), &Wanted { groups, expired: None });
    assert_eq!(values(&read(&KeyGroups::range(398, 400)).unwrap()).len(), 2000);
    assert!(read(&all()).is_err());
}

#[test]
fn large_tables_become_several_objects_whose_groups_hardly_overlap() {
    let rows = 3_000_000_usize;
    let noise = |row: usize| xxhash_rust::xxh3::xxh3_64(&row.to_le_bytes()) as i64;
    let groups: Vec<u16> = (0..rows).map(|row| (row % 1024) as u16).collect();
    let values: Vec<i64> = (0..rows).map(noise).collect();
    let columns = ["a", "b"].map(|n| {
        (Field::new(n, DataType::Int64, false), Arc::new(Int64Array::from(values.clone())) as ArrayRef)
    });
    let objects = encode(&frozen(vec![batch(groups, columns.into())])).unwrap();
    assert_eq!(objects.len(), 2, "48 MB in objects of 32 MB");
    assert_eq!(objects.iter().map(|o| o.rows).sum::<u64>(), rows as u64);
    let shared = objects[0].groups.iter().filter(|g| objects[1].groups.contains(*g)).count();
    assert!(shared <= 1, "{shared} groups are in both");
}

#[test]
fn the_latest_value_is_known_unless_a_row_never_expires() {
    let latest = |values: Vec<Option<i64>>| {
        let column: ArrayRef = Arc::new(Int64Array::from(values.clone()));
        let rows = batch(vec![0; values.len()], vec![(Field::new("t", DataType::Int64, true), column)]);
        encode(&frozen(vec![rows]).expiring(Expiry { column: 1, through: 0 })).unwrap()[0].latest
    };
    assert_eq!(latest(vec![Some(3), Some(8), Some(-1)]), Some(8));
    assert_eq!(latest(vec![Some(3), None]), None);
}

#[test]
fn rows_that_are_over_are_left_out() {
    let objects = encode(&frozen(vec![integers(vec![1, 1, 2, 2], vec![5, 6, 7, 8])])).unwrap();
    let wanted = Wanted { groups: &all(), expired: Some((1, 6)) };
    assert_eq!(values(&read("o", objects[0].bytes.clone(), &wanted).unwrap()), [(2, 7), (2, 8)]);
}

fn entry(object: &Encoded) -> ObjectEntry {
    ObjectEntry {
        name: "state/o/t/1-1-0-0.0.parquet".to_owned(),
        epoch: Epoch(1),
        rows: object.rows,
        bytes: object.bytes.len() as u64,
        checksum: object.checksum,
        groups: object.groups.clone(),
        latest: object.latest,
    }
}

fn assert_refused(object: &Encoded, bytes: Option<Vec<u8>>, reason: &str) {
    let error = check(&entry(object), bytes.map(Bytes::from)).unwrap_err().to_string();
    assert!(error.contains("state/o/t/1-1-0-0.0.parquet") && error.contains(reason), "{error}");
}

#[test]
fn damaged_bytes_are_named_before_they_are_parsed() {
    let objects = encode(&frozen(vec![integers(vec![1, 2, 3], vec![1, 2, 3])])).unwrap();
    let whole = objects[0].bytes.to_vec();
    assert_refused(&objects[0], None, "it is not there");
    assert_refused(&objects[0], Some(Vec::new()), "it is empty");
    assert_refused(&objects[0], Some(whole[..whole.len() - 1].to_vec()), "bytes, not");
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        assert_refused(&objects[0], Some(flipped), "checksum");
    }
    assert!(check(&entry(&objects[0]), Some(objects[0].bytes.clone())).is_ok());
}

/// An object with every kind of stored column, small.
fn rich_object() -> Bytes {
    let types = [
        DataType::Int64,
        DataType::Utf8View,
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Boolean,
    ]
    .into_iter()
    .chain(nested_types());
    let columns =
        types.enumerate().map(|(i, t)| (Field::new(format!("c{i}"), t.clone(), true), sample(&t, 20)));
    encode(&frozen(vec![batch((0..20).collect(), columns.collect())])).unwrap()[0].bytes.clone()
}

/// The checksum stands before this; the reader must bear forged bytes all the same.
fn read_forged(bytes: Vec<u8>) {
    let wanted = Wanted { groups: &KeyGroups::range(3, 9), expired: Some((1, 0)) };
    if let Err(error) = read("o", Bytes::from(bytes), &wanted) {
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn forged_objects_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4), cut in any::<Option<prop::sample::Index>>()) {
        static WHOLE: std::sync::LazyLock<Bytes> = std::sync::LazyLock::new(rich_object);
        let mut bytes = WHOLE.to_vec();
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read_forged(bytes);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_forged([bytes.clone(), b"PAR1".to_vec()].concat());
        read_forged([b"PAR1".to_vec(), bytes].concat());
    }

    #[test]
    fn any_rows_come_back_for_any_groups(
        batches in prop::collection::vec(prop::collection::vec((0_u16..40, any::<i64>()), 0..60), 0..5),
        wanted in prop::collection::vec(0_u16..40, 0..40),
    ) {
        let wanted: KeyGroups = wanted.into_iter().map(KeyGroup).collect();
        let table = frozen(batches.iter().map(|rows| { let (g, v) = rows.iter().copied().unzip(); integers(g, v) }).collect());
        let mut expected: Vec<(u16, i64)> = batches.concat();
        expected.retain(|(group, _)| wanted.contains(KeyGroup(*group)));
        expected.sort_by_key(|(group, _)| *group);
        prop_assert_eq!(values(&read_all(&encode(&table).unwrap(), &wanted)), expected);
    }
}
