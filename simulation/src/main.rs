//! Repeats simulations by seed: `thalweg-simulation --seed 7 [--planted NAME] [--count 100]`.

use std::process::ExitCode;

use clap::Parser;
use thalweg_simulation::Simulation;

/// Run the product's own jobs in a simulated world where everything goes wrong
#[derive(Debug, Parser)]
struct Arguments {
    /// The seed of the first simulation
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds, one after the other
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Plant the bug of this name
    #[arg(long)]
    planted: Option<String>,
    /// Write every event as it happens
    #[arg(long)]
    loud: bool,
}

fn main() -> ExitCode {
    let Arguments { seed, count, planted, loud } = Arguments::parse();
    let mut failed = 0;
    for seed in seed..seed + count {
        let outcome = Simulation { seed, planted: planted.clone(), loud }.run();
        println!("seed {seed}: {:016x} {:?}", outcome.hash, outcome.tallies);
        if !outcome.violations.is_empty() {
            failed += 1;
            if count == 1 {
                outcome.lines.iter().for_each(|line| println!("  {line}"));
            }
            println!("{}", outcome.drawn);
            outcome.violations.iter().for_each(|violation| println!("  WRONG: {violation}"));
        }
    }
    println!("{failed} of {count} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
