//! The figures of `docs/benchmarks.md`: ours against a peer, in one run.
//!
//! Each pair does the same work on the same rows in one process. Results are
//! compared before times; then both sides run in turn, and the medians'
//! ratio is printed. `taskset -c 0` pins the pairs of one core.

mod bids;
mod durable;
mod jobs;
mod nexmark;
mod pairs;
mod tcp;

use std::process::ExitCode;

/// Batches are many allocations of a few hundred KiB; the product's binary uses the same allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    match pairs::run(&wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
