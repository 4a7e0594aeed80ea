//! Which windows there are, and which of them a row belongs to.

use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Code, Error, Result};

use super::panes::{Panes, duration};

/// The most rows of a count window.
const COUNT_MAX: u64 = 1 << 40;

/// How rows are put into windows. All times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Assigner {
    /// Windows of event time, aligned to 1970, the same for all keys.
    Aligned(Panes),
    /// Windows of event time, for each key by itself: rows less than the gap apart.
    Session {
        /// How long nothing comes behind the last row of a session.
        gap_nanos: i64,
    },
    /// Windows of so many rows, for each key by itself, in the order in which they come.
    Count {
        /// How many rows make a window.
        rows: u64,
        /// What becomes of the windows that are not full at the end.
        incomplete: Incomplete,
    },
}

/// What becomes of the count windows that are not full when all input was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Incomplete {
    /// They are left out.
    #[default]
    Drop,
    /// They come out as they are.
    Emit,
}

impl Assigner {
    /// Windows of one width that touch and never overlap.
    pub fn tumble(width_nanos: i64) -> Result<Self> {
        Panes::hop(width_nanos, width_nanos).map(Assigner::Aligned)
    }

    /// Windows that begin at every multiple of the slide. A slide longer than
    /// the width leaves time between windows: rows there belong to none.
    pub fn hop(slide_nanos: i64, width_nanos: i64) -> Result<Self> {
        Panes::hop(slide_nanos, width_nanos).map(Assigner::Aligned)
    }

    /// Rows that carry a window of this width as columns: `_timestamp` is its last instant.
    pub fn same_window(width_nanos: i64) -> Self {
        Assigner::Aligned(Panes::Instants { width_nanos })
    }

    /// A window from a key's first row to the gap behind its last.
    pub fn session(gap_nanos: i64) -> Result<Self> {
        if gap_nanos <= 0 {
            return Err(Error::new(Code::InvalidWindow, "the gap of a session is not longer than nothing")
                .with_help("give 'session' an interval greater than zero"));
        }
        Ok(Assigner::Session { gap_nanos })
    }

    /// Windows of this many rows of a key.
    pub fn count(rows: u64, incomplete: Incomplete) -> Result<Self> {
        if !(1..=COUNT_MAX).contains(&rows) {
            return Err(Error::new(
                Code::InvalidWindow,
                format!("a window cannot be {rows} rows: at least 1 and at most {COUNT_MAX}"),
            ));
        }
        Ok(Assigner::Count { rows, incomplete })
    }

    /// The windows that a row at this time belongs to, earliest first: start,
    /// and the first instant behind. None where other rows have a say.
    pub(crate) fn windows_of(self, time: i64) -> impl Iterator<Item = (i64, i64)> {
        let aligned = match self {
            Assigner::Aligned(panes) => Some(panes),
            Assigner::Session { .. } | Assigner::Count { .. } => None,
        };
        aligned.into_iter().flat_map(move |panes| {
            let (first, last) = panes.readers(panes.pane_of(time));
            (first..=last).map(move |window| (panes.start_of(window), panes.end_of(window)))
        })
    }

    /// For people: `tumble(10s)`.
    pub(crate) fn label(self) -> String {
        match self {
            Assigner::Aligned(panes) => panes.label(),
            Assigner::Session { gap_nanos } => format!("session({})", duration(gap_nanos)),
            Assigner::Count { rows, .. } => format!("count({rows})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_belongs_to_each_window_around_it() {
        let windows = |assigner: Assigner, time| assigner.windows_of(time).collect::<Vec<_>>();
        assert_eq!(windows(Assigner::tumble(10).unwrap(), -1), [(-10, 0)]);
        assert_eq!(windows(Assigner::hop(10, 25).unwrap(), 23), [(0, 25), (10, 35), (20, 45)]);
        assert_eq!(windows(Assigner::hop(10, 25).unwrap(), 25), [(10, 35), (20, 45)]);
        assert_eq!(windows(Assigner::hop(10, 4).unwrap(), 4), []);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(Assigner::tumble(0).is_err() && Assigner::tumble(-1).is_err());
        assert!(Assigner::session(0).is_err());
        assert!(Assigner::count(0, Incomplete::Drop).is_err());
    }
}
