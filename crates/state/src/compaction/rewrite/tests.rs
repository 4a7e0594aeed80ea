//! What a rewrite keeps of its inputs, and for how long it holds them.

use std::sync::Arc;

use arrow::array::types::Int64Type;
use arrow::array::{ArrayRef, AsArray, Int64Array, UInt16Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::*;
use crate::checksum::Checksum;
use crate::history::Part;
use crate::manifest::{Expired, TableRecord};
use crate::object::read;
use crate::store::MemoryStore;
use crate::{Epoch, Expiry, FrozenTable, Incarnation, JobId, KEY_GROUP_COLUMN, OperatorId, Subtask};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn memory() -> History {
    History::new(Arc::new(MemoryStore::new()), JobId::new("j"))
}

/// A batch of rows, whose first value is the key group.
fn batch<const COLUMNS: usize>(rows: &[[i64; COLUMNS]]) -> RecordBatch {
    let groups: UInt16Array = rows.iter().map(|row| row[0] as u16).collect();
    let values = |column: usize| Int64Array::from_iter_values(rows.iter().map(|row| row[column]));
    let columns = (1..COLUMNS).map(|column| (format!("c{column}"), Arc::new(values(column)) as ArrayRef));
    let groups = (KEY_GROUP_COLUMN.to_owned(), Arc::new(groups) as ArrayRef);
    RecordBatch::try_from_iter([groups].into_iter().chain(columns)).unwrap()
}

/// A table of which each epoch wrote one batch, to be rewritten as a whole in one slice.
async fn written(history: &History, change: Change, batches: &[RecordBatch]) -> Compaction {
    let (operator, subtask) = (OperatorId::new("op"), Subtask(0));
    let mut inputs = TableRecord { change, expired: None, objects: Vec::new() };
    let mut newest = Epoch::FIRST;
    for (epoch, batch) in (1..).map(Epoch).zip(batches) {
        let (operator, incarnation) = (operator.clone(), Incarnation(1));
        let part = Part { operator, epoch, incarnation, subtask, attempt: 0 };
        let (batches, expiry) = (vec![batch.clone()], Some(Expiry { column: 1, through: i64::MIN }));
        let table = FrozenTable { name: "t".into(), change, batches, expiry };
        inputs.objects.extend(history.write_table(&part, &table).await.unwrap().objects);
        newest = epoch;
    }
    Compaction { operator, table: "t".to_owned(), epoch: newest, inputs, slice_bytes: u64::MAX }
}

async fn rewritten(history: &History, compaction: &Compaction) -> Vec<Encoded> {
    let mut slices = rewrite(history, compaction);
    let mut objects = Vec::new();
    while let Some(slice) = slices.next().await.unwrap() {
        objects.extend(slice);
    }
    objects
}

/// The rows of some objects, one after the other.
fn rows(objects: &[Encoded]) -> Vec<Vec<i64>> {
    let wanted = Wanted { groups: &KeyGroups::range(0, u16::MAX), expired: None };
    let rows = |batch: RecordBatch| {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| cast(column, &DataType::Int64).unwrap()).collect();
        let row = |row| columns.iter().map(|c| c.as_primitive::<Int64Type>().value(row)).collect();
        (0..batch.num_rows()).map(row).collect::<Vec<_>>()
    };
    objects.iter().flat_map(|o| read("o", o.bytes.clone(), &wanted).unwrap()).flat_map(rows).collect()
}

#[test]
fn the_last_row_of_a_key_is_kept_and_a_key_is_all_its_columns() {
    block_on(async {
        let history = memory();
        let first = batch(&[[3, 1, 1, 10], [3, 1, 2, 20], [3, 1, 1, 11], [3, 2, 1, 30]]);
        let second = batch(&[[3, 1, 2, 21], [4, 1, 1, 40]]);
        let compaction = written(&history, Change::Upsert { key: 2 }, &[first, second]).await;
        let kept = rows(&rewritten(&history, &compaction).await);
        assert_eq!(kept, [[3, 1, 1, 11], [3, 2, 1, 30], [3, 1, 2, 21], [4, 1, 1, 40]]);
    });
}

#[test]
fn keys_of_different_types_are_different_keys() {
    block_on(async {
        let history = memory();
        let wide = batch(&[[3, 1, 10]]);
        let narrow = cast(wide.column(1), &DataType::Int32).unwrap();
        let columns = [wide.column(0).clone(), narrow, wide.column(2).clone()];
        let narrow = RecordBatch::try_from_iter([KEY_GROUP_COLUMN, "c1", "c2"].into_iter().zip(columns));
        let batches = [wide, narrow.unwrap()];
        let compaction = written(&history, Change::Upsert { key: 1 }, &batches).await;
        assert_eq!(rows(&rewritten(&history, &compaction).await), [[3, 1, 10], [3, 1, 10]]);
    });
}

#[test]
fn what_is_over_is_left_out_and_the_rest_says_when_it_will_be() {
    block_on(async {
        let history = memory();
        let batches = [batch(&[[3, 5], [3, 9]]), batch(&[[3, 4]])];
        let mut compaction = written(&history, Change::Merge, &batches).await;
        compaction.inputs.expired = Some(Expired { column: 1, through: 5, epoch: Epoch(1) });
        let [object] = &rewritten(&history, &compaction).await[..] else { panic!("one object") };
        assert_eq!(object.latest, Some(9));
        assert_eq!(rows(std::slice::from_ref(object)), [[3, 9], [3, 4]], "a later epoch wrote the 4");
    });
}

#[test]
fn an_input_is_read_once_and_held_until_the_last_slice_that_it_reaches_into() {
    block_on(async {
        let history = memory();
        let batches = [batch(&[[0, 1], [5, 2]]), batch(&[[1, 3], [12, 4]]), batch(&[[12, 5]])];
        let mut compaction = written(&history, Change::Merge, &batches).await;
        compaction.slice_bytes = compaction.bytes().div_ceil(2);
        let mut slices = rewrite(&history, &compaction);
        let first = slices.next().await.unwrap().unwrap();
        assert_eq!(rows(&first), [[0, 1], [1, 3], [5, 2]]);
        assert_eq!(slices.open.keys().collect::<Vec<_>>(), [&1]);

        for name in compaction.inputs.objects[..2].iter().map(|object| &object.name) {
            let there = history.store().list("").await.unwrap();
            let place = there.iter().find(|listed| listed.name.ends_with(name)).unwrap();
            history.store().delete(&place.name).await.unwrap();
        }
        assert_eq!(rows(&slices.next().await.unwrap().unwrap()), [[12, 4], [12, 5]]);
        assert!(slices.open.is_empty());
        assert!(slices.next().await.unwrap().is_none());
    });
}

#[test]
fn an_input_that_is_not_what_was_written_is_named() {
    block_on(async {
        let history = memory();
        let batches = [batch(&[[3, 1]]), batch(&[[3, 2]])];
        let mut compaction = written(&history, Change::Merge, &batches).await;
        let other = &mut compaction.inputs.objects[1];
        other.checksum = Checksum::of(b"other bytes");
        let name = other.name.clone();
        let error = rewrite(&history, &compaction).next().await.unwrap_err();
        assert!(matches!(&error, StoreError::Damaged { object, .. } if *object == name), "{error}");
    });
}
