//! The command line of the bench, and what both of its parts need.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use headwater_run::{Engine, JobState, JobStatus};

use super::super::command::Common;
use super::super::report::Report;
use super::{jobs, keys};
use crate::open::{EngineArgs, Tuning};

/// How often a job is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// A part of the bench.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Counts by key.
    Keys,
    /// Filters over one stream.
    Jobs,
}

/// What an event costs as keys, and jobs over one stream, become many
#[derive(Args, Clone)]
pub(crate) struct Growth {
    #[command(flatten)]
    pub(super) common: Common,
    /// One part alone
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Over how many keys events are counted; the others are compared with the first
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_values_t = [1_000, 100_000, 10_000_000])]
    pub(super) keys: Vec<u64>,
    /// How many events are counted, for each number of keys
    #[arg(long, value_name = "N", default_value_t = 20_000_000)]
    pub(super) events: u64,
    /// Keys that have fewer events than so many are counted once more over as many, so that most are not new; 0: they are not
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(super) steady: u64,
    /// How many jobs run at once; the others are compared with the first
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_values_t = [1, 10, 100, 1_000])]
    pub(super) jobs: Vec<usize>,
    /// How many events each job filters
    #[arg(long, value_name = "N", default_value_t = 4_000_000)]
    pub(super) filtered: u64,
}

impl Growth {
    /// Whether figures are wanted as JSON.
    pub fn json(&self) -> bool {
        self.common.json
    }

    /// An engine of its own in a directory, as `headwater serve` has it.
    pub(super) fn open(&self, dir: &Path) -> Result<Engine> {
        let tuning = Tuning::default();
        EngineArgs { data: dir.join("data"), tuning, allowed: Default::default(), log: Default::default() }
            .open()
    }
}

pub(crate) async fn run(args: &Growth) -> Result<Report> {
    let mut report = Report::new("growth");
    report.setup("runs", args.common.runs);
    if args.only != Some(Part::Jobs) {
        keys::run(args, &mut report).await?;
    }
    if args.only != Some(Part::Keys) {
        jobs::run(args, &mut report).await?;
    }
    Ok(report)
}

/// Waits until a job is as far as it should be.
pub(super) async fn until(
    engine: &Engine,
    name: &str,
    is_so: impl Fn(&JobStatus) -> bool,
) -> Result<JobStatus> {
    loop {
        let job = engine.job(name).with_context(|| format!("{name} is gone"))?;
        if job.state == JobState::Failed {
            bail!("{name}: {}", job.error.unwrap_or_default());
        }
        if is_so(&job) {
            return Ok(job);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A number with separators.
pub(super) fn counted(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
