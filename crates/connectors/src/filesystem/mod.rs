//! Files of a folder or a bucket: read all, read as they come, or written once each.
//!
//! ```text
//! location ─► store (local, bucket) ─► rows (lines, parquet_rows) ─► source: all that are there
//!                                                                └─► watch: each that appears
//! sink ─► partitions ─► encoding ─► output (local_output, bucket_output) ─► committer
//! ```

mod bucket;
mod bucket_output;
mod committer;
mod encoding;
mod local;
mod local_output;
mod location;
mod options;
mod output;
mod parquet_rows;
mod partitions;
mod rows;
mod sink;
mod source;
mod store;
mod watch;

pub(crate) use options::Filesystem;

use thalweg_dataflow::Registry;

pub(crate) fn register(registry: &mut Registry) {
    sink::register(registry);
    source::register(registry);
    watch::register(registry);
}
