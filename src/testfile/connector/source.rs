//! A source that reads from memory, split by split.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures_util::future::BoxFuture;
use thalweg_dataflow::source::{Assignment, Position, SourceGuarantee};
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Error, EventTime, Result, Source, SourceEvent, SourceSpec, Spec};
use thalweg_state::SplitId;

use super::{Stretch, stays_in_process};

#[derive(Debug)]
pub(super) struct TestSourceSpec {
    table: String,
    schema: SchemaRef,
    splits: Arc<Vec<Vec<Stretch>>>,
}

impl TestSourceSpec {
    pub(super) fn new(table: String, schema: SchemaRef, splits: Arc<Vec<Vec<Stretch>>>) -> Self {
        Self { table, schema, splits }
    }

    fn split(&self, index: usize) -> SplitId {
        SplitId::new(format!("{}-{index}", self.table))
    }
}

impl Spec for TestSourceSpec {
    fn kind(&self) -> &'static str {
        "test_source"
    }

    fn encode(&self) -> Result<Vec<u8>> {
        stays_in_process()
    }

    fn label(&self) -> String {
        self.table.clone()
    }
}

impl SourceSpec for TestSourceSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Source>> {
        let readings = (0..self.splits.len()).map(|index| Reading::away(self.split(index))).collect();
        Ok(Box::new(TestSource { splits: Arc::clone(&self.splits), readings, cx, turn: 0 }))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        let mut dealt = vec![Vec::new(); parallelism as usize];
        for index in 0..self.splits.len() {
            dealt[index % parallelism as usize].push(Assignment { split: self.split(index), position: None });
        }
        Ok(dealt)
    }

    fn parallelism_max(&self) -> Option<u32> {
        u32::try_from(self.splits.len().max(1)).ok()
    }

    fn guarantee(&self) -> SourceGuarantee {
        SourceGuarantee::Replays
    }

    fn live(&self) -> bool {
        false
    }
}

/// Whether a split is read here, and how far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Away,
    Reading,
    Ended,
}

struct Reading {
    split: SplitId,
    state: State,
    /// The stretch, and the row within it, to be read next.
    at: (usize, usize),
}

impl Reading {
    fn away(split: SplitId) -> Self {
        Self { split, state: State::Away, at: (0, 0) }
    }

    fn assignment(&self) -> Assignment {
        let position = serde_json::to_vec(&self.at).expect("two numbers have a JSON form");
        Assignment { split: self.split.clone(), position: Some(Position(position)) }
    }
}

/// Reads its splits in turn, a batch of each.
struct TestSource {
    splits: Arc<Vec<Vec<Stretch>>>,
    readings: Vec<Reading>,
    cx: PieceContext,
    turn: usize,
}

impl TestSource {
    fn take_on(&mut self, splits: &[Assignment]) -> Result<()> {
        for assignment in splits {
            let reading = self
                .readings
                .iter_mut()
                .find(|r| r.split == assignment.split)
                .ok_or_else(|| Error::internal(format!("there is no split '{}'", assignment.split)))?;
            reading.state = State::Reading;
            if let Some(Position(bytes)) = &assignment.position {
                reading.at = serde_json::from_slice(bytes)
                    .map_err(|why| Error::internal("a test's position is unreadable").because(why))?;
            }
        }
        Ok(())
    }

    fn read(&mut self) -> SourceEvent {
        for _ in 0..self.readings.len() {
            let index = self.turn % self.readings.len();
            self.turn += 1;
            if self.readings[index].state == State::Reading {
                return self.read_split(index);
            }
        }
        SourceEvent::End
    }

    fn read_split(&mut self, index: usize) -> SourceEvent {
        let Reading { split, state, at } = &mut self.readings[index];
        let split = split.clone();
        loop {
            let (stretch, row) = *at;
            match self.splits[index].get(stretch) {
                None => {
                    *state = State::Ended;
                    return SourceEvent::SplitEnd { split };
                }
                Some(Stretch::Watermark(time)) => {
                    *at = (stretch + 1, 0);
                    return SourceEvent::Watermark { split, time: EventTime(*time) };
                }
                Some(Stretch::Dropped) => {
                    *at = (stretch + 1, 0);
                    self.cx.counters.records_read.add(1);
                    self.cx.counters.dropped.add(1);
                }
                Some(Stretch::Rows(records)) if row == records.num_rows() => *at = (stretch + 1, 0),
                Some(Stretch::Rows(records)) => {
                    let rows = self.cx.settings.batch_rows_max.min(records.num_rows() - row);
                    *at = (stretch, row + rows);
                    self.cx.counters.records_read.add(rows);
                    return SourceEvent::Rows { split, records: records.slice(row, rows) };
                }
            }
        }
    }
}

impl Source for TestSource {
    fn open(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        self.assign(splits)
    }

    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent>> {
        Box::pin(async move { Ok(self.read()) })
    }

    fn positions(&mut self) -> Vec<Assignment> {
        self.readings.iter().filter(|r| r.state != State::Away).map(Reading::assignment).collect()
    }

    fn assign(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.take_on(&splits) })
    }

    fn revoke(&mut self, splits: &[SplitId]) -> BoxFuture<'_, Result<Vec<Assignment>>> {
        let mut given = Vec::new();
        for reading in &mut self.readings {
            if splits.contains(&reading.split) && reading.state != State::Away {
                given.push(reading.assignment());
                reading.state = State::Away;
            }
        }
        Box::pin(async move { Ok(given) })
    }
}
