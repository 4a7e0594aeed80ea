//! A program in a test: one thread, no clock, nothing that waits.
//!
//! The driver gives frames and records to the sources of a program, in the
//! order of the calls, and keeps what comes to its sinks. Every operator has
//! one subtask. The same calls give the same output, always.
//!
//! ```text
//!  frame, feed, watermark, end ─► operators, each carried through before the next ─► output, text
//! ```

mod hand;
mod names;
mod node;

pub use hand::{frames, kept, records, table};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::operator::Settings;
use thalweg_dataflow::source::SplitEvent;
use thalweg_dataflow::{
    Batch, Code, Context, Distribution, Error, EventTime, Functions, Graph, Operator, Output, Port,
    ProcessingTime, Result, Step, Watermark,
};
use thalweg_state::{Epoch, KeySpace, Restored, SplitId, Subtask};

use crate::application::{Application, Program};
use crate::columns::{Record, Table, VALUE, WriteRows, without_own};
use crate::sql::NoSql;
use node::{Driven, Inputs, Node, Target};

/// The most rows of a batch, unless it is set.
const BATCH_ROWS_MAX: usize = 8192;

/// The split of all that is given without one.
const SPLIT: &str = "0";

/// An operator that gives more pieces than this in one go is taken to be in a loop.
const PIECES_MAX: usize = 1_000_000;

/// Drives a program by hand.
///
/// ```
/// use thalweg_app::{Application, Driver, decode, encode};
/// use thalweg_app::driver::{frames, kept};
///
/// let application = Application::new("shout");
/// application
///     .source("words", frames(), decode::utf8())
///     .map(|word: String| word.to_uppercase())
///     .sink("out", kept(), encode::display);
///
/// let mut driver = Driver::new(application).map_err(|errors| errors[0].clone())?;
/// driver.frame("words", "ping")?;
/// assert_eq!(driver.frames("out"), ["PING".as_bytes()]);
/// # Ok::<(), thalweg_dataflow::Error>(())
/// ```
pub struct Driver {
    graph: Graph,
    functions: Functions,
    nodes: Vec<Node>,
    settings: Settings,
    now: ProcessingTime,
    timers: BTreeSet<(ProcessingTime, usize)>,
    epoch: Epoch,
}

/// One call of an operator.
type Call<'c> = &'c mut dyn FnMut(&mut dyn Operator, &mut Context<'_>) -> Result<Step>;

impl Driver {
    /// Drives an application that uses no SQL.
    ///
    /// # Errors
    /// All that is wrong with the application.
    pub fn new(application: Application) -> Result<Self, Vec<Error>> {
        Self::of(application.build(&NoSql, Duration::MAX)?).map_err(|error| vec![error])
    }

    /// Drives a program.
    pub fn of(program: Program) -> Result<Self> {
        let Program { graph, functions, .. } = program;
        let settings = Settings {
            subtask: Subtask(0),
            parallelism: 1,
            batch_rows_max: BATCH_ROWS_MAX,
            key_space: KeySpace::default(),
        };
        let nodes = graph.nodes().map(|(id, _)| Node::new(&graph, &functions, id));
        let nodes = nodes.collect::<Result<Vec<_>>>()?;
        let (now, timers, epoch) = (ProcessingTime(0), BTreeSet::new(), Epoch::FIRST);
        let mut driver = Self { graph, functions, nodes, settings, now, timers, epoch };
        driver.open(|_| Restored::nothing())?;
        Ok(driver)
    }

    /// From now on no operator gets or gives more rows than this in one batch.
    pub fn set_batch_rows_max(&mut self, rows: usize) {
        self.settings.batch_rows_max = rows.max(1);
    }

    /// Sets the processing time, which starts at 0, and fires the timers that are due.
    pub fn at(&mut self, now: ProcessingTime) -> Result<()> {
        self.now = now;
        let later = self.timers.split_off(&(ProcessingTime(now.0.saturating_add(1)), 0));
        for (_, node) in std::mem::replace(&mut self.timers, later) {
            self.call(node, &mut |operator, cx| operator.on_timer(now, cx))?;
        }
        Ok(())
    }

    /// Gives one frame to a source, and carries it through the program.
    pub fn frame(&mut self, source: &str, frame: impl AsRef<[u8]>) -> Result<()> {
        self.frame_of(source, SPLIT, frame)
    }

    /// Gives one frame of a split of its own to a source: a connection, a partition.
    pub fn frame_of(&mut self, source: &str, split: &str, frame: impl AsRef<[u8]>) -> Result<()> {
        let value: FieldRef = Arc::new(Field::new(VALUE, DataType::Binary, false));
        let frames: ArrayRef = Arc::new(BinaryArray::from_iter_values([frame]));
        for node in self.sources(source)? {
            if !self.nodes[node]
                .schema()?
                .fields()
                .iter()
                .any(|own| own.data_type() == value.data_type() && own.name() == VALUE)
            {
                let what = format!("the source '{source}' takes rows, and no frames");
                return Err(wrong(what).with_help("give it rows: by 'feed_rows', or in Python by 'rows_in'"));
            }
            let (fields, frames) = ([Arc::clone(&value)], [Arc::clone(&frames)]);
            self.give_rows(node, source, split, &fields, &frames, 1)?;
        }
        Ok(())
    }

    /// Gives one record to a source of columns, seen at `time`, and carries it through the program.
    ///
    /// The record's event time is `time` too, unless the program tells it from the record.
    pub fn feed<T: Record>(&mut self, source: &str, record: &T, time: EventTime) -> Result<()> {
        let nodes = self.sources(source)?;
        let table = Table::<T>::find();
        let mut writer = table.writer()?;
        writer.push(record)?;
        let columns = writer.finish()?;
        self.at(ProcessingTime(time.0))?;
        nodes
            .into_iter()
            .try_for_each(|node| self.give_rows(node, source, SPLIT, &table.fields(), &columns, 1))
    }

    /// Gives rows of a split to a source of columns, in batches that are as large as may be.
    pub fn feed_rows(&mut self, source: &str, split: &str, rows: &RecordBatch) -> Result<()> {
        let nodes = self.sources(source)?;
        let fields = rows.schema();
        let most = self.settings.batch_rows_max;
        for start in (0..rows.num_rows()).step_by(most) {
            let piece = rows.slice(start, most.min(rows.num_rows() - start));
            for &node in &nodes {
                self.give_rows(node, source, split, fields.fields(), piece.columns(), piece.num_rows())?;
            }
        }
        Ok(())
    }

    /// The sources that this name means, each under a name that means it alone, with the columns that are read of it.
    ///
    /// A table of a script is one; a table of several scripts is one in each of them.
    pub fn columns_of(&self, source: &str) -> Result<Vec<(String, SchemaRef)>> {
        let columns = |&node: &usize| Ok((self.nodes[node].name.clone(), self.nodes[node].schema()?));
        self.sources(source)?.iter().map(columns).collect()
    }

    /// The source says that no more records before `time` will come.
    pub fn watermark(&mut self, source: &str, time: EventTime) -> Result<()> {
        for node in self.sources(source)? {
            self.assign(node, &SplitId::new(SPLIT))?;
            for split in self.nodes[node].splits.clone() {
                self.split(node, &split, SplitEvent::Watermark(time))?;
            }
        }
        self.flush()
    }

    /// All sources were read to their end: windows close, and nothing may be fed any more.
    pub fn end(&mut self) -> Result<()> {
        for node in 0..self.nodes.len() {
            if matches!(self.nodes[node].driven, Driven::Source(_)) {
                self.tell(node, None, Watermark::END)?;
            }
        }
        self.flush()
    }

    /// Takes a checkpoint, throws every operator away, and goes on with new ones from the checkpoint.
    pub fn restart(&mut self) -> Result<()> {
        let epoch = self.epoch;
        self.epoch = epoch.next();
        for node in 0..self.nodes.len() {
            let mut snapshot = None;
            self.call(node, &mut |operator, cx| operator.flush(cx))?;
            self.call(node, &mut |operator, cx| {
                let frozen = snapshot.insert(operator.on_barrier(epoch, cx)?);
                while let Some(more) = operator.copy_frozen(cx.batch_rows_max())? {
                    frozen.extend(more);
                }
                Ok(Step::Done)
            })?;
            self.nodes[node].snapshots.extend(snapshot);
        }
        self.timers.clear();
        for (id, _) in self.graph.nodes() {
            self.nodes[id.0 as usize].renew(&self.graph, &self.functions, id)?;
        }
        self.open(|node| node.snapshots.iter().cloned().collect())
    }

    /// The frames that came to a sink so far.
    ///
    /// # Panics
    /// If there is no such sink, or it takes rows.
    pub fn frames(&self, sink: &str) -> Vec<Vec<u8>> {
        let frames = self.output(sink);
        frames.unwrap_or_else(|why| panic!("{why}"))
    }

    /// The frames that came to a sink so far, one behind the other, as one text.
    ///
    /// # Panics
    /// If there is no such sink, or it takes rows, or they are no text.
    pub fn text(&self, sink: &str) -> String {
        let text = String::from_utf8(self.frames(sink).concat());
        text.unwrap_or_else(|why| panic!("what came to '{sink}' is no text: {why}"))
    }

    /// The records that came to a sink of rows so far.
    pub fn output<U: Record>(&self, sink: &str) -> Result<Vec<U>> {
        let table = Table::<U>::find();
        let mut records = Vec::new();
        for batch in self.kept(sink)? {
            let schema = batch.schema();
            table.check(&schema)?;
            let indices = table.columns_of(&schema);
            let fields: Vec<_> = indices.iter().map(|&i| Arc::clone(&schema.fields()[i])).collect();
            let columns: Vec<_> = indices.iter().map(|&i| Arc::clone(batch.column(i))).collect();
            records.extend(table.read(&fields, &columns)?);
        }
        Ok(records)
    }

    /// The rows that came to a sink so far, without the engine's own columns.
    pub fn rows(&self, sink: &str) -> Result<Vec<RecordBatch>> {
        self.kept(sink)?.into_iter().map(without_own).collect()
    }

    /// What an operator, source or sink has counted, by its name in the graph.
    pub fn counters(&self, name: &str) -> Option<&OperatorCounters> {
        self.nodes.iter().find(|node| node.name == name).map(|node| &*node.counters)
    }

    fn open(&mut self, restored: impl Fn(&Node) -> Restored) -> Result<()> {
        for node in 0..self.nodes.len() {
            let mut past = Some(restored(&self.nodes[node]));
            self.call(node, &mut |operator, cx| {
                operator.open(past.take().unwrap_or_default(), cx)?;
                Ok(Step::Done)
            })?;
        }
        for node in 0..self.nodes.len() {
            for split in self.nodes[node].splits.clone() {
                self.split(node, &split, SplitEvent::Assigned)?;
            }
        }
        Ok(())
    }

    /// Gives rows with these columns to a source, nulls in all others that it has.
    fn give_rows(
        &mut self,
        node: usize,
        source: &str,
        split: &str,
        fields: &[FieldRef],
        columns: &[ArrayRef],
        rows: usize,
    ) -> Result<()> {
        let schema = self.nodes[node].schema()?;
        let column = |wanted: &FieldRef| {
            let fits = |own: &FieldRef| own.name() == wanted.name() && own.data_type() == wanted.data_type();
            match fields.iter().position(fits) {
                Some(at) => Ok(Arc::clone(&columns[at])),
                None if wanted.is_nullable() => Ok(new_null_array(wanted.data_type(), rows)),
                None => {
                    Err(wrong(format!("nothing fits the column '{}' of source '{source}'", wanted.name())))
                }
            }
        };
        let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let records = RecordBatch::try_new_with_options(schema, columns, &options)
            .map_err(|e| Error::internal("a row does not fit its source").because(e))?;
        let split = SplitId::new(split);
        self.assign(node, &split)?;
        self.give(node, Port::MAIN, Batch { records, split: Some(split) })?;
        self.flush()
    }

    /// The source reads this split from now on.
    fn assign(&mut self, node: usize, split: &SplitId) -> Result<()> {
        match self.nodes[node].splits.insert(split.clone()) {
            true => self.split(node, split, SplitEvent::Assigned),
            false => Ok(()),
        }
    }

    fn split(&mut self, node: usize, split: &SplitId, event: SplitEvent) -> Result<()> {
        for target in self.nodes[node].targets.clone() {
            let joined = self.graph.edges()[target.edge].distribution == Distribution::Forward;
            if joined && matches!(self.nodes[target.node].driven, Driven::Operator(_)) {
                self.call(target.node, &mut |operator, cx| operator.flush(cx))?;
                self.call(target.node, &mut |operator, cx| operator.on_split(split, event, cx))?;
                self.split(target.node, split, event)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        (0..self.nodes.len()).try_for_each(|node| self.call(node, &mut |operator, cx| operator.flush(cx)))
    }

    /// Hands rows to all that read this output.
    fn give(&mut self, node: usize, port: Port, batch: Batch) -> Result<()> {
        for Target { node, input, .. } in self.nodes[node].targets_of(port) {
            match &mut self.nodes[node].driven {
                Driven::Sink(batches) => batches.push(batch.records.clone()),
                Driven::Operator(_) => {
                    self.nodes[node].counters.rows_in.add(batch.rows());
                    self.call(node, &mut |operator, cx| operator.on_batch(input, batch.clone(), cx))?;
                }
                Driven::Source(_) => {}
            }
        }
        Ok(())
    }

    /// Tells all that read the outputs of an input, or any, of a watermark.
    fn tell(&mut self, node: usize, input: Option<Port>, watermark: Watermark) -> Result<()> {
        let targets = self.nodes[node].targets.iter().copied();
        let targets: Vec<Target> =
            targets.filter(|target| input.is_none_or(|input| target.of == input)).collect();
        for target in targets {
            self.hear(target, watermark)?;
        }
        Ok(())
    }

    fn hear(&mut self, target: Target, watermark: Watermark) -> Result<()> {
        let node = target.node;
        let Inputs { lowest, of_port } = self.nodes[node].hear(target, watermark);
        if let Some(lowest) = lowest {
            self.call(node, &mut |operator, cx| operator.on_watermark(lowest, cx))?;
        }
        let Driven::Operator(operator) = &self.nodes[node].driven else { return Ok(()) };
        let said = |watermark| match watermark {
            Watermark::END => Watermark::END,
            watermark => operator.output_watermark(watermark),
        };
        match (self.nodes[node].per_port, of_port, lowest) {
            (true, Some(watermark), _) => {
                let watermark = said(watermark);
                self.tell(node, Some(target.input), watermark)
            }
            (false, _, Some(watermark)) => {
                let watermark = said(watermark);
                self.tell(node, None, watermark)
            }
            (true, None, _) | (false, _, None) => Ok(()),
        }
    }

    /// Makes a call and all the resumes that it asks for; what comes out is carried through before each.
    fn call(&mut self, node: usize, call: Call<'_>) -> Result<()> {
        let mut step = self.once(node, call)?;
        for _ in 0..PIECES_MAX {
            match step {
                Step::Done => return Ok(()),
                Step::More => step = self.once(node, &mut |operator, cx| operator.resume(cx))?,
            }
        }
        Err(Error::new(Code::LimitReached, format!("'{}' gives output without end", self.nodes[node].name)))
    }

    fn once(&mut self, node: usize, call: Call<'_>) -> Result<Step> {
        let (mut output, mut timers) = (Vec::new(), Vec::new());
        let Node { driven, counters, name, .. } = &mut self.nodes[node];
        let Driven::Operator(operator) = driven else { return Ok(Step::Done) };
        let mut cx = Context::new(counters, &mut output, &mut timers, &self.settings, self.now);
        let step = call(&mut **operator, &mut cx).map_err(|error| error.in_site(format!("'{name}'")))?;
        self.timers.extend(timers.into_iter().map(|at| (at, node)));
        for output in output {
            match output {
                Output::Batch(port, records) => self.give(node, port, Batch::new(records))?,
                Output::Watermark(watermark) => self.tell(node, None, watermark)?,
                // Nothing here waits for a silent split.
                Output::Idle => {}
            }
        }
        Ok(step)
    }
}

fn wrong(what: String) -> Error {
    Error::new(Code::InvalidProgram, what)
}
