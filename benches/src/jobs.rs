//! The two sides: a streaming job of ours, and a batch query of DataFusion.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::datasource::MemTable;
use datafusion::prelude::{JsonReadOptions, SessionConfig, SessionContext};
use thalweg::engine::{self, StdoutTarget};
use thalweg::settings::Settings;
use thalweg::testfile::connector::{Feed, Outputs, Stretch, TestConnector};
use thalweg_world::World;

/// A job of ours, planned and ready to run any number of times.
pub(crate) struct Streaming {
    script: String,
    splits: Vec<Vec<RecordBatch>>,
    parallelism: u32,
}

impl Streaming {
    /// Over rows in memory: the table `t` of the script. Each split is read by one subtask.
    pub(crate) fn over_memory(script: &str, splits: Vec<Vec<RecordBatch>>, parallelism: u32) -> Self {
        Self { script: script.to_owned(), splits, parallelism }
    }

    /// Over what the script itself names.
    pub(crate) fn over_files(script: &str) -> Self {
        Self { script: script.to_owned(), splits: Vec::new(), parallelism: 1 }
    }

    /// Runs to the end; answers what the sinks were given, if they keep it (`single_file` does, `blackhole` does not).
    pub(crate) fn run(&self, data_threads: usize) -> Result<Vec<RecordBatch>> {
        let control = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        control.block_on(async {
            let settings = Settings::default();
            let outputs = Outputs::default();
            let mut feeds = BTreeMap::new();
            if !self.splits.is_empty() {
                feeds.insert("t".to_owned(), feed(&self.splits));
            }
            let (kept, thrown): (Vec<_>, Vec<_>) = engine::connectors(&settings, &StdoutTarget::process())
                .into_iter()
                .partition(|connector| connector.name() == "single_file" && !self.splits.is_empty());
            let mut connectors = TestConnector::wrap_all(kept, feeds, &outputs);
            connectors.extend(thrown);
            let plan =
                engine::plan(&self.script, connectors, &settings).map_err(|errors| anyhow!("{errors:?}"))?;
            let world = World::real(Some(data_threads))?;
            let job = engine::start(&plan, self.parallelism, &settings, None, &world).await?;
            let outcome = job.wait().await?;
            if outcome.late + outcome.refused + outcome.dropped > 0 {
                return Err(anyhow!("rows are missing: {outcome:?}"));
            }
            Ok(outputs.tables().into_values().flatten().collect())
        })
    }
}

fn feed(splits: &[Vec<RecordBatch>]) -> Feed {
    let splits = splits.to_vec();
    Arc::new(move |schema: &SchemaRef| {
        let project = |batch: &RecordBatch| {
            let columns: Vec<usize> = schema
                .fields()
                .iter()
                .map(|f| batch.schema().index_of(f.name()).expect("a column of t"))
                .collect();
            Stretch::Rows(batch.project(&columns).expect("columns of t"))
        };
        Ok(splits.iter().map(|split| split.iter().map(project).collect()).collect())
    })
}

/// A query of DataFusion on one partition.
pub(crate) struct Batch {
    sql: String,
    input: Input,
}

enum Input {
    Memory(Vec<RecordBatch>),
    Json { path: String, schema: SchemaRef },
}

impl Batch {
    /// Over rows in memory, as table `t`.
    pub(crate) fn over_memory(sql: &str, rows: Vec<RecordBatch>) -> Self {
        Self { sql: sql.to_owned(), input: Input::Memory(rows) }
    }

    /// Over a file of JSON lines, as table `t`.
    pub(crate) fn over_json(sql: &str, path: &Path, schema: SchemaRef) -> Self {
        Self { sql: sql.to_owned(), input: Input::Json { path: path.display().to_string(), schema } }
    }

    /// Runs to the end on one thread.
    pub(crate) fn run(&self) -> Result<Vec<RecordBatch>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let config = SessionConfig::new().with_target_partitions(1).with_batch_size(8_192);
            let cx = SessionContext::new_with_config(config);
            match &self.input {
                Input::Memory(rows) => {
                    let schema = rows.first().context("no rows")?.schema();
                    cx.register_table("t", Arc::new(MemTable::try_new(schema, vec![rows.clone()])?))?;
                }
                Input::Json { path, schema } => {
                    let options = JsonReadOptions::default().schema(schema).file_extension(".jsonl");
                    cx.register_json("t", path, options).await?;
                }
            }
            Ok(cx.sql(&self.sql).await?.collect().await?)
        })
    }
}
