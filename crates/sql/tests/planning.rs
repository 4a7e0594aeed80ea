mod fakes;
#[test]
fn show() {
    let scripts = std::fs::read_to_string("/tmp/sql_scripts.txt").unwrap();
    for script in scripts.split("\n----\n") {
        println!("=== {script}");
        match fakes::planner().plan(script) {
            Ok(plan) => println!("{}", thalweg_sql::explain(&plan, 4)),
            Err(errors) => for e in errors { println!("{e} @ {:?}", e.span().map(|s| &script[s.start..s.end])) },
        }
    }
}
