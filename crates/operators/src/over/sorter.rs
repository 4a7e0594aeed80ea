//! Rows of a window by partition, and within it in their order.

use std::ops::Range;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::Schema;
use arrow::row::{Row, RowConverter, Rows, SortField};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Code, Error, Result};

/// One column of `ORDER BY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderBy {
    /// The input column.
    pub column: usize,
    /// From the greatest to the least.
    pub descending: bool,
    /// Nulls before all values, else behind them.
    pub nulls_first: bool,
}

impl OrderBy {
    pub(super) fn options(self) -> SortOptions {
        SortOptions { descending: self.descending, nulls_first: self.nulls_first }
    }
}

/// The place of a row in its partition, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ranking {
    /// Every row has its own.
    RowNumber,
    /// Equal rows share one, and the next has as many more as they are.
    Rank,
    /// Equal rows share one, and the next has one more.
    DenseRank,
}

/// Sorts rows of one schema.
pub(super) struct Sorter {
    partition: Key,
    order: Option<Key>,
}

struct Key {
    columns: Vec<usize>,
    converter: RowConverter,
}

impl Key {
    fn new(input: &Schema, columns: Vec<(usize, SortOptions)>) -> Result<Self> {
        let field = |&(column, options): &(usize, SortOptions)| {
            SortField::new_with_options(input.field(column).data_type().clone(), options)
        };
        let converter = RowConverter::new(columns.iter().map(field).collect()).map_err(|e| {
            Error::new(Code::NotSupported, "rows cannot be ordered or partitioned by a column of this type")
                .because(e)
        })?;
        Ok(Self { columns: columns.into_iter().map(|(column, _)| column).collect(), converter })
    }

    fn of(&self, rows: &RecordBatch) -> Result<Rows> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|&index| rows.column(index).clone()).collect();
        self.converter
            .convert_columns(&columns)
            .map_err(|e| Error::internal("rows of a window cannot be compared").because(e))
    }
}

impl Sorter {
    /// By these partitions, of which there is at least one column, and within them in this order.
    pub(super) fn new(input: &Schema, partition: &[usize], order: &[OrderBy]) -> Result<Self> {
        let partition = partition.iter().map(|&column| (column, SortOptions::default())).collect();
        let order: Vec<_> = order.iter().map(|by| (by.column, by.options())).collect();
        Ok(Self {
            partition: Key::new(input, partition)?,
            order: if order.is_empty() { None } else { Some(Key::new(input, order)?) },
        })
    }

    /// The order of these rows. Equal rows stay in the order in which they are.
    pub(super) fn sort(&self, rows: &RecordBatch) -> Result<Sorted> {
        let partitions = self.partition.of(rows)?;
        let orders = self.order.as_ref().map(|order| order.of(rows)).transpose()?;
        let mut indices: Vec<u32> = (0..).take(rows.num_rows()).collect();
        match &orders {
            Some(orders) => indices.sort_by(|&a, &b| {
                let by_partition = row(&partitions, a).cmp(&row(&partitions, b));
                by_partition.then_with(|| row(orders, a).cmp(&row(orders, b)))
            }),
            None => indices.sort_by_key(|&index| row(&partitions, index)),
        }
        Ok(Sorted { indices, partitions, orders })
    }
}

/// The order of some rows.
pub(super) struct Sorted {
    indices: Vec<u32>,
    partitions: Rows,
    orders: Option<Rows>,
}

fn row(rows: &Rows, index: u32) -> Row<'_> {
    rows.row(index as usize)
}

impl Sorted {
    /// The rows' indices, in order.
    pub(super) fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The partitions, as ranges of sorted rows.
    pub(super) fn partitions(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut start = 0;
        let same = |a: &u32, b: &u32| row(&self.partitions, *a) == row(&self.partitions, *b);
        self.indices.chunk_by(same).map(move |partition| {
            let range = start..start + partition.len();
            start = range.end;
            range
        })
    }

    /// Which rows, as they were before they were sorted, are ranked at most `most`.
    pub(super) fn ranked_within(&self, ranking: Ranking, most: u64) -> BooleanArray {
        let mut within = vec![false; self.indices.len()];
        for partition in self.partitions() {
            let rows = &self.indices[partition];
            let mut place = 0;
            for (index, &current) in rows.iter().enumerate() {
                let tied = index > 0 && self.are_tied(rows[index - 1], current);
                place = match ranking {
                    Ranking::RowNumber => place + 1,
                    Ranking::Rank | Ranking::DenseRank if tied => place,
                    Ranking::Rank => index as u64 + 1,
                    Ranking::DenseRank => place + 1,
                };
                if place > most {
                    break;
                }
                within[current as usize] = true;
            }
        }
        BooleanArray::from(within)
    }

    /// Whether two rows of one partition are equal in their order.
    fn are_tied(&self, a: u32, b: u32) -> bool {
        self.orders.as_ref().is_none_or(|orders| row(orders, a) == row(orders, b))
    }
}
