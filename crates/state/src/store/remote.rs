//! A store in an object storage service: S3, through `object_store`.
//!
//! A create is a PUT with `If-None-Match: *`. Its answers prove little: a
//! repeated PUT that had landed is told that the object exists, and a conflict
//! is told the same although nothing may have been written. So "exists" is only
//! passed on when the object is there.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientConfigKey, Error as ServiceError, GetOptions, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, RetryConfig,
};

use super::{
    Creation, Hold, Listed, OBJECT_BYTES_MAX, Store, StoreError, check_folder, check_name, without_query,
};

/// A request that takes longer has failed.
const REQUEST_TIMEOUT: &str = "30 seconds";
/// A connection that is not made by then has failed.
const CONNECT_TIMEOUT: &str = "5 seconds";
/// How often a request is repeated before the caller is told.
const RETRIES_MAX: usize = 2;
/// After this time no request is repeated.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

/// Objects below a prefix of a bucket.
#[derive(Debug)]
pub struct RemoteStore {
    service: Arc<dyn ObjectStore>,
    /// Empty, or ends with a slash.
    prefix: String,
    description: String,
}

impl RemoteStore {
    /// The objects of `service` below `prefix`.
    pub fn new(service: Arc<dyn ObjectStore>, prefix: &str, description: impl Into<String>) -> Self {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { service, prefix, description: description.into() }
    }

    /// The store at `BUCKET/PREFIX?option=value&…`, what follows `s3://` in its URL.
    pub fn s3(location: &str) -> Result<Self, StoreError> {
        Self::s3_from(AmazonS3Builder::from_env(), location)
    }

    pub(super) fn s3_from(builder: AmazonS3Builder, location: &str) -> Result<Self, StoreError> {
        let refuse = |reason: String| StoreError::Location {
            location: format!("s3://{}", without_query(location)),
            reason,
        };
        let (path, query) = location.split_once('?').unwrap_or((location, ""));
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        if bucket.is_empty() {
            return Err(refuse("it names no bucket".to_owned()));
        }
        check_folder(prefix.trim_matches('/')).map_err(|e| refuse(e.to_string()))?;
        let mut builder = builder
            .with_bucket_name(bucket)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_config(client(ClientConfigKey::Timeout), REQUEST_TIMEOUT)
            .with_config(client(ClientConfigKey::ConnectTimeout), CONNECT_TIMEOUT)
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: RETRIES_MAX,
                retry_timeout: RETRY_TIMEOUT,
            });
        for option in query.split('&').filter(|option| !option.is_empty()) {
            builder = with_option(builder, option).map_err(refuse)?;
        }
        let service = builder.build().map_err(|e| refuse(e.to_string()))?;
        Ok(Self::new(Arc::new(service), prefix, format!("s3://{path}")))
    }

    fn path(&self, name: &str) -> Result<Path, StoreError> {
        check_name(name)?;
        let refuse =
            |_| StoreError::Name { name: name.to_owned(), reason: "the service allows no such path" };
        Path::parse(format!("{}{name}", self.prefix)).map_err(refuse)
    }

    async fn create_object(&self, name: &str, bytes: Bytes) -> Result<Creation, StoreError> {
        let path = self.path(name)?;
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.service.put_opts(&path, bytes.into(), options).await {
            Ok(_) => Ok(Creation::Created),
            Err(ServiceError::AlreadyExists { .. } | ServiceError::Precondition { .. }) => {
                match self.service.head(&path).await {
                    Ok(_) => Ok(Creation::Exists),
                    Err(ServiceError::NotFound { .. }) => Err(StoreError::Unavailable {
                        reason: format!("'{name}' was said to exist and does not"),
                    }),
                    Err(e) => Err(failure("look for", name, &e)),
                }
            }
            Err(e) => Err(failure("create", name, &e)),
        }
    }

    async fn read_object(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        let path = self.path(name)?;
        let answer = match self.service.get_opts(&path, GetOptions::default()).await {
            Ok(answer) => answer,
            Err(ServiceError::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(failure("read", name, &e)),
        };
        if answer.meta.size > OBJECT_BYTES_MAX {
            return Err(StoreError::damaged(name, format!("it is larger than {OBJECT_BYTES_MAX} bytes")));
        }
        answer.bytes().await.map(Some).map_err(|e| failure("read", name, &e))
    }

    async fn list_objects(&self, folder: &str) -> Result<Vec<Listed>, StoreError> {
        check_folder(folder)?;
        let whole = format!("{}{folder}", self.prefix);
        let below = Path::from(whole.as_str());
        let metas: Vec<_> =
            self.service.list(Some(&below)).try_collect().await.map_err(|e| failure("list", folder, &e))?;
        let mut listed: Vec<_> = metas
            .iter()
            .filter_map(|meta| {
                let name = meta.location.as_ref().strip_prefix(&self.prefix)?.to_owned();
                check_name(&name).is_ok().then_some(Listed { name, bytes: meta.size })
            })
            .collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    async fn delete_object(&self, name: &str) -> Result<(), StoreError> {
        match self.service.delete(&self.path(name)?).await {
            Ok(()) | Err(ServiceError::NotFound { .. }) => Ok(()),
            Err(e) => Err(failure("delete", name, &e)),
        }
    }
}

impl Store for RemoteStore {
    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Creation, StoreError>> {
        self.create_object(name, bytes).boxed()
    }

    fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        self.read_object(name).boxed()
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        self.list_objects(folder).boxed()
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.delete_object(name).boxed()
    }

    fn hold<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Hold, StoreError>> {
        async move { check_folder(folder).map(|()| Hold::Lease) }.boxed()
    }

    fn describe(&self) -> String {
        self.description.clone()
    }
}

fn client(key: ClientConfigKey) -> AmazonS3ConfigKey {
    AmazonS3ConfigKey::Client(key)
}

fn with_option(builder: AmazonS3Builder, option: &str) -> Result<AmazonS3Builder, String> {
    let (key, value) = option.split_once('=').ok_or_else(|| format!("option '{option}' has no value"))?;
    Ok(match key {
        "endpoint" => builder.with_endpoint(value),
        "region" => builder.with_region(value),
        "allow_http" => {
            let allowed =
                value.parse().map_err(|_| format!("'allow_http' is 'true' or 'false', not '{value}'"))?;
            builder.with_allow_http(allowed)
        }
        _ => return Err(format!("option '{key}' is not known; 'endpoint', 'region' and 'allow_http' are")),
    })
}

fn failure(what: &str, name: &str, error: &ServiceError) -> StoreError {
    let reason = format!("cannot {what} '{name}': {}", words(error));
    match error {
        ServiceError::PermissionDenied { .. } | ServiceError::Unauthenticated { .. } => {
            StoreError::Denied { reason }
        }
        ServiceError::NotImplemented { .. } | ServiceError::NotSupported { .. } => {
            StoreError::Unfit { reason }
        }
        // The service has kinds that it may add to; what is not known may pass.
        _ => StoreError::Unavailable { reason },
    }
}

/// The error and all that caused it, each said once.
fn words(error: &ServiceError) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_words = inner.to_string();
        if !said.contains(&inner_words) {
            said = format!("{said}: {inner_words}");
        }
        cause = inner.source();
    }
    said
}
