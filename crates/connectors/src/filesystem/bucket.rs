//! Files in a bucket of S3, or of what speaks its language.

use std::ops::Range;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{Error as StoreError, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt};
use thalweg_dataflow::{Code, Error, Result};

use super::location::Location;
use super::store::{FILES_MAX, Found, Stamp, changed, is_hidden};

/// A client of the bucket: what the table says, and where it says nothing what the environment does.
pub(super) fn open(bucket: &str, access: &[(String, String)]) -> Result<AmazonS3> {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    for (name, value) in access {
        let key: AmazonS3ConfigKey =
            name.parse().map_err(|e| Error::internal(format!("'{name}' is no option of S3")).because(e))?;
        builder = builder.with_config(key, value);
    }
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    builder.build().map_err(|e| {
        Error::new(Code::InvalidOption, format!("the bucket '{bucket}' cannot be reached"))
            .because(e)
            .with_help(
                "set the storage.… options of the table, or AWS_REGION, AWS_ACCESS_KEY_ID and their like",
            )
    })
}

/// A key as the client wants it.
pub(super) fn path(key: &str) -> Result<Path> {
    Path::parse(key).map_err(|e| Error::new(Code::Io, format!("'{key}' is no key of a bucket")).because(e))
}

/// The files of a location, in any order.
pub(super) async fn list(store: &AmazonS3, location: &Location) -> Result<Vec<Found>> {
    let folder = path(&location.path)?;
    let mut listed = store.list(Some(&folder).filter(|folder| !folder.as_ref().is_empty()));
    let mut all = Vec::new();
    while let Some(meta) = listed.try_next().await.map_err(|e| failed("list", &location.path, &e))? {
        let name = meta.location.as_ref();
        let begins = location.begins.as_ref().is_none_or(|begins| name.starts_with(begins));
        // Consoles make folders of empty objects whose keys end with a slash.
        if begins && !is_hidden(&location.path, name) && !(meta.size == 0 && name.ends_with('/')) {
            all.push(found(&meta));
        }
        if all.len() > FILES_MAX {
            return Ok(all);
        }
    }
    if all.is_empty() && location.begins.is_none() && !location.path.is_empty() {
        all.extend(stat(store, &location.path).await?);
    }
    Ok(all)
}

fn found(meta: &ObjectMeta) -> Found {
    let version = match &meta.e_tag {
        Some(tag) => tag.clone(),
        None => meta.last_modified.timestamp_micros().to_string(),
    };
    Found { name: meta.location.to_string(), stamp: Stamp { bytes: meta.size, version } }
}

pub(super) async fn stat(store: &AmazonS3, name: &str) -> Result<Option<Found>> {
    match store.head(&path(name)?).await {
        Ok(meta) => Ok(Some(found(&meta))),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(failed("look at", name, &error)),
    }
}

/// These bytes of this version.
pub(super) async fn read(store: &AmazonS3, file: &Found, range: Range<u64>) -> Result<Bytes> {
    let options = GetOptions::new().with_range(Some(range));
    let read = async {
        let got = store.get_opts(&path(&file.name)?, options).await;
        let got = got.map_err(|error| match error {
            StoreError::NotFound { .. } => changed(&file.name, "it is gone"),
            error => failed("read", &file.name, &error),
        })?;
        let now = found(&got.meta).stamp;
        if now != file.stamp {
            return Err(changed(&file.name, "another version lies there"));
        }
        got.bytes().await.map_err(|e| failed("read", &file.name, &e))
    };
    read.await
}

/// An error of the store, with the key and what may help.
pub(super) fn failed(deed: &str, key: &str, error: &StoreError) -> Error {
    let help = match error {
        StoreError::NotFound { .. } => "check option 'path' and that the bucket exists",
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            "check the credentials: storage.aws_access_key_id, AWS_ACCESS_KEY_ID and their like"
        }
        _ => "check that the store can be reached",
    };
    let code = if matches!(error, StoreError::NotFound { .. }) { Code::FileNotFound } else { Code::Io };
    Error::new(code, format!("cannot {deed} '{key}'")).because(error).with_help(help)
}
