//! What a run really did, and whether its counts add up.

use std::collections::BTreeSet;
use std::fmt;

use thalweg_cluster::{JobHandle, OperatorReading, Role};
use thalweg_dataflow::{Distribution, Error, Graph, NodeId};

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// Subtasks of all nodes.
    pub subtasks: usize,
    /// Rows that sources gave out, in all lives together.
    pub rows_read: u64,
    /// For each shuffle into several subtasks that saw rows: rows, and how many subtasks they reached.
    pub shuffles: Vec<(u64, usize)>,
    /// Complete epochs of all lives.
    pub epochs: u64,
    /// Epochs that could only be aborted, because the store refused a part of them.
    pub refused_epochs: u64,
    /// How often the job was killed.
    pub kills: u32,
    /// How often it went on from a checkpoint.
    pub restores: u32,
    /// How often it was rescaled.
    pub rescales: u32,
    /// How often a rescale was refused, because an input was over.
    pub refused_rescales: u32,
    /// How many subtasks each operator had, one after the other.
    pub parallelism: Vec<u32>,
}

impl Deeds {
    /// Adds what one life did that came to its end, by itself or not.
    pub(super) fn add_life(&mut self, job: &JobHandle) {
        let progress = job.progress();
        self.subtasks = job.counters().len();
        self.rows_read += progress.rows_read;
        self.epochs += progress.epochs_complete;
    }

    /// Adds what the shuffles of a job did that kept its parallelism.
    pub(super) fn add_shuffles(&mut self, graph: &Graph, parallelism: u32, job: &JobHandle) {
        let counters = job.counters();
        let rows_in = |node: NodeId| -> Vec<u64> {
            counters.iter().filter(|r| r.node == node).map(|r| r.counters.rows_in.get()).collect()
        };
        let is_wide = |node: NodeId| graph.parallelism(node, parallelism) > 1;
        let shuffled = graph.edges().iter().filter(|e| matches!(e.distribution, Distribution::Shuffle(_)));
        let shuffled: BTreeSet<NodeId> = shuffled.map(|e| e.to.0).filter(|&node| is_wide(node)).collect();
        let reached = shuffled.into_iter().map(|node| {
            let rows = rows_in(node);
            (rows.iter().sum(), rows.iter().filter(|&&n| n > 0).count())
        });
        self.shuffles = reached.filter(|&(rows, _)| rows > 0).collect();
    }
}

impl fmt::Display for Deeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} subtasks, {} rows read", self.subtasks, self.rows_read)?;
        for (rows, destinations) in &self.shuffles {
            write!(f, ", {rows} rows shuffled to {destinations}")?;
        }
        let counts = [
            (u64::from(self.kills), "kills"),
            (u64::from(self.restores), "restores"),
            (u64::from(self.rescales), "rescales"),
            (u64::from(self.refused_rescales), "rescales refused"),
            (self.refused_epochs, "epochs refused"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        if !self.parallelism.is_empty() {
            let trail: Vec<String> = self.parallelism.iter().map(u32::to_string).collect();
            write!(f, ", {} epochs, parallelism {}", self.epochs, trail.join(" "))?;
        }
        Ok(())
    }
}

/// The two laws of counting.
pub(super) fn check_identities(readings: &[OperatorReading]) -> Result<(), Error> {
    for reading in readings {
        let c = &reading.counters;
        let (left, right, law) = match reading.role {
            Role::Source => (
                c.records_read.get(),
                c.rows_out.get() + c.dropped.get() + c.failed.get(),
                "records read = rows out + dropped + failed",
            ),
            Role::Operator | Role::Sink => (
                c.rows_in.get(),
                c.taken.get() + c.filtered.get() + c.late.get() + c.refused.get(),
                "rows in = taken + filtered + late + refused",
            ),
        };
        if left != right {
            let (operator, subtask) = (&reading.operator, reading.subtask);
            let what = format!("'{operator}', subtask {subtask}, counts {left} and {right} where {law}");
            return Err(Error::internal(what).because(format!("{c:?}")));
        }
    }
    Ok(())
}
