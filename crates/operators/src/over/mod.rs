//! `OVER`: what is computed of a row and its neighbours in a window.
//!
//! Rows that carry their window are held until the watermark closes it. Then
//! its rows are sorted by partition and order, the calls are computed once,
//! and the rows are given out with the results behind their own columns.
//!
//! ```text
//!  rows of windows ─► shuffle by the other partition columns ─► held by window ─► sort ─► compute ─► pieces
//!                                                                    ▲ prune ┘ where only the first rows count
//! ```
//!
//! Where a condition asks only for rows that are ranked at most n, no more
//! than those are kept of each partition: as soon as so many rows came to a window
//! as pruning left there last, it is pruned again. So memory holds at most twice
//! what is asked for, and a row is looked at a bounded number of times.
//!
//! A window is known by its last instant, `_timestamp`. Windows that end
//! together and begin apart are kept apart by the window column, which is one
//! of the partition's.

mod call;
mod operator;
mod program;
mod sorter;
#[cfg(test)]
pub(crate) mod tests;
mod top;

pub use call::WindowCall;
pub use sorter::{OrderBy, Ranking};

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::Column;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Error, Functions, Operator, OperatorSpec, Result, Spec};

use crate::fingerprint::Fingerprint;
use crate::spec;
use crate::window::timestamp_index;
use call::PlannedCall;
use operator::OverOperator;
use top::Top;

/// Calls over the rows of windows, as plain data.
///
/// The output are the columns of the input, with the results before
/// `_timestamp`. Rows come out window by window, in the order of the calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Over {
    calls: Vec<WindowCall>,
    partition: Vec<usize>,
    order: Vec<OrderBy>,
    key: Vec<usize>,
    top: Option<Top>,
    input: SchemaRef,
    output: SchemaRef,
}

impl Over {
    /// The name in the registry.
    pub const KIND: &'static str = "over";

    /// Calls that share a partition and an order.
    ///
    /// `input` are rows of windows, of which `_timestamp` is the last instant.
    /// `partition` are input columns, one of them the window; `key` are those
    /// of them to shuffle by, the window not among them.
    pub fn new(
        calls: Vec<WindowCall>,
        partition: Vec<usize>,
        order: Vec<OrderBy>,
        key: Vec<usize>,
        input: SchemaRef,
    ) -> Result<Self> {
        if partition.is_empty() {
            return Err(Error::internal("rows of a window are partitioned by the window at least"));
        }
        let timestamp = timestamp_index(&input)?;
        let (before, behind) = input.fields().split_at(timestamp);
        let sorted = sort_by(&order, &input);
        let planned = calls.iter().map(|call| call.check(&sorted, &input)).collect::<Result<Vec<_>>>()?;
        let results = planned.iter().map(PlannedCall::field);
        let fields: Vec<FieldRef> = before.iter().chain(results).chain(behind).cloned().collect();
        let output = Arc::new(Schema::new(fields));
        Ok(Self { calls, partition, order, key, top: None, input, output })
    }

    /// Only the rows that `ranking` places at most at `most` are asked for.
    ///
    /// All calls must be rankings: others may need the rows that are left out.
    pub fn with_top(self, ranking: Ranking, most: u64) -> Result<Self> {
        if self.calls.iter().any(|call| call.ranking().is_none()) {
            return Err(Error::internal("a function over rows of a window needs all of them"));
        }
        Ok(Self { top: Some(Top { ranking, most }), ..self })
    }

    /// The input columns to shuffle by: the key or, where there is none, `_timestamp`.
    pub fn shuffle_key(&self) -> Result<Vec<usize>> {
        if self.key.is_empty() { Ok(vec![timestamp_index(&self.input)?]) } else { Ok(self.key.clone()) }
    }

    fn column(&self, index: usize) -> &str {
        self.input.field(index).name()
    }
}

/// The calls, ready to be computed.
fn plan(spec: &Over, functions: &Functions) -> Result<Vec<PlannedCall>> {
    let order = sort_by(&spec.order, &spec.input);
    spec.calls.iter().map(|call| call.plan(&order, &spec.input, functions)).collect()
}

fn sort_by(order: &[OrderBy], input: &SchemaRef) -> Vec<PhysicalSortExpr> {
    let sort = |by: &OrderBy| {
        let column = Column::new(input.field(by.column).name(), by.column);
        PhysicalSortExpr { expr: Arc::new(column), options: by.options() }
    };
    order.iter().map(sort).collect()
}

impl Spec for Over {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn fingerprint(&self) -> String {
        let of = Fingerprint::new(Self::KIND).columns("rows", self.input.fields());
        let of = of.parts("key", &self.key).parts("partition", &self.partition).parts("calls", &self.calls);
        let order = |by: &OrderBy| format!("{} {} {}", by.column, by.descending, by.nulls_first);
        let of = of.parts("order", self.order.iter().map(order));
        of.parts("top", self.top.map(|top| format!("{:?} {}", top.ranking, top.most))).finish()
    }

    fn label(&self) -> String {
        let order = |by: &OrderBy| {
            let direction = if by.descending { " desc" } else { "" };
            let nulls = match (by.descending, by.nulls_first) {
                (false, false) | (true, true) => "",
                (false, true) => " nulls first",
                (true, false) => " nulls last",
            };
            format!("{}{direction}{nulls}", self.column(by.column))
        };
        let calls: Vec<String> = self.calls.iter().map(ToString::to_string).collect();
        let partition: Vec<&str> = self.partition.iter().map(|&index| self.column(index)).collect();
        let order: Vec<String> = self.order.iter().map(order).collect();
        let by = if order.is_empty() { "" } else { " order by " };
        let top = self.top.map(|top| format!(" <= {}", top.most)).unwrap_or_default();
        let (calls, partition) = (calls.join(", "), partition.join(", "));
        format!("{calls} over (partition by {partition}{by}{}){top}", order.join(", "))
    }
}

impl OperatorSpec for Over {
    fn build(&self, functions: &Functions) -> Result<Box<dyn Operator>> {
        Ok(Box::new(OverOperator::new(self, functions)?))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.output)
    }

    fn stateful(&self) -> bool {
        true
    }
}
