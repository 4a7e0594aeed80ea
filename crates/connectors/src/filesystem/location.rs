//! Where files lie, as plain data: a folder, a file, or all names that begin alike.
//!
//! ```text
//! data/in   file:///data/in        a folder with all below it, or one file
//! data/in/2026-*                   the names that begin with it
//! s3://bucket/in                   the same within a bucket; s3::http://host:9000/bucket/in at another place
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};
use thalweg_dataflow::options::Options;
use thalweg_dataflow::{Code, Error, Result};

/// A place for files.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Location {
    pub(super) place: Place,
    /// The folder or file, without the `/` behind it; of a beginning, the folder that it is in.
    pub(super) path: String,
    /// What full names begin with; none: all that is in the folder, or the file itself.
    pub(super) begins: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    Local,
    Bucket {
        bucket: String,
        /// What the table says of access, under the names that `object_store` has for them. May hold secrets.
        access: Vec<(String, String)>,
    },
}

impl Location {
    /// Takes `path`, and of a bucket how it is reached.
    pub(super) fn take(options: &mut Options) -> Result<Self> {
        let url = options.require_text("path")?;
        let access = take_access(options);
        let (place, path) = match Scheme::of(&url)? {
            Scheme::Local(path) => (Place::Local, path.to_owned()),
            Scheme::S3 { endpoint, rest } => {
                let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() {
                    return Err(invalid(&url, "it names no bucket"));
                }
                let mut access = access;
                access.extend(endpoint.map(|endpoint| ("aws_endpoint".to_owned(), endpoint)));
                (Place::Bucket { bucket: bucket.to_owned(), access }, path.to_owned())
            }
        };
        if path.is_empty() && matches!(place, Place::Local) {
            return Err(invalid(&url, "it is empty"));
        }
        if path[..path.len().saturating_sub(1)].contains('*') {
            return Err(invalid(&url, "'*' can only be its last character"));
        }
        Ok(Self::split(place, &path))
    }

    fn split(place: Place, path: &str) -> Self {
        let Some(begins) = path.strip_suffix('*') else {
            let end = path.trim_end_matches('/');
            let path = if end.is_empty() && path.starts_with('/') { "/" } else { end };
            return Self { place, path: path.to_owned(), begins: None };
        };
        let (folder, begins) = match (begins.rsplit_once('/'), &place) {
            (Some((folder, _)), _) => (folder.to_owned(), begins.to_owned()),
            (None, Place::Local) => (".".to_owned(), format!("./{begins}")),
            (None, Place::Bucket { .. }) => (String::new(), begins.to_owned()),
        };
        Self { place, path: folder, begins: Some(begins) }
    }
}

/// How a path is to be read.
enum Scheme<'a> {
    Local(&'a str),
    S3 { endpoint: Option<String>, rest: &'a str },
}

impl<'a> Scheme<'a> {
    fn of(url: &'a str) -> Result<Self> {
        if let Some(rest) = url.strip_prefix("s3://").or_else(|| url.strip_prefix("s3a://")) {
            return Ok(Scheme::S3 { endpoint: None, rest });
        }
        if let Some(at) = url.strip_prefix("s3::") {
            let (scheme, rest) = at.split_once("://").ok_or_else(|| invalid(url, "it names no endpoint"))?;
            let (host, rest) = rest.split_once('/').ok_or_else(|| invalid(url, "it names no bucket"))?;
            return Ok(Scheme::S3 { endpoint: Some(format!("{scheme}://{host}")), rest });
        }
        let path = url.strip_prefix("file://").unwrap_or(url);
        match path.split_once("://") {
            Some((scheme, _)) => Err(invalid(url, &format!("'{scheme}' is not supported"))),
            None => Ok(Scheme::Local(path)),
        }
    }
}

fn invalid(url: &str, why: &str) -> Error {
    Error::new(Code::InvalidOption, format!("option 'path' is '{url}', which is not a place for files"))
        .because(why)
        .with_help("write a path, 'file:///path', 's3://bucket/path' or 's3::http://host:port/bucket/path'")
}

/// What a table may say of a bucket; where it says nothing the environment does (`AWS_REGION`, …).
fn take_access(options: &mut Options) -> Vec<(String, String)> {
    const NAMES: [&str; 7] = [
        "storage.aws_access_key_id",
        "storage.aws_secret_access_key",
        "storage.aws_session_token",
        "storage.aws_region",
        "storage.aws_endpoint",
        "storage.aws_allow_http",
        "storage.aws_virtual_hosted_style_request",
    ];
    let short = |name: &'static str| name.strip_prefix("storage.").unwrap_or(name).to_owned();
    NAMES.iter().filter_map(|name| Some((short(name), options.take_text(name)?))).collect()
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Place::Bucket { bucket, .. } = &self.place {
            write!(f, "s3://{bucket}/")?;
        }
        match &self.begins {
            Some(begins) => write!(f, "{begins}*"),
            None => f.write_str(&self.path),
        }
    }
}

/// Keeps secrets out of logs.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_dataflow::options::OptionValue;

    fn location(path: &str) -> Result<Location> {
        let option = |(name, value): (&str, &str)| {
            (name.to_owned(), OptionValue { value: value.to_owned(), span: None })
        };
        let given = [("path", path), ("storage.aws_secret_access_key", "hush")];
        Location::take(&mut Options::new(given.map(option)))
    }

    #[test]
    fn paths_name_folders_files_and_beginnings() {
        let cases = [
            ("/data/in/", "/data/in", None, "/data/in"),
            ("file:///data/in", "/data/in", None, "/data/in"),
            ("/", "/", None, "/"),
            ("in/part-*", "in", Some("in/part-"), "in/part-*"),
            ("part-*", ".", Some("./part-"), "./part-*"),
            ("s3://b/in/", "in", None, "s3://b/in"),
            ("s3://b", "", None, "s3://b/"),
            ("s3a://b/x-*", "", Some("x-"), "s3://b/x-*"),
            ("s3::http://localhost:9000/b/in", "in", None, "s3://b/in"),
        ];
        for (text, path, begins, shown) in cases {
            let location = location(text).unwrap();
            assert_eq!((location.path.as_str(), location.begins.as_deref()), (path, begins), "{text}");
            assert_eq!(location.to_string(), shown);
            assert!(!format!("{location:?}").contains("hush"));
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in ["", "gs://b/x", "s3://", "s3::localhost/b", "in/*/x"] {
            assert_eq!(location(text).unwrap_err().code(), Code::InvalidOption, "{text}");
        }
    }
}
