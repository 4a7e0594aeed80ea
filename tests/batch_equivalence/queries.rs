//! Random queries, in our words and in those of a batch engine.

use rand::RngExt;
use rand::rngs::StdRng;

/// One query in both dialects.
pub(crate) struct Query {
    /// With `tumble`.
    pub(crate) streaming: String,
    /// With `date_bin`.
    pub(crate) batch: String,
}

const SCALARS: &[&str] = &[
    "k",
    "s",
    "v",
    "w",
    "f",
    "b",
    "d",
    "time",
    "v + 1",
    "w * 2 - k",
    "f / 2",
    "v % 7",
    "-w",
    "abs(v)",
    "upper(s)",
    "length(s)",
    "concat(s, '-', w)",
    "s || 'x'",
    "coalesce(k, 0)",
    "nullif(v, 3)",
    "CASE WHEN v > 0 THEN 'pos' WHEN v < 0 THEN 'neg' END",
    "CAST(w AS TEXT)",
    "CAST(f > 0 AS INT)",
    "k IS NULL",
    "b OR v > 3",
    "NOT b",
    "s LIKE '%a%'",
    "v IN (1, 2, 3, NULL)",
    "v BETWEEN -5 AND 5",
    "d + 1",
    "round(f, 1)",
    "substr(s, 2, 3)",
    "date_trunc('minute', time)",
    "extract(second FROM time)",
    "greatest(v, 3)",
    "s = 'ab'",
    "cardinality(l)",
    "l[1]",
    "array_to_string(l, '+')",
    "md5(s)",
    "w & 3",
    "power(w, 2)",
    "strpos(s, 'b')",
    "f = f",
    "to_hex(w)",
    "reverse(s)",
    "lpad(s, 4, '.')",
    "regexp_replace(s, '[ab]', '_')",
];

const CONDITIONS: &[&str] = &[
    "v > 0",
    "s IS NOT NULL",
    "b",
    "k = 1 OR k = 2",
    "f < 100",
    "length(s) > 1",
    "w % 3 <> 0",
    "v IS NULL",
    "d >= 0",
    "s <> 'a' AND w > 10",
];

const KEYS: &[&str] = &["k", "s", "b", "v % 3", "length(s)", "d", "w % 5"];

/// Aggregates whose result can be revised as rows come.
const UPDATING: &[&str] = &[
    "count(*)",
    "count(v)",
    "count(s)",
    "sum(v)",
    "sum(w)",
    "sum(d)",
    "avg(w)",
    "avg(v)",
    "min(v)",
    "max(w)",
    "min(s)",
    "max(s)",
    "min(time)",
    "max(d)",
    "count(DISTINCT s)",
    "count(DISTINCT v % 4)",
    "sum(v + w)",
    // Batch's own answer in groups depends on the order of rows where there is NaN, and takes a lone +inf for a finite number.
    "max(CASE WHEN abs(f) < 1e300 THEN f END)",
    "min(CASE WHEN abs(f) < 1e300 THEN f END)",
];

/// Batch's own answer depends on the order of rows only where it groups.
const UNGROUPED: &[&str] = &["max(f)", "min(f)"];

/// All others too; a window computes them once.
const WINDOWED: &[&str] = &[
    "sum(f)",
    "avg(f)",
    "sum(DISTINCT v)",
    "bool_and(b)",
    "bool_or(b)",
    "bit_and(w)",
    "bit_or(w)",
    "bit_xor(w)",
    "array_agg(s)",
    "array_agg(v)",
    "median(w)",
    "stddev(w)",
    "stddev_pop(v)",
    "var(w)",
    "var_pop(w)",
    "corr(v, w)",
    "covar_pop(v, w)",
    "covar_samp(v, w)",
    "regr_slope(v, w)",
    "regr_count(v, w)",
    "approx_distinct(w)",
    "string_agg(s, ',' ORDER BY s, w)",
    "first_value(w ORDER BY w)",
    "last_value(w ORDER BY w)",
    "nth_value(w, 2 ORDER BY w)",
    "array_agg(w ORDER BY w)",
    "count(DISTINCT k)",
    "avg(DISTINCT w)",
    "percentile_cont(0.5) WITHIN GROUP (ORDER BY w)",
    "approx_median(w)",
    "array_agg(DISTINCT s)",
];

/// What is computed of a row and those around it, in an order that is total.
const OVER: &[&str] = &[
    "row_number()",
    "percent_rank()",
    "cume_dist()",
    "ntile(3)",
    "lag(w)",
    "lag(s, 2, 'none')",
    "lead(v, 1)",
    "lag(v) IGNORE NULLS",
    "first_value(w)",
    "last_value(s)",
    "nth_value(w, 2)",
    "count(*)",
    "count(s)",
    "sum(v)",
    "sum(d)",
    "avg(w)",
    "min(w)",
    "max(v)",
    "sum(w) FILTER (WHERE b)",
];

/// Frames that every function of [`OVER`] can do.
const FRAMES: &[&str] = &[
    "",
    "",
    " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
    " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    " ROWS BETWEEN 1 FOLLOWING AND 3 FOLLOWING",
    " GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
];

const ORDERS: &[&str] = &["v", "w DESC", "s NULLS FIRST", "k DESC NULLS LAST", "d DESC", "b, time"];

/// One of several shapes.
pub(crate) fn random(random: &mut StdRng) -> Query {
    match random.random_range(0..14) {
        0..=1 => both(projection(random)),
        2 => both(format!("{} UNION ALL {}", typed(random), typed(random))),
        3 => both(format!("SELECT w, unnest(l) AS item FROM t{}", condition(random))),
        4 => both(format!("SELECT DISTINCT {} AS a, {} AS b FROM t", pick(random, KEYS), pick(random, KEYS))),
        5..=6 => both(updating(random)),
        7..=8 => over(random),
        9..=10 => super::joins::random(random),
        _ => windowed(random),
    }
}

fn both(sql: String) -> Query {
    Query { streaming: sql.clone(), batch: sql }
}

pub(crate) fn pick<'a>(random: &mut StdRng, from: &[&'a str]) -> &'a str {
    from[random.random_range(0..from.len())]
}

pub(crate) fn condition(random: &mut StdRng) -> String {
    if random.random_bool(0.5) { format!(" WHERE {}", pick(random, CONDITIONS)) } else { String::new() }
}

fn projection(random: &mut StdRng) -> String {
    let columns: Vec<String> =
        (0..random.random_range(1..6)).map(|i| format!("{} AS c{i}", pick(random, SCALARS))).collect();
    let from = match random.random_range(0..3) {
        0 => "t".to_owned(),
        1 => format!("(SELECT *, w + 1 AS w1 FROM t{}) AS inner_t", condition(random)),
        _ => {
            return format!(
                "WITH x AS (SELECT * FROM t{}) SELECT {} FROM x{}",
                condition(random),
                columns.join(", "),
                condition(random)
            );
        }
    };
    format!("SELECT {} FROM {from}{}", columns.join(", "), condition(random))
}

/// A query whose columns have the same types whatever is drawn.
fn typed(random: &mut StdRng) -> String {
    let number = pick(random, &["w", "k", "CAST(v AS BIGINT)", "w * 3"]);
    let text = pick(random, &["s", "upper(s)", "CAST(w AS TEXT)", "'constant'"]);
    format!("SELECT {number} AS n, {text} AS x FROM t{}", condition(random))
}

fn aggregates(random: &mut StdRng, from: &[&[&str]]) -> Vec<String> {
    (0..random.random_range(1..5))
        .map(|i| {
            let from = from[random.random_range(0..from.len())];
            let aggregate = pick(random, from);
            let filter = match random.random_range(0..4) {
                0 if !aggregate.contains("ORDER BY") => {
                    format!(" FILTER (WHERE {})", pick(random, CONDITIONS))
                }
                _ => String::new(),
            };
            format!("{aggregate}{filter} AS a{i}")
        })
        .collect()
}

fn keys(random: &mut StdRng, least: usize) -> Vec<&'static str> {
    let mut keys: Vec<&str> = KEYS.to_vec();
    let n = random.random_range(least..3);
    (0..n).map(|_| keys.swap_remove(random.random_range(0..keys.len()))).collect()
}

fn updating(random: &mut StdRng) -> String {
    let keys = keys(random, 0);
    let mut columns: Vec<String> = keys.iter().enumerate().map(|(i, k)| format!("{k} AS k{i}")).collect();
    let from: &[&[&str]] = if keys.is_empty() { &[UPDATING, UNGROUPED] } else { &[UPDATING] };
    columns.extend(aggregates(random, from));
    let mut sql = format!("SELECT {} FROM t{}", columns.join(", "), condition(random));
    if !keys.is_empty() {
        sql.push_str(&format!(" GROUP BY {}", keys.join(", ")));
        if random.random_bool(0.3) {
            sql.push_str(" HAVING count(*) > 2");
        }
    }
    sql
}

fn windowed(random: &mut StdRng) -> Query {
    let width = pick(random, &["10 seconds", "1 minute", "7 minutes", "1 hour"]);
    let keys = keys(random, 0);
    let mut columns: Vec<String> = keys.iter().enumerate().map(|(i, k)| format!("{k} AS k{i}")).collect();
    columns.extend(aggregates(random, &[UPDATING, WINDOWED]));
    let names: Vec<String> =
        columns.iter().filter_map(|c| c.rsplit(" AS ").next()).map(str::to_owned).collect();
    let condition = condition(random);
    let having = if random.random_bool(0.2) { " HAVING count(*) > 1" } else { "" };
    let (columns, names) = (columns.join(", "), names.join(", "));
    let mut group = vec!["win".to_owned()];
    group.extend(keys.iter().map(|k| (*k).to_owned()));
    let group = group.join(", ");
    let of_keys = keys.join(", ");
    let shape = match random.random_range(0..10) {
        0..=4 => tumbling(width),
        5..=7 => hopping(random),
        _ => sessions(random, &of_keys),
    };
    if !shape.by_key && random.random_bool(0.2) {
        // A window over windows: the most rows of any key.
        let inner = |window: &str, from: &str| {
            format!("SELECT {window} AS win, k, count(*) AS n FROM {from}{condition} GROUP BY win, k")
        };
        return Query {
            streaming: format!(
                "SELECT win.start AS ws, most, keys FROM (SELECT win, max(n) AS most, count(*) AS keys FROM ({}) GROUP BY win)",
                inner(&shape.window, "t")
            ),
            batch: format!(
                "SELECT win AS ws, max(n) AS most, count(*) AS keys FROM ({}) GROUP BY win",
                inner(&shape.start, &shape.from)
            ),
        };
    }
    let from = shape.from.replace("{condition}", &condition);
    let batch_condition = if shape.by_key { "" } else { &condition };
    let batch_group = group.replacen("win", &shape.group, 1);
    Query {
        streaming: format!(
            "SELECT win.start AS ws, {names} FROM (SELECT {} AS win, {columns} FROM t{condition} GROUP BY {group}{having})",
            shape.window
        ),
        batch: format!(
            "SELECT win AS ws, {names} FROM (SELECT {} AS win, {columns} FROM {from}{batch_condition} GROUP BY {batch_group}{having})",
            shape.start
        ),
    }
}

/// A kind of window in both dialects.
struct Shape {
    /// In ours, what is grouped by.
    window: String,
    /// In batch, rows beside their windows; `{condition}` stands where rows are chosen, if that has to be before.
    from: String,
    /// In batch, the start of the window.
    start: String,
    /// In batch, what is grouped by.
    group: String,
    /// Whether windows are each key's own.
    by_key: bool,
}

fn tumbling(width: &str) -> Shape {
    Shape {
        window: format!("tumble(INTERVAL '{width}')"),
        from: "t".into(),
        start: format!("date_bin(INTERVAL '{width}', time, TIMESTAMP '1970-01-01T00:00:00')"),
        group: "win".into(),
        by_key: false,
    }
}

/// Each row in all its windows.
fn hopping(random: &mut StdRng) -> Shape {
    const SECOND: i64 = 1_000_000_000;
    let shapes = [(10, 60), (7, 60), (60, 420), (40, 10), (30, 600), (13, 100), (5, 300)];
    let (slide, width) = shapes[random.random_range(0..shapes.len())];
    let seconds = format!("CAST(time AS BIGINT) / {SECOND}");
    let windows = format!("generate_series(({seconds} - {width}) / {slide}, {seconds} / {slide})");
    let end = format!("to_timestamp_nanos((number * {slide} + {width}) * {SECOND})");
    Shape {
        window: format!("hop(INTERVAL '{slide} seconds', INTERVAL '{width} seconds')"),
        from: format!("(SELECT * FROM (SELECT *, unnest({windows}) AS number FROM t) WHERE time < {end})"),
        start: format!("to_timestamp_nanos(number * {slide} * {SECOND})"),
        group: "win".into(),
        by_key: false,
    }
}

/// Islands of rows between gaps.
fn sessions(random: &mut StdRng, keys: &str) -> Shape {
    let gap = pick(random, &["1 second", "20 seconds", "2 minutes", "10 minutes"]);
    let partition = if keys.is_empty() { String::new() } else { format!("PARTITION BY {keys} ") };
    let ordered = format!("OVER ({partition}ORDER BY time)");
    let begins =
        format!("CASE WHEN time - lag(time) {ordered} < INTERVAL '{gap}' THEN 0 ELSE 1 END AS begins");
    Shape {
        window: format!("session(INTERVAL '{gap}')"),
        from: format!(
            "(SELECT *, sum(begins) {ordered} AS island FROM (SELECT *, {begins} FROM t{{condition}}))"
        ),
        start: "min(time)".into(),
        group: "island".into(),
        by_key: true,
    }
}

/// Rows that carry their window: grouped by it, ranked in it, or compared with those around them.
fn over(random: &mut StdRng) -> Query {
    let width = pick(random, &["10 seconds", "1 minute", "7 minutes", "1 hour"]);
    let tumble = format!("SELECT *, tumble(INTERVAL '{width}') AS win FROM t");
    let bin = format!(
        "SELECT *, date_bin(INTERVAL '{width}', time, TIMESTAMP '1970-01-01T00:00:00') AS win FROM t"
    );
    let condition = condition(random);
    let query = |sql: &dyn Fn(&str, &str) -> String| Query {
        streaming: sql("win.start AS ws", &format!("({tumble}{condition})")),
        batch: sql("win AS ws", &format!("({bin}{condition})")),
    };
    if random.random_bool(0.15) {
        let aggregates = aggregates(random, &[UPDATING, WINDOWED]);
        let (names, aggregates): (Vec<String>, _) =
            ((0..aggregates.len()).map(|i| format!("a{i}")).collect(), aggregates.join(", "));
        let names = names.join(", ");
        return query(&|win, from| {
            format!("SELECT {win}, {names} FROM (SELECT win, {aggregates} FROM {from} GROUP BY win)")
        });
    }
    let keys: Vec<String> = keys(random, 0).iter().map(|key| format!(", {key}")).collect();
    let partition = format!("PARTITION BY win{}", keys.concat());
    let order = pick(random, ORDERS);
    let total = format!("{order}, w, time, k, s, v, b, d");
    if random.random_bool(0.4) {
        let (function, order) = match random.random_range(0..3) {
            0 => ("rank()", order),
            1 => ("dense_rank()", order),
            _ => ("row_number()", total.as_str()),
        };
        let bound = pick(random, &["<= 1", "<= 3", "< 2", "= 1", "BETWEEN 1 AND 5", "= 2", "> 2"]);
        let more = pick(random, &["", "", " AND w % 2 = 0"]);
        return query(&|win, from| {
            let ranked =
                format!("SELECT *, {function} OVER ({partition} ORDER BY {order}) AS rn FROM {from}");
            format!("SELECT {win}, w, k, s, v, rn FROM ({ranked}) WHERE rn {bound}{more}")
        });
    }
    let calls: Vec<String> = (0..random.random_range(1..4))
        .map(|i| match random.random_range(0..4) {
            0 => format!(
                "{} OVER ({partition} ORDER BY {order}) AS c{i}",
                pick(random, &["rank()", "count(*)", "sum(v)"])
            ),
            1 => {
                format!("{} OVER (PARTITION BY win) AS c{i}", pick(random, &["count(*)", "max(w)", "sum(d)"]))
            }
            _ => {
                let (call, frame) = (pick(random, OVER), pick(random, FRAMES));
                format!("{call} OVER ({partition} ORDER BY {total}{frame}) AS c{i}")
            }
        })
        .collect();
    let calls = calls.join(", ");
    query(&|win, from| format!("SELECT {win}, w, k, s, {calls} FROM {from}"))
}
