//! One operator over a stream written as text, with its contracts checked.
//!
//! ```text
//! text ─► events ─► batches of the wanted size ─► operator ─► output, normalised ─► text
//!                                                    └── pieces, watermarks, schema, counters: checked
//! ```
//!
//! The driver keeps the order of calls that a runtime keeps. What comes of one
//! line or block of rows is normalised: of its watermarks only the last is
//! kept, behind the rows, since how many there are depends on the batches.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int8Type, SchemaRef};
use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::operator::{Output, Settings};
use thalweg_dataflow::source::SplitEvent;
use thalweg_dataflow::text::{self, Event};
use thalweg_dataflow::{
    Batch, Context, Error, Functions, Operator, OperatorSpec, Port, ProcessingTime, Result, Step, Watermark,
    columns,
};
use thalweg_state::{Epoch, KeySpace, Restored, Snapshot, SplitId, Subtask};

use crate::past::Past;

/// The sizes of batches at which an operator must answer alike.
pub const BATCH_SIZES: [usize; 3] = [1, 3, 8192];

/// An operator that gives more pieces than this in one go is taken to be in a loop.
const PIECES_MAX: usize = 1_000_000;

/// What a `barrier` line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBarrier {
    /// The operator gives its snapshot, and goes on.
    GoOn,
    /// The operator gives a snapshot that is aborted, and at once one that becomes complete, and is
    /// thrown away; a new one is restored from all complete snapshots.
    Restore,
    /// The first snapshot is aborted, and the operator goes on; at the second it is thrown away; and so on.
    RestoreAfterAbort,
}

/// Drives one instance of an operator.
pub struct Driver<'a> {
    spec: &'a dyn OperatorSpec,
    operator: Box<dyn Operator>,
    counters: Arc<OperatorCounters>,
    settings: Settings,
    on_barrier: OnBarrier,
    main_schema: SchemaRef,
    now: ProcessingTime,
    timers: BTreeSet<ProcessingTime>,
    splits: BTreeSet<SplitId>,
    snapshots: Vec<Snapshot>,
    past: Past,
    epoch: Epoch,
    said: Watermark,
    output: Vec<Output>,
}

/// One call of the operator.
type Call<'c> = &'c mut dyn FnMut(&mut dyn Operator, &mut Context<'_>) -> Result<Step>;

impl<'a> Driver<'a> {
    /// An operator without a past, that gets and gives batches of at most `batch_rows_max` rows.
    pub fn new(spec: &'a dyn OperatorSpec, batch_rows_max: usize, on_barrier: OnBarrier) -> Result<Self> {
        Self::one_of(spec, batch_rows_max, on_barrier, (Subtask(0), 1))
    }

    /// The same of several instances, which one and of how many.
    pub(crate) fn one_of(
        spec: &'a dyn OperatorSpec,
        batch_rows_max: usize,
        on_barrier: OnBarrier,
        (subtask, parallelism): (Subtask, u32),
    ) -> Result<Self> {
        let settings = Settings { subtask, parallelism, batch_rows_max, key_space: KeySpace::default() };
        let mut driver = Self {
            spec,
            operator: spec.build(&Functions::default())?,
            counters: Arc::default(),
            settings,
            on_barrier,
            main_schema: spec.output_schema(),
            now: ProcessingTime(0),
            timers: BTreeSet::new(),
            splits: BTreeSet::new(),
            snapshots: Vec::new(),
            past: Past::default(),
            epoch: Epoch::FIRST,
            said: Watermark::START,
            output: Vec::new(),
        };
        driver.open(Restored::nothing())?;
        Ok(driver)
    }

    /// Runs over a stream and gives what came out of it, as text.
    ///
    /// # Panics
    /// If the text cannot be read, or the operator breaks a contract.
    pub fn run(&mut self, stream: &str) -> Result<String> {
        let from = self.output.len();
        for event in text::read(stream).unwrap_or_else(|why| panic!("{why}")) {
            let mark = self.output.len();
            self.event(event)?;
            let came = self.output.split_off(mark);
            self.output.extend(normalised(came));
        }
        self.call(&mut |operator, cx| operator.flush(cx))?;
        self.check_counters();
        Ok(text::write(&self.output[from..]))
    }

    /// Everything that came out so far.
    pub fn output(&self) -> &[Output] {
        &self.output
    }

    /// What was counted.
    pub fn counters(&self) -> &OperatorCounters {
        &self.counters
    }

    /// The snapshots that became complete so far, oldest first.
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    /// What complete epochs hold.
    pub fn past(&self) -> &Past {
        &self.past
    }

    /// The operator itself, for what no stream can say: `put` and `forget`.
    pub fn operator(&mut self) -> &mut dyn Operator {
        &mut *self.operator
    }

    pub(crate) fn event(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Rows { port, split, records } => {
                self.splits.extend(split.clone());
                let size = self.settings.batch_rows_max;
                for start in (0..records.num_rows()).step_by(size) {
                    let records = records.slice(start, size.min(records.num_rows() - start));
                    self.counters.rows_in.add(records.num_rows());
                    let batch = Batch { records, split: split.clone() };
                    self.call(&mut |operator, cx| operator.on_batch(port, batch.clone(), cx))?;
                }
                Ok(())
            }
            Event::Watermark(watermark) => {
                self.call(&mut |operator, cx| operator.on_watermark(watermark, cx))?;
                let watermark = self.operator.output_watermark(watermark);
                self.say(watermark);
                Ok(())
            }
            Event::Split(split, event) => {
                self.call(&mut |operator, cx| operator.flush(cx))?;
                match event {
                    SplitEvent::End => self.splits.remove(&split),
                    SplitEvent::Assigned | SplitEvent::Idle | SplitEvent::Watermark(_) => {
                        self.splits.insert(split.clone())
                    }
                };
                self.call(&mut |operator, cx| operator.on_split(&split, event, cx))
            }
            Event::Now(now) => {
                self.now = now;
                let later = self.timers.split_off(&ProcessingTime(now.0 + 1));
                for _ in std::mem::replace(&mut self.timers, later) {
                    self.call(&mut |operator, cx| operator.on_timer(now, cx))?;
                }
                Ok(())
            }
            Event::Flush => self.call(&mut |operator, cx| operator.flush(cx)),
            Event::Barrier => self.barrier(),
        }
    }

    pub(crate) fn rows_max(&self) -> usize {
        self.settings.batch_rows_max
    }

    /// The next operator will be another instance, which first answers to `epoch`.
    pub(crate) fn is_one_of(&mut self, (subtask, parallelism): (Subtask, u32), epoch: Epoch) {
        (self.settings.subtask, self.settings.parallelism) = (subtask, parallelism);
        self.epoch = epoch;
    }

    fn open(&mut self, restored: Restored) -> Result<()> {
        let mut restored = Some(restored);
        self.call(&mut |operator, cx| {
            operator.open(restored.take().unwrap_or_default(), cx)?;
            Ok(Step::Done)
        })
    }

    fn barrier(&mut self) -> Result<()> {
        let (complete, restore) = match self.on_barrier {
            OnBarrier::GoOn => (true, false),
            OnBarrier::Restore => {
                self.epoch(false)?;
                (true, true)
            }
            OnBarrier::RestoreAfterAbort => {
                let second = self.epoch.0.is_multiple_of(2);
                (second, second)
            }
        };
        self.epoch(complete)?;
        if restore { self.restore() } else { Ok(()) }
    }

    /// Takes one epoch, and settles it.
    fn epoch(&mut self, complete: bool) -> Result<()> {
        let (epoch, snapshot) = self.freeze()?;
        if complete {
            let groups = self.settings.key_space.share(0, 1);
            self.past.add(&[(snapshot.clone(), groups)]);
            self.snapshots.push(snapshot);
        }
        self.operator.on_settled(epoch, complete);
        Ok(())
    }

    /// Lets the operator give its snapshot to the next epoch.
    pub(crate) fn freeze(&mut self) -> Result<(Epoch, Snapshot)> {
        self.call(&mut |operator, cx| operator.flush(cx))?;
        let (epoch, mut snapshot) = (self.epoch, Snapshot::empty());
        self.call(&mut |operator, cx| {
            snapshot = operator.on_barrier(epoch, cx)?;
            Ok(Step::Done)
        })?;
        while let Some(more) = self.operator.copy_frozen(self.settings.batch_rows_max)? {
            snapshot.extend(more);
        }
        self.epoch = epoch.next();
        Ok((epoch, snapshot))
    }

    fn restore(&mut self) -> Result<()> {
        let groups = self.settings.key_space.share(0, 1);
        self.renew(self.past.restored(&groups))
    }

    /// Throws the operator away; a new one goes on from what is restored.
    pub(crate) fn renew(&mut self, restored: Restored) -> Result<()> {
        self.operator = self.spec.build(&Functions::default())?;
        self.timers.clear();
        self.open(restored)?;
        for split in self.splits.clone() {
            self.call(&mut |operator, cx| operator.on_split(&split, SplitEvent::Assigned, cx))?;
        }
        Ok(())
    }

    /// Makes a call and all the resumes that it asks for.
    fn call(&mut self, call: Call<'_>) -> Result<()> {
        let mut step = self.once(call)?;
        for _ in 0..PIECES_MAX {
            match step {
                Step::Done => return Ok(()),
                Step::More => step = self.once(&mut |operator, cx| operator.resume(cx))?,
            }
        }
        panic!("the operator gave {PIECES_MAX} pieces and still has more");
    }

    fn once(&mut self, call: Call<'_>) -> Result<Step> {
        let (mut output, mut timers) = (Vec::new(), Vec::new());
        let mut cx = Context::new(&self.counters, &mut output, &mut timers, &self.settings, self.now);
        let step = call(&mut *self.operator, &mut cx)?;
        self.timers.extend(timers);
        let rows: usize = output.iter().map(rows_of).sum();
        let bound = self.settings.batch_rows_max;
        assert!(step == Step::Done || rows <= bound, "an operator that has more gave {rows} rows at once");
        for output in output {
            self.take(output);
        }
        Ok(step)
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Watermark(watermark) => self.say(watermark),
            Output::Idle => self.output.push(output),
            Output::Batch(port, ref records) => {
                let bound = self.settings.batch_rows_max;
                assert!(
                    records.num_rows() <= bound,
                    "a piece of {} rows, more than {bound}",
                    records.num_rows()
                );
                if port == Port::MAIN {
                    assert_eq!(records.schema(), self.main_schema, "the output is not of the spec's schema");
                }
                self.counters.rows_out.add(records.num_rows());
                self.output.push(output);
            }
        }
    }

    fn say(&mut self, watermark: Watermark) {
        if watermark > self.said {
            self.said = watermark;
            self.output.push(Output::Watermark(watermark));
        }
    }

    pub(crate) fn check_counters(&self) {
        let c = &self.counters;
        let told = [&c.taken, &c.filtered, &c.late, &c.refused].map(|counter| counter.get());
        let [taken, filtered, late, refused] = told;
        assert_eq!(
            c.rows_in.get(),
            told.iter().sum::<u64>(),
            "rows in = {taken} taken + {filtered} filtered + {late} late + {refused} refused"
        );
    }
}

fn rows_of(output: &Output) -> usize {
    match output {
        Output::Batch(_, records) => records.num_rows(),
        Output::Watermark(_) | Output::Idle => 0,
    }
}

/// The rows in their order, then the last watermark, then idle if that was the last word.
fn normalised(output: Vec<Output>) -> impl Iterator<Item = Output> {
    let (rows, mut times): (Vec<_>, Vec<_>) =
        output.into_iter().partition(|o| matches!(o, Output::Batch(..)));
    let idle = times.pop_if(|o| matches!(o, Output::Idle));
    let watermark = times.into_iter().rfind(|o| matches!(o, Output::Watermark(_)));
    rows.into_iter().chain(watermark).chain(idle)
}

/// Runs a stream at every batch size, going on and restoring at its barriers,
/// and gives the one answer.
///
/// # Panics
/// If the answers differ, in output or in what was counted.
pub fn at_every_batch_size(spec: &dyn OperatorSpec, stream: &str) -> Result<String> {
    let mut first: Option<(String, [u64; 5])> = None;
    for size in BATCH_SIZES {
        for on_barrier in [OnBarrier::GoOn, OnBarrier::Restore, OnBarrier::RestoreAfterAbort] {
            let mut driver = Driver::new(spec, size, on_barrier)?;
            let answer = driver.run(stream).map_err(|e| e.in_site(spec.kind()))?;
            let c = driver.counters();
            let counted = [&c.taken, &c.filtered, &c.late, &c.refused, &c.ahead].map(|counter| counter.get());
            let (text, counts) = first.get_or_insert((answer.clone(), counted));
            assert_eq!(&answer, text, "the answer differs at {size} rows a batch, {on_barrier:?}");
            assert_eq!(&counted, counts, "the counters differ at {size} rows a batch, {on_barrier:?}");
        }
    }
    first.map(|(text, _)| text).ok_or_else(|| Error::internal("there are no batch sizes"))
}

/// The table that a changelog's main port comes to: one line per row that is left, sorted.
///
/// # Panics
/// If a row was retracted more often than asserted.
pub fn consolidated(output: &[Output]) -> String {
    let (mut asserts, mut retracts) = (Vec::new(), Vec::new());
    for output in output {
        let Output::Batch(Port::MAIN, records) = output else { continue };
        let diff = records.schema_ref().index_of(columns::DIFF).expect("a changelog has '_diff'");
        let diffs = records.column(diff).as_primitive::<Int8Type>().values().clone();
        let data: Vec<usize> = (0..records.num_columns()).filter(|&index| index != diff).collect();
        let data = records.project(&data).expect("the columns are there");
        for (asserted, lines) in [(true, &mut asserts), (false, &mut retracts)] {
            let mask: BooleanArray = diffs.iter().map(|&diff| Some((diff > 0) == asserted)).collect();
            let rows = filter_record_batch(&data, &mask).expect("a mask of the batch's own length");
            lines.extend(text::write_rows(&rows).lines().map(str::to_owned));
        }
    }
    asserts.sort_unstable();
    for retract in retracts {
        let at =
            asserts.binary_search(&retract).unwrap_or_else(|_| panic!("'{retract}' is retracted too often"));
        asserts.remove(at);
    }
    asserts.iter().map(|line| format!("{line}\n")).collect()
}
