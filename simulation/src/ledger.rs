//! A transactional system outside of all hosts, into which jobs write.
//!
//! ```text
//! sink:       write ─► open transaction ─ prepare ─► prepared ─ commit ─► visible, for ever
//! committer:  fence(n): whoever lives earlier writes and commits nothing any more
//!             restore:  what the epoch prepared is committed, all else of earlier lives given up
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int8Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use thalweg_dataflow::message::columns;
use thalweg_dataflow::sink::{Close, Committer, SinkGuarantee};
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Code, Committable, Error, Result, Sink, SinkSpec, Spec};
use thalweg_state::{Epoch, Incarnation, JobId};
use thalweg_testkit::Dice;

use crate::ground::Note;

/// How the ledger behaves.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// How long a write takes at most.
    pub(crate) slow: Duration,
    /// The share of commits that are done and said to have failed.
    pub(crate) commit_fails: f64,
    /// The share of writes that fail.
    pub(crate) write_fails: f64,
    /// Whether earlier lives are kept from writing, and not only from committing.
    pub(crate) refuses_writes: bool,
}

impl Manners {
    pub(crate) fn good() -> Self {
        Self { slow: Duration::ZERO, commit_fails: 0.0, write_fails: 0.0, refuses_writes: true }
    }
}

/// One row, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    /// Its cells but those that the engine adds, with commas in between.
    pub(crate) cells: String,
    /// +1 or −1.
    pub(crate) diff: i8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Prepared,
    Committed,
    GivenUp,
}

#[derive(Debug)]
struct Transaction {
    incarnation: u64,
    stage: Stage,
    lines: Vec<Line>,
}

/// The ledger.
pub(crate) struct Ledger {
    state: Mutex<State>,
    note: Note,
}

struct State {
    dice: Dice,
    manners: Manners,
    /// No life before this one writes or commits.
    fenced: u64,
    transactions: BTreeMap<u64, Transaction>,
    committed: Vec<Line>,
    /// The newest epoch of which something was committed.
    newest: u64,
    violations: Vec<String>,
}

impl Ledger {
    pub(crate) fn new(seed: u64, manners: Manners, note: Note) -> Self {
        let state = State {
            dice: Dice::new(seed),
            manners,
            fenced: 0,
            transactions: BTreeMap::new(),
            committed: Vec::new(),
            newest: 0,
            violations: Vec::new(),
        };
        Self { state: Mutex::new(state), note }
    }

    /// Every change is whole before the lock is left.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_manners(&self, manners: Manners) {
        self.state().manners = manners;
    }

    /// All rows that are visible, in the order in which they became so.
    pub(crate) fn committed(&self) -> Vec<Line> {
        self.state().committed.clone()
    }

    /// The newest epoch of which something is visible.
    pub(crate) fn newest(&self) -> u64 {
        self.state().newest
    }

    /// The newest life that writes here.
    pub(crate) fn fenced(&self) -> u64 {
        self.state().fenced
    }

    /// What no job may do, and one did.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    async fn delay(&self) {
        let pause = {
            let mut state = self.state();
            let slow = state.manners.slow;
            state.dice.duration(&(Duration::ZERO..slow))
        };
        if pause > Duration::ZERO {
            tokio::time::sleep(pause).await;
        }
    }

    fn begin(&self, incarnation: u64) -> u64 {
        let mut state = self.state();
        let id = state.transactions.len() as u64;
        state.transactions.insert(id, Transaction { incarnation, stage: Stage::Open, lines: Vec::new() });
        id
    }

    fn write(&self, id: u64, lines: Vec<Line>) -> Result<()> {
        let mut state = self.state();
        let share = state.manners.write_fails;
        if state.dice.chance(share) {
            return Err(failed("the ledger does not take rows now"));
        }
        let (fenced, refuses) = (state.fenced, state.manners.refuses_writes);
        let Some(transaction) = state.transactions.get_mut(&id) else {
            return Err(failed("no such transaction"));
        };
        if refuses && transaction.incarnation < fenced {
            return Err(Error::new(Code::Fenced, "the ledger knows a later life"));
        }
        transaction.lines.extend(lines);
        Ok(())
    }

    fn prepare(&self, id: u64) -> bool {
        let mut state = self.state();
        match state.transactions.get_mut(&id) {
            Some(transaction) if !transaction.lines.is_empty() => {
                if transaction.stage == Stage::Open {
                    transaction.stage = Stage::Prepared;
                }
                true
            }
            Some(_) | None => false,
        }
    }

    fn fence(&self, incarnation: u64) {
        let mut state = self.state();
        state.fenced = state.fenced.max(incarnation);
        drop(state);
        (self.note)(format_args!("ledger fence {incarnation}"));
    }

    fn commit(&self, by: u64, epoch: u64, ids: &[u64]) -> Result<()> {
        let mut state = self.state();
        for id in ids {
            state.commit_one(by, epoch, *id)?;
        }
        let share = state.manners.commit_fails;
        let fails = state.dice.chance(share);
        drop(state);
        (self.note)(format_args!("ledger commit by {by} of epoch {epoch}: {ids:?}"));
        if fails {
            return Err(failed("the ledger does not say whether it has committed"));
        }
        Ok(())
    }

    fn give_up_others(&self, by: u64) {
        let mut state = self.state();
        let open =
            state.transactions.values_mut().filter(|t| t.incarnation < by && t.stage != Stage::Committed);
        open.for_each(|transaction| transaction.stage = Stage::GivenUp);
    }
}

impl State {
    fn commit_one(&mut self, by: u64, epoch: u64, id: u64) -> Result<()> {
        let Some(transaction) = self.transactions.get_mut(&id) else {
            self.violations.push(format!("epoch {epoch} commits transaction {id}, which never was"));
            return Ok(());
        };
        match transaction.stage {
            Stage::Committed => return Ok(()),
            Stage::Prepared if by < self.fenced && self.manners.refuses_writes => {
                return Err(Error::new(Code::Fenced, "the ledger knows a later life"));
            }
            Stage::Prepared => {}
            Stage::Open => self.violations.push(format!("epoch {epoch} commits what was not prepared")),
            Stage::GivenUp => {
                let what =
                    format!("incarnation {by} commits, for epoch {epoch}, what a later life has given up");
                self.violations.push(what);
            }
        }
        transaction.stage = Stage::Committed;
        self.committed.extend(transaction.lines.iter().cloned());
        self.newest = self.newest.max(epoch);
        Ok(())
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ledger")
    }
}

fn failed(what: &str) -> Error {
    Error::new(Code::Io, what)
}

/// A sink of one process into the ledger.
#[derive(Clone, Debug)]
pub(crate) struct LedgerSpec {
    ledger: Arc<Ledger>,
    /// The life of the process, once it is known.
    life: Arc<Mutex<u64>>,
}

impl LedgerSpec {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, life: Arc::default() }
    }

    fn life(&self) -> MutexGuard<'_, u64> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spec for LedgerSpec {
    fn kind(&self) -> &'static str {
        "ledger"
    }
    fn encode(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
    fn label(&self) -> String {
        String::new()
    }
}

impl SinkSpec for LedgerSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Sink>> {
        *self.life() = cx.incarnation.0;
        Ok(Box::new(LedgerSink { ledger: Arc::clone(&self.ledger), cx, open: None }))
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

impl Committer for LedgerSpec {
    fn commit<'a>(&'a self, epoch: Epoch, committables: &'a [Committable]) -> BoxFuture<'a, Result<()>> {
        async move {
            self.ledger.delay().await;
            let by = *self.life();
            self.ledger.commit(by, epoch.0, &ids(committables))
        }
        .boxed()
    }

    fn restore<'a>(
        &'a self,
        epoch: Option<Epoch>,
        committables: &'a [Committable],
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            if let Some(epoch) = epoch {
                self.commit(epoch, committables).await?;
            }
            let by = *self.life();
            self.ledger.give_up_others(by);
            Ok(())
        }
        .boxed()
    }

    fn fence<'a>(&'a self, _: &'a JobId, incarnation: Incarnation) -> BoxFuture<'a, Result<()>> {
        async move {
            self.ledger.delay().await;
            *self.life() = incarnation.0;
            self.ledger.fence(incarnation.0);
            Ok(())
        }
        .boxed()
    }
}

fn ids(committables: &[Committable]) -> Vec<u64> {
    let id = |bytes: &Vec<u8>| bytes.as_slice().try_into().map(u64::from_le_bytes).unwrap_or(u64::MAX);
    committables.iter().map(|Committable(bytes)| id(bytes)).collect()
}

struct LedgerSink {
    ledger: Arc<Ledger>,
    cx: PieceContext,
    open: Option<u64>,
}

impl Sink for LedgerSink {
    fn open(&mut self) -> BoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn write(&mut self, records: RecordBatch) -> BoxFuture<'_, Result<()>> {
        async move {
            self.ledger.delay().await;
            let incarnation = self.cx.incarnation.0;
            let id = *self.open.get_or_insert_with(|| self.ledger.begin(incarnation));
            self.ledger.write(id, lines(&records)?)?;
            self.cx.counters.taken.add(records.num_rows());
            Ok(())
        }
        .boxed()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn prepare(&mut self, _: Epoch) -> BoxFuture<'_, Result<Option<Committable>>> {
        async move {
            self.ledger.delay().await;
            let prepared = self.open.take().filter(|id| self.ledger.prepare(*id));
            Ok(prepared.map(|id| Committable(id.to_le_bytes().to_vec())))
        }
        .boxed()
    }

    fn close(&mut self, _: Close) -> BoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed()
    }
}

/// The rows of a batch.
fn lines(records: &RecordBatch) -> Result<Vec<Line>> {
    let unreadable = |e| Error::internal("rows cannot be written as text").because(e);
    let options = FormatOptions::default().with_null("null");
    let schema = records.schema();
    let mut shown = Vec::new();
    let mut diff = None;
    let mut frames = None;
    for (field, column) in schema.fields().iter().zip(records.columns()) {
        match field.name().as_str() {
            columns::DIFF => diff = column.as_primitive_opt::<Int8Type>(),
            columns::TIMESTAMP => {}
            _ if *field.data_type() == DataType::Binary => frames = column.as_binary_opt::<i32>(),
            _ => shown.push(ArrayFormatter::try_new(column.as_ref(), &options).map_err(unreadable)?),
        }
    }
    let line = |row: usize| {
        let frame = frames.map(|frames| String::from_utf8_lossy(frames.value(row)).into_owned());
        let cells: Vec<String> =
            frame.into_iter().chain(shown.iter().map(|c| c.value(row).to_string())).collect();
        Line { cells: cells.join(","), diff: diff.map_or(1, |diff| diff.value(row)) }
    };
    Ok((0..records.num_rows()).map(line).collect())
}
