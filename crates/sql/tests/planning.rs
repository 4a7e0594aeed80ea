//! Scripts and the graphs that they mean, in the words of `explain`.
//!
//! `tests/plans.txt` holds both; `THALWEG_BLESS=1` writes it anew.

mod fakes;

use thalweg_sql::explain;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plans.txt");

/// The job's parallelism in the explanations.
const PARALLELISM: u32 = 4;

struct Case<'a> {
    name: &'a str,
    script: &'a str,
    expected: &'a str,
}

fn cases(text: &str) -> impl Iterator<Item = Case<'_>> {
    text.split("=== ").filter(|case| !case.trim().is_empty()).map(|case| {
        let (name, rest) = case.split_once('\n').expect("a name");
        let (script, expected) = rest.split_once("\n---\n").expect("a script and its plan");
        Case { name, script, expected: expected.trim_end() }
    })
}

fn plan(script: &str) -> String {
    match fakes::planner().plan(script) {
        Ok(plan) => explain(&plan.graph, &plan.warnings, PARALLELISM).to_string(),
        Err(errors) => errors.iter().map(|error| format!("{error}\n")).collect(),
    }
}

#[test]
fn scripts_mean_these_graphs() {
    let text = std::fs::read_to_string(PATH).expect("the plans");
    let mut anew = String::new();
    let mut differences = Vec::new();
    for Case { name, script, expected } in cases(&text) {
        let found = plan(script);
        if found.trim_end() != expected {
            differences.push(format!("{name}\nexpected:\n{expected}\nfound:\n{found}"));
        }
        anew += &format!("=== {name}\n{script}\n---\n{}\n\n", found.trim_end());
    }
    if std::env::var_os("THALWEG_BLESS").is_some() {
        std::fs::write(PATH, anew.trim_end().to_owned() + "\n").expect("the plans are written");
        return;
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_script_gives_the_same_ids_each_time_and_none_twice() {
    let text = std::fs::read_to_string(PATH).expect("the plans");
    for Case { name, script, .. } in cases(&text) {
        let ids = || -> Vec<String> {
            let plan = fakes::planner().plan(script).expect("a valid script");
            plan.graph.nodes().map(|(_, node)| node.id.to_string()).collect()
        };
        let (first, mut sorted) = (ids(), ids());
        assert_eq!(first, sorted, "{name}");
        sorted.sort();
        sorted.dedup();
        assert_eq!(first.len(), sorted.len(), "{name}");
    }
}

#[test]
fn an_explanation_is_json_too() {
    let script = "CREATE TABLE t (a BIGINT) WITH (connector = 'wide'); SELECT a, count(*) FROM t GROUP BY a";
    let plan = fakes::planner().plan(script).expect("a valid script");
    let json = serde_json::to_value(explain(&plan.graph, &plan.warnings, PARALLELISM))
        .expect("an explanation is plain data");
    assert_eq!(json["chains"][1]["key"][0], "a");
    assert_eq!(json["edges"][0]["distribution"], "shuffle");
    assert_eq!(json["chains"][2]["guarantee"], "at most once");
}

#[test]
fn what_is_just_within_the_limits_is_planned() {
    let table = "CREATE TABLE t (a BIGINT) WITH (connector = 'file', path = 'x');";
    let scripts = [
        format!("{table} SELECT a{} FROM t", " + a".repeat(399)),
        format!("{table} SELECT a FROM t WHERE a = 1{}", " OR a = 2".repeat(130)),
        format!("{table} SELECT {}a{} FROM t", "(".repeat(47), ")".repeat(47)),
        format!("{table} SELECT a FROM t{}", " UNION ALL SELECT a FROM t".repeat(200)),
        format!(
            "{table} SELECT a FROM {}SELECT a FROM t{}",
            "(SELECT a FROM ".repeat(20) + "(",
            ")".repeat(21)
        ),
    ];
    for script in scripts {
        if let Err(errors) = fakes::planner().plan(&script) {
            panic!("{} for {}", errors[0], &script[..script.len().min(200)]);
        }
    }
}
