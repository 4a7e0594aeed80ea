//! One window that is joined, piece by piece.
//!
//! ```text
//!  per batch of the larger side:   pairs ─► rows of the batch that come out alone
//!  at last:                                 rows of the smaller side that come out alone
//! ```
//!
//! A piece looks at no more pairs than it may have rows, so that the pairs of
//! two great sides never exist all at once.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, RecordBatch, RecordBatchOptions, TimestampNanosecondArray, UInt32Array, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{SortOptions, concat_batches, take};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion::common::NullEquality;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::joins::utils::JoinKeyComparator;
use thalweg_dataflow::{Code, Error, EventTime, ProcessingTime, Result};

use super::residual::Pairs;
use super::row_table::RowTable;
use super::{JoinSide, Side, WindowJoin};
use crate::window_rows::bytes_of;

/// The most bytes of the smaller side of one window on one subtask: text in one array has no more.
const SMALLER_SIDE_BYTES_MAX: usize = i32::MAX as usize;
/// Any fixed number: which rows come out rests on no hash.
const HASH_SEED: u64 = 0;

/// What came of a call.
pub(super) enum Progress {
    /// Rows, and perhaps more.
    Piece(RecordBatch),
    /// No rows this time, but perhaps more.
    Nothing,
    /// The window is joined.
    Done,
}

/// A closed window.
pub(super) struct Matching {
    join: Arc<WindowJoin>,
    output: SchemaRef,
    instant: EventTime,
    /// The smaller side.
    small: Rows,
    small_side: Side,
    table: RowTable,
    /// The batches of the larger side that are still to come.
    large: std::vec::IntoIter<RecordBatch>,
    stage: Stage,
}

enum Stage {
    /// The next batch of the larger side is to be looked up.
    NextBatch,
    Pairing(Pairing),
    Alone(Alone),
    Done,
}

/// Rows of one side, and which of them have a pair, where that matters.
struct Rows {
    records: RecordBatch,
    keys: Vec<ArrayRef>,
    paired: Option<Vec<bool>>,
}

/// A batch of the larger side that is looked up.
struct Pairing {
    rows: Rows,
    hashes: Vec<u64>,
    /// The rows that can equal any; none where all can.
    valid: Option<NullBuffer>,
    /// Whether a row of the smaller side equals one of this batch; none without keys, where all do.
    equal: Option<JoinKeyComparator>,
    row: usize,
    /// The row of the smaller side to look at next; none when `row` is still to be looked up.
    candidate: Option<u32>,
}

/// Rows of one side that come out for themselves.
struct Alone {
    side: Side,
    records: RecordBatch,
    rows: UInt32Array,
    given: usize,
    /// What comes behind them.
    then_done: bool,
}

impl Matching {
    /// Joins these rows, all of one window.
    pub(super) fn new(
        join: &Arc<WindowJoin>,
        output: &SchemaRef,
        instant: EventTime,
        left: Vec<RecordBatch>,
        right: Vec<RecordBatch>,
    ) -> Result<Self> {
        let rows = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        let left_is_small = rows(&left) <= rows(&right);
        let (small_side, small, large) =
            if left_is_small { (Side::Left, left, right) } else { (Side::Right, right, left) };
        let small = Rows::new(join, small_side, as_one(join.side(small_side), &small)?);
        let pointless = small.records.num_rows() == 0 && join.kind.alone(small_side.other()) != Some(false);
        let table = if small.keys.is_empty() {
            RowTable::All(small.records.num_rows() as u32)
        } else {
            RowTable::hashed(small.hashes()?, small.valid(join.nulls_equal).as_ref())
        };
        Ok(Self {
            join: Arc::clone(join),
            output: Arc::clone(output),
            instant,
            small,
            small_side,
            table,
            large: if pointless { Vec::new() } else { large }.into_iter(),
            stage: Stage::NextBatch,
        })
    }

    /// The next piece, of at most `piece_rows_max` rows.
    pub(super) fn next(&mut self, piece_rows_max: usize, now: ProcessingTime) -> Result<Progress> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::NextBatch => {
                self.stage = match self.large.next() {
                    Some(batch) => Stage::Pairing(self.look_up(batch)?),
                    None => {
                        let small = self.small.records.clone();
                        let paired = self.small.paired.take();
                        Stage::Alone(self.alone(self.small_side, small, paired, true))
                    }
                };
                Ok(Progress::Nothing)
            }
            Stage::Pairing(mut pairing) => {
                let piece = self.pair(&mut pairing, piece_rows_max, now)?;
                self.stage = if pairing.row < pairing.rows.records.num_rows() {
                    Stage::Pairing(pairing)
                } else {
                    let Rows { records, paired, .. } = pairing.rows;
                    Stage::Alone(self.alone(self.small_side.other(), records, paired, false))
                };
                Ok(piece.map_or(Progress::Nothing, Progress::Piece))
            }
            Stage::Alone(mut alone) => {
                let rows = piece_rows_max.min(alone.rows.len() - alone.given);
                if rows == 0 {
                    self.stage = if alone.then_done { Stage::Done } else { Stage::NextBatch };
                    return Ok(Progress::Nothing);
                }
                let piece = self.piece_alone(&alone, &alone.rows.slice(alone.given, rows))?;
                alone.given += rows;
                self.stage = Stage::Alone(alone);
                Ok(Progress::Piece(piece))
            }
            Stage::Done => Ok(Progress::Done),
        }
    }

    /// Begins with a batch of the larger side.
    fn look_up(&self, batch: RecordBatch) -> Result<Pairing> {
        let rows = Rows::new(&self.join, self.small_side.other(), batch);
        let options = vec![SortOptions::default(); rows.keys.len()];
        let equal = match rows.keys.is_empty() {
            true => None,
            false => {
                let nulls = match self.join.nulls_equal {
                    true => NullEquality::NullEqualsNull,
                    false => NullEquality::NullEqualsNothing,
                };
                Some(
                    JoinKeyComparator::new(&self.small.keys, &rows.keys, &options, nulls)
                        .map_err(incomparable)?,
                )
            }
        };
        let (hashes, valid) = (rows.hashes()?, rows.valid(self.join.nulls_equal));
        Ok(Pairing { rows, hashes, valid, equal, row: 0, candidate: None })
    }

    /// The next pairs that come out, of at most so many that are looked at.
    fn pair(
        &mut self,
        pairing: &mut Pairing,
        pairs_max: usize,
        now: ProcessingTime,
    ) -> Result<Option<RecordBatch>> {
        let (small, large) = pairing.next_pairs(&self.table, pairs_max);
        let large_records = pairing.rows.records.clone();
        let (left, right) = match self.small_side {
            Side::Left => (small, large),
            Side::Right => (large, small),
        };
        let mut pairs = Pairs { left: left.into(), right: right.into() };
        if let Some(residual) = &self.join.residual {
            let taken = Pairs { left: pairs.left.clone(), right: pairs.right.clone() };
            let column = |index| self.column(index, &taken, &large_records);
            pairs = residual.keep(pairs, self.join.policy, now, column)?;
        }
        let (small, large) = match self.small_side {
            Side::Left => (&pairs.left, &pairs.right),
            Side::Right => (&pairs.right, &pairs.left),
        };
        self.small.note(small);
        pairing.rows.note(large);
        if pairs.left.is_empty() || !self.join.kind.gives_pairs() {
            return Ok(None);
        }
        let width = self.join.left.width + self.join.right.width;
        let columns = (0..=width).map(|index| self.column(index, &pairs, &large_records));
        self.piece(columns.collect::<Result<_>>()?, pairs.left.len()).map(Some)
    }

    /// A column of pairs: of the left, of the right, or the window's last instant.
    fn column(&self, index: usize, pairs: &Pairs, large: &RecordBatch) -> Result<ArrayRef> {
        let left_width = self.join.left.width;
        let (side, column, rows) = match index.checked_sub(left_width) {
            None => (Side::Left, index, &pairs.left),
            Some(column) if column < self.join.right.width => (Side::Right, column, &pairs.right),
            Some(_) => return Ok(self.time(pairs.left.len())),
        };
        let records = if side == self.small_side { &self.small.records } else { large };
        take(records.column(column), rows, None).map_err(|e| unjoinable(&e))
    }

    fn time(&self, rows: usize) -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from_value(self.instant.0, rows))
    }

    /// Those rows of a side that come out for themselves.
    fn alone(&self, side: Side, records: RecordBatch, paired: Option<Vec<bool>>, then_done: bool) -> Alone {
        let rows = match (self.join.kind.alone(side), paired) {
            (Some(wanted), Some(paired)) => {
                (0..).zip(paired).filter(|(_, paired)| *paired == wanted).map(|(row, _)| row).collect()
            }
            (Some(_) | None, _) => Vec::new(),
        };
        Alone { side, records, rows: rows.into(), given: 0, then_done }
    }

    fn piece_alone(&self, alone: &Alone, rows: &UInt32Array) -> Result<RecordBatch> {
        let own = &alone.records.columns()[..self.join.side(alone.side).width];
        let own = own.iter().map(|column| take(column, rows, None)).collect::<Result<Vec<_>, _>>();
        let mut columns = own.map_err(|e| unjoinable(&e))?;
        if self.join.kind.gives_pairs() {
            let other = self.join.side(alone.side.other());
            let fields = &other.schema.fields()[..other.width];
            let nulls = fields.iter().map(|field| new_null_array(field.data_type(), rows.len()));
            match alone.side {
                Side::Left => columns.extend(nulls),
                Side::Right => columns = nulls.chain(columns).collect(),
            }
        }
        columns.push(self.time(rows.len()));
        self.piece(columns, rows.len())
    }

    fn piece(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)
            .map_err(|e| unjoinable(&e))
    }
}

impl Rows {
    fn new(join: &WindowJoin, side: Side, records: RecordBatch) -> Self {
        let keys = join.side(side).keys.iter().map(|&key| Arc::clone(records.column(key))).collect();
        let paired = join.kind.alone(side).map(|_| vec![false; records.num_rows()]);
        Self { records, keys, paired }
    }

    fn hashes(&self) -> Result<Vec<u64>> {
        let mut hashes = vec![0; self.records.num_rows()];
        create_hashes(&self.keys, &RandomState::with_seed(HASH_SEED), &mut hashes).map_err(incomparable)?;
        Ok(hashes)
    }

    /// The rows that can equal any: where nulls equal nothing, those without one in their keys.
    fn valid(&self, nulls_equal: bool) -> Option<NullBuffer> {
        if nulls_equal {
            return None;
        }
        let nulls: Vec<Option<NullBuffer>> = self.keys.iter().map(|key| key.logical_nulls()).collect();
        nulls.iter().fold(None, |valid, nulls| NullBuffer::union(valid.as_ref(), nulls.as_ref()))
    }

    fn note(&mut self, rows: &UInt32Array) {
        if let Some(paired) = &mut self.paired {
            rows.values().iter().for_each(|&row| paired[row as usize] = true);
        }
    }
}

impl Pairing {
    /// Row numbers of the smaller side and of this batch, of pairs with equal keys.
    fn next_pairs(&mut self, table: &RowTable, pairs_max: usize) -> (Vec<u32>, Vec<u32>) {
        let (mut small, mut large) = (Vec::new(), Vec::new());
        while self.row < self.hashes.len() && small.len() < pairs_max {
            let hash = self.hashes[self.row];
            let mut candidate = match self.candidate.take() {
                Some(candidate) => Some(candidate),
                None if self.valid.as_ref().is_none_or(|valid| valid.is_valid(self.row)) => table.first(hash),
                None => None,
            };
            while let Some(row) = candidate
                && small.len() < pairs_max
            {
                if self.equal.as_ref().is_none_or(|equal| equal.is_equal(row as usize, self.row)) {
                    small.push(row);
                    large.push(self.row as u32);
                }
                candidate = table.next(hash, row);
            }
            self.candidate = candidate;
            self.row += usize::from(candidate.is_none());
        }
        (small, large)
    }
}

/// The rows of the smaller side as one batch.
fn as_one(side: &JoinSide, batches: &[RecordBatch]) -> Result<RecordBatch> {
    if let [batch] = batches {
        return Ok(batch.clone());
    }
    let bytes = batches.iter().map(bytes_of).sum::<Result<usize>>()?;
    if bytes > SMALLER_SIDE_BYTES_MAX {
        let what = format!("a window to be joined has {bytes} bytes on its smaller side");
        return Err(Error::new(Code::LimitReached, what)
            .because(format!("one subtask joins windows of at most {SMALLER_SIDE_BYTES_MAX} bytes a side"))
            .with_help(
                "join narrower windows or on more keys, select fewer columns, or raise the parallelism",
            ));
    }
    concat_batches(&side.schema, batches).map_err(|e| unjoinable(&e))
}

fn unjoinable(error: &ArrowError) -> Error {
    Error::new(Code::OperatorFailed, "the rows of a window cannot be joined").because(error)
}

fn incomparable(error: DataFusionError) -> Error {
    Error::new(Code::OperatorFailed, "the keys of a join cannot be compared").because(error.strip_backtrace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::schema;

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let keys = |text: &str| {
            let records = thalweg_dataflow::text::read_rows(&schema("k:text? v:int"), text).unwrap();
            Rows { keys: records.columns().to_vec(), records, paired: None }
        };
        let (small, large) = (keys("a 1\nb 1\na 2\nnull 1\n"), keys("b 1\na 2\nnull 1\na 3\n"));
        let equal = |nulls| {
            JoinKeyComparator::new(&small.keys, &large.keys, &[SortOptions::default(); 2], nulls).unwrap()
        };
        let table = RowTable::hashed(vec![7; 4], None);
        for (nulls, expected) in [
            (NullEquality::NullEqualsNothing, (vec![1, 2], vec![0, 1])),
            (NullEquality::NullEqualsNull, (vec![1, 2, 3], vec![0, 1, 2])),
        ] {
            let rows = Rows { records: large.records.clone(), keys: large.keys.clone(), paired: None };
            let equal = Some(equal(nulls));
            let mut pairing =
                Pairing { rows, hashes: vec![7; 4], valid: None, equal, row: 0, candidate: None };
            assert_eq!(pairing.next_pairs(&table, 10), expected);
        }
    }
}
