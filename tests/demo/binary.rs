//! Builds, runs, asks and kills `headwater demo`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

/// How long anything may take, in a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A demo that runs. Killed when dropped.
pub struct Demo {
    child: Child,
    /// What it has still to say; `None` while somebody reads.
    output: Option<BufReader<ChildStdout>>,
    url: String,
    http: reqwest::Client,
}

impl Demo {
    /// Starts the demo on a data directory and waits until it listens.
    pub async fn start(data: &Path) -> Self {
        let binary = tokio::task::spawn_blocking(built).await.unwrap();
        let mut command = Command::new(binary);
        command.args(["demo", "--listen", "127.0.0.1:0", "--data"]).arg(data.join("data"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = Some(BufReader::new(child.stdout.take().unwrap()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut demo = Self { child, output, url: String::new(), http };
        demo.url = demo.line_with("listening on ").await;
        demo
    }

    /// Waits until everything is found and shown.
    pub async fn wait_until_done(&mut self) {
        self.line_with("The server goes on").await;
    }

    /// Waits for a line with this start, and answers the rest of it.
    async fn line_with(&mut self, start: &'static str) -> String {
        let mut output = self.output.take().expect("nobody else reads");
        let reading = tokio::task::spawn_blocking(move || {
            let mut seen = String::new();
            loop {
                let from = seen.len();
                if output.read_line(&mut seen).unwrap() == 0 {
                    panic!("it ended without a line {start:?}; it said\n{seen}");
                }
                if let Some(rest) = seen[from..].strip_prefix(start) {
                    return (rest.trim_end().to_owned(), output);
                }
            }
        });
        let read = tokio::time::timeout(PATIENCE, reading).await;
        let (rest, output) = read.unwrap_or_else(|_| panic!("no line {start:?} in time")).unwrap();
        self.output = Some(output);
        rest
    }

    /// Waits until so many readings are in the stream.
    pub async fn wait_for_readings(&self, readings: u64) {
        let waiting = async {
            while self.readings().await < readings {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the readings come");
    }

    async fn readings(&self) -> u64 {
        let response = self.http.get(format!("{}/v1/streams/weather", self.url)).send().await.unwrap();
        if !response.status().is_success() {
            return 0;
        }
        let stream: Value = response.json().await.unwrap();
        stream["shards"].as_array().unwrap().iter().map(|shard| shard["next"].as_u64().unwrap()).sum()
    }

    /// The rows of a query as CSV.
    pub async fn csv(&self, sql: &str) -> String {
        let request =
            self.http.post(format!("{}/v1/sql", self.url)).header("accept", "text/csv").body(sql.to_owned());
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{sql}: {text}");
        text
    }

    /// Ends the process at once, whatever it does.
    pub async fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the process to end, and answers its exit code.
    pub async fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let waiting = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status.code();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it ends")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary, built from the sources that this test was built with.
pub fn built() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    // With the features of the whole workspace, as the README builds it: another choice would build everything again.
    let build = || {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--workspace", "--bin", "headwater"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(
            cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success(),
            "the binary builds"
        );
        // This test lies in `deps` beside it.
        let test = std::env::current_exe().unwrap();
        test.ancestors().nth(2).unwrap().join("headwater")
    };
    BINARY.get_or_init(build).clone()
}
