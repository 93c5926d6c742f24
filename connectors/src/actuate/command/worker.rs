//! One worker process: a child of this process, or one that a former life of it has left behind.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use headwater_core::World;
use rustix::process::{Pid, Signal, kill_process_group};

use super::config::Settings;
use super::orphans::{Orphan, is_alive};

/// The variables by which a worker knows what it is, and by which it is found again.
pub(super) const GROUP: &str = "HEADWATER_GROUP";
pub(super) const SLOT: &str = "HEADWATER_SLOT";
pub(super) const TOKEN: &str = "HEADWATER_TOKEN";

/// How often a worker that is to end is looked after.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A worker.
#[derive(Debug)]
pub(super) struct Worker {
    process: Process,
    /// When it was started, or found; by the monotonic clock.
    pub(super) since: Duration,
    /// Whether it has passed a check.
    pub(super) was_well: bool,
    /// How many checks in a row it has failed.
    pub(super) failures: u32,
}

#[derive(Debug)]
enum Process {
    Child(Child),
    Left(Orphan),
}

impl Worker {
    /// Starts one. It leads a process group of its own.
    pub(super) fn start(settings: &Settings, slot: u32, now: Duration) -> Result<Self, String> {
        let words = settings.words(slot);
        let [program, arguments @ ..] = words.as_slice() else {
            return Err("there is no program".to_owned());
        };
        let child = Command::new(program)
            .args(arguments)
            .env(GROUP, &settings.group)
            .env(SLOT, slot.to_string())
            .env(TOKEN, &settings.token)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("start {program}: {error}"))?;
        Ok(Self::new(Process::Child(child), now))
    }

    /// Takes over one that a former life has left.
    pub(super) fn take_over(orphan: Orphan, now: Duration) -> Self {
        Self::new(Process::Left(orphan), now)
    }

    fn new(process: Process, since: Duration) -> Self {
        Self { process, since, was_well: false, failures: 0 }
    }

    /// Its process, and its process group.
    pub(super) fn pid(&self) -> i32 {
        match &self.process {
            Process::Child(child) => child.id().cast_signed(),
            Process::Left(orphan) => orphan.pid,
        }
    }

    /// How it has ended, if it has.
    pub(super) fn end(&mut self) -> Option<String> {
        match &mut self.process {
            Process::Child(child) => match child.try_wait() {
                Ok(status) => status.map(|status| format!("it ended: {status}")),
                Err(error) => Some(format!("it cannot be waited for: {error}")),
            },
            Process::Left(orphan) => (!is_alive(orphan)).then(|| "it ended".to_owned()),
        }
    }

    /// Asks its process group to end.
    pub(super) fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid()) {
            // An error says that there is no such group any more, which is what was wanted.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Waits until it has ended, and kills what is left of its process group after the timeout. Call [`Worker::ask_to_end`] first.
    pub(super) async fn ended(&mut self, world: &World, timeout: Duration) {
        let deadline = world.clock.monotonic() + timeout;
        while self.end().is_none() {
            if world.clock.monotonic() >= deadline {
                self.signal(Signal::KILL);
                // What cannot be killed (it hangs in the kernel) is not waited for.
                let patience = world.clock.monotonic() + Duration::from_secs(5);
                while self.end().is_none() && world.clock.monotonic() < patience {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        // Whoever the worker has started itself ends with it.
        self.signal(Signal::KILL);
    }
}
