//! Windows in a `SELECT` list.

use std::sync::Arc;

use datafusion::logical_expr::Extension;
use thalweg_dataflow::{Code, Error, OperatorSpec, Result};
use thalweg_operators::row_windows::RowWindows as Operator;

use super::aggregate::same_window;
use super::graph::Stream;
use super::names::Names;
use super::write::Lowering;
use crate::row_windows::RowWindows;

/// The window's column.
const WINDOW: &str = "window";

impl Lowering<'_> {
    pub(super) fn extension(&mut self, extension: &Extension, path: &str) -> Result<Stream> {
        match RowWindows::of(extension) {
            Some(windows) => self.row_windows(windows, path),
            None => Err(Error::new(Code::NotSupported, "this form of query is not supported")),
        }
    }

    fn row_windows(&mut self, windows: &RowWindows, path: &str) -> Result<Stream> {
        let input = self.lower(&windows.input, path)?;
        let window = windows.window()?;
        self.check_window(&input, Some(window))?;
        let mut names = Names::new(input.schema.fields().iter().map(|field| field.name().as_str()));
        let name = names.take(WINDOW.to_owned(), "__window");
        let again = input.window == Some(window);
        let assigner = if again { same_window(window)? } else { window.assigner()? };
        let spec = Operator::new(assigner, Arc::clone(&input.schema), input.width, &name)?;
        let schema = spec.output_schema();
        let node = self.writer.chained(path, &input, spec)?;
        let mut window_columns = input.window_columns.clone();
        window_columns.push(input.width);
        let width = input.width + 1;
        Ok(Stream { node, schema, width, window: Some(window), window_columns, key: None, ..input })
    }
}
