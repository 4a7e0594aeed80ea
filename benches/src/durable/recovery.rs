//! From the death of `thalweg run` to the first row of its next life.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use thalweg_state::store::{LocalStore, Store};
use thalweg_state::{Epoch, History, JobId, Manifest};

use super::kept::control;
use super::{Size, median, millis};

const KEYS: usize = 2_000_000;
const ROWS_PER_SECOND: usize = 400_000;
/// How long a checkpoint may take that something waits for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked for it.
const LOOK: Duration = Duration::from_millis(20);

/// Kills a process with about 100 MB of state, and starts it again at once.
pub(crate) fn recovery(size: Size) -> Result<()> {
    let place = Place::new(size)?;
    let mut life = place.begin()?;
    life.first_line()?;
    let fill = Duration::from_secs_f64(size.of(KEYS) as f64 / size.of(ROWS_PER_SECOND) as f64 * 1.5);
    std::thread::sleep(fill);
    let mut manifest = place.checkpoint_after(place.newest()?.map(|manifest| manifest.epoch))?;
    let (mut from_kill, mut from_start) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        life.child.kill()?;
        let killed = Instant::now();
        life.child.wait()?;
        let started = Instant::now();
        life = place.begin()?;
        life.first_line()?;
        from_kill.push(killed.elapsed());
        from_start.push(started.elapsed());
        manifest = place.checkpoint_after(Some(manifest.epoch))?;
    }
    life.child.kill()?;
    life.child.wait()?;
    let longest = from_kill.iter().max().copied().unwrap_or_default();
    println!(
        "recovery, kill -9 with {:.0} MB of state, {} keys: first row {:.0} ms after the start, {:.0} ms after the \
         kill (longest {:.0} ms, {} times)",
        manifest.bytes() as f64 / 1e6,
        size.of(KEYS),
        millis(median(&mut from_start)),
        millis(median(&mut from_kill)),
        millis(longest),
        from_kill.len(),
    );
    Ok(())
}

/// The binary of the product: named by `THALWEG`, or beside this one.
pub(super) fn binary() -> Result<PathBuf> {
    if let Ok(named) = std::env::var("THALWEG") {
        return Ok(named.into());
    }
    let own = std::env::current_exe()?;
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join("thalweg"));
    beside
        .into_iter()
        .find(|path| path.is_file())
        .context("there is no 'thalweg' beside this: build thalweg-cli")
}

/// A script and its state.
struct Place {
    binary: PathBuf,
    folder: tempfile::TempDir,
    script: String,
    history: History,
}

const JOB: &str = "recovery";

impl Place {
    fn new(size: Size) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let store: Arc<dyn Store> = Arc::new(LocalStore::new(state(folder.path())));
        Ok(Self {
            binary: binary()?,
            script: script(size),
            history: History::new(store, JobId::new(JOB)),
            folder,
        })
    }

    fn begin(&self) -> Result<Life> {
        let mut child = Command::new(&self.binary)
            .args(["run", "-e", &self.script, "--name", JOB, "--checkpoint-interval", "1s", "--state-dir"])
            .arg(state(self.folder.path()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("a pipe")?);
        let (say, first) = sync_channel(1);
        std::thread::spawn(move || {
            let mut line = String::new();
            // A process that is killed ends its output.
            if lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                let _ = say.send(line);
            }
            let _ = std::io::copy(&mut lines, &mut std::io::sink());
        });
        Ok(Life { child, first })
    }

    fn newest(&self) -> Result<Option<Manifest>> {
        Ok(control()?.block_on(self.history.newest_complete())?)
    }

    /// Waits for a checkpoint behind an epoch.
    fn checkpoint_after(&self, epoch: Option<Epoch>) -> Result<Manifest> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            // What was listed may have been collected before it is read.
            if let Ok(Some(manifest)) = self.newest()
                && Some(manifest.epoch) > epoch
            {
                return Ok(manifest);
            }
            std::thread::sleep(LOOK);
        }
        bail!("no checkpoint in {PATIENCE:?}")
    }
}

/// A process, and the first line that it prints.
struct Life {
    child: Child,
    first: Receiver<String>,
}

impl Life {
    fn first_line(&self) -> Result<String> {
        self.first.recv_timeout(PATIENCE).context("the process printed nothing")
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // One that is gone already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// Long keys, so that a group is about 50 bytes of a checkpoint; one change in 64 is printed.
fn script(size: Size) -> String {
    format!(
        "CREATE TABLE n WITH (connector = 'impulse', event_rate = '{}');
         CREATE TABLE s WITH (connector = 'stdout', format = 'debezium_json');
         CREATE VIEW groups AS SELECT md5(CAST(counter % {} AS TEXT)) AS k, count(*) AS n, sum(counter) AS total
         FROM n GROUP BY 1;
         INSERT INTO s SELECT k, n, total FROM groups WHERE total % 64 = 0;",
        size.of(ROWS_PER_SECOND),
        size.of(KEYS),
    )
}
