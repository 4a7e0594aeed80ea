//! Whether aggregating before the shuffle pays.
//!
//! Where almost every row is a group of its own, a table before the shuffle
//! only costs. So its yield is measured; when it is poor, rows pass by the
//! table for a while, and then it is measured again.

/// Rows that are measured before a verdict.
const MEASURED_ROWS: usize = 64 * 1024;
/// Rows that pass by the table after a poor verdict.
const PASSING_ROWS: usize = 1024 * 1024;
/// The yield is poor when there are more groups than this share of the rows, in percent.
const GROUPS_PERCENT_MAX: usize = 60;

/// What the table before the shuffle yields.
#[derive(Default)]
pub(super) struct Reduction {
    rows: usize,
    groups: usize,
    passing: usize,
}

impl Reduction {
    /// The table gave out so many groups, made of so many rows.
    pub(super) fn measured(&mut self, rows: usize, groups: usize) {
        self.rows += rows;
        self.groups += groups;
        if self.rows >= MEASURED_ROWS {
            let poor = self.groups * 100 > self.rows * GROUPS_PERCENT_MAX;
            *self = Self { passing: if poor { PASSING_ROWS } else { 0 }, ..Self::default() };
        }
    }

    /// Whether these rows pass by the table.
    pub(super) fn passes(&mut self, rows: usize) -> bool {
        let passes = self.passing > 0;
        self.passing = self.passing.saturating_sub(rows);
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_yields_nothing_is_passed_by_and_tried_again() {
        let mut reduction = Reduction::default();
        reduction.measured(MEASURED_ROWS - 1, MEASURED_ROWS - 1);
        assert!(!reduction.passes(1), "too few rows for a verdict");
        reduction.measured(1, 1);
        assert!(reduction.passes(PASSING_ROWS - 1) && reduction.passes(1));
        assert!(!reduction.passes(1), "tried again");
    }

    #[test]
    fn a_table_that_yields_is_kept() {
        let mut reduction = Reduction::default();
        reduction.measured(MEASURED_ROWS, MEASURED_ROWS / 2);
        assert!(!reduction.passes(1));
    }
}
