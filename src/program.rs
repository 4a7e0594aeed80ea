//! Programs in Rust: what `fn main` of one calls.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use thalweg::program::{Application, Arguments};
//!
//! fn application(_: &Arguments) -> thalweg::Result<Application> {
//!     let application = Application::new("nothing yet");
//!     // Sources, computations and sinks are added here.
//!     Ok(application)
//! }
//!
//! fn main() -> ExitCode {
//!     thalweg::main(application)
//! }
//! ```
//!
//! The program then has the words `run`, with the flags of `thalweg run`,
//! `check`, which says what is wrong and runs nothing, and `explain`, which
//! prints its topology. What stands behind `--` on the
//! command line are the application's own arguments.

use std::ffi::OsString;
use std::num::{NonZero, NonZeroU32};
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::{Args, Parser, Subcommand};
use thalweg_app::{Program, SqlPlanner};
use thalweg_dataflow::{Error, Functions, Graph, Outlet, Result};
use thalweg_sql::Planner;

pub use thalweg_app::{Application, Arguments};

use crate::commands::{Exit, Failed, KeepArgs, SetArgs, parse, print_explanation, run_graph};
use crate::engine::{self, ForeignFunctions, StdoutTarget};
use crate::settings::Settings;
use crate::standard_streams::print_line;

/// A stream program on one dataflow engine.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Words {
    #[command(subcommand)]
    word: Word,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Run the application until its input ends or it is stopped
    ///
    /// The first Ctrl-C stops the sources and lets the rows in flight reach the sinks; open windows
    /// do not fire. A second one aborts. With --state-dir the application goes on where it stopped or died.
    Run {
        #[command(flatten)]
        program: ProgramArgs,
        #[command(flatten)]
        keep: KeepArgs,
    },
    /// Say what is wrong with the application, and run nothing
    Check(ProgramArgs),
    /// Show the topology of the application
    Explain {
        #[command(flatten)]
        program: ProgramArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct ProgramArgs {
    /// Subtasks of each operator
    #[arg(long, value_name = "N", default_value = "1", env = "THALWEG_PARALLELISM")]
    parallelism: NonZeroU32,
    #[command(flatten)]
    set: SetArgs,
    /// The application's own arguments
    #[arg(last = true, value_name = "ARGUMENTS")]
    own: Vec<String>,
}

/// Runs the program that `application` describes, as the command line asks. Answers the exit code.
///
/// `application` must give the same application whenever it is called with the same arguments:
/// every process of a job calls it for itself.
pub fn main(application: impl FnOnce(&Arguments) -> Result<Application>) -> ExitCode {
    crate::log::to_stderr();
    let application = |arguments: &Arguments| Ok((application(arguments)?, ForeignFunctions::default()));
    main_with_functions(std::env::args_os(), application).into()
}

/// Like [`main`](main()), with these arguments, the first of which is the name of the command, for an
/// application whose SQL may also call the functions that come with it.
pub fn main_with_functions(
    arguments: impl IntoIterator<Item = OsString>,
    application: impl FnOnce(&Arguments) -> Result<(Application, ForeignFunctions)>,
) -> Exit {
    let words: Words = match parse(arguments) {
        Ok(words) => words,
        Err(code) => return code,
    };
    let done = match words.word {
        Word::Run { program, keep } => run(&program, &keep, application),
        Word::Check(program) => check(&program, application),
        Word::Explain { program, json } => explain(&program, json, application),
    };
    done.unwrap_or_else(|failed| failed.report())
}

fn run(
    args: &ProgramArgs,
    keep: &KeepArgs,
    application: impl FnOnce(&Arguments) -> Result<(Application, ForeignFunctions)>,
) -> Result<Exit, Failed> {
    let mut settings = keep.settings(&args.set)?;
    let program = planned(args, &settings, application)?;
    let keep = keep.keep(Some(&program.name))?;
    if program.is_entered {
        let threads = || available_parallelism().map_or(1, NonZero::get).min(args.parallelism.get() as usize);
        // More threads than an operator has subtasks would mostly wait for each other to leave the interpreter.
        settings.data_threads.get_or_insert_with(threads);
    }
    run_graph(program.graph, program.functions, args.parallelism.get(), &settings, keep)
}

fn check(
    args: &ProgramArgs,
    application: impl FnOnce(&Arguments) -> Result<(Application, ForeignFunctions)>,
) -> Result<Exit, Failed> {
    let program = planned(args, &args.set.settings()?, application)?;
    print_line(format_args!("{}: ok", program.name))?;
    Ok(Exit::SUCCESS)
}

fn explain(
    args: &ProgramArgs,
    json: bool,
    application: impl FnOnce(&Arguments) -> Result<(Application, ForeignFunctions)>,
) -> Result<Exit, Failed> {
    let program = planned(args, &args.set.settings()?, application)?;
    print_explanation(&thalweg_sql::explain(&program.graph, &[], args.parallelism.get()), json)?;
    Ok(Exit::SUCCESS)
}

/// The application as these arguments make it.
fn planned(
    args: &ProgramArgs,
    settings: &Settings,
    application: impl FnOnce(&Arguments) -> Result<(Application, ForeignFunctions)>,
) -> Result<Program, Vec<Error>> {
    let (application, functions) = application(&Arguments::new(args.own.clone())).map_err(|e| vec![e])?;
    build_with_functions(application, &functions, settings)
}

/// The graph and the functions of an application, its SQL planned.
pub fn build(application: Application, settings: &Settings) -> Result<Program, Vec<Error>> {
    build_with_functions(application, &ForeignFunctions::default(), settings)
}

/// Like [`build`], where SQL may also call these functions.
pub fn build_with_functions(
    application: Application,
    functions: &ForeignFunctions,
    settings: &Settings,
) -> Result<Program, Vec<Error>> {
    let connectors = engine::connectors(settings, &StdoutTarget::process());
    application.build(&Sql(engine::planner(connectors, functions, settings)), settings.max_future_skew)
}

/// Plans the SQL within an application.
struct Sql(Planner);

impl SqlPlanner for Sql {
    fn plan(
        &self,
        graph: &mut Graph,
        functions: &mut Functions,
        name: &str,
        text: &str,
        inputs: &[(String, Outlet)],
    ) -> Result<Outlet, Vec<Error>> {
        let (extended, outlet) = self.0.extend(std::mem::take(graph), functions, name, text, inputs)?;
        *graph = extended;
        Ok(outlet)
    }
}

/// The code in the guide is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../docs/programs.md")]
struct Guide;
