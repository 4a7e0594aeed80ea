//! Thalweg: one stream processor with two front doors.
//!
//! This crate is the assembly. It fills the registry, plans and runs jobs, and
//! holds the commands as a library; the binary `thalweg` is a thin door to
//! [`commands::main`]. How the house is built is told in `ARCHITECTURE.md`.

pub mod commands;
pub mod engine;
pub mod live_table;
pub mod report;
pub mod settings;
pub mod testfile;
