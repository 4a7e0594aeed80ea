//! Rows to files, each of which appears once, whole.
//!
//! A file never spans a checkpoint: at every barrier all open files end, and
//! they become visible when the epoch is complete. Within an epoch a file ends
//! earlier when it is large or old enough, or when rows of too many partitions
//! come at once: then the one that got no rows for longest ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready, try_join_all};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::options::Options;
use thalweg_dataflow::sink::{Close, Committer, SinkGuarantee};
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Committable, Registry, Result, Sink, SinkSpec, Spec};
use thalweg_state::Epoch;

use super::committer::{FilesCommitter, PreparedFiles};
use super::encoding::{Encoded, FileEncoder, FileWriting};
use super::location::Location;
use super::output::{Output, Prepared, Target, below, hidden_folder, owner};
use super::partitions::{Partitioning, escape};
use crate::plain_spec;

const KIND: &str = "filesystem_sink";

/// Bytes that are gathered for a file before they leave.
const BUFFER_BYTES: usize = 1 << 18;

/// The files that a subtask has open at a time, unless `partitioning.open_files_max` says otherwise.
const OPEN_FILES_MAX: u64 = 64;

/// The size at which a file ends, unless `rolling_policy.file_size` says otherwise.
const FILE_BYTES: u64 = 1 << 30;

/// What S3 takes as a part, but for the last one.
const PART_BYTES_MIN: u64 = 5 << 20;

/// The size of a part, unless `multipart.target_part_size` says otherwise. Two of each open file are in memory.
const PART_BYTES: u64 = 8 << 20;

pub(super) fn register(registry: &mut Registry) {
    registry.add_sink(KIND, |bytes| Ok(Arc::new(plain_spec::decode::<FilesSinkSpec>(bytes)?)));
}

/// How files are cut and called, as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SinkOptions {
    pub(super) partitioning: Partitioning,
    rolling: Rolling,
    prefix: String,
    suffix: String,
    open_files_max: usize,
    part_bytes: usize,
}

/// When a file ends before the barrier does it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rolling {
    file_bytes: u64,
    /// Since its first row.
    interval: Option<Duration>,
    /// Since its last row.
    inactivity: Option<Duration>,
}

impl SinkOptions {
    pub(super) fn take(options: &mut Options) -> Result<Self> {
        let rolling = Rolling {
            file_bytes: options.take_size("rolling_policy.file_size", 1)?.unwrap_or(FILE_BYTES),
            interval: options.take_duration("rolling_policy.interval")?,
            inactivity: options.take_duration("rolling_policy.inactivity_interval")?,
        };
        let mut part_of_name = |name| {
            let mut escaped = String::new();
            escape(&options.take_text(name).unwrap_or_default(), &mut escaped);
            escaped
        };
        let (prefix, suffix) = (part_of_name("filename.prefix"), part_of_name("filename.suffix"));
        let open_files_max =
            options.take_integer("partitioning.open_files_max", 1)?.unwrap_or(OPEN_FILES_MAX);
        let part_bytes =
            options.take_size("multipart.target_part_size", PART_BYTES_MIN)?.unwrap_or(PART_BYTES);
        Ok(Self {
            partitioning: Partitioning::take(options)?,
            rolling,
            prefix,
            suffix,
            open_files_max: open_files_max as usize,
            part_bytes: part_bytes as usize,
        })
    }
}

/// The sink as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FilesSinkSpec {
    pub(super) table: String,
    pub(super) location: Location,
    pub(super) writing: FileWriting,
    pub(super) options: SinkOptions,
}

impl Spec for FilesSinkSpec {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        plain_spec::encode(self)
    }

    /// What was prepared is published in one place.
    fn fingerprint(&self) -> String {
        format!("{KIND} '{}'", self.location)
    }

    fn label(&self) -> String {
        format!("'{}' {}", self.location, self.writing.format_name())
    }
}

impl SinkSpec for FilesSinkSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(FilesSink {
            encoder: self.writing.encoder()?,
            target: Target::open(&self.location, self.options.part_bytes)?,
            hidden: hidden_folder(&self.location, &cx.job, &self.table),
            names: Names::new(self, &cx),
            spec: self.clone(),
            cx,
            open: BTreeMap::new(),
            prepared: Vec::new(),
        }))
    }

    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(FilesCommitter::new(self.location.clone(), self.table.clone()))
    }

    fn accepts(&self, input: RowKind) -> bool {
        self.writing.accepts(input)
    }

    fn parallelism_max(&self) -> Option<u32> {
        None
    }

    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::ExactlyOnce
    }
}

/// Names that no file had before: of the job, its life, the subtask, when that began, and a count.
struct Names {
    before: String,
    behind: String,
    count: u64,
}

impl Names {
    fn new(spec: &FilesSinkSpec, cx: &PieceContext) -> Self {
        let owner = owner(&cx.job, &spec.table);
        let (life, subtask, began) = (cx.incarnation.0, cx.settings.subtask.0, (cx.clock)().0);
        let before = format!("{}{owner}-{life}-{subtask}-{began:x}", spec.options.prefix);
        let behind = format!("{}.{}", spec.options.suffix, spec.writing.extension());
        Self { before, behind, count: 0 }
    }

    fn next(&mut self) -> String {
        self.count += 1;
        format!("{}-{:06}{}", self.before, self.count, self.behind)
    }
}

struct FilesSink {
    spec: FilesSinkSpec,
    cx: PieceContext,
    encoder: FileEncoder,
    target: Target,
    /// The folder of hidden files.
    hidden: String,
    names: Names,
    /// One for each partition that got rows since the barrier.
    open: BTreeMap<String, OpenFile>,
    /// Files that ended since the barrier.
    prepared: Vec<Prepared>,
}

struct OpenFile {
    output: Output,
    encoded: Encoded,
    /// Bytes that have not left yet.
    buffer: Vec<u8>,
    /// Bytes that have left.
    sent: u64,
    /// When its first and its last row came, in nanoseconds of the wall clock.
    began: i64,
    touched: i64,
}

impl OpenFile {
    async fn send(&mut self) -> Result<()> {
        self.sent += self.buffer.len() as u64;
        self.output.append(&mut self.buffer).await
    }

    async fn finish(mut self) -> Result<Prepared> {
        self.encoded.finish(&mut self.buffer)?;
        self.output.append(&mut self.buffer).await?;
        self.output.finish().await
    }

    /// Whether it is large or old enough.
    fn is_over(&self, rolling: &Rolling, now: i64) -> bool {
        let older = |since: i64, limit: Option<Duration>| {
            limit.is_some_and(|limit| i128::from(now) - i128::from(since) >= limit.as_nanos() as i128)
        };
        let bytes = self.sent + self.buffer.len() as u64 + self.encoded.held_bytes() as u64;
        bytes >= rolling.file_bytes
            || older(self.began, rolling.interval)
            || older(self.touched, rolling.inactivity)
            || self.output.is_full()
    }
}

impl FilesSink {
    async fn take(&mut self, records: RecordBatch) -> Result<()> {
        for (partition, rows) in self.spec.options.partitioning.split(&records)? {
            self.put(partition, &rows).await?;
        }
        self.cx.counters.taken.add(records.num_rows());
        self.roll().await
    }

    /// Writes rows to the open file of a partition.
    async fn put(&mut self, partition: String, rows: &RecordBatch) -> Result<()> {
        let now = (self.cx.clock)().0;
        if !self.open.contains_key(&partition) {
            while self.open.len() >= self.spec.options.open_files_max {
                self.end_oldest().await?;
            }
            let file = self.begin(&partition, now).await?;
            self.open.insert(partition.clone(), file);
        }
        let Some(file) = self.open.get_mut(&partition) else { return Ok(()) };
        self.encoder.write(&mut file.encoded, rows, &mut file.buffer)?;
        file.touched = now;
        if file.buffer.len() >= BUFFER_BYTES { file.send().await } else { Ok(()) }
    }

    async fn begin(&mut self, partition: &str, now: i64) -> Result<OpenFile> {
        let name = self.names.next();
        let hidden = format!("{}/{name}", self.hidden);
        let file = below(&self.spec.location, &format!("{partition}{name}"));
        let output = self.target.begin(hidden, file).await?;
        let encoded = self.encoder.begin()?;
        Ok(OpenFile { output, encoded, buffer: Vec::new(), sent: 0, began: now, touched: now })
    }

    /// Ends the file that got no rows for longest.
    async fn end_oldest(&mut self) -> Result<()> {
        let oldest = self.open.iter().min_by_key(|(_, file)| file.touched).map(|(name, _)| name.clone());
        if let Some(file) = oldest.and_then(|oldest| self.open.remove(&oldest)) {
            self.prepared.push(file.finish().await?);
        }
        Ok(())
    }

    /// Ends the files that are large or old enough.
    async fn roll(&mut self) -> Result<()> {
        let now = (self.cx.clock)().0;
        let rolling = &self.spec.options.rolling;
        let over: Vec<_> = self.open.extract_if(.., |_, file| file.is_over(rolling, now)).collect();
        for (_, file) in over {
            self.prepared.push(file.finish().await?);
        }
        Ok(())
    }

    async fn end_all(&mut self) -> Result<Option<Committable>> {
        let ended = std::mem::take(&mut self.open).into_values().map(OpenFile::finish);
        let ended = try_join_all(ended).await?;
        let mut files = std::mem::take(&mut self.prepared);
        files.extend(ended);
        if files.is_empty() {
            return Ok(None);
        }
        PreparedFiles { folder: self.hidden.clone(), files }.committable().map(Some)
    }
}

impl Sink for FilesSink {
    fn open(&mut self) -> BoxFuture<'_, Result<()>> {
        async { self.target.make_ready(&self.spec.location, &self.hidden).await }.boxed()
    }

    fn write(&mut self, records: RecordBatch) -> BoxFuture<'_, Result<()>> {
        self.take(records).boxed()
    }

    /// Nobody sees a file before its epoch is complete, so nothing has to leave earlier.
    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        self.roll().boxed()
    }

    fn prepare(&mut self, _: Epoch) -> BoxFuture<'_, Result<Option<Committable>>> {
        self.end_all().boxed()
    }

    fn close(&mut self, _: Close) -> BoxFuture<'_, Result<()>> {
        ready(Ok(())).boxed()
    }
}
