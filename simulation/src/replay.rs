//! A source of many splits that can be read again from any position.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use thalweg_dataflow::source::{Assignment, Position, SourceGuarantee};
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Error, Result, Source, SourceEvent, SourceSpec, Spec};
use thalweg_state::SplitId;

use crate::fate::Fate;
use crate::input::{Input, Row};

/// `split, number, k, v, ts`.
pub(crate) fn schema() -> SchemaRef {
    let number = |name| Field::new(name, DataType::Int64, false);
    let time = Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, None), false);
    Arc::new(Schema::new(vec![number("split"), number("number"), number("k"), number("v"), time]))
}

/// Reads an input, with some of the columns of [`schema`].
#[derive(Clone)]
pub(crate) struct ReplaySpec {
    pub(crate) input: Arc<Input>,
    pub(crate) columns: Vec<usize>,
    pub(crate) fate: Arc<Fate>,
}

impl fmt::Debug for ReplaySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("replay")
    }
}

impl Spec for ReplaySpec {
    fn kind(&self) -> &'static str {
        "replay"
    }
    fn encode(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
    fn label(&self) -> String {
        String::new()
    }
}

impl SourceSpec for ReplaySpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(Replay { spec: self.clone(), held: BTreeMap::new(), cx }))
    }

    fn output_schema(&self) -> SchemaRef {
        let fields = schema();
        Arc::new(Schema::new(self.columns.iter().map(|&c| fields.field(c).clone()).collect::<Vec<_>>()))
    }

    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        let split = |index: usize| Assignment { split: SplitId::new(index.to_string()), position: None };
        self.distribute((0..self.input.splits.len()).map(split).collect(), parallelism)
    }

    fn parallelism_max(&self) -> Option<u32> {
        None
    }

    fn guarantee(&self) -> SourceGuarantee {
        SourceGuarantee::Replays
    }

    fn live(&self) -> bool {
        false
    }
}

struct Held {
    next: usize,
    /// Whether its end was told.
    ended: bool,
}

struct Replay {
    spec: ReplaySpec,
    held: BTreeMap<usize, Held>,
    cx: PieceContext,
}

/// What can be given, and from when on.
enum Due {
    Rows(usize),
    Later(Duration),
    SplitEnd(usize),
    End,
}

impl Replay {
    fn take_on(&mut self, splits: Vec<Assignment>) -> Result<()> {
        for Assignment { split, position } in splits {
            let index = index_of(&split)?;
            let next = match position {
                None => 0,
                Some(Position(bytes)) => bytes
                    .as_slice()
                    .try_into()
                    .map(u64::from_le_bytes)
                    .map_err(|_| Error::internal("a position is not eight bytes"))?
                    as usize,
            };
            self.held.insert(index, Held { next, ended: false });
        }
        Ok(())
    }

    fn assignment(&self, index: usize) -> Assignment {
        let next = self.held.get(&index).map_or(0, |held| held.next as u64);
        Assignment {
            split: SplitId::new(index.to_string()),
            position: Some(Position(next.to_le_bytes().to_vec())),
        }
    }

    /// The split whose next row can be read first.
    fn due(&self) -> Due {
        let rows = |index: usize| &self.spec.input.splits[index];
        let now = self.spec.fate.now();
        let first =
            self.held.iter().filter_map(|(&index, held)| Some((rows(index).get(held.next)?.at, index)));
        let over = self.held.iter().find(|(index, held)| !held.ended && held.next == rows(**index).len());
        match (over, first.min()) {
            (Some((&index, _)), _) => Due::SplitEnd(index),
            (None, None) if self.spec.input.over_at > now => Due::Later(self.spec.input.over_at - now),
            (None, None) => Due::End,
            (None, Some((at, index))) if at <= now => Due::Rows(index),
            (None, Some((at, _))) => Due::Later(at - now),
        }
    }

    fn give(&mut self, index: usize) -> SourceEvent {
        let rows = &self.spec.input.splits[index];
        let now = self.spec.fate.now();
        let held = self.held.entry(index).or_insert(Held { next: 0, ended: false });
        let rows_max = self.cx.rows_max.get().min(self.spec.input.read_rows_max);
        let ready = rows[held.next..].iter().take(rows_max).take_while(|row| row.at <= now);
        let ready: Vec<&Row> = ready.collect();
        held.next += ready.len();
        self.spec.fate.has_read();
        self.cx.counters.records_read.add(ready.len());
        SourceEvent::Rows { split: SplitId::new(index.to_string()), records: batch(&ready, &self.spec) }
    }
}

fn index_of(split: &SplitId) -> Result<usize> {
    split.as_str().parse().map_err(|_| Error::internal("splits are numbered"))
}

fn batch(rows: &[&Row], spec: &ReplaySpec) -> RecordBatch {
    let numbers = |pick: fn(&Row) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| pick(row))))
    };
    let column = |&column: &usize| match column {
        0 => numbers(|row| row.split),
        1 => numbers(|row| row.number),
        2 => numbers(|row| row.key),
        3 => numbers(|row| row.value),
        _ => Arc::new(TimestampNanosecondArray::from_iter_values(
            rows.iter().map(|row| row.time_ms * 1_000_000),
        )),
    };
    let columns: Vec<ArrayRef> = spec.columns.iter().map(column).collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(spec.output_schema(), columns, &options)
        .expect("the columns fit the schema")
}

impl Source for Replay {
    fn open(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        async move { self.take_on(splits) }.boxed()
    }

    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent>> {
        async move {
            loop {
                match self.due() {
                    Due::Later(pause) => tokio::time::sleep(pause).await,
                    Due::Rows(index) => return Ok(self.give(index)),
                    Due::End => return Ok(SourceEvent::End),
                    Due::SplitEnd(index) => {
                        self.held.entry(index).and_modify(|held| held.ended = true);
                        return Ok(SourceEvent::SplitEnd { split: SplitId::new(index.to_string()) });
                    }
                }
            }
        }
        .boxed()
    }

    fn positions(&mut self) -> Vec<Assignment> {
        self.held.keys().map(|&index| self.assignment(index)).collect()
    }

    fn assign(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        async move { self.take_on(splits) }.boxed()
    }

    fn revoke(&mut self, splits: &[SplitId]) -> BoxFuture<'_, Result<Vec<Assignment>>> {
        let given: Result<Vec<Assignment>> = splits
            .iter()
            .map(|split| {
                let index = index_of(split)?;
                let given = self.assignment(index);
                self.held.remove(&index);
                Ok(given)
            })
            .collect();
        async move { given }.boxed()
    }
}
