//! SQL within a program.

use std::rc::Rc;

use arrow::datatypes::Schema;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, Functions, Graph, Outlet, Result};

use crate::columns::{Record, Table};
use crate::open::Open;
use crate::plan::{Place, SharedPlan, Work, inlets};
use crate::rows::Rows;
use crate::segment::head::read_table;
use crate::stream::Stream;

/// What the first query is named, and the others with a number or the name that the program gave; before the
/// names of all that it adds.
pub(crate) const SQL: &str = "sql";

/// Writes what SQL means into a graph. The planner of SQL stands on another side of the house; whoever knows
/// both brings them together.
pub trait SqlPlanner {
    /// Adds to `graph` what computes the rows of the last `SELECT` of `text`,
    /// which may read `inputs` by name, and answers where they come out. What
    /// is added is named under `name`. What the graph calls of functions is added to `functions`.
    fn plan(
        &self,
        graph: &mut Graph,
        functions: &mut Functions,
        name: &str,
        text: &str,
        inputs: &[(String, Outlet)],
    ) -> Result<Outlet, Vec<Error>>;
}

/// The planner of a program without SQL.
#[derive(Clone, Copy, Debug)]
pub struct NoSql;

impl SqlPlanner for NoSql {
    fn plan(
        &self,
        _: &mut Graph,
        _: &mut Functions,
        _: &str,
        _: &str,
        _: &[(String, Outlet)],
    ) -> Result<Outlet, Vec<Error>> {
        let what = "SQL is used where there is no planner for it";
        Err(vec![Error::new(Code::NotSupported, what)])
    }
}

/// The rows that SQL answers, as records.
pub(crate) fn sql<U: Record>(plan: &SharedPlan, text: &str, tables: &[(&str, Rows)]) -> Stream<U> {
    let table = Table::<U>::find();
    let checked = table.clone();
    let Rows { plan, place } = rows(plan, None, text, tables, move |schema| checked.check(schema));
    Stream::new(plan, Open::records(vec![place], read_table(table), SQL.to_owned()))
}

/// The rows that SQL answers, if their columns are `fit`.
pub(crate) fn rows(
    plan: &SharedPlan,
    name: Option<&str>,
    text: &str,
    tables: &[(&str, Rows)],
    fit: impl Fn(&Schema) -> Result<()> + 'static,
) -> Rows {
    if tables.iter().any(|(_, rows)| !Rc::ptr_eq(&rows.plan, plan)) {
        let what = "SQL reads a stream of another application";
        plan.borrow_mut().errors.push(Error::new(Code::InvalidQuery, what));
    }
    let fits = move |outlet: &Outlet| {
        check_rows(outlet.rows)?;
        fit(&outlet.schema)
    };
    let names = tables.iter().map(|(name, _)| (*name).to_owned()).collect();
    let inputs = tables.iter().zip(0..);
    let inputs = inputs.flat_map(|((_, rows), port)| inlets(&[rows.place], None, port)).collect();
    let work = Work::Sql { text: text.to_owned(), tables: names, fits: Box::new(fits) };
    let node = match name {
        Some(name) => plan.borrow_mut().add_once(format!("{SQL}-{name}"), name, "script", work, inputs),
        None => plan.borrow_mut().add(SQL.to_owned(), work, inputs),
    };
    Rows { plan: Rc::clone(plan), place: Place::of(node) }
}

/// Rows that change cannot be records.
fn check_rows(rows: RowKind) -> Result<()> {
    match rows {
        RowKind::Append => Ok(()),
        RowKind::Changelog => {
            let what = "the rows of this query change, and records of a program only come";
            let help = "aggregate over windows, which give each row once";
            Err(Error::new(Code::NotSupported, what).with_help(help))
        }
    }
}
