//! Random joins of two windowed sides of the one table.

use rand::RngExt;
use rand::rngs::StdRng;

use super::queries::{Query, condition, pick};

/// Keys by type: both sides of a comparison are of one.
const KEYS: &[&[&str]] = &[
    &["k", "v", "w % 5", "length(s)", "v % 3"],
    &["s", "upper(s)", "CAST(w % 9 AS TEXT)"],
    &["f", "round(f, 0)", "abs(f)"],
    &["d", "abs(d)"],
    &["b", "v > 0"],
];

const AGGREGATES: &[&str] = &["count(*)", "max(w)", "min(v)", "sum(k)", "count(s)"];

const KINDS: &[&str] = &["", "INNER", "LEFT", "RIGHT", "FULL", "LEFT SEMI", "LEFT ANTI"];

const RESIDUALS: &[&str] =
    &["l.n < r.n", "(l.n + r.n) % 3 = 0", "l.n > 5", "r.n <> 3", "l.n <= r.n AND (l.n = 1 OR r.n > 2)"];

const ABOVE: &[&str] = &[
    "l.n > 2",
    "r.n IS NULL",
    "l.x = r.x",
    "coalesce(l.n, 0) < coalesce(r.n, 9)",
    "l.win IS NOT NULL",
    "l.n + r.n > 10",
];

/// A join, or an aggregate of one by its window.
pub(crate) fn random(random: &mut StdRng) -> Query {
    let width = pick(random, &["10 seconds", "1 minute", "7 minutes", "1 hour"]);
    let streaming = format!("tumble(INTERVAL '{width}')");
    let batch = format!("date_bin(INTERVAL '{width}', time, TIMESTAMP '1970-01-01T00:00:00')");
    let keys = KEYS[random.random_range(0..KEYS.len())];
    let others = KEYS[random.random_range(0..KEYS.len())];
    let sides = [(); 2].map(|()| {
        let (x, y) = (pick(random, keys), pick(random, others));
        side(random, x, y)
    });
    let kind = pick(random, KINDS);
    let on = on(random);
    let from = |window: &str| {
        let [left, right] = sides.each_ref().map(|side| side.replace("WINDOW", window));
        match (kind, on.as_str()) {
            // Side by side, brought together by a condition.
            ("", on) => format!("({left}) AS l, ({right}) AS r WHERE {on}"),
            (kind, on) => format!("({left}) AS l {kind} JOIN ({right}) AS r ON {on}"),
        }
    };
    let one_side = kind.ends_with("SEMI") || kind.ends_with("ANTI");
    if !one_side && matches!(kind, "" | "INNER" | "LEFT") && random.random_bool(0.2) {
        let again = |window: &str, from: String| {
            let pairs = format!("SELECT l.win AS win, l.n AS a, r.n AS b FROM {from}");
            let sums = "count(*) AS pairs, sum(a) AS a, max(b) AS b";
            format!(
                "SELECT {window} AS ws, pairs, a, b FROM (SELECT win, {sums} FROM ({pairs}) GROUP BY win)"
            )
        };
        return Query { streaming: again("win.start", from(&streaming)), batch: again("win", from(&batch)) };
    }
    let above = match random.random_range(0..3) {
        0 if !one_side => {
            format!("{}{}", if kind.is_empty() { " AND " } else { " WHERE " }, pick(random, ABOVE))
        }
        _ => String::new(),
    };
    let columns = |part: &str| match one_side {
        true => format!("l.win{part} AS lw, l.x AS lx, l.n AS ln"),
        false => format!(
            "l.win{part} AS lw, l.x AS lx, l.y AS ly, l.n AS ln, r.win{part} AS rw, r.x AS rx, r.n AS rn"
        ),
    };
    Query {
        streaming: format!("SELECT {} FROM {}{above}", columns(".start"), from(&streaming)),
        batch: format!("SELECT {} FROM {}{above}", columns(""), from(&batch)),
    }
}

/// Rows with their window, two keys and a number: as they are, or grouped.
fn side(random: &mut StdRng, x: &str, y: &str) -> String {
    let condition = condition(random);
    if random.random_bool(0.3) {
        return format!("SELECT WINDOW AS win, {x} AS x, {y} AS y, w % 50 AS n FROM t{condition}");
    }
    let aggregate = pick(random, AGGREGATES);
    format!("SELECT WINDOW AS win, {x} AS x, {y} AS y, {aggregate} AS n FROM t{condition} GROUP BY win, x, y")
}

fn on(random: &mut StdRng) -> String {
    let mut on = vec!["l.win = r.win"];
    match random.random_range(0..6) {
        0 => {}
        1 => on.push("l.y = r.y"),
        2 => on.extend(["l.x = r.x", "l.y = r.y"]),
        _ => on.push("l.x = r.x"),
    }
    if random.random_bool(0.4) {
        on.push(pick(random, RESIDUALS));
    }
    on.join(" AND ")
}
