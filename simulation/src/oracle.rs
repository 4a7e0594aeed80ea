//! Was everything right? Judged when all is over.

use std::collections::BTreeMap;
use std::sync::Arc;

use thalweg_state::store::StoreError;
use thalweg_state::{History, JobId, KeyGroups, Manifest};

use crate::ground::Ground;
use crate::ledger::Line;
use crate::swarm::Swarm;
use crate::work::{Rows, Work};

/// So many rows of a difference are shown.
const SHOWN_MAX: usize = 6;

/// What is wrong with what is visible in the ledger.
pub(crate) fn judge_rows(swarm: &Swarm, committed: &[Line]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut visible = Rows::new();
    for line in committed {
        *visible.entry(compared(swarm.work, &line.cells).to_owned()).or_default() += i64::from(line.diff);
    }
    visible.retain(|_, count| *count != 0);
    let expected = swarm.work.expected(&swarm.inputs);
    let differs = |one: &Rows, other: &Rows| -> Vec<String> {
        let more = one.iter().filter(|(row, count)| other.get(*row).copied().unwrap_or(0) < **count);
        more.map(|(row, count)| format!("{row} x{}", count - other.get(row).copied().unwrap_or(0))).collect()
    };
    for (what, rows) in
        [("missing", differs(&expected, &visible)), ("too many", differs(&visible, &expected))]
    {
        if !rows.is_empty() {
            wrong.push(format!(
                "{} rows {what}: {}",
                rows.len(),
                rows[..rows.len().min(SHOWN_MAX)].join("; ")
            ));
        }
    }
    if swarm.work.is_row_by_row() {
        wrong.extend(disorder(swarm.work, committed));
    }
    wrong
}

/// What of a row does not depend on the order of splits.
fn compared(work: Work, cells: &str) -> &str {
    match work {
        Work::Tally | Work::Program => cells.rsplit_once(',').map_or(cells, |(row, _)| row),
        Work::Rows | Work::Updating | Work::Global | Work::Tumble | Work::Hop | Work::Join => cells,
    }
}

/// Rows of one key and split keep their order, and counts of a key rise one by one.
fn disorder(work: Work, committed: &[Line]) -> Option<String> {
    let mut newest: BTreeMap<(i64, i64), i64> = BTreeMap::new();
    let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
    for line in committed {
        let numbers: Vec<i64> = line.cells.split(',').filter_map(|cell| cell.parse().ok()).collect();
        let (split, number, key) = match numbers[..] {
            [split, number, key] => (split, number, key),
            [split, number, key, _, count] if work != Work::Rows => {
                let before = counts.insert(key, count).unwrap_or(0);
                if count != before + 1 {
                    return Some(format!("key {key} counts {count} behind {before}"));
                }
                (split, number, key)
            }
            _ => return Some(format!("a row that cannot be read: {}", line.cells)),
        };
        let before = newest.insert((split, key), number);
        if before.is_some_and(|before| before > number) {
            return Some(format!("split {split}, key {key}: row {number} is visible behind row {before:?}"));
        }
    }
    None
}

/// Every checkpoint that is kept can be restored.
pub(crate) fn judge_checkpoints(ground: &Ground, kept: (usize, &[String]), finished: bool) -> Vec<String> {
    let history = History::new(Arc::clone(ground.store.objects()) as _, JobId::new("job"));
    // Its clock must stand still: that of the process is simulated.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime needs nothing");
    let judged = runtime.block_on(judge_history(&history, kept, finished));
    judged.unwrap_or_else(|error| vec![format!("the history cannot be read: {error}")])
}

async fn judge_history(
    history: &History,
    (retain, savepoints): (usize, &[String]),
    finished: bool,
) -> Result<Vec<String>, StoreError> {
    let mut kept = history.newest(retain).await?;
    let mut wrong = Vec::new();
    if kept.windows(2).any(|two| two[0].epoch <= two[1].epoch || two[0].incarnation < two[1].incarnation) {
        wrong.push("checkpoints are out of order".to_owned());
    }
    if finished && !kept.first().is_some_and(|newest| newest.finished) {
        wrong.push("the job is over and its newest checkpoint does not say so".to_owned());
    }
    // Others may have been asked for by a life that died before it was told.
    for label in savepoints {
        match history.savepoint_at(label).await? {
            Some(savepoint) => kept.push(savepoint),
            None => wrong.push(format!("savepoint '{label}' is not there")),
        }
    }
    for manifest in &kept {
        if let Err(error) = restore(history, manifest).await {
            wrong.push(format!("the checkpoint of epoch {} cannot be restored: {error}", manifest.epoch));
        }
    }
    Ok(wrong)
}

async fn restore(history: &History, manifest: &Manifest) -> Result<(), StoreError> {
    history.verify(manifest).await?;
    let everything = KeyGroups::range(0, manifest.key_groups);
    for record in manifest.operators.values() {
        history.restore(record, &everything).await?;
    }
    Ok(())
}
