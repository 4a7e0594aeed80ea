//! The door: process-wide set-up, then the commands.

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

/// Batches are many allocations of a few hundred KiB from several threads; mimalloc serves these best.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_env("THALWEG_LOG").unwrap_or_else(|_| EnvFilter::new("warn")))
        .with_writer(std::io::stderr)
        .init();
    thalweg::commands::main(std::env::args_os())
}
