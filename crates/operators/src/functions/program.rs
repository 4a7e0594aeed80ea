//! A program's own scalar functions, as an expression calls them.
//!
//! The function itself cannot travel, so an expression holds its name and its
//! signature. Each process finds a [`ProgramFunction`] among its functions,
//! and [`bind`] puts it into the expression when an operator is built.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, new_empty_array};
use arrow::compute::{and, filter, is_not_null, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::function::FunctionId;
use thalweg_dataflow::{Code, Error, Functions, Result};

use super::external;
use crate::expression::sql_type;

type Compute = dyn Fn(&[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync;

/// What stands in [`Functions`] under the name of a program's scalar function.
#[derive(Clone)]
pub struct ProgramFunction {
    compute: Arc<Compute>,
}

impl ProgramFunction {
    /// A function of columns, each of so many rows, at least one, that gives a value for each.
    ///
    /// Equal arguments must give equal results: a row that is retracted is computed once more.
    pub fn new(compute: impl Fn(&[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync + 'static) -> Self {
        Self { compute: Arc::new(compute) }
    }
}

impl fmt::Debug for ProgramFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgramFunction")
    }
}

/// What a function takes and gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FunctionSignature {
    /// The name in SQL, in lower case.
    pub name: String,
    /// What it takes.
    pub arguments: Vec<Argument>,
    /// The type of what it gives.
    pub result: DataType,
    /// Whether what it gives may be null.
    pub nullable: bool,
}

/// One argument of a function.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Argument {
    /// Its name, for people.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether the function is called with a null. If not, a null gives null, and an aggregate leaves the row out.
    pub takes_null: bool,
}

impl FunctionSignature {
    /// What DataFusion's planner is to know. Volatile, so that nothing is called while a query is planned,
    /// and no rule writes a call twice.
    pub fn planned(&self) -> Signature {
        match self.arguments.is_empty() {
            true => Signature::nullary(Volatility::Volatile),
            false => Signature::user_defined(Volatility::Volatile),
        }
    }

    /// The types that arguments of these types are cast to.
    ///
    /// # Errors
    /// If there are too few or too many, or one is something else than what the function takes.
    pub fn coerce(&self, given: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        let fits =
            self.arguments.iter().zip(given).all(|(argument, given)| is_taken(&argument.data_type, given));
        if fits && self.arguments.len() == given.len() {
            return Ok(self.arguments.iter().map(|argument| argument.data_type.clone()).collect());
        }
        let takes: Vec<String> = self
            .arguments
            .iter()
            .map(|argument| format!("{} {}", argument.name, sql_type(&argument.data_type)))
            .collect();
        let (wanted, found) = (self.arguments.len(), given.len());
        let given: Vec<String> = given.iter().map(sql_type).collect();
        let (name, takes, given) = (&self.name, takes.join(", "), given.join(", "));
        let wrong = format!("{name}() takes ({takes}), and is called with ({given})");
        let wrong = if wanted == found { wrong } else { format!("{wrong}: {found} in place of {wanted}") };
        Err(DataFusionError::Plan(wrong))
    }

    /// The arguments whose nulls are not passed to the function.
    pub(crate) fn skipping(&self) -> Vec<usize> {
        (0..self.arguments.len()).filter(|&index| !self.arguments[index].takes_null).collect()
    }
}

/// Whether values of a type are meant where a function takes another. A whole number that is too large
/// for it fails when it is cast.
fn is_taken(taken: &DataType, given: &DataType) -> bool {
    use DataType::{Date32, Duration, Interval, List, Map, Null, Struct, Timestamp};
    match (taken, given) {
        (_, Null) | (Timestamp(..), Timestamp(..) | Date32) => true,
        (Interval(_), Interval(_) | Duration(_)) => true,
        (List(taken), List(given)) => is_taken(taken.data_type(), given.data_type()),
        (Map(taken, _), Map(given, _)) => match (taken.data_type(), given.data_type()) {
            (Struct(taken), Struct(given)) => {
                taken.iter().zip(given).all(|(taken, given)| is_taken(taken.data_type(), given.data_type()))
            }
            (taken, given) => taken == given,
        },
        (taken, given) => {
            taken == given
                || taken.is_string() && given.is_string()
                || taken.is_binary() && given.is_binary()
                || taken.is_integer() && given.is_integer()
                || taken.is_floating() && given.is_numeric()
                || taken.is_decimal() && (given.is_decimal() || given.is_integer())
        }
    }
}

/// The rows where none of these columns is null; none if that is all.
pub(crate) fn without_nulls(
    columns: &[ArrayRef],
    skipping: &[usize],
) -> Result<Option<BooleanArray>, DataFusionError> {
    let mut rows: Option<BooleanArray> = None;
    for column in
        skipping.iter().map(|&index| &columns[index]).filter(|column| column.logical_null_count() > 0)
    {
        let there = is_not_null(column)?;
        rows = Some(match rows {
            Some(rows) => and(&rows, &there)?,
            None => there,
        });
    }
    Ok(rows)
}

/// A call of the program's function that has this name.
pub fn scalar(id: FunctionId, signature: FunctionSignature) -> ScalarUDF {
    ScalarUDF::from(Call { planned: signature.planned(), id, signature, function: None })
}

/// A function as DataFusion calls it.
#[derive(Debug)]
struct Call {
    id: FunctionId,
    signature: FunctionSignature,
    planned: Signature,
    /// Where the expression is bound.
    function: Option<Arc<ProgramFunction>>,
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        (&self.id, &self.signature) == (&other.id, &other.signature)
    }
}

impl Eq for Call {}

impl std::hash::Hash for Call {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.id, &self.signature).hash(state);
    }
}

impl ScalarUDFImpl for Call {
    fn name(&self) -> &str {
        &self.signature.name
    }

    fn signature(&self) -> &Signature {
        &self.planned
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.signature.result.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef, DataFusionError> {
        let arguments = self.signature.arguments.iter().zip(args.arg_fields);
        let passed_over = arguments.filter(|(argument, _)| !argument.takes_null);
        let nullable =
            self.signature.nullable || passed_over.into_iter().any(|(_, field)| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.signature.result.clone(), nullable)))
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        self.signature.coerce(given)
    }

    fn is_strict(&self) -> bool {
        self.signature.arguments.iter().all(|argument| !argument.takes_null)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let rows = args.number_rows;
        let columns: Vec<ArrayRef> =
            args.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<_, _>>()?;
        self.compute(&columns, rows).map(ColumnarValue::Array)
    }
}

impl Call {
    /// The results for so many rows; those with a null that the function does not take are null.
    fn compute(&self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef, DataFusionError> {
        let Some(called) = without_nulls(columns, &self.signature.skipping())? else {
            return self.call(columns, rows);
        };
        let some = columns.iter().map(|column| filter(column, &called)).collect::<Result<Vec<_>, _>>()?;
        let results = self.call(&some, called.true_count())?;
        let mut next = 0..;
        let places: UInt32Array =
            called.values().iter().map(|called| if called { next.next() } else { None }).collect();
        Ok(take(&results, &places, None)?)
    }

    fn call(&self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef, DataFusionError> {
        let Some(function) = &self.function else {
            return Err(external(Error::internal(format!("function '{}' is not bound", self.id))));
        };
        if rows == 0 {
            return Ok(new_empty_array(&self.signature.result));
        }
        let results = (function.compute)(columns, rows).map_err(external)?;
        self.check(&results, rows).map_err(external)?;
        Ok(results)
    }

    fn check(&self, results: &ArrayRef, rows: usize) -> Result<()> {
        let FunctionSignature { name, result, nullable, .. } = &self.signature;
        let what = if results.data_type() != result {
            format!("gave values of type '{}', not '{result}'", results.data_type())
        } else if results.len() != rows {
            format!("gave {} values for {rows} rows", results.len())
        } else if !nullable && results.null_count() > 0 {
            "gave NULL, which it is declared not to give".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::new(Code::FunctionFailed, format!("function '{name}' {what}")))
    }
}

/// Whether an expression is a call of a program's function.
pub(crate) fn is_call(expr: &dyn PhysicalExpr) -> bool {
    expr.downcast_ref::<ScalarFunctionExpr>().is_some_and(|call| of(call.fun()).is_some())
}

fn of(function: &ScalarUDF) -> Option<&Call> {
    let inner: &dyn ScalarUDFImpl = function.inner().as_ref();
    inner.downcast_ref::<Call>()
}

/// The expression with the functions that it names.
pub(crate) fn bind(expr: &Arc<dyn PhysicalExpr>, functions: &Functions) -> Result<Arc<dyn PhysicalExpr>> {
    let bound = Arc::clone(expr).transform_up(|expr| {
        let Some(planned) = expr.downcast_ref::<ScalarFunctionExpr>() else {
            return Ok(Transformed::no(expr));
        };
        let Some(Call { id, signature, planned: known, .. }) = of(planned.fun()) else {
            return Ok(Transformed::no(expr));
        };
        let function = Some(functions.get::<ProgramFunction>(id).map_err(external)?);
        let call = Call { id: id.clone(), signature: signature.clone(), planned: known.clone(), function };
        let bound = ScalarFunctionExpr::new(
            planned.name(),
            Arc::new(ScalarUDF::from(call)),
            planned.args().to_vec(),
            planned.return_field(&arrow::datatypes::Schema::empty())?,
            Arc::new(planned.config_options().clone()),
        );
        Ok(Transformed::yes(Arc::new(bound) as Arc<dyn PhysicalExpr>))
    });
    bound.map(|bound| bound.data).map_err(|failure| match super::own(&failure) {
        Some(own) => own,
        None => Error::internal("functions cannot be put into an expression").because(failure),
    })
}

/// The name and signature of a program's function, for [`decode`]; none of others.
pub(crate) fn encode(function: &ScalarUDF) -> Result<Option<Vec<u8>>, DataFusionError> {
    let Some(Call { id, signature, .. }) = of(function) else { return Ok(None) };
    serde_json::to_vec(&(id, signature)).map(Some).map_err(|why| DataFusionError::External(Box::new(why)))
}

/// What [`encode`] wrote, to be bound.
pub(crate) fn decode(bytes: &[u8]) -> Result<ScalarUDF, DataFusionError> {
    let (id, signature) =
        serde_json::from_slice(bytes).map_err(|why| DataFusionError::External(Box::new(why)))?;
    Ok(scalar(id, signature))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
