//! What a person sees while a job runs: its results as a table, and a line of progress.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use terminal_size::{Height, Width, terminal_size};
use thalweg_cluster::Progress;

use super::amounts::{counted, grouped};
use super::keep::CheckpointWatch;
use crate::live_table::LiveTable;
use crate::standard_streams::{stderr_has_colors, tell};

/// How often the screen is drawn anew.
pub(super) const FRAME: Duration = Duration::from_millis(100);

/// A job that ends sooner shows no progress.
const PROGRESS_AFTER: Duration = Duration::from_millis(500);

const WIDTH_WITHOUT_TERMINAL: u16 = 100;

/// Draws on the terminals there are, and on nothing else.
pub(super) struct Screen {
    tables: Vec<(String, LiveTable)>,
    results_on_terminal: bool,
    progress_on_terminal: bool,
    colors: bool,
    /// Checkpoints of a job that is kept.
    checkpoints: Option<CheckpointWatch>,
    changed: bool,
    /// Lines drawn that the next frame replaces.
    drawn: usize,
    started: Instant,
    rows_before: (Instant, u64),
}

impl Screen {
    /// A screen for a job that is `kept`, or not.
    pub(super) fn new(kept: bool) -> Self {
        let now = Instant::now();
        Self {
            tables: Vec::new(),
            results_on_terminal: io::stdout().is_terminal(),
            progress_on_terminal: io::stderr().is_terminal(),
            colors: stderr_has_colors(),
            checkpoints: kept.then(CheckpointWatch::default),
            changed: false,
            drawn: 0,
            started: now,
            rows_before: (now, 0),
        }
    }

    /// A screen for a job whose sinks alone know where rows go.
    pub(super) fn without_results(kept: bool) -> Self {
        Self { results_on_terminal: false, ..Self::new(kept) }
    }

    /// Whether results of bare `SELECT`s are shown as tables.
    pub(super) fn shows_results(&self) -> bool {
        self.results_on_terminal
    }

    /// Adds rows to the table of one result.
    pub(super) fn add(&mut self, table: &str, records: &RecordBatch) {
        self.changed = true;
        match self.tables.iter_mut().find(|(name, _)| name == table) {
            Some((_, live)) => live.apply(records),
            None => {
                let mut live = LiveTable::default();
                live.apply(records);
                self.tables.push((table.to_owned(), live));
            }
        }
    }

    /// Draws the newest rows that fit, and how far the job is.
    pub(super) fn frame(&mut self, progress: Progress) -> io::Result<()> {
        let line = self.progress_line(progress);
        if let Some(words) = self.checkpoints.as_mut().and_then(|watch| watch.look(&progress)) {
            self.say(&words)?;
        }
        if !self.progress_on_terminal || (!self.changed && self.started.elapsed() < PROGRESS_AFTER) {
            return Ok(());
        }
        let mut frame = String::new();
        if self.results_on_terminal {
            let (width, height) = size();
            let each = height / u16::try_from(self.tables.len().max(1)).unwrap_or(1);
            for (_, table) in &self.tables {
                frame.push_str(&table.render(width, Some(each.saturating_sub(2))));
            }
        }
        frame.push_str(&line);
        frame.push('\n');
        self.changed = false;
        self.replace(&frame)
    }

    /// Removes what is drawn, and leaves the results for good.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.replace("")?;
        if !self.results_on_terminal {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        for (_, table) in &self.tables {
            out.write_all(table.render(size().0, None).as_bytes())?;
        }
        out.flush()
    }

    /// Says something that stays, above what is drawn.
    pub(super) fn say(&mut self, line: &str) -> io::Result<()> {
        self.replace("")?;
        self.changed = true;
        tell(line);
        Ok(())
    }

    fn replace(&mut self, frame: &str) -> io::Result<()> {
        let mut terminal = io::stderr().lock();
        if self.drawn > 0 {
            // Up to the first line drawn, and clear from there.
            write!(terminal, "\x1b[{}F\x1b[J", self.drawn)?;
        }
        terminal.write_all(frame.as_bytes())?;
        self.drawn = frame.lines().count();
        terminal.flush()
    }

    fn progress_line(&mut self, progress: Progress) -> String {
        let (before, rows) = self.rows_before;
        let seconds = before.elapsed().as_secs_f64();
        let rate = progress.rows_read.saturating_sub(rows) as f64 / seconds.max(1e-3);
        if seconds >= 1.0 {
            self.rows_before = (Instant::now(), progress.rows_read);
        }
        let mut line = format!(
            "{} rows in, {} rows out, {}/s, {:.1} s",
            grouped(progress.rows_read),
            grouped(progress.rows_written),
            grouped(rate as u64),
            self.started.elapsed().as_secs_f64(),
        );
        let nanos = progress.watermark.nanos();
        if nanos != i64::MIN && nanos != i64::MAX {
            let time = arrow::temporal_conversions::timestamp_ns_to_datetime(nanos);
            if let Some(time) = time {
                // Writing to a String cannot fail.
                let _ = write!(line, ", watermark {}", time.format("%Y-%m-%d %H:%M:%S"));
            }
        }
        self.with_checkpoints(line, progress)
    }

    /// Adds what becomes of checkpoints. The line never reaches the next one: it is drawn over.
    fn with_checkpoints(&self, mut line: String, progress: Progress) -> String {
        let words = match &self.checkpoints {
            Some(_) => checkpoint_words(progress),
            None => String::new(),
        };
        let room = usize::from(size().0).saturating_sub(words.chars().count() + 1);
        if let Some((end, _)) = line.char_indices().nth(room) {
            line.truncate(end);
        }
        match progress.failing > 0 && self.colors {
            true => format!("{line}\x1b[1;31m{words}\x1b[0m"),
            false => line + &words,
        }
    }
}

fn checkpoint_words(progress: Progress) -> String {
    match (progress.failing, progress.newest) {
        (0, Some(epoch)) => format!(", epoch {epoch}"),
        (0, None) => String::new(),
        (failing, Some(epoch)) => {
            format!(", epoch {epoch}, {} failed since", counted(failing, "checkpoint"))
        }
        (failing, None) => format!(", {} failed", counted(failing, "checkpoint")),
    }
}

fn size() -> (u16, u16) {
    terminal_size().map_or((WIDTH_WITHOUT_TERMINAL, 24), |(Width(w), Height(h))| (w, h))
}

#[cfg(test)]
mod tests {
    use thalweg_dataflow::Watermark;
    use thalweg_state::Epoch;

    use super::*;

    #[test]
    fn a_line_of_progress_shows_checkpoints_and_stays_one_line() {
        let progress = |newest: Option<u64>, failing| Progress {
            rows_read: 0,
            rows_written: 0,
            watermark: Watermark::START,
            epochs_complete: 0,
            newest: newest.map(Epoch),
            failing,
        };
        let shown =
            [(None, 0), (Some(4), 0), (Some(4), 1), (None, 2)].map(|(e, f)| checkpoint_words(progress(e, f)));
        assert_eq!(
            shown,
            ["", ", epoch 4", ", epoch 4, 1 checkpoint failed since", ", 2 checkpoints failed"]
        );
        let mut screen = Screen::new(true);
        screen.colors = false;
        let width = usize::from(size().0);
        let line = screen.with_checkpoints("x".repeat(2 * width), progress(Some(4), 1));
        assert_eq!(line.chars().count(), width - 1);
        assert!(line.ends_with("xx, epoch 4, 1 checkpoint failed since"), "{line}");
        screen.colors = true;
        assert!(screen.with_checkpoints(String::new(), progress(None, 1)).contains("\x1b[1;31m"));
    }
}
