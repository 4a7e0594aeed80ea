//! Plans as nodes: each relation once, then each sink.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use thalweg_dataflow::connector::{ConnectorTable, Declaration, SinkDescription};
use thalweg_dataflow::options::{OptionValue, Options};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, Functions, Graph, OperatorSpec, Outlet, Port, Result, Span};
use thalweg_operators::RowPolicy;
use thalweg_operators::upsert::Upsert;

use super::demand::Demands;
use super::graph::{Stream, Writer};
use super::{Output, Plan, Planner, PlannerSettings, Query, SinkPlan};
use crate::catalog::{Catalog, Relation, RelationId, Table};
use crate::logical::Logical;

/// The name of the connector, and of the sink, that shows rows.
const STDOUT: &str = "stdout";

/// Writes everything that leads to a sink.
pub(super) fn write(
    planner: &Planner,
    logical: &Logical<'_>,
    catalog: &Catalog,
    queries: &[Query],
    demands: &Demands,
) -> Result<Plan> {
    let mut warnings = Vec::new();
    let mut lowering = relations(planner, logical, catalog, demands, Writer::default(), &mut warnings)?;
    let sinks = lowering.sinks(catalog, queries, demands)?;
    let graph = lowering.writer.finish()?;
    Ok(Plan { graph, sinks, warnings, functions: Functions::default() })
}

/// Writes everything that leads to a sink or to the last query, whose rows are the outlet.
pub(super) fn write_behind(
    planner: &Planner,
    logical: &Logical<'_>,
    catalog: &Catalog,
    queries: &[Query],
    demands: &Demands,
    writer: Writer,
) -> Result<(Graph, Outlet)> {
    let mut lowering = relations(planner, logical, catalog, demands, writer, &mut Vec::new())?;
    let Some((last, inserts)) =
        queries.split_last().filter(|(last, _)| matches!(last.target, Output::Stdout))
    else {
        return Err(Error::internal("the last query is not the one that is asked for"));
    };
    lowering.sinks(catalog, inserts, demands)?;
    let plan = demands.queries.last().ok_or_else(|| Error::internal("the last query has no plan"))?;
    lowering.at = last.at;
    let stream = lowering.lower(plan, "query").map_err(|e| e.at(last.at))?;
    let names: Vec<&str> = plan.schema().fields().iter().map(|field| field.name().as_str()).collect();
    let stream = lowering.writer.rename("query", stream, &names)?;
    let Stream { node, schema, rows, parallelism, .. } = stream;
    Ok((lowering.writer.into_graph(), Outlet { from: (node, Port::MAIN), schema, rows, parallelism }))
}

/// Writes all relations that somebody reads.
fn relations<'a>(
    planner: &'a Planner,
    logical: &'a Logical<'a>,
    catalog: &Catalog,
    demands: &Demands,
    writer: Writer,
    warnings: &mut Vec<String>,
) -> Result<Lowering<'a>> {
    let mut lowering = Lowering {
        settings: &planner.settings,
        planner,
        logical,
        writer,
        given: HashMap::new(),
        at: Span { start: 0, end: logical.script.text().len() },
        live: false,
    };
    for (index, relation) in catalog.relations().iter().enumerate() {
        lowering.relation(RelationId(index), relation, demands, warnings)?;
    }
    Ok(lowering)
}

/// A relation that is written, with the columns that it gives.
pub(super) struct Given {
    pub(super) columns: Vec<usize>,
    pub(super) stream: Stream,
}

/// The graph in the making.
pub(super) struct Lowering<'a> {
    pub(super) settings: &'a PlannerSettings,
    planner: &'a Planner,
    logical: &'a Logical<'a>,
    pub(super) writer: Writer,
    given: HashMap<RelationId, Given>,
    /// The statement that is written.
    at: Span,
    /// Whether the source that was written last is live.
    pub(super) live: bool,
}

/// A sink with all that is inserted into it.
struct Destination<'q> {
    name: String,
    table: Option<Arc<Table>>,
    queries: Vec<(&'q LogicalPlan, Span)>,
}

impl Lowering<'_> {
    pub(super) fn policy(&self) -> RowPolicy {
        self.settings.row_policy
    }

    /// The words of the statement that is written.
    pub(super) fn place_of(&self, word: &str) -> Span {
        self.logical.script.words(self.at, word).next().unwrap_or(self.at)
    }

    /// The first join of the statement that is written, or the tables that it lists.
    pub(super) fn place_of_join(&self) -> Span {
        let words = |word| self.logical.script.words(self.at, word).next();
        words("join").or_else(|| words("from")).unwrap_or(self.at)
    }

    pub(super) fn given(&self, id: RelationId) -> Result<&Given> {
        self.given
            .get(&id)
            .ok_or_else(|| Error::internal(format!("relation {} is read before it is written", id.0)))
    }

    fn relation(
        &mut self,
        id: RelationId,
        relation: &Relation,
        demands: &Demands,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let demand = &demands.relations[id.0];
        let given = match (relation, &demand.plan) {
            (Relation::Table(table), _) if demand.read => self.table(table, demand)?,
            (Relation::Query { name, at, .. }, Some(plan)) => {
                self.at = *at;
                let stream = self.lower(plan, name).map_err(|e| e.at(*at))?;
                Given { columns: demand.columns.iter().copied().collect(), stream }
            }
            (Relation::Stream(inlet), _) if demand.read => self.inlet(inlet, demand)?,
            (Relation::Table(_) | Relation::Stream(_), _) => return Ok(()),
            (Relation::Query { name, .. }, None) => {
                warnings.push(format!("nobody reads '{name}': it is not computed"));
                return Ok(());
            }
        };
        self.given.insert(id, given);
        Ok(())
    }

    /// One node of a plan, behind all that it reads.
    pub(super) fn lower(&mut self, plan: &LogicalPlan, path: &str) -> Result<Stream> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan, path),
            LogicalPlan::Projection(projection) => self.projection(projection, path),
            LogicalPlan::Filter(filter) => self.filter(filter, path),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, path),
            LogicalPlan::Union(union) => self.union(union, path),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest, path),
            LogicalPlan::SubqueryAlias(alias) => {
                let path = format!("{path}/{}", alias.alias.table());
                self.lower(&alias.input, &path)
            }
            LogicalPlan::Subquery(subquery) => self.lower(&subquery.subquery, path),
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
                Err(Error::new(Code::NotSupported, "a query without FROM is not supported")
                    .at(self.at)
                    .with_help("a stream comes from a table: SELECT … FROM …"))
            }
            LogicalPlan::Join(join) => self.join(join, path),
            LogicalPlan::Sort(_) => Err(not_supported("ORDER BY")),
            LogicalPlan::Limit(_) => Err(not_supported("LIMIT")),
            LogicalPlan::Window(window) => self.over(window, None, path),
            LogicalPlan::Extension(extension) => self.extension(extension, path),
            LogicalPlan::RecursiveQuery(_) => Err(not_supported("WITH RECURSIVE")),
            LogicalPlan::Distinct(_)
            | LogicalPlan::Repartition(_)
            | LogicalPlan::Statement(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::DescribeTable(_) => {
                Err(Error::new(Code::NotSupported, "this form of query is not supported").at(self.at))
            }
        }
    }

    fn sinks(&mut self, catalog: &Catalog, queries: &[Query], demands: &Demands) -> Result<Vec<SinkPlan>> {
        let mut destinations: Vec<Destination<'_>> = Vec::new();
        for (query, plan) in queries.iter().zip(&demands.queries) {
            let table = match query.target {
                Output::Stdout => None,
                Output::Table(id) => match &catalog.relations()[id.0] {
                    Relation::Table(table) => Some(Arc::clone(table)),
                    Relation::Stream(_) | Relation::Query { .. } => {
                        return Err(Error::internal("what is inserted into is no sink"));
                    }
                },
            };
            let name = table.as_ref().map_or(STDOUT, |table| &table.name).to_owned();
            let known = destinations.iter_mut().find(|known| table.is_some() && known.name == name);
            match known {
                Some(known) => known.queries.push((plan, query.at)),
                None => destinations.push(Destination { name, table, queries: vec![(plan, query.at)] }),
            }
        }
        destinations.iter().map(|destination| self.sink(destination)).collect()
    }

    fn sink(&mut self, destination: &Destination<'_>) -> Result<SinkPlan> {
        let [(first, at), more @ ..] = destination.queries.as_slice() else {
            return Err(Error::internal("a sink without queries"));
        };
        self.at = *at;
        let path = destination.name.clone();
        let mut stream = self.lower(first, &path).map_err(|e| e.at(*at))?;
        let names: Vec<&str> = first.schema().fields().iter().map(|field| field.name().as_str()).collect();
        if more.is_empty() {
            stream = self.writer.rename(&path, stream, &names)?;
        } else {
            let mut streams = vec![stream];
            for (index, (plan, at)) in more.iter().enumerate() {
                self.at = *at;
                streams.push(self.lower(plan, &format!("{path}/{}", index + 2)).map_err(|e| e.at(*at))?);
            }
            stream = self.merge(streams, &names, &path).map_err(|e| e.at(*at))?;
        }
        self.finish(destination, stream).map_err(|e| e.at(*at))
    }

    fn finish(&mut self, destination: &Destination<'_>, stream: Stream) -> Result<SinkPlan> {
        let path = destination.name.as_str();
        let rows = stream.rows;
        let (connector, adapter, primary_key) = match &destination.table {
            Some(table) => (table.connector, Arc::clone(&table.adapter), table.primary_key.as_slice()),
            None => (STDOUT, self.stdout(rows)?, &[][..]),
        };
        let description = adapter
            .as_sink()
            .ok_or_else(|| Error::internal(format!("'{path}' cannot be written after all")))?;
        check_changelog(path, rows, &description)?;
        let stream = self.last_columns(path, stream)?;
        let stream = match rows {
            RowKind::Changelog if description.upsert && !primary_key.is_empty() => {
                self.upsert(path, stream, primary_key)?
            }
            RowKind::Changelog | RowKind::Append => stream,
        };
        let spec = adapter.sink(Arc::clone(&stream.schema), stream.rows)?;
        let parallelism = match spec.parallelism_max() {
            Some(1) => Some(1),
            Some(_) | None => stream.parallelism,
        };
        let guarantee = description.guarantee;
        let node = self.writer.sink(path, &stream, parallelism, spec)?;
        Ok(SinkPlan { table: path.to_owned(), connector: connector.to_owned(), node, rows, guarantee })
    }

    /// A sink has no use for the watermark of a row's split.
    fn last_columns(&mut self, path: &str, stream: Stream) -> Result<Stream> {
        let Some(watermark) = stream.own(thalweg_dataflow::columns::ROW_WATERMARK) else { return Ok(stream) };
        let columns: Vec<usize> =
            (0..stream.schema.fields().len()).filter(|&index| index != watermark).collect();
        let width = stream.width;
        self.writer.select(path, stream, &columns, width)
    }

    fn upsert(&mut self, path: &str, input: Stream, primary_key: &[String]) -> Result<Stream> {
        let index = |name: &String| {
            let found = (0..input.width).find(|&index| input.schema.field(index).name() == name);
            found.ok_or_else(|| {
                Error::new(Code::InsertMismatch, format!("the primary key's column '{name}' is not inserted"))
                    .with_help("name the columns of the query as the primary key has them")
            })
        };
        let key = primary_key.iter().map(index).collect::<Result<Vec<_>>>()?;
        let spec = Upsert::new(Arc::clone(&input.schema), key.clone())?;
        let schema = spec.output_schema();
        let distribution = thalweg_dataflow::Distribution::Shuffle(key);
        let node = self.writer.operator(path, &[(&input, distribution)], None, spec)?;
        let width = schema.fields().len() - 1;
        Ok(Stream { node, schema, width, rows: RowKind::Append, parallelism: None, key: None, ..input })
    }

    /// A table that shows rows.
    fn stdout(&self, rows: RowKind) -> Result<Arc<dyn ConnectorTable>> {
        let connector =
            self.planner.connectors.iter().find(|connector| connector.name() == STDOUT).ok_or_else(|| {
                Error::new(
                    Code::NotSupported,
                    "a SELECT alone is not supported: there is no connector 'stdout'",
                )
                .with_help("write INSERT INTO table SELECT …")
            })?;
        let format = match rows {
            RowKind::Append => "json",
            RowKind::Changelog => "debezium_json",
        };
        let value = OptionValue { value: format.to_owned(), span: None };
        let mut options = Options::new([("format".to_owned(), value)]);
        connector.describe(Declaration {
            table: STDOUT,
            options: &mut options,
            columns: None,
            primary_key: &[],
        })
    }
}

fn check_changelog(table: &str, rows: RowKind, sink: &SinkDescription) -> Result<()> {
    match (rows, &sink.changelog) {
        (RowKind::Append, _) | (RowKind::Changelog, Ok(())) => Ok(()),
        (RowKind::Changelog, Err(could)) => {
            let what =
                format!("the query changes rows that it gave before, and table '{table}' can only append");
            Err(Error::new(Code::SinkNotUpdating, what)
                .because("it aggregates without a window, so each new row may change a result")
                .with_help(format!("use {could}, or group by a window such as tumble(interval '1 minute')")))
        }
    }
}

fn not_supported(what: &str) -> Error {
    Error::new(Code::NotSupported, format!("{what} is not supported"))
}
