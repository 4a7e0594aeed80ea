//! Functions that SQL calls and somebody else computes: a program, or the
//! interpreter of another language.
//!
//! A plan holds their names and signatures only. What computes them stands in
//! the [`Functions`] beside the graph, where the operators find it.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result as PlanResult, not_impl_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature};
use thalweg_dataflow::function::FunctionId;
use thalweg_dataflow::{Code, Error, Functions, Result};
use thalweg_operators::aggregate::ProgramAggregate;
use thalweg_operators::functions::{Argument, FunctionSignature, ProgramFunction, scalar};

use crate::context;
use crate::errors::suggest;
use crate::parser::{CreateFunction, Name, Statement, arrow_type};

/// A function by its signature, and what computes it.
#[derive(Clone)]
pub struct ForeignFunction {
    /// How SQL calls it.
    pub signature: FunctionSignature,
    /// What is called.
    pub computation: Computation,
}

/// What computes a function.
#[derive(Clone)]
pub enum Computation {
    /// A value for each row.
    Scalar(ProgramFunction),
    /// A value for each group of rows.
    Aggregate(ProgramAggregate),
}

/// A language in which a script may write functions.
pub trait FunctionLanguage: Send + Sync {
    /// What stands behind `LANGUAGE`, in lower case.
    fn name(&self) -> &str;

    /// What a declared function computes, made of its body.
    ///
    /// # Errors
    /// If the body cannot be read, or defines no such function.
    fn define(&self, signature: &FunctionSignature, body: &str) -> Result<Computation>;
}

/// What SQL may call besides the functions that it has.
#[derive(Clone, Default)]
pub struct ForeignFunctions {
    languages: Vec<Arc<dyn FunctionLanguage>>,
    functions: Vec<ForeignFunction>,
}

impl ForeignFunctions {
    /// Scripts may write functions in this language.
    #[must_use]
    pub fn with_language(mut self, language: Arc<dyn FunctionLanguage>) -> Self {
        self.languages.push(language);
        self
    }

    /// All scripts may call these functions.
    #[must_use]
    pub fn with_functions(mut self, functions: impl IntoIterator<Item = ForeignFunction>) -> Self {
        self.functions.extend(functions);
        self
    }

    /// The functions that one script knows, and what computes them, each named under `prefix`.
    pub(crate) fn of_script(
        &self,
        known: &context::Functions,
        statements: &[Statement],
        prefix: &str,
    ) -> Result<(context::Functions, Functions), Vec<Error>> {
        let (mut all, mut computations) = (known.clone(), Functions::default());
        let mut errors = Vec::new();
        for function in &self.functions {
            errors.extend(add(function, &mut all, &mut computations, prefix).err());
        }
        for statement in statements {
            let Statement::CreateFunction(create) = statement else { continue };
            let added = self.define(create).and_then(|function| {
                add(&function, &mut all, &mut computations, prefix).map_err(|e| e.at(create.name.span))
            });
            errors.extend(added.err());
        }
        if errors.is_empty() { Ok((all, computations)) } else { Err(errors) }
    }

    fn define(&self, create: &CreateFunction) -> Result<ForeignFunction> {
        let language = self.language(create)?;
        let argument = |(name, sql, span): &(Name, _, _)| {
            let data_type = arrow_type(sql, *span)?;
            Ok(Argument { name: name.text.clone(), data_type, takes_null: create.takes_nulls })
        };
        let signature = FunctionSignature {
            name: create.name.text.clone(),
            arguments: create.arguments.iter().map(argument).collect::<Result<_>>()?,
            result: arrow_type(&create.returns.0, create.returns.1)?,
            nullable: create.nullable,
        };
        let computation =
            language.define(&signature, &create.body).map_err(|error| error.at(create.body_span))?;
        Ok(ForeignFunction { signature, computation })
    }

    fn language(&self, create: &CreateFunction) -> Result<&dyn FunctionLanguage> {
        let wanted = &create.language.text;
        if let Some(language) = self.languages.iter().find(|language| language.name() == wanted.as_str()) {
            return Ok(&**language);
        }
        if wanted == "python" {
            return Err(Error::new(Code::UnknownLanguage, "there is no Python here to compute functions")
                .because("this program runs without an interpreter")
                .at(create.language.span)
                .with_help("install the package with pip, and use its command: python -m thalweg run FILE"));
        }
        let known: Vec<&str> = self.languages.iter().map(|language| language.name()).collect();
        let error = Error::new(Code::UnknownLanguage, format!("there is no language '{wanted}'"));
        Err(match known.is_empty() {
            true => {
                error.with_help("functions are written in python, where the package from pip runs the script")
            }
            false => suggest(error, wanted, &known, "the languages are"),
        }
        .at(create.language.span))
    }
}

impl fmt::Debug for ForeignFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let languages: Vec<&str> = self.languages.iter().map(|language| language.name()).collect();
        let functions: Vec<&str> =
            self.functions.iter().map(|function| function.signature.name.as_str()).collect();
        f.debug_struct("ForeignFunctions")
            .field("languages", &languages)
            .field("functions", &functions)
            .finish()
    }
}

/// Makes a function known to the planner and to the operators.
fn add(
    function: &ForeignFunction,
    all: &mut context::Functions,
    computations: &mut Functions,
    prefix: &str,
) -> Result<()> {
    let signature = &function.signature;
    let name = signature.name.as_str();
    if all.has(name) {
        return Err(Error::new(Code::DuplicateName, format!("there is a function '{name}' already"))
            .with_help("choose another name"));
    }
    let id = FunctionId(format!("{prefix}{name}"));
    match &function.computation {
        Computation::Scalar(computed) => {
            computations.add(id.clone(), computed.clone());
            all.add_scalar(scalar(id, signature.clone()));
        }
        Computation::Aggregate(_) if signature.arguments.is_empty() => {
            let what = format!("the aggregate '{name}' has no argument");
            return Err(Error::new(Code::InvalidFunction, what)
                .with_help("an aggregate takes at least one argument: give it a column"));
        }
        Computation::Aggregate(computed) => {
            computations.add(id.clone(), computed.clone());
            all.add_aggregate(AggregateUDF::from(ForeignAggregate {
                planned: signature.planned(),
                signature: signature.clone(),
                id,
            }));
        }
    }
    Ok(())
}

/// A foreign aggregate, as DataFusion's planner sees it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ForeignAggregate {
    pub(crate) id: FunctionId,
    pub(crate) signature: FunctionSignature,
    planned: Signature,
}

impl ForeignAggregate {
    /// What an aggregate function is, if it is one of these.
    pub(crate) fn of(function: &AggregateUDF) -> Option<&Self> {
        let inner: &dyn AggregateUDFImpl = function.inner().as_ref();
        inner.downcast_ref::<Self>()
    }
}

impl AggregateUDFImpl for ForeignAggregate {
    fn name(&self) -> &str {
        &self.signature.name
    }

    fn signature(&self) -> &Signature {
        &self.planned
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(self.signature.result.clone())
    }

    fn coerce_types(&self, given: &[DataType]) -> PlanResult<Vec<DataType>> {
        self.signature.coerce(given)
    }

    fn is_nullable(&self) -> bool {
        self.signature.nullable
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
        not_impl_err!("'{}' is computed elsewhere", self.signature.name)
    }
}
