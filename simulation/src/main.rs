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
    /// Compute this: rows, tally, program, updating, global, tumble, hop, join
    #[arg(long)]
    work: Option<String>,
    /// Let nothing go wrong but that the store is away for five minutes
    #[arg(long)]
    store_away: bool,
    /// Run each seed twice, and compare every event
    #[arg(long)]
    twice: bool,
    /// Stop at the first seed that fails
    #[arg(long)]
    first: bool,
    /// Write every event as it happens
    #[arg(long)]
    loud: bool,
}

fn main() -> ExitCode {
    let Arguments { seed, count, planted, work, store_away, twice, first, loud } = Arguments::parse();
    let mut failed = 0;
    for seed in seed..seed + count {
        let simulation = Simulation { seed, planted: planted.clone(), work: work.clone(), store_away, loud };
        let mut outcome = simulation.run();
        if twice && simulation.run().hash != outcome.hash {
            outcome.violations.push("the second time was another".to_owned());
        }
        if loud || !outcome.violations.is_empty() {
            println!("{}", outcome.drawn);
        }
        println!("seed {seed}: {:016x} {:?}", outcome.hash, outcome.tallies);
        if !outcome.violations.is_empty() {
            failed += 1;
            if count == 1 {
                outcome.lines.iter().for_each(|line| println!("  {line}"));
            }
            outcome.violations.iter().for_each(|violation| println!("  WRONG: {violation}"));
            if first {
                break;
            }
        }
    }
    println!("{failed} of {count} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
