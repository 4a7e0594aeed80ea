//! Several inputs as one.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Union as Plan, lit};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, OperatorSpec, Result, columns};
use thalweg_operators::Expression;
use thalweg_operators::project::Project;
use thalweg_operators::union::Union;

use super::expression::compile_bare;
use super::graph::Stream;
use super::write::Lowering;

impl Lowering<'_> {
    pub(super) fn union(&mut self, union: &Plan, path: &str) -> Result<Stream> {
        let inputs = union.inputs.iter().enumerate();
        let streams = inputs
            .map(|(index, input)| self.lower(input, &format!("{path}/{}", index + 1)))
            .collect::<Result<Vec<_>>>()?;
        let names: Vec<&str> = union.schema.fields().iter().map(|field| field.name().as_str()).collect();
        self.merge(streams, &names, path)
    }

    /// The rows of all streams, which agree in the types of their columns.
    pub(super) fn merge(&mut self, streams: Vec<Stream>, names: &[&str], path: &str) -> Result<Stream> {
        let changelog = streams.iter().any(|stream| stream.rows == RowKind::Changelog);
        let marked = streams.iter().filter(|stream| stream.own(columns::ROW_WATERMARK).is_some()).count();
        if marked > 0 && marked < streams.len() && streams.iter().any(|stream| stream.window.is_some()) {
            return Err(Error::new(
                Code::InvalidWindow,
                "rows that are grouped by a window cannot be mixed with others and grouped by a window again",
            )
            .with_help("group both sides by the same window first"));
        }
        let mut own = vec![columns::TIMESTAMP];
        own.extend((marked == streams.len()).then_some(columns::ROW_WATERMARK));
        own.extend(changelog.then_some(columns::DIFF));
        let streams = streams.into_iter().map(|s| self.align(s, &own, path)).collect::<Result<Vec<_>>>()?;
        let first = &streams[0];
        let schema = common_schema(&streams, names);
        let alike = streams.iter().all(|stream| stream.parallelism == first.parallelism);
        let parallelism = if alike { first.parallelism } else { None };
        let inputs: Vec<_> =
            streams.iter().map(|stream| (stream, stream.distribution(parallelism))).collect();
        let count =
            u16::try_from(streams.len()).map_err(|_| Error::internal("a union has too many inputs"))?;
        let node =
            self.writer.operator(path, &inputs, parallelism, Union::new(Arc::clone(&schema), count))?;
        let agree = |other: &Stream| {
            (other.window, &other.window_columns, &other.window_bounds)
                == (first.window, &first.window_columns, &first.window_bounds)
        };
        let same_window = streams.iter().all(agree);
        let rows = if changelog { RowKind::Changelog } else { RowKind::Append };
        let union = Stream::new(node, schema, first.width, rows, parallelism);
        if !same_window {
            return Ok(union);
        }
        let (window_columns, window_bounds) = (first.window_columns.clone(), first.window_bounds.clone());
        Ok(Stream { window: first.window, window_columns, window_bounds, ..union })
    }

    /// The stream with exactly these of the engine's columns; without `_diff` every row is an assert.
    fn align(&mut self, input: Stream, own: &[&str], path: &str) -> Result<Stream> {
        let present = input.own_columns().map(|index| input.schema.field(index).name().as_str());
        if present.eq(own.iter().copied()) {
            return Ok(input);
        }
        let column =
            |index| (Expression::column(&input.schema, index), input.schema.field(index).name().clone());
        let mut computed: Vec<_> = (0..input.width).map(column).collect();
        for &name in own {
            computed.push(match input.own(name) {
                Some(index) => column(index),
                None if name == columns::DIFF => {
                    (compile_bare(&lit(ScalarValue::Int8(Some(1))), &input.schema)?, name.to_owned())
                }
                None => return Err(Error::internal(format!("rows do not carry '{name}'"))),
            });
        }
        let spec = Project::new(computed, self.policy());
        let schema = spec.output_schema();
        let node = self.writer.chained(path, &input, spec)?;
        let rows = if own.contains(&columns::DIFF) { RowKind::Changelog } else { input.rows };
        Ok(Stream { node, schema, rows, ..input })
    }
}

/// A column may be null if it may be in any input.
fn common_schema(streams: &[Stream], names: &[&str]) -> SchemaRef {
    let first = &streams[0].schema;
    let field = |index: usize| -> Field {
        let nullable = streams.iter().any(|stream| stream.schema.field(index).is_nullable());
        let field = first.field(index).clone().with_nullable(nullable);
        match names.get(index) {
            Some(name) => field.with_name(*name),
            None => field,
        }
    };
    Arc::new(Schema::new((0..first.fields().len()).map(field).collect::<Vec<_>>()))
}
