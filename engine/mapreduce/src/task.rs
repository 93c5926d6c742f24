//! One attempt of a task: a program, what it reads and what it says.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::runtime::Handle;

use crate::error::{JobError, Result};
use crate::progress::Progress;
use crate::spec::Program;
use crate::watch::{Watch, Watched};

/// How much of what an attempt says on standard error is kept: the end of it.
const STDERR_MAX: usize = 1 << 20;

/// How much of it an error shows.
const STDERR_SHOWN: usize = 500;

/// How long a line may be: sorting counts its bytes in 32 bits.
const LINE_BYTES_MAX: usize = u32::MAX as usize;

/// How often a program is looked after.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What an attempt is told through its environment, and where it is written down.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// Such as `map-00003`.
    pub(crate) task: String,
    pub(crate) number: u32,
    /// The partition, or the number of the split.
    pub(crate) partition: usize,
    /// What is being read, if it is one object.
    pub(crate) input: Option<String>,
    /// How long its program may neither read nor say anything.
    pub(crate) timeout: Option<Duration>,
}

/// What an attempt left.
#[derive(Default)]
pub(crate) struct Said {
    /// On standard error.
    pub(crate) stderr: Vec<u8>,
}

/// What writes a program's input.
pub(crate) type Feed = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// Runs a program: `feed` writes its input, `take` gets each line of its output. Blocks the thread.
pub(crate) fn run_program(
    program: &Program,
    attempt: &Attempt,
    progress: &Arc<Progress>,
    runtime: &Handle,
    feed: Feed,
    take: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> (Said, Result<()>) {
    let mut child = match start(program, attempt) {
        Ok(child) => child,
        Err(error) => return (Said::default(), Err(error)),
    };
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let watch = Watch::new(attempt.timeout);
    let of_input = Arc::clone(&watch);
    let fed = runtime.spawn_blocking(move || match stdin {
        Some(pipe) => feed(&mut Watched { pipe, watch: of_input }),
        None => Ok(()),
    });
    let said =
        runtime.spawn_blocking(move || stderr.map(|mut stderr| the_last(&mut stderr)).unwrap_or_default());
    let child = Arc::new(Mutex::new(child));
    let guard = kill_if_stopped(Arc::clone(&child), Arc::clone(progress), Arc::clone(&watch));
    let guard = runtime.spawn(guard);
    let taken = match stdout {
        Some(pipe) => each_line(&mut Watched { pipe, watch: Arc::clone(&watch) }, take),
        None => Ok(()),
    };
    if taken.is_err() {
        kill(&child.lock());
    }
    let status = runtime.block_on(wait(&child));
    guard.abort();
    let fed = runtime.block_on(fed).unwrap_or_else(|error| Err(io::Error::other(error)));
    let said = Said { stderr: runtime.block_on(said).unwrap_or_default() };
    let ended = taken.and_then(|()| {
        if progress.is_stopped() {
            return Err(JobError::Stopped);
        }
        if let Some(silent) = watch.expired() {
            let reason = format!("has neither read nor said anything for {silent:?}{}", shown(&said.stderr));
            return Err(JobError::Program { program: program.to_string(), reason });
        }
        let status = status.map_err(JobError::io(format!("wait for {program}")))?;
        if !status.success() {
            let reason = format!("ended with {status}{}", shown(&said.stderr));
            return Err(JobError::Program { program: program.to_string(), reason });
        }
        match fed {
            // A program need not read all of its input.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(JobError::io(format!("feed {program}"))),
        }
    });
    (said, ended)
}

fn start(program: &Program, attempt: &Attempt) -> Result<Child> {
    let [name, arguments @ ..] = program.words() else {
        return Err(JobError::Spec("a program has a name".to_owned()));
    };
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // What it starts itself, such as a pipeline of a shell, is ended with it.
    command.process_group(0);
    // Under the names by which programs for Hadoop's streaming know them.
    command.env("mapreduce_task_id", &attempt.task);
    command.env("mapreduce_task_attempt_id", format!("{}-{}", attempt.task, attempt.number));
    command.env("mapreduce_task_partition", attempt.partition.to_string());
    command.env("mapreduce_task_ismap", attempt.task.starts_with("map").to_string());
    if let Some(input) = &attempt.input {
        command.env("mapreduce_map_input_file", input);
    }
    command.spawn().map_err(|error| JobError::Program {
        program: program.to_string(),
        reason: format!("could not be started: {error}"),
    })
}

async fn wait(child: &Mutex<Child>) -> io::Result<std::process::ExitStatus> {
    // Its output has ended, so that it usually has, too.
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.lock().try_wait()? {
            return Ok(status);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK_AGAIN);
    }
}

async fn kill_if_stopped(child: Arc<Mutex<Child>>, progress: Arc<Progress>, watch: Arc<Watch>) {
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        if progress.is_stopped() || watch.look() {
            kill(&child.lock());
            return;
        }
    }
}

/// Ends a program and all that it has started; one that has ended already is none the worse for it.
fn kill(child: &Child) {
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Reads to the end, so that the program is not held up, and keeps the last [`STDERR_MAX`] bytes.
fn the_last(from: &mut dyn Read) -> Vec<u8> {
    let mut said = Vec::new();
    let mut part = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut part) {
        said.extend_from_slice(&part[..count]);
        if said.len() > 2 * STDERR_MAX {
            keep_last(&mut said, &[]);
        }
    }
    keep_last(&mut said, &[]);
    said
}

/// Adds what was said besides, and keeps the last [`STDERR_MAX`] bytes.
pub(crate) fn keep_last(said: &mut Vec<u8>, more: &[u8]) {
    said.extend_from_slice(more);
    said.drain(..said.len().saturating_sub(STDERR_MAX));
}

/// Calls `take` with each line, without its line feed.
fn each_line(from: &mut dyn Read, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let mut filled = 0;
    loop {
        let count = from.read(&mut buffer[filled..]).map_err(JobError::io("read a program's output"))?;
        if count == 0 {
            break;
        }
        let searched = filled;
        filled += count;
        let Some(last) = memchr::memrchr(b'\n', &buffer[searched..filled]) else {
            if filled == buffer.len() {
                // A line that is longer than the buffer makes it longer.
                if filled > LINE_BYTES_MAX {
                    let reason = io::Error::other(format!("a line has more than {LINE_BYTES_MAX} bytes"));
                    return Err(JobError::io("read a program's output")(reason));
                }
                buffer.resize(buffer.len() * 2, 0);
            }
            continue;
        };
        let end = searched + last + 1;
        let mut start = 0;
        for line in memchr::memchr_iter(b'\n', &buffer[..end]) {
            take(&buffer[start..line])?;
            start = line + 1;
        }
        buffer.copy_within(end..filled, 0);
        filled -= end;
    }
    if filled > 0 { take(&buffer[..filled]) } else { Ok(()) }
}

fn shown(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    let from = text.len().saturating_sub(STDERR_SHOWN);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    format!("; it said: {}", &text[from..])
}
