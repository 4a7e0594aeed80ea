//! What graph does this text mean?
//!
//! A script is read, its tables and views are declared, its queries are
//! planned by DataFusion and written as a graph of operators. Connectors are
//! seen as `dyn Connector` only; nothing here runs, and nothing reads a clock.
//!
//! ```text
//! text ─ parser ─► statements ─ catalog ─► relations (tables, views, memory tables)
//!                       │                      │ names
//!                       └─ logical ─► DataFusion plans, one per relation and insert
//!                                          │ optimised from the sinks to the sources,
//!                                          │ so that each relation gives only what is read
//!                                          └─ planner ─► Graph ─ explain ─► words
//! ```
//!
//! The meaning of a query is its batch meaning: over finite input the result
//! is what DataFusion computes over the same rows as a table.

pub mod explain;

mod catalog;
mod conditions;
mod context;
mod declare;
mod errors;
mod foreign;
mod headings;
mod logical;
mod markers;
mod parser;
mod planner;
mod row_windows;
mod windows;

pub use declare::column;
pub use explain::{Explanation, explain};
pub use foreign::{Computation, ForeignFunction, ForeignFunctions, FunctionLanguage};
pub use parser::SCRIPT_BYTES_MAX;
pub use planner::{Plan, Planner, PlannerSettings, SinkPlan};
pub use thalweg_operators::aggregate::ProgramAggregate;
pub use thalweg_operators::functions::{Argument, FunctionSignature, ProgramFunction};
