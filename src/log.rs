//! Where log lines go: set up once in a process, by its door.

use tracing_subscriber::EnvFilter;

use crate::standard_streams::stderr_has_colors;

/// Writes log lines to standard error: warnings and errors, or what `THALWEG_LOG` asks for
/// (`info`, `thalweg_connectors=debug`). A process that has a log already keeps it.
pub fn to_stderr() {
    let filter = EnvFilter::try_from_env("THALWEG_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // What cannot be written is said nowhere: the log would panic at saying it in the same place.
    let log = log.with_ansi(stderr_has_colors()).log_internal_errors(false);
    // Only a log that is there already can be in the way.
    let _ = log.try_init();
}
