//! Two streams joined on the same window.
//!
//! The rows of both sides wait until the watermark of both has passed the end
//! of their window, and then the window is joined as a whole, so no result is
//! ever taken back, and it makes no difference which side is ahead.
//!
//! ```text
//!  left  ─► shuffle by keys ─┐   rows by window ─┐
//!                            ├─►                 ├─► window closed ─► hash table of the smaller side,
//!  right ─► shuffle by keys ─┘   rows by window ─┘   the other side against it, piece by piece
//! ```
//!
//! Windows are known by their last instant, which is `_timestamp` of every row
//! that carries one. Where that does not tell windows apart (sessions), the
//! window's column is a key like any other.

mod matching;
mod residual;
mod row_table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{
    Age, Batch, Context, Error, EventTime, Functions, Operator, OperatorSpec, Port, Result, Spec, Step,
    Watermark,
};
use thalweg_state::{Epoch, KeyGroups, Restored, Snapshot};

use crate::expression::Expression;
use crate::fingerprint::Fingerprint;
use crate::row_policy::RowPolicy;
use crate::spec;
use crate::window::{timestamp_field, timestamp_index};
use crate::window_rows::{Tables, WindowRows};
use matching::{Matching, Progress};
use residual::Residual;

const LEFT: Tables = Tables { rows: "left", progress: "left-progress" };
const RIGHT: Tables = Tables { rows: "right", progress: "right-progress" };
/// The name of the window's column, where it is compared.
const WINDOW: &str = "window";

/// Which rows come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinKind {
    /// Every pair.
    Inner,
    /// Every pair, and rows of the left without one.
    Left,
    /// Every pair, and rows of the right without one.
    Right,
    /// Every pair, and rows of both sides without one.
    Full,
    /// Rows of the left with a pair, once each.
    Semi,
    /// Rows of the left without a pair.
    Anti,
}

/// One of the two inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }
}

impl JoinKind {
    /// Whether pairs come out, columns of both sides.
    fn gives_pairs(self) -> bool {
        match self {
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => true,
            JoinKind::Semi | JoinKind::Anti => false,
        }
    }

    /// Which rows of a side come out for themselves: those that have a pair, those that have none, or no row.
    fn alone(self, side: Side) -> Option<bool> {
        match (self, side) {
            (JoinKind::Left | JoinKind::Full | JoinKind::Anti, Side::Left)
            | (JoinKind::Right | JoinKind::Full, Side::Right) => Some(false),
            (JoinKind::Semi, Side::Left) => Some(true),
            (JoinKind::Inner | JoinKind::Right, Side::Left)
            | (JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti, Side::Right) => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            JoinKind::Inner => "inner",
            JoinKind::Left => "left",
            JoinKind::Right => "right",
            JoinKind::Full => "full",
            JoinKind::Semi => "semi",
            JoinKind::Anti => "anti",
        }
    }
}

/// What is joined of one input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JoinSide {
    /// The columns of the rows, `_timestamp` among them.
    pub schema: SchemaRef,
    /// How many of the first columns come out.
    pub width: usize,
    /// The columns that are compared, in the order of the other side's, and of its types.
    pub keys: Vec<usize>,
}

impl JoinSide {
    /// The input columns to shuffle by: the keys or, where there is none, `_timestamp`.
    pub fn shuffle_key(&self) -> Result<Vec<usize>> {
        if self.keys.is_empty() { Ok(vec![timestamp_index(&self.schema)?]) } else { Ok(self.keys.clone()) }
    }

    fn fields(&self, padded: bool) -> impl Iterator<Item = FieldRef> {
        self.schema.fields()[..self.width].iter().map(move |field| match padded {
            true => Arc::new(Field::clone(field).with_nullable(true)),
            false => Arc::clone(field),
        })
    }
}

/// A join as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WindowJoin {
    kind: JoinKind,
    left: JoinSide,
    right: JoinSide,
    /// Whether a null equals a null.
    nulls_equal: bool,
    residual: Option<Residual>,
    policy: RowPolicy,
}

impl WindowJoin {
    /// The name in the registry.
    pub const KIND: &'static str = "window-join";

    /// Joins rows of one window whose keys are equal; without keys, all of them.
    pub fn new(kind: JoinKind, left: JoinSide, right: JoinSide, nulls_equal: bool) -> Result<Self> {
        if left.keys.len() != right.keys.len() {
            return Err(Error::internal("the sides of a join have different numbers of keys"));
        }
        Ok(Self { kind, left, right, nulls_equal, residual: None, policy: RowPolicy::Fail })
    }

    /// Only pairs for which `condition`, over [`pairs`](Self::pairs), is true
    /// are pairs. One that cannot be computed is none where `policy` says drop.
    pub fn with_condition(self, condition: &Expression, policy: RowPolicy) -> Result<Self> {
        Ok(Self { residual: Some(Residual::new(condition)?), policy, ..self })
    }

    /// A pair: the columns of the left that come out, those of the right, and `_timestamp`.
    pub fn pairs(kind: JoinKind, left: &JoinSide, right: &JoinSide) -> SchemaRef {
        let padded = |other: Side| kind.gives_pairs() && kind.alone(other) == Some(false);
        let fields = left
            .fields(padded(Side::Right))
            .chain(right.fields(padded(Side::Left)))
            .chain([timestamp_field()]);
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn side(&self, side: Side) -> &JoinSide {
        match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        }
    }
}

impl Spec for WindowJoin {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn fingerprint(&self) -> String {
        let of =
            Fingerprint::new(Self::KIND).part("kind", self.kind.word()).part("nulls equal", self.nulls_equal);
        let of = of.columns("left", self.left.schema.fields()).parts("left key", &self.left.keys);
        let of = of.columns("right", self.right.schema.fields()).parts("right key", &self.right.keys);
        of.parts("condition", self.residual.as_ref().map(Residual::condition)).finish()
    }

    fn label(&self) -> String {
        let name = |side: &JoinSide, key: usize| side.schema.field(key).name().clone();
        let keys = self.left.keys.iter().zip(&self.right.keys).map(|(&left, &right)| {
            let (left, right) = (name(&self.left, left), name(&self.right, right));
            if left == right { left } else { format!("{left} = {right}") }
        });
        let keys: Vec<String> = [WINDOW.into()].into_iter().chain(keys.filter(|key| key != WINDOW)).collect();
        let filter = self.residual.as_ref().map(|r| format!("; filter {}", r.condition()));
        format!("{} join on {}{}", self.kind.word(), keys.join(", "), filter.unwrap_or_default())
    }
}

impl OperatorSpec for WindowJoin {
    fn build(&self, functions: &Functions) -> Result<Box<dyn Operator>> {
        let residual = self.residual.as_ref().map(|residual| residual.bound(functions)).transpose()?;
        let rows = |tables, side: &JoinSide| WindowRows::new(tables, &side.schema, side.shuffle_key()?);
        Ok(Box::new(JoinOperator {
            left: rows(LEFT, &self.left)?,
            right: rows(RIGHT, &self.right)?,
            join: Arc::new(Self { residual, ..self.clone() }),
            output: self.output_schema(),
            matching: None,
        }))
    }

    fn output_schema(&self) -> SchemaRef {
        match self.kind.gives_pairs() {
            true => Self::pairs(self.kind, &self.left, &self.right),
            false => {
                let fields = self.left.fields(false).chain([timestamp_field()]);
                Arc::new(Schema::new(fields.collect::<Vec<_>>()))
            }
        }
    }

    fn stateful(&self) -> bool {
        true
    }
}

struct JoinOperator {
    join: Arc<WindowJoin>,
    output: SchemaRef,
    left: WindowRows,
    right: WindowRows,
    /// The window that is joined just now.
    matching: Option<Matching>,
}

impl JoinOperator {
    /// Gives the next piece of the windows that are closed, in the order of time.
    fn give(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        if self.matching.is_none() {
            self.matching = self.next_window()?;
        }
        if let Some(matching) = &mut self.matching {
            match matching.next(cx.batch_rows_max(), cx.now())? {
                Progress::Piece(piece) => cx.emit(Port::MAIN, piece),
                Progress::Nothing => {}
                Progress::Done => self.matching = None,
            }
        }
        let more = self.matching.is_some() || self.first_closed().is_some();
        if !more {
            self.report(cx);
        }
        Ok(if more { Step::More } else { Step::Done })
    }

    /// The first closed window of which either side has rows.
    fn first_closed(&self) -> Option<EventTime> {
        let (left, right) = (self.left.first_closed(), self.right.first_closed());
        left.into_iter().chain(right).min()
    }

    fn next_window(&mut self) -> Result<Option<Matching>> {
        let Some(instant) = self.first_closed() else { return Ok(None) };
        let (left, right) = (self.left.remove(instant)?, self.right.remove(instant)?);
        Matching::new(&self.join, &self.output, instant, left, right).map(Some)
    }

    fn report(&self, cx: &Context<'_>) {
        cx.counters.open_windows.set(self.left.instants().max(self.right.instants()) as i64);
        cx.counters.state_bytes.set((self.left.bytes() + self.right.bytes()) as i64);
    }
}

impl Operator for JoinOperator {
    fn open(&mut self, mut restored: Restored, cx: &mut Context<'_>) -> Result<()> {
        self.left.open(&mut restored, cx.settings())?;
        self.right.open(&mut restored, cx.settings())?;
        self.report(cx);
        Ok(())
    }

    fn on_batch(&mut self, input: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        match input {
            Port::MAIN => self.left.add(batch.records, cx)?,
            Port(1) => self.right.add(batch.records, cx)?,
            Port(other) => return Err(Error::internal(format!("a join has no input {other}"))),
        }
        self.report(cx);
        Ok(Step::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        self.left.close_until(watermark)?;
        self.right.close_until(watermark)?;
        self.give(cx)
    }

    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        self.give(cx)
    }

    fn on_barrier(&mut self, epoch: Epoch, cx: &mut Context<'_>) -> Result<Snapshot> {
        let mut tables = self.left.freeze(epoch)?;
        tables.extend(self.right.freeze(epoch)?);
        self.report(cx);
        Ok(Snapshot { tables })
    }

    fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        self.left.settle(epoch, complete);
        self.right.settle(epoch, complete);
    }

    fn put(&mut self, groups: &KeyGroups, given: Snapshot, age: Age) -> Result<()> {
        self.left.put(groups, &given, age)?;
        self.right.put(groups, &given, age)
    }

    fn forget(&mut self, groups: &KeyGroups) -> Result<()> {
        self.left.forget(groups);
        self.right.forget(groups);
        Ok(())
    }
}
