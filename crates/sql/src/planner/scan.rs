//! Tables: source, generated columns, event time and watermark; and what each
//! reader takes of them.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, TableScan};
use thalweg_dataflow::connector::{SourceColumn, SourceDescription};
use thalweg_dataflow::{Error, OperatorSpec, Result};
use thalweg_operators::watermark::{EventTimeFrom, Generator, Watermark as WatermarkOperator};

use super::demand::{Demand, relation_of};
use super::expression::compile_bare;
use super::fields::{self, Read};
use super::graph::Stream;
use super::write::{Given, Lowering};
use crate::catalog::{Column, Inlet, Table, Watermark};
use crate::declare::{DEFAULT_DELAY, nanoseconds};

/// The column of the source's own event time, where the table declares none.
const SOURCE_TIME: &str = "_source_time";

impl Lowering<'_> {
    /// The columns that one reader takes of a relation that is written already.
    pub(super) fn scan(&mut self, scan: &TableScan, path: &str) -> Result<Stream> {
        let id = relation_of(scan)?;
        let given = self.given(id)?;
        let all: Vec<usize> = (0..scan.source.schema().fields().len()).collect();
        let wanted = scan.projection.as_ref().unwrap_or(&all);
        let place = |column: &usize| {
            given.columns.iter().position(|given| given == column).ok_or_else(|| {
                Error::internal(format!("column {column} of '{}' is read and not given", scan.table_name))
            })
        };
        let mut columns = wanted.iter().map(place).collect::<Result<Vec<_>>>()?;
        let stream = given.stream.clone();
        columns.extend(stream.own_columns());
        self.writer.select(path, stream, &columns, wanted.len())
    }

    /// A connector's table, with the columns that anybody reads.
    pub(super) fn table(&mut self, table: &Table, demand: &Demand) -> Result<Given> {
        let description =
            table.source.as_ref().ok_or_else(|| Error::internal(format!("'{}' is no source", table.name)))?;
        let needed = needed(table, demand)?;
        let stream = self.source(table, description, demand, &needed)?;
        let stream = self.generate(table, &needed, stream)?;
        let stream = self.watermark(table, description, demand, stream)?;
        Ok(Given { columns: demand.columns.iter().copied().collect(), stream })
    }

    /// A program's stream, with the columns that anybody reads.
    pub(super) fn inlet(&mut self, inlet: &Inlet, demand: &Demand) -> Result<Given> {
        let width = inlet.schema.fields().len();
        let stream = self.writer.inlet(&inlet.name, &inlet.outlet, width);
        let mut columns: Vec<usize> = demand.columns.iter().copied().collect();
        let given = columns.clone();
        columns.extend(stream.own_columns());
        let stream = self.writer.select(&inlet.name, stream, &columns, given.len())?;
        Ok(Given { columns: given, stream })
    }

    fn source(
        &mut self,
        table: &Table,
        description: &SourceDescription,
        demand: &Demand,
        needed: &BTreeSet<usize>,
    ) -> Result<Stream> {
        let reads = reads(table, demand, needed)?;
        let (mut physical, mut metadata) = (BTreeMap::new(), Vec::new());
        for &index in needed {
            match &table.columns[index] {
                Column::Physical(column) => {
                    let fields = reads[index].fields_of(table.schema.field(index).data_type());
                    physical.insert(*column, SourceColumn { index: *column, fields });
                }
                Column::Metadata(key) => metadata.push((table.schema.field(index).name().clone(), *key)),
                Column::Generated(_) => {}
            }
        }
        if let (None, Some(key)) = (&table.event_time, description.event_time) {
            metadata.push((SOURCE_TIME.to_owned(), key));
        }
        let physical: Vec<SourceColumn> = physical.into_values().collect();
        let spec = table.adapter.source(&physical, &metadata)?;
        self.live = spec.live();
        Ok(self.writer.source(&table.name, spec, description.rows))
    }

    /// Adds the generated columns, and puts all that is declared into the order of declaration.
    fn generate(&mut self, table: &Table, needed: &BTreeSet<usize>, input: Stream) -> Result<Stream> {
        let plan = DFSchema::try_from(input.schema.as_ref().clone())
            .map_err(|e| Error::internal("a source's columns cannot be named").because(e))?;
        let column = |name: &str| Expr::Column(datafusion::common::Column::new_unqualified(name));
        let mut columns: Vec<(Expr, String)> = Vec::with_capacity(needed.len());
        for &index in needed {
            let name = table.schema.field(index).name();
            columns.push(match &table.columns[index] {
                Column::Physical(_) | Column::Metadata(_) => (column(name), name.clone()),
                Column::Generated(expr) => (expr.as_ref().clone().alias(name), name.clone()),
            });
        }
        if input.schema.column_with_name(SOURCE_TIME).is_some() {
            columns.push((column(SOURCE_TIME), SOURCE_TIME.to_owned()));
        }
        let columns: Vec<(&Expr, String)> = columns.iter().map(|(expr, name)| (expr, name.clone())).collect();
        self.project(input, &plan, &columns, &table.name)
    }

    fn watermark(
        &mut self,
        table: &Table,
        description: &SourceDescription,
        demand: &Demand,
        input: Stream,
    ) -> Result<Stream> {
        let schema = &input.schema;
        let time_of = |name: &str| -> Result<EventTimeFrom> {
            let index = schema.index_of(name).map_err(|e| Error::internal("no event time").because(e))?;
            let time = Expr::Column(datafusion::common::Column::new_unqualified(name));
            Ok(match nanoseconds(time, schema.field(index).data_type()) {
                Expr::Column(_) => EventTimeFrom::Column(index),
                converted => EventTimeFrom::Expression(compile_bare(&converted, schema)?),
            })
        };
        let (event_time, generator) = match (&table.event_time, description.event_time) {
            (Some(time), _) => {
                let generator = match &time.watermark {
                    Watermark::Delay(delay) => Generator::Delay(*delay),
                    Watermark::Expression(expr) => Generator::Expression(compile_bare(expr, schema)?),
                    Watermark::Completeness(share) => Generator::Completeness(*share),
                };
                (time_of(table.schema.field(time.column).name())?, generator)
            }
            (None, Some(_)) => (time_of(SOURCE_TIME)?, Generator::Delay(DEFAULT_DELAY)),
            (None, None) => (EventTimeFrom::ProcessingTime, Generator::Delay(DEFAULT_DELAY)),
        };
        let mut spec = WatermarkOperator::new(schema, event_time, generator, self.policy())?;
        if demand.row_watermark {
            spec = spec.with_row_watermark();
        }
        if self.live {
            spec = spec.with_max_future_skew(self.settings.max_future_skew);
        }
        let output = spec.output_schema();
        let node = self.writer.chained(&table.name, &input, spec)?;
        let timed = Stream { node, schema: output, ..input };
        // What was only needed for the event time goes no further.
        let wanted = demand.columns.iter().map(|&index| table.schema.field(index).name().as_str());
        let mut columns = wanted
            .map(|name| {
                timed.schema.index_of(name).map_err(|e| Error::internal("a column is lost").because(e))
            })
            .collect::<Result<Vec<_>>>()?;
        let width = columns.len();
        columns.extend(timed.own_columns());
        self.writer.select(&table.name, timed, &columns, width)
    }
}

/// How much is read of each column of the table: by readers, by the event time, and by what is generated.
fn reads(table: &Table, demand: &Demand, needed: &BTreeSet<usize>) -> Result<Vec<Read>> {
    let mut reads = vec![Read::Nothing; table.columns.len()];
    for (&column, read) in &demand.reads {
        reads[column].add(read);
    }
    let schema = DFSchema::try_from(table.schema.as_ref().clone())
        .map_err(|e| Error::internal("a table's columns cannot be named").because(e))?;
    if let Some(time) = &table.event_time {
        reads[time.column].add(&Read::Whole);
        if let Watermark::Expression(expr) = &time.watermark {
            fields::add(expr, &schema, &mut reads)?;
        }
    }
    for &index in needed {
        if let Column::Generated(expr) = &table.columns[index] {
            fields::add(expr, &schema, &mut reads)?;
        }
    }
    Ok(reads)
}

/// The columns that are read, and those that they and the event time are made from.
fn needed(table: &Table, demand: &Demand) -> Result<BTreeSet<usize>> {
    let mut needed: BTreeSet<usize> = demand.columns.clone();
    if let Some(time) = &table.event_time {
        needed.insert(time.column);
        if let Watermark::Expression(expr) = &time.watermark {
            add_columns(table, expr, &mut needed)?;
        }
    }
    for index in needed.clone() {
        if let Column::Generated(expr) = &table.columns[index] {
            add_columns(table, expr, &mut needed)?;
        }
    }
    Ok(needed)
}

fn add_columns(table: &Table, expr: &Expr, needed: &mut BTreeSet<usize>) -> Result<()> {
    for column in expr.column_refs() {
        let index = table.schema.index_of(&column.name);
        needed.insert(
            index.map_err(|e| Error::internal("a generated column reads what is not there").because(e))?,
        );
    }
    Ok(())
}
