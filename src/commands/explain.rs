//! `thalweg explain`: shows the graph that a script means.

use std::process::ExitCode;

use thalweg_dataflow::Error;

use super::{Failed, ScriptArgs, script};
use crate::engine::{self, StdoutTarget};

pub(super) fn run(args: &ScriptArgs, parallelism: u32, json: bool) -> Result<ExitCode, Failed> {
    let settings = args.settings()?;
    let script = script::load(&args.text)?;
    let connectors = engine::connectors(&settings, &StdoutTarget::process());
    let plan = match engine::plan(&script.text, connectors, &settings) {
        Ok(plan) => plan,
        Err(errors) => return Err(Failed::in_script(errors, script)),
    };
    let explanation = thalweg_sql::explain(&plan, parallelism);
    if json {
        let json = serde_json::to_string_pretty(&explanation)
            .map_err(|why| Error::internal("the graph has no JSON form").because(why))?;
        println!("{json}");
    } else {
        print!("{explanation}");
    }
    Ok(ExitCode::SUCCESS)
}
