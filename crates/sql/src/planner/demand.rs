//! Who reads what: queries optimised from the sinks to the sources.
//!
//! A relation gives only the columns that some reader asks for, and rows carry
//! their split's watermark only where a window is assigned behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlan, Projection, TableScan};
use thalweg_dataflow::{Error, Result};

use super::Query;
use super::fields::{self, Read};
use crate::catalog::{Catalog, Relation, RelationId};
use crate::context::RelationSource;
use crate::logical::Logical;
use crate::row_windows::RowWindows;
use crate::windows;

/// What is asked of a relation.
#[derive(Debug, Default)]
pub(super) struct Demand {
    /// The columns that somebody reads, by their index in the declaration.
    pub(super) columns: BTreeSet<usize>,
    /// How much of each of them is read.
    pub(super) reads: BTreeMap<usize, Read>,
    /// Whether rows must carry their split's watermark.
    pub(super) row_watermark: bool,
    /// For a query that somebody reads: its plan, with the columns that are asked for, ascending.
    pub(super) plan: Option<LogicalPlan>,
    /// Whether anybody reads it at all.
    pub(super) read: bool,
}

/// All plans of a script, optimised.
#[derive(Debug)]
pub(super) struct Demands {
    pub(super) relations: Vec<Demand>,
    pub(super) queries: Vec<LogicalPlan>,
}

/// Optimises every query that leads to a sink.
pub(super) fn find(logical: &Logical<'_>, catalog: &Catalog, queries: &[Query]) -> Result<Demands> {
    let relations = catalog.relations();
    let mut demands =
        Demands { relations: relations.iter().map(|_| Demand::default()).collect(), queries: vec![] };
    for query in queries {
        let plan = logical.optimise(query.plan.clone(), query.at)?;
        note(&plan, false, &mut demands.relations)?;
        note_reads(&plan, &fields::whole(&plan), &mut demands.relations)?;
        demands.queries.push(plan);
    }
    for (index, relation) in relations.iter().enumerate().rev() {
        let demand = &demands.relations[index];
        let Relation::Query { plan, at, .. } = relation else { continue };
        if !demand.read {
            continue;
        }
        let row_watermark = demand.row_watermark;
        let output: Vec<Read> = demand
            .columns
            .iter()
            .map(|column| demand.reads.get(column).cloned().unwrap_or_default())
            .collect();
        let narrowed = narrow(plan, demand)?;
        let plan = logical.optimise(narrowed, *at)?;
        note(&plan, row_watermark, &mut demands.relations)?;
        note_reads(&plan, &output, &mut demands.relations)?;
        demands.relations[index].plan = Some(plan);
    }
    Ok(demands)
}

/// Only the columns that are asked for.
fn narrow(plan: &LogicalPlan, demand: &Demand) -> Result<LogicalPlan> {
    let columns = plan.schema().columns();
    if demand.columns.len() == columns.len() {
        return Ok(plan.clone());
    }
    let expressions = demand.columns.iter().map(|&index| Expr::Column(columns[index].clone())).collect();
    Projection::try_new(expressions, Arc::new(plan.clone()))
        .map(LogicalPlan::Projection)
        .map_err(|e| Error::internal("a view's columns cannot be chosen").because(e))
}

/// Notes what a plan asks of the relations that it reads.
fn note(plan: &LogicalPlan, row_watermark: bool, relations: &mut [Demand]) -> Result<()> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let demand = &mut relations[relation_of(scan)?.0];
            demand.read = true;
            demand.row_watermark |= row_watermark;
            match &scan.projection {
                Some(columns) => demand.columns.extend(columns),
                None => demand.columns.extend(0..scan.source.schema().fields().len()),
            }
            if demand.columns.is_empty() && !scan.source.schema().fields().is_empty() {
                demand.columns.insert(0); // batches have at least one column
            }
            Ok(())
        }
        LogicalPlan::Aggregate(aggregate) => note(&aggregate.input, false, relations),
        LogicalPlan::Extension(extension) => match RowWindows::of(extension) {
            Some(windows) => note(&windows.input, true, relations),
            None => Err(Error::internal("a plan has a node of somebody else's")),
        },
        LogicalPlan::Projection(projection) => {
            let mut assigns = false;
            for expr in &projection.expr {
                assigns |= windows::assigned(expr)?.is_some();
            }
            note(&projection.input, row_watermark || assigns, relations)
        }
        other => other.inputs().into_iter().try_for_each(|input| note(input, row_watermark, relations)),
    }
}

/// Notes how much a plan reads of each column of its relations, where `output` is read of its own.
fn note_reads(plan: &LogicalPlan, output: &[Read], relations: &mut [Demand]) -> Result<()> {
    fields::note(plan, output, &mut |scan, reads| {
        let demand = &mut relations[relation_of(scan)?.0];
        match &scan.projection {
            Some(columns) => add_reads(demand, columns.iter().copied().zip(reads)),
            None => add_reads(demand, reads.iter().enumerate()),
        }
        Ok(())
    })
}

fn add_reads<'r>(demand: &mut Demand, reads: impl Iterator<Item = (usize, &'r Read)>) {
    for (column, read) in reads {
        demand.reads.entry(column).or_default().add(read);
    }
}

/// The relation that a scan reads.
pub(super) fn relation_of(scan: &TableScan) -> Result<RelationId> {
    scan.source
        .downcast_ref::<RelationSource>()
        .map(|source| source.id)
        .ok_or_else(|| Error::internal(format!("'{}' is not a table of the script", scan.table_name)))
}
