//! Scripts that mean nothing: the code, the place and the help of the first error.

mod fakes;

/// Tables that most scripts use.
const TABLES: &str = "\
CREATE TABLE bids (auction BIGINT, price DOUBLE, bidder TEXT, ts TIMESTAMP NOT NULL, tags TEXT[], \
WATERMARK FOR ts AS ts - INTERVAL '5 seconds') WITH (connector = 'file', path = 'bids', type = 'source');
CREATE TABLE out (a BIGINT, b TEXT) WITH (connector = 'file', path = 'out', type = 'sink');
";

/// A script behind the tables, the code, the text at the place, and a part of the help.
const WRONG: &[(&str, &str, &str, &str)] = &[
    ("SELEC 1", "syntax", "SELEC", "did you mean 'SELECT'?"),
    ("SELECT auction FRO bids", "syntax", "bids", ""),
    ("SELECT (auction FROM bids", "syntax", "FROM", ""),
    ("SELECT 'open FROM bids", "syntax", "'", "closed"),
    ("SELECT auction FROM bids WHERE", "syntax", "", ""),
    ("SELECT auction FROM bid", "unknown-table", "bid", "did you mean 'bids'?"),
    ("SELECT auction FROM zebra", "unknown-table", "zebra", "the script declares bids, out"),
    ("INSERT INTO ot SELECT auction, bidder FROM bids", "unknown-table", "ot", "did you mean 'out'?"),
    ("SELECT acution FROM bids", "unknown-column", "acution", "did you mean 'auction'?"),
    ("SELECT b.nothing FROM bids b", "unknown-column", "nothing", "the columns are auction, price"),
    ("SELECT lenght(bidder) FROM bids", "unknown-function", "lenght", "did you mean 'length'?"),
    ("SELECT coutn(*) FROM bids", "unknown-function", "coutn", "did you mean 'count'?"),
    (
        "CREATE TABLE x (a INT) WITH (connector = 'fiel')",
        "unknown-connector",
        "connector = 'fiel'",
        "did you mean 'file'?",
    ),
    ("CREATE TABLE x (a INT) WITH (path = 'x')", "invalid-option", "x", "add connector = '…'"),
    (
        "CREATE TABLE x (a INT) WITH (connector = 'file', path = 'x', formt = 'json')",
        "unknown-option",
        "formt = 'json'",
        "did you mean 'format'?",
    ),
    (
        "CREATE TABLE x (a INT) WITH (connector = 'file', path = 'x', format = 'xml')",
        "invalid-option",
        "format = 'xml'",
        "",
    ),
    ("CREATE TABLE x (a INT) WITH (connector = 'file')", "invalid-option", "x", "add path = '…'"),
    (
        "CREATE TABLE x (a INT) WITH (connector = 'file', path = 'a', path = 'b')",
        "invalid-option",
        "path = 'b'",
        "keep one",
    ),
    ("CREATE TABLE x (a INT) WITH (connector = file)", "syntax", "file", ""),
    (
        "CREATE TABLE x (a INTEGR) WITH (connector = 'stdout')",
        "invalid-type",
        "INTEGR",
        "did you mean INTEGER?",
    ),
    (
        "CREATE TABLE x (a TIMESTAMPTZ) WITH (connector = 'stdout')",
        "invalid-type",
        "TIMESTAMPTZ",
        "TIMESTAMP",
    ),
    (
        "CREATE TABLE x (a TIMESTAMP(4)) WITH (connector = 'stdout')",
        "invalid-type",
        "TIMESTAMP(4)",
        "0, 3, 6 or 9",
    ),
    (
        "CREATE TABLE x (a DECIMAL(50, 2)) WITH (connector = 'stdout')",
        "invalid-type",
        "DECIMAL(50, 2)",
        "38 digits",
    ),
    ("CREATE TABLE x (a INT, a TEXT) WITH (connector = 'stdout')", "duplicate-name", "a", ""),
    (
        "CREATE TABLE x (_timestamp TIMESTAMP) WITH (connector = 'stdout')",
        "invalid-column",
        "_timestamp",
        "row_time()",
    ),
    (
        "CREATE TABLE x (a INT DEFAULT 3) WITH (connector = 'stdout')",
        "not-supported",
        "DEFAULT",
        "GENERATED ALWAYS AS",
    ),
    (
        "CREATE TABLE x (a INT PRIMARY KEY, b INT PRIMARY KEY) WITH (connector = 'stdout')",
        "invalid-column",
        "PRIMARY",
        "PRIMARY KEY (a, b)",
    ),
    ("CREATE TABLE x (a INT, PRIMARY KEY (c)) WITH (connector = 'stdout')", "unknown-column", "c", ""),
    ("CREATE TABLE x", "syntax", "CREATE TABLE x", "WITH (connector"),
    ("CREATE TABLE bids (a INT)", "duplicate-name", "bids", "IF NOT EXISTS"),
    (
        "CREATE TABLE x (a TEXT, b INT GENERATED ALWAYS AS (c + 1)) WITH (connector = 'file', path = 'x')",
        "unknown-column",
        "c",
        "the columns are a",
    ),
    (
        "CREATE TABLE x (a TEXT, b BIGINT METADATA FROM 'lin') WITH (connector = 'file', path = 'x')",
        "invalid-column",
        "METADATA FROM 'lin'",
        "did you mean 'line'?",
    ),
    (
        "CREATE TABLE x (a TEXT, b TEXT METADATA FROM 'line') WITH (connector = 'file', path = 'x')",
        "type-mismatch",
        "TEXT",
        "the metadata's type",
    ),
    (
        "CREATE TABLE x (a TEXT, WATERMARK FOR a) WITH (connector = 'file', path = 'x')",
        "invalid-watermark",
        "a",
        "GENERATED ALWAYS AS",
    ),
    (
        "CREATE TABLE x (a TIMESTAMP, WATERMARK FOR b) WITH (connector = 'file', path = 'x')",
        "invalid-watermark",
        "b",
        "the columns are a",
    ),
    (
        "CREATE TABLE x (a TIMESTAMP, WATERMARK FOR a AS 5) WITH (connector = 'file', path = 'x')",
        "invalid-watermark",
        "5",
        "INTERVAL",
    ),
    (
        "CREATE TABLE x (a TEXT) WITH (connector = 'file', path = 'x', event_time_field = 'a')",
        "invalid-watermark",
        "event_time_field = 'a'",
        "",
    ),
    ("CREATE TABLE x (a TIMESTAMP, WATERMARK FOR a)", "invalid-watermark", "WATERMARK FOR a", "event time"),
    ("INSERT INTO out SELECT auction FROM bids", "insert-mismatch", "out", "matched by position"),
    (
        "INSERT INTO out (a, z) SELECT auction, bidder FROM bids",
        "unknown-column",
        "z",
        "the columns are a, b",
    ),
    ("INSERT INTO out SELECT tags, bidder FROM bids", "insert-mismatch", "out", "convert"),
    ("INSERT INTO bids SELECT * FROM bids", "wrong-role", "bids", "type = 'sink'"),
    ("SELECT * FROM out", "wrong-role", "out", "type = 'source'"),
    ("SELECT auction FROM bids WHERE count(*) > 1", "invalid-aggregate", "count", "use HAVING"),
    ("SELECT auction FROM bids WHERE auction", "type-mismatch", "auction", "a condition is true or false"),
    ("SELECT max(count(*)) FROM bids", "invalid-aggregate", "", "a query in FROM"),
    ("SELECT upper(bidder, 3) FROM bids", "type-mismatch", "upper", ""),
    ("SELECT auction FORM bids", "syntax", "bids", "did you mean 'FROM'"),
    ("SELECT count(*) FROM (SELECT count(*) FROM bids)", "not-supported", "", "read a column"),
    ("CREATE TABLE m (a BIGINT); SELECT * FROM m", "wrong-role", "m", "INSERT INTO m"),
    (
        "CREATE TABLE m (a BIGINT); INSERT INTO m SELECT auction FROM bids; INSERT INTO m SELECT auction FROM bids",
        "wrong-role",
        "m",
        "UNION ALL",
    ),
    (
        "INSERT INTO out SELECT auction, bidder FROM bids GROUP BY 1, 2",
        "sink-not-updating",
        "",
        "debezium_json",
    ),
    ("SELECT auction, count(*) FROM bids", "invalid-aggregate", "auction", "GROUP BY"),
    (
        "SELECT tumble(interval '1 minute'), tumble(interval '1 hour') FROM bids",
        "invalid-window",
        "tumble",
        "one of them",
    ),
    (
        "SELECT auction FROM bids WHERE tumble(interval '1 minute') IS NULL",
        "invalid-window",
        "tumble",
        "AS window",
    ),
    ("SELECT count(*) FROM bids GROUP BY tumble(interval '1 month')", "invalid-window", "tumble", "days"),
    (
        "SELECT count(*) FROM bids GROUP BY tumble(auction)",
        "invalid-window",
        "tumble",
        "interval '10 seconds'",
    ),
    ("SELECT count(*) FROM bids GROUP BY tumble()", "invalid-window", "tumble", "interval '10 seconds'"),
    ("SELECT count(*) FROM bids GROUP BY tumble(interval '0 seconds')", "invalid-window", "tumble", ""),
    (
        "SELECT count(*) FROM bids GROUP BY tumble(interval '1 hour'), tumble(interval '2 hours')",
        "invalid-window",
        "tumble",
        "one of them",
    ),
    ("SELECT count(*) FROM bids GROUP BY hop(interval '1 hour')", "invalid-window", "hop", "slide first"),
    (
        "SELECT count(*) FROM bids GROUP BY hop(interval '1 millisecond', interval '1 day')",
        "invalid-window",
        "hop",
        "longer",
    ),
    (
        "SELECT count(*) FROM bids GROUP BY hop(interval '3 nanoseconds', interval '10 nanoseconds')",
        "invalid-window",
        "hop",
        "microseconds",
    ),
    ("SELECT count(*) FROM bids GROUP BY session()", "invalid-window", "session", "interval '30 seconds'"),
    (
        "SELECT sum(c) FROM (SELECT count(*) c FROM bids GROUP BY session(interval '1 hour')) GROUP BY session(interval '1 hour')",
        "invalid-window",
        "session",
        "window column",
    ),
    (
        "SELECT count(*) FROM (SELECT count(*) c FROM bids GROUP BY tumble(interval '1 hour')) GROUP BY tumble(interval '2 hours')",
        "invalid-window",
        "tumble",
        "same window",
    ),
    (
        "SELECT sum(c) FROM (SELECT count(*) c FROM bids) GROUP BY tumble(interval '1 hour')",
        "not-supported",
        "tumble",
        "",
    ),
    (
        "SELECT a.price FROM bids a JOIN bids b ON a.auction = b.auction",
        "join-without-window",
        "JOIN",
        "same window",
    ),
    ("SELECT b.price FROM bids, bids b", "join-without-window", "FROM", "same window"),
    (
        "SELECT a.n FROM (SELECT tumble(interval '1 hour') w, count(*) n FROM bids GROUP BY w) a FULL JOIN bids b ON a.n = b.price",
        "join-without-window",
        "JOIN",
        "compare the windows",
    ),
    (
        "WITH x AS (SELECT tumble(interval '1 hour') w, count(*) n FROM bids GROUP BY w) SELECT a.n FROM x a JOIN x b ON a.n = b.n AND a.w.start < b.w.start",
        "join-without-window",
        "JOIN",
        "add a.w = b.w to ON",
    ),
    ("SELECT * FROM bids ORDER BY price", "not-supported", "price", "order"),
    ("SELECT * FROM bids LIMIT 3", "not-supported", "3", "WHERE"),
    ("SELECT auction FROM bids EXCEPT SELECT auction FROM bids", "not-supported", "", "UNION"),
    (
        "SELECT row_number() OVER (PARTITION BY auction ORDER BY price) FROM bids",
        "over-without-window",
        "OVER",
        "PARTITION BY window",
    ),
    ("SELECT * FROM bids WHERE auction IN (SELECT auction FROM bids)", "not-supported", "", ""),
    ("SELECT 1", "not-supported", "SELECT 1", "FROM"),
    ("VALUES (1)", "not-supported", "", "FROM"),
    ("SELECT auction + bidder[1] FROM bids", "type-mismatch", "", ""),
    ("SELECT bidder FROM bids WHERE bidder + 1", "type-mismatch", "", ""),
    ("SET updating_ttl = '1 hour'", "not-supported", "SET", "--set"),
    ("EXPLAIN SELECT * FROM bids", "not-supported", "EXPLAIN", "thalweg explain"),
    ("DROP TABLE bids", "not-supported", "DROP", "CREATE TABLE"),
    ("UPDATE bids SET price = 1", "not-supported", "UPDATE", ""),
    ("DELETE FROM bids", "not-supported", "DELETE", ""),
    ("SHOW TABLES", "not-supported", "SHOW", ""),
    ("CREATE FUNCTION f() RETURNS INT RETURN 1", "syntax", "RETURN", ""),
    ("CREATE SEQUENCE f", "not-supported", "SEQUENCE", "CREATE VIEW"),
];

#[test]
fn wrong_scripts_say_what_where_and_what_to_do() {
    let mut failures = Vec::new();
    for (text, code, place, help) in WRONG {
        let script = format!("{TABLES}{text}");
        let errors = match fakes::planner().plan(&script) {
            Ok(_) => {
                failures.push(format!("{text}\n    was planned"));
                continue;
            }
            Err(errors) => errors,
        };
        let error = &errors[0];
        let found = error.span().map(|span| &script[span.start..span.end]);
        let here = place.is_empty() && found.is_some() || found == Some(place);
        let helps = error.help().unwrap_or_default().contains(help);
        if error.code().as_str() != *code || !here || !helps {
            failures.push(format!(
                "{text}\n    wanted [{code}] at {place:?} ({help})\n    found  {error} at {found:?}"
            ));
        }
        for inside in ["DataFusion", "Schema error", "BinaryOp", "TableScan", "LogicalPlan", " at Line"] {
            if error.to_string().contains(inside) {
                failures.push(format!("{text}\n    shows a planner's inside: {error}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn all_broken_statements_are_told_in_order_and_what_follows_from_them_is_not() {
    let script =
        "CREATE TABLE a (x INTEGR) WITH (connector = 'stdout'); SELECT x FROM a; SELECT y FROM b; SELEC";
    let parse = fakes::planner().plan(script).expect_err("the script is wrong");
    assert_eq!(parse.iter().map(|e| e.code().as_str()).collect::<Vec<_>>(), ["syntax"]);
    let script = script.trim_end_matches("; SELEC");
    let errors = fakes::planner().plan(script).expect_err("the script is wrong");
    assert_eq!(
        errors.iter().map(|e| e.code().as_str()).collect::<Vec<_>>(),
        ["invalid-type", "unknown-table"]
    );
}

/// What can be planned of maps and intervals, and never computed.
#[test]
fn functions_of_types_that_have_no_order_or_sum_are_refused() {
    const TABLE: &str = "CREATE TABLE m (m MAP(TEXT, BIGINT), i INTERVAL, ts TIMESTAMP NOT NULL, WATERMARK FOR ts) \
        WITH (connector = 'file', path = 'm', type = 'source'); ";
    const WINDOW: &str = "tumble(INTERVAL '1 minute')";
    for (query, what, help) in [
        (
            format!("SELECT max(m) FROM m GROUP BY {WINDOW}"),
            "max() does not take MAP(TEXT, BIGINT)",
            "m['key']",
        ),
        ("SELECT min(m) FROM m".to_owned(), "min() does not take MAP(TEXT, BIGINT)", "m['key']"),
        (
            format!("SELECT max(m) OVER (PARTITION BY w) FROM (SELECT *, {WINDOW} AS w FROM m)"),
            "max() does not take MAP(TEXT, BIGINT)",
            "m['key']",
        ),
        (
            format!("SELECT rank() OVER (PARTITION BY w ORDER BY i) FROM (SELECT *, {WINDOW} AS w FROM m)"),
            "OVER cannot order rows by INTERVAL",
            "date_part('epoch', x)",
        ),
        (
            format!("SELECT avg(i) FROM m GROUP BY {WINDOW}"),
            "avg() does not take INTERVAL",
            "cast the argument",
        ),
    ] {
        let errors = fakes::planner().plan(&format!("{TABLE}{query}")).map(drop).expect_err(&query);
        assert_eq!((errors[0].code().as_str(), errors[0].what()), ("type-mismatch", what), "{query}");
        assert!(errors[0].help().unwrap_or_default().contains(help), "{:?}", errors[0]);
        assert!(!format!("{:?}", errors[0]).contains("nternal"), "{:?}", errors[0]);
    }
    for query in [
        format!("SELECT max(i), min(ts), max(m['a']), first_value(m) FROM m GROUP BY {WINDOW}"),
        format!(
            "SELECT rank() OVER (PARTITION BY w ORDER BY date_part('epoch', i)) FROM (SELECT *, {WINDOW} AS w FROM m)"
        ),
        format!("SELECT avg(date_part('epoch', i)) FROM m GROUP BY {WINDOW}"),
        format!("SELECT count(m) OVER (PARTITION BY w) FROM (SELECT *, {WINDOW} AS w FROM m)"),
    ] {
        assert!(fakes::planner().plan(&format!("{TABLE}{query}")).is_ok(), "{query}");
    }
}

#[test]
fn empty_scripts_are_errors() {
    for script in ["", "  ", ";;", "-- nothing", "CREATE TABLE x (a INT)"] {
        let errors = fakes::planner().plan(script).expect_err("there is no query");
        assert_eq!(errors[0].code().as_str(), "empty-script", "{script:?}");
    }
}

#[test]
fn limits_hold_without_a_stack_overflow() {
    let deep = |open: &str, close: &str| {
        format!("SELECT {}1{} FROM bids", open.repeat(100_000), close.repeat(100_000))
    };
    let long = |operator: &str| format!("SELECT a{} FROM bids", format!(" {operator} a").repeat(50_000));
    let scripts = [
        (deep("(", ")"), "syntax"),
        (deep("[", "]"), "syntax"),
        (deep("NOT ", ""), "syntax"),
        (deep("- ", ""), "syntax"),
        (long("+"), "syntax"),
        (long("AND"), "syntax"),
        (format!("SELECT 1 {}", "UNION ALL SELECT 1 ".repeat(50_000)), "syntax"),
        (format!("SELECT {}1", "CASE WHEN ".repeat(50_000)), "syntax"),
        (format!("SELECT a{} FROM bids", "::INT".repeat(50_000)), "syntax"),
        (format!("SELECT * FROM {}bids{}", "(".repeat(40), ")".repeat(40)), "unknown-table"),
        (format!("CREATE TABLE x (a {}INT{})", "STRUCT<a ".repeat(50_000), ">".repeat(50_000)), "syntax"),
        (format!("SELECT '{}'", "x".repeat(1 << 20)), "script-too-large"),
    ];
    for (script, code) in scripts {
        let errors = fakes::planner().plan(&script).expect_err("too much");
        assert_eq!(errors[0].code().as_str(), code, "{} {}", &script[..40], errors[0]);
    }
}
