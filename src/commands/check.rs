//! `thalweg check`: says what is wrong, runs nothing.

use super::{Exit, Failed, ScriptArgs, script};
use crate::engine::{self, ForeignFunctions, StdoutTarget};
use crate::standard_streams::{print_line, tell};

pub(super) fn run(args: &ScriptArgs, functions: &ForeignFunctions) -> Result<Exit, Failed> {
    let settings = args.settings()?;
    let script = script::load(&args.text)?;
    let connectors = engine::connectors(&settings, &StdoutTarget::process());
    match engine::plan_with_functions(&script.text, connectors, functions, &settings) {
        Ok(plan) => {
            plan.warnings.iter().for_each(|warning| tell(format_args!("warning: {warning}")));
            print_line(format_args!("{}: ok", script.name))?;
            Ok(Exit::SUCCESS)
        }
        Err(errors) => Err(Failed::in_script(errors, script)),
    }
}
