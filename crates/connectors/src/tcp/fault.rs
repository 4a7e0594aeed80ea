//! What peers can do wrong, as users read it.

use thalweg_dataflow::{Code, Error};

use super::source::TcpSourceSpec;

/// Why a connection is closed from here, with its record left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The record is longer than the limit, or says so.
    TooLong { bytes: u64, bytes_max: usize },
    /// The peer left, or was silent for too long, in the middle of the record.
    Unfinished { bytes: usize },
    /// All connections together have begun more than can be held.
    NoRoom { bytes_max: usize },
}

impl Fault {
    /// The error of record `number` of `peer`.
    pub(super) fn error(self, address: &str, peer: &str, number: u64) -> Error {
        let (code, what, why, help) = match self {
            Fault::TooLong { bytes, bytes_max } => (
                Code::RecordTooLong,
                format!("a record is longer than {bytes_max} bytes"),
                format!("{bytes} came or were claimed: the sender may frame records in another way"),
                "check option 'framing' and the sender, raise 'framing.max_bytes', or set bad_data = 'drop' to \
                 close such connections and go on",
            ),
            Fault::Unfinished { bytes } => (
                Code::BadRecord,
                "a connection ended in the middle of a record".into(),
                format!("{bytes} bytes came, and no end of the record"),
                "check option 'framing' and that the sender ends its last record, or set bad_data = 'drop' to \
                 leave such records out",
            ),
            Fault::NoRoom { bytes_max } => (
                Code::LimitReached,
                format!("unfinished records take more than {bytes_max} bytes"),
                "this connection's record was the one too many".into(),
                "lower 'framing.max_bytes' or 'max_connections', or set bad_data = 'drop' to close such \
                 connections and go on",
            ),
        };
        Error::new(code, what).in_site(site(address, peer, number)).because(why).with_help(help)
    }
}

/// The error of a record that is whole, but not what was declared.
pub(super) fn bad_record(spec: &TcpSourceSpec, peer: &str, number: u64, reason: &str) -> Error {
    Error::new(Code::BadRecord, format!("a record is not the {} that was declared", spec.format.name()))
        .in_site(site(&spec.address, peer, number))
        .because(reason)
        .with_help("correct the record or the columns, or set bad_data = 'drop' to leave such records out")
}

fn site(address: &str, peer: &str, number: u64) -> String {
    format!("{address}, record {number} of {peer}")
}
