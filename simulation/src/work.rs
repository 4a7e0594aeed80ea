//! What a job computes, and what must come out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thalweg::app::{Application, NoSql, encode};
use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{
    Distribution, Edge, Error, Functions, Graph, Node, NodeId, OperatorSpec, Port, Result,
};
use thalweg_state::OperatorId;

use crate::connector::{Ledgers, Replays};
use crate::fate::Fate;
use crate::input::{Input, Row};
use crate::ledger::{Ledger, LedgerSpec};
use crate::replay::{ReplaySpec, schema};
use crate::tally::Tally;

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Rows as they are, without a shuffle.
    Rows,
    /// Each row with the number of rows of its key so far.
    Tally,
    /// The same, by a program with a state by key.
    Program,
    /// Counts and sums by key, revised.
    Updating,
    /// One count and sum over all rows, revised.
    Global,
    /// Counts and sums by key and window.
    Tumble,
    /// The same, with windows that overlap.
    Hop,
    /// Pairs of rows of two tables with one key in one window.
    Join,
}

/// All of them.
pub(crate) const WORKS: [Work; 8] = [
    Work::Rows,
    Work::Tally,
    Work::Program,
    Work::Updating,
    Work::Global,
    Work::Tumble,
    Work::Hop,
    Work::Join,
];

/// A multiset of rows as text.
pub(crate) type Rows = BTreeMap<String, i64>;

/// The delay of watermarks, as the scripts have it.
const DELAY_MS: i64 = 1_000;
const TUMBLE_MS: i64 = 2_000;
const SLIDE_MS: i64 = 1_000;
const HOP_MS: i64 = 3_000;

/// What a job reads: tables by name.
pub(crate) type Inputs = BTreeMap<String, Arc<Input>>;

impl Work {
    /// The tables that it reads.
    pub(crate) fn tables(self) -> &'static [&'static str] {
        match self {
            Work::Join => &["a", "b"],
            Work::Rows
            | Work::Tally
            | Work::Program
            | Work::Updating
            | Work::Global
            | Work::Tumble
            | Work::Hop => &["a"],
        }
    }

    /// Whether each row that comes in comes out, with its split and number first.
    pub(crate) fn is_row_by_row(self) -> bool {
        match self {
            Work::Rows | Work::Tally | Work::Program => true,
            Work::Updating | Work::Global | Work::Tumble | Work::Hop | Work::Join => false,
        }
    }

    /// Whether event time matters.
    pub(crate) fn has_windows(self) -> bool {
        match self {
            Work::Tumble | Work::Hop | Work::Join => true,
            Work::Rows | Work::Tally | Work::Program | Work::Updating | Work::Global => false,
        }
    }

    fn query(self) -> Option<&'static str> {
        Some(match self {
            Work::Rows => "SELECT split, number, k FROM a",
            Work::Tally | Work::Program => return None,
            Work::Updating => "SELECT k, count(*) AS n, sum(v) AS total FROM a GROUP BY k",
            Work::Global => "SELECT count(*) AS n, sum(v) AS total FROM a",
            Work::Tumble => {
                "SELECT k, count(*) AS n, sum(v) AS total, min(number) AS first FROM a \
                 GROUP BY k, tumble(INTERVAL '2 seconds')"
            }
            Work::Hop => {
                "SELECT k, count(*) AS n, sum(v) AS total FROM a \
                 GROUP BY k, hop(INTERVAL '1 second', INTERVAL '3 seconds')"
            }
            Work::Join => {
                "SELECT x.k, x.split AS xs, x.number AS xn, y.split AS ys, y.number AS yn \
                 FROM (SELECT k, split, number, tumble(INTERVAL '2 seconds') AS w FROM a) x \
                 JOIN (SELECT k, split, number, tumble(INTERVAL '2 seconds') AS w FROM b) y \
                 ON x.k = y.k AND x.w = y.w"
            }
        })
    }

    /// The graph for one process, whose rows go into the ledger.
    pub(crate) fn graph(
        self,
        inputs: &Inputs,
        ledger: &Arc<Ledger>,
        fate: &Arc<Fate>,
    ) -> Result<(Graph, Functions)> {
        let sink = LedgerSpec::new(Arc::clone(ledger));
        let Some(query) = self.query() else {
            return match self {
                Work::Program => program(&inputs["a"], sink, fate),
                _ => Ok((tally(&inputs["a"], sink, fate), Functions::default())),
            };
        };
        let tables = self.tables().iter().map(|table| {
            format!(
                "CREATE TABLE {table} (split BIGINT NOT NULL, number BIGINT NOT NULL, k BIGINT NOT NULL, \
                 v BIGINT NOT NULL, ts TIMESTAMP NOT NULL, WATERMARK FOR ts AS ts - INTERVAL '1 second') \
                 WITH (connector = 'replay');\n"
            )
        });
        let tables: String = tables.collect();
        let script =
            format!("{tables}CREATE TABLE out WITH (connector = 'ledger');\nINSERT INTO out {query};");
        let replays = Replays { inputs: inputs.clone(), fate: Arc::clone(fate) };
        let settings = thalweg::settings::Settings::default();
        let plan =
            thalweg::engine::plan(&script, vec![Arc::new(replays), Arc::new(Ledgers(sink))], &settings);
        Ok((plan.map_err(unplanned)?.graph, Functions::default()))
    }

    /// What must be in the ledger at the end.
    pub(crate) fn expected(self, inputs: &Inputs) -> Rows {
        let a = &inputs["a"];
        match self {
            Work::Rows => count(a.rows().map(|r| format!("{},{},{}", r.split, r.number, r.key))),
            Work::Tally | Work::Program => {
                count(a.rows().map(|r| format!("{},{},{},{}", r.split, r.number, r.key, r.value)))
            }
            Work::Updating => {
                let totals = totals(a.rows().map(|row| (row.key, row)));
                count(totals.into_iter().map(|(key, t)| format!("{key},{},{}", t.count, t.sum)))
            }
            Work::Global => {
                let totals = totals(a.rows().map(|row| ((), row)));
                count(totals.into_values().map(|t| format!("{},{}", t.count, t.sum)))
            }
            Work::Tumble => {
                let totals = totals(windows(a, TUMBLE_MS, TUMBLE_MS));
                count(
                    totals
                        .into_iter()
                        .map(|((key, _), t)| format!("{key},{},{},{}", t.count, t.sum, t.first)),
                )
            }
            Work::Hop => {
                let totals = totals(windows(a, SLIDE_MS, HOP_MS));
                count(totals.into_iter().map(|((key, _), t)| format!("{key},{},{}", t.count, t.sum)))
            }
            Work::Join => {
                let mut right: BTreeMap<(i64, i64), Vec<&Row>> = BTreeMap::new();
                windows(&inputs["b"], TUMBLE_MS, TUMBLE_MS)
                    .for_each(|(w, row)| right.entry(w).or_default().push(row));
                let pairs = windows(a, TUMBLE_MS, TUMBLE_MS).flat_map(|(w, x)| {
                    let matches = right.get(&w).into_iter().flatten();
                    matches
                        .map(move |y| format!("{},{},{},{},{}", x.key, x.split, x.number, y.split, y.number))
                });
                count(pairs)
            }
        }
    }
}

fn count(rows: impl Iterator<Item = String>) -> Rows {
    let mut counted = Rows::new();
    rows.for_each(|row| *counted.entry(row).or_default() += 1);
    counted
}

struct Total {
    count: i64,
    sum: i64,
    first: i64,
}

fn totals<'a, K: Ord>(rows: impl Iterator<Item = (K, &'a Row)>) -> BTreeMap<K, Total> {
    let mut totals = BTreeMap::new();
    for (key, row) in rows {
        let total = totals.entry(key).or_insert(Total { count: 0, sum: 0, first: i64::MAX });
        total.count += 1;
        total.sum += row.value;
        total.first = total.first.min(row.number);
    }
    totals
}

/// Every row with each of its windows for which it is not late: key and beginning.
fn windows(input: &Input, slide_ms: i64, width_ms: i64) -> impl Iterator<Item = ((i64, i64), &Row)> {
    input.with_watermarks(DELAY_MS).into_iter().flat_map(move |(row, watermark)| {
        let newest = row.time_ms.div_euclid(slide_ms) * slide_ms;
        let begins = (0..width_ms / slide_ms).map(move |i| newest - i * slide_ms);
        let on_time = move |begin: &i64| watermark.is_none_or(|w| begin + width_ms > w);
        begins.filter(on_time).map(move |begin| ((row.key, begin), row))
    })
}

/// A row, as a program sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Event {
    split: i64,
    number: i64,
    k: i64,
    v: i64,
}

fn program(input: &Arc<Input>, sink: LedgerSpec, fate: &Arc<Fate>) -> Result<(Graph, Functions)> {
    let application = Application::new("tally");
    let replay = ReplaySpec { input: Arc::clone(input), columns: vec![0, 1, 2, 3], fate: Arc::clone(fate) };
    application
        .table::<Event>("a", Arc::new(replay))
        .key_by(|event| event.k)
        .stateful("counts", |key, Event { split, number, v, .. }, count: &mut u64| {
            *count += 1;
            [format!("{split},{number},{key},{v},{count}")]
        })
        .sink("out", Arc::new(sink), encode::display);
    let program = application.build(&NoSql, Duration::MAX).map_err(unplanned)?;
    Ok((program.graph, program.functions))
}

fn unplanned(errors: Vec<Error>) -> Error {
    let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Error::internal("the job cannot be planned").because(words.join("; "))
}

fn tally(input: &Arc<Input>, sink: LedgerSpec, fate: &Arc<Fate>) -> Graph {
    let mut graph = Graph::new();
    let mut node =
        |name: &str, piece| graph.add_node(Node { id: OperatorId::new(name), piece, parallelism: None });
    let replay = ReplaySpec { input: Arc::clone(input), columns: vec![0, 1, 2, 3], fate: Arc::clone(fate) };
    let columns = Arc::new(schema().project(&[0, 1, 2, 3]).expect("four of its columns"));
    let counting = Tally { input: Arc::clone(&columns) };
    let output = counting.output_schema();
    let source = node("a/source", Piece::Source(Arc::new(replay)));
    let tally = node("a/tally", Piece::Operator(Arc::new(counting)));
    let out = node("out/sink", Piece::Sink(Arc::new(sink)));
    let mut edge = |from: NodeId, to: NodeId, distribution, schema| {
        let (from, to) = ((from, Port::MAIN), (to, Port::MAIN));
        graph.add_edge(Edge { from, to, distribution, schema, rows: RowKind::Append });
    };
    edge(source, tally, Distribution::Shuffle(vec![2]), columns);
    edge(tally, out, Distribution::Forward, output);
    graph
}
