//! Functions that are computed elsewhere: what a planner makes of them.

mod fakes;

use std::sync::{Arc, Mutex};

use arrow::array::new_null_array;
use arrow::datatypes::DataType;
use thalweg_dataflow::function::FunctionId;
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

    fn define(&self, _: &FunctionId, signature: &FunctionSignature, body: &str) -> Result<Computation> {
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

fn plan_of(script: &str) -> (Plan, Vec<FunctionSignature>) {
    plan(script).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn words(script: &str) -> String {
    let (plan, _) = plan_of(script);
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
fn quoted_names_of_functions_keep_their_case() {
    let declared = "CREATE FUNCTION \"Foo\"(x BIGINT) RETURNS BIGINT LANGUAGE toy AS 'scalar';
        CREATE FUNCTION foo(x BIGINT) RETURNS BIGINT LANGUAGE toy AS 'scalar';
        CREATE FUNCTION \"Total\"(x BIGINT) RETURNS BIGINT LANGUAGE toy AS 'aggregate';";
    let (plan, signatures) = plan_of(&format!("{declared} SELECT \"Foo\"(auction), FOO(auction) FROM bids"));
    let named: Vec<&str> = signatures.iter().map(|signature| signature.name.as_str()).collect();
    assert_eq!(named, ["Foo", "foo", "Total"]);
    let shown = explain(&plan.graph, &[], 1).to_string();
    assert!(shown.contains("Foo(auction)") && shown.contains("foo(auction)"), "{shown}");
    for (query, what) in [
        ("SELECT \"FOO\"(auction) FROM bids", "there is no function 'FOO'"),
        ("SELECT total(auction) FROM bids", "there is no function 'total'"),
        ("SELECT auction FROM bids WHERE \"Total\"(auction) > 1", "Total() is an aggregate, and cannot"),
    ] {
        let error = refused(&format!("{declared} {query}"));
        assert!(error.what().contains(what), "{error}");
    }
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
    let over = words(&format!(
        "{declared} SELECT total(auction + 1) FILTER (WHERE price > 1) OVER (PARTITION BY w ORDER BY ts ROWS 2 PRECEDING) AS t \
         FROM (SELECT *, tumble(interval '1 second') AS w FROM bids)"
    ));
    assert!(over.contains("total(auction + 1) FILTER (WHERE price > 1.0) rows between 2"), "{over}");
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
            "total() takes (x BIGINT), and is called with (DOUBLE, BIGINT): 2 in place of 1",
        ),
        (
            "SELECT total(DISTINCT auction) OVER (PARTITION BY w) FROM (SELECT *, tumble(interval '1 second') AS w FROM bids)",
            "not-supported",
            "DISTINCT within total() is not supported",
        ),
        (
            "SELECT total(auction) IGNORE NULLS OVER (PARTITION BY w) FROM \
             (SELECT *, tumble(interval '1 second') AS w FROM bids)",
            "not-supported",
            "IGNORE NULLS within total() is not supported",
        ),
        (
            "SELECT total(auction) OVER (PARTITION BY auction) FROM bids",
            "over-without-window",
            "OVER reads rows that belong to no window",
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
            "CREATE FUNCTION \"f 2\"() RETURNS BIGINT LANGUAGE toy AS 'scalar'",
            "invalid-function",
            "'f 2' is no name of a function",
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
fn a_function_takes_the_place_of_another_from_its_statement_on() {
    let script = "CREATE VIEW above AS SELECT f(auction) AS f FROM bids;
        CREATE FUNCTION f(x BIGINT) RETURNS BIGINT LANGUAGE toy AS 'scalar';
        CREATE VIEW below AS SELECT f(auction) AS f FROM bids;
        CREATE OR REPLACE FUNCTION f(x BIGINT, y BIGINT) RETURNS TEXT LANGUAGE toy AS 'scalar';
        CREATE VIEW behind AS SELECT f(auction, 1) AS f FROM bids;
        CREATE OR REPLACE FUNCTION known(x BIGINT) RETURNS BIGINT LANGUAGE toy AS 'aggregate';
        SELECT above.f FROM above;
        SELECT f || 'x' AS f FROM behind;
        SELECT known(auction) AS k FROM bids GROUP BY tumble(interval '1 second')";
    let (plan, signatures) = plan_of(script);
    let types: Vec<&DataType> = signatures.iter().map(|signature| &signature.result).collect();
    assert_eq!(types, [&DataType::Int64, &DataType::Utf8, &DataType::Int64]);
    let names: Vec<String> = plan.functions.ids().map(ToString::to_string).collect();
    assert_eq!(names, ["f", "f 2", "known", "known 2"]);
    let words = explain(&plan.graph, &[], 1).to_string();
    for call in ["f(auction) as f", "f(auction, 1) as f", "known 2(auction)"] {
        assert!(words.contains(call), "{call}: {words}");
    }
    let replaced = "CREATE FUNCTION f() RETURNS BIGINT LANGUAGE toy AS 'scalar';
        CREATE OR REPLACE FUNCTION f(x BIGINT) RETURNS BIGINT LANGUAGE toy AS 'scalar'; SELECT f() FROM bids";
    assert_eq!(refused(replaced).code(), Code::TypeMismatch, "the old one is there no more");
    let again = "CREATE OR REPLACE FUNCTION f() RETURNS BIGINT LANGUAGE toy AS 'scalar';".repeat(2_000);
    let (plan, _) = plan_of(&format!("{again} SELECT f() AS f FROM bids"));
    assert_eq!(plan.functions.ids().count(), 2_001);
}

#[test]
fn what_cannot_be_replaced_is_told() {
    let declared = "CREATE FUNCTION f() RETURNS BIGINT LANGUAGE toy AS 'scalar'";
    let twice = refused(&format!("{declared}; {declared}; SELECT f() FROM bids"));
    assert!(twice.what().contains("a function 'f' already"), "{twice}");
    assert!(twice.help().is_some_and(|help| help.contains("CREATE OR REPLACE FUNCTION")), "{twice}");
    for name in ["upper", "sum", "row_number", "tumble"] {
        let script = format!("CREATE OR REPLACE FUNCTION {name}() RETURNS BIGINT LANGUAGE toy AS 'scalar'");
        let error = refused(&format!("{script}; SELECT 1 FROM bids"));
        assert_eq!(error.code(), Code::DuplicateName, "{error}");
        assert!(error.why().is_some_and(|why| why.contains("the engine's own")), "{error}");
        assert!(error.span().is_some(), "{error}");
    }
    for (script, words) in [
        ("CREATE OR REPLACE VIEW v AS SELECT 1", "CREATE OR REPLACE VIEW is not supported"),
        ("CREATE OR FUNCTION f() RETURNS BIGINT LANGUAGE toy AS 'scalar'", "expected OR REPLACE FUNCTION"),
        ("CREATE OR REPLACE (", "expected FUNCTION, found '('"),
    ] {
        let error = refused(script);
        assert!(error.what().contains(words) && error.span().is_some(), "{script}: {error}");
    }
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
