//! The commands, as a library: arguments in, exit code out.

mod amounts;
mod bench;
mod check;
mod exit;
mod explain;
mod keep;
mod run;
mod screen;
mod script;
mod state;
mod test;

pub use exit::Exit;
pub(crate) use explain::print_explanation;
pub(crate) use keep::KeepArgs;
pub(crate) use run::run_graph;

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use thalweg_dataflow::{Code, Error};

use crate::engine::ForeignFunctions;
use crate::report::{Script, render};
use crate::settings::Settings;
use crate::standard_streams::{stderr_has_colors, tell};

/// Stream processing: streaming SQL on one dataflow engine.
#[derive(Debug, Parser)]
#[command(name = "thalweg", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a script until its input ends or it is stopped
    ///
    /// Rows of a bare SELECT go to standard output: as a live table on a terminal, as JSON lines in a
    /// pipe. The first Ctrl-C stops the sources and lets the rows in flight reach the sinks; open windows
    /// do not fire. A second one aborts. With --state-dir the job goes on where it stopped or died.
    Run(RunArgs),
    /// Say what is wrong with a script, and run nothing
    Check(ScriptArgs),
    /// Show the graph that a script means
    Explain {
        #[command(flatten)]
        script: ScriptArgs,
        /// Subtasks of each operator
        #[arg(long, value_name = "N", default_value = "1", env = "THALWEG_PARALLELISM")]
        parallelism: NonZeroU32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Look at the jobs of a state folder
    State {
        #[command(subcommand)]
        deed: state::Deed,
    },
    /// Measure how fast queries run here
    Bench {
        #[command(subcommand)]
        workload: bench::Workload,
    },
    /// Run test files: scripts with rows in and rows out
    Test {
        /// A folder with test files below it, or one test file
        #[arg(value_name = "DIR")]
        path: PathBuf,
        /// Say what each world did, for files that passed too
        #[arg(short, long)]
        verbose: bool,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "script")]
struct Text {
    /// The script; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The script itself
    #[arg(short = 'e', value_name = "SQL", allow_hyphen_values = true)]
    execute: Option<String>,
}

#[derive(Debug, Args)]
struct ScriptArgs {
    #[command(flatten)]
    text: Text,
    #[command(flatten)]
    set: SetArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// A setting; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value, long_help = set_help())]
    set: Vec<(String, String)>,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    script: ScriptArgs,
    /// Subtasks of each operator
    #[arg(long, value_name = "N", default_value = "1", env = "THALWEG_PARALLELISM")]
    parallelism: NonZeroU32,
    #[command(flatten)]
    keep: KeepArgs,
}

impl Text {
    /// The name of the script's file without its ending.
    fn file_stem(&self) -> Option<&str> {
        let path = self.file.as_ref().filter(|path| path.as_os_str() != "-")?;
        path.file_stem()?.to_str()
    }
}

impl ScriptArgs {
    fn settings(&self) -> Result<Settings, Error> {
        self.set.settings()
    }
}

impl SetArgs {
    /// Whether a setting is given as a flag.
    fn names(&self, setting: &str) -> bool {
        self.set.iter().any(|(name, _)| name == setting)
    }

    pub(crate) fn settings(&self) -> Result<Settings, Error> {
        Settings::resolve(|name| std::env::var(name).ok(), self.set.iter().cloned())
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn set_help() -> String {
    format!("A setting; may be repeated. Also as THALWEG_KEY in the environment.\n\n{}", Settings::help())
}

/// Reads a command line; where it cannot be, prints how to write it and answers the exit code.
pub(crate) fn parse<W: Parser>(arguments: impl IntoIterator<Item = OsString>) -> Result<W, Exit> {
    W::try_parse_from(arguments).map_err(|usage| {
        // Nothing is left to be done when the terminal itself is gone.
        let _ = usage.print();
        Exit(u8::try_from(usage.exit_code()).unwrap_or(2))
    })
}

/// Runs the command that the arguments name. The first argument is the program's own name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    main_with_functions(arguments, &ForeignFunctions::default())
}

/// Like [`main`], with scripts that may also call these functions.
pub fn main_with_functions(
    arguments: impl IntoIterator<Item = OsString>,
    functions: &ForeignFunctions,
) -> Exit {
    let cli: Cli = match parse(arguments) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let done = match cli.command {
        Command::Run(args) => run::run(&args, functions),
        Command::Check(args) => check::run(&args, functions),
        Command::Explain { script, parallelism, json } => {
            explain::run(&script, functions, parallelism.get(), json)
        }
        Command::State { deed } => state::run(&deed),
        Command::Bench { workload } => bench::run(&workload),
        Command::Test { path, verbose } => test::run(&path, functions, verbose),
    };
    done.unwrap_or_else(|failed| failed.report())
}

/// Why a command did not do its work, with the script that spans point into.
pub(crate) struct Failed {
    errors: Vec<Error>,
    script: Option<script::Loaded>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { errors: vec![error], script: None }
    }
}

impl From<Vec<Error>> for Failed {
    fn from(errors: Vec<Error>) -> Self {
        Self { errors, script: None }
    }
}

impl Failed {
    fn in_script(errors: Vec<Error>, script: script::Loaded) -> Self {
        Self { errors, script: Some(script) }
    }

    /// Prints all errors on standard error; answers the exit code of the first. Whoever read our output
    /// has gone, `head` say: nothing is wrong, and nothing is said.
    pub(crate) fn report(&self) -> Exit {
        let script = self.script.as_ref().map(|s| Script { name: &s.name, text: &s.text });
        for error in self.errors.iter().filter(|error| error.code() != Code::OutputClosed) {
            tell(render(error, script, stderr_has_colors()));
        }
        Exit(self.errors.first().map_or(1, |e| e.code().exit_code()))
    }
}
