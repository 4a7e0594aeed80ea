//! The door: process-wide set-up, then the commands.

use std::process::ExitCode;

/// Batches are many allocations of a few hundred KiB from several threads; mimalloc serves these best.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    thalweg::log::to_stderr();
    thalweg::commands::main(std::env::args_os()).into()
}
