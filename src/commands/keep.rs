//! Jobs that are kept: the flags that say where, and what a person is told of where a job goes on.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use thalweg_cluster::controller::inheritance::{Converted, Inheritance};
use thalweg_cluster::{Durable, Progress, Recovery, RestoreFrom, Restored, Savepoint, store_error};
use thalweg_dataflow::{Code, Error, Graph, Result};
use thalweg_state::store::Store;
use thalweg_state::{Epoch, History, JobId, OperatorId};

use super::SetArgs;
use super::amounts::{age, counted, size};
use crate::settings::Settings;

/// The setting that has a flag of its own.
const INTERVAL: &str = "checkpoint-interval";

/// The most bytes of a name as a store writes it: a file system has a limit.
const NAME_BYTES_MAX: usize = 150;

#[derive(Debug, Args)]
#[command(next_help_heading = "State")]
pub(crate) struct KeepArgs {
    /// Keep the job in a folder or at s3://BUCKET/PREFIX, and go on from its newest checkpoint
    #[arg(long, value_name = "DIR|URL", env = "THALWEG_STATE_DIR")]
    state_dir: Option<String>,
    /// The job's name in the state folder, where each has its own; without it the script's file name,
    /// or the application's name
    #[arg(long, value_name = "NAME", env = "THALWEG_NAME", requires = "state_dir")]
    name: Option<String>,
    /// How often a checkpoint is made, such as 50ms, 10s or 1m; 10s without it
    #[arg(long, value_name = "TIME")]
    checkpoint_interval: Option<String>,
    /// How many checkpoints are kept; savepoints always are
    #[arg(long, value_name = "N", default_value = "3", env = "THALWEG_RETAIN", requires = "state_dir")]
    retain: NonZeroUsize,
    /// When the job is stopped, keep its last checkpoint under this label until it is deleted
    #[arg(long, value_name = "LABEL", requires = "state_dir")]
    savepoint_on_stop: Option<String>,
    /// Go on from the savepoint of this label, rather than from the newest checkpoint
    #[arg(long, value_name = "LABEL", requires = "state_dir")]
    restore: Option<String>,
    /// Go on though the script has no place for some of the state, and lose that
    #[arg(long, requires = "state_dir")]
    allow_dropped_state: bool,
}

/// Where one job is kept.
#[derive(Clone, Debug)]
pub(crate) struct Keep {
    pub(crate) id: JobId,
    pub(crate) durable: Durable,
    /// The label of the last checkpoint, when the job is stopped.
    pub(crate) savepoint_on_stop: Option<Savepoint>,
}

impl KeepArgs {
    /// The settings with what these flags say of them.
    pub(crate) fn settings(&self, set: &SetArgs) -> Result<Settings> {
        let mut settings = set.settings()?;
        if let Some(interval) = &self.checkpoint_interval {
            if set.names(INTERVAL) {
                let what = format!("'--{INTERVAL}' and '--set {INTERVAL}=…' say the same thing");
                return Err(Error::new(Code::InvalidSetting, what).with_help("give one of them"));
            }
            settings.set(INTERVAL, interval)?;
        }
        Ok(settings)
    }

    /// Where the job is kept, if it is. `own_name` is the name of what runs, if it has one.
    pub(crate) fn keep(&self, own_name: Option<&str>) -> Result<Option<Keep>> {
        let Some(location) = &self.state_dir else { return Ok(None) };
        let id = name(self.name.as_deref().or(own_name))?;
        for (flag, label) in [("savepoint-on-stop", &self.savepoint_on_stop), ("restore", &self.restore)] {
            if let Some(label) = label {
                check_word(&format!("the label of --{flag}"), label)?;
            }
        }
        let durable = Durable {
            store: open(location)?,
            retain: self.retain.get(),
            restore: self.restore.clone().map_or(RestoreFrom::Newest, RestoreFrom::Savepoint),
            allow_dropped_state: self.allow_dropped_state,
        };
        let savepoint_on_stop = self.savepoint_on_stop.clone().map(Savepoint);
        Ok(Some(Keep { id, durable, savepoint_on_stop }))
    }
}

/// The store that a person named.
pub(super) fn open(location: &str) -> Result<Arc<dyn Store>> {
    if location.trim().is_empty() {
        return Err(Error::new(Code::InvalidSetting, "the state folder has no name"));
    }
    if !location.contains("://") && Path::new(location).is_file() {
        let what = format!("'{location}' is a file, and state is kept in a folder");
        return Err(Error::new(Code::StoreUnfit, what));
    }
    thalweg_state::store::open(location).map_err(store_error)
}

fn name(name: Option<&str>) -> Result<JobId> {
    let Some(name) = name else {
        let what = "a job that is kept needs a name, and this script is no file that has one";
        return Err(Error::new(Code::InvalidSetting, what).with_help("add --name NAME"));
    };
    check_word("the job's name", name)?;
    Ok(JobId::new(name))
}

/// Whether a name or label can be written as the name of a folder or file, and read back.
fn check_word(what: &str, word: &str) -> Result<()> {
    let refuse = |why: &str| {
        let said = word.escape_debug();
        Err(Error::new(Code::InvalidSetting, format!("{what} is '{said}', which {why}")))
    };
    let written = |byte: u8| if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) { 1 } else { 3 };
    if word.trim().is_empty() {
        return refuse("is empty");
    }
    if word.chars().any(char::is_control) {
        return refuse("has control characters");
    }
    if word.bytes().map(written).sum::<usize>() > NAME_BYTES_MAX {
        return refuse("is too long");
    }
    Ok(())
}

impl Keep {
    /// Refuses a label under which another checkpoint is kept: better now than when the job has stopped.
    pub(crate) async fn check_label(&self) -> Result<()> {
        let Some(Savepoint(label)) = &self.savepoint_on_stop else { return Ok(()) };
        if self.savepoints().await?.contains(label) {
            let what = format!("'{}' has a savepoint named '{label}' already", self.id);
            return Err(Error::new(Code::Conflict, what).with_help(
                "choose another label, or give that one up with 'thalweg state delete-savepoint'",
            ));
        }
        Ok(())
    }

    async fn savepoints(&self) -> Result<Vec<String>> {
        let history = History::new(Arc::clone(&self.durable.store), self.id.clone());
        history.savepoints().await.map_err(store_error)
    }

    /// Adds what a person can do when the job cannot go on.
    pub(crate) async fn advise(&self, error: Error) -> Error {
        if error.code() == Code::JobInUse {
            return error.with_help("stop that one, or give this one another --name");
        }
        if error.code() != Code::CheckpointDamaged {
            return error;
        }
        let savepoints = match self.savepoints().await {
            Ok(labels) if !labels.is_empty() => {
                format!("--restore goes on from a savepoint: {}", labels.join(", "))
            }
            Ok(_) | Err(_) => "there is no savepoint to --restore".to_owned(),
        };
        error.with_help(format!(
            "no older checkpoint is taken in its place. {savepoints}; without one, 'thalweg state ls' shows \
             what is there, and deleting the newest objects of 'epochs' by hand goes back to an older one"
        ))
    }

    /// What is said while the store lets us wait.
    pub(super) fn words_of_patience(&self) -> String {
        format!("'{}' waits for {}", self.id, self.durable.store.describe())
    }

    /// What is said of the last checkpoint when the job was stopped.
    pub(super) fn words_of_stop(&self, progress: &Progress) -> String {
        match (progress.newest, &self.savepoint_on_stop) {
            (None, _) => String::new(),
            (Some(epoch), None) => format!(" at epoch {epoch}"),
            (Some(epoch), Some(Savepoint(label))) => {
                format!(" at epoch {epoch}, kept as savepoint '{label}'")
            }
        }
    }

    /// What is said when a second signal aborts the job.
    pub(super) fn words_of_abort(&self, progress: &Progress) -> String {
        let id = &self.id;
        match progress.newest {
            Some(epoch) => format!("aborted; '{id}' goes on from epoch {epoch} when it is started again"),
            None => format!("aborted; '{id}' goes on where it had begun when it is started again"),
        }
    }

    /// What is said before the first row: where the job goes on, and what becomes of its state.
    pub(crate) fn words(&self, recovery: &Recovery, graph: &Graph) -> Vec<String> {
        let place = format!("'{}' in {}", self.id, self.durable.store.describe());
        let mut lines = vec![match (&recovery.restored, recovery.finished) {
            (None, _) => format!("{place}: a fresh start"),
            (Some(from), false) => format!("{place}: goes on from {}", checkpoint(from)),
            (Some(from), true) => {
                format!("{place}: finished {} ago; all input was read by {}", age(from.age), which(from))
            }
        }];
        if recovery.inheritance.is_whole() {
            let changed = recovery.restored.as_ref().is_some_and(|from| from.script_changed);
            lines.extend(changed.then(|| "the script has changed; all state is kept".to_owned()));
            return lines;
        }
        lines.extend(inheritance(&recovery.inheritance, graph));
        if recovery.finished && !recovery.inheritance.new.is_empty() {
            lines.push("what is new does not run: another --name runs the whole script".to_owned());
        }
        lines
    }
}

fn checkpoint(from: &Restored) -> String {
    let subtasks = counted(u64::from(from.parallelism), "subtask");
    format!("{}, {} old, {}, {subtasks} before", which(from), age(from.age), size(from.bytes))
}

fn which(from: &Restored) -> String {
    match &from.savepoint {
        Some(label) => format!("savepoint '{label}' of epoch {}", from.epoch),
        None => format!("epoch {}", from.epoch),
    }
}

/// One line for each operator whose state is kept, begun or lost.
fn inheritance(of: &Inheritance, graph: &Graph) -> Vec<String> {
    let label = |id: &OperatorId| {
        let node = graph.nodes().map(|(_, node)| node).find(|node| node.id == *id);
        node.map_or_else(String::new, |node| format!(" ({})", node.piece.spec().label()))
    };
    let kept = of.kept.iter().map(|id| format!("  kept     '{id}'{}", label(id)));
    let changed =
        |of: &Converted| format!("  changed  '{}'{}: {}", of.operator, label(&of.operator), of.what);
    let changed = of.converted.iter().map(changed);
    let new = of.new.iter().map(|id| format!("  new      '{id}'{}", label(id)));
    let dropped = of.dropped.iter().map(|dropped| format!("  dropped  {dropped}"));
    kept.chain(changed).chain(new).chain(dropped).collect()
}

/// Says it once when checkpoints begin to fail, and once when they work again.
#[derive(Debug, Default)]
pub(super) struct CheckpointWatch {
    failing: bool,
}

impl CheckpointWatch {
    pub(super) fn look(&mut self, progress: &Progress) -> Option<String> {
        let failing = progress.failing > 0;
        if std::mem::replace(&mut self.failing, failing) == failing {
            return None;
        }
        Some(match (failing, progress.newest) {
            (true, Some(Epoch(epoch))) => format!(
                "warning: checkpoints fail since epoch {epoch}; rows flow on, and a crash would go back there"
            ),
            (true, None) => {
                "warning: checkpoints fail; rows flow on, and a crash would go back to where the job began"
                    .to_owned()
            }
            (false, newest) => {
                format!("checkpoints work again: epoch {} is complete", newest.unwrap_or(Epoch::FIRST))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use thalweg_dataflow::Watermark;

    use super::*;

    fn progress(newest: Option<u64>, failing: u64) -> Progress {
        Progress {
            rows_read: 0,
            rows_written: 0,
            watermark: Watermark::START,
            epochs_complete: 0,
            newest: newest.map(Epoch),
            failing,
        }
    }

    #[test]
    fn failing_checkpoints_are_told_when_it_begins_and_when_it_is_over() {
        let mut watch = CheckpointWatch::default();
        let steps = [(Some(4), 0), (Some(4), 1), (Some(4), 2), (Some(7), 0), (Some(8), 0), (Some(8), 1)];
        let said: Vec<_> =
            steps.iter().map(|&(newest, failing)| watch.look(&progress(newest, failing)).is_some()).collect();
        assert_eq!(said, [false, true, false, true, false, true]);
        let none = CheckpointWatch::default().look(&progress(None, 1)).expect("it begins");
        assert!(none.starts_with("warning: checkpoints fail; "), "{none}");
    }

    #[test]
    fn a_name_can_be_written_as_a_folder_and_read_back() {
        for good in ["weather", "weather, daily", "Größe", ".hidden", &"x".repeat(150)] {
            assert!(name(Some(good)).is_ok(), "{good}");
        }
        for bad in [None, Some(""), Some(" "), Some("a\0b"), Some("x\n"), Some("ß".repeat(26).as_str())] {
            assert_eq!(name(bad).expect_err("refused").code(), Code::InvalidSetting, "{bad:?}");
        }
    }
}
