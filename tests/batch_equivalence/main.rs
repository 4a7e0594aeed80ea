//! The meaning of a streaming query is its batch meaning.
//!
//! Random small tables (nulls, NaN, infinities, empty, few and many keys) and
//! random queries, run by us in three worlds (undisturbed with one subtask and
//! with four; killed, restored elsewhere or rescaled) and by plain DataFusion
//! over the same rows. The seed of each case is printed when it fails; set
//! `THALWEG_SEED` to run one alone, `THALWEG_TEST_SCALE` for more of them.

mod cells;
mod disturbed;
mod joins;
mod queries;
mod tables;

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use rand::SeedableRng;
use rand::rngs::StdRng;
use thalweg::engine::ForeignFunctions;
use thalweg::settings::Settings;
use thalweg::testfile::connector::{Feed, Stretch};
use thalweg::testfile::world::{self, Deeds, World};

const CASES: u64 = 150;

fn cases() -> Vec<u64> {
    if let Ok(seed) = std::env::var("THALWEG_SEED") {
        return vec![seed.parse().expect("THALWEG_SEED is a number")];
    }
    let scale: u64 = std::env::var("THALWEG_TEST_SCALE").map_or(1, |s| s.parse().expect("a number"));
    (0..CASES * scale).collect()
}

#[test]
fn random_queries_mean_what_they_mean_in_batch() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut rows_compared = 0;
    let (mut refused_by_both, mut empty) = (0, 0);
    for seed in cases() {
        let mut random = StdRng::seed_from_u64(seed);
        let table = tables::random(&mut random);
        let query = queries::random(&mut random);
        let context = || format!("seed {seed}\nours:  {}\nbatch: {}", query.streaming, query.batch);
        let expected = match runtime.block_on(batch(&query.batch, &[("t", &table)])) {
            Ok(expected) => expected,
            Err(why) => panic!("the query generator made a query that batch refuses: {why}\n{}", context()),
        };
        let expected = match expected {
            Ok(rows) => cells::rows(&rows),
            Err(why) => {
                let found = stream(&query.streaming, &table, World::ONE, seed);
                assert!(found.is_err(), "batch alone refuses a row: {why}\n{}", context());
                refused_by_both += 1;
                continue;
            }
        };
        let disturbed = [World::KILLED, World::ELSEWHERE, World::RESCALED][(seed % 3) as usize];
        for world in [World::ONE, World::FOUR, disturbed] {
            let found = stream(&query.streaming, &table, world, seed)
                .unwrap_or_else(|why| panic!("{why}\nin world '{}', {}", world.name, context()));
            if let Err(difference) = cells::compare(&expected, &found) {
                panic!("{difference}\nin world '{}', {}", world.name, context());
            }
        }
        rows_compared += expected.len();
        empty += usize::from(expected.is_empty());
    }
    println!("{rows_compared} rows compared, {empty} empty results, {refused_by_both} refused by both");
    if std::env::var("THALWEG_SEED").is_err() {
        assert!(rows_compared > 1_000, "too little was compared to mean anything");
    }
}

/// Plans and runs by DataFusion. The outer error is the plan's, the inner one a row's.
async fn batch(
    sql: &str,
    tables: &[(&str, &RecordBatch)],
) -> Result<Result<Vec<RecordBatch>, String>, datafusion::error::DataFusionError> {
    let cx = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    for (name, table) in tables {
        let provider = MemTable::try_new(table.schema(), vec![vec![(*table).clone()]])?;
        cx.register_table(*name, Arc::new(provider))?;
    }
    Ok(cx.sql(sql).await?.collect().await.map_err(|e| e.to_string()))
}

/// Runs by us over the table `t`; answers the rows that stand at the end.
fn stream(sql: &str, table: &RecordBatch, world: World, seed: u64) -> Result<Vec<cells::Row>, String> {
    let (standing, _) = stream_all(sql, &[("t", table)], world, &Settings::default(), seed)?;
    Ok(standing)
}

/// Runs by us over some tables of the declared columns; answers the rows that stand at the end, and what was done.
fn stream_all(
    sql: &str,
    tables: &[(&str, &RecordBatch)],
    world: World,
    settings: &Settings,
    seed: u64,
) -> Result<(Vec<cells::Row>, Deeds), String> {
    let declare =
        |(name, _): &(&str, _)| tables::DECLARATION.replace("TABLE t (", &format!("TABLE {name} ("));
    let declarations: Vec<String> = tables.iter().map(declare).collect();
    let script = format!("{}\n{sql};", declarations.join("\n"));
    let splits = 1 + (seed % 3) as usize;
    let feeds = tables.iter().map(|(name, table)| ((*name).to_owned(), feed(table, splits)));
    let outcome = world::run(world, &script, &ForeignFunctions::default(), feeds.collect(), settings, seed)
        .map_err(|errors| errors.iter().map(|e| format!("{e:?}")).collect::<Vec<_>>().join("\n"))?;
    if outcome.late > 0 {
        return Err(format!("{} rows are late, so nothing can be compared", outcome.late));
    }
    let outputs: Vec<RecordBatch> = outcome.outputs.into_values().flatten().collect();
    Ok((cells::net(&outputs)?, outcome.deeds))
}

/// The rows of a table in so many splits.
fn feed(table: &RecordBatch, splits: usize) -> Feed {
    let rows = table.clone();
    Arc::new(move |schema| {
        let names: Vec<usize> = schema
            .fields()
            .iter()
            .map(|f| rows.schema().index_of(f.name()).expect("a column of the table"))
            .collect();
        let rows = rows.project(&names).expect("columns of the table");
        let cut = rows.num_rows() / splits;
        let length = |split: usize| if split + 1 == splits { rows.num_rows() - split * cut } else { cut };
        Ok((0..splits).map(|split| vec![Stretch::Rows(rows.slice(split * cut, length(split)))]).collect())
    })
}
