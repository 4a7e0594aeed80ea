//! What rows are grouped by, and what is computed of each group.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Error, Functions, ProcessingTime, Result};

use super::AggregateCall;
use crate::expression::{Expression, append_now};
use crate::fingerprint::Fingerprint;
use crate::row_policy::{Computed, RowPolicy, compute};

/// Keys and calls, as plain data. Keys may be null; a null is a key like any other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grouping {
    keys: Vec<(Expression, String)>,
    calls: Vec<AggregateCall>,
}

impl Grouping {
    /// Groups by these expressions, named as the output columns are. Without
    /// keys all rows are one group; without calls only the keys come out.
    pub fn new(keys: Vec<(Expression, String)>, calls: Vec<AggregateCall>) -> Self {
        Self { keys, calls }
    }

    /// The keys and their names.
    pub fn keys(&self) -> &[(Expression, String)] {
        &self.keys
    }

    /// What is computed of each group.
    pub fn calls(&self) -> &[AggregateCall] {
        &self.calls
    }

    /// Whether it pays, and changes nothing, to aggregate in parts before the shuffle and merge behind it.
    pub fn splits(&self) -> bool {
        self.calls.iter().all(AggregateCall::splits)
    }

    /// The columns of keys.
    pub(crate) fn key_fields(&self) -> Vec<FieldRef> {
        self.keys.iter().map(|(expression, name)| Arc::new(expression.field(name))).collect()
    }

    /// The columns of results.
    pub(crate) fn value_fields(&self) -> Vec<FieldRef> {
        self.calls.iter().map(AggregateCall::field).collect()
    }

    /// The columns of states, of all calls in turn, under names that cannot clash.
    pub(crate) fn state_fields(&self) -> Result<Vec<FieldRef>> {
        let mut fields: Vec<FieldRef> = Vec::new();
        for (i, call) in self.calls.iter().enumerate() {
            for (j, field) in call.state_fields()?.into_iter().enumerate() {
                fields.push(Arc::new(field.as_ref().clone().with_name(format!("_state_{i}_{j}"))));
            }
        }
        Ok(fields)
    }

    /// The columns that the keys are. Fails if a key is computed: it is also a
    /// key of the shuffle, so a projection has to compute it before.
    pub(crate) fn key_columns(&self) -> Result<Vec<usize>> {
        let column = |(key, _): &(Expression, String)| {
            key.as_column()
                .ok_or_else(|| Error::internal(format!("the key '{key}' of an aggregate is not a column")))
        };
        self.keys.iter().map(column).collect()
    }

    /// What the states of groups mean.
    pub(crate) fn fingerprint(&self, of: Fingerprint) -> String {
        let of = of.columns("keys", &self.key_fields()).parts("calls", &self.calls);
        // A call whose state cannot be told is refused when its operator is built.
        of.columns("states", &self.state_fields().unwrap_or_default()).finish()
    }

    /// For people: `by a: sum(b)`.
    pub(crate) fn label(&self) -> String {
        let keys = self.keys.iter().map(|(expression, name)| {
            let text = expression.to_string();
            if &text == name { text } else { format!("{text} as {name}") }
        });
        let by = keys.collect::<Vec<_>>().join(", ");
        let what = self.calls.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match (what.is_empty(), by.is_empty()) {
            (true, _) => format!("by {by}"),
            (false, true) => what,
            (false, false) => format!("by {by}: {what}"),
        }
    }
}

/// The columns of one call among the computed ones.
#[derive(Clone, Debug)]
pub(crate) struct CallColumns {
    /// What the accumulator is fed with.
    pub(crate) arguments: Range<usize>,
    /// Which rows it is fed with, a boolean column.
    pub(crate) filter: Option<usize>,
}

/// All that is computed of a row before it is grouped, in one go: first the
/// keys, then the columns of each call.
pub(crate) struct Inputs {
    expressions: Vec<Expression>,
    keys: usize,
    calls: Vec<CallColumns>,
    needs_now: bool,
}

impl Inputs {
    /// `rows` is a column of `input` without nulls; `count(*)` counts it.
    pub(crate) fn new(
        grouping: &Grouping,
        input: &SchemaRef,
        rows: usize,
        functions: &Functions,
    ) -> Result<Self> {
        let mut expressions: Vec<Expression> =
            grouping.keys.iter().map(|(expression, _)| expression.clone()).collect();
        let keys = expressions.len();
        let mut calls = Vec::new();
        for call in &grouping.calls {
            let start = expressions.len();
            if call.counts_rows() {
                expressions.push(Expression::column(input, rows));
            } else {
                expressions.extend(call.fed());
            }
            let arguments = start..expressions.len();
            let filter = call.filter().map(|filter| {
                expressions.push(filter.clone());
                expressions.len() - 1
            });
            calls.push(CallColumns { arguments, filter });
        }
        let needs_now = expressions.iter().any(Expression::needs_now);
        let expressions = expressions.iter().map(|one| one.bound(functions)).collect::<Result<_>>()?;
        Ok(Self { expressions, keys, calls, needs_now })
    }

    /// How many of the computed columns are keys.
    pub(crate) fn keys(&self) -> usize {
        self.keys
    }

    /// Where the columns of each call are.
    pub(crate) fn calls(&self) -> &[CallColumns] {
        &self.calls
    }

    /// Computes the columns; rows that cannot be computed go by `policy`.
    pub(crate) fn compute(
        &self,
        records: RecordBatch,
        policy: RowPolicy,
        now: ProcessingTime,
    ) -> Result<Computed> {
        let records = if self.needs_now { append_now(&records, now)? } else { records };
        compute(&self.expressions, records, policy)
    }
}

/// The columns of one batch behind another: keys, states and the like.
pub(crate) fn schema_of(parts: impl IntoIterator<Item = Vec<FieldRef>>) -> SchemaRef {
    Arc::new(Schema::new(parts.into_iter().flatten().collect::<Vec<_>>()))
}

pub(crate) type Columns = Vec<ArrayRef>;
