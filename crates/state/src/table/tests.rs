use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::Int32Type;

use super::*;

fn schema(data_type: &DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("value", data_type.clone(), true)]))
}

fn groups(of: impl IntoIterator<Item = u16>) -> Vec<KeyGroup> {
    of.into_iter().map(KeyGroup).collect()
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn table_of(values: &[i64]) -> Table {
    let mut table = Table::new("numbers", 1, schema(&DataType::Int64)).unwrap();
    table.push(&groups((0..values.len() as u16).map(|i| i % 4)), &[ints(values)]).unwrap();
    table
}

/// What an epoch gets that is copied at once.
fn frozen(table: &mut Table, epoch: u64) -> Vec<(u16, i64)> {
    table.freeze(Epoch(epoch), &KeyGroups::default());
    rows_of(table.copy_frozen(usize::MAX).unwrap())
}

fn rows_of(frozen: Option<FrozenTable>) -> Vec<(u16, i64)> {
    let rows = frozen.iter().flat_map(|frozen| &frozen.batches).flat_map(|batch| {
        assert_eq!(batch.schema().field(0).name(), KEY_GROUP_COLUMN);
        let groups = batch.column(0).as_primitive::<arrow::datatypes::UInt16Type>().values().to_vec();
        let values = batch.column(1).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec();
        groups.into_iter().zip(values)
    });
    rows.collect()
}

#[test]
fn every_kind_of_column_gives_back_what_it_was_given() {
    let strings: ArrayRef =
        Arc::new(StringArray::from(vec![Some("a"), None, Some("a string beyond twelve bytes"), Some("")]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(-3), Some(0)]));
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(2)]),
    ]);
    let nested = StructArray::from(vec![(Arc::new(Field::new("s", DataType::Utf8, true)), strings.clone())]);
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)])),
        Arc::new(TimestampMillisecondArray::from(vec![Some(1), None, Some(3), Some(4)]).with_timezone("UTC")),
        Arc::new(Decimal128Array::from(vec![1, 2, 3, 4]).with_precision_and_scale(20, 3).unwrap()),
        Arc::new(list),
        Arc::new(nested),
    ];
    for to in [
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::LargeBinary,
        DataType::BinaryView,
    ] {
        arrays.push(cast(&strings, &to).unwrap());
    }
    for to in [DataType::Int8, DataType::Int64, DataType::Float64] {
        arrays.push(cast(&numbers, &to).unwrap());
    }
    for array in arrays {
        let mut table = Table::new("t", 1, schema(array.data_type())).unwrap();
        table.push(&groups([0, 1]), &[array.slice(0, 2)]).unwrap();
        table.push(&groups([2, 3]), &[array.slice(2, 2)]).unwrap();
        assert_eq!(&table.gather(&[0, 1, 2, 3], 0).unwrap(), &array);
        assert_eq!(&table.gather(&[2, 3], 0).unwrap(), &array.slice(2, 2));
        table.scatter(&[3, 0], 0, &array.slice(1, 2)).unwrap();
        let expected = arrow::compute::take(&array, &UInt32Array::from(vec![2, 1, 2, 1]), None).unwrap();
        assert_eq!(&table.gather(&[0, 1, 2, 3], 0).unwrap(), &expected, "{}", array.data_type());
        assert!(table.bytes() > 0);
    }
}

#[test]
fn an_epoch_holds_what_changed_since_the_last_complete_one() {
    let mut table = table_of(&[10, 11, 12, 13]);
    assert_eq!(frozen(&mut table, 1), [(0, 10), (1, 11), (2, 12), (3, 13)]);
    table.on_settled(Epoch(1), true);
    assert_eq!(frozen(&mut table, 2), []);
    table.on_settled(Epoch(2), true);
    table.scatter(&[2], 0, &ints(&[22])).unwrap();
    assert_eq!(frozen(&mut table, 3), [(2, 22)]);
}

#[test]
fn durable_rows_are_changed_when_they_change() {
    let mut table = table_of(&[10, 11]);
    table.push_durable(&[2, 3, 0], vec![ints(&[12, 13, 14])]).unwrap();
    table.push(&groups([1]), &[ints(&[15])]).unwrap();
    assert_eq!(table.group(3), KeyGroup(3));
    assert_eq!(frozen(&mut table, 1), [(0, 10), (1, 11), (1, 15)]);
    table.on_settled(Epoch(1), true);
    table.scatter(&[4], 0, &ints(&[24])).unwrap();
    assert_eq!(frozen(&mut table, 2), [(0, 24)]);
    let whole: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1 << 16));
    table.push_durable(&vec![3; 1 << 16], vec![whole]).unwrap();
    assert_eq!(&table.gather(&[4, 5, 6, 65541], 0).unwrap(), &ints(&[24, 15, 0, 65535]));
}

#[test]
fn after_an_abort_its_rows_are_changed_again() {
    let mut table = table_of(&[10, 11]);
    frozen(&mut table, 1);
    table.on_settled(Epoch(1), true);
    table.scatter(&[0], 0, &ints(&[20])).unwrap();
    frozen(&mut table, 2);
    table.on_settled(Epoch(2), false);
    table.scatter(&[1], 0, &ints(&[21])).unwrap();
    assert_eq!(frozen(&mut table, 3), [(0, 20), (1, 21)]);
}

#[test]
fn an_epoch_frozen_before_the_last_one_settled_holds_its_rows_too() {
    let mut table = table_of(&[10, 11]);
    frozen(&mut table, 1);
    table.scatter(&[1], 0, &ints(&[21])).unwrap();
    assert_eq!(frozen(&mut table, 2), [(0, 10), (1, 21)]);
    table.on_settled(Epoch(1), false);
    table.on_settled(Epoch(2), true);
    let rows = frozen(&mut table, 3);
    assert_eq!(rows, [(0, 10), (1, 21)], "marked by the abort, and once too often is harmless");
    table.on_settled(Epoch(3), true);
    assert_eq!(frozen(&mut table, 4), []);
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    let mut table = table_of(&[]);
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    assert!(matches!(table.push(&groups([0]), &[text]), Err(TableError::Mismatch { .. })));
    assert!(matches!(table.push(&groups([0]), &[]), Err(TableError::Mismatch { .. })));
    assert!(matches!(table.push(&groups([0]), &[ints(&[1, 2])]), Err(TableError::Mismatch { .. })));
    assert!(table.is_empty());
}

#[test]
fn rows_of_another_owner_are_written_as_long_as_their_epoch_may_fail() {
    let settled = |order: &[(u64, bool)], before: &[(u64, bool)]| {
        let mut table = table_of(&[10, 11, 12]);
        table.mark_durable(&[0, 1, 2]);
        before.iter().for_each(|&(epoch, complete)| table.on_settled(Epoch(epoch), complete));
        table.mark_unsettled(Epoch(7), &[1]);
        order.iter().for_each(|&(epoch, complete)| table.on_settled(Epoch(epoch), complete));
        frozen(&mut table, 8)
    };
    assert_eq!(settled(&[], &[]), [(1, 11)], "nobody knows yet");
    assert_eq!(settled(&[(7, false)], &[]), [(1, 11)]);
    assert_eq!(settled(&[(7, true)], &[]), []);
    assert_eq!(settled(&[], &[(7, true)]), [], "known before the rows came");
    assert_eq!(settled(&[], &[(7, false)]), [(1, 11)]);
}

#[test]
fn what_is_copied_late_is_as_it_was_at_the_barrier() {
    let mut table = table_of(&[10, 11, 12, 13, 14, 15]);
    table.freeze(Epoch(1), &KeyGroups::default());
    table.scatter(&[4, 1], 0, &ints(&[24, 21])).unwrap();
    table.push(&groups([2]), &[ints(&[16])]).unwrap();
    let mut rows = rows_of(table.copy_frozen(2).unwrap());
    table.scatter(&[0, 6, 5, 4], 0, &ints(&[30, 36, 35, 34])).unwrap();
    while let Some(more) = table.copy_frozen(1).unwrap() {
        rows.extend(rows_of(Some(more)));
    }
    rows.sort_unstable_by_key(|&(_, value)| value);
    assert_eq!(rows, [(0, 10), (1, 11), (2, 12), (3, 13), (0, 14), (1, 15)]);
    table.on_settled(Epoch(1), true);
    assert_eq!(frozen(&mut table, 2), [(0, 30), (1, 21), (0, 34), (1, 35), (2, 36)]);
}

#[test]
fn rows_that_lived_elsewhere_at_the_barrier_are_not_frozen() {
    let mut table = table_of(&[10, 11, 12, 13, 14]);
    table.freeze(Epoch(1), &KeyGroups::range(0, 2));
    table.scatter(&[0, 2], 0, &ints(&[20, 22])).unwrap();
    assert_eq!(rows_of(table.copy_frozen(9).unwrap()), [(2, 12), (3, 13)]);
    assert!(table.copy_frozen(9).unwrap().is_none());
}

#[test]
fn what_an_epoch_left_to_copy_is_of_the_next_one() {
    let mut table = table_of(&[10, 11, 12]);
    table.freeze(Epoch(1), &KeyGroups::default());
    table.copy_frozen(1).unwrap();
    table.scatter(&[2], 0, &ints(&[22])).unwrap();
    assert_eq!(frozen(&mut table, 2), [(0, 10), (1, 11), (2, 22)]);
    assert!(table.copy_frozen(1).unwrap().is_none());
}
