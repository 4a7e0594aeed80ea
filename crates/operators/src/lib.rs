//! How is this row turned into that?
//!
//! One operator, one file (or one folder). Each file holds the operator's
//! *spec*, plain data with a `KIND`, and beside it the operator itself. All
//! are synchronous, never wait, and read no clock: what they need of the world
//! comes with the call. Expressions, accumulators and row formats are
//! DataFusion's and Arrow's; no `ExecutionPlan` ever runs here.
//!
//! ```text
//!          source ─► project ─► watermark ─► filter ─► project ─► unnest ─► union
//!                  (generated)  (the split's                              │
//!                                tag ends here)                           ▼
//!                             sink ◄─ upsert ◄─ updating aggregate | window aggregate
//! ```
//!
//! * [`expression`]: what is computed from a row; [`row_policy`]: what becomes of a row that cannot be computed.
//! * [`functions`]: what an expression may call, a program's own functions among it.
//! * [`filter`], [`project`], [`unnest`], [`union`]: one row at a time, without state.
//! * [`watermark`]: event time and the watermark of each split, row by row.
//! * [`aggregate`], [`group_table`], [`window`], [`updating_aggregate`]: many rows into one.
//! * [`join`]: rows of two streams on the same window.
//! * [`row_windows`], [`over`]: rows that carry their window, and what is computed among them.
//! * [`upsert`]: a changelog as one row per primary key.
//! * [`fingerprint`]: what the state of an operator means, as text.

pub mod aggregate;
mod durable;
pub mod expression;
pub mod filter;
pub mod fingerprint;
pub mod functions;
mod group_table;
pub mod join;
pub mod over;
pub mod project;
pub mod row_policy;
pub mod row_windows;
pub mod spec;
pub mod union;
pub mod unnest;
pub mod updating_aggregate;
pub mod upsert;
pub mod watermark;
pub mod window;
mod window_rows;

#[cfg(test)]
mod kinds;
#[cfg(test)]
mod testing;

pub use expression::Expression;
pub use row_policy::RowPolicy;

use thalweg_dataflow::Registry;

/// Makes every operator of this crate known under its kind.
pub fn register(registry: &mut Registry) {
    registry.add_operator(filter::Filter::KIND, spec::decode::<filter::Filter>);
    registry.add_operator(over::Over::KIND, spec::decode::<over::Over>);
    registry.add_operator(project::Project::KIND, spec::decode::<project::Project>);
    registry.add_operator(join::WindowJoin::KIND, spec::decode::<join::WindowJoin>);
    registry.add_operator(row_windows::RowWindows::KIND, spec::decode::<row_windows::RowWindows>);
    registry.add_operator(union::Union::KIND, spec::decode::<union::Union>);
    registry.add_operator(unnest::Unnest::KIND, spec::decode::<unnest::Unnest>);
    registry.add_operator(
        updating_aggregate::UpdatingAggregate::KIND,
        spec::decode::<updating_aggregate::UpdatingAggregate>,
    );
    registry.add_operator(upsert::Upsert::KIND, spec::decode::<upsert::Upsert>);
    registry.add_operator(watermark::Watermark::KIND, spec::decode::<watermark::Watermark>);
    registry.add_operator(window::CountAggregate::KIND, spec::decode::<window::CountAggregate>);
    registry.add_operator(window::SessionAggregate::KIND, spec::decode::<window::SessionAggregate>);
    registry.add_operator(window::WindowAggregate::KIND, spec::decode::<window::WindowAggregate>);
    registry.add_operator(window::WindowAssign::KIND, spec::decode::<window::WindowAssign>);
    registry.add_operator(window::WindowPartial::KIND, spec::decode::<window::WindowPartial>);
}
