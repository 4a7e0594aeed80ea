//! Lists as rows, structs as columns: what DataFusion's `unnest` gives.
//!
//! Lists that are opened side by side are as long as the longest, the shorter
//! ones padded with nulls; all other columns are repeated. Lists within lists
//! are opened level by level, the deepest wish first, so that at each level
//! all columns that are still to be opened are opened together. The last level
//! is given out in pieces, and a list may be cut between two of them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array};
use arrow::compute::is_null;
use arrow::compute::kernels::length::length;
use arrow::compute::{cast, nullif, take};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{
    Batch, Code, Context, Error, Functions, Operator, OperatorSpec, Port, Result, Spec, Step,
};

use crate::spec;

/// What becomes of a row whose lists are all null or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EmptyLists {
    /// It gives no row: `unnest` in SQL.
    Drop,
    /// A null list gives one row with a null, an empty one none.
    KeepNull,
    /// Both give one row with a null.
    Keep,
}

/// A list column to make rows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ListColumn {
    /// The input column.
    pub column: usize,
    /// How many levels of lists within lists to open; at least 1.
    pub depth: usize,
}

/// An unnest as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unnest {
    lists: Vec<ListColumn>,
    structs: Vec<usize>,
    empty: EmptyLists,
    output: SchemaRef,
}

impl Unnest {
    /// The name in the registry.
    pub const KIND: &'static str = "unnest";

    /// Takes what DataFusion's `LogicalPlan::Unnest` holds: `list_type_columns`,
    /// `struct_type_columns`, `options.null_handling` and the output schema.
    ///
    /// Each input column gives, in its place: one output column for each of
    /// its entries in `lists`, in their order; or its fields, if it is in
    /// `structs`; or else itself.
    pub fn new(lists: Vec<ListColumn>, structs: Vec<usize>, empty: EmptyLists, output: SchemaRef) -> Self {
        Self { lists, structs, empty, output }
    }
}

impl Spec for Unnest {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn label(&self) -> String {
        // A struct gives as many columns as it has fields, so behind one places are no names.
        let name = |(before, list): (usize, &ListColumn)| match self.structs.is_empty() {
            true => self.output.field(list.column + before).name().clone(),
            false => format!("#{}", list.column),
        };
        let mut lists: Vec<&ListColumn> = self.lists.iter().collect();
        lists.sort_by_key(|list| list.column);
        let lists = lists.into_iter().scan((usize::MAX, 0), |(last, extra), list| {
            *extra += usize::from(*last == list.column);
            *last = list.column;
            Some((*extra, list))
        });
        let structs = self.structs.iter().map(|column| format!("#{column}"));
        lists.map(name).chain(structs).collect::<Vec<_>>().join(", ")
    }
}

impl OperatorSpec for Unnest {
    fn build(&self, _: &Functions) -> Result<Box<dyn Operator>> {
        Ok(Box::new(UnnestOperator { spec: self.clone(), open: None }))
    }

    fn output_schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.output)
    }

    fn accepts(&self, input: RowKind) -> bool {
        match input {
            RowKind::Append | RowKind::Changelog => true,
        }
    }
}

struct UnnestOperator {
    spec: Unnest,
    /// Rows that are being opened.
    open: Option<Opening>,
}

impl Operator for UnnestOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let rows = batch.rows();
        let opening = Opening::new(&self.spec, batch.records).map_err(broken)?;
        // A row that gives no row is taken all the same: it is its lists that are empty.
        cx.counters.taken.add(rows);
        self.open = Some(opening);
        self.resume(cx)
    }

    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        let Some(opening) = &mut self.open else { return Ok(Step::Done) };
        let records = opening.next_piece(&self.spec, cx.batch_rows_max()).map_err(broken)?;
        cx.emit(Port::MAIN, records);
        if opening.is_done() {
            self.open = None;
            return Ok(Step::Done);
        }
        Ok(Step::More)
    }
}

fn broken(error: ArrowError) -> Error {
    Error::new(Code::OperatorFailed, "lists cannot be opened").because(error)
}

/// Rows before the last level is opened, and how far that has come.
struct Opening {
    columns: Vec<ArrayRef>,
    /// One per entry of `Unnest::lists`, with one level left to open.
    lists: Vec<ArrayRef>,
    /// How many rows each row gives.
    lengths: Vec<usize>,
    /// The next row, and the next place within its lists.
    row: usize,
    place: usize,
}

impl Opening {
    fn new(spec: &Unnest, records: RecordBatch) -> Result<Self, ArrowError> {
        let mut columns = records.columns().to_vec();
        let mut lists: Vec<ArrayRef> =
            spec.lists.iter().map(|list| Arc::clone(&columns[list.column])).collect();
        let deepest = spec.lists.iter().map(|list| list.depth).max().unwrap_or(1);
        for level in (2..=deepest).rev() {
            let opened: Vec<bool> = spec.lists.iter().map(|list| list.depth >= level).collect();
            let now = |lists: &[ArrayRef]| -> Vec<ArrayRef> {
                lists
                    .iter()
                    .zip(&opened)
                    .filter(|(_, opened)| **opened)
                    .map(|(list, _)| Arc::clone(list))
                    .collect()
            };
            let lengths = lengths(&now(&lists), spec.empty, columns.first().map_or(0, |c| c.len()))?;
            let places = Places::of(&lengths, 0, 0, usize::MAX);
            for (list, opened) in lists.iter_mut().zip(&opened) {
                *list = if *opened { places.elements(list)? } else { places.repeat(list)? };
            }
            columns = columns.iter().map(|column| places.repeat(column)).collect::<Result<_, _>>()?;
        }
        let rows = columns.first().map_or(records.num_rows(), |column| column.len());
        let lengths = lengths(&lists, spec.empty, rows)?;
        let mut opening = Self { columns, lists, lengths, row: 0, place: 0 };
        opening.skip_empty();
        Ok(opening)
    }

    fn is_done(&self) -> bool {
        self.row == self.lengths.len()
    }

    fn skip_empty(&mut self) {
        while self.lengths.get(self.row) == Some(&0) {
            self.row += 1;
        }
    }

    /// At most `rows_max` rows of the output.
    fn next_piece(&mut self, spec: &Unnest, rows_max: usize) -> Result<RecordBatch, ArrowError> {
        let places = Places::of(&self.lengths, self.row, self.place, rows_max);
        let row = self.row;
        // Without lists each row gives itself, and nothing need be copied.
        let repeated = |column: &ArrayRef| match spec.lists.is_empty() {
            true => Ok(column.slice(row, places.rows.len())),
            false => places.repeat(column),
        };
        let mut output = Vec::with_capacity(spec.output.fields().len());
        for (index, column) in self.columns.iter().enumerate() {
            let entries = spec.lists.iter().zip(&self.lists).filter(|(list, _)| list.column == index);
            let opened = entries.map(|(_, list)| places.elements(list)).collect::<Result<Vec<_>, _>>()?;
            match opened.is_empty() {
                false => output.extend(opened),
                true if spec.structs.contains(&index) => output.extend(fields_of(&repeated(column)?)?),
                true => output.push(repeated(column)?),
            }
        }
        (self.row, self.place) = places.end;
        self.skip_empty();
        let options = RecordBatchOptions::new().with_row_count(Some(places.rows.len()));
        RecordBatch::try_new_with_options(SchemaRef::clone(&spec.output), output, &options)
    }
}

/// How many rows each row gives: the longest of its lists. Without lists, one.
fn lengths(lists: &[ArrayRef], empty: EmptyLists, rows: usize) -> Result<Vec<usize>, ArrowError> {
    if lists.is_empty() {
        return Ok(vec![1; rows]);
    }
    let (of_null, of_empty) = match empty {
        EmptyLists::Drop => (0, 0),
        EmptyLists::KeepNull => (1, 0),
        EmptyLists::Keep => (1, 1),
    };
    let mut longest = vec![0; rows];
    for list in lists {
        let lengths = cast(&length(list)?, &DataType::Int64)?;
        for (longest, length) in longest.iter_mut().zip(lengths.as_primitive::<Int64Type>()) {
            let length = match length {
                None => of_null,
                Some(0) => of_empty,
                Some(length) => length as usize,
            };
            *longest = length.max(*longest);
        }
    }
    Ok(longest)
}

/// Which output rows come next: for each its input row and the place within the lists.
struct Places {
    rows: UInt32Array,
    places: Vec<usize>,
    /// Row and place behind the last one.
    end: (usize, usize),
}

impl Places {
    fn of(lengths: &[usize], mut row: usize, mut place: usize, rows_max: usize) -> Self {
        let (mut rows, mut places) = (Vec::new(), Vec::new());
        while row < lengths.len() && rows.len() < rows_max {
            let end = lengths[row].min(place.saturating_add(rows_max - rows.len()));
            rows.extend(std::iter::repeat_n(row as u32, end - place));
            places.extend(place..end);
            (row, place) = if end == lengths[row] { (row + 1, 0) } else { (row, end) };
        }
        Self { rows: UInt32Array::from(rows), places, end: (row, place) }
    }

    /// The column's value of each row.
    fn repeat(&self, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        take(column, &self.rows, None)
    }

    /// The list's element at each place; null behind its end.
    fn elements(&self, list: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let (values, bounds) = elements_of(list)?;
        let at = self.rows.values().iter().zip(&self.places).map(|(&row, &place)| {
            let (start, length) = bounds(row as usize);
            (place < length && list.is_valid(row as usize)).then(|| (start + place) as u64)
        });
        take(&values, &at.collect::<UInt64Array>(), None)
    }
}

/// The elements of all lists, and where those of a row begin and how many they are.
#[expect(clippy::type_complexity, reason = "the pair is taken apart at once")]
fn elements_of(list: &ArrayRef) -> Result<(ArrayRef, Box<dyn Fn(usize) -> (usize, usize) + '_>), ArrowError> {
    Ok(match list.data_type() {
        DataType::List(_) => {
            let list = list.as_list::<i32>();
            (
                Arc::clone(list.values()),
                Box::new(|row| (list.value_offsets()[row] as usize, list.value_length(row) as usize)),
            )
        }
        DataType::LargeList(_) => {
            let list = list.as_list::<i64>();
            (
                Arc::clone(list.values()),
                Box::new(|row| (list.value_offsets()[row] as usize, list.value_length(row) as usize)),
            )
        }
        DataType::FixedSizeList(_, _) => {
            let list = list.as_fixed_size_list();
            let length = list.value_length() as usize;
            (Arc::clone(list.values()), Box::new(move |row| (list.value_offset(row) as usize, length)))
        }
        DataType::ListView(_) => {
            let list = list.as_list_view::<i32>();
            (
                Arc::clone(list.values()),
                Box::new(|row| (list.value_offset(row) as usize, list.value_size(row) as usize)),
            )
        }
        DataType::LargeListView(_) => {
            let list = list.as_list_view::<i64>();
            (
                Arc::clone(list.values()),
                Box::new(|row| (list.value_offset(row) as usize, list.value_size(row) as usize)),
            )
        }
        other => return Err(ArrowError::InvalidArgumentError(format!("{other} is no list"))),
    })
}

/// A struct's fields as columns; a null struct is null in each.
fn fields_of(column: &ArrayRef) -> Result<Vec<ArrayRef>, ArrowError> {
    let Some(structs) = column.as_struct_opt() else {
        return Err(ArrowError::InvalidArgumentError(format!("{} is no struct", column.data_type())));
    };
    if structs.null_count() == 0 {
        return Ok(structs.columns().to_vec());
    }
    let absent = is_null(structs)?;
    structs.columns().iter().map(|field| nullif(field, &absent)).collect()
}

#[cfg(test)]
mod tests;
