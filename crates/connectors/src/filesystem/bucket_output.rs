//! Objects of a bucket that become visible whole.
//!
//! Parts leave as they fill; completing the upload makes the object. S3 has no
//! way to ask which uploads a job began, so each has a note beside it, a small
//! object that names it: who finds a note that nobody needs aborts its upload.

use std::sync::Arc;

use futures_util::TryStreamExt;
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Error, Result};
use tokio::task::JoinHandle;

use super::bucket::{failed, path, stat};
use super::output::{Occasion, Prepared, Upload, lost};
use crate::plain_spec;

/// The most parts that S3 takes.
const PARTS_MAX: usize = 10_000;

/// What a note says.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    file: String,
    upload: String,
}

/// An upload that goes on.
pub(super) struct BucketOutput {
    store: Arc<AmazonS3>,
    note: String,
    file: String,
    upload: String,
    part_bytes: usize,
    /// Not yet a whole part.
    buffer: Vec<u8>,
    parts: Vec<String>,
    /// The part that is on its way: one, while the next fills.
    running: Option<JoinHandle<std::result::Result<PartId, StoreError>>>,
    bytes: u64,
}

impl BucketOutput {
    pub(super) async fn begin(
        store: &Arc<AmazonS3>,
        note: String,
        file: String,
        part_bytes: usize,
    ) -> Result<Self> {
        let upload =
            store.create_multipart(&path(&file)?).await.map_err(|e| failed("write to", &file, &e))?;
        let content = plain_spec::encode(&Note { file: file.clone(), upload: upload.clone() })?;
        let noted = store.put(&path(&note)?, PutPayload::from(content)).await;
        noted.map_err(|e| failed("write to", &note, &e))?;
        let (store, buffer, parts) = (Arc::clone(store), Vec::new(), Vec::new());
        Ok(Self { store, note, file, upload, part_bytes, buffer, parts, running: None, bytes: 0 })
    }

    pub(super) async fn append(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        self.bytes += bytes.len() as u64;
        self.buffer.append(bytes);
        while self.buffer.len() >= self.part_bytes {
            let rest = self.buffer.split_off(self.part_bytes);
            let part = std::mem::replace(&mut self.buffer, rest);
            self.send(part).await?;
        }
        Ok(())
    }

    /// Sends a part when the one before has arrived.
    async fn send(&mut self, part: Vec<u8>) -> Result<()> {
        self.arrived().await?;
        let (store, key, upload) = (Arc::clone(&self.store), path(&self.file)?, self.upload.clone());
        let index = self.parts.len();
        let sent = async move { store.put_part(&key, &upload, index, PutPayload::from(part)).await };
        self.running = Some(tokio::spawn(sent));
        Ok(())
    }

    async fn arrived(&mut self) -> Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        let part = running.await.map_err(|e| Error::internal("sending a part panicked").because(e))?;
        self.parts.push(part.map_err(|e| failed("write to", &self.file, &e))?.content_id);
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        // One is on its way, and one is left for the end.
        self.parts.len() + 2 >= PARTS_MAX
    }

    pub(super) async fn finish(mut self) -> Result<Prepared> {
        if !self.buffer.is_empty() || (self.parts.is_empty() && self.running.is_none()) {
            let last = std::mem::take(&mut self.buffer);
            self.send(last).await?;
        }
        self.arrived().await?;
        let upload = Some(Upload { id: self.upload, parts: self.parts });
        Ok(Prepared { hidden: self.note, file: self.file, bytes: self.bytes, upload })
    }
}

/// Completes the upload. Stores differ in what they say when that was done before, so the object is looked at.
pub(super) async fn publish(store: &AmazonS3, prepared: &Prepared, occasion: Occasion) -> Result<()> {
    match occasion {
        Occasion::Restore if stat(store, &prepared.hidden).await?.is_none() => {
            return published(store, prepared).await;
        }
        Occasion::Restore | Occasion::Commit => {}
    }
    let upload =
        prepared.upload.as_ref().ok_or_else(|| Error::internal("a file of a bucket has no upload"))?;
    let parts = upload.parts.iter().map(|id| PartId { content_id: id.clone() }).collect();
    if let Err(error) = store.complete_multipart(&path(&prepared.file)?, &upload.id, parts).await {
        match (stat(store, &prepared.file).await?, error) {
            (Some(found), _) if found.stamp.bytes == prepared.bytes => {}
            (_, StoreError::NotFound { .. }) => return Err(lost(prepared, "its upload is gone")),
            (_, error) => return Err(failed("make visible", &prepared.file, &error)),
        }
    }
    delete(store, &prepared.hidden).await
}

/// The note has gone, so the object was made before; whoever reads it may have taken it away.
async fn published(store: &AmazonS3, prepared: &Prepared) -> Result<()> {
    let found = stat(store, &prepared.file).await?;
    if found.is_none_or(|found| found.stamp.bytes != prepared.bytes) {
        tracing::warn!(
            file = prepared.file,
            "a file that was made visible has been changed or removed since"
        );
    }
    Ok(())
}

/// Aborts the uploads that are noted in `folder`, but for those of the notes named.
pub(super) async fn discard_but(store: &AmazonS3, folder: &str, keep: &[String]) -> Result<()> {
    let mut notes = store.list(Some(&path(folder)?));
    while let Some(meta) = notes.try_next().await.map_err(|e| failed("list", folder, &e))? {
        let note = meta.location.to_string();
        if keep.contains(&note) {
            continue;
        }
        let trouble = |e: &StoreError| failed("tidy", &note, e);
        let content = match store.get(&meta.location).await {
            Ok(got) => got.bytes().await.map_err(|e| trouble(&e))?,
            Err(StoreError::NotFound { .. }) => continue,
            Err(error) => return Err(trouble(&error)),
        };
        let noted: Note = plain_spec::decode(&content)?;
        match store.abort_multipart(&path(&noted.file)?, &noted.upload).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(trouble(&error)),
        }
        delete(store, &note).await?;
    }
    Ok(())
}

async fn delete(store: &AmazonS3, key: &str) -> Result<()> {
    match store.delete(&path(key)?).await {
        Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(failed("tidy", key, &error)),
    }
}
