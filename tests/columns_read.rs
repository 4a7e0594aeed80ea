//! A column that nobody reads is not decoded.

use std::io::Write;

use thalweg::engine::{self, StdoutTarget};
use thalweg::settings::Settings;
use thalweg_cluster::Role;
use thalweg_world::World;

const ROWS: u64 = 100;

/// Cells that the source decoded, over a file of six columns.
fn cells_decoded(declared: &str, query: &str) -> u64 {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    for i in 0..ROWS {
        writeln!(file, r#"{{"a":{i},"b":"x","c":[1,2],"d":{{"e":1}},"f":0.5,"ts":{}}}"#, i * 1_000)
            .expect("room");
    }
    let script = format!(
        "CREATE TABLE t (a BIGINT, b TEXT, c BIGINT[], d STRUCT<e BIGINT>, f DOUBLE, ts TIMESTAMP NOT NULL{declared})
         WITH (connector = 'single_file', path = '{}', type = 'source', format = 'json');
         CREATE TABLE sink WITH (connector = 'blackhole');
         {query}",
        file.path().display()
    );
    let settings = Settings::default();
    let connectors = engine::connectors(&settings, &StdoutTarget::process());
    let plan = engine::plan(&script, connectors, &settings).expect("a valid script");
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    control.block_on(async {
        let world = World::real(Some(1)).expect("a data thread");
        let job = engine::start(&plan, 1, &settings, None, &world).await.expect("it starts");
        job.wait().await.expect("it ends");
        let counters = job.counters();
        let sources = counters.iter().filter(|r| r.role == Role::Source);
        sources.map(|r| r.counters.cells_decoded.get()).sum()
    })
}

#[test]
fn only_columns_that_somebody_reads_are_decoded() {
    let watermark = ", WATERMARK FOR ts";
    for (declared, query, columns) in [
        ("", "INSERT INTO sink SELECT a FROM t", 1),
        ("", "INSERT INTO sink SELECT a FROM t WHERE b = 'x'", 2),
        ("", "INSERT INTO sink SELECT f FROM (SELECT * FROM t)", 1),
        ("", "CREATE VIEW v AS SELECT a, b, c FROM t; INSERT INTO sink SELECT b FROM v", 1),
        ("", "INSERT INTO sink SELECT * FROM t", 6),
        // The event time is read by the watermark.
        (watermark, "INSERT INTO sink SELECT a FROM t", 2),
        (watermark, "INSERT INTO sink SELECT sum(a) AS s FROM t GROUP BY b, tumble(INTERVAL '1 minute')", 3),
        // Two readers of one table: what either reads.
        (
            "",
            "INSERT INTO sink SELECT a AS e FROM t; INSERT INTO sink SELECT e FROM (SELECT d.e AS e FROM t)",
            2,
        ),
        (", g BIGINT GENERATED ALWAYS AS (a + 1)", "INSERT INTO sink SELECT f FROM t", 1),
        (", g BIGINT GENERATED ALWAYS AS (a + 1)", "INSERT INTO sink SELECT g FROM t", 1),
    ] {
        assert_eq!(cells_decoded(declared, query), columns * ROWS, "{query}");
    }
}
