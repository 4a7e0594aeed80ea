//! Thalweg: one stream processor with two front doors.
//!
//! This crate is the assembly. It fills the registry, plans and runs jobs, and
//! holds the commands as a library; the binary `thalweg` is a thin door to
//! [`commands::main`], and a program in Rust to [`main`](main()). How the house is built is
//! told in `ARCHITECTURE.md`, how programs are written in `docs/programs.md`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod commands;
pub mod connect;
pub mod engine;
pub mod live_table;
pub mod log;
pub mod program;
pub mod report;
pub mod settings;
mod standard_streams;
pub mod testfile;

pub use program::main;
pub use thalweg_app as app;
pub use thalweg_connectors as connectors;
pub use thalweg_dataflow::{Error, EventTime, Result};
