//! An S3 service of its own for a test: moto's server, by `scripts/moto`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use object_store::aws::{AmazonS3, AmazonS3Builder};

/// The server; it goes with this.
pub(crate) struct Moto {
    process: Child,
    port: u16,
    /// A client that is not ours.
    pub(crate) client: AmazonS3,
}

impl Moto {
    pub(crate) fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/moto");
        let started = Command::new(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = started.expect("scripts/moto starts");
        let output = process.stdout.take().expect("its output is piped");
        let mut port = String::new();
        BufReader::new(output).read_line(&mut port).expect("scripts/moto prints a port");
        let port: u16 = port.trim().parse().expect("scripts/moto prints a port; see what it says above");
        let client = AmazonS3Builder::new()
            .with_endpoint(format!("http://127.0.0.1:{port}"))
            .with_allow_http(true)
            .with_bucket_name("bucket")
            .with_region("us-east-1")
            .with_access_key_id("test")
            .with_secret_access_key("test");
        Self { process, port, client: client.build().expect("a client") }
    }

    /// The bucket, as a table names it.
    pub(crate) fn url(&self) -> String {
        format!("s3::http://127.0.0.1:{}/bucket", self.port)
    }

    /// What a table says of access.
    pub(crate) fn access(&self) -> [(&'static str, &'static str); 3] {
        [
            ("storage.aws_access_key_id", "test"),
            ("storage.aws_secret_access_key", "test"),
            ("storage.aws_region", "us-east-1"),
        ]
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It has nothing to save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
