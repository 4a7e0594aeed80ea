//! An S3 service for tests: moto's server, started by `scripts/moto`, stopped when dropped.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use object_store::aws::AmazonS3Builder;

use crate::store::RemoteStore;

/// A server with one bucket, called `bucket`.
pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts one, or fails the test: it is never skipped.
    pub(crate) fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/moto");
        let mut child = Command::new(&script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {}: {e}", script.display()));
        let mut line = String::new();
        let out = child.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("the script answers");
        let port = line.trim().parse().unwrap_or_else(|_| panic!("scripts/moto says {line:?}, not a port"));
        Self { child, port }
    }

    /// The store at `BUCKET/PREFIX`.
    pub(crate) fn store(&self, place: &str) -> RemoteStore {
        let keys = AmazonS3Builder::new().with_access_key_id("test").with_secret_access_key("test");
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let location = format!("{place}?endpoint={endpoint}&region=us-east-1&allow_http=true");
        RemoteStore::s3_from(keys, &location).expect("the location is sound")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server ends when its input does.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
