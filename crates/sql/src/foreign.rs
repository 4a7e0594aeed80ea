//! Functions that SQL calls and somebody else computes: a program, or the
//! interpreter of another language.
//!
//! A plan holds their names and signatures only. What computes them stands in
//! the [`Functions`] beside the graph, where the operators find it.
//!
//! A function holds for the whole script, above its declaration too. One that
//! replaces another holds from its own statement on: what was planned before
//! keeps the old one, which stays among the functions under its own id.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result as PlanResult, not_impl_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ScalarUDF, Signature};
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
    /// `id` is its alone within its program, and the same whenever that is planned; a name may be that of
    /// several functions, in several scripts or where one replaces another.
    ///
    /// # Errors
    /// If the body cannot be read, or defines no such function.
    fn define(&self, id: &FunctionId, signature: &FunctionSignature, body: &str) -> Result<Computation>;
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
    pub(crate) fn of_script<'a>(
        &self,
        engine: &'a context::Functions,
        statements: &[Statement],
        prefix: &'a str,
    ) -> Result<ScriptFunctions<'a>, Vec<Error>> {
        let mut script = ScriptFunctions::new(engine, prefix);
        let mut errors = Vec::new();
        for function in &self.functions {
            let free = script.check(&function.signature.name, "choose another name");
            errors.extend(free.and_then(|()| script.add(function)).err());
        }
        for (place, statement) in statements.iter().enumerate() {
            if let Statement::CreateFunction(create) = statement {
                errors.extend(self.create(create, place, &mut script).err());
            }
        }
        if errors.is_empty() { Ok(script) } else { Err(errors) }
    }

    /// Adds what the statement at this place declares.
    fn create(&self, create: &CreateFunction, place: usize, script: &mut ScriptFunctions<'_>) -> Result<()> {
        const INSTEAD: &str =
            "CREATE OR REPLACE FUNCTION takes its place from there on; or choose another name";
        let name = &create.name;
        let replaces = create.or_replace && script.declares(&name.text);
        if !replaces {
            script.check(&name.text, INSTEAD).map_err(|e| e.at(name.span))?;
        }
        let function = self.define(create, &script.id_of(&name.text))?;
        let added = if replaces { script.replace(&function, place) } else { script.add(&function) };
        added.map_err(|e| e.at(name.span))
    }

    fn define(&self, create: &CreateFunction, id: &FunctionId) -> Result<ForeignFunction> {
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
            language.define(id, &signature, &create.body).map_err(|error| error.at(create.body_span))?;
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

/// What one script may call.
pub(crate) struct ScriptFunctions<'a> {
    engine: &'a context::Functions,
    prefix: &'a str,
    /// All functions that hold from the beginning.
    pub(crate) known: context::Functions,
    /// Those that take the place of another of their name, by the place of their statement.
    replaced: BTreeMap<usize, Planned>,
    /// What computes those that are not the engine's.
    pub(crate) computations: Functions,
    /// How many functions there are of each name.
    counts: HashMap<String, usize>,
}

impl<'a> ScriptFunctions<'a> {
    fn new(engine: &'a context::Functions, prefix: &'a str) -> Self {
        let (known, computations) = (engine.clone(), Functions::default());
        Self { engine, prefix, known, replaced: BTreeMap::new(), computations, counts: HashMap::new() }
    }

    /// Puts the function of the statement at this place where the one stands that it replaces, if it does.
    pub(crate) fn replace_at(&self, place: usize, functions: &mut context::Functions) {
        if let Some(planned) = self.replaced.get(&place) {
            functions.remove(planned.name());
            planned.put_into(functions);
        }
    }

    /// Whether there is a function of this name that is not the engine's.
    fn declares(&self, name: &str) -> bool {
        self.known.has(name) && !self.engine.has(name)
    }

    /// Whether the name is still to be given.
    fn check(&self, name: &str, instead: &str) -> Result<()> {
        let taken = || Error::new(Code::DuplicateName, format!("there is a function '{name}' already"));
        match (self.engine.has(name), self.known.has(name)) {
            (true, _) => Err(taken()
                .because("it is the engine's own, and means the same in every script")
                .with_help("choose another name")),
            (false, true) => Err(taken().with_help(instead)),
            (false, false) if name.contains(' ') => {
                let what = format!("'{name}' is no name of a function");
                Err(Error::new(Code::InvalidFunction, what).with_help("write it without spaces"))
            }
            (false, false) => Ok(()),
        }
    }

    /// The id of the next function of this name. No name has the space in it.
    fn id_of(&self, name: &str) -> FunctionId {
        let prefix = self.prefix;
        match self.counts.get(name) {
            None => FunctionId(format!("{prefix}{name}")),
            Some(count) => FunctionId(format!("{prefix}{name} {}", count + 1)),
        }
    }

    /// Adds a function for the whole script.
    fn add(&mut self, function: &ForeignFunction) -> Result<()> {
        self.planned(function)?.put_into(&mut self.known);
        Ok(())
    }

    /// Puts a function into the place of the one of its name, from a statement on.
    fn replace(&mut self, function: &ForeignFunction, place: usize) -> Result<()> {
        let planned = self.planned(function)?;
        self.replaced.insert(place, planned);
        Ok(())
    }

    /// A function as the planner calls it; the operators find what computes it.
    fn planned(&mut self, function: &ForeignFunction) -> Result<Planned> {
        let signature = function.signature.clone();
        let id = self.id_of(&signature.name);
        *self.counts.entry(signature.name.clone()).or_default() += 1;
        match &function.computation {
            Computation::Scalar(computed) => {
                self.computations.add(id.clone(), computed.clone());
                Ok(Planned::Scalar(scalar(id, signature)))
            }
            Computation::Aggregate(_) if signature.arguments.is_empty() => {
                let what = format!("the aggregate '{}' has no argument", signature.name);
                Err(Error::new(Code::InvalidFunction, what)
                    .with_help("an aggregate takes at least one argument: give it a column"))
            }
            Computation::Aggregate(computed) => {
                self.computations.add(id.clone(), computed.clone());
                let planned = signature.planned();
                Ok(Planned::Aggregate(AggregateUDF::from(ForeignAggregate { planned, signature, id })))
            }
        }
    }
}

/// A function as DataFusion's planner sees it.
enum Planned {
    Scalar(ScalarUDF),
    Aggregate(AggregateUDF),
}

impl Planned {
    fn name(&self) -> &str {
        match self {
            Planned::Scalar(function) => function.name(),
            Planned::Aggregate(function) => function.name(),
        }
    }

    fn put_into(&self, known: &mut context::Functions) {
        match self {
            Planned::Scalar(function) => known.add_scalar(function.clone()),
            Planned::Aggregate(function) => known.add_aggregate(function.clone()),
        }
    }
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

    /// Refuses the first of these clauses that stands within a call.
    pub(crate) fn takes_rows_as_they_come(&self, within: &[(bool, &str)]) -> Result<()> {
        let Some((_, clause)) = within.iter().find(|(given, _)| *given) else { return Ok(()) };
        let what = format!("{clause} within {}() is not supported", self.signature.name);
        Err(Error::new(Code::NotSupported, what)
            .because("the function is not the engine's own, and takes rows as they come")
            .with_help("let the function see to it itself"))
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
