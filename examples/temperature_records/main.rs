//! Temperature records: SQL reads and cleans, a function in Rust remembers, lines come out.
//!
//! ```text
//! a view in SQL ─► by airport ─► the warmest so far ─► a line for each new record
//! ```
//!
//! ```sh
//! cargo run --example temperature_records -- run
//! ```

use std::io::Write;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use thalweg::app::{Application, Arguments};
use thalweg::connectors::stdout;

const SCRIPT: &str = "
    CREATE TABLE weather (
        time TIMESTAMP NOT NULL,
        airport TEXT NOT NULL,
        temp_f DOUBLE,
        WATERMARK FOR time AS time - INTERVAL '1 hour'
    ) WITH (
        connector = 'single_file', path = 'examples/data/nyc_weather_2013q1.jsonl', type = 'source', format = 'json'
    );
    CREATE VIEW readings AS SELECT airport, temp_f, CAST(time AS TEXT) AS time FROM weather WHERE temp_f IS NOT NULL;
";

fn main() -> ExitCode {
    thalweg::main(application)
}

fn application(_: &Arguments) -> thalweg::Result<Application> {
    let application = Application::new("temperature records");
    application
        .view::<Reading>(SCRIPT, "readings")
        .key_by(|reading| reading.airport.clone())
        .stateful_with("warmest", |_| f64::NEG_INFINITY, new_record)
        .try_sink("records", stdout::lines()?, |reading, line| {
            write!(line, "{} {} {:.2}", reading.time, reading.airport, reading.temp_f)
        });
    Ok(application)
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Reading {
    airport: String,
    temp_f: f64,
    time: String,
}

/// The reading, if it is warmer than all before it at its airport.
fn new_record(_: &String, reading: Reading, warmest: &mut f64) -> Option<Reading> {
    (reading.temp_f > *warmest).then(|| {
        *warmest = reading.temp_f;
        reading
    })
}
