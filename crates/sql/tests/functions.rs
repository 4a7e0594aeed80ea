//! Functions that are computed elsewhere: what a planner makes of them.

mod fakes;

use std::sync::{Arc, Mutex};

use arrow::array::new_null_array;
use arrow::datatypes::DataType;
use thalweg_dataflow::{Code, Error, Functions, Graph, Result};
use thalweg_sql::{
    Argument, Computation, ForeignFunction, ForeignFunctions, FunctionLanguage, FunctionSignature, Plan,
    ProgramAggregate, ProgramFunction, explain,
};

const TABLES: &str = "CREATE TABLE bids (auction BIGINT, price DOUBLE, ts TIMESTAMP NOT NULL, WATERMARK FOR ts) \
    WITH (connector = 'file', path = 'bids', type = 'source');\n";

/// A language whose bodies are `scalar`, `aggregate`, or wrong.
#[derive(Default)]
struct Toy(Mutex<Vec<FunctionSignature>>);

impl FunctionLanguage for Toy {
    fn name(&self) -> &str {
        "toy"
    }

    fn define(&self, signature: &FunctionSignature, body: &str) -> Result<Computation> {
        self.0.lock().expect("nobody panics").push(signature.clone());
        match body.trim() {
            "scalar" => Ok(Computation::Scalar(called_never())),
            "aggregate" => Ok(Computation::Aggregate(ProgramAggregate::new(|| {
                Err(Error::internal("it is only planned"))
            }))),
            other => Err(Error::new(Code::InvalidFunction, format!("'{other}' is no body"))),
        }
    }
}

/// What is planned is not called.
fn called_never() -> ProgramFunction {
    ProgramFunction::new(|_, rows| {
        assert!(rows > 1_000_000, "called while a query is planned");
        Ok(new_null_array(&DataType::Int64, rows))
    })
}

fn plan(script: &str) -> Result<(Plan, Vec<FunctionSignature>), Vec<Error>> {
    let toy = Arc::new(Toy::default());
    let known = ForeignFunction {
        signature: FunctionSignature {
            name: "known".into(),
            arguments: vec![Argument { name: "x".into(), data_type: DataType::Int64, takes_null: true }],
            result: DataType::Int64,
            nullable: false,
        },
        computation: Computation::Scalar(called_never()),
    };
    let functions = ForeignFunctions::default().with_language(Arc::clone(&toy) as _).with_functions([known]);
    let plan = fakes::planner().with_functions(functions).plan(&format!("{TABLES}{script}"))?;
    let signatures = toy.0.lock().expect("nobody panics").clone();
    Ok((plan, signatures))
}

fn words(script: &str) -> String {
    let (plan, _) = plan(script).unwrap_or_else(|errors| panic!("{errors:?}"));
    explain(&plan.graph, &[], 1).to_string()
}

fn refused(script: &str) -> Error {
    match plan(script) {
        Ok(_) => panic!("it was planned"),
        Err(errors) => errors.into_iter().next().expect("an error"),
    }
}

#[test]
fn a_language_is_told_all_that_is_declared() {
    let (plan, signatures) = plan(
        "CREATE FUNCTION F(x BIGINT, \"Y\" TEXT[]) RETURNS DECIMAL(10, 2) NOT NULL LANGUAGE TOY AS $$ scalar $$;
         CREATE FUNCTION g() CALLED ON NULL INPUT AS 'scalar' LANGUAGE toy RETURNS TEXT;
         CREATE FUNCTION h(x INT) RETURNS TEXT CALLED ON NULL INPUT LANGUAGE toy AS $body$scalar$body$;
         SELECT f(auction, make_array('a')) AS f, G() AS g, h(3) AS h FROM bids;",
    )
    .unwrap_or_else(|errors| panic!("{errors:?}"));
    let [f, g, h] = &signatures[..] else { panic!("{signatures:?}") };
    assert_eq!((f.name.as_str(), &f.result, f.nullable), ("f", &DataType::Decimal128(10, 2), false));
    let arguments: Vec<_> = f.arguments.iter().map(|a| (a.name.as_str(), a.takes_null)).collect();
    assert_eq!(arguments, [("x", false), ("Y", false)]);
    assert!(matches!(f.arguments[1].data_type, DataType::List(_)));
    assert_eq!((g.arguments.len(), g.nullable), (0, true));
    assert!(h.arguments[0].takes_null);
    let names: Vec<String> = plan.functions.ids().map(ToString::to_string).collect();
    assert_eq!(names, ["f", "g", "h", "known"]);
}

#[test]
fn a_call_stays_a_call_once_and_where_it_is_written() {
    let constant = words("SELECT known(1) + known(1) AS n FROM bids WHERE known(2) = 2");
    assert!(constant.contains("known(1) + known(1) as n") && constant.contains("known(2) = 2"), "{constant}");
    let above = words("SELECT n + 1 AS m, n FROM (SELECT known(auction) AS n FROM bids) WHERE n > 2");
    assert_eq!(above.matches("known(auction)").count(), 1, "{above}");
}

#[test]
fn an_aggregate_of_another_language_stands_where_aggregates_do() {
    let declared = "CREATE FUNCTION total(x BIGINT) RETURNS BIGINT LANGUAGE toy AS 'aggregate';";
    let windowed = words(&format!(
        "{declared} SELECT auction, total(auction) FILTER (WHERE price > 1) AS t, count(*) AS n FROM bids \
         GROUP BY auction, tumble(interval '1 second')"
    ));
    assert!(windowed.contains("total(auction) FILTER (WHERE "), "{windowed}");
    let updating = words(&format!("{declared} SELECT known(total(auction)) AS t FROM bids"));
    assert!(updating.contains("updating-aggregate") && updating.contains("known("), "{updating}");
    for (query, code, place) in [
        (
            "SELECT total(DISTINCT auction) FROM bids",
            "not-supported",
            "DISTINCT within total() is not supported",
        ),
        ("SELECT total(auction ORDER BY price) FROM bids", "not-supported", "ORDER BY within total()"),
        (
            "SELECT total(price, 1) FROM bids",
            "type-mismatch",
            "total() takes (x BIGINT), and is called with (DOUBLE",
        ),
        (
            "SELECT total(auction) OVER (PARTITION BY w) FROM (SELECT *, tumble(interval '1 second') AS w FROM bids)",
            "not-supported",
            "total() OVER (…) is not supported",
        ),
        ("SELECT auction FROM bids WHERE total(auction) > 1", "invalid-aggregate", "total() is an aggregate"),
    ] {
        let error = refused(&format!("{declared} {query}"));
        assert!(error.code().as_str() == code && error.what().contains(place), "{query}: {error}");
    }
}

#[test]
fn wrong_declarations_say_what_is_wrong() {
    for (script, code, words) in [
        (
            "CREATE FUNCTION f() RETURNS BIGINT LANGUAGE toy AS 'nonsense'",
            "invalid-function",
            "'nonsense' is no body",
        ),
        (
            "CREATE FUNCTION f() RETURNS BIGINT LANGUAGE tay AS 'scalar'",
            "unknown-language",
            "no language 'tay'",
        ),
        (
            "CREATE FUNCTION f() RETURNS BIGINT LANGUAGE toy AS 'aggregate'",
            "invalid-function",
            "has no argument",
        ),
        (
            "CREATE FUNCTION known() RETURNS BIGINT LANGUAGE toy AS 'scalar'",
            "duplicate-name",
            "'known' already",
        ),
        (
            "CREATE FUNCTION upper() RETURNS BIGINT LANGUAGE toy AS 'scalar'",
            "duplicate-name",
            "'upper' already",
        ),
        (
            "CREATE FUNCTION tumble() RETURNS BIGINT LANGUAGE toy AS 'scalar'",
            "duplicate-name",
            "'tumble' already",
        ),
        ("CREATE FUNCTION f(x BIGNT) RETURNS BIGINT LANGUAGE toy AS 'scalar'", "invalid-type", "BIGNT"),
        ("CREATE FUNCTION f RETURNS BIGINT LANGUAGE toy AS 'scalar'", "syntax", "expected '('"),
        (
            "CREATE FUNCTION a.f() RETURNS BIGINT LANGUAGE toy AS 'scalar'",
            "not-supported",
            "catalog or schema",
        ),
        (
            "CREATE FUNCTION f() RETURNS BIGINT LANGUAGE toy AS scalar",
            "syntax",
            "the body, between $$ and $$",
        ),
    ] {
        let error = refused(&format!("{script}; SELECT f() FROM bids"));
        assert!(error.code().as_str() == code && error.what().contains(words), "{script}: {error}");
        assert!(error.span().is_some(), "{script}: {error}");
    }
    let all = plan(
        "CREATE FUNCTION f() RETURNS X LANGUAGE toy AS ''; CREATE FUNCTION g() RETURNS Y LANGUAGE toy AS ''",
    )
    .err()
    .map_or(0, |errors| errors.len());
    assert_eq!(all, 2, "each is told");
}

#[test]
fn the_functions_of_two_scripts_of_a_program_do_not_meet() {
    let planner =
        fakes::planner().with_functions(ForeignFunctions::default().with_language(Arc::<Toy>::default()));
    let script = format!(
        "{TABLES} CREATE FUNCTION f() RETURNS BIGINT LANGUAGE toy AS 'scalar'; SELECT f() AS f FROM bids"
    );
    let mut functions = Functions::default();
    for name in ["sql", "sql 2"] {
        planner
            .extend(Graph::new(), &mut functions, name, &script, &[])
            .unwrap_or_else(|errors| panic!("{errors:?}"));
    }
    let names: Vec<String> = functions.ids().map(ToString::to_string).collect();
    assert_eq!(names, ["sql 2/f", "sql/f"]);
}
