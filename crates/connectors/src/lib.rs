//! Where does it come from, where does it go?
//!
//! One folder a connector, all with the same files: `options` reads the `WITH`
//! clause into a typed table, `source` and `sink` are the pieces of a graph.
//! A planner sees `dyn Connector` only.
//!
//! * [`connectors`] gives all of them; [`register`] makes their pieces known.
//! * `format_options`: the options of formats and bad data, the same for all.
//! * `lines`: bytes of a file to rows, the same for all sources of files.
//! * `row_writer`: rows of a graph to bytes, the same for all sinks of bytes.
//! * `splits`: which splits a source has; `turns`: whose turn it is, where rows are made and not read.

use std::sync::Arc;

use thalweg_dataflow::Registry;
use thalweg_dataflow::connector::Connector;

mod blackhole;
mod filesystem;
mod format_options;
mod impulse;
mod lines;
mod name_hash;
mod nexmark;
mod plain_spec;
mod row_writer;
mod single_file;
mod splits;
pub mod stdout;
pub mod tcp;
mod turns;

pub use format_options::{BadData, Defaults};
pub use stdout::{StdoutRows, StdoutTarget};

/// All connectors. `stdout` writes to `target`.
pub fn connectors(defaults: Defaults, target: &StdoutTarget) -> Vec<Arc<dyn Connector>> {
    vec![
        Arc::new(blackhole::Blackhole),
        Arc::new(filesystem::Filesystem { defaults }),
        Arc::new(impulse::Impulse),
        Arc::new(nexmark::Nexmark),
        Arc::new(single_file::SingleFile { defaults }),
        Arc::new(stdout::Stdout { target: target.clone() }),
        Arc::new(tcp::Tcp { defaults }),
    ]
}

/// Makes the sources and sinks of all connectors known.
pub fn register(registry: &mut Registry) {
    blackhole::register(registry);
    filesystem::register(registry);
    impulse::register(registry);
    nexmark::register(registry);
    single_file::register(registry);
    stdout::register(registry);
    tcp::register(registry);
}
