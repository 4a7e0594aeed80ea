//! What DataFusion's planner may ask: tables, functions, options.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{Result, TableReference};
use datafusion::config::ConfigOptions;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};

use crate::catalog::{Catalog, RelationId};
use crate::errors::carry;
use crate::markers;

/// A relation, as a plan's scan refers to it.
#[derive(Debug)]
pub(crate) struct RelationSource {
    pub(crate) id: RelationId,
    pub(crate) schema: SchemaRef,
}

impl TableSource for RelationSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// Every function by every name that it has.
#[derive(Clone)]
pub(crate) struct Functions {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    higher_order: HashMap<String, Arc<HigherOrderUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
    window: HashMap<String, Arc<WindowUDF>>,
    expr_planners: Vec<Arc<dyn ExprPlanner>>,
    options: ConfigOptions,
}

impl Functions {
    /// DataFusion's own, and the markers.
    pub(crate) fn new() -> Self {
        let scalar = SessionStateDefaults::default_scalar_functions().into_iter().chain(markers::functions());
        let mut options = ConfigOptions::default();
        options.sql_parser.collect_spans = true;
        options.sql_parser.map_string_types_to_utf8view = false;
        Self {
            scalar: by_name(scalar, |f| (f.name(), f.aliases())),
            higher_order: by_name(SessionStateDefaults::default_higher_order_functions(), |f| {
                (f.name(), f.aliases())
            }),
            aggregate: by_name(SessionStateDefaults::default_aggregate_functions(), |f| {
                (f.name(), f.aliases())
            }),
            window: by_name(SessionStateDefaults::default_window_functions(), |f| (f.name(), f.aliases())),
            expr_planners: SessionStateDefaults::default_expr_planners(),
            options,
        }
    }

    /// The names of scalar and aggregate functions.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.scalar.keys().chain(self.aggregate.keys()).map(String::as_str)
    }

    /// Whether any function has this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.scalar.contains_key(name)
            || self.higher_order.contains_key(name)
            || self.aggregate.contains_key(name)
            || self.window.contains_key(name)
    }

    /// Adds a function under its name, which is free.
    pub(crate) fn add_scalar(&mut self, function: ScalarUDF) {
        self.scalar.insert(function.name().to_owned(), Arc::new(function));
    }

    /// Adds an aggregate under its name, which is free.
    pub(crate) fn add_aggregate(&mut self, function: AggregateUDF) {
        self.aggregate.insert(function.name().to_owned(), Arc::new(function));
    }

    /// Takes away the scalar or aggregate function of this name.
    pub(crate) fn remove(&mut self, name: &str) {
        self.scalar.remove(name);
        self.aggregate.remove(name);
    }

    /// Whether this is the name of an aggregate function.
    pub(crate) fn is_aggregate(&self, name: &str) -> bool {
        self.aggregate.contains_key(name)
    }

    /// DataFusion's settings.
    pub(crate) fn options(&self) -> &ConfigOptions {
        &self.options
    }
}

fn by_name<F>(
    functions: impl IntoIterator<Item = Arc<F>>,
    names: impl Fn(&F) -> (&str, &[String]),
) -> HashMap<String, Arc<F>> {
    let mut map = HashMap::new();
    for function in functions {
        let (name, aliases) = names(&function);
        for name in aliases.iter().map(String::as_str).chain([name]) {
            map.insert(name.to_owned(), Arc::clone(&function));
        }
    }
    map
}

/// The catalog and the functions as DataFusion's planner asks for them.
pub(crate) struct Context<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) functions: &'a Functions,
}

impl ContextProvider for Context<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        self.catalog.readable(name.table()).map_err(carry)
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.functions.expr_planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.scalar.get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.functions.higher_order.get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.functions.window.get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.functions.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.functions.higher_order.keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.functions.aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.functions.window.keys().cloned().collect()
    }
}
