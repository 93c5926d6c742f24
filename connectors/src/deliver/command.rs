//! One attempt to hand a delivery to a program: the document on its standard input, success by exit code 0.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::attempt::{Attempt, Failure};

/// How much of what a program says on standard error is kept.
const STDERR_BYTES_MAX: u64 = 500;

/// How often a running program is looked after.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A program of this host, as the configuration names it.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The program and its arguments; no shell is involved.
    pub(super) words: Vec<String>,
    pub(super) timeout: Duration,
}

impl Program {
    pub(super) async fn run(&self, attempt: &Attempt) -> Result<i32, Failure> {
        let failed =
            |status: Option<i32>, reason: String| Failure { status, reason, retry: true, not_before: None };
        let [program, arguments @ ..] = self.words.as_slice() else {
            return Err(failed(None, "there is no program".to_owned()));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .env("HEADWATER_TRIGGER", &attempt.owner.1)
            .env("HEADWATER_ID", &attempt.id)
            .env("HEADWATER_ATTEMPT", attempt.number.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(None, format!("start {program}: {error}")))?;
        if let Some(mut input) = child.stdin.take() {
            let body = attempt.body.clone();
            // A program that does not read its input is none the worse for it.
            drop(tokio::task::spawn_blocking(move || input.write_all(&body)));
        }
        let errors = child.stderr.take().map(|errors| {
            tokio::task::spawn_blocking(move || {
                let mut said = Vec::new();
                let _ = errors.take(STDERR_BYTES_MAX).read_to_end(&mut said);
                String::from_utf8_lossy(&said).trim().to_owned()
            })
        });
        let deadline = tokio::time::Instant::now() + self.timeout;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if tokio::time::Instant::now() < deadline => tokio::time::sleep(LOOK_AGAIN).await,
                Ok(None) => {
                    // It may have ended this very moment; the wait after it cannot fail then.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(failed(None, format!("{program} did not end within {:?}", self.timeout)));
                }
                Err(error) => return Err(failed(None, format!("wait for {program}: {error}"))),
            }
        };
        if status.success() {
            return Ok(0);
        }
        // A grandchild may hold standard error open: it is not waited for.
        let said = match errors {
            Some(errors) => tokio::time::timeout(LOOK_AGAIN, errors).await.ok().and_then(Result::ok),
            None => None,
        };
        Err(failed(status.code(), format!("{program}: {status}; {}", said.unwrap_or_default())))
    }
}
