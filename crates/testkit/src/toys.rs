//! Sources, operators and sinks that do what a test says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt16Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::operator::Age;
use thalweg_dataflow::sink::{Close, Committer, SinkGuarantee};
use thalweg_dataflow::source::{Assignment, Position, SourceGuarantee};
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{
    Batch, Committable, Context, Distribution, Edge, EventTime, Functions, Graph, Node, NodeId, Operator,
    OperatorSpec, Port, Result, Sink, SinkSpec, Source, SourceEvent, SourceSpec, SplitEvent, Step, Watermark,
};
use thalweg_state::{
    Epoch, FrozenTable, Incarnation, JobId, KEY_GROUP_COLUMN, KeyGroup, KeyGroups, KeySpace, OperatorId,
    Snapshot, SplitId, hash_keys,
};
use tokio::sync::watch;

/// Key, value.
pub fn schema() -> SchemaRef {
    let column = |name| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![column("k"), column("v")]))
}

/// Rows of the [`schema`].
pub fn rows(rows: &[(i64, i64)]) -> RecordBatch {
    let keys = Int64Array::from_iter_values(rows.iter().map(|r| r.0));
    let values = Int64Array::from_iter_values(rows.iter().map(|r| r.1));
    RecordBatch::try_new(schema(), vec![Arc::new(keys), Arc::new(values)]).expect("the columns fit")
}

/// The rows of a batch, as [`rows`] takes them.
pub fn pairs(records: &RecordBatch) -> Vec<(i64, i64)> {
    let column = |i: usize| records.column(i).as_primitive::<Int64Type>().values().to_vec();
    column(0).into_iter().zip(column(1)).collect()
}

/// Makes a type a spec that never travels.
#[macro_export]
macro_rules! toy_spec {
    ($type:ty) => {
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("toy")
            }
        }

        impl thalweg_dataflow::Spec for $type {
            fn kind(&self) -> &'static str {
                "toy"
            }
            fn encode(&self) -> Result<Vec<u8>> {
                Ok(Vec::new())
            }
            fn label(&self) -> String {
                String::new()
            }
        }
    };
}

/// Which call fails, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The name of the call.
    pub call: &'static str,
    /// Whether it panics rather than fails.
    pub panics: bool,
}

impl Fault {
    /// Fails or panics if `call` is the one.
    pub fn strike(fault: Option<Fault>, call: &str) -> Result<()> {
        match fault {
            Some(Fault { call: at, panics: true }) if at == call => panic!("planted panic in {call}"),
            Some(Fault { call: at, panics: false }) if at == call => {
                Err(thalweg_dataflow::Error::new(thalweg_dataflow::Code::OperatorFailed, "planted error")
                    .because(call))
            }
            _ => Ok(()),
        }
    }
}

// ---- sources ----

/// Splits of given lengths. The value of row n is n, its key n modulo `keys`; with `times`, a watermark n follows row n.
#[derive(Clone)]
pub struct Numbers {
    /// The rows of each split.
    pub lengths: Vec<i64>,
    /// The most rows of a batch.
    pub batch_rows: usize,
    /// How many keys there are.
    pub keys: i64,
    /// Whether each batch is followed by a watermark of its split.
    pub times: bool,
    /// Waits at the end for ever.
    pub endless: bool,
    /// Comes to rest after each batch for this long.
    pub pause: Option<Duration>,
    /// What goes wrong.
    pub fault: Option<Fault>,
}

impl Numbers {
    /// One batch of so many rows after the other, of each split in turn.
    pub fn new(lengths: &[i64], batch_rows: usize) -> Self {
        let lengths = lengths.to_vec();
        Self { lengths, batch_rows, keys: 97, times: false, endless: false, pause: None, fault: None }
    }
}

toy_spec!(Numbers);

impl SourceSpec for Numbers {
    fn build(&self, _: PieceContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(NumbersSource {
            spec: self.clone(),
            splits: Vec::new(),
            done: Vec::new(),
            turn: 0,
            time_due: None,
            paused: false,
        }))
    }
    fn output_schema(&self) -> SchemaRef {
        schema()
    }
    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        let mut splits = vec![Vec::new(); parallelism as usize];
        for split in 0..self.lengths.len() {
            let assignment = Assignment { split: SplitId::new(split.to_string()), position: None };
            splits[split % parallelism as usize].push(assignment);
        }
        Ok(splits)
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

struct NumbersSource {
    spec: Numbers,
    /// Split and next row.
    splits: Vec<(SplitId, i64)>,
    /// Splits that were read to their end, with the position behind it.
    done: Vec<(SplitId, i64)>,
    turn: usize,
    time_due: Option<(SplitId, i64)>,
    paused: bool,
}

impl NumbersSource {
    fn length(&self, split: &SplitId) -> i64 {
        self.spec.lengths[split.as_str().parse::<usize>().expect("splits are numbered")]
    }

    fn event(&mut self) -> Option<SourceEvent> {
        if let Some((split, time)) = self.time_due.take() {
            return Some(SourceEvent::Watermark { split, time: EventTime(time) });
        }
        if self.splits.is_empty() {
            return Some(SourceEvent::End);
        }
        let unread = |turn: &usize| self.splits[*turn].1 < self.length(&self.splits[*turn].0);
        let turns = (1..=self.splits.len()).map(|i| (self.turn + i) % self.splits.len());
        self.turn = turns.clone().find(unread).unwrap_or_else(|| (self.turn + 1) % self.splits.len());
        let (split, next) = self.splits[self.turn].clone();
        let end = self.length(&split).min(next + self.spec.batch_rows as i64);
        if next == end {
            if self.spec.endless {
                return None;
            }
            self.done.push(self.splits.remove(self.turn));
            return Some(SourceEvent::SplitEnd { split });
        }
        self.splits[self.turn].1 = end;
        self.time_due = self.spec.times.then(|| (split.clone(), end - 1));
        let records = rows(&(next..end).map(|n| (n % self.spec.keys, n)).collect::<Vec<_>>());
        Some(SourceEvent::Rows { split, records })
    }
}

/// A split and its next row.
fn place(assignment: Assignment) -> (SplitId, i64) {
    let next =
        |position: Position| i64::from_le_bytes(position.0.try_into().expect("a position is eight bytes"));
    (assignment.split, assignment.position.map_or(0, next))
}

impl Source for NumbersSource {
    fn open(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        async move {
            Fault::strike(self.spec.fault, "open")?;
            self.splits = splits.into_iter().map(place).collect();
            Ok(())
        }
        .boxed()
    }
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent>> {
        async move {
            Fault::strike(self.spec.fault, "next")?;
            if let Some(pause) = self.spec.pause
                && !std::mem::replace(&mut self.paused, true)
            {
                tokio::time::sleep(pause).await;
            }
            self.paused = false;
            match self.event() {
                Some(event) => Ok(event),
                None => std::future::pending().await,
            }
        }
        .boxed()
    }
    fn positions(&mut self) -> Vec<Assignment> {
        Fault::strike(self.spec.fault, "positions").expect("positions cannot fail");
        let position = |next: i64| Some(Position(next.to_le_bytes().to_vec()));
        let held = self.splits.iter().chain(&self.done);
        held.map(|(s, next)| Assignment { split: s.clone(), position: position(*next) }).collect()
    }
    fn assign(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        self.splits.extend(splits.into_iter().map(place));
        async { Ok(()) }.boxed()
    }
    fn revoke(&mut self, splits: &[SplitId]) -> BoxFuture<'_, Result<Vec<Assignment>>> {
        self.time_due = None;
        let given = self.positions().into_iter().filter(|a| splits.contains(&a.split)).collect();
        self.splits.retain(|(split, _)| !splits.contains(split));
        self.done.retain(|(split, _)| !splits.contains(split));
        async { Ok(given) }.boxed()
    }
    fn on_settled(&mut self, _: Epoch, _: bool) -> BoxFuture<'_, Result<()>> {
        async { Fault::strike(self.spec.fault, "on_settled") }.boxed()
    }
}

// ---- operators ----

/// Builds operators with a closure.
pub struct Made(pub Box<dyn Fn() -> Box<dyn Operator> + Send + Sync>);

toy_spec!(Made);

/// The spec of copies of an operator.
pub fn made<O: Operator + Clone + Sync + 'static>(operator: O) -> Arc<Made> {
    Arc::new(Made(Box::new(move || Box::new(operator.clone()))))
}

impl OperatorSpec for Made {
    fn build(&self, _: &Functions) -> Result<Box<dyn Operator>> {
        Ok(self.0())
    }
    fn output_schema(&self) -> SchemaRef {
        schema()
    }
}

/// Gives on what it gets. Fails on demand.
#[derive(Clone, Default)]
pub struct Pass {
    /// What goes wrong.
    pub fault: Option<Fault>,
}

impl Operator for Pass {
    fn open(&mut self, _: thalweg_state::Restored, _: &mut Context<'_>) -> Result<()> {
        Fault::strike(self.fault, "open")
    }
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        Fault::strike(self.fault, "on_batch")?;
        cx.emit(Port::MAIN, batch.records);
        Ok(Step::Done)
    }
    fn on_watermark(&mut self, _: Watermark, _: &mut Context<'_>) -> Result<Step> {
        Fault::strike(self.fault, "on_watermark").map(|()| Step::Done)
    }
    fn flush(&mut self, _: &mut Context<'_>) -> Result<Step> {
        Fault::strike(self.fault, "flush").map(|()| Step::Done)
    }
    fn on_barrier(&mut self, _: Epoch, _: &mut Context<'_>) -> Result<Snapshot> {
        Fault::strike(self.fault, "on_barrier").map(|()| Snapshot::empty())
    }
}

/// Turns the watermarks of splits into one: the lowest of those that are neither idle nor ended.
#[derive(Clone, Default)]
pub struct Watermarks {
    splits: BTreeMap<SplitId, (i64, bool)>,
    /// What an earlier life, or another subtask, knew.
    remembered: BTreeMap<SplitId, (i64, bool)>,
}

impl Watermarks {
    fn say(&self, cx: &mut Context<'_>) {
        match self.splits.values().filter(|(_, idle)| !idle).map(|(time, _)| *time).min() {
            None => {
                if let Some(highest) = self.splits.values().map(|(time, _)| *time).max() {
                    cx.emit_watermark(Watermark(EventTime(highest)));
                }
                cx.emit_idle();
            }
            Some(time) => cx.emit_watermark(Watermark(EventTime(time))),
        }
    }
}

impl Operator for Watermarks {
    fn open(&mut self, mut restored: thalweg_state::Restored, _: &mut Context<'_>) -> Result<()> {
        self.remember(&restored.take("splits"));
        Ok(())
    }
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        assert!(batch.split.is_some(), "splits are known up to here");
        cx.emit(Port::MAIN, batch.records);
        Ok(Step::Done)
    }
    fn on_split(&mut self, split: &SplitId, event: SplitEvent, cx: &mut Context<'_>) -> Result<Step> {
        let known = self.splits.get(split).or_else(|| self.remembered.get(split)).copied();
        let known = known.unwrap_or((i64::MIN, false));
        match event {
            SplitEvent::Assigned => self.splits.insert(split.clone(), (known.0, false)),
            SplitEvent::Watermark(time) => self.splits.insert(split.clone(), (time.0, false)),
            SplitEvent::Idle => self.splits.insert(split.clone(), (known.0, true)),
            SplitEvent::End => self.splits.remove(split),
        };
        // Of those that are assigned next one may be further behind.
        if !self.splits.is_empty() && event != SplitEvent::Assigned {
            self.say(cx);
        }
        Ok(Step::Done)
    }
    fn on_barrier(&mut self, _: Epoch, _: &mut Context<'_>) -> Result<Snapshot> {
        let ids: StringArray = self.splits.keys().map(|split| Some(split.as_str())).collect();
        let times = Int64Array::from_iter_values(self.splits.values().map(|(time, _)| *time));
        let fields = [("split", DataType::Utf8), ("time", DataType::Int64)];
        let batch = table(0..self.splits.len(), |_| 0, fields, vec![Arc::new(ids), Arc::new(times)]);
        Ok(Snapshot { tables: vec![FrozenTable::full("splits", vec![batch])] })
    }
    fn put(&mut self, _: &KeyGroups, given: Snapshot, _: Age) -> Result<()> {
        let batches: Vec<_> = given.batches_of("splits").cloned().collect();
        self.remember(&batches);
        Ok(())
    }
}

impl Watermarks {
    fn remember(&mut self, batches: &[RecordBatch]) {
        for batch in batches {
            let (ids, times) =
                (batch.column(1).as_string::<i32>(), batch.column(2).as_primitive::<Int64Type>());
            let known = ids.iter().flatten().zip(times.values());
            self.remembered.extend(known.map(|(id, &time)| (SplitId::new(id), (time, false))));
        }
    }
}

/// A frozen table: key groups first.
fn table(
    rows: std::ops::Range<usize>,
    group: impl Fn(usize) -> u16,
    fields: [(&str, DataType); 2],
    columns: Vec<ArrayRef>,
) -> RecordBatch {
    let groups: ArrayRef = Arc::new(rows.map(group).collect::<UInt16Array>());
    let group_field = Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false);
    let others = fields.map(|(name, data_type)| Field::new(name, data_type, false));
    let schema = Schema::new([vec![group_field], others.to_vec()].concat());
    RecordBatch::try_new(Arc::new(schema), [vec![groups], columns].concat()).expect("the columns fit")
}

/// Numbers the rows of each key: gives (key, 1), (key, 2) and so on. Its rows must not be below the watermark.
#[derive(Clone, Default)]
pub struct Counting {
    counts: BTreeMap<i64, i64>,
    /// What changed since the last complete epoch, by the epoch that holds it; none: no epoch yet.
    changed: BTreeMap<i64, Option<Epoch>>,
    key_space: KeySpace,
    watermark: Option<Watermark>,
}

impl Counting {
    fn group(&self, key: i64) -> KeyGroup {
        let mut hashes = Vec::new();
        let key: ArrayRef = Arc::new(Int64Array::from(vec![key]));
        hash_keys(&[key], &mut hashes).expect("integers can be hashed");
        self.key_space.group_of(hashes[0])
    }

    fn load<'a>(&mut self, batches: impl Iterator<Item = &'a RecordBatch>, age: Age) {
        for batch in batches {
            let column = |i: usize| batch.column(i).as_primitive::<Int64Type>().values().to_vec();
            for (key, count) in column(1).into_iter().zip(column(2)) {
                self.counts.insert(key, count);
                if let Age::Unsettled(epoch) = age {
                    self.changed.insert(key, Some(epoch));
                }
            }
        }
    }
}

impl Operator for Counting {
    fn open(&mut self, mut restored: thalweg_state::Restored, cx: &mut Context<'_>) -> Result<()> {
        self.key_space = cx.settings().key_space;
        self.load(restored.take("counts").iter(), Age::Durable);
        Ok(())
    }
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let numbered: Vec<_> = pairs(&batch.records)
            .into_iter()
            .map(|(key, value)| {
                assert!(
                    self.watermark.is_none_or(|w| w.0.0 <= value),
                    "{value} is below {:?}",
                    self.watermark
                );
                let count = self.counts.entry(key).or_default();
                *count += 1;
                self.changed.insert(key, None);
                (key, *count)
            })
            .collect();
        cx.emit(Port::MAIN, rows(&numbered));
        Ok(Step::Done)
    }
    fn on_watermark(&mut self, watermark: Watermark, _: &mut Context<'_>) -> Result<Step> {
        self.watermark = Some(watermark);
        Ok(Step::Done)
    }
    fn on_barrier(&mut self, epoch: Epoch, _: &mut Context<'_>) -> Result<Snapshot> {
        self.changed.values_mut().for_each(|held| *held = Some(epoch));
        let keys: Vec<i64> = self.changed.keys().copied().collect();
        let counts = Int64Array::from_iter_values(keys.iter().map(|key| self.counts[key]));
        let fields = [("key", DataType::Int64), ("count", DataType::Int64)];
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(keys.clone())), Arc::new(counts)];
        let batch = table(0..keys.len(), |row| self.group(keys[row]).0, fields, columns);
        Ok(Snapshot { tables: vec![FrozenTable::upsert("counts", 1, vec![batch])] })
    }
    fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        if complete {
            self.changed.retain(|_, held| *held != Some(epoch));
        }
    }
    fn put(&mut self, _: &KeyGroups, given: Snapshot, age: Age) -> Result<()> {
        self.load(given.batches_of("counts"), age);
        Ok(())
    }
    fn forget(&mut self, groups: &KeyGroups) -> Result<()> {
        let gone: Vec<i64> =
            self.counts.keys().copied().filter(|&key| groups.contains(self.group(key))).collect();
        for key in gone {
            self.counts.remove(&key);
            self.changed.remove(&key);
        }
        Ok(())
    }
}

// ---- sinks ----

/// What a sink saw, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Rows that a subtask wrote.
    Rows(u32, Vec<(i64, i64)>),
    /// A subtask flushed.
    Flush(u32),
    /// A subtask prepared an epoch.
    Prepare(u32, u64),
    /// A subtask closed.
    Close(u32, Close),
    /// An epoch was committed, with so many committables.
    Commit(u64, usize),
}

/// Remembers all that comes. Waits while its gate is shut.
#[derive(Clone)]
pub struct Collect {
    /// What came, of all subtasks.
    pub seen: Arc<Mutex<Vec<Seen>>>,
    /// Whether rows are taken.
    pub gate: watch::Sender<bool>,
    /// What goes wrong.
    pub fault: Option<Fault>,
}

toy_spec!(Collect);

impl Default for Collect {
    fn default() -> Self {
        Self::new()
    }
}

impl Collect {
    /// A sink whose gate is open.
    pub fn new() -> Self {
        Self { seen: Arc::default(), gate: watch::Sender::new(true), fault: None }
    }

    /// Opens or shuts the gate.
    pub fn set_open(&self, open: bool) {
        self.gate.send_replace(open);
    }

    /// All that came so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no test panics here").clone()
    }

    /// All rows, by arrival, with the subtask that wrote them.
    pub fn rows(&self) -> Vec<(u32, (i64, i64))> {
        let rows = |seen| match seen {
            Seen::Rows(subtask, rows) => rows.into_iter().map(move |r| (subtask, r)).collect(),
            _ => Vec::new(),
        };
        self.seen().into_iter().flat_map(rows).collect()
    }

    /// All rows, sorted.
    pub fn sorted(&self) -> Vec<(i64, i64)> {
        let mut rows: Vec<_> = self.rows().into_iter().map(|(_, row)| row).collect();
        rows.sort_unstable();
        rows
    }

    /// The epochs that were committed, with the number of committables.
    pub fn commits(&self) -> Vec<(u64, usize)> {
        let commit = |seen| match seen {
            Seen::Commit(epoch, count) => Some((epoch, count)),
            _ => None,
        };
        self.seen().into_iter().filter_map(commit).collect()
    }

    fn see(&self, seen: Seen) {
        self.seen.lock().expect("no test panics here").push(seen);
    }
}

impl SinkSpec for Collect {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(CollectSink { spec: self.clone(), subtask: cx.settings.subtask.0 }))
    }
    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(self.clone())
    }
    fn accepts(&self, _: RowKind) -> bool {
        true
    }
    fn parallelism_max(&self) -> Option<u32> {
        None
    }
    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::ExactlyOnce
    }
}

impl Committer for Collect {
    fn commit<'a>(&'a self, epoch: Epoch, committables: &'a [Committable]) -> BoxFuture<'a, Result<()>> {
        self.see(Seen::Commit(epoch.0, committables.len()));
        async { Fault::strike(self.fault, "commit") }.boxed()
    }
    fn fence<'a>(&'a self, _: &'a JobId, _: Incarnation) -> BoxFuture<'a, Result<()>> {
        async { Ok(()) }.boxed()
    }
}

struct CollectSink {
    spec: Collect,
    subtask: u32,
}

impl Sink for CollectSink {
    fn open(&mut self) -> BoxFuture<'_, Result<()>> {
        async { Fault::strike(self.spec.fault, "open") }.boxed()
    }
    fn write(&mut self, records: RecordBatch) -> BoxFuture<'_, Result<()>> {
        async move {
            Fault::strike(self.spec.fault, "write")?;
            let mut gate = self.spec.gate.subscribe();
            gate.wait_for(|open| *open).await.expect("the gate lives in the spec");
            self.spec.see(Seen::Rows(self.subtask, pairs(&records)));
            Ok(())
        }
        .boxed()
    }
    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        async {
            self.spec.see(Seen::Flush(self.subtask));
            Fault::strike(self.spec.fault, "flush")
        }
        .boxed()
    }
    fn prepare(&mut self, epoch: Epoch) -> BoxFuture<'_, Result<Option<Committable>>> {
        async move {
            Fault::strike(self.spec.fault, "prepare")?;
            self.spec.see(Seen::Prepare(self.subtask, epoch.0));
            Ok(Some(Committable(vec![1])))
        }
        .boxed()
    }
    fn close(&mut self, why: Close) -> BoxFuture<'_, Result<()>> {
        async move {
            self.spec.see(Seen::Close(self.subtask, why));
            Fault::strike(self.spec.fault, "close")
        }
        .boxed()
    }
}

// ---- graphs and jobs ----

/// Builds a graph, senders first.
#[derive(Default)]
pub struct Net(Graph);

impl Net {
    /// Adds a source.
    pub fn source(&mut self, name: &str, spec: Numbers) -> NodeId {
        self.node(name, Piece::Source(Arc::new(spec)), &[])
    }

    /// Adds an operator that reads from these, each on a port of its own.
    pub fn operator(
        &mut self,
        name: &str,
        spec: Arc<dyn OperatorSpec>,
        from: &[(NodeId, Distribution)],
    ) -> NodeId {
        self.node(name, Piece::Operator(spec), from)
    }

    /// Adds a sink.
    pub fn sink(&mut self, name: &str, spec: &Collect, from: &[(NodeId, Distribution)]) -> NodeId {
        self.node(name, Piece::Sink(Arc::new(spec.clone())), from)
    }

    fn node(&mut self, name: &str, piece: Piece, from: &[(NodeId, Distribution)]) -> NodeId {
        let to = self.0.add_node(Node { id: OperatorId::new(name), piece, parallelism: None });
        for (port, (from, distribution)) in from.iter().enumerate() {
            self.edge((*from, Port::MAIN), (to, Port(port as u16)), distribution.clone());
        }
        to
    }

    /// Adds an edge.
    pub fn edge(&mut self, from: (NodeId, Port), to: (NodeId, Port), distribution: Distribution) {
        self.0.add_edge(Edge { from, to, distribution, schema: schema(), rows: RowKind::Append });
    }

    /// The graph.
    pub fn graph(self) -> Graph {
        self.0
    }
}

/// By the key column.
pub fn shuffle() -> Distribution {
    Distribution::Shuffle(vec![0])
}
