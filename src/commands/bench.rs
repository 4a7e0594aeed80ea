//! `thalweg bench`: how fast a query runs over events that are made as fast as
//! they are read, and whose results nobody keeps.
//!
//! The scripts are those of `examples/nexmark`, word for word; what differs is
//! behind two names, `nexmark` and `stdout`.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use thalweg_dataflow::connector::{Connector, ConnectorTable, Declaration};
use thalweg_dataflow::{Code, Error, Result};
use thalweg_sql::Plan;
use thalweg_world::World;

use super::{Exit, Failed, SetArgs, script};
use crate::engine::{self, StdoutTarget};
use crate::settings::Settings;
use crate::standard_streams::print_line;

/// The queries by name.
const QUERIES: [(&str, &str); 11] = [
    ("q0", include_str!("../../examples/nexmark/q0.sql")),
    ("q1", include_str!("../../examples/nexmark/q1.sql")),
    ("q2", include_str!("../../examples/nexmark/q2.sql")),
    ("q5", include_str!("../../examples/nexmark/q5.sql")),
    ("q7", include_str!("../../examples/nexmark/q7.sql")),
    ("q8", include_str!("../../examples/nexmark/q8.sql")),
    ("q14", include_str!("../../examples/nexmark/q14.sql")),
    ("q17", include_str!("../../examples/nexmark/q17.sql")),
    ("q21", include_str!("../../examples/nexmark/q21.sql")),
    ("q22", include_str!("../../examples/nexmark/q22.sql")),
    ("tumble", include_str!("../../examples/nexmark/tumble.sql")),
];

#[derive(Debug, Subcommand)]
pub(super) enum Workload {
    /// Queries over an auction house: people, auctions and bids
    ///
    /// Prints how many events a query takes in a second, on the clock and per second of processor
    /// time of the whole process, and the most memory that the process held meanwhile.
    Nexmark(NexmarkArgs),
}

#[derive(Debug, Args)]
pub(super) struct NexmarkArgs {
    /// The queries to run, one after the other; all without it
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = query_names())]
    query: Vec<String>,
    /// Events of each run
    #[arg(long, value_name = "N", default_value = "10000000")]
    events: u64,
    /// Events per second of event time
    #[arg(long, value_name = "N", default_value = "100000")]
    event_rate: u64,
    /// Subtasks of each operator
    #[arg(long, value_name = "N", default_value = "1", env = "THALWEG_PARALLELISM")]
    parallelism: NonZeroU32,
    /// Print one line of JSON for each query
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    set: SetArgs,
}

fn query_names() -> PossibleValuesParser {
    PossibleValuesParser::new(QUERIES.map(|(name, _)| name))
}

pub(super) fn run(workload: &Workload) -> Result<Exit, Failed> {
    let Workload::Nexmark(args) = workload;
    let settings = args.set.settings()?;
    let wanted = |name: &str| args.query.is_empty() || args.query.iter().any(|query| query == name);
    let mut figures = Vec::new();
    for (name, text) in QUERIES.into_iter().filter(|(name, _)| wanted(name)) {
        let figure = measure(name, text, args, &settings)?;
        if args.json {
            let line = serde_json::to_string(&figure)
                .map_err(|why| Error::internal("figures have no JSON form").because(why))?;
            print_line(line)?;
        }
        figures.push(figure);
    }
    if !args.json {
        print_line(table(&figures))?;
    }
    Ok(Exit::SUCCESS)
}

/// What one query cost.
#[derive(Debug, Serialize)]
struct Figures {
    query: &'static str,
    events: u64,
    parallelism: u32,
    rows_written: u64,
    seconds: f64,
    events_per_second: f64,
    /// Processor time of the process, where the system tells it.
    cpu_seconds: Option<f64>,
    events_per_cpu_second: Option<f64>,
    /// The most memory that the process held, where the system tells it.
    peak_memory_bytes: Option<u64>,
}

fn measure(
    query: &'static str,
    text: &str,
    args: &NexmarkArgs,
    settings: &Settings,
) -> Result<Figures, Failed> {
    let plan = engine::plan(text, connectors(args, settings), settings).map_err(|errors| {
        let name = format!("examples/nexmark/{query}.sql");
        Failed::in_script(errors, script::Loaded { name, text: text.to_owned() })
    })?;
    process::forget_peak_memory();
    let (cpu, began) = (process::cpu_time(), Instant::now());
    let (rows_read, rows_written) = run_to_end(&plan, args.parallelism.get(), settings)?;
    let took = began.elapsed();
    let cpu = cpu.zip(process::cpu_time()).map(|(before, after)| after - before);
    let per = |time: Duration| rows_read as f64 / time.as_secs_f64().max(1e-9);
    Ok(Figures {
        query,
        events: rows_read,
        parallelism: args.parallelism.get(),
        rows_written,
        seconds: took.as_secs_f64(),
        events_per_second: per(took),
        cpu_seconds: cpu.map(|cpu| cpu.as_secs_f64()),
        events_per_cpu_second: cpu.filter(|cpu| !cpu.is_zero()).map(per),
        peak_memory_bytes: process::peak_memory(),
    })
}

/// Rows that were read and written.
fn run_to_end(plan: &Plan, parallelism: u32, settings: &Settings) -> Result<(u64, u64)> {
    let io_error = |why: std::io::Error| Error::new(Code::Io, "no runtime can be started").because(why);
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io_error)?;
    control.block_on(async {
        let world = World::real(None).map_err(io_error)?;
        let job = engine::start(plan, parallelism, settings, None, &world).await?;
        job.wait().await?;
        let progress = job.progress();
        Ok((progress.rows_read, progress.rows_written))
    })
}

/// All connectors, of which two are others than their names say.
fn connectors(args: &NexmarkArgs, settings: &Settings) -> Vec<Arc<dyn Connector>> {
    let all = engine::connectors(settings, &StdoutTarget::process());
    let blackhole = all.iter().find(|connector| connector.name() == "blackhole").cloned();
    let exchanged = |connector: Arc<dyn Connector>| -> Arc<dyn Connector> {
        match (connector.name(), &blackhole) {
            ("nexmark", _) => Arc::new(AtFullPace { nexmark: connector, options: options(args) }),
            (name, Some(blackhole)) if name == "stdout" => {
                Arc::new(Thrown { name, blackhole: Arc::clone(blackhole) })
            }
            _ => connector,
        }
    };
    all.into_iter().map(exchanged).collect()
}

fn options(args: &NexmarkArgs) -> [(&'static str, String); 3] {
    [
        ("message_count", args.events.to_string()),
        ("event_rate", args.event_rate.to_string()),
        ("pace", "max".to_owned()),
    ]
}

/// The connector `nexmark`, with so many events and no pause.
struct AtFullPace {
    nexmark: Arc<dyn Connector>,
    options: [(&'static str, String); 3],
}

impl Connector for AtFullPace {
    fn name(&self) -> &'static str {
        self.nexmark.name()
    }

    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>> {
        for (name, value) in &self.options {
            declaration.options.set(name, value);
        }
        self.nexmark.describe(declaration)
    }
}

/// Rows under another sink's name, which nobody keeps.
struct Thrown {
    name: &'static str,
    blackhole: Arc<dyn Connector>,
}

impl Connector for Thrown {
    fn name(&self) -> &'static str {
        self.name
    }

    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>> {
        self.blackhole.describe(declaration)
    }
}

fn table(figures: &[Figures]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    table.set_header([
        "query",
        "events",
        "rows out",
        "seconds",
        "M events/s",
        "CPU s",
        "M events/CPU s",
        "peak MiB",
    ]);
    let known = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}"));
    for figure in figures {
        table.add_row([
            figure.query.to_owned(),
            figure.events.to_string(),
            figure.rows_written.to_string(),
            format!("{:.2}", figure.seconds),
            format!("{:.2}", figure.events_per_second / 1e6),
            known(figure.cpu_seconds),
            known(figure.events_per_cpu_second.map(|rate| rate / 1e6)),
            figure.peak_memory_bytes.map_or("–".to_owned(), |bytes| (bytes >> 20).to_string()),
        ]);
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// What the system says of this process. Linux does; others answer nothing.
mod process {
    use std::time::Duration;

    /// Ticks of processor time per second: the same on every Linux that we run on.
    const TICKS_PER_SECOND: u32 = 100;

    /// Processor time of all threads, those that ended too.
    pub(super) fn cpu_time() -> Option<Duration> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is a name in brackets, and may hold anything; user and system time are the 14th and 15th.
        let (_, behind_name) = stat.rsplit_once(')')?;
        let mut times = behind_name.split_whitespace().skip(11).map_while(|field| field.parse::<u32>().ok());
        let ticks = times.next()?.checked_add(times.next()?)?;
        Some(Duration::from_secs(1) * ticks / TICKS_PER_SECOND)
    }

    /// The most memory since [`forget_peak_memory`].
    pub(super) fn peak_memory() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1_024)
    }

    /// Begins a new peak. Where the system does not, the peak is that of all runs so far.
    pub(super) fn forget_peak_memory() {
        let _ = std::fs::write("/proc/self/clear_refs", "5");
    }
}
