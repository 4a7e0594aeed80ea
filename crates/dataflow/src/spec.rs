//! Pieces of a graph as plain data, and the registry that makes them live.
//!
//! A spec is parsed and checked once, travels as bytes between processes of
//! one version, and builds any number of instances. The registry is a value:
//! the assembly fills it, tests fill their own.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use thalweg_state::{Incarnation, JobId};

use crate::counters::OperatorCounters;
use crate::error::{Error, Result};
use crate::function::Functions;
use crate::message::Port;
use crate::operator::{Operator, Settings};
use crate::sink::{Committer, Sink, SinkGuarantee};
use crate::source::{Assignment, RowsMax, Source, SourceGuarantee};
use crate::time::ProcessingTime;

/// What all specs have in common.
pub trait Spec: Debug + Send + Sync {
    /// The name under which the registry knows this type, for ever the same: `filter`.
    fn kind(&self) -> &'static str;

    /// The spec as bytes, to be read by the registry entry of the same kind.
    fn encode(&self) -> Result<Vec<u8>>;

    /// What state, positions and committables mean depends on: key types, the schema of the state,
    /// the window. While it is the same, a later version of this node goes on from them.
    fn fingerprint(&self) -> String {
        self.kind().to_owned()
    }

    /// Whether this goes on from state of another fingerprint: what changes then, in words for people. An operator
    /// that does learns of it when it [opens](thalweg_state::Restored::is_of_another).
    ///
    /// # Errors
    /// Why it does not; none, if that is other state altogether.
    fn converts(&self, fingerprint: &str) -> Result<String, Option<String>> {
        let _ = fingerprint;
        Err(None)
    }

    /// A short description for people, without the kind: `temp_f > 90`.
    fn label(&self) -> String;
}

/// How rows on an edge are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// Every row is new and stays.
    Append,
    /// Rows carry `_diff`: asserts and retracts.
    Changelog,
}

/// A computation as plain data.
pub trait OperatorSpec: Spec {
    /// Makes one instance; what the spec knows by [`FunctionId`](crate::function::FunctionId) is in `functions`.
    fn build(&self, functions: &Functions) -> Result<Box<dyn Operator>>;

    /// The schema that comes out on the main port.
    fn output_schema(&self) -> SchemaRef;

    /// Whether `input` may be a changelog edge.
    fn accepts(&self, input: RowKind) -> bool {
        input == RowKind::Append
    }

    /// What the main port emits when the main input is `input`.
    fn emits(&self, input: RowKind) -> RowKind {
        input
    }

    /// Whether the operator keeps state from row to row.
    fn stateful(&self) -> bool {
        false
    }

    /// Whether the watermark of an output is that of [one input](Self::input_of), rather than
    /// the lowest of all: for a state that several pipelines share, whose rows are not
    /// made of each other. The operator itself still learns the lowest of all.
    fn watermarks_per_port(&self) -> bool {
        false
    }

    /// Where [watermarks go per port](Self::watermarks_per_port): the input whose watermark goes out on
    /// this output. It is that of the same number, unless the operator has more outputs than inputs.
    fn input_of(&self, output: Port) -> Port {
        output
    }
}

/// What a source or sink gets from its surroundings when it is built.
#[derive(Clone)]
pub struct PieceContext {
    /// The job that it belongs to.
    pub job: JobId,
    /// The life of the job's processes in which it is built.
    pub incarnation: Incarnation,
    /// Where it counts.
    pub counters: Arc<OperatorCounters>,
    /// What holds from open to end.
    pub settings: Settings,
    /// How many rows it gives at once, if it is a source.
    pub rows_max: RowsMax,
    /// The world's wall clock.
    pub clock: Arc<dyn Fn() -> ProcessingTime + Send + Sync>,
    /// Whether the job begins here, rather than going on from a checkpoint.
    pub fresh: bool,
}

/// A source as plain data.
pub trait SourceSpec: Spec {
    /// Makes one instance.
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Source>>;

    /// The schema of the rows given out.
    fn output_schema(&self) -> SchemaRef;

    /// The splits there are at a fresh start, for `parallelism` subtasks: who reads what.
    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<Assignment>>>;

    /// Deals out the splits that a checkpoint knows to `parallelism` subtasks: each split to one of them.
    fn distribute(&self, known: Vec<Assignment>, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        let mut dealt = vec![Vec::new(); parallelism as usize];
        for (index, assignment) in known.into_iter().enumerate() {
            dealt[index % parallelism as usize].push(assignment);
        }
        Ok(dealt)
    }

    /// The most subtasks that can have something to read; none: as many as there are.
    fn parallelism_max(&self) -> Option<u32>;

    /// What is read again after a crash.
    fn guarantee(&self) -> SourceGuarantee;

    /// Whether rows come as they happen, so that the wall clock says something about their times.
    fn live(&self) -> bool;

    /// Whether splits are read one after the other: a silent one waits for its turn and is not idle,
    /// so it holds the watermark back however long that takes.
    fn in_turn(&self) -> bool {
        false
    }
}

/// A sink as plain data.
pub trait SinkSpec: Spec {
    /// Makes one instance.
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Sink>>;

    /// Who publishes, when there is no open sink.
    fn committer(&self) -> Arc<dyn Committer>;

    /// Whether rows may be a changelog.
    fn accepts(&self, input: RowKind) -> bool;

    /// The most subtasks that can write at once; none: as many as there are.
    fn parallelism_max(&self) -> Option<u32>;

    /// What appears after a crash.
    fn guarantee(&self) -> SinkGuarantee;

    /// What this sink writes to as if no other did, such as the path of a file; none: others may.
    fn writes_alone_to(&self) -> Option<&str> {
        None
    }
}

type Decode<S> = fn(&[u8]) -> Result<Arc<S>>;

/// Which type stands behind which KIND. A value, never a static.
#[derive(Default, Clone)]
pub struct Registry {
    operators: BTreeMap<&'static str, Decode<dyn OperatorSpec>>,
    sources: BTreeMap<&'static str, Decode<dyn SourceSpec>>,
    sinks: BTreeMap<&'static str, Decode<dyn SinkSpec>>,
}

macro_rules! registry_methods {
    ($add:ident, $decode:ident, $kinds:ident, $field:ident, $spec:ident, $word:literal) => {
        #[doc = concat!("Makes a ", $word, " known under its kind.")]
        ///
        /// # Panics
        /// If the kind is taken: two types under one name is a bug of the assembly.
        pub fn $add(&mut self, kind: &'static str, decode: fn(&[u8]) -> Result<Arc<dyn $spec>>) {
            let taken = self.$field.insert(kind, decode);
            assert!(taken.is_none(), concat!($word, " kind '{}' is registered twice"), kind);
        }

        #[doc = concat!("Reads a ", $word, " that was encoded under `kind`.")]
        pub fn $decode(&self, kind: &str, bytes: &[u8]) -> Result<Arc<dyn $spec>> {
            let decode = self.$field.get(kind).ok_or_else(|| {
                Error::internal(format!(concat!("no ", $word, " is registered as '{}'"), kind))
            })?;
            decode(bytes)
        }

        #[doc = concat!("All known kinds of ", $word, ".")]
        pub fn $kinds(&self) -> impl Iterator<Item = &'static str> + '_ {
            self.$field.keys().copied()
        }
    };
}

impl Registry {
    registry_methods!(add_operator, operator, operator_kinds, operators, OperatorSpec, "operator");
    registry_methods!(add_source, source, source_kinds, sources, SourceSpec, "source");
    registry_methods!(add_sink, sink, sink_kinds, sinks, SinkSpec, "sink");
}
