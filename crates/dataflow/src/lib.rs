//! What may flow, and who may touch it?
//!
//! The waist of the house. Everything above writes graphs or supplies the
//! pieces that a graph names; everything below is bytes and memory. Nothing
//! here knows tokio, a SQL planner, a clock or a network.
//!
//! ```text
//!  Graph ── nodes ──► Spec (plain data with a KIND) ── Registry ──► Source | Operator | Sink
//!    └───── edges ──► forward | shuffle(key) | rebalance | broadcast, carrying Message
//! ```
//!
//! * [`message`]: the one currency, [`Message`], and its order on a channel.
//! * [`time`]: event time, processing time and watermarks.
//! * [`operator`], [`source`], [`sink`]: the contracts of the pieces.
//! * [`spec`]: the pieces as plain data, and the registry that makes them live.
//! * [`function`]: functions of a program, by name.
//! * [`graph`]: the logical plan that a runtime runs, and its checks.
//! * [`routing`]: which subtask owns which key group, by version.
//! * [`column_type`]: what types of columns are called, and which values mean which.
//! * [`connector`], [`options`]: what a planner may ask of the outside world's adapters.
//! * [`counters`]: what is counted from the first row on.
//! * [`error`]: what a user reads when something is wrong.
//! * [`text`]: streams as text, for tests.

pub mod column_type;
pub mod connector;
pub mod counters;
pub mod error;
pub mod function;
pub mod graph;
pub mod message;
pub mod operator;
pub mod options;
pub mod routing;
pub mod sink;
pub mod source;
pub mod spec;
pub mod text;
pub mod time;

pub use error::{Code, Error, Result, Span};
pub use function::{FunctionId, Functions};
pub use graph::{Distribution, Edge, Graph, Node, NodeId, Outlet};
pub use message::{Barrier, Batch, Message, Port, Rest, columns};
pub use operator::{Age, Context, Operator, Output, Step};
pub use sink::{Committable, Sink};
pub use source::{Source, SourceEvent, SplitEvent};
pub use spec::{OperatorSpec, Registry, SinkSpec, SourceSpec, Spec};
pub use time::{EventTime, ProcessingTime, Watermark};
