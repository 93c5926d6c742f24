//! Starts the binary, hears what it says, and ends it gently or at once.

use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

/// How long anything may take, in a debug build on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until something is so, and answers what was found then. What was found last is told if it never is.
pub async fn until<T, E: Debug>(what: &str, mut look: impl FnMut() -> Result<T, E>) -> T {
    let began = tokio::time::Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) if began.elapsed() > PATIENCE => panic!("{what}: not in time; last seen: {last:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// What was found if it is so, for [`until`].
pub fn so<T>(found: T, is: impl Fn(&T) -> bool) -> Result<T, T> {
    if is(&found) { Ok(found) } else { Err(found) }
}

/// The binary that was built with this test, in an environment that says nothing to it.
pub fn headwater(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.args(arguments);
    for (name, _) in std::env::vars() {
        if name.starts_with("HEADWATER_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the binary to its end; one that does not come to it ends with the exit code 124.
pub fn run(arguments: &[&str]) -> Output {
    let binary = headwater(arguments);
    let mut command = Command::new("timeout");
    command.arg(PATIENCE.as_secs().to_string()).arg(binary.get_program()).args(binary.get_args());
    for (name, _) in binary.get_envs() {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).output().unwrap()
}

/// Runs the binary to its end, which must be a good one, and answers what it wrote to standard output.
pub fn run_well(arguments: &[&str]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the binary, which must fail with this exit code, and answers what it wrote to standard error.
pub fn run_badly(arguments: &[&str], code: i32) -> String {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    errors
}

/// A process that runs. Killed when dropped.
pub struct Process {
    child: Child,
    out: Spoken,
    errors: Spoken,
}

/// What a process writes to one of its outputs, read on a thread of its own so that it never waits for a reader.
struct Spoken {
    lines: mpsc::Receiver<String>,
    heard: Vec<String>,
}

impl Spoken {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        let read = move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        };
        #[expect(clippy::disallowed_methods, reason = "a test of a process has no World")]
        std::thread::spawn(read);
        Self { lines, heard: Vec::new() }
    }

    /// Waits for a line that holds a text, and answers it.
    fn wait_for(&mut self, text: &str) -> Option<String> {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).ok()?;
            self.heard.push(line.clone());
            if line.contains(text) {
                return Some(line);
            }
        }
    }

    /// Everything until the end of the process.
    fn rest(&mut self) -> String {
        self.heard.extend(self.lines.iter());
        self.heard.join("\n")
    }
}

impl Process {
    /// Starts the binary.
    pub fn start(arguments: &[&str]) -> Self {
        Self::spawn(headwater(arguments))
    }

    /// Starts a command.
    pub fn spawn(mut command: Command) -> Self {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let out = Spoken::of(child.stdout.take().unwrap());
        let errors = Spoken::of(child.stderr.take().unwrap());
        Self { child, out, errors }
    }

    /// Waits until it writes a line that holds this text to standard output, and answers the line.
    pub fn wait_for(&mut self, text: &str) -> String {
        match self.out.wait_for(text) {
            Some(line) => line,
            None => self.gave_up(text),
        }
    }

    /// Waits until it writes a line that holds this text to standard error.
    pub fn wait_for_error(&mut self, text: &str) {
        if self.errors.wait_for(text).is_none() {
            self.gave_up(text);
        }
    }

    /// The lines of standard output up to the last one that was waited for.
    pub fn heard(&self) -> &[String] {
        &self.out.heard
    }

    fn gave_up(&mut self, text: &str) -> ! {
        // It may have ended by itself.
        let _ = self.child.kill();
        panic!("it never said {text:?}; it said\n{}\n{}", self.out.rest(), self.errors.rest());
    }

    /// Ends the process at once, whatever it does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits for the end, and answers the exit code, and what was written to the two outputs.
    pub fn end(mut self) -> (Option<i32>, String, String) {
        // Its outputs end with it, at the latest.
        let (out, errors) = (self.out.rest(), self.errors.rest());
        let status = self.child.wait().unwrap();
        (status.code(), out, errors)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a server says when it listens, before the address.
const LISTENING: &str = "listening on ";

/// A process that serves HTTP.
pub struct Server {
    process: Process,
    /// Such as `http://127.0.0.1:40123`.
    pub url: String,
    http: reqwest::Client,
}

impl Server {
    /// Starts `headwater serve` on a data directory and waits until it listens.
    pub fn serve(data: &Path) -> Self {
        Self::start(&["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()])
    }

    /// Starts a command that serves, and waits until it listens.
    pub fn start(arguments: &[&str]) -> Self {
        Self::of(Process::start(arguments))
    }

    /// Waits until a process listens.
    pub fn of(mut process: Process) -> Self {
        let line = process.wait_for(LISTENING);
        Self::at(process, &line)
    }

    fn at(process: Process, line: &str) -> Self {
        let url = line.strip_prefix(LISTENING).unwrap().to_owned();
        Self { process, url, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// Starts a command that serves with a log which a broker keeps, and waits until it listens. The broker may be busy for longer than
    /// opening the log waits: then the process says so and ends, and is started again, as whoever runs it would do.
    pub fn start_with_log(arguments: &[&str]) -> Self {
        let mut last = String::new();
        for _ in 0..10 {
            let mut process = Process::start(arguments);
            if let Some(line) = process.out.wait_for(LISTENING) {
                return Self::at(process, &line);
            }
            // It has ended by itself, or has been silent for too long.
            let _ = process.child.kill();
            let (code, _, errors) = process.end();
            assert!(code == Some(4) && errors.contains("HW1017"), "{code:?} {errors}");
            last = errors;
        }
        panic!("the broker does not open the log: {last}");
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The process, which nobody asks any more.
    pub fn into_process(self) -> Process {
        self.process
    }

    /// The answer to a GET, which must be a good one.
    pub async fn get(&self, path: &str) -> String {
        let response = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        good(path, response).await
    }

    /// The answer to a POST, which must be a good one.
    pub async fn post(&self, path: &str, body: &str) -> String {
        let request = self.http.post(format!("{}{path}", self.url)).body(body.to_owned());
        let response = request.header("content-type", "application/x-ndjson").send().await.unwrap();
        good(path, response).await
    }

    /// The status and the error of the answer to a POST of JSON lines, which must not be a good one.
    pub async fn post_badly(&self, path: &str, body: &str) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.url)).body(body.to_owned());
        let response = request.header("content-type", "application/x-ndjson").send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str::<Value>(&response.text().await.unwrap()).unwrap()["error"].take())
    }

    /// The headers and the text of the answer to a POST of JSON, which must be a good one.
    pub async fn post_for(&self, path: &str, body: &str) -> (reqwest::header::HeaderMap, String) {
        let request = self.http.post(format!("{}{path}", self.url)).body(body.to_owned());
        let response = request.header("content-type", "application/json").send().await.unwrap();
        (response.headers().clone(), good(path, response).await)
    }

    /// Runs SQL, which must be right.
    pub async fn sql(&self, sql: &str) -> String {
        good(sql, self.ask(sql, "application/x-ndjson").await).await
    }

    /// The rows of a query as JSON.
    pub async fn rows(&self, sql: &str) -> Vec<Value> {
        self.sql(sql).await.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The rows of a query as CSV.
    pub async fn csv(&self, sql: &str) -> String {
        good(sql, self.ask(sql, "text/csv").await).await
    }

    /// Runs SQL, which must be refused, and answers the error.
    pub async fn refusal(&self, sql: &str) -> Value {
        let response = self.ask(sql, "application/x-ndjson").await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_client_error(), "{sql}: {status} {text}");
        serde_json::from_str::<Value>(&text).unwrap()["error"].take()
    }

    async fn ask(&self, sql: &str, accept: &str) -> reqwest::Response {
        let request = self.http.post(format!("{}/v1/sql", self.url)).header("accept", accept);
        request.body(sql.to_owned()).send().await.unwrap()
    }

    /// Asks a query again and again until its rows are those that are wanted.
    pub async fn wait_until(&self, sql: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut last = Vec::new();
        let waiting = async {
            loop {
                last = self.rows(sql).await;
                if wanted(&last) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{sql}: its rows stayed {last:?}");
        }
        last
    }

    /// Waits until the answer to a GET holds a text.
    pub async fn wait_for_text(&self, path: &str, text: &str) {
        let mut last = String::new();
        let waiting = async {
            while !last.contains(text) {
                tokio::time::sleep(Duration::from_millis(20)).await;
                last = self.get(path).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{path} never held {text:?}; at last it was\n{last}");
        }
    }

    /// Waits until a query answers one row with one number, which is at least this.
    pub async fn wait_for_count(&self, sql: &str, least: u64) -> u64 {
        let number = |rows: &[Value]| {
            rows.first().and_then(|row| row.as_object()?.values().next()?.as_u64()).unwrap_or(0)
        };
        number(&self.wait_until(sql, |rows| number(rows) >= least).await)
    }

    /// Ends the process at once, whatever it does.
    pub fn kill(self) {
        self.process.kill();
    }

    /// Asks the process to end, and answers its exit code.
    pub fn terminate(self) -> Option<i32> {
        self.process.signal("TERM");
        self.process.end().0
    }
}

async fn good(asked: &str, response: reqwest::Response) -> String {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{asked}: {status} {text}");
    text
}

/// Writes a file that is there whole or not at all.
pub fn write(path: &Path, text: &str) {
    let hidden = path.with_file_name(format!(".{}", path.file_name().unwrap().to_str().unwrap()));
    std::fs::File::create(&hidden).unwrap().write_all(text.as_bytes()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test of a process has no World")]
    std::fs::rename(hidden, path).unwrap();
}
