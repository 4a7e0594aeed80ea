//! Rows that carry their window: each row once for every window that holds it.
//!
//! Stands where rows still know the watermark of their own split, and leaves out
//! the windows that had ended, by that, just before the row. So what comes out
//! depends on the row alone. Behind it `_timestamp` is the last instant of the row's
//! window, and no row is late: the watermark can pass a window only behind its rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StructArray, TimestampNanosecondArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::{
    Batch, Context, Error, EventTime, Functions, Operator, OperatorSpec, Port, Result, Spec, Step, Watermark,
    columns,
};

use crate::window::{Assigner, TIME, timestamp_field, timestamp_index};
use crate::{spec, window};

/// The assignment of windows to rows as plain data.
///
/// Late rows are dropped and counted; rows between windows are filtered. What
/// goes on are all columns but `_watermark`, with the window among them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RowWindows {
    assigner: Assigner,
    input: SchemaRef,
    /// The columns that stand before the window.
    before: usize,
    output: SchemaRef,
}

impl RowWindows {
    /// The name in the registry.
    pub const KIND: &'static str = "row-windows";

    /// Gives rows of `input`, which has `_timestamp` and, where rows can be late,
    /// `_watermark`, their window as a struct column `window` behind the first `before`
    /// columns, which are all before the engine's own. Fails for windows that are not the same for every key.
    pub fn new(assigner: Assigner, input: SchemaRef, before: usize, window: &str) -> Result<Self> {
        match assigner {
            Assigner::Aligned(_) => {}
            Assigner::Session { .. } | Assigner::Count { .. } => {
                return Err(Error::internal("a row alone does not know its session or count window"));
            }
        }
        let window: FieldRef = Arc::new(Field::new(window, DataType::Struct(bounds()), false));
        let field = |field: &FieldRef| match field.name().as_str() {
            columns::TIMESTAMP => timestamp_field(),
            _ => Arc::clone(field),
        };
        let mut fields: Vec<FieldRef> = kept(&input).map(|index| field(&input.fields()[index])).collect();
        fields.insert(before, window);
        Ok(Self { assigner, output: Arc::new(Schema::new(fields)), input, before })
    }
}

/// The input columns that go on.
fn kept(input: &Schema) -> impl Iterator<Item = usize> + '_ {
    let fields = input.fields().iter().enumerate();
    fields.filter(|(_, field)| field.name() != columns::ROW_WATERMARK).map(|(index, _)| index)
}

/// The fields of a window.
fn bounds() -> Fields {
    Fields::from(vec![Field::new("start", TIME, false), Field::new("end", TIME, false)])
}

impl Spec for RowWindows {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn label(&self) -> String {
        format!("{} as {}", self.assigner.label(), self.output.field(self.before).name())
    }
}

impl OperatorSpec for RowWindows {
    fn build(&self, _: &Functions) -> Result<Box<dyn Operator>> {
        Ok(Box::new(RowWindowsOperator {
            timestamp: timestamp_index(&self.input)?,
            watermark: self.input.index_of(columns::ROW_WATERMARK).ok(),
            kept: kept(&self.input).collect(),
            spec: self.clone(),
            giving: None,
        }))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.output)
    }
}

struct RowWindowsOperator {
    spec: RowWindows,
    timestamp: usize,
    /// The rows' own watermarks; none where no row can be late.
    watermark: Option<usize>,
    kept: Vec<usize>,
    giving: Option<Giving>,
}

/// A batch on its way out.
struct Giving {
    records: RecordBatch,
    /// The next row.
    row: usize,
    /// How many of its windows it was given with.
    windows: usize,
}

/// Rows with their windows: as many of each.
#[derive(Default)]
struct Piece {
    rows: Vec<u32>,
    starts: Vec<i64>,
    ends: Vec<i64>,
}

impl RowWindowsOperator {
    fn give(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        let Some(mut giving) = self.giving.take() else { return Ok(Step::Done) };
        let piece = self.next_piece(&mut giving, cx.batch_rows_max(), cx.counters)?;
        cx.emit(Port::MAIN, self.output(&giving.records, piece)?);
        if giving.row == giving.records.num_rows() {
            return Ok(Step::Done);
        }
        self.giving = Some(giving);
        Ok(Step::More)
    }

    /// The next rows and windows, at most `rows_max`.
    fn next_piece(&self, giving: &mut Giving, rows_max: usize, counters: &OperatorCounters) -> Result<Piece> {
        let times = window::times(&giving.records, self.timestamp)?;
        let watermarks = self.watermark.map(|index| window::times(&giving.records, index)).transpose()?;
        let mut piece = Piece::default();
        let (mut taken, mut late, mut filtered) = (0, 0, 0);
        while giving.row < times.len() {
            let time = times[giving.row];
            let watermark = watermarks.map_or(Watermark::START, |all| Watermark(EventTime(all[giving.row])));
            let open = |(_, end): &(i64, i64)| !watermark.closes(EventTime(*end));
            let mut windows =
                self.spec.assigner.windows_of(time).filter(open).skip(giving.windows).peekable();
            if giving.windows == 0 {
                match (windows.peek(), self.spec.assigner.windows_of(time).next()) {
                    (Some(_), _) => taken += 1,
                    (None, Some(_)) => late += 1,
                    (None, None) => filtered += 1,
                }
            }
            for (start, end) in windows.by_ref().take(rows_max - piece.rows.len()) {
                piece.rows.push(giving.row as u32);
                piece.starts.push(start);
                piece.ends.push(end);
                giving.windows += 1;
            }
            if windows.peek().is_some() {
                break;
            }
            (giving.row, giving.windows) = (giving.row + 1, 0);
        }
        counters.taken.add(taken);
        counters.late.add(late);
        counters.filtered.add(filtered);
        Ok(piece)
    }

    fn output(&self, records: &RecordBatch, piece: Piece) -> Result<RecordBatch> {
        let Piece { rows, starts, ends } = piece;
        let lasts: ArrayRef =
            Arc::new(TimestampNanosecondArray::from_iter_values(ends.iter().map(|end| end - 1)));
        let times = |times: Vec<i64>| -> ArrayRef { Arc::new(TimestampNanosecondArray::from(times)) };
        let window = StructArray::new(bounds(), vec![times(starts), times(ends)], None);
        let broken = |e| Error::internal("rows cannot be given their windows").because(e);
        let once = rows.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        let start = rows.first().map_or(0, |&row| row as usize);
        let (length, rows) = (rows.len(), UInt32Array::from(rows));
        let column = |&index: &usize| match (index == self.timestamp, once) {
            (true, _) => Ok(Arc::clone(&lasts)),
            (false, true) => Ok(records.column(index).slice(start, length)),
            (false, false) => take(records.column(index), &rows, None),
        };
        let mut columns = self.kept.iter().map(column).collect::<Result<Vec<_>, _>>().map_err(broken)?;
        columns.insert(self.spec.before, Arc::new(window));
        RecordBatch::try_new(Arc::clone(&self.spec.output), columns).map_err(broken)
    }
}

impl Operator for RowWindowsOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        self.giving = Some(Giving { records: batch.records, row: 0, windows: 0 });
        self.give(cx)
    }

    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        self.give(cx)
    }
}

#[cfg(test)]
mod tests {
    use thalweg_testkit::{Driver, OnBarrier, at_every_batch_size};

    use super::*;
    use crate::testing::schema;

    const SECOND: i64 = 1_000_000_000;

    const STREAM: &str = "columns a:int _timestamp:time _watermark:time
1 1 0
2 12 1
3 9 10
4 11 11
5 10 9
wm 11
6 21 11
end
";

    fn spec(assigner: Result<Assigner>) -> RowWindows {
        let input = schema("a:int _timestamp:time _watermark:time");
        RowWindows::new(assigner.unwrap(), input, 1, "window").unwrap()
    }

    fn counted(spec: &RowWindows) -> [u64; 3] {
        let mut driver = Driver::new(spec, 3, OnBarrier::GoOn).unwrap();
        driver.run(STREAM).unwrap();
        let counters = driver.counters();
        [&counters.taken, &counters.late, &counters.filtered].map(|counter| counter.get())
    }

    #[test]
    fn a_row_carries_its_window_and_its_last_instant() {
        let spec = spec(Assigner::tumble(10 * SECOND));
        let answer = at_every_batch_size(&spec, STREAM).unwrap();
        let expected = "1 {0,10} 9.999999999
2 {10,20} 19.999999999
4 {10,20} 19.999999999
5 {10,20} 19.999999999
wm 11
6 {20,30} 29.999999999
end
";
        assert_eq!(answer, expected);
        assert_eq!(counted(&spec), [5, 1, 0]);
        assert_eq!(spec.label(), "tumble(10s) as window");
    }

    #[test]
    fn a_row_comes_once_for_each_window_that_is_open() {
        let spec = spec(Assigner::hop(5 * SECOND, 10 * SECOND));
        let answer = at_every_batch_size(&spec, STREAM).unwrap();
        let expected = "1 {-5,5} 4.999999999
1 {0,10} 9.999999999
2 {5,15} 14.999999999
2 {10,20} 19.999999999
3 {5,15} 14.999999999
4 {5,15} 14.999999999
4 {10,20} 19.999999999
5 {5,15} 14.999999999
5 {10,20} 19.999999999
wm 11
6 {15,25} 24.999999999
6 {20,30} 29.999999999
end
";
        assert_eq!(answer, expected);
        assert_eq!(counted(&spec), [6, 0, 0]);
    }

    #[test]
    fn rows_between_windows_have_none() {
        let spec = spec(Assigner::hop(10 * SECOND, 2 * SECOND));
        let answer = at_every_batch_size(&spec, STREAM).unwrap();
        let expected = "1 {0,2} 1.999999999\n4 {10,12} 11.999999999\n5 {10,12} 11.999999999\nwm 11\n6 {20,22} 21.999999999\nend\n";
        assert_eq!(answer, expected);
        assert_eq!(counted(&spec), [4, 0, 2]);
    }

    #[test]
    fn many_windows_come_in_pieces() {
        let spec = spec(Assigner::hop(SECOND, 1000 * SECOND));
        let mut driver = Driver::new(&spec, 7, OnBarrier::GoOn).unwrap();
        let answer = driver.run("columns a:int _timestamp:time _watermark:time\n1 0 -1\n2 0.5 -1\n").unwrap();
        assert_eq!(answer.lines().count(), 2000);
        assert_eq!(driver.output().len(), 2000_usize.div_ceil(7));
    }
}
