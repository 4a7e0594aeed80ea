//! `thalweg explain`: shows the graph that a script means.

use thalweg_dataflow::Error;
use thalweg_sql::Explanation;

use super::{Exit, Failed, ScriptArgs, script};
use crate::engine::{self, ForeignFunctions, StdoutTarget};
use crate::standard_streams::{print, print_line};

pub(super) fn run(
    args: &ScriptArgs,
    functions: &ForeignFunctions,
    parallelism: u32,
    json: bool,
) -> Result<Exit, Failed> {
    let settings = args.settings()?;
    let script = script::load(&args.text)?;
    let connectors = engine::connectors(&settings, &StdoutTarget::process());
    let plan = match engine::plan_with_functions(&script.text, connectors, functions, &settings) {
        Ok(plan) => plan,
        Err(errors) => return Err(Failed::in_script(errors, script)),
    };
    print_explanation(&thalweg_sql::explain(&plan.graph, &plan.warnings, parallelism), json)?;
    Ok(Exit::SUCCESS)
}

/// Prints a topology on standard output.
pub(crate) fn print_explanation(explanation: &Explanation, json: bool) -> Result<(), Error> {
    if json {
        let json = serde_json::to_string_pretty(explanation)
            .map_err(|why| Error::internal("the graph has no JSON form").because(why))?;
        print_line(json)
    } else {
        print(explanation)
    }
}
