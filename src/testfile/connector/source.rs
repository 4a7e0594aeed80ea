//! A source that reads from memory, split by split, as far as its gate lets it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures_util::future::BoxFuture;
use thalweg_dataflow::source::{Assignment, Position, SourceGuarantee};
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Error, EventTime, Result, Source, SourceEvent, SourceSpec, Spec};
use thalweg_state::SplitId;

use super::{Gate, Stretch, stays_in_process};

#[derive(Debug)]
pub(super) struct TestSourceSpec {
    table: String,
    schema: SchemaRef,
    splits: Arc<Vec<Vec<Stretch>>>,
    gate: Option<Gate>,
}

impl TestSourceSpec {
    /// With a gate there are as many subtasks as the job has, whatever there is to read, and another
    /// number of them always means that splits move.
    pub(super) fn new(
        table: String,
        schema: SchemaRef,
        splits: Arc<Vec<Vec<Stretch>>>,
        gate: Option<Gate>,
    ) -> Self {
        if let Some(gate) = &gate {
            gate.expect(splits.iter().map(|split| 1 + split.iter().map(steps).sum::<u64>()).sum());
        }
        Self { table, schema, splits, gate }
    }

    fn split(&self, index: usize) -> SplitId {
        SplitId::new(format!("{}-{index}", self.table))
    }

    /// Deals out from the last subtask backwards.
    fn deal(&self, splits: Vec<Assignment>, parallelism: u32) -> Vec<Vec<Assignment>> {
        let subtasks = parallelism as usize;
        let mut dealt = vec![Vec::new(); subtasks];
        for (index, assignment) in splits.into_iter().enumerate() {
            dealt[subtasks - 1 - index % subtasks].push(assignment);
        }
        dealt
    }
}

/// The steps at the gate that a stretch takes.
fn steps(stretch: &Stretch) -> u64 {
    match stretch {
        Stretch::Rows(records) => records.num_rows() as u64,
        Stretch::Watermark(_) | Stretch::Dropped => 1,
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
        let (splits, gate) = (Arc::clone(&self.splits), self.gate.clone());
        Ok(Box::new(TestSource { splits, readings, cx, gate, turn: 0 }))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        let fresh = |index| Assignment { split: self.split(index), position: None };
        Ok(self.deal((0..self.splits.len()).map(fresh).collect(), parallelism))
    }

    fn distribute(&self, mut known: Vec<Assignment>, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        known.sort_by(|a, b| a.split.cmp(&b.split));
        if known.len() != self.splits.len() || known.windows(2).any(|pair| pair[0].split == pair[1].split) {
            let what = format!("the splits of '{}' are not those that it began with", self.table);
            return Err(Error::internal(what).because(format!("{known:?}")));
        }
        Ok(self.deal(known, parallelism))
    }

    fn parallelism_max(&self) -> Option<u32> {
        match self.gate {
            Some(_) => None,
            None => u32::try_from(self.splits.len().max(1)).ok(),
        }
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
    gate: Option<Gate>,
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

    /// What comes next; none, if the gate is closed to it.
    fn read(&mut self) -> Option<SourceEvent> {
        for _ in 0..self.readings.len() {
            let index = self.turn % self.readings.len();
            self.turn += 1;
            if self.readings[index].state == State::Reading
                && let Some(event) = self.read_split(index)
            {
                return Some(event);
            }
        }
        let is_held = self.gate.as_ref().is_some_and(Gate::holds_ends);
        let is_reading = self.readings.iter().any(|r| r.state == State::Reading);
        (!is_held && !is_reading).then_some(SourceEvent::End)
    }

    /// How many of `most` steps may be made.
    fn take(&self, most: usize) -> usize {
        self.gate.as_ref().map_or(most, |gate| gate.take(most))
    }

    fn read_split(&mut self, index: usize) -> Option<SourceEvent> {
        loop {
            let Reading { split, at, .. } = &self.readings[index];
            let (split, (stretch, row)) = (split.clone(), *at);
            let at = match self.splits[index].get(stretch) {
                None => {
                    let may_end = self.gate.as_ref().is_none_or(Gate::take_end);
                    return may_end.then(|| {
                        self.readings[index].state = State::Ended;
                        SourceEvent::SplitEnd { split }
                    });
                }
                Some(Stretch::Rows(records)) if row == records.num_rows() => (stretch + 1, 0),
                Some(Stretch::Rows(records)) => {
                    let rows = self.take(self.cx.rows_max.get().min(records.num_rows() - row));
                    let records = records.slice(row, rows);
                    self.readings[index].at = (stretch, row + rows);
                    self.cx.counters.records_read.add(rows);
                    return (rows > 0).then_some(SourceEvent::Rows { split, records });
                }
                Some(Stretch::Watermark(_) | Stretch::Dropped) if self.take(1) == 0 => return None,
                Some(Stretch::Watermark(time)) => {
                    let time = EventTime(*time);
                    self.readings[index].at = (stretch + 1, 0);
                    return Some(SourceEvent::Watermark { split, time });
                }
                Some(Stretch::Dropped) => {
                    self.cx.counters.records_read.add(1);
                    self.cx.counters.dropped.add(1);
                    (stretch + 1, 0)
                }
            };
            self.readings[index].at = at;
        }
    }
}

impl Source for TestSource {
    fn open(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        self.assign(splits)
    }

    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent>> {
        Box::pin(async move {
            loop {
                let gate = self.gate.clone();
                let opened = gate.as_ref().map(Gate::opened);
                match (self.read(), opened) {
                    (Some(event), _) => return Ok(event),
                    (None, Some(opened)) => opened.await,
                    (None, None) => return Err(Error::internal("a source without a gate is held up")),
                }
            }
        })
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
