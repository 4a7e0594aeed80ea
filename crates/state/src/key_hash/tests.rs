use std::sync::Arc;

use arrow::array::types::{IntervalDayTime, IntervalMonthDayNano};
use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{Field, Fields, Int32Type};

use super::*;

fn hashes_of(columns: &[ArrayRef]) -> Vec<u64> {
    let mut hashes = vec![1, 2, 3];
    hash_keys(columns, &mut hashes).unwrap();
    hashes
}

fn hash_of(array: impl Array + 'static) -> u64 {
    let column: ArrayRef = Arc::new(array);
    assert_eq!(column.len(), 1);
    hashes_of(&[column])[0]
}

fn pair() -> StructArray {
    let fields =
        Fields::from(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["x"]))];
    StructArray::new(fields, columns, None)
}

fn list() -> ListArray {
    ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None, Some(3)])])
}

/// These numbers are part of every checkpoint ever written. A change here
/// means that no job finds its state again.
#[test]
fn golden_vectors() {
    let cases: Vec<(&str, u64, u64)> = vec![
        ("null", hash_of(NullArray::new(1)), 0x2cc2_d34a_4cf0_58b5),
        ("true", hash_of(BooleanArray::from(vec![true])), 0x608a_5844_3d07_9fa1),
        ("false", hash_of(BooleanArray::from(vec![false])), 0x2f95_6142_f061_b900),
        ("0", hash_of(Int64Array::from(vec![0])), 0xc72c_e32e_beb6_b39d),
        ("1", hash_of(Int64Array::from(vec![1])), 0x5234_db8e_ba12_28bb),
        ("-1", hash_of(Int8Array::from(vec![-1])), 0x3b82_b447_2fd3_0e8e),
        ("i64::MIN", hash_of(Int64Array::from(vec![i64::MIN])), 0xe6e4_bd21_03b0_32e3),
        ("u64::MAX", hash_of(UInt64Array::from(vec![u64::MAX])), 0x6f95_9669_614f_3643),
        ("1.5", hash_of(Float64Array::from(vec![1.5])), 0xcef0_726d_2592_923e),
        ("0.0", hash_of(Float64Array::from(vec![-0.0])), 0xa501_9435_e9f3_7b27),
        ("NaN", hash_of(Float32Array::from(vec![-f32::NAN])), 0xbf69_c289_2c70_b62a),
        ("''", hash_of(StringArray::from(vec![""])), 0x1339_9050_9c9b_fcf1),
        ("'thalweg'", hash_of(StringArray::from(vec!["thalweg"])), 0x8a1d_c5af_f75b_a876),
        ("x'00ff'", hash_of(BinaryArray::from(vec![&[0u8, 255][..]])), 0xb22d_1e5e_2909_b521),
        (
            "12.34",
            hash_of(Decimal128Array::from(vec![1234]).with_precision_and_scale(10, 2).unwrap()),
            0xc701_8ea4_3b4f_98a0,
        ),
        ("1970-01-02", hash_of(Date32Array::from(vec![1])), 0x42d7_f0fd_c941_8100),
        ("00:00:01", hash_of(Time32SecondArray::from(vec![1])), 0x9065_b6d0_b00c_3350),
        ("epoch + 1 s", hash_of(TimestampSecondArray::from(vec![1])), 0x1872_fe47_c48b_e427),
        ("1 s", hash_of(DurationSecondArray::from(vec![1])), 0x1e37_127e_fccf_2b0d),
        ("1 month", hash_of(IntervalYearMonthArray::from(vec![1])), 0xa3be_04ae_6bde_5c39),
        (
            "1 day 1 ms",
            hash_of(IntervalDayTimeArray::from(vec![IntervalDayTime::new(1, 1)])),
            0xad03_fb06_bb73_270a,
        ),
        ("{1, 'x'}", hash_of(pair()), 0x6aa2_619a_1408_a3c6),
        ("[1, null, 3]", hash_of(list()), 0x8dfb_06d6_f966_f463),
        (
            "(7, null, 'k')",
            hashes_of(&[
                Arc::new(Int64Array::from(vec![7])),
                Arc::new(StringArray::from(vec![None::<&str>])),
                Arc::new(StringArray::from(vec!["k"])),
            ])[0],
            0x28cb_25d5_5c4a_6f21,
        ),
    ];
    let wrong: Vec<_> = cases.iter().filter(|(_, got, want)| got != want).collect();
    assert!(wrong.is_empty(), "{wrong:#x?}");
}

fn same(one: impl Array + 'static, other: impl Array + 'static) {
    let (one, other): (ArrayRef, ArrayRef) = (Arc::new(one), Arc::new(other));
    assert_eq!(
        hashes_of(std::slice::from_ref(&one)),
        hashes_of(std::slice::from_ref(&other)),
        "{one:?} and {other:?}"
    );
}

#[test]
fn equal_keys_hash_equal_whatever_their_layout() {
    let integers: ArrayRef = Arc::new(Int8Array::from(vec![Some(0), Some(1), None, Some(127)]));
    let expected = hashes_of(std::slice::from_ref(&integers));
    for to in [
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Int64)),
    ] {
        assert_eq!(hashes_of(&[cast(&integers, &to).unwrap()]), expected, "{to}");
    }
    let strings: ArrayRef =
        Arc::new(StringArray::from(vec![Some(""), Some("a long string, not inline"), None]));
    let expected = hashes_of(std::slice::from_ref(&strings));
    for to in [
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
    ] {
        assert_eq!(hashes_of(&[cast(&strings, &to).unwrap()]), expected, "{to}");
    }
    same(BinaryArray::from(vec![&b"ab"[..]]), BinaryViewArray::from(vec![&b"ab"[..]]));
    same(
        BinaryArray::from(vec![&b"ab"[..]]),
        FixedSizeBinaryArray::try_from_iter([b"ab"].into_iter()).unwrap(),
    );
    same(Float32Array::from(vec![1.5, -0.0, f32::NAN]), Float64Array::from(vec![1.5, 0.0, -f64::NAN]));
    same(TimestampSecondArray::from(vec![2]), TimestampNanosecondArray::from(vec![2_000_000_000]));
    same(
        TimestampMillisecondArray::from(vec![2]),
        TimestampMicrosecondArray::from(vec![2000]).with_timezone("+01:00"),
    );
    same(DurationMillisecondArray::from(vec![i64::MAX]), DurationMillisecondArray::from(vec![i64::MAX]));
    same(Date32Array::from(vec![-1]), Date64Array::from(vec![-86_400_000]));
    same(Time32MillisecondArray::from(vec![5]), Time64NanosecondArray::from(vec![5_000_000]));
    same(
        IntervalDayTimeArray::from(vec![IntervalDayTime::new(3, 4)]),
        IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(0, 3, 4_000_000)]),
    );
    let large =
        cast(&list(), &DataType::LargeList(Arc::new(Field::new_list_field(DataType::Int64, true)))).unwrap();
    assert_eq!(hash_of(list()), hashes_of(&[large])[0]);
}

#[test]
fn the_fast_path_and_a_slice_agree_with_the_general_form() {
    let values = Int64Array::from_iter_values(-500..500);
    let nullable: Int64Array = values.iter().chain([None]).collect();
    let all = hashes_of(&[Arc::new(nullable)]);
    assert_eq!(hashes_of(&[Arc::new(values.clone())]), all[..1000]);
    assert_eq!(hashes_of(&[Arc::new(values.slice(10, 5))]), all[10..15]);
}

#[test]
fn rows_that_only_concatenate_alike_differ() {
    let columns = |a: &str, b: &str| -> Vec<ArrayRef> {
        vec![Arc::new(StringArray::from(vec![a])), Arc::new(StringArray::from(vec![b]))]
    };
    assert_ne!(hashes_of(&columns("ab", "c")), hashes_of(&columns("a", "bc")));
    assert_ne!(hashes_of(&columns("", "")), hashes_of(&columns("", "")[..1]));
    let two_lists = ListArray::new(
        Arc::new(Field::new_list_field(DataType::Int32, true)),
        OffsetBuffer::from_lengths([2, 0]),
        Arc::new(Int32Array::from(vec![1, 2])),
        None,
    );
    let hashes = hashes_of(&[Arc::new(two_lists)]);
    assert_ne!(hashes[0], hashes[1]);
}

#[test]
fn keys_without_a_hash_are_refused() {
    let mut hashes = Vec::new();
    assert_eq!(hash_keys(&[], &mut hashes), Err(KeyError::NoColumns));
    let uneven: Vec<ArrayRef> = vec![Arc::new(NullArray::new(1)), Arc::new(NullArray::new(2))];
    assert_eq!(hash_keys(&uneven, &mut hashes), Err(KeyError::UnequalLengths));
    let runs: RunArray<Int32Type> = ["a", "a"].into_iter().collect();
    assert!(matches!(hash_keys(&[Arc::new(runs)], &mut hashes), Err(KeyError::Unsupported(_))));
}
