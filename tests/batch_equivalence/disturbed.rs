//! What goes wrong first where a job is killed, restored, rescaled, or cut as often as possible.

use std::time::Duration;

use arrow::array::RecordBatch;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use thalweg::settings::Settings;
use thalweg::testfile::world::World;

use super::queries::Query;
use super::{batch, cells, stream_all, tables};

/// Runs of each test, with another table and other kills each.
const RUNS: u64 = 24;

fn runs() -> impl Iterator<Item = u64> {
    let scale: u64 = std::env::var("THALWEG_TEST_SCALE").map_or(1, |s| s.parse().expect("a number"));
    let alone: Option<u64> = std::env::var("THALWEG_SEED").ok().map(|seed| seed.parse().expect("a number"));
    (0..RUNS * scale).filter(move |seed| alone.is_none_or(|alone| *seed == alone))
}

/// A table that is not empty.
fn table(random: &mut StdRng) -> RecordBatch {
    loop {
        let table = tables::random(random);
        if table.num_rows() > 1 {
            return table;
        }
    }
}

/// Compares one query in one world with batch.
fn check(query: &Query, tables: &[(&str, &RecordBatch)], world: World, settings: &Settings, seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let context = format!("in world '{}', seed {seed}\n{}", world.name, query.streaming);
    let expected =
        runtime.block_on(batch(&query.batch, tables)).expect("batch plans it").expect("no bad row");
    let found = stream_all(&query.streaming, tables, world, settings, seed);
    let (found, deeds) = found.unwrap_or_else(|why| panic!("{why}\n{context}"));
    if let Err(difference) = cells::compare(&cells::rows(&expected), &found) {
        panic!("{difference}\n{context}\n{deeds}");
    }
    println!("{:<10} {deeds}", world.name);
}

fn both(sql: &str) -> Query {
    Query { streaming: sql.to_owned(), batch: sql.to_owned() }
}

#[test]
fn updating_aggregates_bear_kills_and_rescales_at_every_moment() {
    let queries = [
        "SELECT count(*) AS n, sum(v) AS v, max(w) AS w, min(s) AS s FROM t",
        "SELECT count(DISTINCT k) AS n, sum(d) AS d FROM t WHERE v > 0",
        "SELECT k, count(*) AS n, sum(v) AS v, min(w) AS w FROM t GROUP BY k",
        "SELECT w % 5 AS m, count(s) AS n, max(s) AS s, avg(d) AS d FROM t GROUP BY w % 5 HAVING count(*) > 2",
        "SELECT DISTINCT s, b FROM t",
    ];
    for seed in runs() {
        let table = table(&mut StdRng::seed_from_u64(seed));
        let often = |world| World { kills_max: 20, batch_rows_max: 1 + (seed % 4) as usize, ..world };
        let worlds = [World::KILLED, World::ELSEWHERE, World::RESCALED];
        let query = both(queries[(seed % 5) as usize]);
        check(&query, &[("t", &table)], often(worlds[(seed / 5 % 3) as usize]), &Settings::default(), seed);
    }
}

/// A windowed join of two tables, of rows or of their counts.
fn join(random: &mut StdRng) -> Query {
    let kind = ["JOIN", "LEFT JOIN", "FULL JOIN"][random.random_range(0..3)];
    let counted = random.random_bool(0.5);
    let sql = |start: &str, window: &str| {
        let side = |from: &str| match counted {
            true => format!("SELECT {window} AS win, k, count(*) AS n FROM {from} GROUP BY win, k"),
            false => format!("SELECT {window} AS win, k, w AS n FROM {from}"),
        };
        let on = "ON l.win = r.win AND l.k = r.k";
        let (left, right) = (side("t"), side("u"));
        format!(
            "SELECT l.win{start} AS lw, r.win{start} AS rw, l.k AS lk, r.k AS rk, l.n AS ln, r.n AS rn FROM ({left}) AS l {kind} ({right}) AS r {on}"
        )
    };
    Query {
        streaming: sql(".start", "tumble(INTERVAL '1 minute')"),
        batch: sql("", "date_bin(INTERVAL '1 minute', time, TIMESTAMP '1970-01-01T00:00:00')"),
    }
}

#[test]
fn inputs_of_different_lengths_are_joined_whole_though_one_ends_while_a_barrier_aligns() {
    for seed in runs() {
        let mut random = StdRng::seed_from_u64(seed);
        let (long, short) = (table(&mut random), tables::random(&mut random));
        let short = short.slice(0, short.num_rows().min(random.random_range(0..4)));
        let query = join(&mut random);
        let tables = match seed % 2 {
            0 => [("t", &long), ("u", &short)],
            _ => [("t", &short), ("u", &long)],
        };
        // On threads one epoch follows the other; where time stands still, one begins whenever all rests.
        let settings = |nanos| Settings {
            checkpoint_interval: Duration::from_nanos(nanos),
            queue_rows_max: 1 + (seed % 7) as usize,
            ..Settings::default()
        };
        for world in [World::ONE, World::FOUR] {
            check(&query, &tables, World { batch_rows_max: 3, ..world }, &settings(0), seed);
        }
        let worlds = [World::KILLED, World::ELSEWHERE, World::RESCALED];
        check(&query, &tables, worlds[(seed % 3) as usize], &settings(1), seed);
    }
}
