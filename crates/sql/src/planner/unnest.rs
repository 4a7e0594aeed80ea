//! `unnest` in a `SELECT` list.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::NullHandling;
use datafusion::logical_expr::Unnest as Plan;
use thalweg_dataflow::{OperatorSpec, Result};
use thalweg_operators::unnest::{EmptyLists, ListColumn, Unnest};

use super::graph::{Stream, WindowPart};
use super::names::Names;
use super::write::Lowering;

impl Lowering<'_> {
    pub(super) fn unnest(&mut self, unnest: &Plan, path: &str) -> Result<Stream> {
        let input = self.lower(&unnest.input, path)?;
        let lists = unnest
            .list_type_columns
            .iter()
            .map(|(column, list)| ListColumn { column: *column, depth: list.depth })
            .collect();
        let empty = match unnest.options.null_handling {
            NullHandling::Drop => EmptyLists::Drop,
            NullHandling::Preserve => EmptyLists::KeepNull,
            NullHandling::PreserveAndExpandEmpty => EmptyLists::Keep,
        };
        let width = unnest.schema.fields().len();
        let own = input.own_columns().map(|index| Arc::clone(&input.schema.fields()[index]));
        let opened = |column: &usize| {
            unnest.list_type_columns.iter().any(|(list, _)| list == column)
                || unnest.struct_type_columns.contains(column)
        };
        let mut names = Names::new([]);
        let sources = unnest.schema.fields().iter().zip(&unnest.dependency_indices);
        let named = sources.map(|(field, source)| {
            let from = input.schema.field(*source).name();
            let readable = if opened(source) { format!("unnest({from})") } else { from.clone() };
            Arc::new(field.as_ref().clone().with_name(names.take(readable, field.name())))
        });
        let fields: Vec<FieldRef> = named.chain(own).collect();
        let spec =
            Unnest::new(lists, unnest.struct_type_columns.clone(), empty, Arc::new(Schema::new(fields)));
        let schema = spec.output_schema();
        let node = self.writer.chained(path, &input, spec)?;
        let places = |old: &usize| unnest.dependency_indices.iter().position(|source| source == old);
        let key = input.key.as_ref().and_then(|key| key.iter().map(places).collect());
        let window_columns = input.window_columns.iter().filter_map(places).collect();
        let bound = |(old, part): &(usize, WindowPart)| Some((places(old)?, *part));
        let window_bounds = input.window_bounds.iter().filter_map(bound).collect();
        Ok(Stream { node, schema, width, key, window_columns, window_bounds, ..input })
    }
}
