//! Whether a worker is well.

use std::process::{Command, Stdio};
use std::time::Duration;

use headwater_core::{World, causes};
use reqwest::{Client, Url, redirect};

use super::config::with_slot;
use super::worker::GROUP;
use crate::deliver::Allowed;

/// How often a check that runs is looked after.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is checked, and how often.
#[derive(Clone)]
pub(super) struct Health {
    pub(super) world: World,
    pub(super) allowed: Allowed,
    pub(super) command: Option<Vec<String>>,
    pub(super) url: Option<String>,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    /// So many checks in a row must fail.
    pub(super) failures: u32,
    pub(super) grace: Duration,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health")
            .field("command", &self.command)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Health {
    /// Whether there is anything to check besides that the process lives.
    pub(super) fn has_checks(&self) -> bool {
        self.command.is_some() || self.url.is_some()
    }

    /// Checks a worker once; the error says what is wrong.
    pub(super) async fn check(&self, group: &str, slot: u32, pid: i32) -> Result<(), String> {
        if let Some(words) = &self.command {
            self.run(words, group, slot, pid).await?;
        }
        if let Some(url) = &self.url {
            self.get(&with_slot(url, slot)).await?;
        }
        Ok(())
    }

    async fn run(&self, words: &[String], group: &str, slot: u32, pid: i32) -> Result<(), String> {
        let [program, arguments @ ..] = words else { return Err("there is no program".to_owned()) };
        let mut child = Command::new(program)
            .args(arguments)
            .env(GROUP, group)
            .env("HEADWATER_SLOT", slot.to_string())
            .env("HEADWATER_PID", pid.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("start {program}: {error}"))?;
        let deadline = self.world.clock.monotonic() + self.timeout;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("{program}: {status}")),
                Ok(None) if self.world.clock.monotonic() < deadline => tokio::time::sleep(LOOK_AGAIN).await,
                Ok(None) => {
                    // It may have ended this very moment; the wait after it cannot fail then.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(format!("{program} did not end within {:?}", self.timeout));
                }
                Err(error) => return Err(format!("wait for {program}: {error}")),
            }
        }
    }

    async fn get(&self, url: &str) -> Result<(), String> {
        let url = Url::parse(url).map_err(|error| format!("{url}: {error}"))?;
        self.allowed.check_url(&url)?;
        // Redirects would lead around the configuration's list.
        let client = Client::builder().timeout(self.timeout).redirect(redirect::Policy::none()).build();
        let client = client.map_err(|error| causes(&error))?;
        let answer = client.get(url.clone()).send().await.map_err(|error| causes(&error.without_url()))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("{url} answered {status}")),
        }
    }
}
