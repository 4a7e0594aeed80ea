//! Which splits a source has, and to which subtasks they go at first.

use thalweg_dataflow::source::Assignment;
use thalweg_dataflow::{Error, Result};
use thalweg_state::SplitId;

/// One split, which goes to the first subtask.
pub(crate) fn single(split: SplitId, parallelism: u32) -> Vec<Vec<Assignment>> {
    let mut splits = vec![Vec::new(); parallelism as usize];
    if let Some(first) = splits.first_mut() {
        first.push(Assignment { split, position: None });
    }
    splits
}

/// A split for each subtask, named `index/of`.
pub(crate) fn numbered(parallelism: u32) -> Vec<Vec<Assignment>> {
    let assignment = |index| {
        let split = SplitId::new(format!("{index}/{parallelism}"));
        vec![Assignment { split, position: None }]
    };
    (0..parallelism).map(assignment).collect()
}

/// The index of a [`numbered`] split of `connector`, and of how many it is one.
pub(crate) fn index_of(split: &SplitId, connector: &str) -> Result<(u32, u32)> {
    let numbers = || {
        let (index, of) = split.as_str().split_once('/')?;
        let (index, of): (u32, u32) = (index.parse().ok()?, of.parse().ok()?);
        (index < of).then_some((index, of))
    };
    numbers().ok_or_else(|| Error::internal(format!("'{split}' is not a split of '{connector}'")))
}
