//! `thalweg state`: what is kept of jobs. Reads a state folder as it is, also while its jobs run;
//! only `delete-savepoint` changes anything.

mod checkpoint;
mod export;
mod ls;
mod place;
mod show;

use clap::Subcommand;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use thalweg_dataflow::{Code, Error, Result};

use super::{Exit, Failed};
use crate::standard_streams::print_line;

#[derive(Debug, Subcommand)]
pub(super) enum Deed {
    /// List the jobs of a state folder, or the checkpoints of one
    Ls(ls::LsArgs),
    /// Show what a checkpoint is made of: operators, their tables, how far sources have read
    Show(show::ShowArgs),
    /// Write the rows of a checkpoint's tables as Parquet files
    ///
    /// One file for each operator and table, with the rows that a restore would see: of rows that
    /// replace each other the last, without those that are over.
    Export(export::ExportArgs),
    /// Give a savepoint up: what only it needs is cleared away when the job runs next
    DeleteSavepoint(place::SavepointArgs),
}

pub(super) fn run(deed: &Deed) -> Result<Exit, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| Error::new(Code::Io, "no runtime can be started").because(why))?;
    runtime.block_on(async {
        match deed {
            Deed::Ls(args) => ls::run(args).await,
            Deed::Show(args) => show::run(args).await,
            Deed::Export(args) => export::run(args).await,
            Deed::DeleteSavepoint(args) => args.delete().await,
        }
    })?;
    Ok(Exit::SUCCESS)
}

/// A table like those of the other commands. The columns from `numbers` on hold numbers.
fn table<const N: usize>(header: [&str; N], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(header);
    for &index in numbers {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn print_json(value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(value)
        .map_err(|why| Error::internal("a listing has no JSON form").because(why))?;
    print_line(json)
}
