//! The store is away for five minutes, and all that comes of it is that checkpoints wait.

use thalweg_simulation::Simulation;

/// Rows that come within five minutes, and epochs that are tried: fewer would mean that something stood still.
const ROWS_MIN: u64 = 500;
const FAILING_MIN: u64 = 5;

#[test]
fn a_job_goes_on_while_its_store_is_away() {
    for (seed, work) in ["rows", "tally", "program", "updating", "tumble", "join"].into_iter().enumerate() {
        let work = Some(work.to_owned());
        let away = Simulation { work, store_away: true, ..Simulation::of(seed as u64) };
        let outcome = away.run();
        assert!(outcome.violations.is_empty(), "{}{:#?}", outcome.drawn, outcome.violations);
        let times = |what: &str| outcome.tallies.get(what).copied().unwrap_or(0);
        assert_eq!(times("lives"), 1, "the job died of it");
        assert!(times("rows while the store is away") >= ROWS_MIN, "rows stood still: {:?}", outcome.tallies);
        let failing = times("epochs that failed in a row while the store is away");
        assert!(failing >= FAILING_MIN, "nobody could see it: {:?}", outcome.tallies);
        assert!(times("epochs after the store was away") > 0, "no checkpoint since: {:?}", outcome.tallies);
    }
}
