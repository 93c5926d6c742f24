//! One attempt to hand a delivery to a program: the document on its standard input, success by exit code 0.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::pin::pin;
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;

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
        let mut running = Running::start(program, arguments, attempt)
            .map_err(|error| failed(None, format!("start {program}: {error}")))?;
        let (input, errors) = (running.0.stdin.take(), running.0.stderr.take());
        let mut said = Vec::new();
        let status = {
            // Both through pipes that no thread waits at: a grandchild may hold them open for as long as it likes.
            let mut talk =
                pin!(async { tokio::join!(feed(input, &attempt.body), listen(errors, &mut said)) });
            let mut ended = pin!(tokio::time::timeout(self.timeout, running.ended()));
            let mut talks = true;
            let status = loop {
                tokio::select! {
                    status = &mut ended => break status,
                    _ = &mut talk, if talks => talks = false,
                }
            };
            if talks {
                // What it has said last is there already, if anything is.
                let _ = tokio::time::timeout(LOOK_AGAIN, talk).await;
            }
            status
        };
        match status {
            Err(_) => Err(failed(None, format!("{program} did not end within {:?}", self.timeout))),
            Ok(Err(error)) => Err(failed(None, format!("wait for {program}: {error}"))),
            Ok(Ok(status)) if status.success() => Ok(0),
            Ok(Ok(status)) => {
                let said = String::from_utf8_lossy(&said);
                Err(failed(status.code(), format!("{program}: {status}; {}", said.trim())))
            }
        }
    }
}

/// A program that runs, in a process group of its own. If it is dropped before its end, because it takes too long or nobody waits any more,
/// it is killed with all that it has started.
struct Running(Child);

impl Running {
    fn start(program: &str, arguments: &[String], attempt: &Attempt) -> io::Result<Self> {
        let child = Command::new(program)
            .args(arguments)
            .env("HEADWATER_TRIGGER", &attempt.owner.1)
            .env("HEADWATER_ID", &attempt.id)
            .env("HEADWATER_ATTEMPT", attempt.number.to_string())
            .env("HEADWATER_TEST", if attempt.is_test { "true" } else { "false" })
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        Ok(Self(child))
    }

    async fn ended(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            if let Some(group) = Pid::from_raw(self.0.id().cast_signed()) {
                // It may have ended this very moment; the wait after it cannot fail then.
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = self.0.wait();
        }
    }
}

/// Writes the document. A program that does not read its input is none the worse for it.
async fn feed(input: Option<ChildStdin>, body: &[u8]) {
    if let Some(Ok(mut pipe)) = input.map(|input| pipe::Sender::from_owned_fd(input.into())) {
        let _ = pipe.write_all(body).await;
    }
}

/// Takes the beginning of what it says on standard error, and reads on so that it is not held up.
async fn listen(errors: Option<ChildStderr>, said: &mut Vec<u8>) {
    if let Some(Ok(mut pipe)) = errors.map(|errors| pipe::Receiver::from_owned_fd(errors.into())) {
        let _ = (&mut pipe).take(STDERR_BYTES_MAX).read_to_end(said).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
}
